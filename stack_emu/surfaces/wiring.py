"""What ties surfaces to worlds: the model script of a world, where MCP URLs lead, and direct calls to upstreams."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import web

from stack_emu.domain.authentication import authenticate, key_digest
from stack_emu.domain.state import ApiKey, Connection
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.world import World
from stack_emu.scenario.models import ModelRule
from stack_emu.surfaces.messages import MessagesSurface
from stack_emu.upstreams.engine import UpstreamRequest

if TYPE_CHECKING:
    from stack_emu.hosting import HostedWorld
    from stack_emu.surfaces.server import Server

STACK_MCP = "https://mcp.getstack.run/mcp"


def messages_surface(server: Server) -> MessagesSurface:
    """The Messages API over the worlds of a server."""

    def script_for(world: World) -> Sequence[ModelRule]:
        hosted = server.hosting.get(world.name)
        return hosted.model_rules if hosted is not None else ()

    def resolve_mcp(world: World, url: str) -> str | None:
        if url.rstrip("/") == STACK_MCP:
            return f"{server.world_url(world.name)}/mcp"
        host = (urlsplit(url).hostname or "").lower()
        return url if host in ("127.0.0.1", "localhost", "::1") else None

    return MessagesSurface(script_for, resolve_mcp, principal_agent)


def principal_agent(world: World, bearer: str) -> str | None:
    """The agent behind an MCP bearer, or None for an operator or an unknown credential."""
    if world.store.get(ApiKey, key_digest(bearer)) is not None:
        return None
    try:
        return authenticate(world, bearer).agent_id
    except Fault:
        return None


def accepted_credentials(world: World, upstream: str) -> list[Connection]:
    """Connections whose credential an upstream accepts."""
    return list(world.store.find(Connection, upstream=upstream))


async def direct_call(hosted: HostedWorld, request: web.BaseRequest, url: str) -> web.StreamResponse:
    """Answer a call that reached an upstream's host through the gateway, around STACK."""
    upstreams = hosted.world.settings["upstreams"]
    parts = urlsplit(url)
    name = upstreams.host_owner(parts.hostname or "", parts.port)
    body = await request.read()
    reply = await upstreams.direct(
        hosted.world, name, UpstreamRequest(request.method, url, tuple(request.headers.items()), body=body)
    )
    headers = [
        (key, value)
        for key, value in reply.headers.items()
        if key.lower() not in ("content-length", "transfer-encoding")
    ]
    return web.Response(status=reply.status, headers=headers, body=reply.body)
