"""The scripted model: makes the reply to a request, dialling MCP servers for the connector on the way."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from stack_emu.kernel.world import World
from stack_emu.model_script.asking import Asked
from stack_emu.model_script.conversation import Conversation, read_conversation
from stack_emu.model_script.matching import Facts, Unscripted, bare_name
from stack_emu.model_script.routing import Offer
from stack_emu.surfaces.connector import Connections, Connector, Dial, ServerUnusable, shown_url
from stack_emu.surfaces.lane import LANE_HEADER
from stack_emu.surfaces.messages_errors import ApiError, invalid, unscripted
from stack_emu.surfaces.messages_exchange import Exchange
from stack_emu.surfaces.messages_fields import BETA_2026_09
from stack_emu.surfaces.messages_listings import listing_block
from stack_emu.surfaces.messages_output import properties_of
from stack_emu.surfaces.messages_recording import Event, Stop
from stack_emu.surfaces.messages_request import MessagesRequest
from stack_emu.surfaces.messages_side import is_side_call, side_reply
from stack_emu.surfaces.model_reply import Answer, Question, ScriptFor, answered_aside, manner_of, write_reply

if TYPE_CHECKING:
    from stack_emu.scenario.templates import Templates

_LOG = logging.getLogger("stack_emu")

ResolveMcp = Callable[[World, str], "str | None"]
Principal = Callable[[World, str], "str | tuple[str, ...] | None"]
_Emit = Callable[[dict[str, Any]], None]


class ScriptedModel:
    """Makes replies in any world.

    Args:
        script_for: the rules of a world for a request body.
        resolve_mcp: the URL to dial for a server's URL, or None for one that is not reachable from here.
        principal: who stands behind an MCP bearer: the agent's id, or its id and name, or None.
        connector: dials MCP servers.
    """

    def __init__(
        self, script_for: ScriptFor, resolve_mcp: ResolveMcp, principal: Principal, connector: Connector
    ) -> None:
        self._script_for = script_for
        self._resolve_mcp = resolve_mcp
        self._principal = principal
        self._connector = connector
        self._templates: Templates | None = None

    async def answer(self, exchange: Exchange, request: MessagesRequest, add: Callable[[Event], None]) -> None:
        """Make a reply, and write down what the model saw and said.

        Args:
            exchange: the exchange.
            request: what was asked.
            add: is given every block once it is complete, then how the reply ends: a stop, or an error.
        """
        try:
            end: Event = await self._make(exchange, request, add)
        except ApiError as error:
            end = error
        except Unscripted as error:
            end = unscripted(str(error), error.nearest, error.table)
        except Exception:
            _LOG.error("the reply could not be made\n%s", exchange.world.redactor.traceback())
            end = ApiError(500, "The emulator failed while making this reply; its log says why.")
        if isinstance(end, ApiError):
            exchange.note_refusal(end)
        add(end)

    async def _make(self, exchange: Exchange, request: MessagesRequest, emit: _Emit) -> Stop:
        emit = _screening(exchange, emit)
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
            return Stop(answer.stop_reason)
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
    ) -> Stop:
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
            shown=_listings(exchange, connections),
        )
        _note_reply(exchange, request, answer)
        return Stop(answer.stop_reason, answer.stop_sequence, answer.stop_details)

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
            dials.append(Dial(server.name, url, server.token, headers, server.url, server.listing))
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


def _listings(exchange: Exchange, connections: Connections) -> list[dict[str, Any]]:
    """The listings that were asked for, as blocks of the reply, where the client knows them."""
    if BETA_2026_09 not in exchange.betas:
        return []
    return [listing_block(server, tools) for server, tools in connections.fetched().items()]


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


def _screening(exchange: Exchange, emit: _Emit) -> _Emit:
    """Let blocks out without secrets."""
    return lambda block: emit(exchange.screened(block))


def _note_reply(exchange: Exchange, request: MessagesRequest, answer: Answer) -> None:
    also = {"also_matching": list(answer.also)} if answer.also else {}
    exchange.finish(
        200,
        sent=list(answer.blocks),
        received={"system": request.body.get("system"), "messages": request.body.get("messages")},
        id=exchange.message_id,
        stop_reason=answer.stop_reason,
        script=list(answer.where),
        content=list(answer.blocks),
        **also,
    )
