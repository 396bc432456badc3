"""The delivery of a reply: as one JSON object, or as server-sent events, with what fault rules do to a stream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

from aiohttp import web

from stack_emu.surfaces import messages_reply as reply
from stack_emu.surfaces.messages_errors import STATUS_OF_TYPE, ApiError
from stack_emu.surfaces.messages_exchange import Exchange
from stack_emu.surfaces.messages_recording import Event, Recording, Stop
from stack_emu.surfaces.messages_request import MessagesRequest
from stack_emu.surfaces.messages_usage import CacheUse
from stack_emu.surfaces.stream_faults import CUT_CONNECTION, CUT_END, StreamFault

REPLAYED = "idempotent-replayed"


class Delivery:
    """Hands one reply to one client.

    Args:
        exchange: the exchange.
        request: what was asked.
        recording: the reply, made or in the making.
        cached: what of the prompt the cache holds.
        drop: whether the connection breaks once the reply has taken effect.
        fault: what happens to the stream.
    """

    def __init__(
        self,
        exchange: Exchange,
        request: MessagesRequest,
        recording: Recording,
        cached: Any,
        *,
        drop: bool,
        fault: StreamFault | None,
    ) -> None:
        self._exchange = exchange
        self._request = request
        self._recording = recording
        self._cached = cached
        self._drop = drop
        self._fault = fault

    async def whole(self) -> web.StreamResponse:
        """The reply as one JSON object. A stream's fault becomes the nearest thing that can happen to it."""
        blocks: list[dict[str, Any]] = []
        end: Event | None = None
        async for end in self._recording.follow():
            if isinstance(end, dict):
                blocks.append(end)
        if isinstance(end, ApiError):
            return self._exchange.refuse(end)
        assert isinstance(end, Stop)
        if self._fault is not None and (answer := await self._whole_fault(self._fault)) is not None:
            return answer
        if self._drop:
            return self._exchange.drop()
        body = whole_message(self._exchange, self._request, blocks, end, self._cache_use())
        return web.json_response(body, headers=self._headers())

    async def stream(self) -> web.StreamResponse:
        """The reply as server-sent events. What goes wrong before the first block is still an HTTP error."""
        events = self._recording.follow()
        event = await anext(events)
        if isinstance(event, ApiError):
            return self._exchange.refuse(event)
        headers = {
            **self._headers(),
            "Content-Type": "text/event-stream; charset=utf-8",
            "Cache-Control": "no-cache",
        }
        response = web.StreamResponse(headers=headers)
        await response.prepare(self._exchange.request)
        started = reply.start_events(self._exchange.message_id, self._request.model, self._usage([], 1))
        await response.write(reply.encode(started))
        if await self._body(response, event, events):
            await response.write_eof()
        return response

    async def _body(self, response: web.StreamResponse, event: Event, rest: AsyncIterator[Event]) -> bool:
        """Send blocks and the end; False when the connection was broken off."""
        blocks: list[dict[str, Any]] = []
        while isinstance(event, dict):
            sent = await self._send_block(response, reply.block_events(len(blocks), event))
            if not sent:
                return await self._break(response)
            if self._drop:
                self._exchange.drop()
                return False
            blocks.append(event)
            event = await anext(rest)
        if isinstance(event, ApiError):
            await response.write(reply.encode([event.body(self._exchange.request_id)]))
            return True
        if self._fault is not None and self._fault.breaks:
            return await self._break(response)
        used = self._usage(blocks, reply.output_tokens(blocks))
        ending = reply.stop_events(event.stop_reason, event.stop_sequence, used, event.stop_details)
        await response.write(reply.encode(ending))
        return True

    async def _send_block(self, response: web.StreamResponse, events: Iterable[reply.Event]) -> bool:
        """Send a block; False when a fault lets no more of it through."""
        if self._fault is None:
            await response.write(reply.encode(events))
            return True

        async def ping() -> None:
            await response.write(reply.encode([{"type": "ping"}]))

        if self._fault.over:
            return False
        for event in events:
            if event["type"] == "content_block_delta" and not await self._fault.piece(ping):
                return False
            await response.write(reply.encode([event]))
        self._fault.block()
        return not self._fault.over

    async def _break(self, response: web.StreamResponse) -> bool:
        assert self._fault is not None
        self._exchange.note_break(self._fault.error or f"cut {self._fault.cut}")
        if self._fault.error is not None:
            await response.write(reply.encode([self._error().body(self._exchange.request_id)]))
        elif self._fault.cut == CUT_CONNECTION:
            self._exchange.drop()
            return False
        return True

    async def _whole_fault(self, fault: StreamFault) -> web.StreamResponse | None:
        async def ping() -> None:
            return None

        fault.after = max(1, fault.after or 1)
        fault.after_blocks = None
        await fault.piece(ping)
        if fault.error is not None:
            return self._exchange.refuse(self._error())
        if fault.cut in (CUT_END, CUT_CONNECTION):
            self._exchange.note_break(f"cut {fault.cut}")
            return self._exchange.drop()
        return None

    def _error(self) -> ApiError:
        assert self._fault is not None
        kind = self._fault.error or "api_error"
        status = STATUS_OF_TYPE.get(kind, 500)
        return ApiError(status, self._fault.text, type_=kind, headers={"retry-after-ms": "1"} if status >= 429 else {})

    def _headers(self) -> dict[str, str]:
        headers = self._exchange.headers()
        if self._recording.replayed:
            headers[REPLAYED] = "true"
        return headers

    def _cache_use(self) -> CacheUse:
        if self._recording.used is None:
            self._recording.used = self._cached()
        used: CacheUse = self._recording.used
        return used

    def _usage(self, blocks: list[dict[str, Any]], tokens_out: int) -> dict[str, Any]:
        return reply.usage(
            reply.input_tokens(self._request.body),
            tokens_out,
            cached=self._cache_use(),
            thinking=reply.thinking_tokens(blocks),
        )


def whole_message(
    exchange: Exchange,
    request: MessagesRequest,
    blocks: list[dict[str, Any]],
    stop: Stop,
    cached: CacheUse,
    *,
    tier: str = "standard",
) -> dict[str, Any]:
    """A reply as one message.

    Args:
        exchange: the exchange, of which the message has its id.
        request: what was asked.
        blocks: what was answered.
        stop: how it ended.
        cached: what of the prompt the cache held.
        tier: the service tier it ran in.
    """
    used = reply.usage(
        reply.input_tokens(request.body),
        reply.output_tokens(blocks),
        cached=cached,
        thinking=reply.thinking_tokens(blocks),
        tier=tier,
    )
    body = reply.message(exchange.message_id, request.model, blocks, used)
    body.update(stop_reason=stop.stop_reason, stop_sequence=stop.stop_sequence)
    if stop.stop_details is not None:
        body["stop_details"] = dict(stop.stop_details)
    return body
