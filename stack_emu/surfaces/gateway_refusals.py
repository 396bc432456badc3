"""What the gateway says when it does not serve a request: one sentence that names what would have worked."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import web

CHALLENGE = 'Basic realm="stack-emu gateway"'
"""The ``Proxy-Authenticate`` value; clients that hold credentials back until asked (git, Java) need it."""


@dataclass(frozen=True)
class Refusal:
    """An answer of the gateway itself.

    Args:
        status: HTTP status.
        code: stable word for programs.
        message: one sentence for people.
        details: names that the sentence speaks of.
    """

    status: int
    code: str
    message: str
    details: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> web.Response:
        """Return the refusal in the envelope ``{"error": {"code", "message", "details"}}``.

        ``x-should-retry: false`` is honoured by Anthropic's SDKs (``_should_retry``): a refusal of the gateway does
        not get better by waiting.
        """
        body = {"error": {"code": self.code, "message": self.message, "details": dict(self.details)}}
        headers = {"x-should-retry": "false"}
        if self.status == web.HTTPProxyAuthenticationRequired.status_code:
            headers["Proxy-Authenticate"] = CHALLENGE
        return web.json_response(body, status=self.status, headers=headers)

    def inside_tunnel(self) -> Refusal:
        """Return the refusal as an origin may send it: a 407 from an origin is hidden by fetch, a 502 is not."""
        return Refusal(502, self.code, self.message, self.details)


def credentials_missing() -> Refusal:
    """Refuse a proxy request without credentials."""
    return Refusal(
        407,
        "GATEWAY_CREDENTIALS_MISSING",
        "stack-emu's gateway needs proxy credentials: use the whole gateway_url, http://<world>:<token>@<host>:<port>",
    )


def credentials_wrong() -> Refusal:
    """Refuse a proxy request whose password is not this run's token."""
    return Refusal(
        407,
        "GATEWAY_CREDENTIALS_WRONG",
        "the proxy password is not the token of this stack-emu run: use the gateway_url that this run printed "
        "(stack-emu env shows it)",
    )


def host_not_emulated(world: str, host: str) -> Refusal:
    """Refuse a host that is neither emulated in ``world`` nor let through."""
    if _is_loopback(host):
        message = (
            f"{host} is this machine and needs no proxy: keep NO_PROXY=127.0.0.1,localhost,::1 as stack-emu exec sets "
            "it, and the client will connect directly"
        )
    else:
        message = (
            f"{host} is not emulated in world {world!r} and stack-emu lets nothing else out: add it to "
            f"upstreams.<name>.hosts in the scenario to emulate it, or to gateway.allow (exec --allow-host {host}) to "
            "let it through untouched"
        )
    return Refusal(502, "HOST_NOT_EMULATED", message, {"host": host, "world": world})


def host_unreachable(host: str, port: int, reason: str) -> Refusal:
    """Report that an allowed host did not take the connection."""
    return Refusal(
        502,
        "ALLOWED_HOST_UNREACHABLE",
        f"{host}:{port} is let through by gateway.allow but did not take the connection ({reason}): reach it from this "
        "machine, or emulate it with upstreams.<name>.hosts",
        {"host": host},
    )


def misdirected(expected: str, got: str) -> Refusal:
    """Refuse a request whose Host header names another host than the connection was opened for."""
    return Refusal(
        421,
        "MISDIRECTED_REQUEST",
        f"this connection was opened for {expected} but the Host header says {got or 'nothing'}: send Host: {expected}",
        {"host": got, "expected": expected},
    )


def not_a_proxy_request() -> Refusal:
    """Refuse a request that treats the gateway as a web server."""
    return Refusal(
        400,
        "GATEWAY_IS_A_PROXY",
        "this port is stack-emu's gateway, an HTTP proxy: set HTTPS_PROXY and HTTP_PROXY to gateway_url and ask for "
        "the real URL, or use STACK_BASE_URL for the API itself",
    )


def malformed(what: str) -> Refusal:
    """Refuse what is not HTTP/1.1."""
    return Refusal(400, "MALFORMED_REQUEST", f"{what}: the gateway speaks HTTP/1.1, with or without TLS in the tunnel")


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
