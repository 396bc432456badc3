"""Matching by difference: a pattern says what it wants, and a request that does not fit gets told why.

There is one function to get right, :meth:`Pattern.difference`. A request matches when it returns nothing, and the
nearest miss is the pattern whose list of differences weighs least, so matching and its diagnosis can never disagree.
"""

from __future__ import annotations

import difflib
import enum
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol, TypeVar
from urllib.parse import unquote


class Matchable(Protocol):
    """What a pattern looks at."""

    @property
    def method(self) -> str:
        """HTTP method."""
        ...

    @property
    def path(self) -> str:
        """Path as it came, percent-encoded, without the query string."""
        ...

    @property
    def query(self) -> Sequence[tuple[str, str]]:
        """Query parameters in their order."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers; looked up in any case."""
        ...

    @property
    def content(self) -> Any:
        """The body: JSON data, the fields of a form, text, or None when there is none."""
        ...


class Missing(enum.Enum):
    """Stands for a value that is not there; ``None`` is JSON's null."""

    MISSING = "missing"

    def __repr__(self) -> str:
        return "missing"


MISSING = Missing.MISSING
_FIELDS = ("method", "path", "query", "headers", "body")
_SHOWN = 3
_LONGEST = 80


@dataclass(frozen=True)
class Difference:
    """One respect in which a request is not what a pattern wants.

    Args:
        field: where, for example ``method``, ``query.limit`` or ``body.items[0].id``.
        got: what the request has, or :data:`MISSING`.
        expected: what the pattern wants; ``{"regex": …}`` for a regular expression.
    """

    field: str
    got: Any
    expected: Any

    def __str__(self) -> str:
        return f"{self.field} was {value_text(self.got)}, expected {expected_text(self.expected)}"

    def as_json(self) -> dict[str, Any]:
        """The difference as JSON data; a missing value is null and said to be ``missing``."""
        data: dict[str, Any] = {"field": self.field, "got": self.got, "expected": self.expected}
        if self.got is MISSING:
            data.update(got=None, missing=True)
        return data


@dataclass(frozen=True)
class PathTemplate:
    """A path with ``{name}`` for one segment's text, ``*`` for any one segment and a final ``*`` for any rest."""

    text: str

    def match(self, path: str) -> dict[str, str] | None:
        """The captured segments, percent-decoded, or None when the path does not fit.

        Args:
            path: percent-encoded path; each segment is decoded by itself, so an encoded slash stays inside its segment.
        """
        found = _path_regex(self.text).fullmatch(_segments(path))
        return None if found is None else dict(found.groupdict())


