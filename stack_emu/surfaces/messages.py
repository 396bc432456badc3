"""The Messages API: what a scripted model answers, streamed or not, with the MCP connector doing what it says.

Serves `POST /v1/messages`, `POST /v1/messages/count_tokens`, `GET /v1/models` and `GET /v1/models/{id}` in both
generations of the SDK wire (anthropic 0.125.0 and 2.12.0: key header, version date, `?beta=true`). Point a client at it
with `ANTHROPIC_BASE_URL`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote
from weakref import WeakKeyDictionary

from aiohttp import web

from stack_emu.kernel.world import World
from stack_emu.model_script.asking import Asked
from stack_emu.model_script.conversation import Conversation, read_conversation
from stack_emu.model_script.matching import Facts, Unscripted, bare_name
from stack_emu.model_script.routing import Offer
from stack_emu.surfaces import messages_reply as reply
from stack_emu.surfaces.connector import Connections, Connector, Dial, ServerUnusable, shown_url
from stack_emu.surfaces.lane import LANE_HEADER
from stack_emu.surfaces.messages_errors import ApiError, invalid, unscripted
from stack_emu.surfaces.messages_exchange import Exchange, Leaks
from stack_emu.surfaces.messages_faults import answer_fault, drops_reply, take_fault
from stack_emu.surfaces.messages_models import list_models, retrieve_model
from stack_emu.surfaces.messages_output import properties_of
from stack_emu.surfaces.messages_request import MessagesRequest, read_request
from stack_emu.surfaces.messages_side import is_side_call, side_reply
from stack_emu.surfaces.messages_threads import Threads, scope_of
from stack_emu.surfaces.messages_turns import new_id
from stack_emu.surfaces.model_reply import Answer, Question, ScriptFor, answered_aside, manner_of, write_reply

if TYPE_CHECKING:
    from stack_emu.scenario.templates import Templates

_LOG = logging.getLogger(__name__)

ResolveMcp = Callable[[World, str], "str | None"]
Principal = Callable[[World, str], "str | tuple[str, ...] | None"]


@dataclass(frozen=True)
class _Stop:
    """How a reply ends."""

    stop_reason: str
    stop_sequence: str | None = None
    stop_details: Mapping[str, Any] | None = None


_Emit = Callable[[dict[str, Any]], None]
_Hold = Callable[[Sequence[dict[str, Any]]], None]
_Event = dict[str, Any] | _Stop | ApiError


class MessagesSurface:
    """The Messages API of every world.

    Args:
        script_for: the rules of a world for a request body: the scenario's `model`, and what a test added.
        resolve_mcp: the URL to dial for a server's URL, or None for one that is not reachable from here.
        principal: who stands behind an MCP bearer: the agent's id, or its id and name, or None.
        connector: dials MCP servers; one with default settings when left out.
        leaks: names the credentials a text holds; what the model reads and writes is shown to it.
    """

    def __init__(
        self,
        script_for: ScriptFor,
        resolve_mcp: ResolveMcp,
        principal: Principal,
        *,
        connector: Connector | None = None,
        leaks: Leaks | None = None,
    ) -> None:
        self._script_for = script_for
        self._resolve_mcp = resolve_mcp
        self._principal = principal
        self._connector = connector or Connector()
        self._leaks = leaks
        self._templates: Templates | None = None
        self._threads: WeakKeyDictionary[World, Threads] = WeakKeyDictionary()
        self._tasks: set[asyncio.Task[None]] = set()

    async def handle(self, world: World, request: web.BaseRequest, path: str) -> web.StreamResponse:
        """Answer a request.

        Args:
            world: where it arrived.
            request: as it arrived.
            path: what follows `/anthropic`, such as `/v1/messages`.
        """
        exchange = Exchange(world, request, path.partition("?")[0], self._leaks)
        try:
            return await self._answer(exchange)
        except ApiError as error:
            return exchange.refuse(error)

    async def aclose(self) -> None:
        """Stop replies that are under way and close the kept connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._connector.aclose()

    async def _answer(self, exchange: Exchange) -> web.StreamResponse:
        method, path = exchange.request.method, exchange.path
        routes: dict[str, tuple[str, Callable[[Exchange], Awaitable[web.StreamResponse]]]] = {
            "/v1/messages": ("POST", self._create),
            "/v1/messages/count_tokens": ("POST", self._count),
            "/v1/models": ("GET", self._list_models),
        }
        found = routes.get(path)
        if found is None and path.startswith("/v1/models/"):
            found = ("GET", self._retrieve_model)
        if found is None:
            served = ", ".join((*routes, "/v1/models/{model_id}"))
            raise ApiError(404, f"{method} {path} is not served here; of the Messages API there are {served}.")
        if method != found[0]:
            raise ApiError(405, f"{path} answers {found[0]}, not {method}.")
        exchange.entry.route = path if path in routes else "/v1/models/{model_id}"
        exchange.api_key()
        exchange.check_version()
        return await found[1](exchange)

    # --- small ones -------------------------------------------------------------------------------------------------

    async def _list_models(self, exchange: Exchange) -> web.StreamResponse:
        return await self._plain(exchange, "models.list", lambda: list_models(exchange.request.query))

    async def _retrieve_model(self, exchange: Exchange) -> web.StreamResponse:
        name = unquote(exchange.path.removeprefix("/v1/models/"))
        return await self._plain(exchange, "models.get", lambda: retrieve_model(name))

    async def _count(self, exchange: Exchange) -> web.StreamResponse:
        body = await exchange.read_json()
        betas = exchange.betas

        def count() -> dict[str, Any]:
            return {"input_tokens": reply.input_tokens(read_request(body, betas, counting=True).body)}

        return await self._plain(exchange, "messages.count_tokens", count)

    @staticmethod
    async def _plain(exchange: Exchange, operation: str, make: Callable[[], dict[str, Any]]) -> web.StreamResponse:
        exchange.entry.operation = operation
        inject = take_fault(exchange, operation)
        answer = await answer_fault(exchange, inject) if inject else None
        if answer is not None:
            return answer
        made = make()
        exchange.finish(200, **made)
        return exchange.drop() if drops_reply(inject) else web.json_response(made, headers=exchange.headers())

    # --- messages ---------------------------------------------------------------------------------------------------

    async def _create(self, exchange: Exchange) -> web.StreamResponse:
        exchange.entry.operation = "messages.create"
        body = await exchange.read_json()
        model = str(body.get("model")) if isinstance(body, dict) else ""
        inject = take_fault(exchange, "messages.create", model=model)
        answer = await answer_fault(exchange, inject) if inject else None
        if answer is not None:
            return answer
        threads = self._threads.setdefault(exchange.world, Threads())
        scope = scope_of(exchange.api_key(), body)
        request = read_request(threads.expand(body, exchange.betas, scope), exchange.betas)
        held = partial(threads.hold, request.body, scope, _message_id(exchange)) if body.get("thread") else None
        events: asyncio.Queue[_Event] = asyncio.Queue()
        task = asyncio.get_running_loop().create_task(self._reply(exchange, request, events, held))
        # A task of its own, so that a client that hangs up leaves no MCP call half done.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if request.stream:
            return await _stream(exchange, request, events, drop=drops_reply(inject))
        return await _whole(exchange, request, events, drop=drops_reply(inject))

    async def _reply(
        self, exchange: Exchange, request: MessagesRequest, events: asyncio.Queue[_Event], hold: _Hold | None
    ) -> None:
        """Make a reply: its blocks, then how it ends."""
        blocks: list[dict[str, Any]] = []

        def emit(block: dict[str, Any]) -> None:
            blocks.append(block)
            events.put_nowait(block)

        try:
            stop = await self._make(exchange, request, emit)
        except ApiError as error:
            end: _Event = error
        except Unscripted as error:
            end = unscripted(str(error), error.nearest)
        except Exception:
            _LOG.exception("the reply could not be made")
            end = ApiError(500, "The emulator failed while making this reply; its log says why.")
        else:
            end = stop
            if hold is not None and stop.stop_reason != "refusal":
                hold(blocks)
        if isinstance(end, ApiError):
            exchange.note_refusal(end)
        events.put_nowait(end)

    async def _make(self, exchange: Exchange, request: MessagesRequest, emit: _Emit) -> _Stop:
        conversation = read_conversation(request.messages, request.system)
        self._note(exchange, request, conversation)
        aside = self._answered_aside(exchange, request, conversation)
        side = None if aside else side_reply(request, conversation)
        if side is not None or request.max_tokens == 0:
            blocks = [{"type": "text", "text": side}] if side is not None and request.max_tokens else []
            for block in blocks:
                emit(block)
            answer = Answer("end_turn" if request.max_tokens else "max_tokens", None, None, blocks, ())
            _note_reply(exchange, request, answer)
            return _Stop(answer.stop_reason)
        connections = await self._dial(exchange, request)
        try:
            return await self._script(exchange, request, conversation, connections, emit, aside=aside)
        finally:
            await connections.close()

    async def _script(
        self,
        exchange: Exchange,
        request: MessagesRequest,
        conversation: Conversation,
        connections: Connections,
        emit: _Emit,
        *,
        aside: bool,
    ) -> _Stop:
        offer = _offer(request, connections)
        facts = replace(self._facts(exchange, request, conversation, offer), side=aside)
        answer = await write_reply(
            Question(exchange.world, request.body, request.messages, facts, conversation, offer),
            self._script_for,
            digest=exchange.digest,
            templates=self._renderer(),
            emit=emit,
            connections=connections,
            manner=manner_of(request),
        )
        _note_reply(exchange, request, answer)
        return _Stop(answer.stop_reason, answer.stop_sequence, answer.stop_details)

    def _answered_aside(self, exchange: Exchange, request: MessagesRequest, conversation: Conversation) -> bool:
        """Whether a script names the JSON that a client's call for itself asks for; a test's function is not asked."""
        if not is_side_call(request):
            return False
        facts = self._facts(exchange, request, conversation, Offer())
        facts = replace(facts, output=properties_of(request.output_schema))
        asked = Asked(request.body, facts, conversation, side=True)
        return answered_aside(self._script_for(exchange.world, asked), facts)

    async def _dial(self, exchange: Exchange, request: MessagesRequest) -> Connections:
        lane = exchange.lane()
        headers = {LANE_HEADER: lane} if lane else {}
        dials = []
        for index, server in enumerate(request.servers):
            url = self._resolve_mcp(exchange.world, server.url)
            if url is None:
                raise invalid(
                    f"mcp_servers.{index}.url: {shown_url(server.url)} cannot be reached from this emulator; "
                    "use https://mcp.getstack.run/mcp or a server on 127.0.0.1."
                )
            dials.append(Dial(server.name, url, server.token, headers, server.url))
        try:
            return await self._connector.open(dials)
        except ServerUnusable as error:
            raise invalid(f"mcp_servers: the server {error.name} cannot be used: {error.reason}.") from None

    def _facts(self, exchange: Exchange, request: MessagesRequest, conversation: Conversation, offer: Offer) -> Facts:
        agents: list[str] = []
        for server in request.servers:
            found = self._principal(exchange.world, server.token) if server.token else None
            agents += [found] if isinstance(found, str) else found or ()
        exchange.entry.caller = agents[0] if agents else None
        return Facts(
            user=conversation.anchor,
            system=conversation.system,
            model=request.model,
            tools=offer.names(),
            key=exchange.api_key(),
            agents=tuple(dict.fromkeys(agents)),
        )

    def _note(self, exchange: Exchange, request: MessagesRequest, conversation: Conversation) -> None:
        exchange.note_request(
            model=request.model,
            stream=request.stream,
            betas=list(exchange.betas),
            messages=len(request.messages),
            user=conversation.anchor,
            turn=conversation.turns_done,
            tools=[bare_name(name) for name in request.client_tools],
            mcp_servers=[{"name": server.name, "url": shown_url(server.url)} for server in request.servers],
        )

    def _renderer(self) -> Templates:
        if self._templates is None:
            from stack_emu.scenario.templates import Templates

            self._templates = Templates()
        return self._templates


