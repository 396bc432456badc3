"""The MCP transport: the ``mcp`` package's session managers, loaded late, held in a task of their own, behind the bridge."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from aiohttp import web

from stack_emu.surfaces.mcp_bridge import Spawn, answer_asgi

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

STACK_HOSTS = ("mcp.getstack.run", "api.getstack.run")
"""Names under which the endpoint is reached through the gateway."""

RETRY_MS = 100
"""How long a client whose stream ended early is asked to wait before it comes back for the rest."""


class McpServing:
    """Serves one MCP server to HTTP requests, both protocol eras on one URL, with JSON or event streams as answers.

    Importing ``mcp`` takes longer than everything else together, so it is done in a thread: on the first request, or
    before it where nothing else in the process imports ``mcp`` (two threads that import its modules in different orders
    can each see the other's half).

    Args:
        build: makes the server; called in the loading thread.
        spawn: starts a background task and keeps a reference to it.
        hosts: host names clients may use, besides STACK's own.
    """

    def __init__(self, build: Callable[[], Server[Any]], spawn: Spawn, *, hosts: Iterable[str]) -> None:
        self._make_server = build
        self._spawn = spawn
        self._hosts = tuple(hosts)
        self._loading: asyncio.Task[None] | None = None
        self._holder: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        self._managers: Mapping[bool, StreamableHTTPSessionManager] = {}

    async def start_loading(self, settle: Callable[[], None] | None = None) -> None:
        """Begin to import what the endpoint needs, unless that has begun; returns at once.

        Args:
            settle: called in the loading thread once everything is imported.
        """
        if self._loading is None or _failed(self._loading):
            self._loading = self._spawn(self._load(settle))

    async def ready(self) -> None:
        """Wait until calls can be answered.

        Raises:
            Exception: what loading raised.
        """
        await self.start_loading()
        assert self._loading is not None
        await asyncio.shield(self._loading)

    async def aclose(self) -> None:
        """End every session and open stream; later requests are answered 503."""
        self._stop.set()
        if self._holder is not None:
            await asyncio.gather(self._holder, return_exceptions=True)
        _end_stream_watcher()

    async def answer(
        self, request: web.BaseRequest, extra: Mapping[str, Any], *, streams: bool, begun: asyncio.Event | None = None
    ) -> web.StreamResponse:
        """Answer one HTTP request; only after ``ready``.

        Args:
            request: the HTTP request.
            extra: further keys of its ASGI scope; ``user`` is whose the session is.
            streams: answer calls with event streams rather than with JSON.
            begun: is set once the first piece of a streamed answer has been sent.
        """
        if self._stop.is_set() or not self._managers:
            return web.Response(status=503, text="The emulator is stopping; start it again to go on.")
        return await answer_asgi(self._managers[streams].asgi_app, request, extra, self._spawn, begun)

    async def _load(self, settle: Callable[[], None] | None) -> None:
        managers = await asyncio.get_running_loop().run_in_executor(None, self._build)
        if settle is not None:
            await asyncio.get_running_loop().run_in_executor(None, settle)
        started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._holder = self._spawn(self._hold(managers, started))
        await started
        self._managers = managers

    async def _hold(self, managers: Mapping[bool, StreamableHTTPSessionManager], started: asyncio.Future[None]) -> None:
        # A manager's task group has to be entered and left by one task.
        async with managers[False].run(), managers[True].run():
            started.set_result(None)
            await self._stop.wait()

    def _build(self) -> Mapping[bool, StreamableHTTPSessionManager]:
        importlib.import_module("mcp")  # the package first: threads that start with different modules of it see halves
        from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
        from mcp.server.transport_security import TransportSecuritySettings

        from stack_emu.surfaces.mcp_events import streaming_manager

        names = [f"[{name}]" if ":" in name else name for name in (*self._hosts, *STACK_HOSTS)]
        hosts = [form for name in names for form in (name, f"{name}:*")]
        security = TransportSecuritySettings(
            enable_dns_rebinding_protection=True,
            allowed_hosts=hosts,
            allowed_origins=[f"{scheme}://{host}" for scheme in ("http", "https") for host in hosts],
        )
        server = self._make_server()
        return {
            False: StreamableHTTPSessionManager(server, json_response=True, security_settings=security),
            True: streaming_manager(server, security_settings=security, retry_interval=RETRY_MS),
        }


def _failed(task: asyncio.Task[None]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


def _end_stream_watcher() -> None:
    """End the task sse-starlette leaves in the loop after its first stream, which polls for a uvicorn server."""
    for task in asyncio.all_tasks():
        if getattr(task.get_coro(), "__qualname__", "") == "_shutdown_watcher":
            task.cancel()
