"""Missions: open, start, renew, complete, revoke, get, list, activity; how they end, and what ends with them."""

from __future__ import annotations

import asyncio
from typing import Any

import getstack
import pytest
from getstack.errors import MissionEndedError

from tests.families.drivers import McpTools
from tests.families.passport_world import (
    DOCS,
    MEMBER,
    OPERATOR,
    OTHER,
    READER,
    REAL,
    WORLD,
    actions,
    claims,
    error,
    get,
    issue,
    post,
    row,
)


@pytest.fixture
def served(serve: Any) -> Any:
    return serve(WORLD)


@pytest.fixture
def stack(sdk: Any, served: Any) -> Any:
    return sdk(served.base_url, OPERATOR)


def test_open_gives_a_mission_that_lives_fifteen_minutes_unless_asked_otherwise(stack: Any, served: Any) -> None:
    opened = stack.missions.open("Report", agent_id="agt_logged", intent_services=["slack"])
    assert opened["mission_id"].startswith("ms_")
    assert opened["claim_id"].startswith("pc_")
    assert opened["expires_at"] == "2026-01-01T00:15:00.000Z"
    longest = stack.missions.open("Report", expires_in_seconds=86_400)
    assert longest["expires_at"] == "2026-01-02T00:00:00.000Z"
    found = row(served, "mission.open")
    assert (found.outcome, found.layer) == ("success", "vault")
    first = served.rows()[0]
    assert (first.agent_id, first.metadata["mission"], first.metadata["intent"]) == (
        "agt_logged",
        opened["mission_id"],
        "Report",
    )


def test_open_keeps_everything_it_was_given(stack: Any, served: Any) -> None:
    principal = stack.authority.create_principal(principal_kind="individual", idempotency_key="principal")
    terms = {"principal_id": principal["id"], "agent_id": "agt_logged"}
    binding = stack.authority.create_binding(**terms, idempotency_key="binding")["id"]
    stack.authority.activate_binding(binding, idempotency_key="activate")
    opened = stack.missions.open(
        "Report",
        intent_services=["slack"],
        expected_counterparties=["acme"],
        baseline_profile={"calls": 3},
        expected_output_shape={"type": "object"},
        max_actions=5,
        max_dropoff_bytes=100,
        coverage_cap_cents=200,
        max_duration_seconds=600,
        max_concurrent_intents=2,
        max_actions_per_service={"slack": 3},
        cap_behavior={"max_actions": "block"},
        expires_in_seconds=1200,
        parent_passport_services=["slack"],
        requested_access=[{"connection_id": "scon_slack", "scopes": ["chat:write"]}],
        requested_operations=[{"producer": "slack", "target_id": "x", "action": "post"}],
        limits={"max_concurrent_actions": 1},
        authority_binding_ids=[binding],
    )
    mission = stack.missions.get(opened["mission_id"])
    assert mission["limits"] == {
        "max_concurrent_actions": 1,
        "max_actions": 5,
        "max_dropoff_bytes": 100,
        "coverage_cap_cents": 200,
        "max_duration_seconds": 600,
        "max_concurrent_intents": 2,
        "max_actions_per_service": {"slack": 3},
    }
    assert mission["usage"] == {"actions": 0, "actions_per_service": {}}
    assert mission["details"]["cap_behavior"] == {"max_actions": "block"}
    assert mission["details"]["authority_binding_ids"] == [binding]
    assert mission["details"]["requested_access"][0]["connection_id"] == "scon_slack"
    assert mission["intent_services"] == ["slack"]
    assert mission["expires_at"] == "2026-01-01T00:10:00.000Z"
    assert (mission["status"], mission["terminal_state"], mission["agent_id"]) == ("active", None, None)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "intent_summary"),
        ({"intent_summary": ""}, "intent_summary"),
        ({"intent_summary": "x", "expires_in_seconds": 86_401}, "expires_in_seconds"),
        ({"intent_summary": "x", "expires_in_seconds": 0}, "expires_in_seconds"),
        ({"intent_summary": "x", "max_actions": 0}, "max_actions"),
    ],
)
def test_open_refuses_terms_that_cannot_be(served: Any, body: Any, field: str) -> None:
    refused = post(served, "/v1/missions", body)
    assert error(refused) == (400, "INVALID_REQUEST")
    assert field in refused.json()["error"]["details"]["fields"]


