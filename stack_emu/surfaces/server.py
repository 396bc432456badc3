"""The server: one aiohttp application that finds the world and the surface a request is for."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

from aiohttp import HttpVersion11, web

from stack_emu.surfaces import hosts_and_origins
from stack_emu.surfaces.broken_replies import WIRE_KEY, deliver
from stack_emu.surfaces.hosts_and_origins import LOOPBACK
from stack_emu.surfaces.http_connection import PATIENCE_SECONDS, HttpConnection, HttpServer
from stack_emu.surfaces.lane import LANE_KEY, WORLD_NAME_KEY

if TYPE_CHECKING:
    from pathlib import Path

    from stack_emu.hosting import HostedWorld, Hosting
    from stack_emu.kernel.world import World
    from stack_emu.reloading import Step
    from stack_emu.scenario.composition import Choices
    from stack_emu.scenario.findings import Vocabulary
    from stack_emu.scenario.loader import Inspection
    from stack_emu.scenario.models import Scenario
    from stack_emu.state_file import StateFile
    from stack_emu.surfaces.control import ControlSurface
    from stack_emu.surfaces.mcp import McpSurface
    from stack_emu.surfaces.model_apis import ModelApis
    from stack_emu.surfaces.rest import RestSurface

MAX_BODY = 32 * 1024 * 1024
MODEL_KEY = "sk-ant-emu"
OPENAI_KEY = "sk-emu"
_WORLD = re.compile(r"^/w/([A-Za-z0-9][A-Za-z0-9_.-]{0,63})(?:/~([A-Za-z0-9_.:-]{1,64}))?(/.*)?$")
_WELL_KNOWN = re.compile(
    r"^(/\.well-known/(?:oauth-protected-resource|oauth-authorization-server|openid-configuration))(/w/.+)$"
)
_TIMER_PAUSE_SECONDS = 0.1
_MCP_PAUSE_SECONDS = 0.4
_log = logging.getLogger("stack_emu")


class ScenarioFiles:
    """Scenarios by path, read again only when the file changed, and checked against what this version serves."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[tuple[int, ...], Inspection]] = {}
        self._vocabulary: Vocabulary | None = None

    def load(self, path: Path, choices: Choices | None = None) -> Scenario:
        """The scenario in a file or folder, with the overlays and variables chosen.

        Raises:
            ScenarioError: when it has mistakes.
        """
        return self.inspect(path, choices).require()

    def inspect(self, path: Path, choices: Choices | None = None) -> Inspection:
        """The scenario in a file or folder with its warnings, or its mistakes."""
        from stack_emu.scenario.loader import inspect_path

        key = f"{path}\n{choices}"
        known = self._known.get(key)
        if known is None or known[0] != _stamps(known[1].files):
            found = inspect_path(path, self.vocabulary(), choices)
            known = self._known[key] = (_stamps(found.files), found)
        return known[1]

    def vocabulary(self) -> Vocabulary:
        """What the words of a scenario are checked against."""
        if self._vocabulary is None:
            from stack_emu.vocabulary import vocabulary

            self._vocabulary = vocabulary()
        return self._vocabulary


def _stamps(files: Iterable[Path]) -> tuple[int, ...]:
    return tuple(file.stat().st_mtime_ns if file.exists() else 0 for file in files)


_LONGEST_REQUEST_LINE = 65_536
"""Bytes of a request line. What OAuth puts into a URL can be longer than the 8 KB that aiohttp reads, percent-encoded."""


