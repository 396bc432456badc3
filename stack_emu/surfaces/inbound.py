"""The URLs providers call: a request becomes something an inbound webhook receives. The journal keeps its hash only."""

from __future__ import annotations

import hashlib

from aiohttp import web

from stack_emu.domain import faults, inbound_receive
from stack_emu.domain.inbound_webhooks import PATH
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.world import World
from stack_emu.surfaces.lane import lane_of
from stack_emu.surfaces.rest import fault_response, json_response


async def receive(world: World, request: web.BaseRequest, path: str) -> web.Response:
    """Answer a provider: 202 when it was taken in, again or for the first time.

    Args:
        world: the world asked.
        request: the HTTP request.
        path: raw path inside the world.
    """
    route = f"{PATH}{{slug}}"
    entry = world.journal.add(
        world.now_ms(), "webhook", request.method, route, route=route, operation=inbound_receive.OPERATION
    )
    try:
        body = await _read(request)
        entry.request = {"sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body)}
        headers = {name.lower(): value for name, value in request.headers.items()}
        lane = lane_of(request)
        reply = inbound_receive.receive(
            world, path.removeprefix(PATH), headers, body, lane_suffix=f"/{lane}" if lane else ""
        )
        response = json_response(reply, 202)
    except Fault as fault:
        entry.code, entry.hint = fault.code, world.redactor.text(fault.message)
        response = fault_response(world, fault)
    entry.status = response.status
    return response


async def _read(request: web.BaseRequest) -> bytes:
    try:
        return await request.read() if request.body_exists else b""
    except web.HTTPRequestEntityTooLarge:
        raise Fault(faults.BODY_TOO_LARGE, limit=inbound_receive.MAX_BYTES // 2**20) from None