def test_open_refuses_unknown_and_foreign_agents(served: Any) -> None:
    for agent in ("agt_none", "agt_foreign"):
        assert error(post(served, "/v1/missions", {"intent_summary": "x", "agent_id": agent})) == (404, "NOT_FOUND")


def test_the_same_idempotency_key_and_body_open_one_mission(stack: Any) -> None:
    first = stack.missions.open("Report", agent_id="agt_logged", idempotency_key="k1")
    assert stack.missions.open("Report", agent_id="agt_logged", idempotency_key="k1") == first
    assert stack.missions.list()["total"] == 4
    with pytest.raises(getstack.StackError) as refused:
        stack.missions.open("Something else", agent_id="agt_logged", idempotency_key="k1")
    assert (refused.value.status_code, refused.value.code) == (409, "CONFLICT")


def test_an_idempotency_key_belongs_to_its_account(served: Any) -> None:
    body = {"intent_summary": "x", "idempotency_key": "k"}
    mine, theirs = post(served, "/v1/missions", body), post(served, "/v1/missions", body, OTHER)
    assert (mine.status_code, theirs.status_code) == (201, 201)
    assert mine.json()["mission_id"] != theirs.json()["mission_id"]


def test_start_opens_a_mission_and_issues_its_passport(stack: Any, served: Any) -> None:
    started = stack.missions.start(
        agent_id="agt_enforced",
        mission={"intent_summary": "Triage", "intent_services": ["slack"], "expires_in_seconds": 3600},
        passport={"ttl_seconds": 600, "checkpoint_interval_seconds": 120},
    )
    assert started["mission_id"].startswith("ms_")
    assert started["claim_id"].startswith("pc_")
    assert started["expires_at"] == "2026-01-01T01:00:00.000Z"
    passport = started["passport"]
    assert passport["accountability"] == "enforced"
    assert passport["expires_at"] == "2026-01-01T00:02:00.000Z"
    stk = claims(passport["token"])["stk"]
    assert stk["mission_ids"] == [started["mission_id"]]
    assert (stk["intent_summary"], stk["intent_services"], stk["checkpoint_interval"]) == ("Triage", ["slack"], 120)
    assert actions(served) == [("mission.start", "success"), ("passport.issue", "success")]
    assert {found.passport_jti for found in served.rows()} == {passport["jti"]}
    assert {found.metadata["mission"] for found in served.rows()} == {started["mission_id"]}


def test_start_leaves_no_mission_behind_when_the_passport_is_refused(stack: Any, served: Any) -> None:
    with pytest.raises(getstack.StackError) as refused:
        stack.missions.start(
            agent_id="agt_logged",
            mission={"intent_summary": "Triage"},
            passport={"scopes": [{"service_connection_id": "scon_slack", "scopes": ["files:write"]}]},
        )
    assert (refused.value.status_code, refused.value.code) == (400, "SCOPE_ESCALATION")
    assert stack.missions.list()["total"] == 3
    assert actions(served) == [("mission.start", "blocked")]
    assert served.rows()[0].agent_id == "agt_logged"


def test_start_with_an_idempotency_key_answers_the_same_again(stack: Any) -> None:
    form = {"agent_id": "agt_logged", "mission": {"intent_summary": "Triage", "idempotency_key": "k"}}
    first = stack.missions.start(**form)
    again = stack.missions.start(**form)
    assert again == first
    with pytest.raises(getstack.StackError) as refused:
        stack.missions.start(**form, passport={"ttl_seconds": 60})
    assert refused.value.status_code == 409


def test_start_refuses_incomplete_forms(served: Any) -> None:
    for body in ({"mission": {"intent_summary": "x"}}, {"agent_id": "agt_logged"}, {}):
        assert error(post(served, "/v1/missions/start", body)) == (400, "INVALID_REQUEST")
    two = {"agent_id": "agt_logged", "mission": {"intent_summary": "x", "agent_id": "agt_helper"}}
    assert error(post(served, "/v1/missions/start", two)) == (400, "INVALID_REQUEST")