def _offer(request: MessagesRequest, connections: Connections) -> Offer:
    listed = connections.tools()
    return Offer(
        servers={server.name: tuple(filter(server.allows, listed[server.name])) for server in request.servers},
        disabled={
            server.name: tuple(name for name in listed[server.name] if not server.allows(name))
            for server in request.servers
        },
        client=request.client_tools,
        deferred=request.deferred_tools,
    )


def _note_reply(exchange: Exchange, request: MessagesRequest, answer: Answer) -> None:
    also = {"also_matching": list(answer.also)} if answer.also else {}
    exchange.finish(
        200,
        sent=list(answer.blocks),
        received=[request.body.get("system"), request.messages],
        id=_message_id(exchange),
        stop_reason=answer.stop_reason,
        script=list(answer.where),
        content=list(answer.blocks),
        **also,
    )


def _message_id(exchange: Exchange) -> str:
    return new_id(exchange.world.seed, "msg_", exchange.digest)


async def _whole(
    exchange: Exchange, request: MessagesRequest, events: asyncio.Queue[_Event], *, drop: bool
) -> web.StreamResponse:
    """The reply as one JSON object."""
    blocks: list[dict[str, Any]] = []
    while isinstance(event := await events.get(), dict):
        blocks.append(event)
    if isinstance(event, ApiError):
        return exchange.refuse(event)
    if drop:
        return exchange.drop()
    used = reply.usage(reply.input_tokens(request.body), reply.output_tokens(blocks))
    body = reply.message(_message_id(exchange), request.model, blocks, used)
    body.update(stop_reason=event.stop_reason, stop_sequence=event.stop_sequence)
    if event.stop_details is not None:
        body["stop_details"] = dict(event.stop_details)
    return web.json_response(body, headers=exchange.headers())


