"""Missions of a fleet: within the policy's ceilings, with exactly the access asked for, under shared limits."""

from __future__ import annotations

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from typing import Any

import getstack
import pytest

from stack_emu.domain.canonical_audit import canonical_log
from tests.families.drivers import McpTools
from tests.families.fleet_world import BODY, OPERATOR, OTHER, POLICY, POST_MESSAGE, REQUEST, WORLD, member_of
from tests.families.passport_world import claims, error, get, post, row
from tests.families.test_fleets import refusal


@pytest.fixture
def served(serve: Any, home: Any) -> Any:
    return serve(WORLD)


@pytest.fixture
def stack(sdk: Any, served: Any) -> Any:
    return sdk(served.base_url, OPERATOR)


@pytest.fixture
def agent(sdk: Any, served: Any) -> Any:
    return member_of(sdk, served)[1]


def say(agent: Any, started: Any, channel: str = "C123", **options: Any) -> Any:
    token = started["passport"]["token"]
    body = {"channel": channel, "text": "Support update"}
    return agent.proxy.request("slack", POST_MESSAGE, "POST", body=body, passport_token=token, **options)


def documented_example() -> Any:
    """The fleet example of the SDK's own description, as it is printed there."""
    text = metadata.metadata("getstack").get_payload()
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "fleet_mission" in block]
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    return namespace["run_fleet_mission_example"]


@pytest.mark.parametrize("clock", ["virtual", "real"])
def test_the_sdks_own_example_runs_as_printed(sdk: Any, serve: Any, home: Any, clock: str) -> None:
    served = serve(WORLD if clock == "virtual" else "stack_emu: 1\n" + BODY)
    _, agent = member_of(sdk, served)
    done = documented_example()(agent, REQUEST)
    assert (done["completed"], done["revoked"]) == (True, True)
    assert agent.missions.get(done["mission_id"])["fleet"]["usage"]["actions"] == 1
    from stack_emu.upstreams.slack import messages

    said = served.call(lambda: messages(served.world, "C123"))
    assert [one["text"] for one in said] == ["Support update"]


def test_a_passport_has_exactly_the_access_that_was_asked_for(agent: Any, served: Any) -> None:
    started = agent.missions.start(REQUEST)
    signed = claims(started["passport"]["token"])["stk"]
    (service,) = signed["services"]
    assert (service["connection_id"], service["scopes"]) == ("scon_slack", ["chat:write"])
    assert service["constraints"] == [{"path": "body.channel", "op": "eq", "value": "C123"}]
    assert (service["intents"], service["allow_data_from"]) == (["slack.post_to_channel"], [])
    assert (signed["intent_summary"], signed["mission_ids"]) == ("Answer ticket 1", [started["mission_id"]])
    assert say(agent, started).status == 200
    assert refusal(say, agent, started, "OTHER")[:2] == (403, "FORBIDDEN")
    read = agent.missions.get(started["mission_id"])
    assert read["fleet"]["fleet_policy_id"] == POLICY
    assert (read["fleet"]["revision"], read["fleet"]["limits"]) == (1, REQUEST["limits"])
    assert read["fleet"]["operations"] == REQUEST["requested_operations"]
    assert read["fleet"]["usage"] == {"actions": 1, "actions_under_way": 0, "actions_per_service": {"slack": 1}}
    assert row(served, "mission.start").metadata["fleet"] == POLICY


def test_an_idempotency_key_starts_one_mission_of_a_member(sdk: Any, agent: Any, served: Any) -> None:
    first = agent.missions.start(REQUEST)
    assert agent.missions.start(REQUEST) == first
    status, code, _ = refusal(agent.missions.start, {**REQUEST, "intent_summary": "Something else"})
    assert (status, code) == (409, "CONFLICT")
    other = member_of(sdk, served, "worker-two")[1].missions.start(REQUEST)
    assert other["mission_id"] != first["mission_id"], "members choose their keys for themselves"