def test_renew_gives_a_further_passport_of_the_same_session_and_leaves_the_mission_as_it_is(
    stack: Any, served: Any
) -> None:
    started = stack.missions.start(
        agent_id="agt_logged",
        mission={"intent_summary": "Triage", "max_actions": 7, "expires_in_seconds": 1200},
        passport={"ttl_seconds": 300, "scopes": [{"service_connection_id": "scon_slack", "scopes": ["chat:write"]}]},
    )
    before = stack.missions.get(started["mission_id"])
    served.advance(100_000)
    renewed = stack.missions.renew(started["mission_id"])
    assert renewed["mission_id"] == started["mission_id"]
    assert renewed["passport"]["jti"] != started["passport"]["jti"]
    assert renewed["passport"]["expires_at"] == "2026-01-01T00:06:40.000Z"
    old, new = claims(started["passport"]["token"])["stk"], claims(renewed["passport"]["token"])["stk"]
    assert (new["session_id"], new["services"]) == (old["session_id"], old["services"])
    after = stack.missions.get(started["mission_id"])
    assert (after["limits"], after["usage"], after["expires_at"]) == (
        before["limits"],
        before["usage"],
        before["expires_at"],
    )
    assert after["passports"] == [started["passport"]["jti"], renewed["passport"]["jti"]]
    assert actions(served)[-2:] == [("mission.renew", "success"), ("passport.issue", "success")]


def test_renew_never_gives_a_passport_that_outlives_the_mission(stack: Any, served: Any) -> None:
    started = stack.missions.start(agent_id="agt_logged", mission={"intent_summary": "T", "expires_in_seconds": 600})
    served.advance(500_000)
    assert stack.missions.renew(started["mission_id"])["passport"]["expires_at"] == "2026-01-01T00:10:00.000Z"


def test_renew_issues_the_first_passport_of_an_assigned_mission_and_refuses_without_an_agent(
    stack: Any, served: Any
) -> None:
    assigned = stack.missions.open("Report", agent_id="agt_logged")
    assert stack.missions.renew(assigned["mission_id"])["passport"]["accountability"] == "logged"
    unassigned = stack.missions.open("Report")
    with pytest.raises(getstack.StackError) as refused:
        stack.missions.renew(unassigned["mission_id"])
    assert refused.value.status_code == 409


def test_completing_revokes_the_missions_passports_and_a_second_time_changes_nothing(stack: Any, served: Any) -> None:
    one, two = issue(stack), issue(stack, ttl_seconds=600)
    done = stack.missions.complete("ms_logged", output={"posted": 3})
    assert done["mission_id"] == "ms_logged"
    assert done["claim_id"].startswith("pc_")
    assert (done["terminal_state"], done["transitioned"]) == ("completed_successful", True)
    assert done["completed_at"] == "2026-01-01T00:00:00.000Z"
    assert set(done["revoked_passports"]) == {one.jti, two.jti}
    for passport in (one, two):
        assert stack.passports.verify(passport.token)["code"] == "PASSPORT_REVOKED"
    ended = [found for found in served.rows() if found.action == "passport.revoke"]
    assert [found.passport_jti for found in ended] == sorted([one.jti, two.jti])
    assert {found.metadata["revocation"] for found in ended} == {"mission"}
    again = stack.missions.complete("ms_logged")
    assert (again["transitioned"], again["terminal_state"], again["claim_id"]) == (
        False,
        "completed_successful",
        done["claim_id"],
    )
    mission = stack.missions.get("ms_logged")
    assert (mission["status"], mission["output"]) == ("completed", {"posted": 3})


@pytest.mark.parametrize("reason", ["adversarial", "operator_initiated_clean"])
def test_revoking_a_mission_revokes_its_passports_whatever_the_reason(stack: Any, reason: str) -> None:
    passport = issue(stack)
    done = stack.missions.revoke("ms_logged", reason=reason, notes="stop")
    assert (done["transitioned"], done["reason"], done["revoked_passports"]) == (True, reason, [passport.jti])
    mission = stack.missions.get("ms_logged")
    assert (mission["status"], mission["end_reason"], mission["end_notes"]) == ("revoked", reason, "stop")
    assert stack.missions.revoke("ms_logged", reason=reason)["transitioned"] is False


