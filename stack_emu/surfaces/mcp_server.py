"""The low-level MCP server over the tools: its lists in pages, its calls, and word of lists that changed."""

from __future__ import annotations

import asyncio
import base64
import binascii
import itertools
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import mcp_types as types
from mcp.server.caching import CacheHint
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ToolsListChanged
from mcp.shared.exceptions import MCPError

from stack_emu.surfaces.mcp_calls import EXCHANGE, Exchange, ToolCalls
from stack_emu.surfaces.mcp_tools import ToolEntry

if TYPE_CHECKING:
    from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
    from mcp.server.models import InitializationOptions
    from mcp.server.session import ServerSession
    from mcp.server.subscriptions import ServerEvent

LIST_FRESH_MS = 60_000
PROGRESS_SECONDS = 0.25
"""How long a call may take before its client first hears of it, and between one such word and the next."""
_LISTS_KEPT = 256
_SESSIONS_KEPT = 10_000


class _AnnouncingServer(Server[Any]):
    """A server that says in the handshake, too, that it tells of changes to its list of tools."""

    def create_initialization_options(
        self, notification_options: NotificationOptions | None = None, *arguments: Any, **options: Any
    ) -> InitializationOptions:
        """As the base class does it, with changes of the tools announced."""
        announced = notification_options or NotificationOptions(tools_changed=True)
        return super().create_initialization_options(announced, *arguments, **options)


class Listeners:
    """Who wants to hear that a world's list of tools changed, in either protocol era."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[str, tuple[str, ServerSession]] = OrderedDict()
        self._buses: dict[str, InMemorySubscriptionBus] = {}
        self._handlers: dict[str, ListenHandler] = {}

    def remember(self, world: str, session_id: str, session: ServerSession) -> None:
        """Note a session of the handshake era; it hears on the stream it opens with GET."""
        self._sessions[session_id] = (world, session)
        if len(self._sessions) > _SESSIONS_KEPT:
            self._sessions.popitem(last=False)

    def forget(self, session_id: str) -> None:
        """Drop a session that ended."""
        self._sessions.pop(session_id, None)

    def handler(self, world: str) -> ListenHandler:
        """What serves ``subscriptions/listen`` (2026-07-28) in a world."""
        if world not in self._handlers:
            bus = self._buses[world] = InMemorySubscriptionBus()
            self._handlers[world] = ListenHandler(bus)
        return self._handlers[world]

    def close(self) -> None:
        """End every ``subscriptions/listen`` stream, as the protocol has it when a server goes."""
        for handler in self._handlers.values():
            handler.close()

    async def tools_changed(self, world: str) -> None:
        """Tell everybody who listens in a world that its list of tools is another now."""
        for owner, session in list(self._sessions.values()):
            if owner == world:
                await session.send_tool_list_changed()
        await self.publish(world, ToolsListChanged())

    async def publish(self, world: str, event: ServerEvent) -> None:
        """Tell the listeners of the 2026 era in a world of an event they asked for."""
        if world in self._buses:
            await self._buses[world].publish(event)


def build_server(calls: ToolCalls, listeners: Listeners) -> Server[Any]:
    """The low-level MCP server over a set of tools.

    Its lists of tools are kept in wire form per protocol version, kind of caller and page; OpenTelemetry's middleware is
    left out; looking a schema up spares each call of the 2026 era a listing.

    Args:
        calls: runs the tools.
        listeners: who hears of changes.
    """
    lists: dict[Any, HandlerResult] = {}

    async def list_tools(
        ctx: ServerRequestContext[Any, Any], params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        exchange = exchange_of(ctx)
        visible = calls.visible(exchange)
        page, following = page_of(visible, params.cursor if params is not None else None, exchange.page_size)
        tools = [types.Tool.model_validate(entry.definition) for entry in page]
        return types.ListToolsResult(tools=tools, next_cursor=following)

    async def call_tool(
        ctx: ServerRequestContext[Any, Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        resumable = ctx.close_sse_stream is not None
        work = calls.call(exchange_of(ctx), params.name, params.arguments or {}, resumable=resumable)
        if "progressToken" not in ((ctx.params or {}).get("_meta") or {}):
            return await work
        ticking = calls.spawn(_report(ctx.session))
        try:
            return await work
        finally:
            ticking.cancel()

    async def listen(
        ctx: ServerRequestContext[Any, Any], params: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        return await listeners.handler(exchange_of(ctx).world.name)(ctx, params)

    async def keep_lists(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        if ctx.method == "notifications/initialized":
            headers = ctx.request.headers if ctx.request is not None else {}
            listeners.remember(exchange_of(ctx).world.name, headers.get("mcp-session-id", ""), ctx.session)
        if ctx.method != "tools/list":
            return await call_next(ctx)
        exchange = exchange_of(ctx)
        caller, cursor = exchange.caller, (ctx.params or {}).get("cursor")
        if not isinstance(cursor, str | None):
            return await call_next(ctx)
        who = (caller.kind, caller.role, caller.scopes)
        shape = (ctx.protocol_version, *who, exchange.page_size, cursor, calls.hidden(exchange))
        if shape not in lists:
            if len(lists) >= _LISTS_KEPT:
                lists.clear()
            lists[shape] = await call_next(ctx)
        return lists[shape]

    server: Server[Any] = _AnnouncingServer(
        "stack-emu",
        version=_version(),
        title="STACK (local emulator)",
        instructions="Agents, passports, missions and the credential proxy of an emulated STACK account.",
        cache_hints={"tools/list": CacheHint(ttl_ms=LIST_FRESH_MS, scope="private")},
        get_tool_input_schema=calls.catalogue.schema,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_subscriptions_listen=listen,
    )
    server.middleware[:] = [keep_lists]
    return server


async def _report(session: ServerSession) -> None:
    """Tell a client that asked for progress, again and again, that its call is under way."""
    for count in itertools.count(1):
        await asyncio.sleep(PROGRESS_SECONDS)
        await session.report_progress(count, message="Under way")


ServerBuilder = Callable[[ToolCalls, Listeners], Server[Any]]
"""Makes the MCP server of an endpoint."""


def exchange_of(ctx: ServerRequestContext[Any, Any]) -> Exchange:
    """What the surface knows of the HTTP request a message came in."""
    request: Any = ctx.request
    exchange: Exchange = request.scope[EXCHANGE]
    return exchange


def page_of(tools: list[ToolEntry], cursor: str | None, size: int) -> tuple[list[ToolEntry], str | None]:
    """The tools of a page, and the cursor of the next one when there is one.

    A cursor names the last tool that was seen, so that a page begins where the one before ended also when tools came or
    went meanwhile.

    Args:
        tools: all tools, in order.
        cursor: where the page begins; None for the first.
        size: the most tools on a page.

    Raises:
        MCPError: invalid params (-32602) for a cursor that is none of these tools'.
    """
    begin = 0
    if cursor is not None:
        names = [str(entry.definition["name"]) for entry in tools]
        try:
            begin = names.index(base64.urlsafe_b64decode(cursor.encode("ascii")).decode("utf-8")) + 1
        except (ValueError, binascii.Error):
            problem = "The cursor is none of this list; begin again without one"
            raise MCPError(code=types.INVALID_PARAMS, message=problem) from None
    page = tools[begin : begin + size]
    if begin + size >= len(tools):
        return page, None
    return page, base64.urlsafe_b64encode(str(page[-1].definition["name"]).encode()).decode("ascii")


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("stack-emu")
    except PackageNotFoundError:
        return "0"
