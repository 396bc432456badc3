"""What an OpenAPI document declares: its operations with their parameters, bodies, replies and security."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import unquote

from stack_emu.kernel import text_patterns
from stack_emu.upstreams.openapi.files import At
from stack_emu.upstreams.openapi.schemas import Schema, Schemas

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
"""The keys of a path that are methods."""

_NAME = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True)
class Path:
    """A path template of a document. A parameter may be a part of a segment, and names are any text."""

    text: str

    @cached_property
    def segments(self) -> tuple[str, ...]:
        """Its segments."""
        return tuple(self.text.split("/"))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of its parameters, in order."""
        return tuple(_NAME.findall(self.text))

    @cached_property
    def shape(self) -> str:
        """The path with its parameters' names left out: two paths of one shape match the same requests."""
        return _NAME.sub("{}", self.text)

    @cached_property
    def last(self) -> str | None:
        """The parameter that is its last segment, or None."""
        found = _NAME.fullmatch(self.segments[-1])
        return found[1] if found else None

    @cached_property
    def owners(self) -> dict[str, str]:
        """For every parameter, the shape of the path up to it: what it names is one of those at this shape."""
        return {
            name: _NAME.sub("{}", "/".join(self.segments[: index + 1]))
            for index, segment in enumerate(self.segments)
            for name in _NAME.findall(segment)
        }

    def match(self, path: str) -> tuple[dict[str, str], tuple[int, ...]] | None:
        """What a request's path captures, percent-decoded, with a rank; None when it does not fit.

        The lower the rank, the more literal the path.
        """
        sent = path.split("/")
        if len(sent) != len(self.segments):
            return None
        captured: dict[str, str] = {}
        rank: list[int] = []
        for pattern, segment in zip(self._patterns, sent, strict=True):
            if isinstance(pattern, str):
                if unquote(segment) != pattern:
                    return None
                rank.append(0)
                continue
            found = text_patterns.compiled(pattern[0]).fullmatch(segment)
            if found is None:
                return None
            captured.update(zip(pattern[1], map(unquote, found.groups()), strict=True))
            rank.append(1 if pattern[2] else 2)
        return captured, tuple(rank)

    @cached_property
    def _patterns(self) -> list[str | tuple[str, list[str], bool]]:
        made: list[str | tuple[str, list[str], bool]] = []
        for segment in self.segments:
            pieces = _NAME.split(segment)
            if len(pieces) == 1:
                made.append(unquote(segment))
                continue
            text = "".join("([^/]+)" if index % 2 else re.escape(piece) for index, piece in enumerate(pieces))
            made.append((text, pieces[1::2], any(pieces[::2])))
        return made

    @cached_property
    def plain(self) -> str:
        """The path with names that any template may have, for near misses."""
        return _NAME.sub(
            lambda found: "{" + (re.sub(r"\W", "_", found[1]).lstrip("0123456789") or "x") + "}", self.text
        )


@dataclass(frozen=True)
class Parameter:
    """A parameter of an operation.

    Args:
        name: its name; case does not count in headers.
        where: ``path``, ``query``, ``header`` or ``cookie``.
        schema: what its value must be; None when anything may.
        required: whether it must be there.
        style: how lists and objects are written, as OpenAPI names it.
        explode: whether every element of a list, or property of an object, is written by itself.
        json: whether the value is written as JSON.
        empty: whether it may be there without a value.
    """

    name: str
    where: str
    schema: Schema | None
    required: bool
    style: str
    explode: bool
    json: bool = False
    empty: bool = False


@dataclass(frozen=True)
class Media:
    """A body of one content type.

    Args:
        kind: the media type or range, in lower case without parameters.
        schema: what it must be; None when anything may.
        examples: whole bodies that the document shows.
        place: where it stands.
    """

    kind: str
    schema: Schema | None
    examples: tuple[Any, ...]
    place: At

    @property
    def is_json(self) -> bool:
        """Whether it is JSON."""
        return self.kind in ("application/json", "*/*", "application/*", "text/json") or self.kind.endswith("+json")

    @property
    def is_form(self) -> bool:
        """Whether it is the fields of a form."""
        return self.kind in ("application/x-www-form-urlencoded", "multipart/form-data")


