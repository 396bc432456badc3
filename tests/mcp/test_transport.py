"""The bridge between aiohttp and the MCP transport: streams that drop, bodies of any size, an end without waiting."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from stack_emu.domain.families import registry
from stack_emu.surfaces.mcp_bridge import answer_asgi
from tests.mcp.conftest import KEY, STREAMS, Raw, connected, payload, run

STREAM = {"Accept": "text/event-stream"}


def opened(bare: Any) -> Raw:
    client = Raw(bare.url)
    assert client.initialize().status_code == 200
    return client


def stream(client: Raw) -> Any:
    headers = {"Authorization": f"Bearer {KEY}", "Mcp-Session-Id": str(client.session), **STREAM}
    return httpx.stream("GET", client.url, headers=headers, timeout=20)


def test_a_dropped_stream_can_be_opened_again_and_the_session_lives_on(serve_registry: Callable[..., Any]) -> None:
    client = opened(serve_registry(registry()))
    for _ in range(5):
        deadline = time.monotonic() + 5
        while True:  # the server notices a closed socket a moment after the client closed it
            with stream(client) as response:
                if response.status_code == 200:
                    break
            assert response.status_code == 409
            assert time.monotonic() < deadline, "the dropped stream still counts as open"
    assert client.post("tools/list").status_code == 200


def test_only_one_stream_is_open_in_a_session(serve_registry: Callable[..., Any]) -> None:
    client = opened(serve_registry(registry()))
    with stream(client) as first:
        assert first.status_code == 200
        with stream(client) as second:
            assert second.status_code == 409


def test_the_server_ends_within_a_second_while_streams_are_open(serve_registry: Callable[..., Any]) -> None:
    bare = serve_registry(registry())
    clients = [opened(bare) for _ in range(3)]
    ended: list[int] = []
    ready = threading.Barrier(len(clients) + 1)

    def listen(client: Raw) -> None:
        with stream(client) as response:
            ready.wait(10)
            for _ in response.iter_raw():
                pass
            ended.append(response.status_code)

    threads = [threading.Thread(target=listen, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    ready.wait(10)
    began = time.monotonic()
    bare.stop()
    took = time.monotonic() - began
    for thread in threads:
        thread.join(10)
    assert ended == [200, 200, 200]
    assert took < 1


def test_stopping_leaves_no_task_behind(serve_registry: Callable[..., Any]) -> None:
    bare = serve_registry(registry(), STREAMS)
    client = opened(bare)
    with stream(client):
        pass

    async def left() -> set[str]:
        me = asyncio.current_task()
        await asyncio.sleep(0)
        return {task.get_coro().__qualname__ for task in asyncio.all_tasks() if task is not me}

    bare.stop()
    names = asyncio.run_coroutine_threadsafe(left(), bare.loop).result(10)
    assert "_shutdown_watcher" not in names
    assert not any(name.startswith(("McpSurface", "_Exchange", "StreamableHTTP")) for name in names)


def test_after_the_end_requests_are_told_that_the_emulator_stops(serve_registry: Callable[..., Any]) -> None:
    bare = serve_registry(registry())
    client = opened(bare)
    asyncio.run_coroutine_threadsafe(bare.server._mcp.aclose(), bare.loop).result(10)
    response = client.post("tools/list")
    assert response.status_code == 503
    assert "stopping" in response.text


def test_a_client_that_leaves_right_after_initialize_keeps_its_session(serve_registry: Callable[..., Any]) -> None:
    """aiohttp cancels the handler then; the session must not be taken for one that failed to open."""
    import socket

    bare = serve_registry(registry(), STREAMS)
    Raw(bare.url).initialize()
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "hasty", "version": "1"}}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}).encode()
    head = (
        f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{bare.server.port}\r\nAuthorization: Bearer {KEY}\r\n"
        "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode()
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", bare.server.port), timeout=10) as connection:
            connection.sendall(head + body)
            seen = b""
            while b"serverInfo" not in seen:
                seen += connection.recv(65536)
        session = seen.lower().split(b"mcp-session-id: ")[1].split(b"\r\n")[0].decode()
        assert Raw(bare.url, session=session).post("ping").status_code == 200


def test_a_body_too_large_for_the_protocol_is_a_413(serve_registry: Callable[..., Any]) -> None:
    client = opened(serve_registry(registry()))
    response = client.call("stack_register_agent", {"name": "x" * (5 * 1024 * 1024)})
    assert response.status_code == 413


@pytest.mark.parametrize("body", [b"{", b"[]", b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]'])
def test_what_is_no_json_rpc_message_is_a_400(serve_registry: Callable[..., Any], body: bytes) -> None:
    client = opened(serve_registry(registry()))
    client.headers["Content-Type"] = "application/json"
    assert client.send(content=body).status_code == 400


def test_methods_the_protocol_does_not_have_are_a_405(serve_registry: Callable[..., Any]) -> None:
    client = opened(serve_registry(registry()))
    assert client.send("PUT", json={}).status_code == 405


def test_a_list_with_a_cursor_is_refused_and_one_without_is_the_same_every_time(
    serve_registry: Callable[..., Any],
) -> None:
    client = opened(serve_registry(registry()))
    first, second = client.post("tools/list"), client.post("tools/list")
    assert first.json()["result"] == second.json()["result"]
    refused = client.post("tools/list", {"cursor": "2"})
    assert refused.json()["error"]["code"] == -32602


def test_revision_2026_says_how_long_its_list_is_fresh_and_for_whom(serve_registry: Callable[..., Any]) -> None:
    bare = serve_registry(registry())

    async def work() -> Any:
        async with connected(bare.url, KEY, "2026-07-28") as client:
            return await client.list_tools()

    listed = run(work())
    assert (listed.ttl_ms, listed.cache_scope) == (60_000, "private")


def test_the_endpoint_loads_again_when_loading_failed_once(
    serve_registry: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = serve_registry(registry())
    surface = bare.server._mcp._serving
    build = surface._build
    failures = [ImportError("half a package")]

    def flaky() -> Any:
        if failures:
            raise failures.pop()
        return build()

    monkeypatch.setattr(surface, "_build", flaky)
    assert Raw(bare.url).initialize().status_code == 500
    assert Raw(bare.url).initialize().status_code == 200


def test_a_client_gone_before_the_answer_loses_only_the_answer(serve_registry: Callable[..., Any]) -> None:
    bare = serve_registry(registry())
    client = opened(bare)
    slow_rule(bare)
    with pytest.raises(httpx.ReadTimeout):
        client.call("stack_register_agent", {"name": "slow-bot"}, timeout=0.1)
    deadline = time.monotonic() + 5
    while not bare.world.audit.rows("op_emu"):
        assert time.monotonic() < deadline, "the call was lost with its client"
        time.sleep(0.01)
    assert [row.outcome for row in bare.world.audit.rows("op_emu")] == ["success"]


def slow_rule(bare: Any) -> None:
    from stack_emu.kernel.faults import FaultRule

    bare.world.faults.add(FaultRule(on={"tool": "stack_register_agent"}, inject={"delay": 300}))


def test_an_application_streams_through_the_bridge_in_pieces_and_sees_the_request_as_sent() -> None:
    from aiohttp import web

    seen: dict[str, Any] = {}

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.update(scope, body=(await receive())["body"])
        headers = [(b"content-type", b"text/plain"), (b"content-length", b"99"), (b"x-a", b"1"), (b"x-a", b"2")]
        await send({"type": "http.response.start", "status": 201, "headers": headers})
        for piece in (b"one ", b"two ", b""):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"three", "more_body": False})

    async def work() -> tuple[int, str, list[str]]:
        tasks: set[Any] = set()

        def spawn(coroutine: Any) -> Any:
            task = asyncio.get_running_loop().create_task(coroutine)
            tasks.add(task)
            return task

        async def handler(request: web.BaseRequest) -> web.StreamResponse:
            return await answer_asgi(application, request, {"extra": 7}, spawn)

        runner = web.ServerRunner(web.Server(handler))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        async with httpx.AsyncClient() as client:
            answer = await client.post(f"http://127.0.0.1:{port}/a%20b/c?q=%2F", content=b"hello")
        await runner.cleanup()
        return answer.status_code, answer.text, answer.headers.get_list("x-a")

    assert asyncio.run(work()) == (201, "one two three", ["1", "2"])
    assert (seen["method"], seen["path"], seen["raw_path"]) == ("POST", "/a b/c", b"/a%20b/c")
    assert (seen["query_string"], seen["body"], seen["extra"]) == (b"q=%2F", b"hello", 7)
    assert (b"host", seen["headers"][0][1]) == seen["headers"][0]


def test_calls_of_one_session_in_flight_together_are_all_answered(serve_registry: Callable[..., Any]) -> None:
    bare = serve_registry(registry())

    async def work() -> list[Any]:
        async with connected(bare.url, KEY, "legacy") as client:
            calls = (client.call_tool("stack_register_agent", {"name": f"bot-{number}"}) for number in range(10))
            return [payload(result) for result in await asyncio.gather(*calls)]

    assert {agent["name"] for agent in run(work())} == {f"bot-{number}" for number in range(10)}
