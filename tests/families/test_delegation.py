"""Delegation: four hops at most, narrower at every hop, never a weaker mode."""

from __future__ import annotations

import asyncio
from typing import Any

import getstack
import pytest

from tests.families.drivers import McpTools
from tests.families.passport_world import MEMBER, OPERATOR, OTHER, REAL, WORLD, claims, error, issue, post, row


@pytest.fixture
def served(serve: Any) -> Any:
    return serve(WORLD)


@pytest.fixture
def stack(sdk: Any, served: Any) -> Any:
    return sdk(served.base_url, OPERATOR)


def test_a_child_has_the_parents_session_mission_intent_and_services(stack: Any, served: Any) -> None:
    parent = issue(stack)
    child = stack.passports.delegate(parent.token, "agt_helper")
    assert child.accountability == "logged"
    of_parent, of_child = claims(parent.token)["stk"], claims(child.token)["stk"]
    assert of_child["parent_passport_id"] == parent.jti
    assert of_child["delegation_depth"] == 1
    for same in ("session_id", "mission_ids", "services", "intent_summary", "intent_services", "operator_id"):
        assert of_child[same] == of_parent[same]
    assert (of_child["agent_id"], claims(child.token)["sub"]) == ("agt_helper", "agt_helper")
    found = row(served, "passport.delegate")
    assert (found.agent_id, found.passport_jti) == ("agt_logged", parent.jti)
    assert (found.metadata["subject"], found.metadata["child_agent_id"]) == (child.jti, "agt_helper")
    assert found.metadata["scopes"] == ["slack:chat:write", "slack:channels:read", "github:repo"]
    assert served.world.audit.acts()[-1].lane == f"agent:agt_logged/passport:{parent.jti}"


def test_four_hops_are_allowed_and_a_fifth_is_not(stack: Any) -> None:
    token = issue(stack).token
    for depth in range(1, 5):
        token = stack.passports.delegate(token, "agt_helper").token
        assert claims(token)["stk"]["delegation_depth"] == depth
    with pytest.raises(getstack.StackError) as refused:
        stack.passports.delegate(token, "agt_helper")
    assert (refused.value.status_code, refused.value.code) == (400, "DELEGATION_DEPTH_EXCEEDED")


def test_services_are_chosen_by_name_or_object_and_the_rest_stays_behind(stack: Any) -> None:
    parent = issue(stack)
    by_name = claims(stack.passports.delegate(parent.token, "agt_helper", scopes=["github"]).token)["stk"]
    assert [service["service_name"] for service in by_name["services"]] == ["github"]
    assert by_name["intent_services"] == []
    item = {
        "service_connection_id": "scon_slack",
        "scopes": ["chat:write"],
        "constraints": [{"path": "method", "op": "eq", "value": "POST"}],
    }
    (service,) = claims(stack.passports.delegate(parent.token, "agt_helper", scopes=[item]).token)["stk"]["services"]
    assert service["scopes"] == ["chat:write"]
    assert [one["path"] for one in service["constraints"]] == ["body.channel", "method"]
    nothing = claims(stack.passports.delegate(parent.token, "agt_helper", scopes=[]).token)["stk"]
    assert nothing["services"] == []


@pytest.mark.parametrize("form", ["parent_token", "parent_passport_token"])
def test_both_generations_of_the_body_are_understood(served: Any, stack: Any, form: str) -> None:
    parent = issue(stack)
    body = {form: parent.token, "child_agent_id": "agt_helper"}
    for scopes, names in ((None, ["slack", "github"]), (["slack"], ["slack"])):
        made = post(served, "/v1/passports/delegate", {**body, "scopes": scopes})
        assert made.status_code == 201
        assert [one["service_name"] for one in claims(made.json()["token"])["stk"]["services"]] == names


@pytest.mark.parametrize(
    "scopes",
    [
        [{"service_connection_id": "scon_slack", "scopes": ["files:write"]}],
        [{"service_connection_id": "scon_stripe"}],
        ["stripe"],
    ],
)
def test_a_child_cannot_have_more_than_its_parent(served: Any, stack: Any, scopes: Any) -> None:
    body = {"parent_passport_token": issue(stack).token, "child_agent_id": "agt_helper", "scopes": scopes}
    refused = post(served, "/v1/passports/delegate", body)
    assert error(refused) == (400, "SCOPE_ESCALATION")
    assert "passport pp_" in refused.json()["error"]["details"]["parent"]


