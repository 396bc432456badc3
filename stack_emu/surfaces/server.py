"""The server: one aiohttp application that finds the world and the surface a request is for."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aiohttp import web

if TYPE_CHECKING:
    from stack_emu.hosting import HostedWorld, Hosting
    from stack_emu.surfaces.rest import RestSurface

MAX_BODY = 32 * 1024 * 1024
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_WORLD = re.compile(r"^/w/([A-Za-z0-9][A-Za-z0-9_.-]{0,63})(/.*)?$")
_log = logging.getLogger("stack_emu")


class Server:
    """Serves the worlds of a ``Hosting`` on one port.

    The port is bound first; what takes long to import is loaded in a thread, and the first requests wait for it.

    Args:
        load: builds the hosting; called in a thread once the port is bound.
    """

    def __init__(self, load: Callable[[], Hosting]) -> None:
        self._load = load
        self._tasks: set[asyncio.Task[Any]] = set()
        self._runner: web.AppRunner | None = None
        self._rest: RestSurface | None = None
        self._hosting: Hosting | None = None
        self._loading: asyncio.Task[None] | None = None
        self.host = "127.0.0.1"
        self.port = 0
        self.allowed_hosts: set[str] = set(LOOPBACK)

    @property
    def base_url(self) -> str:
        """Where the default world answers."""
        return f"http://{self.host}:{self.port}"

    @property
    def hosting(self) -> Hosting:
        """The worlds; only after ``ready``."""
        assert self._hosting is not None, "the server is not ready"
        return self._hosting

    def spawn(self, work: Awaitable[Any]) -> asyncio.Task[Any]:
        """Run a coroutine in a task of its own and keep a reference to it."""
        task: asyncio.Task[Any] = asyncio.get_running_loop().create_task(work)  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Bind the port and begin loading.

        Raises:
            OSError: when the port cannot be bound.
        """
        application = web.Application(client_max_size=MAX_BODY)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=0.3)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        self.host = host
        self.allowed_hosts.add(host.lower())
        self.port = self._runner.addresses[0][1]
        self._loading = asyncio.get_running_loop().create_task(self._finish_loading())

    async def _finish_loading(self) -> None:
        loop = asyncio.get_running_loop()
        self._hosting = await loop.run_in_executor(None, self._load)
        from stack_emu.surfaces.rest import RestSurface

        self._rest = RestSurface(self._hosting.registry, self.spawn)

    async def ready(self) -> None:
        """Wait until every world can answer.

        Raises:
            Exception: what building the worlds raised.
        """
        assert self._loading is not None, "the server was not started"
        await asyncio.shield(self._loading)

    async def stop(self) -> None:
        """Close the port and end what is still running."""
        if self._runner is not None:
            await self._runner.cleanup()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        await self.ready()
        refusal = self.check_authority(request)
        if refusal is not None:
            return refusal
        raw_path = request.rel_url.raw_path
        name, path, prefix = split_world(raw_path)
        hosted = self.hosting.get(name)
        if hosted is None:
            return _plain(404, "WORLD_NOT_FOUND", f"There is no world named {name}; create it with POST /_emu/worlds.")
        origin = f"{request.scheme}://{request.host}{prefix}"
        return await self.answer(hosted, request, path, origin)

    async def answer(
        self, hosted: HostedWorld, request: web.BaseRequest, path: str, origin: str
    ) -> web.StreamResponse:
        """Answer a request for a path of a world, on whichever surface owns the path."""
        assert self._rest is not None
        hosted.world.fire_due()
        return await self._rest.handle(hosted.world, request, path, origin)

    def check_authority(self, request: web.BaseRequest) -> web.Response | None:
        """Refuse a Host or Origin that is not this server's own, against DNS rebinding."""
        host = (urlsplit(f"//{request.host}").hostname or "").lower()
        if host not in self.allowed_hosts:
            return _plain(421, "HOST_REFUSED", f"Host {host} is not served here; use {self.base_url} or the gateway.")
        origin = request.headers.get("Origin")
        if origin and origin != "null" and (urlsplit(origin).hostname or "").lower() not in self.allowed_hosts:
            return _plain(403, "ORIGIN_REFUSED", f"Pages of {origin} may not call this emulator; use a loopback origin.")
        return None


def split_world(raw_path: str) -> tuple[str, str, str]:
    """(world name, path inside the world, URL prefix) of a raw path."""
    found = _WORLD.match(raw_path)
    if found is None:
        return "default", raw_path, ""
    return found[1], found[2] or "/", f"/w/{found[1]}"


def _plain(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"error": {"code": code, "message": message, "details": {}}}, status=status)


def settle_memory() -> None:
    """Move everything loaded so far out of the garbage collector's way."""
    gc.collect()
    gc.freeze()
