"""MCP at ``/mcp``: Streamable HTTP of both protocol eras on one URL, a tool per operation.

The protocol is the ``mcp`` package's (low-level server and session manager). Importing it takes longer than everything
else together, so it is done in a thread: on the first request, or before it where nothing else in the process imports
``mcp`` (two threads that import its modules in different orders can each see the other's half). Answers are plain JSON
unless ``mcp_json`` is False: no operation sends anything before its reply, the clients tried all take both, and in the
handshake era JSON takes half the time of an event stream.
"""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from aiohttp import web

from stack_emu.domain import faults
from stack_emu.domain.authentication import OAUTH, authenticate, refused_holder
from stack_emu.kernel.dispatch import Call, authorise, note_refusal
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import Caller, Command, Registry
from stack_emu.kernel.world import World
from stack_emu.surfaces.lane import lane_of
from stack_emu.surfaces.mcp_bridge import Spawn, answer_asgi
from stack_emu.surfaces.mcp_calls import MCP_PATH, Exchange, ToolCalls
from stack_emu.surfaces.mcp_tools import Catalogue
from stack_emu.surfaces.rest import abort, bearer_of, fault_response

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
    from mcp_types import CallToolResult

    from stack_emu.hosting import HostedWorld

STACK_HOSTS = ("mcp.getstack.run", "api.getstack.run")
"""Names under which the endpoint is reached through the gateway."""

_EXCHANGE = "stack_emu.exchange"
_LIST_FRESH_MS = 60_000
_LISTS_KEPT = 256


