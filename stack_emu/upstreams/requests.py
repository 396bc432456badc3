"""What travels to and from a fake upstream: immutable requests and replies with helpers for the usual body types."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.parser import BytesParser
from email.policy import HTTP
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from multidict import CIMultiDict, CIMultiDictProxy

from stack_emu.kernel import strict_json

Pairs = Mapping[str, str] | Iterable[tuple[str, str]]
"""What headers and query parameters are given as: a mapping, or pairs in their order."""


@dataclass(frozen=True)
class Part:
    """One part of a multipart body: its field name, its file name if it has one, and its bytes."""

    name: str
    filename: str | None
    content: bytes


@dataclass(frozen=True, init=False)
class UpstreamRequest:
    """A request as the upstream receives it, the injected credential included.

    Args:
        method: HTTP method in any case; upper case afterwards.
        url: absolute URL; its query string is moved in front of ``query``.
        headers: looked up in any case.
        query: parameters besides those in the URL.
        body: the raw body.
    """

    method: str
    url: str
    headers: CIMultiDictProxy[str]
    query: tuple[tuple[str, str], ...]
    body: bytes

    def __init__(self, method: str, url: str, headers: Pairs = (), query: Pairs = (), body: bytes = b"") -> None:
        split = urlsplit(url)
        given = ((str(name), str(value)) for name, value in _pairs(query))
        object.__setattr__(self, "method", method.upper())
        object.__setattr__(self, "url", urlunsplit((split.scheme, split.netloc, split.path or "/", "", "")))
        object.__setattr__(self, "headers", _frozen_headers(headers))
        object.__setattr__(self, "query", (*parse_qsl(split.query, keep_blank_values=True), *given))
        object.__setattr__(self, "body", body)

    @classmethod
    def of_json(
        cls,
        method: str,
        url: str,
        data: Any,
        headers: Pairs = (),
        query: Pairs = (),
    ) -> UpstreamRequest:
        """A request with a JSON body and, unless ``headers`` has one, the content type that goes with it."""
        named = CIMultiDict(_pairs(headers))
        named.setdefault("Content-Type", "application/json; charset=utf-8")
        return cls(method, url, named, query, json_bytes(data))

    @cached_property
    def host(self) -> str:
        """Host name in lower case."""
        return (urlsplit(self.url).hostname or "").lower()

    @cached_property
    def origin(self) -> str:
        """Scheme and authority, such as ``https://slack.com``."""
        split = urlsplit(self.url)
        return f"{split.scheme}://{split.netloc}"

    @cached_property
    def path(self) -> str:
        """Path, percent-encoded, without the query string."""
        return urlsplit(self.url).path or "/"

    @cached_property
    def full_url(self) -> str:
        """URL with the query string."""
        query = urlencode(self.query)
        return f"{self.url}?{query}" if query else self.url

    @cached_property
    def query_map(self) -> dict[str, str]:
        """Query parameters by name, the last of equal names."""
        return dict(self.query)

    @cached_property
    def content_type(self) -> str:
        """Media type in lower case without parameters; empty when there is none."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    @cached_property
    def text(self) -> str:
        """The body as UTF-8 text; bytes that are not are replaced."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body parsed as JSON.

        Raises:
            ValueError: when it is not JSON.
        """
        return strict_json.loads(self.body)

    @cached_property
    def form(self) -> dict[str, str]:
        """Fields of a URL-encoded or multipart form, the last of equal names; empty for other bodies."""
        if self.content_type == "application/x-www-form-urlencoded":
            return dict(parse_qsl(self.text, keep_blank_values=True))
        return {part.name: part.content.decode("utf-8", "replace") for part in self.parts if part.filename is None}

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """Parts of a multipart form; empty for other bodies and for one that does not parse."""
        if self.content_type != "multipart/form-data":
            return ()
        return _multipart(self.headers["Content-Type"], self.body)

    @cached_property
    def content(self) -> Any:
        """The body as one would read it: JSON data, the fields of a form, text, or None when it is empty."""
        if not self.body:
            return None
        if "form" in self.content_type:
            return self.form
        if self.content_type and "json" not in self.content_type:
            return self.text
        try:
            return self.json()
        except ValueError:
            return self.text


@dataclass(frozen=True, init=False)
class UpstreamReply:
    """What an upstream answers.

    Args:
        status: HTTP status.
        headers: looked up in any case.
        body: the raw body, decompressed.
    """

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    def __init__(self, status: int, headers: Pairs = (), body: bytes = b"") -> None:
        object.__setattr__(self, "status", status)
        object.__setattr__(self, "headers", _frozen_headers(headers))
        object.__setattr__(self, "body", body)

    @classmethod
    def of_json(cls, data: Any, status: int = 200, headers: Pairs = ()) -> UpstreamReply:
        """A reply with a JSON body and, unless ``headers`` has one, the content type that goes with it."""
        named = CIMultiDict(_pairs(headers))
        named.setdefault("Content-Type", "application/json; charset=utf-8")
        return cls(status, named, json_bytes(data))

    @classmethod
    def of_text(cls, text: str, status: int = 200, headers: Pairs = ()) -> UpstreamReply:
        """A reply with a text body and, unless ``headers`` has one, the content type that goes with it."""
        named = CIMultiDict(_pairs(headers))
        named.setdefault("Content-Type", "text/plain; charset=utf-8")
        return cls(status, named, text.encode())

    def with_header(self, name: str, value: str) -> UpstreamReply:
        """The same reply with one header set."""
        headers = self.headers.copy()
        headers[name] = value
        return UpstreamReply(self.status, headers, self.body)

    @cached_property
    def text(self) -> str:
        """The body as UTF-8 text; bytes that are not are replaced."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body parsed as JSON.

        Raises:
            ValueError: when it is not JSON.
        """
        return strict_json.loads(self.body)

    @cached_property
    def content(self) -> Any:
        """The body as one would read it: JSON data, text, or None when it is empty."""
        if not self.body:
            return None
        content_type = self.headers.get("Content-Type", "").lower()
        if content_type and "json" not in content_type:
            return self.text
        try:
            return self.json()
        except ValueError:
            return self.text


_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode  # json.dumps would make one every time


def json_bytes(data: Any) -> bytes:
    """JSON in UTF-8 as upstreams send it, without needless spaces."""
    return _encode(data).encode()


def _pairs(given: Pairs) -> Iterable[tuple[str, str]]:
    return given.items() if isinstance(given, Mapping) else given


def _frozen_headers(headers: Pairs) -> CIMultiDictProxy[str]:
    if isinstance(headers, CIMultiDictProxy):
        return headers
    return CIMultiDictProxy(CIMultiDict([(str(name), str(value)) for name, value in _pairs(headers)]))


def _multipart(content_type: str, body: bytes) -> tuple[Part, ...]:
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + body)
    parts: list[Part] = []
    for part in message.iter_parts() if message.is_multipart() else ():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(content, bytes):
            parts.append(Part(name, part.get_filename(), content))
    return tuple(parts)
