"""The lane a client asks for: a header, or ``/~name`` in the world's URL; and the world that the URL names."""

from __future__ import annotations

from aiohttp import web

LANE_HEADER = "X-Stack-Emu-Lane"
LANE_KEY: web.RequestKey[str] = web.RequestKey("stack_emu.lane", str)
WORLD_NAME_KEY: web.RequestKey[str] = web.RequestKey("stack_emu.world_name", str)
"""Where a request about a world as a whole has the name in its URL; there need not be such a world."""


def lane_of(request: web.BaseRequest) -> str:
    """The text a client asked to be appended to its lane; empty when it asked for none."""
    return str(request.get(LANE_KEY) or request.headers.get(LANE_HEADER, ""))