class Server:
    """Serves the worlds of a ``Hosting`` on one port.

    The port is bound first; what takes long to import is loaded in a thread, and the first requests wait for it.

    Args:
        load: builds the hosting; called in a thread once the port is bound.
        patience: seconds a client may take for the head of a request, and then for its body.
    """

    def __init__(self, load: Callable[[], Hosting], *, patience: float = PATIENCE_SECONDS) -> None:
        self._load = load
        self._patience = patience
        self._tasks: set[asyncio.Task[Any]] = set()
        self._calls: set[asyncio.Task[Any]] = set()
        self._runner: web.ServerRunner | None = None
        self._hosting: Hosting | None = None
        self._loading: asyncio.Task[None] | None = None
        self._timer_trouble = ""
        self._document: dict[str, Any] | None = None
        self._rest: RestSurface
        self._mcp: McpSurface
        self._model: ModelApis
        self._control: ControlSurface
        self._screened: Callable[[World, web.BaseRequest, str, web.StreamResponse], web.StreamResponse]
        self.scenarios = ScenarioFiles()
        self.gateway_url: Callable[[str], str] | None = None
        self.gateway_ca_file: str | None = None
        self.host = "127.0.0.1"
        self.port = 0
        self.allowed_hosts: set[str] = set(LOOPBACK)

    @property
    def base_url(self) -> str:
        """Where the default world answers."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{'127.0.0.1' if self.host in ('0.0.0.0', '::') else host}:{self.port}"  # noqa: S104

    @property
    def hosting(self) -> Hosting:
        """The worlds; only after ``ready``."""
        assert self._hosting is not None, "the server is not ready"
        return self._hosting

    @property
    def state(self) -> StateFile | None:
        """The file the worlds are kept in, if there is one."""
        return None if self._hosting is None else self._hosting.state

    def spawn(self, work: Awaitable[Any]) -> asyncio.Task[Any]:
        """Run a coroutine in a task of its own and keep a reference to it."""
        task: asyncio.Task[Any] = asyncio.get_running_loop().create_task(work)  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def spawn_call(self, work: Awaitable[Any]) -> asyncio.Task[Any]:
        """As ``spawn``, for the rest of a call that talks to an upstream."""
        task = self.spawn(work)
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)
        return task

    def open_things(self) -> dict[str, int]:
        """What the server holds open: connections to its port, tasks of its own, and calls that wait for an upstream."""
        served = self._runner.server if self._runner is not None else None
        connections = len(served.connections) if isinstance(served, web.Server) else 0
        return {"connections": connections, "tasks": len(self._tasks), "calls": len(self._calls)}

    async def end_calls(self, seconds: float) -> None:
        """Let calls that are under way come to their end, and settle what does not as of unknown outcome.

        Args:
            seconds: how long to wait for them.
        """
        from stack_emu.domain.proxy_operations import recover

        if self._calls:
            _, late = await asyncio.wait(tuple(self._calls), timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for hosted in self.hosting:
            recover(hosted.world)

    # --- life -------------------------------------------------------------------------------------------------------

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Bind the port and begin loading.

        Raises:
            OSError: when the port cannot be bound.
        """
        # No aiohttp application: worlds and surfaces do their own routing, and its router would cost a fifth of a call.
        low_level = HttpServer(
            self._handle,
            patience=self._patience,
            request_factory=_make_request,
            handler_cancellation=True,
            access_log=None,
            max_line_size=_LONGEST_REQUEST_LINE,
        )
        self._runner = web.ServerRunner(low_level, shutdown_timeout=0.1)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError:
            await self._runner.cleanup()
            raise
        self.host = host
        self.allowed_hosts.add(host.lower())
        self.port = self._runner.addresses[0][1]
        self._loading = asyncio.get_running_loop().create_task(self._finish_loading())

    async def _finish_loading(self) -> None:
        hosting = await asyncio.get_running_loop().run_in_executor(None, self._load_all)
        self._hosting = hosting
        self._make_surfaces(hosting)
        self.spawn(self._keep_time())

    def _load_all(self) -> Hosting:
        import stack_emu.surfaces.rest  # noqa: F401  loaded here, off the event loop

        return self._load()

    def _make_surfaces(self, hosting: Hosting) -> None:
        from stack_emu.domain.oauth_urls import resource_metadata_url
        from stack_emu.surfaces.control import ControlSurface
        from stack_emu.surfaces.mcp import McpSurface
        from stack_emu.surfaces.model_apis import ModelApis
        from stack_emu.surfaces.rest import RestSurface
        from stack_emu.surfaces.secret_exits import screened
        from stack_emu.surfaces.wiring import announce_reloads

        hosting.sender.serve(self.spawn)
        self._screened = screened
        self._rest = RestSurface(hosting.registry, self.spawn_call)
        self._control = ControlSurface(self)
        # Loaded on its first request, or by preload(): a test process may be importing mcp itself right now.
        self._mcp = McpSurface(
            hosting.registry,
            self.spawn,
            hosts=self.allowed_hosts,
            resource_metadata=lambda world, origin: resource_metadata_url(origin),
            spawn_call=self.spawn_call,
        )
        self._model = ModelApis(self)
        announce_reloads(self)

    async def tools_changed(self, world: str) -> None:
        """Tell the MCP clients of a world that its tools may be others now."""
        await self._mcp.tools_changed(world)

    async def _load_mcp_soon(self) -> None:
        """Import in the background, but not against the first requests: both would wait for the interpreter lock."""
        await asyncio.sleep(_MCP_PAUSE_SECONDS)
        await self._mcp.start_loading(settle_memory)

    async def _keep_time(self) -> None:
        """Fire the timers of worlds on real clocks also while no request comes."""
        while True:
            await asyncio.sleep(_TIMER_PAUSE_SECONDS)
            await self._tick()

    async def _tick(self) -> None:
        for hosted in self.hosting:
            if not hosted.world.clock.virtual:
                self._fire_due(hosted)
            if self.state is not None:
                self.state.write()
            await self._mcp.watch_tools(hosted.world)

    def _fire_due(self, hosted: HostedWorld) -> None:
        """Fire the timers that are due. One that fails stays armed; it is reported once, and requests go on."""
        try:
            hosted.world.fire_due()
        except Exception:
            trouble = hosted.world.redactor.traceback()
            if trouble != self._timer_trouble:
                self._timer_trouble = trouble
                _log.error("a timer of world %s failed and stays armed\n%s", hosted.world.name, trouble)

    async def ready(self) -> None:
        """Wait until every world can answer.

        Raises:
            Exception: what building the worlds raised.
        """
        assert self._loading is not None, "the server was not started"
        if not self._loading.done():
            await asyncio.shield(self._loading)
        self._loading.result()

    async def preload(self) -> None:
        """Wait until worlds can answer; load what the first MCP request would wait for soon after.

        For a process that only serves: a program that imports ``mcp`` itself at the same time may find half of it.
        """
        await self.ready()
        self.spawn(self._load_mcp_soon())

    async def stop(self) -> None:
        """Close the port and end what is still running."""
        if self._loading is not None:
            await asyncio.wait([self._loading], timeout=5)
        if self._hosting is not None:
            await self._mcp.aclose()
            await self._model.aclose()
            for hosted in self._hosting:
                await hosted.world.settings["upstreams"].aclose()
        if self._runner is not None:
            await self._runner.cleanup()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- requests ---------------------------------------------------------------------------------------------------

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("Expect", "").lower() == "100-continue" and request.version == HttpVersion11:
            # curl waits a second for this before it sends a large body.
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        refusal = self.check_authority(request)
        if refusal is not None:
            return refusal
        await self.ready()
        name, lane, path, prefix = split_world(request.rel_url.raw_path)
        hosted = self.hosting.get(name)
        if path == "/_emu/world":
            request[WORLD_NAME_KEY] = name
            if hosted is None and request.method in (
                "PUT",
                "DELETE",
            ):  # made, or removed already: the default world answers
                hosted = self.hosting.get("default")
        if hosted is None:
            return _plain(
                404, "WORLD_NOT_FOUND", f"There is no world named {name}; create it with PUT {_making(name)}."
            )
        if lane:
            request[LANE_KEY] = lane
        return await self.answer(hosted, request, path, f"{request.scheme}://{request.host}{prefix}")

    async def answer(self, hosted: HostedWorld, request: web.BaseRequest, path: str, origin: str) -> web.StreamResponse:
        """Answer a request for a path of a world, on whichever surface owns the path.

        Args:
            hosted: the world.
            request: the HTTP request.
            path: raw path inside the world.
            origin: scheme, authority and world prefix the client used.
        """
        self._fire_due(hosted)
        refusal = check_headers(request) or self._unwritten()
        if refusal is not None:
            return refusal
        try:
            response = await self._answer(hosted, request, path, origin)
            response = self._unwritten() or response
            response = self._screened(hosted.world, request, path, response)
            return await deliver(request, response) if WIRE_KEY in request else response
        except web.HTTPException:
            raise
        except Exception as error:
            if request.writer.output_size:  # the reply has begun: breaking it off is all that can be said
                raise
            if isinstance(error, web.RequestPayloadError):
                problem = "The body cannot be read: it is cut short, or not encoded as its headers say."
                return _plain(400, "INVALID_REQUEST", problem)
            redactor = hosted.world.redactor
            _log.error(
                "%s %s failed inside the emulator\n%s", request.method, redactor.text(path), redactor.traceback()
            )
            return _plain(500, "INTERNAL_ERROR", f"The emulator failed inside {redactor.text(path)}.")

    def _unwritten(self) -> web.Response | None:
        """Write what changed to the state file, if there is one; the refusal when it cannot be written."""
        if self.state is None or (problem := self.state.write()) is None:
            return None
        return _plain(
            503, "STATE_NOT_WRITTEN", f"{problem}; nothing is lost, and nothing is done until it can be written."
        )

    async def _answer(
        self, hosted: HostedWorld, request: web.BaseRequest, path: str, origin: str
    ) -> web.StreamResponse:
        if path == "/mcp":
            return await self._mcp.handle(hosted, request, origin)
        if path == "/anthropic" or path.startswith("/anthropic/"):
            return await self._model.messages.handle(hosted.world, request, path.removeprefix("/anthropic"), origin)
        if path == "/openai" or path.startswith("/openai/"):
            return await self._model.openai.handle(hosted.world, request, path.removeprefix("/openai"))
        if path == "/_emu" or path.startswith("/_emu/"):
            return await self._control.handle(hosted, request, path)
        if path in ("", "/"):
            return self._index(hosted, origin)
        if path.startswith("/identity/verify/"):
            from stack_emu.surfaces import identity_page

            return await identity_page.answer(hosted.world, request, path)
        if path.startswith("/oauth/"):
            from stack_emu.surfaces import oauth_pages

            if oauth_pages.serves(path):
                return await oauth_pages.answer(hosted.world, request, path, origin)
        if path == "/openapi.json" and request.method == "GET":
            return await self._openapi(origin)
        if path.startswith("/v1/webhooks/inbound/") and request.method == "POST":
            from stack_emu.surfaces.inbound import receive

            return await receive(hosted.world, request, path)
        return await self._rest.handle(hosted.world, request, path, origin)

    async def answer_upstream(self, hosted: HostedWorld, request: web.BaseRequest, url: str) -> web.StreamResponse:
        """Answer a request that reached an upstream's host without going through STACK."""
        from stack_emu.surfaces.wiring import direct_call

        refusal = check_headers(request)
        if refusal is not None:
            return refusal
        response = self._unwritten() or await direct_call(hosted, request, url)
        response = self._unwritten() or response
        return await deliver(request, response) if WIRE_KEY in request else response

    async def _openapi(self, origin: str) -> web.Response:
        from stack_emu.surfaces.rest import json_response

        if self._document is None:
            self._document = await asyncio.to_thread(self._describe_rest)
        return json_response({**self._document, "servers": [{"url": origin}]})

    def _describe_rest(self) -> dict[str, Any]:
        from stack_emu import __version__
        from stack_emu.surfaces.openapi import document

        return document(self.hosting.registry, __version__)

    def _index(self, hosted: HostedWorld, origin: str) -> web.Response:
        from stack_emu import __version__
        from stack_emu.surfaces.rest import json_response

        return json_response(
            {
                "name": "stack-emu",
                "version": __version__,
                "about": "A local emulator of STACK for tests; independent of STACK and not affiliated with it.",
                "world": hosted.world.name,
                "scenario": hosted.scenario.name,
                "rest": f"{origin}/v1",
                "openapi": f"{origin}/openapi.json",
                "mcp": f"{origin}/mcp",
                "anthropic": f"{origin}/anthropic",
                "openai": f"{origin}/openai/v1",
                "control": f"{origin}/_emu/health",
            }
        )

    def check_authority(self, request: web.BaseRequest) -> web.Response | None:
        """Refuse a Host or Origin that is not this server's own, against DNS rebinding."""
        return hosts_and_origins.refusal(request, self.allowed_hosts, self.base_url)

    async def reload(self, hosted: HostedWorld, inspected: Inspection, *, dry_run: bool = False) -> list[Step]:
        """Take a changed scenario over into a world and tell its MCP clients.

        Args:
            hosted: the world.
            inspected: the scenario as it reads now.
            dry_run: whether only to say what would be done.

        Raises:
            ScenarioError: when it has mistakes; the world goes on as it was.
            WorldError: when the world it describes cannot be.
        """
        from stack_emu.reloading import reload

        steps = reload(self.hosting, hosted, inspected.require(), dry_run=dry_run)
        if dry_run:
            return steps
        hosted.text = inspected.text
        if self.state is not None:
            self.state.scenario_changed(hosted.world, inspected.text())
        hosted.on_reset()
        return steps

    def world_url(self, name: str) -> str:
        """Base URL of a world."""
        return self.base_url if name == "default" else f"{self.base_url}/w/{name}"

    def describe(self, hosted: HostedWorld, authority: str | None = None) -> dict[str, Any]:
        """Everything a client needs to use a world.

        Args:
            hosted: the world.
            authority: scheme and authority by which the client reaches this server; the server's own when left out.
        """
        from stack_emu.domain.provision import scenario_tokens

        base = self.world_url(hosted.world.name).replace(self.base_url, authority or self.base_url, 1)
        return {
            "name": hosted.world.name,
            "scenario": hosted.scenario.name,
            "base_url": base,
            "mcp_url": f"{base}/mcp",
            "anthropic_base_url": f"{base}/anthropic",
            "anthropic_api_key": MODEL_KEY,
            "openai_base_url": f"{base}/openai/v1",
            "openai_api_key": OPENAI_KEY,
            "gateway_url": self.gateway_url(hosted.world.name) if self.gateway_url is not None else None,
            "ca_file": self.gateway_ca_file,
            "api_key": hosted.scenario.operators[0].keys[0].key,
            "passports": scenario_tokens(hosted.world, hosted.scenario),
            "upstreams": sorted(hosted.scenario.upstreams),
            "clock": "virtual" if hosted.world.clock.virtual else "real",
            "strict": hosted.strict,
        }


