"""Two accounts in one world: what belongs to one does not exist for the other; and keys limited to connections."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from stack_emu.domain.state import Connection, Passport
from tests.guarantees.conftest import Ground, Moment, moments
from tests.guarantees.test_crash_safety import picture
from tests.guarantees.tour import ADMIN, LIMITED, OPERATOR, STANDARD, STRANGER, registry, token
from tests.guarantees.wire import Answer

NAMED = (
    "flp fch agt scon ms pp ses co gvr sev pxo ch chal enc skl sinv sreq drp iap pck grt clm ivs irq mem "
    "prn prf pcs abn aor rcv rvc rky apv prs use ndst nch iwh"
)
ID = re.compile(rf"\b(?:{'|'.join(NAMED.split())})_[A-Za-z0-9_]{{4,}}")
TOKENS = ("token", "passport_token", "parent_passport_token")
PUBLIC = frozenset(
    {
        "skills.browse",
        "skills.get",
        "skills.check_trust",
        "skills.invoke",
        "skills.list_requests",
        "skills.get_request",
        "skills.get_request_matches",
        "skills.suggest_composition",
    }
)
"""The marketplace: what every account may see of another's."""
NOWHERE = ("NOT_FOUND", "SKILL_NOT_FOUND", "INVOCATION_NOT_FOUND")
NOBODY = "nobodyatallnobodyata"


def ids_in(raw: dict[str, Any]) -> set[str]:
    """Ids of the account's things in an input, tokens left out."""
    plain = {name: value for name, value in raw.items() if name not in TOKENS}
    return set(ID.findall(json.dumps(plain)))


def with_unknown(raw: dict[str, Any]) -> dict[str, Any]:
    """The same input with every id replaced by one that nobody has."""
    text = json.dumps({name: value for name, value in raw.items() if name not in TOKENS})
    return {**raw, **json.loads(ID.sub(lambda found: found[0].partition("_")[0] + "_" + NOBODY, text))}


def neutral(answer: Answer) -> Any:
    """An answer with every id replaced, and without what counts instants and rows.

    The hint goes by how like what was asked for is to the caller's own ids, so it is looked at by itself.
    """
    body = json.loads(json.dumps(answer.body))
    details = body.get("error", {}).get("details") if isinstance(body, dict) else None
    if isinstance(details, dict):
        details.pop("hint", None)
    return answer.status, ID.sub("<id>", json.dumps(body, sort_keys=True))


def hint_of(answer: Answer) -> str:
    """What the emulator says about a refusal from what it knows of the world."""
    details = answer.error.get("details")
    return str(details.get("hint", "")) if isinstance(details, dict) else ""


def named_moments(ground: Ground) -> list[Moment]:
    return [moment for moment in known_callers(ground) if ids_in(moment.raw) and moment.step.operation not in PUBLIC]


def known_callers(ground: Ground) -> list[Moment]:
    """The moments of operations that look at the bearer: whose a request without one is, it says itself."""
    return [moment for moment in moments(ground).values() if moment.declared.auth.bearers]


@pytest.mark.parametrize("surface", ["rest", "mcp"])
def test_another_accounts_ids_are_answered_exactly_like_ids_that_do_not_exist(ground: Ground, surface: str) -> None:
    client: Any = ground.rest if surface == "rest" else ground.mcp
    checked = 0
    for moment in named_moments(ground):
        declared = moment.declared
        if (declared.rest if surface == "rest" else declared.tool) is None:
            continue
        raw = {name: value for name, value in moment.raw.items() if name not in TOKENS}
        if len(raw) < len(moment.raw):
            raw["parent_passport_token" if declared.name == "passports.delegate" else "passport_token"] = token(
                ground.world, "pp_stranger"
            )
        answers = []
        for given in (raw, with_unknown(raw)):
            ground.do(lambda moment=moment: ground.world.restore(moment.image))
            answers.append(client.call(declared, given, STRANGER))
        where = f"{declared.name}: {answers[0].status} {answers[0].body}"
        assert neutral(answers[0]) == neutral(answers[1]), where
        assert not set(ID.findall(hint_of(answers[0]))) & set(ids_in(raw)), where
        assert not answers[0].ok or declared.name in EMPTY_FOR_A_STRANGER, where
        if not answers[0].ok:
            ask_again = declared.name in ONLY_AN_APPROVAL
            assert answers[0].status in (403 if ask_again else 404, 599), where
            assert answers[0].code in (("GOVERNANCE_APPROVAL_REQUIRED",) if ask_again else NOWHERE), where
        checked += 1
    assert checked >= 20


EMPTY_FOR_A_STRANGER = {"passports.revoke_session", "security_events.list", "skills.list_pending_invocations"}
"""What names an id but finds nothing rather than failing: nothing is left to revoke, a filter fits nothing."""


