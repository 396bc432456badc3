"""MCP at ``/mcp``: Streamable HTTP of both protocol eras on one URL, a tool per operation.

The protocol is the ``mcp`` package's (low-level server and session manager). Answers are plain JSON unless the scenario's
``mcp.answers`` says ``streams``: few operations send anything before their reply, the clients tried all take both, and in
the handshake era JSON takes half the time of an event stream.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from aiohttp import web

from stack_emu.domain import faults
from stack_emu.domain.authentication import OAUTH, authenticate, refused_holder
from stack_emu.kernel.dispatch import Call, authorise, begin, note_refusal
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import ANONYMOUS, Caller, Command, Registry
from stack_emu.kernel.world import World
from stack_emu.surfaces.broken_replies import WIRE_KEY, abort, reset
from stack_emu.surfaces.lane import lane_of
from stack_emu.surfaces.mcp_bridge import Spawn
from stack_emu.surfaces.mcp_calls import EXCHANGE, MCP_PATH, Exchange, ToolCalls
from stack_emu.surfaces.mcp_serving import McpServing
from stack_emu.surfaces.mcp_tools import Catalogue
from stack_emu.surfaces.misses import explain_refusal
from stack_emu.surfaces.rest import bearer_of, fault_body, fault_response, json_response
from stack_emu.surfaces.secret_exits import HANDED

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server

    from stack_emu.hosting import HostedWorld
    from stack_emu.surfaces.mcp_server import Listeners, ServerBuilder

INVALID_REQUEST = -32600
"""JSON-RPC's code for a request that is refused before it is looked at; the transport's own refusals have it too."""
MAX_MESSAGE = 4 * 1024 * 1024
"""The longest message the transport takes, in bytes."""


class McpSurface:
    """Serves the tools of a registry to MCP clients, for every world of a server.

    A session belongs to the principal and the world that opened it: to anybody else it does not exist. The bearer is
    checked again on every request, so a revoked one is refused on its next.

    Args:
        registry: what to serve.
        spawn: starts a background task and keeps a reference to it.
        hosts: host names clients may use, besides STACK's own.
        resource_metadata: (world, origin) → URL of the protected-resource metadata named in a 401, when there is one.
        spawn_call: starts the rest of a call that talks to an upstream; ``spawn`` when left out.
        build: makes the MCP server; that of the registry's tools when left out.
    """

    def __init__(
        self,
        registry: Registry,
        spawn: Spawn,
        *,
        hosts: Iterable[str] = ("127.0.0.1", "localhost", "::1"),
        resource_metadata: Callable[[World, str], str] | None = None,
        spawn_call: Spawn | None = None,
        build: ServerBuilder | None = None,
    ) -> None:
        self.resource_metadata = resource_metadata
        self._registry = registry
        self._spawn_call = spawn_call or spawn
        self._server_builder = build
        self._listeners: Listeners | None = None
        self._hidden: dict[str, frozenset[str]] = {}
        self._serving = McpServing(self._build, spawn, hosts=hosts)

    async def start_loading(self, settle: Callable[[], None] | None = None) -> None:
        """Begin to import what the endpoint needs, unless that has begun; returns at once.

        Args:
            settle: called in the loading thread once everything is imported.
        """
        await self._serving.start_loading(settle)

    async def ready(self) -> None:
        """Wait until calls can be answered.

        Raises:
            Exception: what loading raised.
        """
        await self._serving.ready()

    async def aclose(self) -> None:
        """End every session and open stream; later requests are answered 503."""
        if self._listeners is not None:
            self._listeners.close()
        await self._serving.aclose()

    async def watch_tools(self, world: World) -> None:
        """Tell the clients of a world when fault rules have taken tools away, or given them back, since the last look."""
        elapsed = world.now_ms() - world.clock.start_ms
        hidden = world.faults.hidden(elapsed, self._registry.tools, noticed=False)
        if hidden != self._hidden.get(world.name, frozenset()):
            self._hidden[world.name] = hidden
            await self.tools_changed(world.name)

    async def tools_changed(self, world: str) -> None:
        """Tell the clients of a world that listen that its tools may be others now."""
        if self._listeners is not None:
            await self._listeners.tools_changed(world)

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
            refused = await self._note_refusal(world, request, fault)
            return await self._refuse(world, request, origin, fault, refused)
        if caller.kind == OAUTH and caller.grant_id is None:
            refused = await self._tool_call(caller, request)
            missing = self._lacks_scope(world, caller, refused) if refused is not None else None
            if missing is not None:
                return await self._refuse(world, request, origin, missing, refused)
        await self.ready()
        settings, lane = hosted.scenario.mcp, lane_of(request)
        client = request.headers.get("User-Agent")
        exchange = Exchange(
            world,
            caller,
            ticket,
            origin,
            lane,
            client,
            lambda: abort(request),
            settings.page_size,
            reset=lambda: reset(request),
            break_answer=lambda wire: request.__setitem__(WIRE_KEY, wire),
            streams=settings.answers == "streams",
            headers=request.headers,
        )
        extra = {EXCHANGE: exchange, "user": _principal(world, caller)}
        streams = settings.answers == "streams"
        response = await self._serving.answer(request, extra, streams=streams, begun=exchange.begun)
        request[HANDED] = frozenset(exchange.handed)
        if request.method == "DELETE" and response.status < 300 and self._listeners is not None:
            self._listeners.forget(request.headers.get("Mcp-Session-Id", ""))
        return response

    def _build(self) -> Server[Any]:
        from stack_emu.surfaces.mcp_server import Listeners, build_server

        self._listeners = Listeners()
        build = self._server_builder or build_server
        return build(ToolCalls(Catalogue(self._registry), self._spawn_call), self._listeners)

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

    async def _note_refusal(self, world: World, request: web.BaseRequest, fault: Fault) -> Call | None:
        """Leave the row of a tool call made with a passport that may not be used any more; returns that call."""
        holder = refused_holder(world, _bearer_text(request))
        call = await self._tool_call(holder, request) if holder is not None else None
        if call is not None:
            note_refusal(world, call, fault)
        return call

    async def _tool_call(self, caller: Caller, request: web.BaseRequest) -> Call | None:
        """The tool call that a request is, unless it is something else."""
        try:
            message = await _message(request)
            name = message["params"]["name"]
            declared = self._registry.tools[name] if message["method"] == "tools/call" else None
            arguments = dict(message["params"].get("arguments") or {})
        except (ValueError, TypeError, KeyError, AttributeError):
            return None
        if declared is None:
            return None
        return Call(declared, caller, arguments, lane_suffix=lane_of(request), tool=name)

    @staticmethod
    def _lacks_scope(world: World, caller: Caller, call: Call) -> Fault | None:
        """The refusal of a tool call whose token lacks the tool's scope: MCP wants it as a challenge that can be met."""
        scopes, needed = caller.scopes, call.operation.auth.scope
        if OAUTH not in call.operation.auth.bearers or scopes is None or needed is None:
            return None
        if needed in scopes:
            return None
        try:
            begin(world, call)  # refused as over REST, with a row in the lane of what it is about
        except Fault as fault:
            if "missing_scope" in fault.details:
                return fault
        try:
            authorise(world, call, Command())  # whatever the arguments
        except Fault as fault:
            return fault
        return None

    async def _refuse(
        self, world: World, request: web.BaseRequest, origin: str, fault: Fault, call: Call | None = None
    ) -> web.StreamResponse:
        """Refuse a request: with a JSON-RPC error when it is a JSON-RPC request, as clients show its message only.

        Args:
            world: the world asked.
            request: the HTTP request.
            origin: scheme and authority (and world prefix) the client used.
            fault: why.
            call: the tool call it is, when it was looked at as one.
        """
        entry = world.journal.add(world.now_ms(), "mcp", request.method, MCP_PATH)
        entry.status, entry.code = fault.status, fault.code
        if call is not None and call.operation.tool is not None:
            entry.method, entry.route, entry.operation = "tools/call", call.operation.tool.name, call.operation.name
            entry.lane, entry.act = call.lane, call.act
        explain_refusal(world, ANONYMOUS, fault, entry)
        message = await _message(request) if request.method == "POST" else {}
        if isinstance(message.get("id"), (str, int)):
            told = fault_body(world, fault)["error"]
            error = {"code": INVALID_REQUEST, "message": told.pop("message"), "data": told}
            response = json_response({"jsonrpc": "2.0", "id": message["id"], "error": error}, fault.status)
        else:
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


async def _message(request: web.BaseRequest) -> Mapping[str, Any]:
    """The JSON-RPC message in a body; empty when there is none, or one that MCP would not take."""
    if (request.content_length or 0) > MAX_MESSAGE:
        return {}
    try:
        message = json.loads(await request.read())
    except (ValueError, RecursionError, web.HTTPRequestEntityTooLarge, web.RequestPayloadError):
        return {}
    return message if isinstance(message, Mapping) else {}


def _bearer_text(request: web.BaseRequest) -> str | None:
    try:
        return bearer_of(request)
    except Fault:
        return None


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