async def _stream(
    exchange: Exchange, request: MessagesRequest, events: asyncio.Queue[_Event], *, drop: bool
) -> web.StreamResponse:
    """The reply as server-sent events. What goes wrong before the first block is still an HTTP error."""
    event = await events.get()
    if isinstance(event, ApiError):
        return exchange.refuse(event)
    headers = {**exchange.headers(), "Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}
    response = web.StreamResponse(headers=headers)
    await response.prepare(exchange.request)
    tokens_in = reply.input_tokens(request.body)
    await response.write(reply.encode(reply.start_events(_message_id(exchange), request.model, tokens_in)))
    blocks: list[dict[str, Any]] = []
    while isinstance(event, dict):
        await response.write(reply.encode(reply.block_events(len(blocks), event)))
        if drop:
            exchange.drop()
            return response
        blocks.append(event)
        event = await events.get()
    await response.write(reply.encode(_closing(exchange, event, blocks)))
    await response.write_eof()
    return response


def _closing(exchange: Exchange, event: _Stop | ApiError, blocks: Sequence[dict[str, Any]]) -> Iterator[reply.Event]:
    if isinstance(event, ApiError):
        return iter([event.body(exchange.request_id)])
    tokens = reply.output_tokens(blocks)
    return reply.stop_events(event.stop_reason, event.stop_sequence, tokens, event.stop_details)
