"""Which Host and Origin a request may name: this server's own, so that no web page gets in under another name.

A page whose name was made to lead to this machine (DNS rebinding) sends that name as Host; a page of another origin
sends its Origin. Programs send no Origin.
"""

from __future__ import annotations

import re
from collections.abc import Set
from typing import Any

from aiohttp import HttpVersion10, HttpVersion11, hdrs, web

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
TARGET: web.RequestKey[str] = web.RequestKey("stack_emu.target", str)
"""Where a request keeps the authority of a request line that is a whole URL."""

_AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._-]{1,253}))(?::([0-9]{1,5}))?")
_ORIGIN = re.compile(r"https?://(.+)", re.IGNORECASE)


def host_of(authority: str) -> str:
    """The host in ``host`` or ``host:port``, in lower case without brackets; empty when the text is anything else."""
    found = _AUTHORITY.fullmatch(authority)
    if found is None or int(found[3] or 0) > 65_535:
        return ""
    return (found[1] or found[2]).lower()


def in_origin_form(message: Any) -> tuple[Any, str | None]:
    """A request as if its line had the path only, and the authority that stood there (RFC 9112, 3.2.2).

    Args:
        message: aiohttp's raw request.
    """
    if not message.url.absolute:
        return message, None
    return message._replace(url=message.url.relative()), str(message.url.raw_authority)


def refusal(request: web.BaseRequest, allowed: Set[str], here: str) -> web.Response | None:
    """The refusal of a request that names another host or comes from another site's page; None for all others.

    Args:
        request: the request.
        allowed: host names that are this server's.
        here: its base URL, for the sentence.
    """
    if request.version not in (HttpVersion10, HttpVersion11):
        return _closing(505, "HTTP_VERSION", "This port speaks HTTP/1.1.")
    if request.method == hdrs.METH_CONNECT:
        return _closing(405, "METHOD_NOT_ALLOWED", "This port makes no tunnels; the gateway's does.")
    named = request.headers.get(hdrs.HOST, request.host)
    host = host_of(named)
    if host not in allowed:
        return _plain(421, "HOST_REFUSED", f"Host {named[:200]} is not served here; use {here} or the gateway.")
    target = request.get(TARGET)
    if target is not None and target.lower() != named.lower():
        return _plain(
            421, "HOST_REFUSED", f"The request line names {target[:200]}, and Host {named[:200]}; use {here}."
        )
    for origin in request.headers.getall(hdrs.ORIGIN, ()):
        found = _ORIGIN.fullmatch(origin)
        if found is None or host_of(found[1]) not in allowed:
            sentence = f"Pages of {origin[:200]} may not call this emulator; use a loopback origin."
            return _plain(403, "ORIGIN_REFUSED", sentence)
    return None


def is_of_another_page(request: web.BaseRequest) -> bool:
    """Whether a browser sent a request for a page of another origin; a link that a person follows does not count.

    Another port of this machine is another origin: what is served there may be anybody's code.
    """
    own = f"{request.scheme}://{request.host}".lower()
    if any(origin.lower() != own for origin in request.headers.getall(hdrs.ORIGIN, ())):
        return True
    if request.headers.get("Sec-Fetch-Site", "none").lower() in ("none", "same-origin"):
        return False
    return request.method != hdrs.METH_GET or request.headers.get("Sec-Fetch-Mode", "").lower() != "navigate"


def _plain(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"error": {"code": code, "message": message, "details": {}}}, status=status)


def _closing(status: int, code: str, message: str) -> web.Response:
    response = _plain(status, code, message)
    response.force_close()
    return response