def test_revoke_takes_only_the_two_reasons(served: Any) -> None:
    assert error(post(served, "/v1/missions/ms_logged/revoke", {"reason": "bored"})) == (400, "INVALID_REQUEST")
    assert error(post(served, "/v1/missions/ms_logged/revoke", {})) == (400, "INVALID_REQUEST")
    assert error(post(served, "/v1/missions/ms_none/revoke", {"reason": "adversarial"})) == (404, "NOT_FOUND")


def end(stack: Any, served: Any, state: str) -> str:
    if state == "not_found":
        return "ms_none"
    if state == "completed":
        stack.missions.complete("ms_logged")
    elif state == "revoked":
        stack.missions.revoke("ms_logged", reason="adversarial")
    else:
        served.advance(7_200_000)
    return "ms_logged"


@pytest.mark.parametrize("state", ["completed", "revoked", "expired", "not_found"])
def test_issuing_for_an_ended_mission_raises_the_sdks_mission_ended_error(stack: Any, served: Any, state: str) -> None:
    mission_id = end(stack, served, state)
    with pytest.raises(MissionEndedError) as refused:
        issue(stack, mission_ids=[mission_id])
    assert (refused.value.mission_id, refused.value.mission_state) == (mission_id, state)
    assert refused.value.status_code == (404 if state == "not_found" else 403)
    assert row(served, "passport.issue").metadata["mission"] == mission_id


@pytest.mark.parametrize("state", ["completed", "revoked", "expired"])
def test_refreshing_after_the_missions_end_raises_the_sdks_mission_ended_error(
    stack: Any, served: Any, state: str
) -> None:
    passport = issue(stack)
    end(stack, served, state)
    with pytest.raises(MissionEndedError) as refused:
        stack.passports.refresh(passport.token)
    assert (refused.value.mission_id, refused.value.mission_state) == ("ms_logged", state)


@pytest.mark.parametrize("state", ["completed", "revoked", "expired"])
def test_renewing_and_completing_an_ended_mission_is_refused(stack: Any, served: Any, state: str) -> None:
    end(stack, served, state)
    with pytest.raises(getstack.ForbiddenError) as refused:
        stack.missions.renew("ms_logged")
    assert refused.value.code == "MISSION_ENDED"
    if state == "completed":
        return
    with pytest.raises(getstack.ForbiddenError):
        stack.missions.complete("ms_logged")


def test_a_passport_needs_exactly_one_mission(served: Any) -> None:
    body = {"agent_id": "agt_logged", "intent": {"summary": "x", "services": []}}
    for missions in (None, [], ["ms_logged", "ms_enforced"]):
        refused = post(served, "/v1/passports/issue", {**body, "mission_ids": missions})
        assert refused.status_code == 403
        assert "bound to exactly one Mission" in refused.json()["error"]["message"]


def test_docs_compat_also_issues_without_a_mission(serve: Any) -> None:
    served = serve(DOCS)
    issued = post(served, "/v1/passports/issue", {"agent_id": "agt_logged", "intent": "Announce deploys"})
    assert issued.status_code == 201
    stk = claims(issued.json()["token"])["stk"]
    assert "mission_ids" not in stk
    assert stk["intent_summary"] == "Announce deploys"
    refreshed = post(served, "/v1/passports/refresh", {"token": issued.json()["token"], "ttl_seconds": None})
    assert refreshed.status_code == 200
    two = {"agent_id": "agt_logged", "intent": "x", "mission_ids": ["ms_logged", "ms_enforced"]}
    assert post(served, "/v1/passports/issue", two).status_code == 403


def test_a_mission_of_another_agent_is_refused_and_an_unassigned_one_serves_any(stack: Any) -> None:
    with pytest.raises(getstack.ForbiddenError) as refused:
        issue(stack, mission_ids=["ms_enforced"])
    assert "agt_enforced" in str(refused.value)
    anybody = stack.missions.open("Report")["mission_id"]
    assert issue(stack, mission_ids=[anybody]).jti
    assert issue(stack, "enforced", mission_ids=[anybody]).jti


