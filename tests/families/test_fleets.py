"""Fleet policies: activating, revising, reading and revoking them, and their members."""

from __future__ import annotations

from typing import Any

import getstack
import httpx
import pytest

from stack_emu.domain import governance
from stack_emu.domain.provision import ProvisionError
from stack_emu.hosting import Hosting
from stack_emu.scenario.loader import inspect_text, loads
from tests.families.drivers import McpTools
from tests.families.fleet_world import MEMBER, OPERATOR, OTHER, POLICY, READER, REQUEST, WORLD, Enrollee, member_of
from tests.families.passport_world import bearer, error, get, post, row

NARROW = {
    "name": "Support",
    "access": [{"connection_id": "scon_github", "scopes": ["issues"]}],
    "limits": {"max_members": 2, "max_actions": 6, "max_concurrent_actions": 1, "max_duration_seconds": 900},
    "mission_limits": {"max_actions": 1},
}


@pytest.fixture
def served(serve: Any, home: Any) -> Any:
    return serve(WORLD)


@pytest.fixture
def stack(sdk: Any, served: Any) -> Any:
    return sdk(served.base_url, OPERATOR)


def refusal(call: Any, *arguments: Any, **named: Any) -> tuple[int, str, Any]:
    with pytest.raises(getstack.StackError) as refused:
        call(*arguments, **named)
    return refused.value.status_code, refused.value.code, refused.value


# --- activating ------------------------------------------------------------------------------------------------------


def test_an_activated_policy_is_kept_as_it_was_given_and_listed(stack: Any, served: Any) -> None:
    definition = {**NARROW, "team": {"lead": "ada"}, "limits": {"max_members": 2, "own": [1]}}
    made = stack.fleets.activate(definition, idempotency_key="a-1")
    assert made["id"].startswith("flp_")
    assert (made["revision"], made["status"], made["definition"]) == (1, "active", definition)
    read = stack.fleets.get(made["id"])
    assert read["definition"] == definition
    assert [one["revision"] for one in read["revisions"]] == [1]
    assert read["usage"] == {"members": 0, "active_missions": 0, "actions": 0, "actions_under_way": 0}
    assert [one["id"] for one in stack.fleets.list()] == [made["id"], "flp_github", POLICY]
    assert all(entry.unread == () for entry in served.world.journal.entries(surface="rest"))
    found = row(served, "fleet.activate")
    assert (found.outcome, found.metadata["fleet"], found.metadata["name"]) == ("success", made["id"], "Support")


def test_the_least_a_policy_needs_is_a_name(stack: Any, served: Any) -> None:
    made = stack.fleets.activate({"name": "P"}, idempotency_key="a-1", governance_approval_id="gvr_1")
    assert made["definition"] == {"name": "P"}
    status, code, _ = refusal(stack.fleets.activate, {}, idempotency_key="a-2")
    assert (status, code) == (400, "INVALID_REQUEST")
    assert error(post(served, "/v1/fleets", {"name": "P"})) == (400, "INVALID_REQUEST")


def test_an_idempotency_key_activates_one_policy(stack: Any) -> None:
    first = stack.fleets.activate(NARROW, idempotency_key="a-1")
    assert stack.fleets.activate(NARROW, idempotency_key="a-1") == first
    assert len(stack.fleets.list()) == 3
    status, code, _ = refusal(stack.fleets.activate, {"name": "Else"}, idempotency_key="a-1")
    assert (status, code) == (409, "IDEMPOTENCY_CONFLICT")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": ""}, "name"),
        ({"access": [{"scopes": ["repo"]}]}, "access"),
        ({"access": [{"connection_id": "scon_github", "scopes": "repo"}]}, "access"),
        ({"access": [{"connection_id": "scon_github"}, {"service": "github"}]}, "access"),
        ({"operations": [{"producer": 7}]}, "operations"),
        ({"limits": {"max_actions": 0}}, "limits"),
        ({"limits": {"max_members": "many"}}, "limits"),
        ({"mission_limits": {"max_actions_per_service": {"slack": -1}}}, "mission_limits"),
        ({"enrollment": {"modes": ["anybody"]}}, "enrollment"),
        ({"accountability_mode": "lax"}, "accountability_mode"),
    ],
)
def test_what_is_known_of_a_definition_is_checked(stack: Any, wrong: dict[str, Any], field: str) -> None:
    status, code, refused = refusal(stack.fleets.activate, {"name": "P", **wrong}, idempotency_key="a-1")
    assert (status, code) == (400, "INVALID_REQUEST")
    assert field in refused.details["fields"]
    assert len(stack.fleets.list()) == 2


