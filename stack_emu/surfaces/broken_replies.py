"""Answers that break on their way: resets, truncated, slow and mangled bodies, as fault rules want them.

The kinds and their names are those of WireMock's faults (connection reset by peer, empty response, malformed response
chunk, random data then close, and the dribble delay), with two more that leave HTTP whole or nearly so.
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
import struct
from collections.abc import Mapping
from typing import Any

from aiohttp import hdrs, web

WIRE_KEY: web.RequestKey[dict[str, Any]] = web.RequestKey("stack_emu.wire", dict)
"""Where a request keeps what a fault rule does to the bytes of its answer."""

RESET = "connection_reset_by_peer"
EMPTY = "empty_response"
CHUNK = "malformed_response_chunk"
RANDOM = "random_data_then_close"
TRUNCATED = "truncated_body"
GARBAGE = "garbage_body"

_NO_LINGER = struct.pack("ii", 1, 0)
_LONGEST_DRIBBLE_S = 60.0


def abort(request: web.BaseRequest) -> web.Response:
    """Break a connection off. The response returned is never sent."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


def reset(request: web.BaseRequest) -> web.Response:
    """Break a connection off with a TCP reset instead of an end. The response returned is never sent."""
    sock = request.transport.get_extra_info("socket") if request.transport is not None else None
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    return abort(request)


def garbage(seed: str, length: int = 160) -> bytes:
    """Bytes that are neither HTTP nor JSON nor text, the same for the same seed."""
    raw = hashlib.shake_256(f"garbage:{seed}".encode()).digest(length)
    return b"\xff\xfe\x00" + bytes(byte | 0x80 for byte in raw)


async def deliver(request: web.BaseRequest, response: web.StreamResponse) -> web.StreamResponse:
    """Send an answer as the fault rule of its request wants it; answers without one are handed back as they are.

    Args:
        request: the request; what a rule wants stands under ``WIRE_KEY``.
        response: its answer, unsent. One whose sending has begun is left alone.
    """
    wire = request.get(WIRE_KEY)
    if wire is None or response.prepared or not isinstance(response, web.Response):
        return response
    if request.transport is None or request.transport.is_closing():
        return response
    _mangle(response, wire)
    kind = wire.get("transport")
    if kind == RESET:
        return reset(request)
    if kind == EMPTY:
        return _close_after(request, b"")
    if kind == RANDOM:
        return _close_after(request, garbage(request.path))
    if kind == CHUNK:
        return _close_after(request, _head(response) + b"Transfer-Encoding: chunked\r\n\r\n" + b"not a chunk size\r\n")
    body = _body(response)
    if kind == TRUNCATED:
        length = max(len(body), 2)
        head = _head(response) + f"Content-Length: {length}\r\n\r\n".encode()
        return _close_after(request, head + body[: length // 2])
    dribble = wire.get("dribble")
    return await _dribble(request, response, body, dribble) if dribble else response


def _mangle(response: web.Response, wire: Mapping[str, Any]) -> None:
    if wire.get("content_type") is not None:
        response.headers[hdrs.CONTENT_TYPE] = str(wire["content_type"])
    if wire.get("transport") == GARBAGE:
        response.body = garbage("body")


async def _dribble(
    request: web.BaseRequest, response: web.Response, body: bytes, dribble: Mapping[str, Any]
) -> web.StreamResponse:
    """Send the head at once and the body in equal pieces, spread over a time."""
    count = max(1, min(int(dribble["chunks"]), len(body) or 1))
    pause = min(int(dribble["over"]) / 1000, _LONGEST_DRIBBLE_S) / count
    headers = response.headers.copy()
    headers.popall(hdrs.CONTENT_LENGTH, None)
    slow = web.StreamResponse(status=response.status, headers=headers)
    slow.content_length = len(body)
    try:
        await slow.prepare(request)
        for number in range(count):
            await asyncio.sleep(pause)
            await slow.write(body[len(body) * number // count : len(body) * (number + 1) // count])
        await slow.write_eof()
    except ConnectionResetError:  # the client would not wait
        pass
    return slow


def _body(response: web.Response) -> bytes:
    body = response.body
    return bytes(body) if isinstance(body, (bytes, bytearray)) else b""


def _head(response: web.Response) -> bytes:
    """The status line and the headers but for those that say how long the body is."""
    lines = [f"HTTP/1.1 {response.status} {response.reason}"]
    unsaid = {hdrs.CONTENT_LENGTH.lower(), hdrs.TRANSFER_ENCODING.lower()}
    lines += [f"{name}: {value}" for name, value in response.headers.items() if name.lower() not in unsaid]
    return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogateescape")


def _close_after(request: web.BaseRequest, sent: bytes) -> web.Response:
    """Send bytes past aiohttp and close the connection in order. The response returned is never sent."""
    assert request.transport is not None
    if sent:
        request.transport.write(sent)
    request.transport.close()
    return web.Response(status=500)
