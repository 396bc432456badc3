"""The 226 calls of SDK 4.0.0 as they were recorded on the wire: what each sends, by the names of what it sends.

``recorded_calls.json`` has for each call ``sends``, its requests with every parameter given, and ``at_least``, those with the
required ones alone. A request is [method, path with ``{}`` for what varies, names in the query, in the body, of headers].
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FILE = Path(__file__).resolve().parent / "recorded_calls.json"
SIGNING_IN = frozenset({"CredentialsFileAuth", "OAuthAuth", "browser_bootstrap"})
"""Recorded too, but no calls of a client: how one gets its credential. ``tests/oauth/test_sdk.py`` has them."""
_EVERY = {
    "accept",
    "accept-encoding",
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "host",
    "user-agent",
}


@dataclass(frozen=True)
class Sent:
    """A request that ended well: its parts by name."""

    method: str
    path: str
    query: frozenset[str]
    body: frozenset[str]
    headers: frozenset[str]

    def is_like(self, recorded: list[Any], *, exactly: bool) -> bool:
        """Whether it is the recorded request, or (unless ``exactly``) one that sends more."""
        method, template, query, body, headers = recorded
        pattern = re.escape(template).replace(r"\{\}", "[^/]+")
        if self.method != method or re.fullmatch(pattern, self.path) is None:
            return False
        pairs = ((self.query, query), (self.body, body), (self.headers, [name.lower() for name in headers]))
        return all(mine == set(its) if exactly else mine >= set(its) for mine, its in pairs)


@dataclass
class Recorder:
    """The requests of one client that a served world answered with success."""

    sent: set[Sent] = field(default_factory=set)

    def missing(self) -> list[str]:
        """Recorded calls, and those with the required parameters alone, that were not made with success."""
        return [
            f"{call['call']} {form} {recorded}"
            for call in json.loads(FILE.read_text("utf-8"))
            if call["call"] not in SIGNING_IN
            for form, exactly in (("sends", False), ("at_least", True))
            for recorded in call.get(form, ())
            if not any(one.is_like(recorded, exactly=exactly) for one in self.sent)
        ]


@contextlib.contextmanager
def recording(served: Any, agents: tuple[str, ...]) -> Iterator[Recorder]:
    """Note what clients whose User-Agent begins with one of ``agents`` send."""
    surface, recorder = served.server._rest, Recorder()
    real = surface.handle

    async def handle(world: Any, request: Any, path: str, origin: str) -> Any:
        response = await real(world, request, path, origin)
        if _ended_well(response) and request.headers.get("User-Agent", "").startswith(agents):
            headers = frozenset(name.lower() for name in request.headers) - _EVERY
            recorder.sent.add(
                Sent(request.method, path, frozenset(request.rel_url.query), await _names(request), headers)
            )
        return response

    surface.handle = handle
    try:
        yield recorder
    finally:
        surface.handle = real


def _ended_well(response: Any) -> bool:
    """Whether a request succeeded, or waits for a human's approval: then its like with one succeeds."""
    return response.status < 400 or b'"GOVERNANCE_APPROVAL_REQUIRED"' in (response.body or b"")


async def _names(request: Any) -> frozenset[str]:
    """Names at the top of a JSON body or of a form."""
    raw = await request.read()
    try:
        return frozenset(json.loads(raw))
    except (ValueError, TypeError):
        return frozenset(part.partition("=")[0] for part in raw.decode().split("&") if "=" in part)