def test_a_policy_allows_connections_of_the_account_only(stack: Any, served: Any) -> None:
    definition = {"name": "P", "access": [{"connection_id": "scon_none"}]}
    assert refusal(stack.fleets.activate, definition, idempotency_key="a-1")[:2] == (404, "NOT_FOUND")
    definition = {"name": "P", "access": [{"connection_id": "scon_slack"}]}
    assert error(post(served, "/v1/fleets", definition, MEMBER, **{"Idempotency-Key": "a"})) == (403, "FORBIDDEN")
    assert error(post(served, "/v1/fleets", definition, OTHER, **{"Idempotency-Key": "a"})) == (404, "NOT_FOUND")
    assert error(post(served, "/v1/fleets", definition, READER, **{"Idempotency-Key": "a"})) == (403, "FORBIDDEN")


@pytest.mark.parametrize(
    ("definition", "said"),
    [
        ("{access: []}", "name"),
        ("{name: P, access: [{connection_id: scon_foreign}]}", "no service of op_emu"),
        ("{name: P, access: [{connection_id: scon_mine}, {service: mine}]}", "named twice"),
        ("{name: P, limits: {max_actions: -1}}", "max_actions"),
    ],
)
def test_a_scenarios_policy_is_one_that_could_be_activated(serve: Any, definition: str, said: str) -> None:
    scenario = f"""
stack_emu: 1
operators: [{{id: op_emu}}, {{id: op_other, keys: [{{key: {OTHER}}}]}}]
services:
  - {{id: scon_mine, provider: mine}}
  - {{id: scon_foreign, provider: theirs, operator: op_other}}
fleets: [{{id: flp_one, definition: {definition}}}]
"""
    with pytest.raises(ProvisionError, match=said):
        Hosting().create("default", loads(scenario))


def test_a_scenario_names_connections_and_operators_there_are() -> None:
    text = "stack_emu: 1\nfleets: [{id: flp_one, operator: op_no, definition: {name: P, access: [{service: no}]}}]\n"
    problems = [str(problem) for problem in inspect_text(text, "fleets.yaml").problems]
    assert any("op_no" in problem for problem in problems)
    assert any("there is no service no" in problem for problem in problems)


# --- revising --------------------------------------------------------------------------------------------------------


def test_a_narrower_revision_takes_effect_at_once(stack: Any, served: Any) -> None:
    revised = stack.fleets.revise(POLICY, NARROW, expected_revision=1, idempotency_key="r-1")
    assert (revised["revision"], revised["definition"]) == (2, NARROW)
    read = stack.fleets.get(POLICY)
    assert [one["revision"] for one in read["revisions"]] == [1, 2]
    assert read["revisions"][0]["definition"]["team"] == {"lead": "ada"}
    assert stack.fleets.revise(POLICY, NARROW, expected_revision=1, idempotency_key="r-1") == revised
    assert row(served, "fleet.revise").metadata["revision"] == 2


def test_a_revision_is_made_to_the_present_one(stack: Any, served: Any) -> None:
    status, code, refused = refusal(stack.fleets.revise, POLICY, NARROW, expected_revision=7, idempotency_key="r-1")
    assert (status, code) == (412, "PRECONDITION_FAILED")
    assert refused.details["current_revision"] == 1
    headers = {**bearer(OPERATOR), "Idempotency-Key": "r-2"}
    without = httpx.put(f"{served.base_url}/v1/fleets/{POLICY}", json=NARROW, headers=headers)
    assert error(without) == (428, "PRECONDITION_REQUIRED")
    assert "If-Match" in without.json()["error"]["message"]
    quoted = httpx.put(f"{served.base_url}/v1/fleets/{POLICY}", json=NARROW, headers={**headers, "If-Match": '"1"'})
    assert quoted.json()["revision"] == 2


