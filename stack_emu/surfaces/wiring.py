"""What ties surfaces to worlds: word of reloaded scenarios, and direct calls to upstreams."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import web

from stack_emu.surfaces.broken_replies import WIRE_KEY, abort
from stack_emu.surfaces.secret_exits import HANDED, screened
from stack_emu.upstreams.engine import UpstreamRequest, UpstreamTimeout, UpstreamUnreachable

if TYPE_CHECKING:
    from stack_emu.hosting import HostedWorld
    from stack_emu.surfaces.server import Server


def announce_reloads(server: Server) -> None:
    """Tell the MCP clients of a world when another scenario, or its own seed again, takes the place of what was there."""

    def announce(name: str) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:  # made by a thread that serves nobody
            return
        server.spawn(server.tools_changed(name))

    def watch(hosted: HostedWorld) -> None:
        hosted.on_reset = partial(announce, hosted.world.name)

    def reloaded(hosted: HostedWorld) -> None:
        watch(hosted)
        announce(hosted.world.name)

    for hosted in server.hosting:
        watch(hosted)
    server.hosting.on_create.append(reloaded)


async def direct_call(hosted: HostedWorld, request: web.BaseRequest, url: str) -> web.StreamResponse:
    """Answer a call that reached an upstream's host through the gateway, around STACK."""
    upstreams = hosted.world.settings["upstreams"]
    parts = urlsplit(url)
    name = upstreams.host_owner(parts.hostname or "", parts.port)
    body = await request.read()
    sent = UpstreamRequest(request.method, url, tuple(request.headers.items()), body=body)
    try:
        reply = await upstreams.direct(
            hosted.world, name, sent, on_wire=lambda wire: request.__setitem__(WIRE_KEY, wire)
        )
    except (
        UpstreamUnreachable,
        UpstreamTimeout,
    ):  # there is no proxy here that could word it: the service is not there
        return abort(request)
    headers = [
        (key, value)
        for key, value in reply.headers.items()
        if key.lower() not in ("content-length", "transfer-encoding")
    ]
    response = web.Response(status=reply.status, headers=headers, body=reply.body)
    # What a client sent itself it may get back: that it had it at all is what its own exchange says.
    brought = hosted.world.redactor.scanner.find(b"\n".join([url.encode(), *(v for _, v in request.raw_headers), body]))
    request[HANDED] = frozenset(one.kind for one in brought)
    return screened(hosted.world, request, url, response)
