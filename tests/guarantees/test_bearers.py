"""Bearers × operations: every credential is let in exactly where the operation declares it, over REST and over MCP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from stack_emu.kernel.operations import ROLE_RANK, Operation
from tests.guarantees.conftest import Ground, Moment, moments
from tests.guarantees.tour import (
    ADMIN,
    OPERATOR,
    READONLY,
    STANDARD,
    agent_jwt,
    registry,
    token,
)

NOUNS = {
    "operator": "an operator key",
    "member": "a member key",
    "agent": "an agent JWT",
    "passport": "a passport",
}
ROLES = {READONLY: "readonly", STANDARD: "standard", ADMIN: "admin"}
CALLERS = ("operator", "readonly", "standard", "admin", "agent", "passport", "anonymous")
KINDS = {"readonly": "member", "standard": "member", "admin": "member"}

NOT_THE_AGENTS = {
    "missions.start",
    "missions.renew",
    "missions.revoke",
    "passports.revoke_agent",
    "fleets.get",
    "fleets.membership",
}
"""Steps of the tour that are about another agent: ``agt_tour`` does not find it."""

OF_A_PASSPORT = {
    "agents.get",
    "agents.permissions",
    "missions.get",
    "passports.refresh",
    "passports.delegate",
    "passports.checkpoint",
    "passports.checkout",
    "passports.report",
    "proxy.request",
    "proxy.get_operation",
    "dropoffs.create",
    "dropoffs.deposit",
    "dropoffs.collect",
    "dropoffs.expire",
    "dropoffs.get",
    "dropoffs.list",
    "intents.simulate",
    "intents.submit",
    "intents.list_pending",
    "intents.get",
    "skills.browse",
    "skills.get",
    "skills.check_trust",
    "skills.invoke",
    "skills.get_invocation",
    "skills.list_invocations",
    "skills.list_pending_invocations",
    "skills.claim_invocation",
    "skills.complete_invocation",
    "skills.fail_invocation",
    "skills.list_requests",
    "skills.get_request",
    "skills.get_request_matches",
    "skills.suggest_composition",
    "llm.anthropic_messages",
    "llm.openai_chat_completions",
    "llm.openrouter_chat_completions",
}
"""What a passport may do: use services, models and skills, hand over data, ask for approval, and look after itself."""


def expected(declared: Operation, who: str) -> str:
    auth, kind = declared.auth, KINDS.get(who, who)
    if not auth.bearers:
        return "allowed"
    if kind == "anonymous":
        return "unauthorized"
    if kind not in auth.bearers:
        return "wrong kind"
    role = who if kind == "member" else {"operator": "operator"}.get(kind, "standard")
    return "allowed" if ROLE_RANK[role] >= ROLE_RANK[auth.role] else "wrong role"


class Bearers:
    """The bearer of each kind of caller; agent JWTs are made anew for each call over REST."""

    def __init__(self, world: Any, surface: str) -> None:
        self._world, self._surface, self._made = world, surface, 0
        self._fixed = {
            "operator": OPERATOR,
            "readonly": READONLY,
            "standard": STANDARD,
            "admin": ADMIN,
            "passport": token(world, "pp_tour"),
            "anonymous": None,
        }

    def __getitem__(self, who: str) -> str | None:
        if who != "agent":
            return self._fixed[who]
        if self._surface == "rest":
            self._made += 1
        return agent_jwt(self._world, self._made)


def answers(ground: Ground, surface: str) -> Iterator[tuple[Moment, str, Any]]:
    """Every operation called by every caller, each time in the world as the tour found it there."""
    bearers, start = Bearers(ground.world, surface), ground.do(ground.world.image)
    for moment in moments(ground).values():
        declared = moment.declared
        if (declared.rest if surface == "rest" else declared.tool) is None:
            continue
        client: Any = ground.rest if surface == "rest" else ground.mcp
        for who in CALLERS:
            # Who is refused is refused from the start; pp_tour does not live to the end of the tour.
            image = moment.image if expected(declared, who) == "allowed" else start
            if moment.step.rest_only and surface == "mcp":
                continue
            ground.do(lambda image=image: ground.world.restore(image))
            yield moment, who, client.call(declared, moment.raw, bearers[who])


def check_refusal(declared: Operation, who: str, answer: Any, surface: str) -> None:
    where = f"{declared.name} as {who}: {answer.status} {answer.body}"
    message, details = answer.error.get("message", ""), answer.error.get("details", {})
    kind = expected(declared, who)
    if kind == "unauthorized":
        assert (answer.status, answer.code) == (401, "UNAUTHORIZED"), where
        # An MCP endpoint as a whole asks for a credential, before any tool is named.
        named = declared.auth.bearers if surface == "rest" else NOUNS.keys()
        assert all(NOUNS[name] in message for name in named & NOUNS.keys()), where
        return
    assert answer.code == "FORBIDDEN", where
    assert answer.status == (403 if surface == "rest" else 599), where
    if kind == "wrong kind":
        assert details["needs"] == sorted(declared.auth.bearers), where
        assert details["presented"] == KINDS.get(who, who), where
        assert all(NOUNS[name] in message for name in declared.auth.bearers & NOUNS.keys()), where
    else:
        assert (details["needs_role"], details["role"]) == (declared.auth.role, who), where
        assert f"needs role {declared.auth.role}" in message, where


def about_another_agent(moment: Moment, who: str) -> bool:
    return who == "agent" and moment.step.operation in NOT_THE_AGENTS


@pytest.mark.parametrize("surface", ["rest", "mcp"])
def test_every_caller_is_let_in_exactly_where_the_operation_declares_it(ground: Ground, surface: str) -> None:
    seen = 0
    for moment, who, answer in answers(ground, surface):
        declared = moment.declared
        seen += 1
        if surface == "mcp" and who == "anonymous":
            assert answer.status == 401, f"{declared.name}: {answer.body}"
        elif expected(declared, who) != "allowed":
            check_refusal(declared, who, answer, surface)
        elif about_another_agent(moment, who):
            assert answer.code == "NOT_FOUND", f"{declared.name} as {who}: {answer.status} {answer.body}"
        else:
            assert answer.ok, f"{declared.name} as {who}: {answer.status} {answer.body}"
    assert seen >= 340


def test_a_passport_may_do_what_its_list_says_and_nothing_more() -> None:
    declared = {name for name, item in registry().operations.items() if "passport" in item.auth.bearers}
    assert declared == OF_A_PASSPORT


def test_a_known_caller_who_is_refused_leaves_a_row_and_an_unknown_one_none(ground: Ground) -> None:
    """What a passport tried and may not is in its own lane; of a request without credential only the journal knows."""
    declared = registry().operations["agents.delete"]
    passport = token(ground.world, "pp_tour")
    assert ground.rest.call(declared, {"agent_id": "agt_tour"}, passport).status == 403
    assert ground.rest.call(declared, {"agent_id": "agt_tour"}, None).status == 401
    (act,) = [act for act in ground.world.audit.acts() if act.rows[0].operator_id == "op_tour"]
    (row,) = act.rows
    assert (row.action, row.outcome, row.error_code) == ("agent.delete", "blocked", "FORBIDDEN")
    assert act.lane.endswith("/passport:pp_tour")
    assert [entry.status for entry in ground.world.journal.entries(surface="rest")] == [403, 401]


@pytest.mark.parametrize("who", ["operator", "readonly", "standard", "admin", "agent", "passport"])
def test_the_tools_a_caller_sees_are_those_it_may_call(ground: Ground, who: str) -> None:
    bearer = Bearers(ground.world, "mcp")[who]
    assert bearer is not None
    allowed = {name for name, declared in registry().tools.items() if expected(declared, who) == "allowed"}
    assert ground.mcp.tools(bearer) == allowed


WRONG = {
    "sk_live_emu_nobody": "INVALID_API_KEY",
    "not-even-a-key": "INVALID_API_KEY",
    "a.b.c": "UNAUTHORIZED",
    "tkt_unknown": "UNAUTHORIZED",
    "fls_unknown": "UNAUTHORIZED",
}


@pytest.mark.parametrize(("bearer", "code"), WRONG.items())
@pytest.mark.parametrize("surface", ["rest", "mcp"])
def test_a_wrong_bearer_is_a_401_that_does_not_repeat_it(ground: Ground, surface: str, bearer: str, code: str) -> None:
    client: Any = ground.rest if surface == "rest" else ground.mcp
    answer = client.call(registry().operations["agents.list"], {}, bearer)
    assert (answer.status, answer.code) == (401, code)
    assert bearer not in answer.error["message"]


@pytest.mark.parametrize("header", ["Basic b3A6a2V5", "Bearer", OPERATOR, "Token x"])
def test_a_bearer_in_another_form_is_a_401_that_shows_the_form(ground: Ground, header: str) -> None:
    response = ground.rest.http.get("/v1/agents", headers={"Authorization": header})
    assert response.status_code == 401
    assert "Bearer" in response.json()["error"]["message"]
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
