"""The request that leaves the proxy and the reply that goes back: placeholders, headers, the credential, scrubbing.

The credential is put in the way the service catalogue says for its provider. Whatever the caller sent as authentication
is dropped, and no form of the injected secret goes back with the reply.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import quote, quote_plus

from stack_emu.domain import faults
from stack_emu.domain.constraints import ConstrainedRequest
from stack_emu.domain.secret_kinds import PUBLIC_FIELDS
from stack_emu.domain.service_catalogue import injected
from stack_emu.domain.state import Connection
from stack_emu.kernel import strict_json
from stack_emu.kernel.errors import Fault
from stack_emu.upstreams.requests import UpstreamReply, UpstreamRequest, json_bytes

PLACEHOLDERS = ("instance_url", "account_id")
SHORTEST_SECRET = 6
"""Shorter texts are not taken for secrets: masking them would garble ordinary words."""

_PLACEHOLDER = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
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
_CALLERS_OWN = frozenset(
    {"authorization", "cookie", "x-api-key", "host", "content-length", "expect", "forwarded", "x-passport-token"}
)
_CALLERS_OWN_PREFIXES = ("proxy-", "x-stack-", "x-intent-", "x-governance-", "x-forwarded-")
_NO_HEADER_TEXT = re.compile("[\\x00-\\x08\\x0a-\\x1f\\x7f]")
"""Control characters other than a tab (RFC 9110, 5.5)."""
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@dataclass(frozen=True)
class Target:
    """Where a request goes: the URL in normal form without its query string, and its parameters."""

    url: str
    host: str
    port: int | None
    query: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Draft:
    """A request as the caller described it, still without a credential.

    Args:
        method: HTTP method.
        target: where it goes.
        headers: the caller's, without what is not the caller's to say.
        body: JSON data, text, or None.
    """

    method: str
    target: Target
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None

    def constrained(self) -> ConstrainedRequest:
        """The request as constraints see it."""
        return ConstrainedRequest(self.method, self.target.url, self.headers, self.target.query, self.body)


def fill_placeholders(url: str, connection: Connection) -> str:
    """The URL with ``{{instance_url}}`` and ``{{account_id}}`` filled in from the connection (docs/concepts/proxy).

    Raises:
        Fault: INVALID_REQUEST naming a placeholder that is unknown or that the connection has no value for.
    """

    def value(found: re.Match[str]) -> str:
        text = _placeholder(found[1], connection)
        if found[1] == "account_id":
            return quote(text, safe="")
        # A whole URL is given or the host alone; the caller may have written the scheme before it.
        bare = text.rstrip("/")
        if found.start():
            return bare.partition("://")[2] or bare
        return bare if "://" in bare else f"https://{bare}"

    return _PLACEHOLDER.sub(value, url)


def _placeholder(name: str, connection: Connection) -> str:
    if name not in PLACEHOLDERS:
        known = " and ".join(f"{{{{{one}}}}}" for one in PLACEHOLDERS)
        raise _invalid("url", f"there is no placeholder {{{{{name}}}}}; there are {known}")
    value = getattr(connection, name)
    if value is None and isinstance(connection.credential, Mapping):
        value = connection.credential.get(name)
    if not value:
        raise _invalid("url", f"connection {connection.id} has no {name} for {{{{{name}}}}}; write the URL out")
    return str(value)


def target_of(url: str, query: Mapping[str, Any] | None) -> Target:
    """Take a URL apart, resolving dot segments and needless escapes, so that checks and upstream see the same.

    Args:
        url: absolute, http or https.
        query: parameters added to those of the URL; lists give a parameter several values.

    Raises:
        Fault: INVALID_REQUEST for any other URL, or one that carries a user name or password.
    """
    from yarl import URL

    try:
        parsed = URL(url)
        port = parsed.explicit_port
    except ValueError:
        raise _invalid("url", f"{url} is not a URL") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise _invalid("url", f"{url} is not an absolute http or https URL")
    if parsed.user is not None or parsed.password is not None:
        raise _invalid("url", "the URL carries a user name or password; the proxy adds the credential itself")
    given = tuple((name, value) for name, value in parsed.query.items())
    plain = str(parsed.with_query(None).with_fragment(None))
    plain += "" if "/" in plain.partition("://")[2] else "/"
    return Target(plain, parsed.host.lower(), port, (*given, *_query_pairs(query)))


def _query_pairs(query: Mapping[str, Any] | None) -> Iterable[tuple[str, str]]:
    for name, value in (query or {}).items():
        for one in value if isinstance(value, (list, tuple)) else (value,):
            yield name, one if isinstance(one, str) else json.dumps(one)


def callers_headers(headers: Mapping[str, str] | None) -> dict[str, str]:
    """The caller's headers that may go out; authentication, routing and connection headers are dropped.

    Raises:
        Fault: INVALID_REQUEST for a name or value no HTTP message can carry.
    """
    kept: dict[str, str] = {}
    seen: set[str] = set()
    for name, value in (headers or {}).items():
        if not _HEADER_NAME.fullmatch(name) or _NO_HEADER_TEXT.search(value):
            raise _invalid("headers", f"{name!r} has a name or a value that HTTP does not allow")
        lowered = name.lower()
        if lowered in seen:
            raise _invalid("headers", f"{name!r} is there in two spellings; send it once")
        seen.add(lowered)
        if lowered in _CALLERS_OWN or lowered in _HOP_BY_HOP or lowered.startswith(_CALLERS_OWN_PREFIXES):
            continue
        kept[name] = value
    return kept


def inject(draft: Draft, connection: Connection) -> tuple[UpstreamRequest, Scrubber]:
    """The request with the connection's credential, and what takes that credential out of the reply.

    Raises:
        Fault: INVALID_REQUEST when no header can carry the credential.
    """
    headers, query = injected(connection.provider, connection.credential)
    if any(not _HEADER_NAME.fullmatch(name) or _NO_HEADER_TEXT.search(value) for name, value in headers.items()):
        problem = f"the credential of {connection.id} has characters no HTTP header can carry; connect it again"
        raise _invalid("service", problem)
    taken = {name.lower() for name in headers}
    body, media = _body_bytes(draft.body)
    sent = {name: value for name, value in draft.headers.items() if name.lower() not in taken}
    if media is not None and not any(name.lower() == "content-type" for name in sent):
        sent["Content-Type"] = media
    pairs = [(name, value) for name, value in draft.target.query if name not in query]
    request = UpstreamRequest(draft.method, draft.target.url, {**sent, **headers}, (*pairs, *query.items()), body)
    return request, Scrubber(_secrets(connection, headers), f"<secret:{connection.id}>")


def _body_bytes(body: Any) -> tuple[bytes, str | None]:
    if body is None:
        return b"", None
    if isinstance(body, str):
        return body.encode("utf-8"), "text/plain; charset=utf-8"
    return json_bytes(body), "application/json"


def _secrets(connection: Connection, headers: Mapping[str, str]) -> list[str]:
    credential = connection.credential
    if isinstance(credential, str):
        found = [credential]
    else:
        found = [str(value) for name, value in credential.items() if name not in PUBLIC_FIELDS]
    found += [value.partition(" ")[2] for value in headers.values() if value.lower().startswith("basic ")]
    return [secret for secret in found if len(secret) >= SHORTEST_SECRET]


class Scrubber:
    """Takes secrets out of text and JSON, also when they come URL-encoded, escaped, or inside Base64 or hex.

    Args:
        secrets: what must not pass.
        mask: what stands in their place.
    """

    def __init__(self, secrets: Sequence[str], mask: str) -> None:
        self._mask = mask
        self._pattern = _pattern_of(tuple(secrets))
        self.found = False

    def text(self, text: str) -> str:
        """``text`` without the secrets; ``found`` is set when there was one."""
        if self._pattern is None:
            return text
        cleaned, count = self._pattern.subn(lambda match: self._mask, text)
        self.found = self.found or count > 0
        return cleaned

    def value(self, value: Any) -> Any:
        """JSON data without the secrets, keys included."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(key): self.value(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.value(item) for item in value]
        return value


