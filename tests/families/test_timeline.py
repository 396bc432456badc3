"""The timeline: what a scenario does by itself at an instant, as one of its keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from getstack import Stack
from getstack.errors import UnauthorizedError

from stack_emu.domain.provision import scenario_tokens
from stack_emu.kernel.errors import WorldError

SCENARIO = """
stack_emu: 1
clock: {mode: virtual}
operators:
  - id: op_emu
    keys: [{key: sk_live_emu_operator}, {key: sk_live_emu_reader, role: readonly, member: r@emu.test}]
agents: [{id: agent_a, name: aa, accountability_mode: logged}]
services: [{id: scon_x, provider: x, scopes: [read], grants: [{agent: agent_a}]}]
missions: [{id: ms_a, agent: agent_a, intent: Look, services: [x]}]
passports: [{id: pp_a, agent: agent_a, mission: ms_a, ttl: 1h, env: TOKEN}]
upstreams: {x: {hosts: [x.example.com], routes: [{reply: {json: {}}}]}}
timeline:
  - {at: +10m, operation: passports.revoke_agent, input: {agent_id: agent_a, reason: out of hours}}
  - {at: +5m, as: sk_live_emu_reader, operation: agents.register, input: {name: not-allowed}}
"""


def test_steps_run_at_their_instant_as_their_key_and_leave_their_rows(serve: Callable[..., Any]) -> None:
    served = serve(SCENARIO)
    token = scenario_tokens(served.world, served.hosted.scenario)["TOKEN"]
    with Stack(api_key="sk_live_emu_operator", base_url=served.base_url) as stack:
        assert stack.proxy.get("x", "https://x.example.com/", passport_token=token).ok()
        served.advance(9 * 60_000)
        assert stack.proxy.get("x", "https://x.example.com/", passport_token=token).ok()
        served.advance(60_000)
        with pytest.raises(UnauthorizedError) as refusal:
            stack.proxy.get("x", "https://x.example.com/", passport_token=token)
        assert (refusal.value.code, "out of hours" in str(refusal.value)) == ("PASSPORT_REVOKED", True)
    start = served.world.clock.start_ms
    seen = [(row.action, row.outcome, row.error_code, row.timestamp - start) for row in served.rows()]
    assert ("agent.register", "blocked", "FORBIDDEN", 5 * 60_000) in seen
    assert ("passport.revoke", "success", None, 10 * 60_000) in seen
    steps = [(entry.operation, entry.status, entry.code) for entry in served.world.journal.entries(surface="timeline")]
    assert steps == [("agents.register", 403, "FORBIDDEN"), ("passports.revoke_agent", 200, None)]


def test_a_reset_arms_the_steps_again(serve: Callable[..., Any]) -> None:
    served = serve(SCENARIO)
    served.advance(11 * 60_000)
    served.call(served.hosted.reset)
    assert served.rows() == []
    served.advance(11 * 60_000)
    assert "passport.revoke" in [row.action for row in served.rows()]


def test_a_step_that_would_need_an_upstream_is_refused_in_one_sentence(serve: Callable[..., Any]) -> None:
    step = "timeline: [{at: +1m, operation: proxy.request, input: {service: x, url: 'https://x.example.com/'}}]"
    with pytest.raises(WorldError, match=r"proxy\.request.*timeline"):
        serve(SCENARIO.split("timeline:")[0] + step)
