"""The credential proxy as a tool, and the endpoint under its real name through the gateway."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

import pytest

from stack_emu.domain.issuance import token_for
from stack_emu.domain.state import Passport
from tests.mcp.conftest import KEY, connected, payload, run

CREDENTIAL = "xoxb-never-shown-to-an-agent"
SCENARIO = f"""
stack_emu: 1
agents:
  - {{id: agt_bot, name: deploy-bot, accountability_mode: logged}}
services:
  - id: scon_slack
    provider: slack
    credential: {CREDENTIAL}
    scopes: [chat:write]
    upstream: slack
    grants: [{{agent: agt_bot, scopes: [chat:write]}}]
missions:
  - {{id: ms_one, agent: agt_bot, intent: Announce deploys, services: [slack]}}
passports:
  - {{id: pp_one, agent: agt_bot, mission: ms_one, services: [slack]}}
upstreams:
  slack: {{pack: slack, seed: {{channels: [{{name: eng}}]}}}}
"""
MESSAGE = {
    "service": "slack",
    "method": "POST",
    "url": "https://slack.com/api/chat.postMessage",
    "body": {"channel": "#eng", "text": "deploy started", "blocks": None},
}


@pytest.fixture
def served(serve: Callable[..., Any]) -> Any:
    return serve(SCENARIO)


def passport(served: Any) -> str:
    return str(served.call(lambda: token_for(served.world, served.world.store.get(Passport, "pp_one"))))


def rows_of(served: Any, action: str) -> list[Any]:
    return [row for row in served.rows() if row.action == action]


@pytest.mark.parametrize("bearer", ["operator key", "passport"])
def test_a_message_is_posted_and_its_credential_never_seen(served: Any, bearer: str) -> None:
    token = KEY if bearer == "operator key" else passport(served)

    async def work() -> Any:
        async with connected(f"{served.base_url}/mcp", token) as client:
            await client.list_tools()
            return await client.call_tool("stack_proxy_request", MESSAGE)

    sent = run(work())
    assert not sent.is_error, sent.content[0].text
    assert sent.structured_content["status"] == 200
    assert sent.structured_content["body"]["ok"] is True
    assert CREDENTIAL not in sent.content[0].text
    (row,) = rows_of(served, "credential.proxy")
    assert row.passport_jti == (None if bearer == "operator key" else "pp_one")
    (entry,) = served.world.journal.entries(surface="mcp")
    assert (entry.route, entry.operation, entry.status) == ("stack_proxy_request", "proxy.request", 200)
    assert CREDENTIAL not in str(entry)


def test_an_operator_may_act_under_a_passport_it_presents(served: Any) -> None:
    token = passport(served)

    async def work() -> Any:
        async with connected(f"{served.base_url}/mcp", KEY) as client:
            return await client.call_tool("stack_proxy_request", {**MESSAGE, "passport_token": token})

    assert not run(work()).is_error
    (row,) = rows_of(served, "credential.proxy")
    assert (row.passport_jti, row.agent_id) == ("pp_one", "agt_bot")
    (entry,) = served.world.journal.entries(surface="mcp")
    assert entry.lane == "agent:agt_bot/passport:pp_one"
    assert token not in str(entry)


def test_a_presented_passport_that_was_revoked_is_a_tool_error_and_a_row(served: Any) -> None:
    token = passport(served)

    async def work() -> Any:
        async with connected(f"{served.base_url}/mcp", KEY) as client:
            await client.call_tool("stack_revoke_passport", {"jti": "pp_one"})
            return await client.call_tool("stack_proxy_request", {**MESSAGE, "passport_token": token})

    refused = run(work())
    assert refused.is_error
    assert payload(refused)["error"]["code"] == "PASSPORT_REVOKED"
    assert [row.outcome for row in rows_of(served, "credential.proxy")] == ["blocked"]


def test_gathered_proxy_calls_of_one_session_are_all_answered(served: Any) -> None:
    async def work() -> list[Any]:
        async with connected(f"{served.base_url}/mcp", KEY, "legacy") as client:
            calls = (
                client.call_tool("stack_proxy_request", {**MESSAGE, "body": {"channel": "#eng", "text": str(number)}})
                for number in range(8)
            )
            return await asyncio.gather(*calls)

    assert [result.structured_content["body"]["message"]["text"] for result in run(work())] == list("01234567")


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
def test_the_endpoint_answers_under_its_real_name_through_the_gateway(served: Any, mode: str) -> None:
    import httpx2
    from mcp.client.client import Client
    from mcp.client.streamable_http import streamable_http_client

    from stack_emu.surfaces.host_gateway import HostGateway

    gateway = HostGateway(served.server)
    asyncio.run_coroutine_threadsafe(gateway.start(), served.loop).result(10)

    async def work() -> Any:
        trusted = ssl.create_default_context(cafile=gateway.ca_file)
        headers = {"Authorization": f"Bearer {KEY}"}
        async with (
            httpx2.AsyncClient(headers=headers, proxy=gateway.url("default"), verify=trusted) as http,
            Client(streamable_http_client("https://mcp.getstack.run/mcp", http_client=http), mode=mode) as client,
        ):
            return await client.call_tool("stack_proxy_request", MESSAGE)

    try:
        assert run(work()).structured_content["body"]["ok"] is True
    finally:
        asyncio.run_coroutine_threadsafe(gateway.stop(), served.loop).result(10)


def test_calls_that_race_in_one_lane_are_noticed_and_named_lanes_keep_them_apart(served: Any) -> None:
    from stack_emu.kernel.faults import FaultRule

    served.world.faults.add(FaultRule(on={"tool": "stack_proxy_request"}, inject={"delay": 150}))

    async def race(*lanes: str) -> None:
        async def one(lane: str) -> None:
            headers = {"X-Stack-Emu-Lane": lane} if lane else {}
            async with connected(f"{served.base_url}/mcp", KEY, headers=headers) as client:
                await client.list_tools()
                await barrier.wait()
                await client.call_tool("stack_proxy_request", MESSAGE)

        barrier = _Barrier(len(lanes))
        await asyncio.gather(*(one(lane) for lane in lanes))

    run(race("left", "right"))
    assert served.world.lanes.overlaps == []
    run(race("", ""))
    (overlap,) = served.world.lanes.overlaps
    assert (overlap.lane, overlap.first, overlap.second) == ("key:0", "proxy.request", "proxy.request")


class _Barrier:
    """Lets nobody pass before all have come (asyncio.Barrier is newer than Python 3.10)."""

    def __init__(self, parties: int) -> None:
        self._missing = parties
        self._open = asyncio.Event()

    async def wait(self) -> None:
        self._missing -= 1
        if not self._missing:
            self._open.set()
        await self._open.wait()