@dataclass(frozen=True)
class Pattern:
    """What a request must look like. Parts that are None match anything.

    Args:
        method: HTTP method, any case.
        path: a path template.
        query: parameters that must be there; of a repeated one any value may fit, a list asks for all in order.
        headers: headers that must be there.
        body: JSON that must be contained in the body: objects need at least these fields, lists the same length.
        label: how messages call the pattern; its method and path when empty.

    In ``query``, ``headers`` and ``body``, ``{"regex": "…"}`` asks for text in which the expression is found.
    """

    method: str | None = None
    path: str | None = None
    query: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, Any] = field(default_factory=dict)
    body: Any = MISSING
    label: str = ""

    @classmethod
    def from_dict(cls, when: Mapping[str, Any], *, label: str = "") -> Pattern:
        """Build a pattern from a plain dict with the keys method, path, query, headers and body.

        Raises:
            ValueError: for an unknown key or a regular expression that does not compile, naming it.
        """
        for key in when:
            if key not in _FIELDS:
                near = difflib.get_close_matches(key, _FIELDS, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"it knows {', '.join(_FIELDS)}."
                raise ValueError(f"a request pattern has no part {key!r}; {hint}")
        given = {key: value for key, value in when.items() if value is not None}
        for place, expression in _regexes(given, ""):
            _check_regex(place, expression)
        return cls(**given, label=label)

    def __str__(self) -> str:
        return self.label or f"{(self.method or 'any method').upper()} {self.path or 'any path'}"

    def difference(self, request: Matchable) -> list[Difference]:
        """Every respect in which ``request`` is not what this pattern wants; empty when it matches."""
        return [
            *self._method(request),
            *self._path(request),
            *self._query(request),
            *self._headers(request),
            *self._body(request),
        ]

    def params(self, request: Matchable) -> dict[str, str]:
        """The segments captured by ``{name}`` in the path; empty when the path does not fit."""
        if self.path is None:
            return {}
        return PathTemplate(self.path).match(request.path) or {}

    def _method(self, request: Matchable) -> Iterator[Difference]:
        if self.method is not None and self.method.upper() != request.method.upper():
            yield Difference("method", request.method.upper(), self.method.upper())

    def _path(self, request: Matchable) -> Iterator[Difference]:
        if self.path is not None and PathTemplate(self.path).match(request.path) is None:
            yield Difference("path", request.path, self.path)

    def _query(self, request: Matchable) -> Iterator[Difference]:
        for name, wanted in self.query.items():
            values = [value for given, value in request.query if given == name]
            if isinstance(wanted, (list, tuple)):
                yield from json_differences(wanted, values, f"query.{name}", loose=True)
            elif not any(_fits(wanted, value) for value in values):
                yield Difference(f"query.{name}", values[0] if values else MISSING, wanted)

    def _headers(self, request: Matchable) -> Iterator[Difference]:
        got = _lowered(request.headers)
        for name, wanted in _lowered(self.headers).items():
            yield from json_differences(wanted, got.get(name, MISSING), f"headers.{name}", loose=True)

    def _body(self, request: Matchable) -> Iterator[Difference]:
        if self.body is MISSING:
            return
        content = MISSING if request.content is None else request.content
        loose = "form" in _lowered(request.headers).get("content-type", "")
        yield from json_differences(self.body, content, "body", loose=loose)


P = TypeVar("P", bound=Pattern)


def first_match(patterns: Iterable[P], request: Matchable) -> P | None:
    """The first pattern that matches, or None."""
    return next((pattern for pattern in patterns if not pattern.difference(request)), None)


def nearest(patterns: Iterable[P], request: Matchable) -> tuple[P, list[Difference]] | None:
    """The pattern that misses ``request`` by least, with its differences; None when there are no patterns.

    Among equally near ones the first wins.
    """
    best: tuple[float, P, list[Difference]] | None = None
    for pattern in patterns:
        differences = pattern.difference(request)
        weight = weigh(differences)
        if best is None or weight < best[0]:
            best = (weight, pattern, differences)
    return None if best is None else (best[1], best[2])


def weigh(differences: Iterable[Difference]) -> float:
    """How far a request is from a pattern, given how it differs; 0 when it does not."""
    return sum(_weight(difference) for difference in differences)


def explain(pattern: object, differences: Sequence[Difference]) -> str:
    """One line that names the nearest pattern and says why it did not match.

    Args:
        pattern: printed with ``str``.
        differences: what :func:`nearest` returned; the first three are shown.
    """
    if not differences:
        return f"closest: {pattern}, which matches"
    shown = "; ".join(str(difference) for difference in differences[:_SHOWN])
    more = len(differences) - _SHOWN
    rest = f"; and {more} more difference{'s' if more > 1 else ''}" if more > 0 else ""
    return f"closest: {pattern}, but {shown}{rest}"


def json_differences(expected: Any, got: Any, place: str, *, loose: bool = False) -> Iterator[Difference]:
    """Where JSON data ``got`` does not contain ``expected``.

    An object must have at least the expected fields; a list must have the expected length, element by element; other
    values must be equal, where ``true`` is not ``1``. ``{"regex": "…"}`` asks for text in which it is found.

    Args:
        expected: JSON data.
        got: JSON data, or :data:`MISSING`.
        place: name of the place, put in front of the differences' fields.
        loose: compare numbers and booleans with text by their spelling, for forms and query strings.
    """
    expression = regex_of(expected)
    if expression is not None:
        if not _found(expression, got):
            yield Difference(place, got, expected)
    elif isinstance(expected, Mapping) and isinstance(got, Mapping):
        for key, value in expected.items():
            yield from json_differences(value, got.get(key, MISSING), f"{place}.{key}", loose=loose)
    elif isinstance(expected, (list, tuple)) and isinstance(got, (list, tuple)) and len(expected) == len(got):
        for index, (wanted, value) in enumerate(zip(expected, got, strict=True)):
            yield from json_differences(wanted, value, f"{place}[{index}]", loose=loose)
    elif not _same(expected, got, loose):
        yield Difference(place, got, expected)


def regex_of(expected: Any) -> str | None:
    """The expression of ``{"regex": "…"}``, or None when ``expected`` is anything else."""
    if isinstance(expected, Mapping) and len(expected) == 1:
        expression = expected.get("regex")
        return expression if isinstance(expression, str) else None
    return None


def _found(expression: str, got: Any) -> bool:
    if got is MISSING or isinstance(got, (Mapping, list, tuple)):
        return False
    return re.search(expression, _spelled(got)) is not None


def _same(expected: Any, got: Any, loose: bool) -> bool:
    if isinstance(expected, bool) is not isinstance(got, bool) or isinstance(expected, str) is not isinstance(got, str):
        return loose and got is not MISSING and _spelled(expected) == _spelled(got)
    return bool(expected == got)


def _spelled(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _fits(expected: Any, got: str) -> bool:
    return next(json_differences(expected, got, "", loose=True), None) is None


def _lowered(headers: Mapping[str, Any]) -> dict[str, Any]:
    return {name.lower(): value for name, value in headers.items()}


def _weight(difference: Difference) -> float:
    """A wrong path outweighs a wrong method, which outweighs any one field; the likelier typo is nearer."""
    if difference.field == "path":
        return 4 + 8 * (1 - difflib.SequenceMatcher(None, difference.got, difference.expected).ratio())
    return 3 if difference.field == "method" else 1


def _segments(path: str) -> str:
    """The decoded path with a separator that cannot stand in a segment."""
    return "\x1e".join(unquote(segment) for segment in path.split("/"))


@lru_cache(maxsize=1024)
def _path_regex(template: str) -> re.Pattern[str]:
    whole, rest = (template[:-1], ".*") if template.endswith("*") else (template, "")
    segments = [_segment_regex(segment) for segment in whole.split("/")]
    return re.compile("\x1e".join(segments) + rest, re.DOTALL)


def _segment_regex(segment: str) -> str:
    if segment == "*":
        return "[^\x1e]+"
    pieces = re.split(r"\{([A-Za-z_][A-Za-z0-9_]*)\}", unquote(segment))
    return "".join(f"(?P<{piece}>[^\x1e]+)" if index % 2 else re.escape(piece) for index, piece in enumerate(pieces))


def _regexes(value: Any, place: str) -> Iterator[tuple[str, str]]:
    expression = regex_of(value)
    if expression is not None:
        yield place, expression
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _regexes(item, f"{place}.{key}" if place else str(key))
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _regexes(item, f"{place}[{index}]")


def _check_regex(place: str, expression: str) -> None:
    try:
        re.compile(expression)
    except re.error as error:
        raise ValueError(f"the regular expression of {place} does not compile: {error}.") from None


def value_text(value: Any) -> str:
    """A value in a message: text in quotes, other JSON as it is written, at most 80 characters."""
    if value is MISSING:
        return "missing"
    text = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def expected_text(value: Any) -> str:
    """What a pattern wants, in a message."""
    expression = regex_of(value)
    return value_text(value) if expression is None else f"text matching /{expression}/"
