"""What passed the recorder: a request and its reply, as they were."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl


def read_body(body: bytes, content_type: str) -> Any:
    """A body as one would read it: JSON data, the fields of a form, text, bytes that are no text, or None.

    Args:
        body: the raw body.
        content_type: the Content-Type header.
    """
    if not body:
        return None
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return body
    if "x-www-form-urlencoded" in content_type.lower():
        return dict(parse_qsl(text, keep_blank_values=True))
    try:
        return json.loads(text)
    except ValueError:
        return text


@dataclass(frozen=True)
class Recorded:
    """One exchange.

    Args:
        method: in upper case.
        path: percent-encoded, without the query.
        query: parameters in their order.
        headers: the request's.
        body: the request's, raw.
        status: the reply's.
        reply_headers: the reply's.
        reply_body: the reply's, raw and decompressed.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    body: bytes
    status: int
    reply_headers: Mapping[str, str]
    reply_body: bytes

    @cached_property
    def content(self) -> Any:
        """The request's body, read."""
        return read_body(self.body, self.headers.get("Content-Type", ""))

    @cached_property
    def reply(self) -> Any:
        """The reply's body, read."""
        return read_body(self.reply_body, self.reply_headers.get("Content-Type", ""))
