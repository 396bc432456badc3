"""The MCP client of this process and raw JSON-RPC against a served world."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from stack_emu.hosting import Hosting
from stack_emu.kernel.operations import Registry
from stack_emu.scenario.loader import loads
from stack_emu.surfaces.server import Server

KEY = "sk_live_emu_operator"
STREAMS = "stack_emu: 1\nmcp: {answers: streams}\n"
ACCEPT = "application/json, text/event-stream"


@asynccontextmanager
async def connected(
    url: str, bearer: str, mode: str = "auto", headers: dict[str, str] | None = None
) -> AsyncIterator[Any]:
    """The client of mcp 2.x on an endpoint; ``mode`` is ``auto``, ``legacy`` or a pinned revision."""
    import httpx2
    from mcp.client.client import Client
    from mcp.client.streamable_http import streamable_http_client

    sent = {"Authorization": f"Bearer {bearer}", **(headers or {})}
    async with (
        httpx2.AsyncClient(headers=sent, timeout=20) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        yield client


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a client's coroutine in a loop of its own, bounded."""
    return asyncio.run(asyncio.wait_for(work, 30))


def payload(result: Any) -> Any:
    """The JSON in the text of a tool result."""
    return json.loads(result.content[0].text)


@dataclass
class Raw:
    """Streamable HTTP by hand, in the handshake era."""

    url: str
    bearer: str | None = KEY
    headers: dict[str, str] = field(default_factory=dict)
    session: str | None = None
    number: int = 0

    def send(self, method: str = "POST", bearer: str | None = ..., **options: Any) -> httpx.Response:  # type: ignore[assignment]
        token = self.bearer if bearer is ... else bearer
        headers = {"Accept": ACCEPT, **self.headers}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        if self.session is not None:
            headers["Mcp-Session-Id"] = self.session
        return httpx.request(method, self.url, headers=headers, **{"timeout": 20, **options})

    def post(self, method: str, params: dict[str, Any] | None = None, **options: Any) -> httpx.Response:
        self.number += 1
        body = {"jsonrpc": "2.0", "id": self.number, "method": method, "params": params or {}}
        return self.send(json=body, **options)

    def initialize(self) -> httpx.Response:
        hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}
        response = self.post("initialize", hello)
        if response.status_code == 200:
            self.session = response.headers["Mcp-Session-Id"]
            self.send(json={"jsonrpc": "2.0", "method": "notifications/initialized"})
        return response

    def call(self, tool: str, arguments: dict[str, Any], **options: Any) -> httpx.Response:
        return self.post("tools/call", {"name": tool, "arguments": arguments}, **options)


@pytest.fixture
def raw(serve: Callable[..., Any]) -> Callable[..., Raw]:
    """``raw(served, bearer) -> Raw`` on the default world's endpoint."""
    return lambda served, bearer=KEY, **headers: Raw(f"{served.base_url}/mcp", bearer, headers)


@dataclass
class Bare:
    """A server of a registry made by the test."""

    server: Server
    loop: asyncio.AbstractEventLoop

    @property
    def url(self) -> str:
        return f"{self.server.base_url}/mcp"

    @property
    def world(self) -> Any:
        hosted = self.server.hosting.get("default")
        assert hosted is not None
        return hosted.world

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self.server.stop(), self.loop).result(20)


@pytest.fixture
def serve_registry(_loop: asyncio.AbstractEventLoop) -> Iterator[Callable[..., Bare]]:
    """Serve operations the test declares: ``serve_registry(registry, scenario text) -> Bare``."""
    running: list[Bare] = []

    def start(registry: Registry, text: str = "stack_emu: 1", **surface: Any) -> Bare:
        def load() -> Hosting:
            hosting = Hosting(registry)
            hosting.create("default", loads(text))
            return hosting

        server = Server(load)

        async def begin() -> None:
            await server.start()
            await server.ready()
            if surface:
                from stack_emu.surfaces.mcp import McpSurface

                await server._mcp.aclose()
                server._mcp = McpSurface(registry, server.spawn, **surface)

        asyncio.run_coroutine_threadsafe(begin(), _loop).result(20)
        running.append(Bare(server, _loop))
        return running[-1]

    yield start
    for bare in running:
        bare.stop()