def test_a_missions_end_by_time_leaves_one_row_and_is_true_before_its_timer_ran(stack: Any, served: Any) -> None:
    opened = stack.missions.open("Report", agent_id="agt_logged", expires_in_seconds=300)
    passport = issue(stack, mission_ids=[opened["mission_id"]], ttl_seconds=900)
    assert passport.expires_at == "2026-01-01T00:05:00.000Z"
    served.call(lambda: served.world.clock.move(300_000))  # the clock alone: no timer has fired yet
    seen = served.call(lambda: _status(served.world, opened["mission_id"]))
    assert seen == "expired"
    before = len(served.rows())
    assert stack.missions.get(opened["mission_id"])["status"] == "expired"
    assert actions(served, before) == [("mission.expire", "success")]
    assert row(served, "mission.expire").metadata["mission"] == opened["mission_id"]
    assert stack.missions.list(status="expired")["total"] == 1
    assert stack.passports.verify(passport.token)["code"] == "PASSPORT_EXPIRED"


def _status(world: Any, mission_id: str) -> str:
    from stack_emu.domain.missions import status_of
    from stack_emu.domain.state import Mission

    return status_of(world, world.store.get(Mission, mission_id))


def test_a_scenarios_passport_that_would_outlive_its_mission_dies_with_it(serve: Any) -> None:
    served = serve(
        WORLD + "  - {id: ms_short, agent: agt_logged, intent: Short, expires: 1m}\n"
        "passports: [{id: pp_long, agent: agt_logged, mission: ms_short, ttl: 15m}]\n"
    )
    served.advance(60_000)
    assert actions(served) == [("mission.expire", "success"), ("passport.revoke", "success")]
    assert served.rows()[1].passport_jti == "pp_long"


def test_listing_filters_by_status_and_pages_newest_first(stack: Any, served: Any) -> None:
    made = [stack.missions.open(f"Report {number}")["mission_id"] for number in range(3)]
    stack.missions.complete("ms_logged")
    assert [item["mission_id"] for item in stack.missions.list(status="completed")["items"]] == ["ms_logged"]
    page = stack.missions.list(status="active", page=1, limit=2)
    assert [item["mission_id"] for item in page["items"]] == [made[2], made[1]]
    assert page["total"] == 5
    assert [item["mission_id"] for item in stack.missions.list(page=2, limit=4)["items"]] == [
        "ms_enforced",
        "ms_logged",
    ]
    assert error(get(served, "/v1/missions?status=gone")) == (400, "INVALID_REQUEST")
    assert error(get(served, "/v1/missions?limit=101")) == (400, "INVALID_REQUEST")


def test_activity_tells_what_a_mission_did_refusals_included(stack: Any) -> None:
    passport = issue(stack)
    stack.passports.checkpoint(passport.jti, services_used=["slack"], actions_count=1)
    with pytest.raises(getstack.StackError):
        issue(stack, scopes=[{"service_connection_id": "scon_stripe", "scopes": ["charges"]}])
    stack.missions.complete("ms_logged")
    told = stack.missions.activity("ms_logged")
    assert [(event["action"], event["outcome"]) for event in told["events"]] == [
        ("passport.issue", "success"),
        ("passport.checkpoint", "success"),
        ("passport.issue", "blocked"),
        ("mission.complete", "success"),
        ("passport.revoke", "success"),
    ]
    assert told["events"][2]["error_code"] == "SCOPE_ESCALATION"
    assert told["total"] == 5
    assert stack.missions.replay("ms_logged") == told


def test_missions_of_another_account_do_not_exist(served: Any) -> None:
    for call in (
        get(served, "/v1/missions/ms_logged", OTHER),
        get(served, "/v1/missions/ms_logged/replay", OTHER),
        post(served, "/v1/missions/ms_logged/complete", {}, OTHER),
        post(served, "/v1/missions/ms_logged/renew", {}, OTHER),
        post(served, "/v1/missions/ms_logged/revoke", {"reason": "adversarial"}, OTHER),
    ):
        assert error(call) == (404, "NOT_FOUND")
    assert all(found.agent_id is None for found in served.rows("op_other"))