def test_what_a_hop_gave_up_does_not_come_back(stack: Any) -> None:
    narrow = [{"service_connection_id": "scon_slack", "scopes": ["chat:write"], "allow_data_from": ["github"]}]
    child = stack.passports.delegate(issue(stack).token, "agt_helper", scopes=narrow)
    for item in (
        {"service_connection_id": "scon_slack", "scopes": ["channels:read"]},
        {"service_connection_id": "scon_github"},
        {"service_connection_id": "scon_slack", "allow_data_from": ["github", "stripe"]},
    ):
        with pytest.raises(getstack.StackError) as refused:
            stack.passports.delegate(child.token, "agt_helper", scopes=[item])
        assert refused.value.code == "SCOPE_ESCALATION"
    again = stack.passports.delegate(
        child.token, "agt_helper", scopes=[{"service_connection_id": "scon_slack", "constraints": []}]
    )
    (service,) = claims(again.token)["stk"]["services"]
    assert service["constraints"] == [{"path": "body.channel", "op": "in", "value": ["#eng"]}]
    assert service["allow_data_from"] == ["github"]


def test_an_unknown_service_or_agent_is_not_found(served: Any, stack: Any) -> None:
    body = {"parent_passport_token": issue(stack).token, "child_agent_id": "agt_helper"}
    assert error(post(served, "/v1/passports/delegate", {**body, "scopes": ["nothing"]})) == (404, "NOT_FOUND")
    for agent in ("agt_none", "agt_foreign"):
        assert error(post(served, "/v1/passports/delegate", {**body, "child_agent_id": agent})) == (404, "NOT_FOUND")
    assert error(post(served, "/v1/passports/delegate", {"child_agent_id": "agt_helper"})) == (400, "INVALID_REQUEST")


def test_a_child_lives_no_longer_than_its_parent(stack: Any, served: Any) -> None:
    parent = issue(stack, ttl_seconds=600)
    assert stack.passports.delegate(parent.token, "agt_helper", ttl_seconds=60).expires_at == "2026-01-01T00:01:00.000Z"
    served.advance(300_000)
    assert stack.passports.delegate(parent.token, "agt_helper", ttl_seconds=3600).expires_at == parent.expires_at
    assert stack.passports.delegate(parent.token, "agt_helper").expires_at == parent.expires_at


@pytest.mark.parametrize(
    ("parent", "child", "allowed"),
    [
        ("enforced", "second", True),
        ("enforced", "helper", False),
        ("enforced", "standard", False),
        ("logged", "standard", False),
        ("logged", "enforced", True),
        ("standard", "helper", True),
        ("standard", "standard", True),
    ],
)
def test_the_accountability_mode_may_not_drop(stack: Any, parent: str, child: str, allowed: bool) -> None:
    token = issue(stack, parent).token
    if allowed:
        made = stack.passports.delegate(token, f"agt_{child}")
        assert claims(made.token)["stk"]["accountability"] == {"second": "enforced", "helper": "logged"}.get(
            child, child
        )
        return
    with pytest.raises(getstack.StackError) as refused:
        stack.passports.delegate(token, f"agt_{child}")
    assert (refused.value.status_code, refused.value.code) == (400, "DELEGATION_ACCOUNTABILITY_VIOLATION")


def test_a_stricter_child_without_an_intent_gets_the_missions(stack: Any) -> None:
    parent = stack.passports.issue("agt_standard", mission_ids=["ms_standard"])
    stk = claims(stack.passports.delegate(parent.token, "agt_enforced").token)["stk"]
    assert (stk["intent_summary"], stk["intent_services"]) == ("Announce deploys", ["slack"])
    assert stk["checkpoint_interval"] == 300


def test_a_parent_that_cannot_be_used_cannot_be_delegated(stack: Any, served: Any) -> None:
    revoked, finished, ended = issue(stack), issue(stack, ttl_seconds=600), issue(stack, ttl_seconds=60)
    stack.passports.revoke(revoked.jti)
    stack.passports.checkout(finished.jti, services_used=["slack"], actions_count=1)
    served.advance(60_000)
    for token, status, code in (
        (revoked.token, 401, "PASSPORT_REVOKED"),
        (finished.token, 403, "FORBIDDEN"),
        (ended.token, 401, "PASSPORT_EXPIRED"),
    ):
        with pytest.raises(getstack.StackError) as refused:
            stack.passports.delegate(token, "agt_helper")
        assert (refused.value.status_code, refused.value.code) == (status, code)


