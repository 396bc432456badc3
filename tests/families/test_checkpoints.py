"""Checkpoints, checkouts and reports, and the silence of those who send none."""

from __future__ import annotations

from typing import Any

import getstack
import pytest

from stack_emu.domain.state import SecurityEvent
from tests.families.drivers import McpTools
from tests.families.passport_world import MEMBER, OPERATOR, OTHER, WORLD, actions, error, get, issue, post, row


@pytest.fixture
def served(serve: Any) -> Any:
    return serve(WORLD)


@pytest.fixture
def stack(sdk: Any, served: Any) -> Any:
    return sdk(served.base_url, OPERATOR)


def signals(served: Any) -> list[tuple[str, str, str | None]]:
    events = served.world.store.all(SecurityEvent)
    return [(event.signal_type, event.severity, event.passport_id) for event in events]


def test_a_checkpoint_moves_an_enforced_passports_end_by_one_interval(stack: Any, served: Any) -> None:
    passport = issue(stack, "enforced", checkpoint_interval="2m")
    assert passport.expires_at == "2026-01-01T00:02:00.000Z"
    for minute in (1, 2, 3):
        served.advance(60_000)
        reply = stack.passports.checkpoint(
            passport.jti,
            services_used=["slack"],
            actions_count=2,
            tool_calls=[{"service": "slack", "method": "POST", "target": "#eng"}],
            summary="going well",
            delegated_to=["agt_second"],
        )
        assert reply.checkpoint_id.startswith("ckp_")
        assert reply.passport_jti == passport.jti
        assert reply.new_expires_at == f"2026-01-01T00:0{minute + 2}:00.000Z"
        assert reply.flags == []
    assert stack.passports.verify(passport.token)["expires_at"] == "2026-01-01T00:05:00.000Z"
    assert signals(served) == []
    found = row(served, "passport.checkpoint")
    assert (found.agent_id, found.passport_jti, found.metadata["mission"]) == (
        "agt_enforced",
        passport.jti,
        "ms_enforced",
    )
    assert (found.metadata["services_used"], found.metadata["actions"]) == (["slack"], 2)


def test_a_checkpoint_never_moves_the_end_beyond_the_missions(stack: Any, served: Any) -> None:
    mission = stack.missions.open("Report", agent_id="agt_enforced", expires_in_seconds=360)["mission_id"]
    passport = issue(stack, "enforced", mission_ids=[mission])
    served.advance(240_000)
    reply = stack.passports.checkpoint(passport.jti, services_used=[], actions_count=0)
    assert reply.new_expires_at == "2026-01-01T00:06:00.000Z"
    served.advance(120_000)
    assert signals(served) == []
    assert actions(served)[-1] == ("mission.expire", "success")


def test_a_missed_checkpoint_ends_the_passport_and_raises_the_signal_once(stack: Any, served: Any) -> None:
    passport = issue(stack, "enforced")
    served.advance(299_999)
    assert signals(served) == []
    assert stack.passports.verify(passport.token)["valid"] is True
    served.advance(1)
    assert signals(served) == [("checkpoint_silence", "warning", passport.jti)]
    assert stack.passports.verify(passport.token)["code"] == "PASSPORT_EXPIRED"
    with pytest.raises(getstack.UnauthorizedError) as refused:
        stack.passports.checkpoint(passport.jti, services_used=[], actions_count=0)
    assert refused.value.code == "PASSPORT_EXPIRED"
    served.advance(3_600_000)
    assert [action for action, _ in actions(served)] == ["passport.issue", "security.signal", "passport.checkpoint"]
    found = row(served, "security.signal")
    assert (found.agent_id, found.passport_jti) == ("agt_enforced", passport.jti)
    assert (found.metadata["signal_type"], found.metadata["severity"]) == ("checkpoint_silence", "warning")
    assert found.timestamp == served.rows()[0].timestamp + 300_000


@pytest.mark.parametrize("way", ["checkout", "revoke", "refresh", "complete"])
def test_a_passport_that_ended_otherwise_is_not_silent(stack: Any, served: Any, way: str) -> None:
    passport = issue(stack, "enforced")
    if way == "checkout":
        stack.passports.checkout(passport.jti, services_used=[], actions_count=0)
    elif way == "revoke":
        stack.passports.revoke(passport.jti)
    elif way == "refresh":
        refreshed = stack.passports.refresh(passport.token, ttl_seconds=300)
    else:
        stack.missions.complete("ms_enforced")
    served.advance(600_000)
    assert signals(served) == ([("checkpoint_silence", "warning", refreshed.jti)] if way == "refresh" else [])


def test_a_scenarios_enforced_passport_falls_silent_too(serve: Any) -> None:
    served = serve(
        WORLD + "passports: [{id: pp_scene, agent: agt_enforced, mission: ms_enforced, checkpoint_interval: 2m}]\n"
    )
    served.advance(120_000)
    assert signals(served) == [("checkpoint_silence", "warning", "pp_scene")]
    assert served.world.audit.acts()[-1].lane == "agent:agt_enforced/passport:pp_scene"