def test_who_may_do_what_with_missions(served: Any) -> None:
    assert error(post(served, "/v1/missions", {"intent_summary": "x"}, READER)) == (403, "FORBIDDEN")
    assert get(served, "/v1/missions/ms_logged", READER).status_code == 200
    assert post(served, "/v1/missions", {"intent_summary": "x"}, MEMBER).status_code == 201
    assert error(post(served, "/v1/missions", {"intent_summary": "x"}, "sk_live_wrong")) == (401, "INVALID_API_KEY")


def test_a_limited_key_gets_no_wider_passport_by_renewing_or_repeating_a_start(stack: Any, served: Any) -> None:
    form = {"agent_id": "agt_logged", "mission": {"intent_summary": "Triage", "idempotency_key": "k"}}
    started = stack.missions.start(**form)
    assert error(post(served, f"/v1/missions/{started['mission_id']}/renew", {}, MEMBER)) == (403, "FORBIDDEN")
    assert error(post(served, "/v1/missions/start", form, MEMBER)) == (403, "FORBIDDEN")
    own = {"agent_id": "agt_logged", "mission": {"intent_summary": "Mine"}}
    mine = post(served, "/v1/missions/start", own, MEMBER).json()
    assert post(served, f"/v1/missions/{mine['mission_id']}/renew", {}, MEMBER).status_code == 200


def test_a_passport_reads_its_own_mission_and_ends_none(stack: Any, served: Any) -> None:
    passport = issue(stack)
    assert get(served, "/v1/missions/ms_logged", passport.token).json()["mission_id"] == "ms_logged"
    assert error(get(served, "/v1/missions/ms_enforced", passport.token)) == (404, "NOT_FOUND")
    assert error(get(served, "/v1/missions", passport.token)) == (403, "FORBIDDEN")
    assert error(post(served, "/v1/missions/ms_logged/complete", {}, passport.token)) == (403, "FORBIDDEN")
    assert error(post(served, "/v1/missions", {"intent_summary": "x"}, passport.token)) == (403, "FORBIDDEN")


def test_an_enrolled_agent_opens_and_ends_its_own_missions_only(sdk: Any, served: Any, home: Any) -> None:
    agent = sdk(served.base_url, OPERATOR, agent_id="agt_logged")
    opened = agent.missions.open("Report")
    assert agent.missions.get(opened["mission_id"])["agent_id"] == "agt_logged"
    assert {item["agent_id"] for item in agent.missions.list()["items"]} == {"agt_logged"}
    assert agent.missions.complete(opened["mission_id"])["transitioned"] is True
    with pytest.raises(getstack.NotFoundError):
        agent.missions.get("ms_enforced")
    with pytest.raises(getstack.NotFoundError):
        agent.missions.open("Report", agent_id="agt_enforced")
    started = agent.missions.start(agent_id="agt_logged", mission={"intent_summary": "Triage"})
    assert agent.missions.renew(started["mission_id"])["mission_id"] == started["mission_id"]
    assert agent.missions.activity(started["mission_id"])["total"] == 4
    assert agent.missions.revoke(started["mission_id"], reason="adversarial")["transitioned"] is True


def test_the_sdks_mission_context_checks_out_and_completes(serve: Any) -> None:
    served = serve(REAL)
    with getstack.Stack(OPERATOR, base_url=served.base_url) as stack:
        stack.agents.update("agt_enforced", credential_access="direct")  # what is logged is not proxied here
        with stack.passports.mission("agt_enforced", "Announce", ["slack"], expires_in="30m") as mission:
            assert mission.passport.accountability == "enforced"
            mission.log("slack", "post_message", "#eng")
        assert mission.review_status == "clean"
        assert stack.missions.get(mission.mission_id)["status"] == "completed"
    assert [action for action, _ in actions(served)] == [
        "agent.update",
        "mission.start",
        "passport.issue",
        "passport.checkout",
        "mission.complete",
        "passport.revoke",
    ]