def test_another_account_cannot_delegate_it(served: Any, stack: Any) -> None:
    body = {"parent_passport_token": issue(stack).token, "child_agent_id": "agt_foreign"}
    assert error(post(served, "/v1/passports/delegate", body, OTHER)) == (401, "UNAUTHORIZED")


def test_a_passport_delegates_itself_and_a_member_only_what_it_may_see(served: Any, stack: Any) -> None:
    parent, other = issue(stack), issue(stack, ttl_seconds=600)
    body = {"parent_passport_token": parent.token, "child_agent_id": "agt_helper"}
    made = post(served, "/v1/passports/delegate", body, parent.token)
    assert made.status_code == 201
    assert error(post(served, "/v1/passports/delegate", body, other.token)) == (403, "FORBIDDEN")
    assert error(post(served, "/v1/passports/delegate", body, made.json()["token"])) == (403, "FORBIDDEN")
    assert error(post(served, "/v1/passports/delegate", body, MEMBER)) == (404, "NOT_FOUND")


def test_a_blocked_agent_gets_no_delegated_passport(served: Any, stack: Any) -> None:
    from dataclasses import replace

    from stack_emu.domain.state import Agent

    store = served.world.store
    served.call(lambda: store.put(replace(store.get(Agent, "agt_helper"), passport_blocked=True)))
    with pytest.raises(getstack.ForbiddenError) as refused:
        stack.passports.delegate(issue(stack).token, "agt_helper")
    assert refused.value.code == "PASSPORT_BLOCKED"


def test_a_refreshed_child_stays_at_its_place_in_the_chain(stack: Any) -> None:
    parent = issue(stack)
    child = stack.passports.delegate(parent.token, "agt_helper")
    stk = claims(stack.passports.refresh(child.token).token)["stk"]
    assert (stk["parent_passport_id"], stk["delegation_depth"]) == (parent.jti, 1)


def test_delegation_is_a_tool(served: Any, stack: Any) -> None:
    parent = issue(stack)
    tools = McpTools(served.base_url, parent.token)
    child = tools("stack_delegate_passport", parent_passport_token=parent.token, child_agent_id="agt_helper")
    assert child["parent_passport_id"] == parent.jti
    refused, failed = tools.result(
        "stack_delegate_passport", parent_passport_token=parent.token, child_agent_id="agt_x"
    )
    assert failed
    assert refused["error"]["code"] == "NOT_FOUND"


def test_ids_do_not_depend_on_the_instant_that_tokens_carry(serve: Any) -> None:
    def run(text: str) -> list[str]:
        served = serve(text)
        with getstack.Stack(OPERATOR, base_url=served.base_url) as stack:
            parent = issue(stack)
            child = stack.passports.delegate(parent.token, "agt_helper")
            again = stack.passports.refresh(child.token)
            old = {"parent_token": parent.token, "child_agent_id": "agt_helper"}
            older = post(served, "/v1/passports/delegate", old).json()["jti"]
        return [parent.jti, child.jti, again.jti, older]

    assert run(WORLD) == run(WORLD.replace("2026-01-01T00:00:00Z", "2026-03-01T12:34:56Z"))


def test_many_agents_at_once_get_what_they_get_one_after_another(serve: Any) -> None:
    async def one(stack: Any, number: int) -> list[str]:
        agent = await stack.agents.register(f"bot-{number:02d}", accountability_mode="logged")
        helper = await stack.agents.register(f"help-{number:02d}", accountability_mode="logged")
        started = await stack.missions.start(agent_id=agent.id, mission={"intent_summary": "Work"})
        child = await stack.passports.delegate(started["passport"]["token"], helper.id)
        point = await stack.passports.checkpoint(child.jti, services_used=[], actions_count=1)
        renewed = await stack.passports.refresh(child.token)
        revoked = await stack.passports.revoke(started["passport"]["jti"])
        return [started["mission_id"], child.jti, point.checkpoint_id, renewed.jti, *revoked["jtis"]]

    def run(together: bool) -> tuple[Any, Any]:
        served = serve(REAL)

        async def all_of_them() -> Any:
            stack = getstack.AsyncStack(OPERATOR, base_url=served.base_url)
            try:
                if together:
                    return await asyncio.gather(*(one(stack, number) for number in range(12)))
                return [await one(stack, number) for number in range(12)]
            finally:
                await stack.close()

        ids = asyncio.run(all_of_them())
        return ids, sorted((act.lane, act.key, act.ordinal) for act in served.world.audit.acts())

    assert run(together=True) == run(together=False)