def test_a_delegated_enforced_passport_has_its_own_deadline(stack: Any, served: Any) -> None:
    parent = issue(stack, "enforced")
    child = stack.passports.delegate(parent.token, "agt_second", ttl_seconds=60)
    served.advance(60_000)
    assert signals(served) == [("checkpoint_silence", "warning", child.jti)]


def test_a_logged_passports_checkpoints_are_kept_and_move_nothing(stack: Any) -> None:
    passport = issue(stack)
    reply = stack.passports.checkpoint(passport.jti, services_used=["slack"], actions_count=1)
    assert reply.new_expires_at is None
    assert len(stack.passports.report(passport.jti).checkpoints) == 1


def test_standard_mode_has_no_checkpoints(stack: Any) -> None:
    passport = issue(stack, "standard")
    with pytest.raises(getstack.NotFoundError) as refused:
        stack.passports.checkpoint(passport.jti, services_used=["slack"], actions_count=1)
    assert refused.value.code == "CHECKPOINT_NOT_AVAILABLE"


def test_an_undeclared_service_is_a_warning_in_logged_mode(stack: Any, served: Any) -> None:
    passport = issue(stack)
    reply = stack.passports.checkpoint(passport.jti, services_used=["stripe", "slack"], actions_count=1)
    assert reply.flags == ["credential_outside_scope"]
    assert signals(served) == [("credential_outside_scope", "warning", passport.jti)]
    (event,) = served.world.store.all(SecurityEvent)
    assert event.metadata == {
        "services_used": ["stripe"],
        "intent_services": ["slack"],
        "granted_providers": ["slack", "github"],
    }
    assert stack.passports.verify(passport.token)["valid"] is True


def test_an_undeclared_service_is_critical_in_enforced_mode_and_revokes_with_the_children(
    stack: Any, served: Any
) -> None:
    passport = issue(stack, "enforced")
    child = stack.passports.delegate(passport.token, "agt_second")
    reply = stack.passports.checkpoint(passport.jti, services_used=["stripe"], actions_count=1)
    assert reply.new_expires_at is None
    assert signals(served) == [("credential_outside_scope", "critical", passport.jti)]
    for token in (passport.token, child.token):
        said = stack.passports.verify(token)
        assert said["code"] == "PASSPORT_REVOKED"
        assert "credential_outside_scope_fire" in said["reason"]
    assert [action for action, _ in actions(served)][-4:] == [
        "passport.checkpoint",
        "security.signal",
        "passport.revoke",
        "passport.revoke_cascade",
    ]
    served.advance(600_000)
    assert len(signals(served)) == 1


@pytest.mark.parametrize(("mode", "field"), [("logged", "on_warning"), ("enforced", "on_critical")])
def test_an_agent_that_reacts_by_blocking_is_blocked_by_the_signal(serve: Any, sdk: Any, mode: str, field: str) -> None:
    declared = f"id: agt_{mode}, name: {mode}, accountability_mode: {mode}"
    served = serve(WORLD.replace(declared, f"{declared}, {field}: block"))
    stack = sdk(served.base_url, OPERATOR)
    passport = issue(stack, mode)
    stack.passports.checkpoint(passport.jti, services_used=["stripe"], actions_count=1)
    agent = stack.agents.get(f"agt_{mode}")
    assert agent.passport_blocked is True
    assert "credential_outside_scope" in agent.passport_blocked_reason
    with pytest.raises(getstack.ForbiddenError) as refused:
        issue(stack, mode)
    assert refused.value.code == "PASSPORT_BLOCKED"


def test_a_checkout_ends_a_passports_work(stack: Any, served: Any) -> None:
    passport = issue(stack)
    done = stack.passports.checkout(passport.jti, services_used=["slack"], actions_count=3, summary="posted")
    assert done.checkout_id.startswith("co_")
    assert (done.passport_jti, done.review_status, done.flags) == (passport.jti, "clean", [])
    for again in (stack.passports.checkout, stack.passports.checkpoint):
        with pytest.raises(getstack.StackError) as refused:
            again(passport.jti, services_used=[], actions_count=0)
        assert refused.value.status_code in (403, 409)
        assert "checked out" in str(refused.value)
    kept = served.rows()[1]
    assert (kept.action, kept.outcome, kept.metadata["review_status"]) == ("passport.checkout", "success", "clean")
    assert kept.metadata["mission"] == "ms_logged"


def test_a_checkout_with_an_undeclared_service_is_flagged(stack: Any, served: Any) -> None:
    passport = issue(stack)
    done = stack.passports.checkout(passport.jti, services_used=["stripe", "github"], actions_count=3)
    assert done.review_status == "flagged"
    assert [(flag["type"], flag["severity"]) for flag in done.flags] == [("credential_outside_scope", "warning")] * 2
    assert all(flag["message"] for flag in done.flags)
    assert signals(served) == [("credential_outside_scope", "warning", passport.jti)]


