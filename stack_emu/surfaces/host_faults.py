"""Faults of a host: what is wrong between a client and a real name, whatever would have answered there."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json

from aiohttp import web

from stack_emu.kernel.faults import CallView, Injection
from stack_emu.kernel.journal import Entry
from stack_emu.kernel.world import World
from stack_emu.surfaces.broken_replies import RESET, WIRE_KEY, abort, deliver, reset

_HOST = frozenset({"host"})


async def answer_fault(world: World, request: web.BaseRequest, host: str, path: str) -> web.StreamResponse | None:
    """Do what a rule about a host says before anything behind the host is asked; None when the call goes on.

    Args:
        world: whose rules count.
        request: as it reached the gateway.
        host: the name it was meant for.
        path: its path.
    """
    content = await _content(request)
    view = CallView(request.method, path, tuple(request.query.items()), request.headers, content)
    said = json.dumps([request.method, host, request.rel_url.raw_path_qs, content], sort_keys=True, default=str)
    identity = hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()
    elapsed = world.now_ms() - world.clock.start_ms
    call = {"host": host, "path": path, "method": request.method}
    inject = world.faults.take("gateway", elapsed, _HOST, request=view, identity=identity, **call)
    if inject is None:
        return None
    entry = world.journal.add(world.now_ms(), "gateway", request.method, path, injected=inject.rule)
    entry.request = {"host": host}
    if inject.get("delay"):
        await asyncio.sleep(inject["delay"] / 1000)
    if inject.get("drop") is not None:
        entry.status = 0
        return reset(request) if inject.get("transport") == RESET else abort(request)
    if inject.wire is not None:
        request[WIRE_KEY] = inject.wire
    answer = _answer(inject, entry)
    return await deliver(request, answer) if answer is not None else None


def _answer(inject: Injection, entry: Entry) -> web.Response | None:
    if not any(inject.get(name) is not None for name in ("status", "headers", "json", "body")):
        return None
    status = entry.status = int(inject.get("status") or 200)
    if inject.get("json") is not None:
        return web.json_response(inject["json"], status=status, headers=inject.get("headers"))
    return web.Response(text=inject.get("body") or "", status=status, headers=inject.get("headers"))


async def _content(request: web.BaseRequest) -> object:
    raw = await request.read() if request.body_exists else b""
    text = raw.decode("utf-8", "replace")
    with contextlib.suppress(ValueError):
        return json.loads(text)
    return text or None