def test_the_sdks_mission_context_revokes_when_the_block_raises(serve: Any) -> None:
    served = serve(REAL)
    with getstack.Stack(OPERATOR, base_url=served.base_url) as stack:
        with pytest.raises(RuntimeError), stack.passports.mission("agt_logged", "Announce", ["slack"]) as mission:
            raise RuntimeError("boom")
        ended = stack.missions.get(mission.mission_id)
    assert (ended["status"], ended["end_reason"]) == ("revoked", "operator_initiated_clean")
    assert "boom" in ended["end_notes"]


def test_the_sdks_mission_context_binds_a_mission_that_is_open_already(serve: Any) -> None:
    served = serve(REAL)
    with getstack.Stack(OPERATOR, base_url=served.base_url) as stack:
        with stack.passports.mission("agt_logged", "Announce", ["slack"], mission_id="ms_logged") as mission:
            assert claims(mission.token)["stk"]["mission_ids"] == ["ms_logged"]
        assert stack.missions.get("ms_logged")["status"] == "active"


def test_the_sdks_continuous_mission_rotates_passports_of_one_mission(serve: Any) -> None:
    served = serve(REAL)
    with getstack.Stack(OPERATOR, base_url=served.base_url) as stack:
        rotations = stack.passports.continuous_mission("agt_logged", "Watch", ["slack"], rotation_interval="0s")
        first, second = next(rotations), next(rotations)
        assert first.passport.jti != second.passport.jti
        assert first.mission_id == second.mission_id
        rotations.close()
        assert stack.missions.get(second.mission_id)["status"] == "completed"
    assert [action for action, _ in actions(served)] == [
        "mission.start",
        "passport.issue",
        "passport.checkout",
        "passport.issue",
        "passport.checkout",
        "mission.complete",
        *["passport.revoke"] * 2,
    ]


def test_the_async_sdks_mission_contexts_work_the_same(serve: Any) -> None:
    served = serve(REAL)

    async def run() -> tuple[str, str]:
        stack = getstack.AsyncStack(OPERATOR, base_url=served.base_url)
        try:
            async with stack.passports.mission("agt_enforced", "Announce", ["slack"]) as mission:
                mission.log("slack", "post_message")
            rotations = stack.passports.continuous_mission("agt_logged", "Watch", ["slack"], rotation_interval="0s")
            rotated = [(await anext(rotations)).mission_id, (await anext(rotations)).mission_id]
            await rotations.aclose()
            assert rotated[0] == rotated[1]
            ended = [(await stack.missions.get(one))["status"] for one in (mission.mission_id, rotated[0])]
        finally:
            await stack.close()
        return ended[0], ended[1]

    assert asyncio.run(run()) == ("completed", "completed")


def test_every_mission_operation_is_a_tool(served: Any) -> None:
    tools = McpTools(served.base_url, OPERATOR)
    opened = tools("stack_open_mission", intent_summary="Report", agent_id="agt_logged")
    assert tools("stack_get_mission", mission_id=opened["mission_id"])["status"] == "active"
    started = tools("stack_start_mission", agent_id="agt_logged", mission={"intent_summary": "Triage"})
    assert tools("stack_renew_mission", mission_id=started["mission_id"])["passport"]["jti"].startswith("pp_")
    assert tools("stack_complete_mission", mission_id=opened["mission_id"])["transitioned"] is True
    assert tools("stack_revoke_mission", mission_id=started["mission_id"], reason="adversarial")["transitioned"] is True
    assert tools("stack_list_missions", status="completed")["total"] == 1
    assert tools("stack_get_mission_activity", mission_id=opened["mission_id"])["total"] == 2
    refused, failed = tools.result("stack_renew_mission", mission_id=started["mission_id"])
    assert failed
    assert refused["error"]["code"] == "MISSION_ENDED"


def test_a_mission_id_with_a_slash_is_one_segment(served: Any) -> None:
    refused = get(served, "/v1/missions/ms_a%2Fb")
    assert error(refused) == (404, "NOT_FOUND")
    assert "ms_a/b" in refused.json()["error"]["message"]


def test_an_anonymous_call_is_told_which_credential_to_send(served: Any) -> None:
    import httpx

    refused = httpx.get(served.base_url + "/v1/missions")
    assert error(refused) == (401, "UNAUTHORIZED")
    assert "operator key" in refused.json()["error"]["message"]
