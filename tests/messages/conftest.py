"""A Messages surface on a real socket, and real MCP servers for its connector to dial."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from stack_emu.kernel.clock import RealClock
from stack_emu.kernel.world import World
from stack_emu.scenario.loader import loads
from stack_emu.surfaces.connector import Connector, is_loopback
from stack_emu.surfaces.messages import MessagesSurface

TOKEN = "mcp-bearer-of-the-test"
AGENT = "agent_deploy_bot"


@dataclass
class Emulated:
    """A served world. The model's script can be replaced between requests."""

    base_url: str
    world: World
    script: tuple[Any, ...]
    surface: MessagesSurface

    def entries(self) -> list[Any]:
        return list(self.world.journal.entries(surface="messages"))

    @property
    def last(self) -> Any:
        return self.entries()[-1]


@dataclass
class McpUnderTest:
    """A real MCP server: where it listens, what reached it, and what is wrong with its list (`fails`, `slow`)."""

    url: str
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    lists: int = 0
    trouble: str | None = None


@pytest.fixture(scope="session")
def messages_loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)
    loop.close()


@pytest.fixture
def emulate(messages_loop: asyncio.AbstractEventLoop) -> Iterator[Callable[..., Emulated]]:
    """`emulate(model_yaml, **options)`: serve a world whose scenario has this `model:` section."""
    running: list[tuple[web.ServerRunner, MessagesSurface]] = []

    def on_loop(coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, messages_loop).result(30)

    def start(model: str = "", *, connector: Connector | None = None, seed: int = 7, **options: Any) -> Emulated:
        script = loads("stack_emu: 1\n" + model).model
        world = World("default", seed, RealClock(), row_hash=lambda row: "x")
        emulated = Emulated("", world, script, None)  # type: ignore[arg-type]

        async def begin() -> None:
            surface = MessagesSurface(
                lambda *_: emulated.script,
                options.pop("resolve_mcp", lambda _, url: url if is_loopback(url) else None),
                lambda _, bearer: (AGENT, "deploy-bot") if bearer == TOKEN else None,
                connector=connector,
                **options,
            )

            async def handle(request: web.BaseRequest) -> web.StreamResponse:
                return await surface.handle(world, request, request.rel_url.raw_path.removeprefix("/anthropic"))

            runner = web.ServerRunner(web.Server(handle), handler_cancellation=True, shutdown_timeout=0.2)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            emulated.surface = surface
            emulated.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/anthropic"
            running.append((runner, surface))

        on_loop(begin())
        return emulated

    async def end(runner: web.ServerRunner, surface: MessagesSurface) -> None:
        await surface.aclose()
        await runner.cleanup()

    yield start
    for runner, surface in running:
        on_loop(end(runner, surface))


def _tools() -> list[Any]:
    import mcp_types as types

    schema = {"type": "object", "properties": {}}
    names = [
        "echo",
        "plain",
        "fail",
        "boom",
        "refuse_json",
        "many",
        "slow",
        "cut",
        *(f"filler_{number:02d}" for number in range(24)),
    ]
    return [types.Tool(name=name, description=name, input_schema=schema) for name in names]


async def _trouble(record: McpUnderTest) -> None:
    if record.trouble == "slow":
        await asyncio.sleep(60)
    if record.trouble == "fails":
        raise RuntimeError("the list always breaks")


