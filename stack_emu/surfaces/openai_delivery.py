"""How a stream of the OpenAI API travels: frame by frame, with the failures a fault rule puts into it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from aiohttp import web

from stack_emu.surfaces.openai_errors import STATUS_OF_CODE, OpenAiError
from stack_emu.surfaces.openai_exchange import OpenAiExchange
from stack_emu.surfaces.stream_faults import CUT_CONNECTION, StreamFault

_PING = b": ping\n\n"


@dataclass(frozen=True)
class Frame:
    """One event on the wire.

    Args:
        data: its bytes.
        piece: whether it carries a piece of text or of a call's arguments.
        closes_item: whether an item of the output, or the whole message, is complete with it.
        ends: whether it says that all has been said.
    """

    data: bytes
    piece: bool = False
    closes_item: bool = False
    ends: bool = False


@dataclass(frozen=True)
class Failing:
    """What goes wrong with a reply on its way to the client.

    Args:
        drop: whether the connection breaks after the call took effect.
        fault: what a fault rule does to the stream, if anything.
    """

    drop: bool = False
    fault: StreamFault | None = None


async def send_stream(
    exchange: OpenAiExchange,
    frames: AsyncIterator[Frame],
    failing: Failing,
    error_frame: Callable[[OpenAiError], bytes],
) -> web.StreamResponse:
    """Send frames as they come.

    Args:
        exchange: the exchange.
        frames: what is to be sent.
        failing: what goes wrong on the way.
        error_frame: an error in the form a stream that has begun carries it.
    """
    headers = {**exchange.headers(), "Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}
    response = web.StreamResponse(headers=headers)
    await response.prepare(exchange.request)
    fault = failing.fault

    async def ping() -> None:
        await response.write(_PING)

    async for frame in frames:
        if fault is not None and ((frame.piece and not await fault.piece(ping)) or (frame.ends and fault.breaks)):
            break
        await response.write(frame.data)
        if failing.drop and frame.closes_item:
            exchange.drop()
            return response
        if fault is not None and frame.closes_item:
            fault.block()
        if fault is not None and fault.over:
            break
    else:
        await response.write_eof()
        return response
    assert fault is not None
    exchange.note_break(fault.error or f"cut {fault.cut}")
    if fault.error is None and fault.cut == CUT_CONNECTION:
        exchange.drop()
        return response
    if fault.error is not None:
        await response.write(error_frame(error_of(fault)))
    await response.write_eof()
    return response


async def whole_fault(exchange: OpenAiExchange, failing: Failing) -> web.StreamResponse | None:
    """What a fault of streams does to a reply that is not streamed; None when it only comes later.

    Args:
        exchange: the exchange.
        failing: what goes wrong on the way.
    """
    fault = failing.fault
    if fault is not None:
        fault.after, fault.after_blocks = 1, None
        await fault.piece(_silence)
        if fault.error is not None:
            return exchange.refuse(error_of(fault))
        if fault.cut is not None:
            exchange.note_break(f"cut {fault.cut}")
            return exchange.drop()
    return exchange.drop() if failing.drop else None


def error_of(fault: StreamFault) -> OpenAiError:
    """The error a fault ends a stream with."""
    code = fault.error or "server_error"
    status = STATUS_OF_CODE.get(code, 500)
    return OpenAiError(status, fault.text, code=code, headers={"retry-after-ms": "1"} if status >= 429 else {})


async def _silence() -> None:
    return None