def split_world(raw_path: str) -> tuple[str, str, str, str]:
    """(world name, lane, path inside the world, URL prefix) of a raw path; ``/w/<name>/~<lane>/…`` names a lane.

    Metadata documents have the world's path inserted behind their well-known name (RFC 8414, RFC 9728).
    """
    document = _WELL_KNOWN.match(raw_path)
    if document is not None:
        name, lane, path, prefix = split_world(document[2])
        return name, lane, document[1] + ("" if path == "/" else path), prefix
    found = _WORLD.match(raw_path)
    if found is None:
        return "default", "", raw_path, ""
    lane = found[2] or ""
    return found[1], lane, found[3] or "/", f"/w/{found[1]}" + (f"/~{lane}" if lane else "")


def _making(name: str) -> str:
    return "/_emu/world" if name == "default" else f"/w/{name}/_emu/world"


def check_headers(request: web.BaseRequest) -> web.Response | None:
    """Refuse header values that are no text: nothing that is kept or hashed could hold them."""
    for name, value in request.raw_headers:
        if value.isascii():
            continue
        try:
            value.decode("utf-8")
        except UnicodeDecodeError:
            shown = name.decode("ascii", "replace")
            return _plain(400, "INVALID_REQUEST", f"The value of the header {shown} is not UTF-8; encode it so.")
    return None


def _plain(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"error": {"code": code, "message": message, "details": {}}}, status=status)


def _make_request(message: Any, payload: Any, protocol: Any, writer: Any, task: asyncio.Task[None]) -> web.BaseRequest:
    loop = asyncio.get_running_loop()
    message, target = hosts_and_origins.in_origin_form(message)
    request = web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=MAX_BODY)
    if target is not None:
        request[hosts_and_origins.TARGET] = target
    if isinstance(protocol, HttpConnection):
        protocol.expect_body(payload)
    return request


def settle_memory() -> None:
    """Move everything loaded so far out of the garbage collector's way, and let it look less often: rows stay anyway."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