async def _serve_or_cut(inner: Any, record: McpUnderTest, scope: Any, receive: Any, send: Any) -> None:
    """Serve a request, but break off in the middle of the answer to a call of the tool `cut`."""
    first = await receive()
    body = first.get("body", b"")
    while first.get("more_body"):
        more = await receive()
        body, first = body + more.get("body", b""), {**first, "more_body": more.get("more_body", False)}
    # Counted on the wire: a server of the modern era lists its own tools to check the headers of a call.
    record.lists += b'"method":"tools/list"' in body
    if b'"method":"tools/call"' in body and b'"name":"cut"' in body:
        headers = [(b"content-type", b"application/json"), (b"content-length", b"1000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"jsonrpc":', "more_body": True})
        return None
    unread = [{**first, "body": body}]

    async def again() -> Any:
        return unread.pop() if unread else await receive()

    return await inner(scope, again, send)


def _mcp_app(record: McpUnderTest, *, stateless: bool, json_response: bool) -> Any:
    import mcp_types as types
    from mcp.server.lowlevel import Server

    tools = _tools()

    async def list_tools(ctx: Any, params: Any) -> Any:
        await _trouble(record)
        start = int(params.cursor) if params and params.cursor else 0
        end = start + 10
        cursor = str(end) if end < len(tools) else None
        return types.ListToolsResult(tools=tools[start:end], next_cursor=cursor, ttl_ms=0, cache_scope="private")

    async def call_tool(ctx: Any, params: Any) -> Any:
        arguments = params.arguments or {}
        record.calls.append((params.name, arguments))
        text = types.TextContent
        if params.name == "echo":
            content = [text(type="text", text=json.dumps(arguments))]
            return types.CallToolResult(content=content, structured_content=arguments)
        await asyncio.sleep(60 if params.name == "slow" else 0)
        if params.name in ("plain", "slow"):
            return types.CallToolResult(content=[text(type="text", text="just words")])
        if params.name == "fail":
            return types.CallToolResult(content=[text(type="text", text="it went wrong")], is_error=True)
        if params.name == "refuse_json":
            body = {"error": {"code": "MISSION_REQUIRED", "message": "open a mission first"}}
            return types.CallToolResult(content=[text(type="text", text=json.dumps(body))], is_error=True)
        if params.name == "many":
            image = types.ImageContent(type="image", data="AAAA", mime_type="image/png")
            return types.CallToolResult(content=[text(type="text", text="one"), image])
        raise RuntimeError("this tool always breaks")

    server = Server("under-test", version="1", on_list_tools=list_tools, on_call_tool=call_tool)
    inner = server.streamable_http_app(stateless_http=stateless, json_response=json_response)

    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return await inner(scope, receive, send)
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        record.headers.append({**headers, ":method": scope["method"]})
        if headers.get("authorization") == f"Bearer {TOKEN}":
            return await _serve_or_cut(inner, record, scope, receive, send)
        body = b'{"error": "unauthorized"}'
        start = {"type": "http.response.start", "status": 401, "headers": [(b"content-type", b"application/json")]}
        await send(start)
        await send({"type": "http.response.body", "body": body})
        return None

    return guarded


@pytest.fixture(scope="session", params=["modern", "sessions", "legacy-json"])
def any_mcp(request: pytest.FixtureRequest) -> Iterator[McpUnderTest]:
    """An MCP server hosted in each way: without sessions, with sessions, both answering SSE, and with plain JSON."""
    yield from _run_mcp(stateless=request.param != "sessions", json_response=request.param == "legacy-json")


@pytest.fixture(scope="session")
def _shared_mcp() -> Iterator[McpUnderTest]:
    yield from _run_mcp(stateless=True, json_response=True)


@pytest.fixture
def mcp_server(_shared_mcp: McpUnderTest) -> McpUnderTest:
    """A real MCP server that wants the bearer `TOKEN`."""
    _shared_mcp.calls.clear()
    _shared_mcp.headers.clear()
    _shared_mcp.lists, _shared_mcp.trouble = 0, None
    return _shared_mcp


def _run_mcp(*, stateless: bool, json_response: bool) -> Iterator[McpUnderTest]:
    import uvicorn

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    record = McpUnderTest(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp")
    app = _mcp_app(record, stateless=stateless, json_response=json_response)
    config = uvicorn.Config(app, log_level="critical", ws="none", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield record
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """`client(emulated)`: the real SDK, pointed at a served world."""
    import anthropic

    opened: list[Any] = []

    def make(emulated: Emulated, **options: Any) -> Any:
        options = {"api_key": "sk-ant-emu", "max_retries": 0, **options}
        made = anthropic.Anthropic(base_url=emulated.base_url, **options)
        opened.append(made)
        return made

    yield make
    for made in opened:
        made.close()


def server_entry(mcp: McpUnderTest, **more: Any) -> dict[str, Any]:
    return {"type": "url", "url": mcp.url, "name": "stack", "authorization_token": TOKEN, **more}


@pytest.fixture
def entry() -> Callable[..., dict[str, Any]]:
    """`entry(mcp, **more)`: an `mcp_servers` entry for a server."""
    return server_entry


@pytest.fixture
def unused_tcp_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts connections and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)
        yield int(listener.getsockname()[1])
