"""Forwarding to another server on this machine."""

from __future__ import annotations

import asyncio
import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from multidict import CIMultiDict

from stack_emu.upstreams.errors import UpstreamSettingsError, UpstreamTimeout, UpstreamTooLarge, UpstreamUnreachable
from stack_emu.upstreams.requests import UpstreamReply, UpstreamRequest

if TYPE_CHECKING:
    import aiohttp

_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_REQUEST_ONLY = frozenset({"host", "content-length", "accept-encoding", "expect"})
_REPLY_ONLY = frozenset({"content-length", "content-encoding"})
_CHUNK = 64 * 1024


def require_loopback(url: str) -> None:
    """Refuse a forward that would leave this machine.

    Raises:
        UpstreamSettingsError: when the URL is not http(s) or its host is not a loopback address or ``localhost``.
    """
    split = urlsplit(url)
    if split.scheme not in {"http", "https"} or not split.hostname:
        raise UpstreamSettingsError(f"{url!r} is no forward; write a URL such as http://127.0.0.1:9000.")
    if not _is_loopback(split.hostname):
        raise UpstreamSettingsError(
            f"requests are not forwarded to {split.hostname}, because it is not this machine; "
            "write 127.0.0.1, ::1 or localhost."
        )


class Forwarder:
    """Sends requests on to servers on this machine; the connection pool opens with the first one.

    Args:
        timeout_s: seconds until a reply must be complete.
        max_bytes: longest reply body let through, decompressed.
    """

    def __init__(self, timeout_s: float, max_bytes: int) -> None:
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def send(self, target: str, request: UpstreamRequest) -> UpstreamReply:
        """Send a request to ``target`` and return its reply as it came; redirects are not followed.

        Args:
            target: base URL; the request's path and query are put behind it.
            request: hop-by-hop headers are left out; ``X-Forwarded-Host`` and ``-Proto`` say where it was meant to go.

        Raises:
            UpstreamTimeout: when the reply is not complete in time.
            UpstreamTooLarge: when the reply body exceeds the limit.
            UpstreamUnreachable: when there is no connection or it breaks.
        """
        import aiohttp

        require_loopback(target)
        try:
            return await asyncio.wait_for(self._exchange(target, request), self._timeout_s)
        except asyncio.TimeoutError:
            raise UpstreamTimeout(f"{request.host} did not answer within {self._timeout_s:g} seconds.") from None
        except aiohttp.ClientError as error:
            raise UpstreamUnreachable(
                f"{request.host} is forwarded to {target}, which gave no answer ({type(error).__name__}); "
                "start a server there."
            ) from None

    async def aclose(self) -> None:
        """Close the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _exchange(self, target: str, request: UpstreamRequest) -> UpstreamReply:
        from yarl import URL

        url = URL(target.rstrip("/") + request.full_url[len(request.origin) :], encoded=True)
        async with self._open().request(
            request.method,
            url,
            headers=_onward(request),
            data=request.body or None,
            allow_redirects=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        ) as response:
            body = bytearray()
            async for chunk in response.content.iter_chunked(_CHUNK):
                body += chunk
                if len(body) > self._max_bytes:
                    raise too_large(request.host, self._max_bytes)
            dropped = _HOP_BY_HOP | _REPLY_ONLY
            headers = [(name, _text(value)) for name, value in response.headers.items() if name.lower() not in dropped]
            return UpstreamReply(response.status, headers, bytes(body))

    def _open(self) -> aiohttp.ClientSession:
        """The session of the running loop; one of a loop that is gone cannot be used or closed any more."""
        import aiohttp

        loop = asyncio.get_running_loop()
        if self._session is None or self._session.closed or self._loop is not loop:
            timeout = aiohttp.ClientTimeout(total=None)
            self._session = aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())
            self._loop = loop
        return self._session


def _text(value: str) -> str:
    """A header's value; bytes that are not UTF-8 are taken for Latin-1, which HTTP/1.1 was made with."""
    raw = value.encode("utf-8", "surrogateescape")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def too_large(host: str, max_bytes: int) -> UpstreamTooLarge:
    """The error for a reply from ``host`` longer than ``max_bytes``."""
    return UpstreamTooLarge(
        f"{host} answered with more than {max_bytes // (1024 * 1024)} MB, the most the proxy passes on."
    )


def _onward(request: UpstreamRequest) -> CIMultiDict[str]:
    connection = request.headers.get("Connection", "").lower().split(",")
    dropped = _HOP_BY_HOP | _REQUEST_ONLY | {name.strip() for name in connection}
    headers = CIMultiDict((name, value) for name, value in request.headers.items() if name.lower() not in dropped)
    headers.setdefault("X-Forwarded-Host", request.origin.partition("://")[2])
    headers.setdefault("X-Forwarded-Proto", request.origin.partition("://")[0])
    return headers


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
