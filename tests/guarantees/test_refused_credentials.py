"""A passport that may not be used any more is refused at the door, and the refusal stands in the audit log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

SCENARIO = """
stack_emu: 1
agents: [{id: agent_a, name: aa, accountability_mode: logged}]
services: [{id: scon_x, provider: x, scopes: [read], grants: [{agent: agent_a}]}]
missions: [{id: ms_a, agent: agent_a, intent: Look, services: [x]}]
passports: [{id: pp_a, agent: agent_a, mission: ms_a, env: TOKEN}]
upstreams: {x: {hosts: [x.example.com], routes: [{reply: {json: {}}}]}}
"""
CALL = {"service": "x", "url": "https://x.example.com/", "method": "GET"}


@pytest.fixture
def revoked(serve: Callable[..., Any]) -> tuple[Any, str]:
    from stack_emu.domain.provision import scenario_tokens

    served = serve(SCENARIO)
    token = scenario_tokens(served.world, served.hosted.scenario)["TOKEN"]
    headers = {"Authorization": "Bearer sk_live_emu_operator"}
    httpx.post(f"{served.base_url}/v1/passports/revoke", json={"jti": "pp_a"}, headers=headers).raise_for_status()
    return served, token


def rows(served: Any) -> list[tuple[Any, ...]]:
    found = [row for row in served.rows() if row.action == "credential.proxy"]
    return [(row.outcome, row.error_code, row.agent_id, row.passport_jti, row.metadata.get("intent")) for row in found]


EXPECTED = [("blocked", "PASSPORT_REVOKED", "agent_a", "pp_a", "Look")]


def test_over_rest(revoked: tuple[Any, str]) -> None:
    served, token = revoked
    reply = httpx.post(f"{served.base_url}/v1/proxy", json=CALL, headers={"Authorization": f"Bearer {token}"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (401, "PASSPORT_REVOKED")
    assert rows(served) == EXPECTED


def test_over_mcp(revoked: tuple[Any, str]) -> None:
    served, token = revoked
    message = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "stack_proxy_request", "arguments": CALL},
    }
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream"}
    reply = httpx.post(f"{served.base_url}/mcp", json=message, headers=headers)
    assert (reply.status_code, reply.json()["error"]["data"]["code"]) == (401, "PASSPORT_REVOKED")
    assert rows(served) == EXPECTED


def test_a_read_and_a_forged_token_leave_no_row(revoked: tuple[Any, str]) -> None:
    served, token = revoked
    before = len(served.rows())
    for bearer, path in ((token, "/v1/agents/agent_a"), (token[:-6] + "AAAAAA", "/v1/agents/agent_a")):
        assert httpx.get(f"{served.base_url}{path}", headers={"Authorization": f"Bearer {bearer}"}).status_code == 401
    forged = {"Authorization": f"Bearer {token[:-6]}AAAAAA"}
    assert httpx.post(f"{served.base_url}/v1/proxy", json=CALL, headers=forged).status_code == 401
    assert len(served.rows()) == before