class McpSurface:
    """Serves the tools of a registry to MCP clients, for every world of a server.

    A session belongs to the principal and the world that opened it: to anybody else it does not exist. The bearer is
    checked again on every request, so a revoked one is refused on its next.

    Args:
        registry: what to serve.
        spawn: starts a background task and keeps a reference to it.
        hosts: host names clients may use, besides STACK's own.
        mcp_json: answer calls with JSON rather than with an event stream.
        resource_metadata: (world, origin) → URL of the protected-resource metadata named in a 401, when there is one.
        spawn_call: starts the rest of a call that talks to an upstream; ``spawn`` when left out.
    """

    def __init__(
        self,
        registry: Registry,
        spawn: Spawn,
        *,
        hosts: Iterable[str] = ("127.0.0.1", "localhost", "::1"),
        mcp_json: bool = True,
        resource_metadata: Callable[[World, str], str] | None = None,
        spawn_call: Spawn | None = None,
    ) -> None:
        self.resource_metadata = resource_metadata
        self._registry = registry
        self._spawn = spawn
        self._spawn_call = spawn_call or spawn
        self._hosts = tuple(hosts)
        self._json = mcp_json
        self._loading: asyncio.Task[None] | None = None
        self._holder: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        self._manager: StreamableHTTPSessionManager | None = None
        self._calls: ToolCalls | None = None

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

    async def handle(self, hosted: HostedWorld, request: web.BaseRequest, origin: str) -> web.StreamResponse:
        """Answer one HTTP request to the endpoint.

        Args:
            hosted: the world asked.
            request: the HTTP request.
            origin: scheme and authority (and world prefix) the client used.
        """
        world = hosted.world
        ticket = world.lanes.ticket()
        try:
            caller = self._authenticate(world, request)
        except Fault as fault:
            await self._note_refusal(world, request, fault)
            return self._refuse(world, request, origin, fault)
        if caller.kind == OAUTH and caller.grant_id is None:
            missing = await self._lacks_scope(world, caller, request)
            if missing is not None:
                return self._refuse(world, request, origin, missing)
        await self.ready()
        if self._stop.is_set() or self._manager is None:
            return web.Response(status=503, text="The emulator is stopping; start it again to go on.")
        lane = lane_of(request)
        client = request.headers.get("User-Agent")
        exchange = Exchange(world, caller, ticket, origin, lane, client, lambda: abort(request))
        extra = {_EXCHANGE: exchange, "user": _principal(world, caller)}
        return await answer_asgi(self._manager.asgi_app, request, extra, self._spawn)

    @staticmethod
    def _authenticate(world: World, request: web.BaseRequest) -> Caller:
        bearer = bearer_of(request)
        if bearer is None:
            raise Fault(
                faults.UNAUTHORIZED,
                hint="Send Authorization: Bearer with an operator key, a member key, an agent JWT or a passport.",
            )
        # A connection of an MCP client is many requests behind one bearer, so an agent JWT serves for all of its 60 s.
        return authenticate(world, bearer, single_use=False)

    async def _note_refusal(self, world: World, request: web.BaseRequest, fault: Fault) -> None:
        """Leave the row of a tool call made with a passport that may not be used any more."""
        holder = refused_holder(world, _bearer_text(request))
        if holder is None:
            return
        try:
            message = json.loads(await request.read())
            declared = self._registry.tools[message["params"]["name"]] if message["method"] == "tools/call" else None
            arguments = dict(message["params"].get("arguments") or {}) if declared is not None else {}
        except (ValueError, TypeError, KeyError, AttributeError):
            return
        if declared is not None:
            call = Call(declared, holder, arguments, lane_suffix=lane_of(request), tool=message["params"]["name"])
            note_refusal(world, call, fault)

    async def _lacks_scope(self, world: World, caller: Caller, request: web.BaseRequest) -> Fault | None:
        """The refusal of a tool call whose token lacks the tool's scope: MCP wants it as a challenge that can be met."""
        try:
            message = json.loads(await request.read())
            called = message["method"] == "tools/call"
            declared = self._registry.tools[message["params"]["name"]] if called else None
            arguments = dict(message["params"].get("arguments") or {}) if called else {}
        except (ValueError, TypeError, KeyError, AttributeError):
            return None
        scopes, needed = caller.scopes, declared.auth.scope if declared is not None else None
        if declared is None or OAUTH not in declared.auth.bearers or needed is None:
            return None
        if scopes is None or needed in scopes:
            return None
        call = Call(declared, caller, arguments, lane_suffix=lane_of(request), tool=message["params"]["name"])
        try:
            authorise(world, call, Command())
        except Fault as fault:
            note_refusal(world, call, fault)
            return fault
        return None

    def _refuse(self, world: World, request: web.BaseRequest, origin: str, fault: Fault) -> web.StreamResponse:
        entry = world.journal.add(world.now_ms(), "mcp", request.method, MCP_PATH)
        entry.status, entry.code = fault.status, fault.code
        response = fault_response(world, fault)
        if fault.status in (401, 403):
            response.headers["WWW-Authenticate"] = self._challenge(world, request, origin, fault)
        return response

    def _challenge(self, world: World, request: web.BaseRequest, origin: str, fault: Fault) -> str:
        """The WWW-Authenticate value of RFC 6750: no error is named when no credential was sent."""
        parts = []
        if "Authorization" in request.headers:
            text = world.redactor.text(fault.message).replace("\\", "").replace('"', "'")
            description = text.encode("ascii", "replace").decode("ascii").replace("\n", " ").replace("\r", " ")
            scope = fault.details.get("missing_scope")
            word = "invalid_token" if scope is None else "insufficient_scope"
            parts += [f'error="{word}"', f'error_description="{description}"']
            if scope is not None:
                parts.append(f'scope="{scope}"')
        if self.resource_metadata is not None:
            parts.append(f'resource_metadata="{self.resource_metadata(world, origin)}"')
        return "Bearer " + ", ".join(parts) if parts else "Bearer"

    # --- loading ----------------------------------------------------------------------------------------------------

    async def _load(self, settle: Callable[[], None] | None) -> None:
        manager = await asyncio.get_running_loop().run_in_executor(None, self._build)
        if settle is not None:
            await asyncio.get_running_loop().run_in_executor(None, settle)
        started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._holder = self._spawn(self._hold(manager, started))
        await started
        self._manager = manager

    async def _hold(self, manager: StreamableHTTPSessionManager, started: asyncio.Future[None]) -> None:
        # The manager's task group has to be entered and left by one task.
        async with manager.run():
            started.set_result(None)
            await self._stop.wait()

    def _build(self) -> StreamableHTTPSessionManager:
        importlib.import_module("mcp")  # the package first: threads that start with different modules of it see halves
        from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
        from mcp.server.transport_security import TransportSecuritySettings

        names = [f"[{name}]" if ":" in name else name for name in (*self._hosts, *STACK_HOSTS)]
        hosts = [form for name in names for form in (name, f"{name}:*")]
        security = TransportSecuritySettings(
            enable_dns_rebinding_protection=True,
            allowed_hosts=hosts,
            allowed_origins=[f"{scheme}://{host}" for scheme in ("http", "https") for host in hosts],
        )
        self._calls = ToolCalls(Catalogue(self._registry), self._spawn_call)
        server = build_server(self._calls)
        return StreamableHTTPSessionManager(server, json_response=self._json, security_settings=security)


