"""Detector settings: what they change, which changes wait for a human, and who may make them."""

from __future__ import annotations

from typing import Any

import getstack
import httpx
import pytest

from stack_emu.domain import governance
from tests.families.drivers import McpTools
from tests.families.passport_world import MEMBER, OPERATOR, OTHER, READER, WORLD, bearer, error, issue, row


@pytest.fixture
def served(serve: Any) -> Any:
    return serve(WORLD)


@pytest.fixture
def stack(sdk: Any, served: Any) -> Any:
    return sdk(served.base_url, OPERATOR)


def waiting(call: Any) -> str:
    """The approval a change waits for."""
    with pytest.raises(getstack.ForbiddenError) as refused:
        call()
    assert refused.value.code == "GOVERNANCE_APPROVAL_REQUIRED"
    return str(refused.value.details["approval_id"])


def approve(served: Any, approval: str) -> str:
    served.call(lambda: governance.decide(served.world, approval, True))
    return approval


def signals(stack: Any) -> list[tuple[str, str]]:
    return [(one["signal_type"], one["severity"]) for one in stack.security_events.list()["events"]]


def test_what_is_not_set_is_on_its_defaults(stack: Any) -> None:
    assert stack.detector_config.list() == {"configs": []}
    with pytest.raises(getstack.NotFoundError) as refused:
        stack.detector_config.get("scope_drift")
    assert refused.value.details == {"thresholds": {"cumulative": 2.0, "novelty": 0.8}}
    with pytest.raises(getstack.NotFoundError, match="There is no detector scope_drft"):
        stack.detector_config.get("scope_drft")


def test_what_tightens_is_set_at_once_and_read_back(stack: Any, served: Any) -> None:
    made = stack.detector_config.upsert("scope_drift", thresholds={"novelty": 0.5})
    assert made["thresholds"] == {"cumulative": 2.0, "novelty": 0.5}
    assert (made["enabled"], made["severity_overrides"]) == (True, {})
    assert stack.detector_config.get("scope_drift") == made
    served.advance(1_000)
    graded = stack.detector_config.upsert("scope_drift", severity_overrides={"scope_drift": "critical"})
    assert graded["thresholds"] == made["thresholds"]
    assert (graded["created_at"], graded["updated_at"]) == (made["created_at"], "2026-01-01T00:00:01.000Z")
    assert stack.detector_config.list() == {"configs": [graded]}
    found = row(served, "detector_config.upsert")
    assert (found.outcome, found.metadata["name"], found.metadata["changed"]) == (
        "success",
        "scope_drift",
        ["severity_overrides"],
    )


@pytest.mark.parametrize(
    ("key", "loosening"),
    [
        ("scope_drift", {"enabled": False}),
        ("scope_drift", {"thresholds": {"cumulative": 2.5}}),
        ("credential_burst", {"thresholds": {"count": 11}}),
        ("credential_burst", {"thresholds": {"window_seconds": 30}}),
        ("credential_outside_scope", {"severity_overrides": {"credential_outside_scope": "info"}}),
        ("checkpoint_silence", {"severity_overrides": {"checkpoint_silence": "info"}}),
        ("prompt_injection", {"whitelist_patterns": ["hello"]}),
        ("prompt_injection", {"severity_overrides": {"chat_markup": "warning"}}),
    ],
)
def test_what_loosens_waits_for_a_human(stack: Any, served: Any, key: str, loosening: dict[str, Any]) -> None:
    approval = waiting(lambda: stack.detector_config.upsert(key, **loosening))
    assert stack.detector_config.list() == {"configs": []}
    assert waiting(lambda: stack.detector_config.upsert(key, governance_approval_id=approval, **loosening)) == approval
    made = stack.detector_config.upsert(key, governance_approval_id=approve(served, approval), **loosening)
    for name, value in loosening.items():
        assert made[name] == ({**made[name], **value} if isinstance(value, dict) else value)
    # Going back is tighter, and an approval is good once.
    assert waiting(lambda: stack.detector_config.reset(key, governance_approval_id=approval))


def test_an_approval_is_for_the_values_it_was_asked_for(stack: Any, served: Any) -> None:
    asked = waiting(lambda: stack.detector_config.upsert("scope_drift", thresholds={"novelty": 0.9}))
    approval = approve(served, asked)
    waiting(lambda: stack.detector_config.upsert("scope_drift", enabled=False, governance_approval_id=approval))
    done = stack.detector_config.upsert("scope_drift", thresholds={"novelty": 0.9}, governance_approval_id=approval)
    assert done["thresholds"]["novelty"] == 0.9


def test_a_reset_always_waits(stack: Any, served: Any) -> None:
    stack.detector_config.upsert("scope_drift", thresholds={"novelty": 0.5})
    approval = waiting(lambda: stack.detector_config.reset("scope_drift"))
    stack.detector_config.reset("scope_drift", governance_approval_id=approve(served, approval))
    with pytest.raises(getstack.NotFoundError):
        stack.detector_config.get("scope_drift")
    assert row(served, "detector_config.reset").outcome == "success"


