"""The Responses API: what the script answers, with the hosted MCP tool doing what it says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from stack_emu.model_script.asking import Asked
from stack_emu.model_script.conversation import Conversation, read_conversation
from stack_emu.model_script.matching import Facts, Unscripted, bare_name
from stack_emu.model_script.openai_items import approved, read_items, turn_of
from stack_emu.model_script.routing import Offer
from stack_emu.model_script.script import PlannedTurn, plan_reply
from stack_emu.surfaces import messages_reply as reply
from stack_emu.surfaces.connector import Connections, Dial, ServerUnusable, shown_url
from stack_emu.surfaces.connector_answers import CallOutcome
from stack_emu.surfaces.lane import LANE_HEADER
from stack_emu.surfaces.messages_output import properties_of
from stack_emu.surfaces.messages_turns import ReplyWriter
from stack_emu.surfaces.model_reply import remember
from stack_emu.surfaces.openai_delivery import Failing, Frame, send_stream, whole_fault
from stack_emu.surfaces.openai_errors import OpenAiError, invalid, unscripted
from stack_emu.surfaces.openai_events import ResponseWriter, encode, is_last
from stack_emu.surfaces.openai_exchange import OpenAiExchange
from stack_emu.surfaces.openai_mcp import listed_tool
from stack_emu.surfaces.openai_responses_request import ResponsesRequest, check_pairs
from stack_emu.surfaces.openai_scripts import Scripts
from stack_emu.surfaces.openai_store import Held, ResponseStore, expand_references

_LOG = logging.getLogger("stack_emu")
_MAX_TURNS = 64
_UNKNOWN = "The emulator failed while making this reply; its log says why."

Push = Callable[[dict[str, Any] | OpenAiError], None]


class ResponsesCall:
    """One request for a response.

    Args:
        exchange: the exchange.
        request: what is asked.
        scripts: the world's scripts.
        store: the world's responses.

    Raises:
        OpenAiError: when what it goes on from is not held, or its items do not belong together.
    """

    def __init__(
        self, exchange: OpenAiExchange, request: ResponsesRequest, scripts: Scripts, store: ResponseStore
    ) -> None:
        self.exchange = exchange
        self.request = request
        self.scripts = scripts
        self.store = store
        self.key = exchange.api_key()
        before = store.previous(self.key, request.previous).items if request.previous else ()
        self.context = (*before, *expand_references(store, self.key, request.items))
        check_pairs(self.context)
        tokens = [server.token for server in request.servers if server.token]
        self.agents = scripts.agents(exchange.world, tokens)
        exchange.entry.caller = self.agents[0] if self.agents else None
        exchange.depend_on(exchange.lane() or "", *self.agents)
        exchange.depend_on(str(store.ordinal(self.key, exchange.digest)))

    async def reply(self, push: Push) -> None:
        """Make the reply: its events, the last of which ends it, or the error it is refused with."""
        writer = ResponseWriter({}, self.exchange.new_id, push)
        try:
            writer.response = self._response()
            await self._make(writer)
            return
        except OpenAiError as error:
            end = error
        except Unscripted as error:
            end = unscripted(str(error))
        except Exception:
            _LOG.error("the response could not be made\n%s", self.exchange.world.redactor.traceback())
            end = OpenAiError(500, _UNKNOWN)
        self.exchange.note_refusal(end)
        if writer.began:
            writer.fail(end.message, end.code)
        push(end)

    async def _make(self, writer: ResponseWriter) -> None:
        connections = await self._dial()
        try:
            making = _Making(self, writer, connections)
            await making.run()
        finally:
            await connections.close()

    async def _dial(self) -> Connections:
        lane = self.exchange.lane()
        own = {LANE_HEADER: lane} if lane else {}
        dials = []
        for server in self.request.servers:
            url = self.scripts.resolve_mcp(self.exchange.world, server.url)
            if url is None:
                raise invalid(
                    "tools",
                    f"the server_url {shown_url(server.url)} of {server.label} cannot be reached from this emulator; "
                    "use https://mcp.getstack.run/mcp or a server on 127.0.0.1.",
                )
            dials.append(Dial(server.label, url, server.token, {**server.headers, **own}, server.url))
        try:
            return await self.scripts.connector.open(dials)
        except ServerUnusable as error:
            message = f"The tools of the MCP server {error.name} cannot be listed: {error.reason}."
            raise OpenAiError(424, message, code="http_error", param="tools") from None

    def _response(self) -> dict[str, Any]:
        """The response before there is any output, with everything asked for shown again."""
        body = self.request.body
        text = body.get("text") or {}
        return {
            "id": self.exchange.new_id("resp_"),
            "object": "response",
            "created_at": self.exchange.world.now_ms() // 1000,
            "status": "queued",
            "background": False,
            "completed_at": None,
            "error": None,
            "incomplete_details": None,
            "instructions": body.get("instructions"),
            "max_output_tokens": body.get("max_output_tokens"),
            "max_tool_calls": body.get("max_tool_calls"),
            "metadata": body.get("metadata") or {},
            "model": self.request.model,
            "output": [],
            "parallel_tool_calls": self.request.choice.parallel,
            "previous_response_id": self.request.previous,
            "prompt_cache_key": body.get("prompt_cache_key"),
            "reasoning": {"effort": None, "summary": None, **(body.get("reasoning") or {})},
            "safety_identifier": body.get("safety_identifier"),
            "service_tier": "default",
            "store": self.request.store,
            "temperature": 1.0 if body.get("temperature") is None else body["temperature"],
            "text": {"format": {"type": "text"}, "verbosity": "medium", **text},
            "tool_choice": body.get("tool_choice") or "auto",
            "tools": self.request.shown_tools(),
            "top_logprobs": 0,
            "top_p": 1.0 if body.get("top_p") is None else body["top_p"],
            "truncation": body.get("truncation") or "disabled",
            "usage": None,
            "user": body.get("user"),
        }


@dataclass
class _Making:
    """The work on one reply, once every server has listed its tools."""

    call: ResponsesCall
    writer: ResponseWriter
    connections: Connections
    _open: dict[str, int] = field(default_factory=dict)
    _turn: int = 0
    _last: CallOutcome | None = None

    def __post_init__(self) -> None:
        self._request = self.call.request
        self._exchange = self.call.exchange
        self._servers = {server.label: server for server in self._request.servers}
        self._tools = {
            server.label: {tool["name"]: tool for tool in self.connections.listing(server.label)}
            for server in self._request.servers
        }

    async def run(self) -> None:
        """Plan the reply, then write it."""
        waiting = approved(self.call.context)
        expected = [{**item, "type": "mcp_call", "approval_request_id": item["id"], "output": ""} for item in waiting]
        conversation = self._read([*self.call.context, *expected])
        offer = self._offer()
        facts = self._facts(conversation, offer)
        self._note(conversation, offer)
        for item in waiting:
            self._check_approved(item)

        def plan_from(conversation: Conversation, items: Sequence[Mapping[str, Any]]) -> Sequence[PlannedTurn]:
            asked = Asked(self._request.body, facts, conversation, read_items(items))
            rules = self.call.scripts.rules(self._exchange.world, asked)
            return self._until_approval(plan_reply(rules, facts, conversation, offer))

        plan = list(plan_from(conversation, [*self.call.context, *expected]))
        self._check_choice(plan)
        self.writer.begin()
        self._list_tools()
        made = [await self._call_approved(item) for item in waiting]
        if made:
            conversation = self._read([*self.call.context, *made])
        stop = await self._write(plan, conversation, facts)
        while not self._stops_after(plan[-1]):
            # What comes next depends on what the calls returned, which now stands in the output.
            items = [*self.call.context, *self.writer.output]
            conversation = self._read(items)
            following = plan_from(conversation, items)
            stop = await self._write(following, conversation, facts)
            plan += following
            if len(plan) > _MAX_TURNS:
                raise Unscripted(f"{plan[-1].where}: the reply has more than {_MAX_TURNS} turns and no end.")
        self._end(plan, stop)

    # --- before the reply -------------------------------------------------------------------------------------------

    def _read(self, items: Sequence[Mapping[str, Any]]) -> Conversation:
        return read_conversation(read_items(items), self._request.instructions)

    def _offer(self) -> Offer:
        listed: dict[str, tuple[str, ...]] = {}
        disabled: dict[str, tuple[str, ...]] = {}
        for label, tools in self._tools.items():
            allowed = self._servers[label].allowed
            listed[label] = tuple(name for name, tool in tools.items() if allowed.picks(tool))
            disabled[label] = tuple(name for name in tools if name not in listed[label])
        return Offer(servers=listed, disabled=disabled, client=self._request.functions)

    def _facts(self, conversation: Conversation, offer: Offer) -> Facts:
        return Facts(
            user=conversation.anchor,
            system=conversation.system,
            model=self._request.model,
            tools=offer.names(),
            key=self.call.key,
            agents=self.call.agents,
            output=properties_of(self._request.wanted.schema) if self._request.wanted is not None else None,
        )

    def _note(self, conversation: Conversation, offer: Offer) -> None:
        self._exchange.note_request(
            model=self._request.model,
            stream=self._request.stream,
            items=len(self.call.context),
            user=conversation.anchor,
            turn=conversation.turns_done,
            tools=[bare_name(name) for name in self._request.functions],
            mcp_servers=[{"name": server.label, "url": shown_url(server.url)} for server in self._request.servers],
        )

    def _check_approved(self, item: Mapping[str, Any]) -> None:
        label, name = item["server_label"], item["name"]
        if name not in self._tools.get(label, ()):
            raise invalid(
                "input", f"the call of {name} was approved, and no MCP server {label} of the request offers it."
            )

    def _check_choice(self, plan: Sequence[PlannedTurn]) -> None:
        choice, labels = self._request.choice, self._servers
        if choice.tools is not None and choice.tools & labels.keys():
            # A server's label stands for all of its tools.
            names = {name for label in choice.tools & labels.keys() for name in self._tools[label]}
            choice = type(choice)(choice.mode, choice.tools | names, choice.parallel)
        choice.check(plan)

    def _until_approval(self, plan: Sequence[PlannedTurn]) -> Sequence[PlannedTurn]:
        for index, planned in enumerate(plan):
            if self._waits(planned):
                return plan[: index + 1]
        return plan

    def _waits(self, planned: PlannedTurn) -> bool:
        return any(route.server and self._asks(route.server, route.name) for _, route in planned.calls)

    def _stops_after(self, planned: PlannedTurn) -> bool:
        return planned.ends_reply or self._waits(planned)

    def _asks(self, label: str, name: str) -> bool:
        return self._servers[label].needs_approval(self._tools[label][name])

    # --- the reply --------------------------------------------------------------------------------------------------

    def _list_tools(self) -> None:
        """Tools that stand in the conversation already are not listed again."""
        known = {item["server_label"] for item in self.call.context if item.get("type") == "mcp_list_tools"}
        for label, tools in self._tools.items():
            if label not in known:
                allowed = self._servers[label].allowed
                self.writer.list_tools(label, [listed_tool(tool) for tool in tools.values() if allowed.picks(tool)])

    async def _call_approved(self, item: Mapping[str, Any]) -> Mapping[str, Any]:
        use = read_items([{**item, "type": "mcp_call"}])[0]["content"][0]
        turn = turn_of(item["id"]) or 0
        index = self.writer.begin_mcp_call(item["server_label"], item["name"], use["input"], turn, item["id"])
        outcome = await self.connections.call(item["server_label"], item["name"], use["input"])
        self.writer.end_mcp_call(index, outcome)
        return self.writer.output[index]

    async def _write(self, plan: Sequence[PlannedTurn], conversation: Conversation, facts: Facts) -> str:
        writer = ReplyWriter(
            seed=self._exchange.world.seed,
            digest=self._exchange.digest,
            facts=facts,
            results=list(conversation.results),
            connections=_AskingFirst(self),  # type: ignore[arg-type]
            templates=self.call.scripts.templates(),
            emit=self._emit,
            thinking="summarized" if self._request.summary else None,
            max_tokens=self._request.body.get("max_output_tokens"),
            check_output=self._request.wanted.check if self._request.wanted is not None else None,
        )
        stop = "end_turn"
        for offset, planned in enumerate(plan):
            self._turn = conversation.turns_done + offset
            stop = await writer.take((planned,))
        turns = [(taken.turn, taken.results) for taken in writer.taken]
        remember(self._exchange.world, facts, conversation, turns)
        return stop

    async def call_or_ask(self, server: str, tool: str, arguments: dict[str, Any]) -> CallOutcome:
        """Call a tool, or nothing where the client's approval is asked for."""
        asks = self._asks(server, tool)
        self._last = CallOutcome((), False, None) if asks else await self.connections.call(server, tool, arguments)
        return self._last

    def _emit(self, block: Mapping[str, Any]) -> None:
        block = self._exchange.screened(block)
        kind = block["type"]
        if kind == "text":
            self.writer.say(block["text"])
        elif kind == "thinking":
            self.writer.think(block["thinking"])
        elif kind == "tool_use":
            self.writer.call_function(block["name"], block["input"], self._turn)
        elif kind == "mcp_tool_use" and self._asks(block["server_name"], block["name"]):
            self.writer.ask_approval(block["server_name"], block["name"], block["input"], self._turn)
        elif kind == "mcp_tool_use":
            self._open[block["id"]] = self.writer.begin_mcp_call(
                block["server_name"], block["name"], block["input"], self._turn
            )
        elif kind == "mcp_tool_result" and block["tool_use_id"] in self._open and self._last is not None:
            self.writer.end_mcp_call(self._open[block["tool_use_id"]], self._last)

    def _end(self, plan: Sequence[PlannedTurn], stop: str) -> None:
        items = [dict(item) for item in self.call.context]
        read = [self._request.instructions, items]
        tokens = max(1, reply.estimate_tokens([*read, self._request.shown_tools()]))
        self._exchange.finish(
            200,
            sent=self.writer.output,
            received={"instructions": self._request.instructions, "input": items},
            id=self.writer.response["id"],
            stop_reason=stop,
            script=[planned.where for planned in plan],
            content=self.writer.output,
        )
        done = self.writer.end(stop, tokens)  # nobody runs between this and the next lines, so no client is too early
        if self._request.store:
            self.call.store.hold(self.call.key, Held(done, self.call.context))