ONLY_AN_APPROVAL = {"detector_config.reset", "pii_config.reset"}
"""What acts on the caller's own account and names an approval: one that is not known is asked for anew."""


def test_a_stranger_changes_nothing_of_the_account_and_stands_in_none_of_its_lanes(ground: Ground) -> None:
    for moment in known_callers(ground):
        declared = moment.declared
        if declared.rest is None or not (ids_in(moment.raw) or set(TOKENS) & set(moment.raw)):
            continue
        ground.do(lambda moment=moment: ground.world.restore(moment.image))
        before = ground.do(lambda: picture(ground.world))
        ground.rest.call(declared, moment.raw, STRANGER)
        after = ground.do(lambda: picture(ground.world))
        assert after["tables"] == before["tables"], declared.name
        new = after["audit"][1][len(before["audit"][1]) :]
        assert after["audit"][0].get("op_tour") == before["audit"][0].get("op_tour"), declared.name
        for act in new:
            assert act.lane.startswith("key:5"), f"{declared.name}: {act.lane}"
            for row in act.rows:
                shown = json.dumps([row.agent_id, row.passport_jti, dict(row.metadata)])
                told = set(ID.findall(shown)) - ids_in(moment.raw)
                assert not told, f"{declared.name} tells {told}"
                assert row.agent_id is None, f"{declared.name}: {row}"


ASKED_BY_THE_STRANGER = "grt_asked"
"""A grant the stranger's account asks the tour's for: both know of it."""


def test_lists_of_one_account_hold_nothing_of_another(ground: Ground) -> None:
    tour = ground.take_tour()
    mine = set(ID.findall(json.dumps(tour.replies))) | {"agt_tour", "pp_tour", "ms_tour", "scon_slack", "scon_crm"}
    read = [
        name
        for name, declared in registry().operations.items()
        if declared.audit is None and declared.rest is not None and not declared.rest.params
    ]
    for name in read:
        declared = registry().operations[name]
        if name == "passports.verify" or name in PUBLIC or "operator" not in declared.auth.bearers:
            continue
        answer = ground.rest.call(
            declared, {"operation_id": "unknown-operation-id"} if "operation" in name else {}, STRANGER
        )
        found = set(ID.findall(json.dumps(answer.body))) & mine - {ASKED_BY_THE_STRANGER}
        assert not found, f"{name} shows {found}"


# --- allowed_connections ---------------------------------------------------------------------------------------------


def test_a_key_limited_to_connections_sees_only_those_in_lists(ground: Ground) -> None:
    ground.take_tour()
    hidden = {"scon_slack"} | {
        connection.id
        for connection in ground.world.store.all(Connection)
        if connection.operator_id == "op_tour" and connection.id != "scon_crm"
    }
    for name, declared in registry().operations.items():
        if declared.audit is not None or declared.rest is None or declared.rest.params:
            continue
        if name in ("passports.verify", "proxy.get_operation") or "member" not in declared.auth.bearers:
            continue
        full = ground.rest.call(declared, {}, OPERATOR)
        limited = ground.rest.call(declared, {}, LIMITED)
        assert (full.status, limited.status) == (200, 200), f"{name}: {limited.body}"
        shown = {item for item in hidden if item in json.dumps(limited.body)}
        assert not shown, f"{name} shows {shown}"


SINGLE_READS = {
    "passports.report": {"passport_jti": "pp_tour"},
    "proxy.get_operation": {"operation_id": "tour-authority-request-0001"},
    "credentials.get_by_connection": {"connection_id": "scon_slack"},
    "credentials.get": {"provider": "slack"},
    "services.verify": {"connection_id": "scon_slack"},
    "services.disconnect": {"connection_id": "scon_slack"},
    "services.grant": {"agent_id": "agt_tour", "service_connection_id": "scon_slack"},
    "services.revoke_agent": {"agent_id": "agt_tour"},
    "passports.revoke": {"jti": "pp_tour"},
    "passports.checkpoint": {"passport_jti": "pp_tour"},
    "proxy.request": {"service": "slack", "url": "https://slack.com/api/auth.test"},
}


@pytest.mark.parametrize(("name", "raw"), SINGLE_READS.items())
@pytest.mark.parametrize("surface", ["rest", "mcp"])
def test_a_key_limited_to_connections_reaches_nothing_that_uses_another(
    ground: Ground, surface: str, name: str, raw: dict[str, Any]
) -> None:
    client: Any = ground.rest if surface == "rest" else ground.mcp
    before = ground.do(lambda: picture(ground.world))["tables"]
    answer = client.call(registry().operations[name], raw, LIMITED)
    assert answer.code in ("FORBIDDEN", "NOT_FOUND"), answer
    assert ground.do(lambda: picture(ground.world))["tables"] == before