def test_standard_mode_is_not_reviewed(stack: Any, served: Any) -> None:
    passport = stack.passports.issue("agt_standard", mission_ids=["ms_standard"])
    done = stack.passports.checkout(passport.jti, services_used=["stripe"], actions_count=3)
    assert (done.review_status, done.flags) == ("clean", [])
    assert signals(served) == []


def test_an_expired_passport_can_be_checked_out_and_a_revoked_one_not(stack: Any, served: Any) -> None:
    expired, revoked = issue(stack, ttl_seconds=60), issue(stack)
    stack.passports.revoke(revoked.jti, "stop")
    served.advance(60_000)
    assert stack.passports.checkout(expired.jti, services_used=[], actions_count=0).review_status == "clean"
    with pytest.raises(getstack.UnauthorizedError) as refused:
        stack.passports.checkout(revoked.jti, services_used=[], actions_count=0)
    assert refused.value.code == "PASSPORT_REVOKED"


def test_a_report_has_exactly_the_five_keys_and_the_whole_story(stack: Any, served: Any) -> None:
    passport = issue(stack)
    raw = get(served, f"/v1/passports/{passport.jti}/report").json()
    assert set(raw) == {"passport", "intent", "checkpoints", "checkout", "review"}
    assert (raw["checkout"], raw["review"], raw["checkpoints"]) == (None, None, [])
    stack.passports.checkpoint(passport.jti, services_used=["slack"], actions_count=1, summary="halfway")
    stack.passports.checkout(passport.jti, services_used=["stripe"], actions_count=2, delegated_to=["agt_helper"])
    (item,) = stack.reviews.list().items
    stack.reviews.decide(item.checkout_id, "blocked", notes="no")
    report = stack.passports.report(passport.jti)
    assert report.passport["jti"] == passport.jti
    assert report.intent == {"summary": "Announce", "services": ["slack"], "will_delegate": False}
    assert [point["summary"] for point in report.checkpoints] == ["halfway"]
    assert (report.checkout["review_status"], report.checkout["delegated_to"]) == ("blocked", ["agt_helper"])
    assert (report.review["decision"], report.review["notes"]) == ("blocked", "no")


def test_a_report_of_a_passport_without_intent_says_null(stack: Any) -> None:
    passport = stack.passports.issue("agt_standard", mission_ids=["ms_standard"])
    assert stack.passports.report(passport.jti).intent is None


def test_unknown_and_foreign_passports_are_not_found(served: Any, stack: Any) -> None:
    passport = issue(stack)
    body = {"services_used": [], "actions_count": 0}
    for jti, key in (("pp_none", OPERATOR), (passport.jti, OTHER), (passport.jti, MEMBER)):
        for path in ("checkpoint", "checkout"):
            assert error(post(served, f"/v1/passports/{jti}/{path}", body, key)) == (404, "NOT_FOUND")
        assert error(get(served, f"/v1/passports/{jti}/report", key)) == (404, "NOT_FOUND")
    assert all(found.agent_id is None for found in served.rows("op_other"))


def test_a_passport_reports_itself_only(served: Any, stack: Any) -> None:
    mine, other = issue(stack), issue(stack, ttl_seconds=600)
    body = {"services_used": ["slack"], "actions_count": 1}
    assert post(served, f"/v1/passports/{mine.jti}/checkpoint", body, mine.token).status_code == 200
    assert error(post(served, f"/v1/passports/{other.jti}/checkpoint", body, mine.token)) == (404, "NOT_FOUND")
    assert post(served, f"/v1/passports/{mine.jti}/checkout", body, mine.token).status_code == 200
    assert get(served, f"/v1/passports/{mine.jti}/report", mine.token).json()["checkout"]["actions_count"] == 1
    lanes = {act.lane for act in served.world.audit.acts() if act.operation == "passports.checkpoint"}
    assert f"agent:agt_logged/passport:{mine.jti}" in lanes


@pytest.mark.parametrize(
    "body",
    [
        {"services_used": "slack"},
        {"services_used": [], "actions_count": -1},
        {"services_used": [], "summary": "x" * 1001},
    ],
)
def test_reports_that_cannot_be_are_refused(served: Any, stack: Any, body: Any) -> None:
    jti = issue(stack).jti
    assert error(post(served, f"/v1/passports/{jti}/checkpoint", body)) == (400, "INVALID_REQUEST")


def test_checkpoints_and_checkouts_are_tools(served: Any, stack: Any) -> None:
    jti = issue(stack, "enforced").jti
    tools = McpTools(served.base_url, OPERATOR)
    reply = tools("stack_checkpoint", passport_jti=jti, services_used=["slack"], actions_count=1)
    assert reply["new_expires_at"] == "2026-01-01T00:05:00.000Z"
    done = tools("stack_checkout", passport_jti=jti, services_used=["slack"], actions_count=1)
    assert done["review_status"] == "clean"
    assert set(tools("stack_get_passport_report", passport_jti=jti)) == {
        "passport",
        "intent",
        "checkpoints",
        "checkout",
        "review",
    }
    refused, failed = tools.result("stack_checkpoint", passport_jti=jti, services_used=[], actions_count=0)
    assert failed
    assert refused["error"]["code"] == "FORBIDDEN"