class _AskingFirst:
    """Stands where the writer of a reply expects the servers, and leaves out the calls that need approval."""

    def __init__(self, making: _Making) -> None:
        self._making = making

    async def call(self, server: str, tool: str, arguments: dict[str, Any]) -> CallOutcome:
        """Call a tool, or ask for approval."""
        return await self._making.call_or_ask(server, tool, arguments)


async def send_response(
    exchange: OpenAiExchange,
    request: ResponsesRequest,
    events: asyncio.Queue[dict[str, Any] | OpenAiError],
    failing: Failing,
) -> web.StreamResponse:
    """Send a response as it comes into being, or whole. What goes wrong before the first event is still an HTTP error.

    Args:
        exchange: the exchange.
        request: what was asked.
        events: the events of the response; an error ends them.
        failing: what goes wrong on the way to the client.
    """
    event = await events.get()
    if not request.stream:
        while not isinstance(event, OpenAiError) and (not is_last(event) or event["type"] == "response.failed"):
            event = await events.get()
    if isinstance(event, OpenAiError):
        return exchange.refuse(event)
    if not request.stream:
        broken = await whole_fault(exchange, failing)
        return broken or web.json_response(event["response"], headers=exchange.headers())
    return await send_stream(exchange, _frames(event, events), failing, _error_frame)


async def _frames(
    event: dict[str, Any] | OpenAiError, rest: asyncio.Queue[dict[str, Any] | OpenAiError]
) -> AsyncIterator[Frame]:
    while not isinstance(event, OpenAiError):
        kind, last = event["type"], is_last(event)
        yield Frame(encode(event), kind.endswith(".delta"), kind == "response.output_item.done", ends=last)
        if last:
            return
        event = await rest.get()


def _error_frame(error: OpenAiError) -> bytes:
    return encode({"type": "error", "code": error.code, "message": error.message, "param": error.param})