def test_a_key_limited_to_connections_is_shown_only_the_grants_within_them(ground: Ground) -> None:
    reply = ground.rest.call(registry().operations["agents.permissions"], {"agent_id": "agt_tour"}, LIMITED)
    assert [grant["connection_id"] for grant in reply.body["grants"]] == ["scon_crm"]


def test_a_key_limited_to_connections_cannot_have_passports_made_that_use_others(ground: Ground) -> None:
    """Else it would reach them through the passport."""
    issue = registry().operations["passports.issue"]
    raw = {"agent_id": "agt_tour", "mission_ids": ["ms_tour"], "intent": "Reach further"}
    limited = ground.rest.call(issue, {**raw, "services": ["slack"]}, LIMITED)
    assert limited.code in ("FORBIDDEN", "NOT_FOUND", "SCOPE_ESCALATION"), limited
    everything = ground.rest.call(issue, raw, LIMITED)
    if everything.ok:
        made = ground.world.store.get(Passport, everything.body["jti"])
        assert {scope.connection_id for scope in made.services} == {"scon_crm"}
    start = registry().operations["missions.start"]
    terms = {"agent_id": "agt_tour", "mission": {"intent_summary": "x"}, "passport": {"services": ["slack"]}}
    assert not ground.rest.call(start, terms, LIMITED).ok


def test_a_key_limited_to_connections_does_not_lend_itself_to_a_wider_passport(ground: Ground) -> None:
    """A passport beside the key does not lift the key's own limits, and is not extended by it either."""
    pp_tour = token(ground.world, "pp_tour")
    call = {"service": "slack", "url": "https://slack.com/api/auth.test", "passport_token": pp_tour}
    refused = ground.rest.call(registry().operations["proxy.request"], call, LIMITED)
    assert refused.code == "FORBIDDEN"
    for name, raw in (
        ("passports.refresh", {"token": pp_tour}),
        ("passports.delegate", {"parent_passport_token": pp_tour, "child_agent_id": "agt_tour"}),
        ("missions.renew", {"mission_id": "ms_tour"}),
    ):
        answer = ground.rest.call(registry().operations[name], raw, LIMITED)
        assert answer.code in ("FORBIDDEN", "NOT_FOUND"), f"{name}: {answer}"


def test_members_without_limits_see_what_the_operator_sees(ground: Ground) -> None:
    declared = registry().operations["services.list"]
    answers = [ground.rest.call(declared, {}, key).body for key in (OPERATOR, ADMIN, STANDARD)]
    assert answers[0] == answers[1] == answers[2]
    assert {item["id"] for item in answers[0]} == {"scon_slack", "scon_crm"}


def test_a_repeated_start_does_not_hand_a_wider_passport_to_a_limited_key(ground: Ground) -> None:
    start = registry().operations["missions.start"]
    raw = {"agent_id": "agt_tour", "mission": {"intent_summary": "Once", "idempotency_key": "once"}}
    first = ground.rest.call(start, raw, OPERATOR)
    assert first.status == 201
    again = ground.rest.call(start, raw, LIMITED)
    assert again.code == "FORBIDDEN", again
    assert first.body["passport"]["jti"] not in json.dumps(again.body)


def test_the_rows_of_a_foreign_id_and_of_an_unknown_one_tell_nothing_apart(ground: Ground) -> None:
    for moment in named_moments(ground):
        if moment.declared.audit is None:
            continue
        rows = []
        for raw in (moment.raw, with_unknown(moment.raw)):
            ground.do(lambda moment=moment: ground.world.restore(moment.image))
            ground.rest.call(moment.declared, raw, STRANGER)
            row = ground.world.audit.rows("op_stranger")[-1]
            told = [row.action, row.agent_id, row.passport_jti, row.outcome, row.error_code, row.error_message]
            rows.append(ID.sub("<id>", json.dumps([*told, sorted(row.metadata.items())])))
        assert rows[0] == rows[1], moment.declared.name


@pytest.mark.parametrize(
    "name", ["missions.get", "missions.activity", "agents.get", "agents.permissions", "audit.export"]
)
@pytest.mark.parametrize("surface", ["rest", "mcp"])
def test_what_a_limited_key_reads_says_nothing_of_connections_beyond_its_limits(
    ground: Ground, surface: str, name: str
) -> None:
    ground.take_tour()
    client: Any = ground.rest if surface == "rest" else ground.mcp
    raw = {"missions": {"mission_id": "ms_tour"}, "agents": {"agent_id": "agt_tour"}}.get(name.partition(".")[0], {})
    full = client.call(registry().operations[name], raw, OPERATOR)
    limited = client.call(registry().operations[name], raw, LIMITED)
    assert full.ok
    if limited.ok:
        assert "scon_slack" not in json.dumps(limited.body)
    else:
        assert limited.code == "NOT_FOUND", limited
    if name in ("missions.activity", "audit.export"):
        assert "scon_slack" in json.dumps(full.body)
