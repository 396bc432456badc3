"""Unmodified MCP clients list and call tools, whichever protocol era they speak."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from mcp.shared.exceptions import MCPError

from tests.mcp.conftest import KEY, STREAMS, connected, payload, run

MODES = [("auto", "2026-07-28"), ("legacy", "2025-11-25"), ("2026-07-28", "2026-07-28")]


@pytest.mark.parametrize(("mode", "protocol"), MODES)
def test_the_client_of_mcp_2_lists_calls_and_sees_errors(serve: Callable[..., Any], mode: str, protocol: str) -> None:
    served = serve()

    async def work() -> None:
        async with connected(f"{served.base_url}/mcp", KEY, mode) as client:
            assert client.protocol_version == protocol
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert set(tools) == set(served.server.hosting.registry.tools)
            made = await client.call_tool("stack_register_agent", {"name": "deploy-bot"})
            assert not made.is_error
            assert made.structured_content == payload(made)
            again = await client.call_tool("stack_register_agent", {"name": "deploy-bot"})
            assert again.is_error
            assert payload(again)["error"]["code"] == "CONFLICT"
            with pytest.raises(MCPError, match="The nearest is stack_register_agent") as unknown:
                await client.call_tool("stack_register_agents", {})
            assert unknown.value.code == -32602

    run(work())
    assert [row.action for row in served.rows()] == ["agent.register", "agent.register"]


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
def test_event_streams_carry_the_same_answers(serve_registry: Callable[..., Any], mode: str) -> None:
    from stack_emu.domain.families import registry

    bare = serve_registry(registry(), STREAMS)

    async def work() -> Any:
        async with connected(bare.url, KEY, mode) as client:
            await client.list_tools()
            return await client.call_tool("stack_register_agent", {"name": "streamed"})

    assert payload(run(work()))["name"] == "streamed"


def test_many_sessions_at_once_are_all_answered(serve: Callable[..., Any]) -> None:
    import asyncio

    served = serve()

    async def one(number: int) -> str:
        async with connected(f"{served.base_url}/mcp", KEY, "legacy") as client:
            return str(payload(await client.call_tool("stack_register_agent", {"name": f"bot-{number}"}))["id"])

    async def work() -> list[str]:
        return await asyncio.gather(*(one(number) for number in range(20)))

    assert len(set(run(work()))) == 20


def test_a_call_through_a_client_is_journaled_with_its_tool_and_lane(serve: Callable[..., Any]) -> None:
    served = serve()

    async def work() -> None:
        async with connected(f"{served.base_url}/mcp", KEY, headers={"X-Stack-Emu-Lane": "left"}) as client:
            made = payload(await client.call_tool("stack_register_agent", {"name": "deploy-bot"}))
            await client.call_tool("stack_get_agent", {"agent_id": made["id"]})
            await client.call_tool("stack_get_agent", {"agent_id": made["id"], "colour": "blue"})

    run(work())
    first, second, third = served.world.journal.entries(surface="mcp")
    assert (first.method, first.path, first.route) == ("tools/call", "/mcp", "stack_register_agent")
    assert (first.operation, first.status, first.caller) == ("agents.register", 201, "operator")
    assert first.lane == "key:0/left"
    assert first.request == {"name": "deploy-bot"}
    assert (second.route, second.status, second.unread) == ("stack_get_agent", 200, ())
    assert (third.status, third.code, third.unread) == (400, "INVALID_REQUEST", ("colour",))
