"""The emulator's endpoint with the suite's fixtures behind it, for a client that can send no credential."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aiohttp import web
from multidict import CIMultiDict

from stack_emu.domain.families import registry
from stack_emu.hosting import Hosting
from stack_emu.scenario.loader import loads
from stack_emu.surfaces.mcp import McpSurface
from stack_emu.surfaces.server import Server
from tests.mcp.conftest import KEY


class Admitting(Server):
    """The server as it is, but that a request without a credential is given the operator's key."""

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if "Authorization" not in request.headers:
            headers = CIMultiDict(request.headers)
            headers["Authorization"] = f"Bearer {KEY}"
            request = request.clone(headers=headers)
        return await super()._handle(request)


@pytest.fixture
def admit(_loop: asyncio.AbstractEventLoop) -> Iterator[Callable[..., Admitting]]:
    """``admit(scenario text, build=None) -> Admitting``; ``build`` makes another MCP server than the emulator's."""
    running: list[Admitting] = []

    def start(text: str, build: Any = None) -> Admitting:
        operations = registry()

        def load() -> Hosting:
            hosting = Hosting(operations)
            hosting.create("default", loads(text))
            return hosting

        server = Admitting(load)

        async def begin() -> None:
            await server.start()
            await server.ready()
            if build is not None:
                await server._mcp.aclose()
                server._mcp = McpSurface(operations, server.spawn, hosts=server.allowed_hosts, build=build)
            await server._mcp.ready()

        asyncio.run_coroutine_threadsafe(begin(), _loop).result(30)
        running.append(server)
        return server

    yield start
    for server in running:
        asyncio.run_coroutine_threadsafe(server.stop(), _loop).result(20)
