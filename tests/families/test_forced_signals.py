"""Signals a scenario raises: when, in whose lane, and what follows."""

from __future__ import annotations

from typing import Any

import getstack
import pytest

from tests.families.passport_world import OPERATOR, WORLD, issue, post

RULES = """
detectors:
  - {when: {agent: logged, operation: passports.checkpoint, nth: 3}, signal: scope_drift, metadata: {novelty: 0.9}}
  - {when: {agent: agt_enforced, operation: passports.checkpoint, nth: 2}, signal: rogue_agent, severity: critical,
     message: Something is off}
"""


@pytest.fixture
def served(serve: Any) -> Any:
    return serve(WORLD + RULES)


@pytest.fixture
def stack(sdk: Any, served: Any) -> Any:
    return sdk(served.base_url, OPERATOR)


def checkpoint(stack: Any, passport: Any, *services: str) -> Any:
    return stack.passports.checkpoint(passport.jti, services_used=list(services or ("slack",)), actions_count=1)


def signals(stack: Any) -> list[tuple[str, str, str]]:
    events = stack.security_events.list()["events"]
    return [(one["signal_type"], one["severity"], one["agent_id"]) for one in events]


def test_the_nth_act_of_the_agent_raises_it(stack: Any, served: Any) -> None:
    passport = issue(stack)
    for _ in range(2):
        checkpoint(stack, passport)
    assert signals(stack) == []
    checkpoint(stack, passport)
    (event,) = stack.security_events.list()["events"]
    assert (event["signal_type"], event["severity"], event["passport_jti"]) == ("scope_drift", "warning", passport.jti)
    assert (event["message"], event["metadata"]) == ("scope_drift was raised by the scenario", {"novelty": 0.9})
    checkpoint(stack, passport)
    assert len(signals(stack)) == 1
    rows = [row for row in served.rows() if row.action == "security.signal"]
    assert [(row.agent_id, row.metadata["signal_type"]) for row in rows] == [("agt_logged", "scope_drift")]


def test_any_name_and_a_critical_one_revokes_in_enforced_mode(stack: Any) -> None:
    passport = issue(stack, "enforced")
    checkpoint(stack, passport)
    assert checkpoint(stack, passport).new_expires_at is not None
    assert signals(stack) == [("rogue_agent", "critical", "agt_enforced")]
    with pytest.raises(getstack.UnauthorizedError, match="rogue_agent_fire: Something is off"):
        checkpoint(stack, passport)


def test_acts_are_counted_in_each_lane_and_refused_ones_not(stack: Any, served: Any) -> None:
    passport = issue(stack)
    for _ in range(2):
        checkpoint(stack, passport)
    post(served, f"/v1/passports/{passport.jti}/checkpoint", {"services_used": "none"})
    path, lane = f"/v1/passports/{passport.jti}/checkpoint", {"X-Stack-Emu-Lane": "other"}
    for _ in range(2):
        post(served, path, {}, OPERATOR, **lane)
    post(served, path, {}, passport.token)
    assert signals(stack) == []
    checkpoint(stack, passport)
    assert len(signals(stack)) == 1
    post(served, path, {}, OPERATOR, **lane)
    assert len(signals(stack)) == 2


def test_a_reset_counts_from_the_start(stack: Any, served: Any) -> None:
    passport = issue(stack)
    for _ in range(2):
        checkpoint(stack, passport)
    served.call(served.hosted.reset)
    again = issue(stack)
    for _ in range(2):
        checkpoint(stack, again)
    assert signals(stack) == []
    checkpoint(stack, again)
    assert len(signals(stack)) == 1


def test_a_rule_for_a_service_sees_proxied_calls_and_their_reply_comes(serve: Any, sdk: Any) -> None:
    from tests.families.proxy_world import ECHO
    from tests.families.proxy_world import WORLD as PROXIED

    rule = "detectors: [{when: {service: scon_echo, nth: 2}, signal: data_flow, severity: critical}]\n"
    served = serve(PROXIED.replace("grants: [{agent: bot}]}", "grants: [{agent: strict}]}") + rule)
    stack = sdk(served.base_url, OPERATOR)
    passport = stack.passports.issue("agent_strict", intent="Echo", services=["echo"], mission_ids=["ms_strict"])
    for _ in range(2):
        assert stack.proxy.get("echo", ECHO, passport_token=passport.token).status == 200
    assert signals(stack) == [("data_flow", "critical", "agent_strict")]
    with pytest.raises(getstack.UnauthorizedError) as refused:
        stack.proxy.get("echo", ECHO, passport_token=passport.token)
    assert refused.value.code == "PASSPORT_REVOKED"


def test_what_the_account_has_set_does_not_matter(stack: Any, served: Any) -> None:
    from stack_emu.domain.detectors import DetectorSettings

    off = DetectorSettings("op_emu/scope_drift", "op_emu", "scope_drift", enabled=False)
    served.call(lambda: served.world.store.put(off))
    passport = issue(stack)
    for _ in range(3):
        checkpoint(stack, passport)
    assert signals(stack) == [("scope_drift", "warning", "agt_logged")]