@dataclass(frozen=True)
class Reply:
    """A declared reply.

    Args:
        status: ``200``, ``4XX`` or ``default``.
        media: bodies by content type, in the document's order; empty when it has none.
        headers: schemas of the headers that must be there, with whether they are required.
    """

    status: str
    media: tuple[Media, ...] = ()
    headers: Mapping[str, tuple[Schema | None, bool]] = field(default_factory=dict)

    @property
    def json(self) -> Media | None:
        """Its JSON body, if it has one."""
        return next((one for one in self.media if one.is_json), None)


@dataclass(frozen=True)
class Need:
    """One credential of a security requirement.

    Args:
        scheme: its name in the document.
        kind: ``apiKey``, ``http``, ``oauth2``, ``openIdConnect`` or ``mutualTLS``.
        where: for ``apiKey``: ``header``, ``query`` or ``cookie``.
        name: the header, parameter or cookie, or the authorization scheme such as ``bearer``.
        scopes: all of these are needed.
    """

    scheme: str
    kind: str
    where: str = "header"
    name: str = ""
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Operation:
    """One operation.

    Args:
        name: its ``operationId``, else its method and path.
        method: HTTP method in upper case.
        path: its path template without the servers' base.
        bases: paths of the servers, ``""`` for one at the root.
        summary: what the document says it does.
        parameters: what it takes beside the body.
        body: bodies it takes; None when it takes none.
        body_required: whether there must be one.
        replies: what it answers, by status.
        security: alternatives of which one must be met, each a list of credentials; None when it asks for none.
        place: where it stands.
    """

    name: str
    method: str
    path: Path
    bases: tuple[str, ...]
    summary: str
    parameters: tuple[Parameter, ...]
    body: tuple[Media, ...] | None
    body_required: bool
    replies: Mapping[str, Reply]
    security: tuple[tuple[Need, ...], ...] | None
    place: At

    @property
    def title(self) -> str:
        """Method and path, as people write it."""
        return f"{self.method} {self.path.text}"

    @property
    def success(self) -> tuple[int, Reply] | None:
        """The status and the reply of a call that goes well; None when none is declared."""
        ranked = sorted(self.replies.items(), key=lambda item: (not _creates(self.method, item[0]), item[0]))
        for leading in ("2", "3"):
            for status, reply in ranked:
                if status.isdecimal() and status.startswith(leading):
                    return int(status), reply
                if status.upper() == f"{leading}XX":
                    return int(leading) * 100, reply
        return (200, self.replies["default"]) if "default" in self.replies else None

    def refusal(self, status: int) -> Reply | None:
        """What is declared for a status that is no success."""
        keys = (str(status), f"{status // 100}XX", f"{status // 100}xx", "default")
        return next((self.replies[key] for key in keys if key in self.replies), None)

    def match(self, path: str) -> tuple[dict[str, str], tuple[int, ...]] | None:
        """As :meth:`Path.match`, whatever server's base the path begins with."""
        for base in self.bases:
            if path.startswith(base):
                found = self.path.match(path[len(base) :] or "/")
                if found is not None:
                    return found
        return None

    @property
    def json_body(self) -> Media | None:
        """Its JSON body, else its form, if it takes one."""
        media = self.body or ()
        return next((one for one in media if one.is_json), next((one for one in media if one.is_form), None))


def _creates(method: str, status: str) -> bool:
    return method == "POST" and status == "201"


@dataclass(frozen=True)
class Api:
    """A document, ready to answer by.

    Args:
        title: the name of the API.
        operations: its operations, in the document's order.
        requests: schemas of what clients send.
        replies: schemas of what is answered.
    """

    title: str
    operations: Sequence[Operation]
    requests: Schemas
    replies: Schemas

    def find(self, method: str, path: str) -> tuple[Operation, dict[str, str]] | None:
        """The operation that answers a request, with what its path captured; literal segments beat parameters."""
        best: tuple[tuple[int, ...], Operation, dict[str, str]] | None = None
        for operation in self.operations:
            found = operation.match(path) if operation.method == method else None
            if found is not None and (best is None or found[1] < best[0]):
                best = (found[1], operation, found[0])
        return None if best is None else best[1:]

    def methods(self, path: str) -> list[str]:
        """The methods that a path has."""
        return [one.method for one in self.operations if one.match(path) is not None]
