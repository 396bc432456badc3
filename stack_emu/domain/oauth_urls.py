"""The URLs of signing in: issuer, resource and metadata of a world as a client reached it, and which URLs name which.

They follow the authority the client used. Behind STACK's own names the issuer is ``https://api.getstack.run`` and the
resource ``https://mcp.getstack.run/mcp``; ``https://api.getstack.run``, which the SDK always sends, names every world.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

API_ORIGIN = "https://api.getstack.run"
MCP_ORIGIN = "https://mcp.getstack.run"
_STACK_ORIGINS = (API_ORIGIN, MCP_ORIGIN, "https://getstack.run", "https://www.getstack.run")
_LANE = re.compile(r"/~[A-Za-z0-9_.:-]{1,64}(?=/|$)")
_SAFE = re.compile(r"[!-~]+")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_NEVER = frozenset({"javascript", "data", "file", "vbscript", "about", "blob", "ws", "wss", "ftp"})


def issuer_of(origin: str) -> str:
    """The issuer of a world reached at ``origin`` (scheme, authority and world prefix)."""
    return API_ORIGIN if origin in _STACK_ORIGINS else origin


def mcp_resource_of(origin: str) -> str:
    """The MCP endpoint of a world reached at ``origin``."""
    return f"{MCP_ORIGIN if origin in _STACK_ORIGINS else origin}/mcp"


def resource_metadata_url(origin: str) -> str:
    """Where the metadata of the MCP endpoint is: the path is inserted behind the well-known name (RFC 9728)."""
    parts = urlsplit(mcp_resource_of(origin))
    return f"{parts.scheme}://{parts.netloc}/.well-known/oauth-protected-resource{parts.path}"


def names_world(resource: str, origin: str) -> bool:
    """Whether a ``resource`` names the world reached at ``origin``: its URL, its MCP endpoint, or STACK's own."""
    wanted = _plain(resource)
    if wanted is None:
        return False
    stack = (API_ORIGIN, MCP_ORIGIN, f"{MCP_ORIGIN}/mcp")
    own = (origin, f"{origin}/mcp")
    return wanted in [_plain(one) for one in (*stack, *own)]


def _plain(url: str) -> tuple[str, str, int | None, str] | None:
    """A URL as it is compared: every name of this machine alike, no lane, no slash at the end; None for no such URL."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
        return None
    host = "loopback" if is_loopback_host(parts.hostname) else parts.hostname
    return parts.scheme, host, port, _LANE.sub("", parts.path).rstrip("/")


def is_loopback_host(host: str | None) -> bool:
    """Whether a host name is this machine's: ``localhost`` or a loopback address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def redirect_problem(uri: str) -> str | None:
    """What keeps a URI from being a client's redirect_uri, as a sentence that says what would do; None when nothing does."""
    try:
        parts = urlsplit(uri)
        parts.port  # noqa: B018  reading it checks it
    except ValueError:
        return "is no URL"
    if not _SAFE.fullmatch(uri) or len(uri) > 2048 or any(mark in uri for mark in "\\\"'<>;"):
        return "must be a URL of printable ASCII characters without quotes"
    if parts.fragment or uri.endswith("#"):
        return "must have no fragment"
    if parts.scheme == "https":
        return None if parts.hostname and parts.username is None else "must name a host, without user information"
    if parts.scheme == "http":
        good = is_loopback_host(parts.hostname) and parts.username is None
        return None if good else "must be https, or http on loopback such as http://127.0.0.1/callback"
    if not _SCHEME.fullmatch(parts.scheme) or parts.scheme in _NEVER or not (parts.netloc or parts.path):
        return "must be https, http on loopback, or a scheme of the application's own such as com.example.app:/callback"
    return None


def redirect_matches(registered: str, asked: str) -> bool:
    """Whether a redirect_uri is the registered one: to the letter, but for the port on loopback (RFC 8252, 7.3)."""
    if registered == asked:
        return True
    try:
        ours, theirs = urlsplit(registered), urlsplit(asked)
        theirs.port  # noqa: B018
    except ValueError:
        return False
    if (ours.scheme, theirs.scheme) != ("http", "http") or not is_loopback_host(ours.hostname):
        return False
    same = (ours.hostname, ours.path, ours.query, ours.username) == (
        theirs.hostname,
        theirs.path,
        theirs.query,
        theirs.username,
    )
    return same and not theirs.fragment and _SAFE.fullmatch(asked) is not None


def is_loopback_callback(url: str) -> bool:
    """Whether a URL is a plain callback of a program on this machine."""
    return url.startswith("http://") and redirect_problem(url) is None


def with_query(url: str, **values: str | None) -> str:
    """A URL with more in its query; values that are None are left out."""
    parts = urlsplit(url)
    more = [(name, value) for name, value in values.items() if value is not None]
    query = urlencode([*parse_qsl(parts.query, keep_blank_values=True), *more])
    return urlunsplit((parts.scheme, parts.netloc, parts.path, query, parts.fragment))