BEYOND: list[tuple[dict[str, Any], str]] = [
    ({"requested_access": [{"connection_id": "scon_stripe"}]}, "scon_slack, scon_github"),
    ({"requested_access": [{"connection_id": "scon_github", "scopes": ["repo"]}]}, "issues"),
    ({"requested_access": [{"connection_id": "scon_slack", "scopes": ["chat:write"]}]}, "slack.post_to_channel"),
    ({"requested_access": [{"connection_id": "scon_slack", "intents": ["slack.read"]}]}, "slack.post_to_channel"),
    (
        {"requested_access": [{**REQUEST["requested_access"][0], "allow_data_from": ["stripe"]}]},
        "github",
    ),
    ({"requested_operations": [{"producer": "skill", "target_id": "skl_other", "action": "invoke"}]}, "skl_triage"),
    ({"limits": {"max_actions": 5}}, "4"),
    ({"limits": {"max_concurrent_actions": 3}}, "2"),
    ({"limits": {"max_duration_seconds": 3601}}, "3600"),
]


@pytest.mark.parametrize(("change", "allowed"), BEYOND)
def test_more_than_the_policy_allows_is_refused_naming_the_ceiling(
    agent: Any, change: dict[str, Any], allowed: str
) -> None:
    status, code, refused = refusal(agent.missions.start, {**REQUEST, **change})
    assert (status, code) == (400, "SCOPE_ESCALATION")
    assert POLICY in str(refused)
    assert allowed in refused.details["allowed"]
    opened = {**REQUEST, **change}
    assert refusal(agent.missions.open, opened.pop("intent_summary"), **opened)[1] == "SCOPE_ESCALATION"
    assert agent.missions.list()["items"] == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"limits": {"max_actions": 0}}, "limits"),
        ({"requested_access": [{"scopes": 7}]}, "requested_access"),
        ({"intent_summary": None}, "intent_summary"),
        ({"mission": {"intent_summary": "x"}}, "mission"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_naming_the_field(
    agent: Any, change: dict[str, Any], field: str
) -> None:
    status, code, refused = refusal(agent.missions.start, {**REQUEST, **change})
    assert (status, code) == (400, "INVALID_REQUEST")
    assert field in refused.details["fields"]


def test_a_policy_allows_what_it_names_and_nothing_else(sdk: Any, stack: Any, served: Any) -> None:
    bare = stack.fleets.activate({"name": "Bare"}, idempotency_key="b")["id"]
    agent = member_of(sdk, served, policy=bare)[1]
    request = {"fleet_policy_id": bare, "idempotency_key": "k", "intent_summary": "Think"}
    assert claims(agent.missions.start(request)["passport"]["token"])["stk"]["services"] == []
    request["idempotency_key"] = "more"
    asked = {**request, "requested_access": [{"connection_id": "scon_github"}]}
    assert refusal(agent.missions.start, asked)[1] == "SCOPE_ESCALATION"
    asked = {**request, "requested_operations": [{"producer": "skill"}]}
    assert refusal(agent.missions.start, asked)[1] == "SCOPE_ESCALATION"


def test_only_members_start_missions(sdk: Any, stack: Any, agent: Any, served: Any) -> None:
    status, code, refused = refusal(agent.missions.start, {**REQUEST, "fleet_policy_id": "flp_github"})
    assert (status, code) == (403, "FORBIDDEN")
    assert "enroll" in str(refused)
    for policy in ("flp_none", "flp_other"):
        assert refusal(agent.missions.start, {**REQUEST, "fleet_policy_id": policy})[:2] == (404, "NOT_FOUND")
    assert refusal(stack.missions.start, REQUEST)[:2] == (400, "INVALID_REQUEST")
    assert error(post(served, "/v1/missions/start", {**REQUEST, "agent_id": "agt_plain"})) == (403, "FORBIDDEN")
    assert error(post(served, "/v1/missions/start", {**REQUEST, "agent_id": "agt_foreign"}, OTHER))[0] == 404
    (member,) = stack.fleets.members(POLICY)
    started = post(served, "/v1/missions/start", {**REQUEST, "agent_id": member["agent_id"]}).json()
    assert started["agent_id"] == member["agent_id"], "an account may start one for a member"


def test_a_mission_that_is_opened_gets_its_access_with_its_passports(agent: Any, stack: Any) -> None:
    asked = {name: value for name, value in REQUEST.items() if name != "intent_summary"}
    opened = agent.missions.open("Answer ticket 2", **asked)
    assert agent.missions.open("Answer ticket 2", **asked)["mission_id"] == opened["mission_id"]
    issued = agent.passports.issue(
        agent_id=opened["agent_id"], mission_ids=[opened["mission_id"]], intent="Answer", services=["slack"]
    )
    (service,) = claims(issued.token)["stk"]["services"]
    assert service["constraints"] == [{"path": "body.channel", "op": "eq", "value": "C123"}]
    renewed = agent.missions.renew(opened["mission_id"])
    assert claims(renewed["passport"]["token"])["stk"]["services"] == claims(issued.token)["stk"]["services"]
    beyond = {"agent_id": opened["agent_id"], "mission_ids": [opened["mission_id"]]}
    asked = {"intent": "More", "services": ["github"], "scopes": [{"service_connection_id": "scon_github"}]}
    assert refusal(agent.passports.issue, **beyond, **asked)[1] == "SCOPE_ESCALATION"
    assert agent.missions.get(opened["mission_id"])["fleet"]["limits"] == REQUEST["limits"]


def test_a_missions_own_limits_hold_and_outlast_renewal(agent: Any) -> None:
    started = agent.missions.start(REQUEST)
    say(agent, started)
    before = agent.missions.get(started["mission_id"])["fleet"]
    renewed = agent.missions.renew(started["mission_id"])
    assert agent.missions.get(started["mission_id"])["fleet"] == before
    say(agent, renewed)
    status, code, _ = refusal(say, agent, renewed)
    assert (status, code) == (403, "MISSION_LIMIT_EXCEEDED")
    assert agent.missions.get(started["mission_id"])["fleet"]["usage"]["actions"] == 2


def test_limits_left_out_are_the_policys(agent: Any) -> None:
    started = agent.missions.start({name: value for name, value in REQUEST.items() if name != "limits"})
    limits = agent.missions.get(started["mission_id"])["fleet"]["limits"]
    assert limits == {"max_actions": 4, "max_concurrent_actions": 2, "max_duration_seconds": 3600}
    assert started["expires_at"] == "2026-01-01T00:15:00.000Z"
    short = {**REQUEST, "idempotency_key": "short", "limits": {"max_duration_seconds": 120}}
    assert agent.missions.start(short)["expires_at"] == "2026-01-01T00:02:00.000Z"


def test_the_missions_of_a_fleet_share_its_limits(sdk: Any, stack: Any, served: Any) -> None:
    workers = [member_of(sdk, served, f"worker-{name}")[1] for name in ("one", "two", "three", "four")]
    missions = [worker.missions.start(REQUEST) for worker in workers]
    for worker, started in list(zip(workers, missions, strict=True))[:3]:
        say(worker, started)
        say(worker, started)
    assert stack.fleets.get(POLICY)["usage"]["actions"] == 6
    status, code, refused = refusal(say, workers[3], missions[3])
    assert (status, code) == (403, "FLEET_LIMIT_EXCEEDED")
    assert (refused.details["limit"], refused.details["used"]) == (6, 6)
    assert row(served, "credential.proxy").error_code == "FLEET_LIMIT_EXCEEDED"


def test_a_fleet_does_so_much_at_once(sdk: Any, stack: Any, served: Any) -> None:
    """Two calls of two members hang at the upstream; the third member's is refused until one of them has ended."""
    workers = [member_of(sdk, served, f"worker-{name}")[1] for name in ("one", "two", "three")]
    asked = {**REQUEST, "requested_access": [{"connection_id": "scon_github"}]}
    tokens = [worker.missions.start(asked)["passport"]["token"] for worker in workers]

    def call(token: str, path: str) -> Any:
        payload = {"service": "github", "url": f"https://api.github.com{path}", "passport_token": token}
        return post(served, "/v1/proxy", payload)

    hanging = [threading.Thread(target=call, args=(token, "/slow")) for token in tokens[:2]]
    for thread in hanging:
        thread.start()
    deadline = time.monotonic() + 10
    while stack.fleets.get(POLICY)["usage"]["actions_under_way"] < 2:
        assert time.monotonic() < deadline
    refused = call(tokens[2], "/user")
    assert error(refused) == (403, "FLEET_LIMIT_EXCEEDED")
    assert refused.json()["error"]["details"]["what"] == "actions at once"
    for thread in hanging:
        thread.join(20)
    assert call(tokens[2], "/user").json()["body"] == {"login": "octo"}
    usage = stack.fleets.get(POLICY)["usage"]
    assert (usage["actions"], usage["actions_under_way"]) == (3, 0)


def test_a_fleet_may_limit_its_missions_at_once(sdk: Any, stack: Any, served: Any) -> None:
    policy = stack.fleets.activate({"name": "One", "limits": {"max_active_missions": 1}}, idempotency_key="o")["id"]
    agent = member_of(sdk, served, policy=policy)[1]
    request = {"fleet_policy_id": policy, "intent_summary": "Think"}
    first = agent.missions.start({**request, "idempotency_key": "1"})
    assert refusal(agent.missions.start, {**request, "idempotency_key": "2"})[1] == "FLEET_LIMIT_EXCEEDED"
    agent.missions.complete(first["mission_id"])
    assert agent.missions.start({**request, "idempotency_key": "2"})["status"] == "active"


def test_a_running_mission_keeps_what_it_was_started_with(agent: Any, stack: Any) -> None:
    started = agent.missions.start(REQUEST)
    definition = {**stack.fleets.get(POLICY)["definition"], "access": [], "operations": []}
    stack.fleets.revise(POLICY, definition, expected_revision=1, idempotency_key="r")
    assert say(agent, agent.missions.renew(started["mission_id"])).status == 200
    assert agent.missions.get(started["mission_id"])["fleet"]["revision"] == 1
    later = {**REQUEST, "idempotency_key": "later"}
    assert refusal(agent.missions.start, later)[1] == "SCOPE_ESCALATION"


def test_a_disconnected_service_is_no_access_any_more(agent: Any, stack: Any) -> None:
    started = agent.missions.start(REQUEST)
    stack.services.disconnect("scon_slack")
    assert refusal(say, agent, started)[:2] == (401, "PASSPORT_REVOKED")
    renewed = agent.missions.renew(started["mission_id"])
    assert refusal(say, agent, renewed)[:2] == (403, "FORBIDDEN")
    assert refusal(agent.missions.start, {**REQUEST, "idempotency_key": "later"})[:2] == (404, "NOT_FOUND")


def test_another_account_sees_nothing_of_a_fleets_mission(agent: Any, served: Any) -> None:
    started = agent.missions.start(REQUEST)
    assert error(get(served, f"/v1/missions/{started['mission_id']}", OTHER)) == (404, "NOT_FOUND")
    shown = get(served, f"/v1/missions/{started['mission_id']}", "sk_live_emu_dev")
    assert "scon_slack" not in shown.text


def test_a_fleets_mission_is_started_by_a_tool(served: Any, stack: Any, agent: Any) -> None:
    (member,) = stack.fleets.members(POLICY)
    tools = McpTools(served.base_url, OPERATOR)
    started = tools("stack_start_mission", agent_id=member["agent_id"], **REQUEST)
    assert tools("stack_get_mission", mission_id=started["mission_id"])["fleet"]["limits"] == REQUEST["limits"]


def test_the_operator_form_is_as_it_was(stack: Any) -> None:
    started = stack.missions.start(agent_id="agt_plain", mission={"intent_summary": "Triage"})
    assert stack.missions.get(started["mission_id"])["fleet"] is None
    with pytest.raises(getstack.NotFoundError):
        stack.missions.start(agent_id="agt_none", mission={"intent_summary": "x"})


def work(base_url: str, number: int) -> None:
    """What a member does from its enrollment to the end of its mission, over connections of its own."""
    operator = getstack.Stack(OPERATOR, base_url=base_url)
    made = operator.fleets.enroll_workload_local("flp_github", name=f"worker-{number}", idempotency_key=f"k{number}")
    operator.close()
    agent = getstack.Stack(agent_id=made["agent_id"], base_url=base_url)
    request = {"fleet_policy_id": "flp_github", "idempotency_key": "job", "intent_summary": f"Review {number}"}
    started = agent.missions.start(request)
    token = started["passport"]["token"]
    reply = agent.proxy.request("github", "https://api.github.com/user", "GET", passport_token=token)
    assert reply.body == {"login": "octo"}
    renewed = agent.missions.renew(started["mission_id"])
    agent.proxy.request("github", "https://api.github.com/user", "GET", passport_token=renewed["passport"]["token"])
    agent.missions.complete(started["mission_id"], output={"done": True})
    agent.close()


def test_members_at_once_leave_the_log_of_members_in_turn(serve: Any, home: Any) -> None:
    logs = []
    for at_once in (8, 1):
        served = serve(WORLD)
        with ThreadPoolExecutor(at_once) as pool:
            for future in [pool.submit(work, served.base_url, number) for number in range(8)]:
                future.result(60)
        logs.append(served.call(lambda served=served: canonical_log(served.world)))
    assert logs[0] == logs[1]
    assert logs[0].count(b'"action":"credential.proxy"') == 16