def build_server(calls: ToolCalls) -> Server[Any]:
    """The low-level MCP server over a set of tools.

    Its list of tools is kept in wire form per protocol version and kind of caller; OpenTelemetry's middleware is left
    out; looking a schema up spares each call of the 2026 era a listing.
    """
    import mcp_types as types
    from mcp.server.caching import CacheHint
    from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
    from mcp.server.lowlevel import Server
    from mcp.shared.exceptions import MCPError

    lists: dict[Any, HandlerResult] = {}

    async def list_tools(
        ctx: ServerRequestContext[Any, Any], params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        if params is not None and params.cursor is not None:
            raise MCPError(code=types.INVALID_PARAMS, message="The tools come in one page; leave cursor out")
        visible = calls.catalogue.visible(_exchange(ctx).caller)
        return types.ListToolsResult(tools=[types.Tool.model_validate(entry.definition) for entry in visible])

    async def call_tool(ctx: ServerRequestContext[Any, Any], params: types.CallToolRequestParams) -> CallToolResult:
        return await calls.call(_exchange(ctx), params.name, params.arguments or {})

    async def keep_lists(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        if ctx.method != "tools/list" or (ctx.params and ctx.params.get("cursor") is not None):
            return await call_next(ctx)
        caller = _exchange(ctx).caller
        shape = (ctx.protocol_version, caller.kind, caller.role, caller.scopes)
        if shape not in lists:
            if len(lists) >= _LISTS_KEPT:
                lists.clear()
            lists[shape] = await call_next(ctx)
        return lists[shape]

    server: Server[Any] = Server(
        "stack-emu",
        version=_version(),
        title="STACK (local emulator)",
        instructions="Agents, passports, missions and the credential proxy of an emulated STACK account.",
        cache_hints={"tools/list": CacheHint(ttl_ms=_LIST_FRESH_MS, scope="private")},
        get_tool_input_schema=calls.catalogue.schema,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )
    server.middleware[:] = [keep_lists]
    return server


def _bearer_text(request: web.BaseRequest) -> str | None:
    try:
        return bearer_of(request)
    except Fault:
        return None


def _failed(task: asyncio.Task[None]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


def _exchange(ctx: Any) -> Exchange:
    exchange: Exchange = ctx.request.scope[_EXCHANGE]
    return exchange


def _principal(world: World, caller: Caller) -> Any:
    """Whose a session is: the world, the account and the credential's lane (an agent's JWTs are one credential)."""
    from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
    from mcp.server.auth.provider import AccessToken

    subject = "|".join((caller.kind, caller.lane, caller.member_id or ""))
    token = AccessToken(
        token="",
        client_id=caller.operator_id,
        scopes=[],
        subject=subject,
        claims={"iss": world.name},
    )
    return AuthenticatedUser(token)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("stack-emu")
    except PackageNotFoundError:
        return "0"


def _end_stream_watcher() -> None:
    """End the task sse-starlette leaves in the loop after its first stream, which polls for a uvicorn server."""
    for task in asyncio.all_tasks():
        if getattr(task.get_coro(), "__qualname__", "") == "_shutdown_watcher":
            task.cancel()