WIDER = [
    {"access": [{"connection_id": "scon_stripe"}]},
    {"access": [{"connection_id": "scon_github", "scopes": ["issues", "repo"]}]},
    {"access": [{"connection_id": "scon_github"}]},
    {"access": [{"connection_id": "scon_slack", "scopes": ["chat:write"], "allow_data_from": ["github"]}]},
    {
        "access": [
            {"connection_id": "scon_slack", "scopes": ["chat:write"], "intents": ["slack.post_to_channel"]},
        ]
    },
    {"operations": [{"producer": "skill", "target_id": "skl_other", "action": "invoke"}]},
    {"limits": {"max_members": 26, "max_actions": 6, "max_concurrent_actions": 2, "max_duration_seconds": 3600}},
    {"limits": {"max_members": 25}},
    {"mission_limits": {}},
    {"accountability_mode": "standard"},
]


@pytest.mark.parametrize("change", WIDER)
def test_a_wider_revision_waits_for_a_human(stack: Any, served: Any, change: dict[str, Any]) -> None:
    definition = {**stack.fleets.get(POLICY)["definition"], **change}
    status, code, refused = refusal(stack.fleets.revise, POLICY, definition, expected_revision=1, idempotency_key="r-1")
    assert (status, code) == (403, "GOVERNANCE_APPROVAL_REQUIRED")
    assert stack.fleets.get(POLICY)["revision"] == 1
    approval = refused.details["approval_id"]
    served.call(lambda: governance.decide(served.world, approval, True))
    given = {"expected_revision": 1, "idempotency_key": "r-1", "governance_approval_id": approval}
    other = {**definition, "name": "Something else"}
    assert refusal(stack.fleets.revise, POLICY, other, **given)[1] == "GOVERNANCE_APPROVAL_REQUIRED"
    assert stack.fleets.revise(POLICY, definition, **given)["revision"] == 2
    assert stack.fleets.revise(POLICY, definition, **given)["revision"] == 2, "a retry needs no second approval"


# --- reading ---------------------------------------------------------------------------------------------------------


def test_lists_are_arrays_and_pages_are_objects(stack: Any) -> None:
    assert [one["id"] for one in stack.fleets.list()] == ["flp_github", POLICY]
    page = stack.fleets.list_page(page=2, limit=1)
    assert ([one["id"] for one in page["items"]], page["page"], page["limit"], page["total"]) == ([POLICY], 2, 1, 2)
    for name in ("one", "two", "three"):
        Enrollee(stack, f"worker-{name}").enroll()
    assert [one["name"] for one in stack.fleets.members(POLICY)] == ["worker-one", "worker-two", "worker-three"]
    page = stack.fleets.members_page(POLICY, page=2, limit=2)
    assert ([one["name"] for one in page["items"]], page["total"]) == (["worker-three"], 3)
    assert stack.fleets.members("flp_github") == []


def test_a_key_sees_the_policies_within_its_connections(served: Any) -> None:
    assert [one["id"] for one in get(served, "/v1/fleets", MEMBER).json()] == ["flp_github"]
    assert error(get(served, f"/v1/fleets/{POLICY}", MEMBER)) == (404, "NOT_FOUND")
    assert [one["id"] for one in get(served, "/v1/fleets", OTHER).json()] == ["flp_other"]
    assert len(get(served, "/v1/fleets", READER).json()) == 2


