"""What a scenario's fault rules do to single tools, as clients meet it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from mcp.shared.exceptions import MCPError

from stack_emu.scenario.loader import inspect_text
from stack_emu.verdict import verdict
from tests.mcp.conftest import KEY, Raw, connected, payload, run
from tests.mcp.test_client_matrix import TYPESCRIPT, run_client

MODES = ["legacy", "2026-07-28"]
ARGUMENTS = {"name": "deploy-bot"}


def faulty(inject: str, on: str = "tool: stack_register_agent", more: str = "") -> str:
    return f"stack_emu: 1\n{more}faults: [{{on: {{{on}}}, inject: {{{inject}}}}}]\n"


def call(url: str, mode: str, tool: str = "stack_register_agent", arguments: Any = ARGUMENTS) -> Any:
    async def work() -> Any:
        async with connected(url, KEY, mode) as client:
            return await client.call_tool(tool, arguments)

    return run(work())


@pytest.mark.parametrize("mode", MODES)
def test_an_error_is_a_tool_error_with_its_code(serve: Callable[..., Any], mode: str) -> None:
    refused = call(f"{serve(faulty('error: TIER_LIMIT_EXCEEDED')).base_url}/mcp", mode)
    assert refused.is_error
    assert payload(refused)["error"]["code"] == "TIER_LIMIT_EXCEEDED"


@pytest.mark.parametrize("mode", MODES)
def test_a_slow_tool_answers_late_and_other_tools_do_not_wait_for_it(serve: Callable[..., Any], mode: str) -> None:
    served = serve(faulty("delay: 600ms"))

    async def work() -> list[str]:
        done: list[str] = []
        async with connected(f"{served.base_url}/mcp", KEY, mode) as client:

            async def ask(name: str, arguments: dict[str, Any]) -> None:
                await client.call_tool(name, arguments)
                done.append(name)

            await asyncio.gather(ask("stack_register_agent", ARGUMENTS), ask("stack_list_agents", {}))
        return done

    assert run(work()) == ["stack_list_agents", "stack_register_agent"]


@pytest.mark.parametrize("answers", ["json", "streams"])
@pytest.mark.parametrize(("drop", "rows"), [("request", 0), ("reply", 1)])
def test_a_dropped_connection_is_no_answer(serve: Callable[..., Any], answers: str, drop: str, rows: int) -> None:
    served = serve(faulty(f"drop: {drop}", more=f"mcp: {{answers: {answers}}}\n"))
    client = Raw(f"{served.base_url}/mcp")
    client.initialize()
    with pytest.raises(httpx.RemoteProtocolError):
        client.call("stack_register_agent", ARGUMENTS)
    assert len(served.rows()) == rows
    assert client.post("ping").status_code == 200


# --- tools that disappear --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_a_hidden_tool_is_not_listed_and_not_known(serve: Callable[..., Any], mode: str) -> None:
    served = serve(faulty("hide: true", "tool: stack_register_*"))

    async def work() -> None:
        async with connected(f"{served.base_url}/mcp", KEY, mode) as client:
            names = {tool.name for tool in (await client.list_tools()).tools}
            assert "stack_list_agents" in names
            assert names == set(served.server.hosting.registry.tools) - {"stack_register_agent"}
            with pytest.raises(MCPError, match="Unknown tool: stack_register_agent") as unknown:
                await client.call_tool("stack_register_agent", ARGUMENTS)
            assert unknown.value.code == -32602

    run(work())
    assert served.rows() == []
    assert served.world.faults.unfired() == []


@pytest.mark.parametrize("client", TYPESCRIPT)
@pytest.mark.timeout(240)
def test_other_clients_miss_a_hidden_tool_as_well(serve: Callable[..., Any], client: str) -> None:
    served = serve(faulty("hide: true"))
    seen = run_client(client, f"{served.base_url}/mcp", KEY, [["stack_register_agent", ARGUMENTS]])
    assert "stack_register_agent" not in seen["tools"]
    assert seen["answers"][0]["error"] is not False
    assert "stack_register_agent" in seen["answers"][0]["shown"]


def test_a_tool_disappears_in_time_and_comes_back_and_whoever_listens_is_told(serve: Callable[..., Any]) -> None:
    served = serve(faulty("hide: true", "tool: stack_register_agent, after: 10s, until: 20s"), clock="virtual")

    async def work() -> list[bool]:
        seen = []
        async with (
            connected(f"{served.base_url}/mcp", KEY, "2026-07-28") as client,
            client.listen(tools_list_changed=True) as events,
        ):
            told = aiter(events)
            for milliseconds in (0, 10_000, 10_000):
                if milliseconds:
                    await asyncio.to_thread(served.advance, milliseconds)
                    await asyncio.wait_for(anext(told), 10)
                tools = (await client.list_tools(cache_mode="refresh")).tools
                seen.append("stack_register_agent" in {tool.name for tool in tools})
        return seen

    assert run(work()) == [True, False, True]


def test_a_rule_that_hides_has_fired_only_when_somebody_could_notice(serve: Callable[..., Any]) -> None:
    served = serve(faulty("hide: true"), strict=True)
    assert [finding.kind for finding in verdict(served.hosted).failures] == ["unfired_fault"]
    client = Raw(f"{served.base_url}/mcp")
    client.initialize()
    client.post("tools/list")
    assert verdict(served.hosted).ok


# --- malformed results -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("tool", ["stack_register_agent", "stack_list_agents"])
def test_a_malformed_result_is_noticed_by_the_client(serve: Callable[..., Any], mode: str, tool: str) -> None:
    served = serve(faulty("malformed: true", f"tool: {tool}, nth: 1"))
    arguments = ARGUMENTS if tool == "stack_register_agent" else {}

    async def work() -> None:
        async with connected(f"{served.base_url}/mcp", KEY, mode) as client:
            with pytest.raises(RuntimeError, match="structured content"):
                await client.call_tool(tool, arguments)
            assert not (await client.call_tool("stack_list_agents", {})).is_error

    run(work())
    assert len(served.rows()) == (1 if tool == "stack_register_agent" else 0)


def test_its_text_breaks_off(serve: Callable[..., Any]) -> None:
    client = Raw(f"{serve(faulty('malformed: true')).base_url}/mcp")
    client.initialize()
    result = client.call("stack_register_agent", ARGUMENTS).json()["result"]
    text = result["content"][0]["text"]
    assert text.startswith("{")
    assert not text.endswith("}")
    assert result["structuredContent"] == {"malformed": True}


MISTAKES = [
    ("malformed: true", "tool: stack_x", "strict: true\n", "strict: true allows none"),
    ("malformed: true", "operation: agents.list", "", "malformed is for MCP tools; add tool to on"),
    ("malformed: true, status: 500", "tool: stack_x", "", "a call has one answer"),
    ("hide: true", "operation: agents.list", "", "hide is for MCP tools; add tool to on"),
    ("hide: true, delay: 1s", "tool: stack_x", "", "does nothing else"),
    ("hide: true", "tool: stack_x, nth: 2", "", "hide stands whatever is called"),
]


@pytest.mark.parametrize(("inject", "on", "more", "sentence"), MISTAKES)
def test_a_rule_that_cannot_be_is_refused(inject: str, on: str, more: str, sentence: str) -> None:
    problems = inspect_text(faulty(inject, on, more)).problems
    assert any(sentence in problem.sentence for problem in problems), problems
