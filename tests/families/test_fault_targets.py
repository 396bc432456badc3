"""Fault rules know agents and services by each of the names a scenario gives them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from getstack import Stack
from getstack.errors import StackError

from tests.conftest import KEY

WORLD = """
stack_emu: 1
name: faults
agents: [{{id: agent_a, name: alpha, accountability_mode: standard}}]
services: [{{id: scon_s, provider: svc, scopes: [x], grants: [{{agent: alpha}}]}}]
upstreams: {{svc: {{hosts: [svc.example.com], routes: [{{reply: {{json: {{}}}}}}]}}}}
faults: [{{on: {on}, inject: {inject}}}]
"""


@pytest.mark.parametrize("named", ["agent: alpha", "agent: agent_a", "service: svc", "service: scon_s"])
def test_a_call_to_an_upstream_is_hit_by_id_and_by_name(serve: Callable[..., Any], named: str) -> None:
    served = serve(WORLD.format(on=f"{{upstream: svc, {named}}}", inject="{status: 418}"))
    with Stack(api_key=KEY, base_url=served.base_url) as stack:
        started = stack.missions.start(agent_id="agent_a", mission={"intent_summary": "Look"})
        reply = stack.proxy.get("svc", "https://svc.example.com/", passport_token=started["passport"]["token"])
    assert reply.status == 418


@pytest.mark.parametrize("name", ["alpha", "agent_a"])
def test_an_operation_is_hit_by_the_agent_it_is_about(serve: Callable[..., Any], name: str) -> None:
    on = f"{{operation: passports.revoke_agent, agent: {name}}}"
    served = serve(WORLD.format(on=on, inject="{error: TIER_LIMIT_EXCEEDED}"))
    with Stack(api_key=KEY, base_url=served.base_url) as stack, pytest.raises(StackError) as refusal:
        stack.passports.revoke_agent("agent_a")
    assert refusal.value.code == "TIER_LIMIT_EXCEEDED"
