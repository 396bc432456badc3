"""Replies that are too long to be held as a whole: made, looked at for secrets and sent piece by piece."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from itertools import chain

from aiohttp import web

from stack_emu.kernel.operations import Download


def headers_of(reply: Download) -> dict[str, str]:
    """The headers of a download."""
    named = {"Content-Disposition": f'attachment; filename="{reply.filename}"'} if reply.filename else {}
    return {"Content-Type": reply.media, **named}


async def send(
    request: web.BaseRequest, pieces: Iterable[bytes], headers: Mapping[str, str], status: int = 200
) -> web.StreamResponse:
    """Send a reply piece by piece; other requests are answered in between.

    Args:
        request: what is answered.
        pieces: the body, each made when the one before it was handed to the connection.
        headers: of the reply.
        status: of the reply.
    """
    response = web.StreamResponse(status=status, headers=headers)
    try:
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
            await asyncio.sleep(0)  # a connection that takes everything at once would never make room for others
        await response.write_eof()
    except ConnectionResetError:  # the client has what it wanted; what was asked has taken effect all the same
        pass
    return response


async def send_download(
    request: web.BaseRequest, pieces: Iterable[bytes], headers: Mapping[str, str], status: int = 200
) -> web.StreamResponse:
    """As ``send``, but what is only one piece long goes as a whole, with its length."""
    made = iter(pieces)
    first = next(made, b"")
    second = next(made, None)
    if second is None:
        return web.Response(body=first, status=status, headers=headers)
    return await send(request, chain((first, second), made), headers, status)
