"""tools/list in pages, and word of a list that changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from mcp.shared.exceptions import MCPError

from tests.mcp.conftest import KEY, Raw, connected, run
from tests.mcp.test_client_matrix import PYTHON, TYPESCRIPT, run_client

PAGES = "stack_emu: 1\nmcp: {page_size: 25}\n"
FOLLOWING = ["mcp==1.30.0", *TYPESCRIPT]
"""Clients whose users, or which themselves, ask for page after page."""


async def every_page(client: Any) -> list[list[str]]:
    pages, cursor = [], None
    while True:
        page = await client.list_tools(cursor=cursor, cache_mode="bypass")
        pages.append([tool.name for tool in page.tools])
        cursor = page.next_cursor
        if cursor is None:
            return pages


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
def test_a_client_that_follows_the_cursor_sees_every_tool_once(serve: Callable[..., Any], mode: str) -> None:
    served = serve(PAGES)

    async def work() -> list[list[str]]:
        async with connected(f"{served.base_url}/mcp", KEY, mode) as client:
            return await every_page(client)

    pages = run(work())
    assert [len(page) for page in pages[:-1]] == [25] * (len(pages) - 1)
    assert 0 < len(pages[-1]) <= 25
    assert [name for page in pages for name in page] == list(served.server.hosting.registry.tools)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("client", FOLLOWING)
def test_other_clients_follow_it_too(serve: Callable[..., Any], client: str) -> None:
    served = serve(PAGES)
    seen = run_client(client, f"{served.base_url}/mcp", KEY, [])
    assert seen["tools"] == list(served.server.hosting.registry.tools)
    assert client in PYTHON or client in TYPESCRIPT


@pytest.mark.parametrize("cursor", ["2", "", "c3RhY2tfbm90aGluZw==", "\u00e9", "%%%"])
@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
def test_a_cursor_that_is_none_is_invalid_params(serve: Callable[..., Any], mode: str, cursor: str) -> None:
    served = serve(PAGES)

    async def work() -> None:
        async with connected(f"{served.base_url}/mcp", KEY, mode) as client:
            with pytest.raises(MCPError, match="begin again without one") as refused:
                await client.list_tools(cursor=cursor)
            assert refused.value.code == -32602

    run(work())


def test_a_cursor_goes_on_where_the_page_of_another_credential_would_not(serve: Callable[..., Any]) -> None:
    """A cursor names a tool: for a credential that does not see it, it is none."""
    served = serve(
        PAGES
        + "agents: [{id: agent_a, name: a-bot}]\nmissions: [{id: ms_a, agent: agent_a, intent: Look, expires: 1h}]\n"
        + "passports: [{id: pp_a, agent: agent_a, mission: ms_a, ttl: 15m, env: STACK_PASSPORT}]\n"
    )
    owner = Raw(f"{served.base_url}/mcp")
    owner.initialize()
    cursor = owner.post("tools/list").json()["result"]["nextCursor"]
    assert owner.post("tools/list", {"cursor": cursor}).json()["result"]["tools"]
    agent = Raw(owner.url, served.server.describe(served.hosted)["passports"]["STACK_PASSPORT"])
    agent.initialize()
    assert agent.post("tools/list", {"cursor": cursor}).json()["error"]["code"] == -32602


# --- lists that changed ----------------------------------------------------------------------------------------------


def reload(served: Any, **body: Any) -> None:
    done = httpx.post(f"{served.base_url}/_emu/worlds", json={"name": "default", **body}, timeout=10)
    assert done.status_code in (200, 201), done.text


@pytest.mark.parametrize("answers", ["json", "streams"])
def test_a_client_of_the_handshake_era_hears_of_a_reloaded_scenario(serve: Callable[..., Any], answers: str) -> None:
    import httpx2
    from mcp.client.client import Client
    from mcp.client.streamable_http import streamable_http_client

    text = f"stack_emu: 1\nmcp: {{answers: {answers}}}\n"
    served = serve(text)
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def listen(message: Any) -> None:
        heard.put_nowait(getattr(message, "method", ""))

    async def work() -> str:
        headers = {"Authorization": f"Bearer {KEY}"}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=20) as http,
            Client(
                streamable_http_client(f"{served.base_url}/mcp", http_client=http),
                mode="legacy",
                message_handler=listen,
            ) as client,
        ):
            await client.list_tools()
            while heard.empty():  # the client opens its stream some time after its first request
                await asyncio.to_thread(reload, served, scenario_yaml=text)
                await asyncio.sleep(0.05)
            return heard.get_nowait()

    assert run(work()) == "notifications/tools/list_changed"


def test_the_handshake_says_that_changes_are_told(serve: Callable[..., Any]) -> None:
    hello = Raw(f"{serve().base_url}/mcp").initialize().json()
    assert hello["result"]["capabilities"]["tools"] == {"listChanged": True}


def test_a_client_of_revision_2026_hears_of_a_reloaded_scenario(serve: Callable[..., Any]) -> None:
    served = serve()

    async def work() -> Any:
        url = f"{served.base_url}/mcp"
        async with connected(url, KEY, "2026-07-28") as client, client.listen(tools_list_changed=True) as events:
            await asyncio.to_thread(reload, served)
            return type(await anext(aiter(events))).__name__

    assert run(work()) == "ToolsListChanged"


def test_a_server_that_goes_ends_the_streams_of_those_who_listen(serve_registry: Callable[..., Any]) -> None:
    from stack_emu.domain.families import registry

    bare = serve_registry(registry())

    async def work() -> list[Any]:
        async with connected(bare.url, KEY, "2026-07-28") as client, client.listen(tools_list_changed=True) as events:
            await asyncio.to_thread(bare.stop)
            return [event async for event in events]

    assert run(work()) == []


def test_a_reset_is_told_too_and_other_worlds_hear_nothing(serve: Callable[..., Any]) -> None:
    served = serve()
    httpx.post(f"{served.base_url}/_emu/worlds", json={"name": "blue"}, timeout=10).raise_for_status()

    async def work() -> list[str]:
        heard: list[str] = []

        async def listen(url: str, name: str) -> None:
            async with connected(url, KEY, "2026-07-28") as client, client.listen(tools_list_changed=True) as events:
                ready.release()
                async for _ in events:
                    heard.append(name)
                    done.set()

        ready, done = asyncio.Semaphore(0), asyncio.Event()
        tasks = [
            asyncio.create_task(listen(f"{served.base_url}{prefix}/mcp", name))
            for prefix, name in (("", "default"), ("/w/blue", "blue"))
        ]
        await ready.acquire()
        await ready.acquire()
        async with httpx.AsyncClient() as http:
            (await http.post(f"{served.base_url}/w/blue/_emu/reset", timeout=10)).raise_for_status()
        await asyncio.wait_for(done.wait(), 10)
        await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return heard

    assert run(work()) == ["blue"]
