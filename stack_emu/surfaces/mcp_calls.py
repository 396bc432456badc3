"""Tool calls: arguments checked, the operation performed, its reply or refusal worded as a tool result."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stack_emu.domain import faults
from stack_emu.domain.state import Connection
from stack_emu.kernel.dispatch import Call, authorise, dump, perform, validate
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.faults import CallView, ConnectionDropped, Injection
from stack_emu.kernel.journal import Entry
from stack_emu.kernel.operations import Caller, Command, Download
from stack_emu.kernel.world import World
from stack_emu.surfaces.mcp_bridge import Spawn
from stack_emu.surfaces.mcp_schemas import WRAPPED
from stack_emu.surfaces.mcp_tools import Catalogue, ToolEntry, admits
from stack_emu.surfaces.misses import explain_refusal, tool_miss
from stack_emu.surfaces.rest import DROPPED, fault_body
from stack_emu.surfaces.secret_exits import handed_out, look_into, screened_value

if TYPE_CHECKING:
    from mcp_types import CallToolResult

MCP_PATH = "/mcp"
EXCHANGE = "stack_emu.exchange"
"""Where the ASGI scope of a request holds its exchange."""
_BEGIN_SECONDS = 5
_log = logging.getLogger("stack_emu")


@dataclass(frozen=True)
class Exchange:
    """What a tool call needs to know of the HTTP request it came in.

    Args:
        world: the world asked.
        caller: who is behind the bearer of this very request.
        ticket: its arrival ticket.
        origin: scheme and authority (and world prefix) the client used.
        lane_suffix: text the client asked to be appended to its lane.
        client: what the client calls itself.
        abort: breaks the connection off.
        page_size: the most tools on a page of the list.
        begun: is set once the first event of a streamed answer has been sent.
        handed: kinds of secrets that the answer may hold, because a tool hands them out.
        reset: breaks the connection off with a TCP reset.
        break_answer: says what a fault rule does to the bytes of the answer.
        streams: whether the answer is a stream of events.
        headers: the request's.
    """

    world: World
    caller: Caller
    ticket: int
    origin: str
    lane_suffix: str
    client: str | None = None
    abort: Callable[[], object] = lambda: None
    page_size: int = 1000
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    handed: set[str] = field(default_factory=set)
    reset: Callable[[], object] = lambda: None
    break_answer: Callable[[Injection], object] = lambda wire: None
    streams: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


class ToolCalls:
    """Runs tool calls.

    Args:
        catalogue: the tools.
        spawn: starts a background task and keeps a reference to it.
    """

    def __init__(self, catalogue: Catalogue, spawn: Spawn) -> None:
        self.catalogue = catalogue
        self.spawn = spawn

    def visible(self, exchange: Exchange) -> list[ToolEntry]:
        """The tools that ``tools/list`` shows to a caller."""
        hidden = self.hidden(exchange)
        entries = self.catalogue.visible(exchange.caller)
        return [entry for entry in entries if entry.definition["name"] not in hidden] if hidden else entries

    def hidden(self, exchange: Exchange) -> frozenset[str]:
        """The tools that a fault rule has taken away for now."""
        world = exchange.world
        if not len(world.faults):
            return frozenset()
        return world.faults.hidden(world.now_ms() - world.clock.start_ms, self.catalogue.entries)

    async def call(
        self, exchange: Exchange, name: str, arguments: Mapping[str, Any], *, resumable: bool = False
    ) -> CallToolResult:
        """Call a tool and word its reply or refusal as a tool result.

        Args:
            exchange: the request it came in.
            name: the tool.
            arguments: what the client sent.
            resumable: whether an answer that is lost with its connection can be asked for again.

        Raises:
            MCPError: invalid params (-32602) when there is no such tool.
            ConnectionDropped: a fault rule broke the connection off, and the answer is lost.
        """
        world = exchange.world
        caller, client = exchange.caller.kind, exchange.client
        entry = world.journal.add(world.now_ms(), "mcp", "tools/call", MCP_PATH, caller=caller, client=client)
        tool = self.catalogue.entries.get(name)
        if tool is None:
            raise self._unknown(exchange, entry, name, arguments)
        if name in self.hidden(exchange):
            raise _gone(entry, name)
        entry.route, entry.operation = name, tool.operation.name
        try:
            result = await self._run(exchange, entry, tool, arguments)
            result = self._screened(exchange, entry, tool, result)
        except Fault as fault:
            return _refusal(world, exchange.caller, entry, fault)
        except ConnectionDropped as dropped:
            if resumable:  # a client can only come back for a stream of which it has seen the beginning
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(exchange.begun.wait(), _BEGIN_SECONDS)
            exchange.reset() if dropped.reset else exchange.abort()
            entry.status, entry.hint = 0, DROPPED
            if not resumable or dropped.outcome is None:
                raise
            if isinstance(dropped.outcome, Fault):
                return _refusal(world, exchange.caller, entry, dropped.outcome)
            return _success(tool, dropped.outcome)
        except asyncio.CancelledError:
            entry.hint = "The client took the call back before it was answered."
            raise
        except Exception:
            _log.error("tool %s failed inside the emulator\n%s", name, world.redactor.traceback())
            return _refusal(world, exchange.caller, entry, Fault(faults.INTERNAL_ERROR, operation=tool.operation.name))
        entry.status = tool.operation.rest.status if tool.operation.rest is not None else 200
        return result

    async def _run(
        self, exchange: Exchange, entry: Entry, tool: ToolEntry, arguments: Mapping[str, Any]
    ) -> CallToolResult:
        call = Call(
            tool.operation,
            exchange.caller,
            {},
            exchange.origin,
            lane_suffix=exchange.lane_suffix,
            ticket=exchange.ticket,
            tool=str(tool.definition["name"]),
            request=CallView("tools/call", MCP_PATH, (), exchange.headers, arguments),
        )
        try:
            if not admits(tool.operation.auth, exchange.caller) and not _is_command(tool, arguments):
                authorise(exchange.world, call, Command())  # names the credential that would do, whatever the arguments
            entry.unread = tool.unknown(arguments)
            look_into(exchange.world, entry, tool.operation, arguments, f"the arguments of {call.tool}")
            call.raw = tool.check(arguments)
            outcome = await perform(exchange.world, call, self.spawn)
            if call.wire is not None and call.wire.get("transport") and exchange.streams:
                # A stream has begun by now: what breaks a whole answer breaks it off.
                raise ConnectionDropped(outcome, reset=True)
            result = _success(tool, outcome)
            return _spoilt(tool, result) if call.spoils_reply else result
        finally:
            entry.lane, entry.act, entry.injected = call.lane, call.act, call.injected
            if call.wire is not None and not exchange.streams:
                exchange.break_answer(call.wire)
            # Masked only now: the call itself may have taught the redactor a secret.
            entry.request = exchange.world.redactor.value(tool.operation.without_secrets(arguments))

    @staticmethod
    def _screened(exchange: Exchange, entry: Entry, tool: ToolEntry, result: CallToolResult) -> CallToolResult:
        """A result as it may go: without secrets that its tool does not hand out."""
        but = handed_out(tool.operation.name)
        exchange.handed.update(but)
        shown = result.model_dump(mode="json", by_alias=True)
        clean = screened_value(exchange.world, entry, shown, f"the result of {tool.definition['name']}", but)
        return result if clean is shown else type(result).model_validate(clean)

    def _unknown(self, exchange: Exchange, entry: Entry, name: str, arguments: Mapping[str, Any]) -> Exception:
        from mcp.shared.exceptions import MCPError
        from mcp_types import INVALID_PARAMS

        world, caller = exchange.world, exchange.caller
        visible = [str(tool.definition["name"]) for tool in self.catalogue.visible(caller)]
        known = {tool: found.definition for tool, found in self.catalogue.entries.items()}
        services = {one.provider for one in world.store.find(Connection, operator_id=caller.operator_id)}
        miss = tool_miss(known, visible, name[:100], arguments, services)
        entry.status, entry.code = 404, "UNKNOWN_TOOL"
        shown = world.redactor.text(name[:100])
        message = world.journal.explain(entry, f"Unknown tool: {shown}. {miss.sentence}", "unmatched", near=miss.table)
        return MCPError(code=INVALID_PARAMS, message=message, data=world.redactor.value(miss.details()))


def _is_command(tool: ToolEntry, arguments: Mapping[str, Any]) -> bool:
    """Whether the arguments are good, so that whoever may not send them is refused as over REST, with a row."""
    try:
        validate(tool.operation, tool.check(arguments))
    except Fault:
        return False
    return True


def _gone(entry: Entry, name: str) -> Exception:
    """The error for a tool that a fault rule has taken away: the client is told no more than of any unknown one."""
    from mcp.shared.exceptions import MCPError
    from mcp_types import INVALID_PARAMS

    entry.status, entry.code, entry.hint = 404, "UNKNOWN_TOOL", f"A fault rule has taken {name} away."
    return MCPError(code=INVALID_PARAMS, message=f"Unknown tool: {name}")


def _spoilt(tool: ToolEntry, result: CallToolResult) -> CallToolResult:
    """A result as a broken server would send it: half its text, and content that its schema forbids, or none."""
    from mcp_types import CallToolResult, TextContent

    texts = [block.text for block in result.content if isinstance(block, TextContent)]
    content = [TextContent(text=text[: len(text) // 2]) for text in texts]
    return CallToolResult(content=list(content), structured_content=tool.forbidden_content())


def _success(tool: ToolEntry, reply: Any) -> CallToolResult:
    """The bare JSON of the REST reply as text, and as structured content."""
    from mcp_types import CallToolResult, TextContent

    if isinstance(reply, Download):
        return CallToolResult(content=[_download(tool, reply)])
    rest = tool.operation.rest
    value = {} if reply is None and rest is not None and rest.status == 204 else dump(reply)
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    structured = {WRAPPED: value} if tool.wrapped else value if isinstance(value, dict) else None
    return CallToolResult(content=[TextContent(text=text)], structured_content=structured)


def _download(tool: ToolEntry, reply: Download) -> Any:
    from mcp_types import BlobResourceContents, EmbeddedResource, TextContent

    body = reply.whole()
    try:
        return TextContent(text=body.decode("utf-8"))
    except UnicodeDecodeError:
        uri = f"stack-emu://download/{reply.filename or tool.definition['name']}"
        blob = base64.b64encode(body).decode("ascii")
        return EmbeddedResource(resource=BlobResourceContents(uri=uri, mime_type=reply.media, blob=blob))


def _refusal(world: World, caller: Caller, entry: Entry, fault: Fault) -> CallToolResult:
    """A fault as a tool error: STACK's envelope as text.

    It is not structured content: clients that check this against the tool's output schema do so for errors as well
    (@modelcontextprotocol/sdk, Client.callTool) and would hide the envelope behind a schema violation.
    """
    from mcp_types import CallToolResult, TextContent

    entry.status, entry.code = fault.status, fault.code
    explain_refusal(world, caller, fault, entry)
    text = json.dumps(fault_body(world, fault), separators=(",", ":"), ensure_ascii=False)
    return CallToolResult(content=[TextContent(text=text)], is_error=True)