@pytest.mark.parametrize("policy", [POLICY, "flp_none"])
def test_another_accounts_policy_does_not_exist(served: Any, policy: str) -> None:
    for path in (f"/v1/fleets/{policy}", f"/v1/fleets/{policy}/members"):
        assert error(get(served, path, OTHER)) == (404, "NOT_FOUND")
    for path in ("revoke", "enrollment-challenges", "workload/enrollment-challenges", "members/agt_plain/revoke"):
        assert error(post(served, f"/v1/fleets/{policy}/{path}", {}, OTHER)) == (404, "NOT_FOUND")
    assert error(post(served, "/v1/fleets/session", {"fleet_policy_id": policy}, OTHER)) == (404, "NOT_FOUND")


def test_a_membership_is_null_for_an_agent_that_never_enrolled(sdk: Any, stack: Any, served: Any) -> None:
    assert stack.fleets.membership("agt_plain") is None
    assert refusal(stack.fleets.membership, "agt_none")[:2] == (404, "NOT_FOUND")
    assert refusal(stack.fleets.membership, "agt_foreign")[:2] == (404, "NOT_FOUND")
    agent_id, agent = member_of(sdk, served)
    for client in (stack, agent):
        found = client.fleets.membership(agent_id)
        assert (found["fleet_policy_id"], found["status"], found["enrollment"]) == (POLICY, "active", "operator")
        assert (found["policy_name"], found["active_missions"]) == ("Support", [])
    assert refusal(agent.fleets.membership, "agt_plain")[:2] == (404, "NOT_FOUND")
    assert [one["id"] for one in agent.fleets.list()] == [POLICY], "a member sees its own policy only"
    assert agent.fleets.get(POLICY)["usage"]["members"] == 1
    assert refusal(agent.fleets.get, "flp_github")[:2] == (404, "NOT_FOUND")
    assert refusal(agent.fleets.members, POLICY)[:2] == (403, "FORBIDDEN")


# --- taking out and revoking -----------------------------------------------------------------------------------------


def test_a_member_that_is_taken_out_ends_with_all_it_has(sdk: Any, stack: Any, served: Any) -> None:
    agent_id, agent = member_of(sdk, served)
    started = agent.missions.start(REQUEST)
    done = stack.fleets.revoke_member(POLICY, agent_id)
    assert (done["status"], done["already_revoked"]) == ("revoked", False)
    assert done["revoked_missions"] == [started["mission_id"]]
    assert done["revoked_passports"] == [started["passport"]["jti"]]
    assert stack.passports.verify(started["passport"]["token"])["valid"] is False
    assert stack.missions.get(started["mission_id"])["status"] == "revoked"
    assert stack.fleets.membership(agent_id)["status"] == "revoked"
    status, code, refused = refusal(agent.missions.start, {**REQUEST, "idempotency_key": "next"})
    assert (status, code) == (403, "FORBIDDEN")
    assert "revoked" in str(refused)
    plain = {"agent_id": agent_id, "mission": {"intent_summary": "x"}}
    assert refusal(stack.missions.start, **plain)[1] == "PASSPORT_BLOCKED"
    assert stack.fleets.revoke_member(POLICY, agent_id)["already_revoked"] is True
    assert stack.fleets.get(POLICY)["usage"]["members"] == 0
    actions = [(found.action, found.agent_id) for found in served.rows()]
    first = actions.index(("fleet.member.revoke", agent_id))
    assert actions[first : first + 3] == [
        ("fleet.member.revoke", agent_id),
        ("mission.revoke", agent_id),
        ("passport.revoke", agent_id),
    ]


def test_who_is_no_member_cannot_be_taken_out(stack: Any) -> None:
    for policy, agent in ((POLICY, "agt_plain"), (POLICY, "agt_none"), (POLICY, "agt_foreign"), ("flp_no", "agt_x")):
        assert refusal(stack.fleets.revoke_member, policy, agent)[:2] == (404, "NOT_FOUND")


