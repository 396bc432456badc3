"""One POST to a webhook on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from stack_emu.upstreams.errors import UpstreamTimeout, UpstreamTooLarge, UpstreamUnreachable
from stack_emu.upstreams.forward import require_loopback

TIMEOUT_SECONDS = 10
MAX_REPLY_BYTES = 1024 * 1024


async def post(
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    method: str = "POST",
    timeout_s: float = TIMEOUT_SECONDS,
    max_bytes: int = MAX_REPLY_BYTES,
) -> int:
    """Send a body and return the status of the answer, whose own body is read and thrown away.

    Redirects are not followed, proxies of the environment not used.

    Args:
        url: on this machine.
        headers: to send.
        body: to send.
        method: HTTP method.
        timeout_s: seconds until the answer must be complete.
        max_bytes: longest body of an answer that is accepted.

    Raises:
        UpstreamSettingsError: when the URL is not on this machine.
        UpstreamTimeout, UpstreamTooLarge, UpstreamUnreachable: when there is no complete answer.
    """
    require_loopback(url)
    try:
        return await asyncio.wait_for(_exchange(method, url, headers, body, max_bytes), timeout_s)
    except asyncio.TimeoutError:
        raise UpstreamTimeout(f"the receiver did not answer within {timeout_s:g} seconds") from None


async def _exchange(method: str, url: str, headers: Mapping[str, str], body: bytes, max_bytes: int) -> int:
    import aiohttp

    try:
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False) as session,
            session.request(method, url, headers=headers, data=body, allow_redirects=False) as response,
        ):
            size = 0
            async for chunk in response.content.iter_chunked(64 * 1024):
                size += len(chunk)
                if size > max_bytes:
                    raise UpstreamTooLarge(f"the receiver answered with more than {max_bytes // 1024} KiB")
            return response.status
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise UpstreamUnreachable(f"the receiver gave no answer ({type(error).__name__})") from None
