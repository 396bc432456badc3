"""Fault rules hit what they name, and answer STACK's operations in the way they say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx2
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


BETA = {"name": "beta"}
MODERN = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "stack_register_agent"}
_MCP = "io.modelcontextprotocol/"
META = {
    f"{_MCP}protocolVersion": "2026-07-28",
    f"{_MCP}clientCapabilities": {},
    f"{_MCP}clientInfo": {"name": "raw", "version": "1"},
}


def faulty(serve: Callable[..., Any], on: str, inject: str) -> Any:
    return serve(WORLD.format(on=on, inject=inject))


def bearer() -> dict[str, str]:
    return {"Authorization": f"Bearer {KEY}"}


@pytest.mark.parametrize(
    ("inject", "body", "kind"),
    [
        ("{status: 503, headers: {Retry-After: 7}, json: {down: true}}", '{"down": true}', "application/json"),
        (
            "{status: 503, headers: {Retry-After: 7, Content-Type: text/html}, body: <p>down</p>}",
            "<p>down</p>",
            "text/html",
        ),
    ],
)
def test_a_rule_s_status_headers_and_body_are_sent(
    serve: Callable[..., Any], inject: str, body: str, kind: str
) -> None:
    served = faulty(serve, "{operation: agents.list}", inject)
    reply = httpx2.get(f"{served.base_url}/v1/agents", headers=bearer())
    assert (reply.status_code, reply.headers["Retry-After"], reply.text) == (503, "7", body)
    assert reply.headers["Content-Type"].startswith(kind)


def test_headers_go_with_an_error_of_stack(serve: Callable[..., Any]) -> None:
    served = faulty(serve, "{operation: agents.list}", "{status: 429, headers: {Retry-After: 7}}")
    reply = httpx2.get(f"{served.base_url}/v1/agents", headers=bearer())
    assert (reply.status_code, reply.headers["Retry-After"]) == (429, "7")
    assert reply.json()["error"]["details"] == {"injected": True}


def test_a_dropped_request_takes_no_effect_and_leaves_no_row(serve: Callable[..., Any]) -> None:
    served = faulty(serve, "{operation: agents.register, nth: 1}", "{drop: request}")
    url = f"{served.base_url}/v1/agents/register"
    with pytest.raises(httpx2.RemoteProtocolError):
        httpx2.post(url, headers=bearer(), json=BETA)
    assert served.rows() == []
    assert httpx2.post(url, headers=bearer(), json=BETA).status_code == 201


def test_a_dropped_reply_leaves_the_effect_and_its_row(serve: Callable[..., Any]) -> None:
    served = faulty(serve, "{operation: agents.register, nth: 1}", "{drop: reply}")
    url = f"{served.base_url}/v1/agents/register"
    with pytest.raises(httpx2.RemoteProtocolError):
        httpx2.post(url, headers=bearer(), json=BETA)
    assert [row.action for row in served.rows()] == ["agent.register"]
    assert [agent["name"] for agent in httpx2.get(f"{served.base_url}/v1/agents", headers=bearer()).json()] == [
        "alpha",
        "beta",
    ]


@pytest.mark.parametrize(("drop", "rows"), [("request", []), ("reply", ["agent.register"])])
def test_a_tool_call_can_lose_its_connection_too(serve: Callable[..., Any], drop: str, rows: list[str]) -> None:
    served = faulty(serve, "{tool: stack_register_agent}", f"{{drop: {drop}}}")
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
    params = {"name": "stack_register_agent", "arguments": BETA, "_meta": META}
    headers = {**bearer(), "Accept": "application/json, text/event-stream", **MODERN}
    with pytest.raises(httpx2.RemoteProtocolError):
        httpx2.post(f"{served.base_url}/mcp", headers=headers, json={**call, "params": params}, timeout=10)
    assert [row.action for row in served.rows()] == rows