def test_a_revoked_policy_takes_every_member_out_and_lets_nobody_in(sdk: Any, stack: Any, served: Any) -> None:
    members = [member_of(sdk, served, f"worker-{name}") for name in ("one", "two")]
    missions = [agent.missions.start(REQUEST) for _, agent in members]
    begin = len(served.rows())
    done = stack.fleets.revoke(POLICY)
    assert (done["status"], done["already_revoked"]) == ("revoked", False)
    assert done["revoked_members"] == sorted(agent_id for agent_id, _ in members)
    assert sorted(done["revoked_missions"]) == sorted(mission["mission_id"] for mission in missions)
    assert len(done["revoked_passports"]) == 2
    for mission in missions:
        assert stack.passports.verify(mission["passport"]["token"])["valid"] is False
        assert refusal(stack.missions.renew, mission["mission_id"])[:2] == (403, "MISSION_ENDED")
    for call in (stack.fleets.enrollment_challenge, stack.fleets.workload_enrollment_challenge, stack.fleets.session):
        assert refusal(call, POLICY)[:2] == (403, "FLEET_REVOKED")
    later = {**REQUEST, "idempotency_key": "later"}
    assert refusal(members[0][1].missions.start, later)[:2] == (403, "FLEET_REVOKED")
    assert refusal(stack.fleets.revise, POLICY, NARROW, expected_revision=1, idempotency_key="r")[1] == "FLEET_REVOKED"
    assert stack.fleets.revoke(POLICY)["already_revoked"] is True
    assert [found.action for found in served.rows()[begin : begin + 7]] == [
        "fleet.revoke",
        *["fleet.member.revoke", "mission.revoke", "passport.revoke"] * 2,
    ]
    assert served.rows()[begin].metadata["revoked_members"] == 2


def test_policies_are_tools(served: Any) -> None:
    tools = McpTools(served.base_url, OPERATOR)
    made = tools("stack_activate_fleet", name="By tool", limits={"own": 1}, idempotency_key="t-1")
    assert made["definition"] == {"name": "By tool", "limits": {"own": 1}}
    assert [one["id"] for one in tools("stack_list_fleets")] == [made["id"], "flp_github", POLICY]
    revised = tools(
        "stack_revise_fleet", policy_id=made["id"], name="Again", expected_revision=1, idempotency_key="t-2"
    )
    assert tools("stack_get_fleet", policy_id=made["id"])["revision"] == revised["revision"] == 2
    assert tools("stack_list_fleet_members", policy_id=POLICY, page=1)["items"] == []
    assert tools("stack_get_fleet_membership", agent_id="agt_plain") is None
    assert tools("stack_revoke_fleet", policy_id=made["id"])["status"] == "revoked"
    refused, failed = tools.result("stack_revoke_fleet_member", policy_id=POLICY, agent_id="agt_plain")
    assert failed
    assert refused["error"]["code"] == "NOT_FOUND"


def test_a_partners_grant_reaches_the_fleets_made_with_it_and_no_others(sdk: Any, serve: Any, home: Any) -> None:
    world = WORLD.replace("- id: op_emu\n", "- id: op_emu\n    email: ops@acme.test\n", 1)
    served = serve(world.replace("{id: op_other, ", "{id: op_other, partner: true, ", 1))
    grant = sdk(served.base_url, OTHER).partner_connect.connect("ops@acme.test", scopes=["agents:read", "agents:write"])
    consent = post(served, f"/v1/connect/grants/{grant['grant_id']}/consent", {"approve": True})
    assert consent.status_code == 200
    inside, operator = sdk(served.base_url, grant["grant_token"]), sdk(served.base_url, OPERATOR)
    mine = inside.fleets.activate({"name": "Made with it"}, idempotency_key="a")
    assert [one["id"] for one in inside.fleets.list()] == [mine["id"]]
    made = Enrollee(inside, policy=mine["id"]).enroll()
    assert [one.id for one in inside.agents.list()] == [made["agent_id"]]
    assert refusal(inside.fleets.get, POLICY)[:2] == (404, "NOT_FOUND")
    assert refusal(inside.fleets.membership, "agt_plain")[:2] == (404, "NOT_FOUND")
    assert operator.fleets.get(mine["id"])["usage"]["members"] == 1