@lru_cache(maxsize=64)
def _pattern_of(secrets: tuple[str, ...]) -> re.Pattern[str] | None:
    """What finds any form of the secrets; a connection's are the same for every call."""
    forms = {form for secret in secrets for form in _forms(secret)}
    return re.compile("|".join(map(re.escape, sorted(forms, key=len, reverse=True)))) if forms else None


def _forms(secret: str) -> set[str]:
    raw = secret.encode("utf-8")
    encoded = quote(secret, safe="")
    forms = {
        secret,
        encoded,
        encoded.lower(),
        re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), encoded),
        quote(secret),
        quote_plus(secret),
        html.escape(secret),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        raw.hex(),
        raw.hex().upper(),
    }
    for offset in range(3):
        core = _base64_core(raw, offset)
        forms |= {core, core.replace("+", "-").replace("/", "_")}
    return {form for form in forms if len(form) >= SHORTEST_SECRET}


def _base64_core(raw: bytes, offset: int) -> str:
    """The characters of Base64 that depend on ``raw`` alone when it begins ``offset`` bytes after a group of three."""
    text = base64.b64encode(b"\0" * offset + raw).decode("ascii")
    first = -(-offset * 8 // 6)
    last = (offset + len(raw)) * 8 // 6
    return text[first:last]


def envelope(reply: UpstreamReply, scrubber: Scrubber) -> dict[str, Any]:
    """The upstream's reply as ``POST /v1/proxy`` hands it over: status, headers in lower case, body.

    A JSON body is parsed, text is text, and bytes that are no text are ``{"base64": …, "content_type": …}``.
    """
    headers: dict[str, str] = {}
    for name, value in reply.headers.items():
        lowered = name.lower()
        if lowered in _HOP_BY_HOP or lowered == "content-encoding":
            continue
        clean = scrubber.text(value)
        headers[lowered] = f"{headers[lowered]}, {clean}" if lowered in headers else clean
    return {"status": reply.status, "headers": headers, "body": _reply_body(reply, scrubber)}


def _reply_body(reply: UpstreamReply, scrubber: Scrubber) -> Any:
    if not reply.body:
        return None
    kind = reply.headers.get("Content-Type", "").lower()
    try:
        text = reply.body.decode("utf-8")
    except UnicodeDecodeError:
        clean = scrubber.text(reply.body.decode("latin-1")).encode("latin-1", "replace")
        return {"base64": base64.b64encode(clean).decode("ascii"), "content_type": kind or "application/octet-stream"}
    if kind and "json" not in kind:
        return scrubber.text(text)
    try:
        data = strict_json.loads(text)
    except ValueError:
        return scrubber.text(text)
    return scrubber.value(data)


def _invalid(name: str, problem: str) -> Fault:
    return Fault(faults.INVALID_REQUEST, problem=f"{name}: {problem}", details={"fields": {name: problem}})