def test_a_detector_that_is_off_raises_and_flags_nothing(stack: Any, served: Any) -> None:
    off = {"enabled": False}
    approval = approve(served, waiting(lambda: stack.detector_config.upsert("credential_outside_scope", **off)))
    stack.detector_config.upsert("credential_outside_scope", governance_approval_id=approval, **off)
    passport = issue(stack, "enforced")
    assert stack.passports.checkpoint(passport.jti, services_used=["stripe"], actions_count=1).flags == []
    assert signals(stack) == []
    assert stack.passports.verify(passport.token)["valid"] is True
    stack.detector_config.upsert("credential_outside_scope", enabled=True)
    stack.passports.checkpoint(passport.jti, services_used=["stripe"], actions_count=1)
    assert signals(stack) == [("credential_outside_scope", "critical")]
    assert stack.passports.verify(passport.token)["valid"] is False


def test_severity_decides_what_follows(stack: Any, served: Any) -> None:
    stack.detector_config.upsert("checkpoint_silence", severity_overrides={"checkpoint_silence": "critical"})
    grading = {"severity_overrides": {"credential_outside_scope": "warning"}}
    approval = approve(served, waiting(lambda: stack.detector_config.upsert("credential_outside_scope", **grading)))
    stack.detector_config.upsert("credential_outside_scope", governance_approval_id=approval, **grading)
    passport = issue(stack, "enforced")
    stack.passports.checkpoint(passport.jti, services_used=["stripe"], actions_count=1)
    assert signals(stack) == [("credential_outside_scope", "warning")]
    assert stack.passports.verify(passport.token)["valid"] is True
    served.advance(301_000)
    assert signals(stack)[0] == ("checkpoint_silence", "critical")


def test_the_burst_threshold_moves(serve: Any, sdk: Any) -> None:
    served = serve(WORLD.replace("name: logged, acc", "name: logged, credential_access: direct, acc"))
    stack = sdk(served.base_url, OPERATOR)
    stack.detector_config.upsert("credential_burst", thresholds={"count": 2, "window_seconds": 120})
    passport = issue(stack)
    for _ in range(3):
        stack.credentials.get("slack", passport_token=passport.token)
        served.advance(50_000)
    (event,) = stack.security_events.list()["events"]
    assert event["message"] == "Agent retrieved 3 credentials within 120 seconds"
    assert event["metadata"] == {"credential_count": 3, "time_window_seconds": 120}


def test_what_is_refused(stack: Any, served: Any) -> None:
    def put(key: str, body: Any, bearer_key: str = OPERATOR) -> tuple[int, str]:
        url = f"{served.base_url}/v1/detectors/{key}/config"
        return error(httpx.put(url, json=body, headers=bearer(bearer_key)))

    assert put("none", {}) == (404, "NOT_FOUND")
    assert put("scope_drift", {"thresholds": {"distance": 1}}) == (400, "INVALID_REQUEST")
    assert put("scope_drift", {"thresholds": {"novelty": 0}}) == (400, "INVALID_REQUEST")
    assert put("scope_drift", {"custom_patterns": ["x"]}) == (400, "INVALID_REQUEST")
    assert put("prompt_injection", {"custom_patterns": ["(?=x)"]}) == (400, "INVALID_REQUEST")
    assert put("prompt_injection", {"severity_overrides": {"chat_markup": "fatal"}}) == (400, "INVALID_REQUEST")
    assert put("scope_drift", {"enabled": True}, MEMBER) == (403, "FORBIDDEN")
    url = f"{served.base_url}/v1/detectors/config"
    assert httpx.get(url, headers=bearer(READER)).json() == {"configs": []}
    assert error(httpx.get(url, headers=bearer(issue(stack).token))) == (403, "FORBIDDEN")


def test_low_tiers_may_read_only(serve: Any, sdk: Any) -> None:
    stack = sdk(serve(WORLD.replace("- id: op_emu", "- id: op_emu\n    tier: developer")).base_url, OPERATOR)
    for write in (
        lambda: stack.detector_config.upsert("scope_drift", thresholds={"novelty": 0.5}),
        lambda: stack.detector_config.reset("scope_drift"),
    ):
        with pytest.raises(getstack.ForbiddenError) as refused:
            write()
        assert (refused.value.code, refused.value.details["needs"]) == ("FORBIDDEN", "studio")
    assert stack.detector_config.list() == {"configs": []}


def test_settings_are_each_accounts_own(stack: Any, served: Any, sdk: Any) -> None:
    stack.detector_config.upsert("scope_drift", thresholds={"novelty": 0.5})
    other = sdk(served.base_url, OTHER)
    assert other.detector_config.list() == {"configs": []}
    with pytest.raises(getstack.NotFoundError):
        other.detector_config.get("scope_drift")


def test_detector_settings_are_tools(served: Any) -> None:
    tools = McpTools(served.base_url, OPERATOR)
    made = tools("stack_upsert_detector_config", detector_key="scope_drift", thresholds={"novelty": 0.5})
    assert tools("stack_get_detector_config", detector_key="scope_drift") == made
    assert tools("stack_list_detector_configs") == {"configs": [made]}
    refused, failed = tools.result("stack_reset_detector_config", detector_key="scope_drift")
    assert (failed, refused["error"]["code"]) == (True, "GOVERNANCE_APPROVAL_REQUIRED")
