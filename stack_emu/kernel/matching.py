"""Matching by difference: a pattern says what it wants, and a request that does not fit gets told why.

There is one function to get right, :meth:`Pattern.difference`. A request matches when it returns nothing, and the
nearest miss is the pattern whose list of differences weighs least, so matching and its diagnosis can never disagree.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol, TypeVar
from urllib.parse import unquote

from stack_emu.kernel import json_queries, text_patterns
from stack_emu.kernel.matchers import compares, described, is_matcher, problems
from stack_emu.kernel.missing import MISSING
from stack_emu.kernel.near_words import close_matches, likeness


class Matchable(Protocol):
    """What a pattern looks at."""

    @property
    def method(self) -> str:
        """HTTP method."""
        ...

    @property
    def host(self) -> str:
        """Host name in lower case; empty where there is none."""
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


_FIELDS = ("method", "host", "path", "query", "headers", "body", "jsonpath")
_SHOWN = 3
_LONGEST = 80


@dataclass(frozen=True)
class Difference:
    """One respect in which a request is not what a pattern wants.

    Args:
        field: where, for example ``method``, ``query.limit`` or ``body.items[0].id``.
        got: what the request has, or :data:`MISSING`.
        expected: what the pattern wants: a value or a matcher.
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
        method: HTTP method in any case, or several of them.
        path: a path template, or a matcher.
        query: parameters that must be there; of a repeated one any value may fit, a list asks for all in order.
        headers: headers that must be there.
        body: JSON that must be contained in the body: objects need at least these fields, lists the same length.
        label: how messages call the pattern; its method and path when empty.
        host: host name, or a matcher.
        jsonpath: RFC 9535 queries of the body, each with what one of the values it finds must be like.

    Values in ``path``, ``host``, ``query``, ``headers``, ``body`` and ``jsonpath`` may be matchers, see
    :mod:`stack_emu.kernel.matchers`.
    """

    method: str | Sequence[str] | None = None
    path: str | Mapping[str, Any] | None = None
    query: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, Any] = field(default_factory=dict)
    body: Any = MISSING
    label: str = ""
    host: str | Mapping[str, Any] | None = None
    jsonpath: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, when: Mapping[str, Any], *, label: str = "") -> Pattern:
        """Build a pattern from a plain dict with the keys method, host, path, query, headers, body and jsonpath.

        Raises:
            ValueError: for an unknown key or a matcher that cannot work, naming it.
        """
        for key in when:
            if key not in _FIELDS:
                near = close_matches(key, _FIELDS, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"it knows {', '.join(_FIELDS)}."
                raise ValueError(f"a request pattern has no part {key!r}; {hint}")
        given = {key: value for key, value in when.items() if value is not None}
        for place, sentence in pattern_problems(given):
            raise ValueError(f"{place}: {sentence}.")
        return cls(**given, label=label)

    def __str__(self) -> str:
        if self.label:
            return self.label
        methods = " or ".join(method.upper() for method in self._methods()) or "any method"
        path = described(self.path) if isinstance(self.path, Mapping) else self.path
        return f"{methods} {path or 'any path'}"

    def difference(self, request: Matchable) -> list[Difference]:
        """Every respect in which ``request`` is not what this pattern wants; empty when it matches."""
        return [
            *self._method(request),
            *self._host(request),
            *self._path(request),
            *self._query(request),
            *self._headers(request),
            *self._body(request),
            *self._jsonpath(request),
        ]

    def params(self, request: Matchable) -> dict[str, str]:
        """The segments captured by ``{name}`` in the path; empty when the path does not fit."""
        if not isinstance(self.path, str):
            return {}
        return PathTemplate(self.path).match(request.path) or {}

    def _methods(self) -> Sequence[str]:
        if self.method is None:
            return ()
        return (self.method,) if isinstance(self.method, str) else self.method

    def _method(self, request: Matchable) -> Iterator[Difference]:
        wanted = [method.upper() for method in self._methods()]
        if wanted and request.method.upper() not in wanted:
            yield Difference("method", request.method.upper(), wanted[0] if len(wanted) == 1 else {"one_of": wanted})

    def _host(self, request: Matchable) -> Iterator[Difference]:
        if self.host is not None:
            yield from json_differences(self.host, request.host, "host")

    def _path(self, request: Matchable) -> Iterator[Difference]:
        if isinstance(self.path, str):
            if PathTemplate(self.path).match(request.path) is None:
                yield Difference("path", request.path, self.path)
        elif self.path is not None:
            yield from json_differences(self.path, request.path, "path")

    def _query(self, request: Matchable) -> Iterator[Difference]:
        for name, wanted in self.query.items():
            values: list[Any] = [value for given, value in request.query if given == name]
            if isinstance(wanted, (list, tuple)):
                yield from json_differences(wanted, values, f"query.{name}", loose=True)
            elif not any(_fits(wanted, value) for value in values or [MISSING]):
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

    def _jsonpath(self, request: Matchable) -> Iterator[Difference]:
        for query, wanted in self.jsonpath.items():
            found = json_queries.found_at(query, request.content)
            if wanted == {"absent": True}:
                fits = not found
            else:
                fits = any(_fits(wanted, value) for value in found)
            if not fits:
                shown = MISSING if not found else found[0] if len(found) == 1 else found
                yield Difference(f"jsonpath {query}", shown, wanted)


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
    values must be equal, where ``true`` is not ``1``. A matcher asks for what its words say.

    Args:
        expected: JSON data, in which objects may be matchers.
        got: JSON data, or :data:`MISSING`.
        place: name of the place, put in front of the differences' fields.
        loose: compare numbers and booleans with text by their spelling, for forms and query strings.
    """
    if is_matcher(expected):
        if not all(_holds(word, wanted, got, loose) for word, wanted in expected.items()):
            yield Difference(place, got, expected)
    elif isinstance(expected, Mapping) and isinstance(got, Mapping):
        for key, value in expected.items():
            yield from json_differences(value, got.get(key, MISSING), f"{place}.{key}", loose=loose)
    elif isinstance(expected, (list, tuple)) and isinstance(got, (list, tuple)) and len(expected) == len(got):
        for index, (wanted, value) in enumerate(zip(expected, got, strict=True)):
            yield from json_differences(wanted, value, f"{place}[{index}]", loose=loose)
    elif not _same(expected, got, loose):
        yield Difference(place, got, expected)


def _holds(word: str, wanted: Any, got: Any, loose: bool) -> bool:
    if word == "not":
        return got is not MISSING and not _fits(wanted, got, loose)
    if word == "one_of":
        return any(_fits(one, got, loose) for one in wanted)
    if word == "equals":
        return got is not MISSING and _same(wanted, got, loose)
    if word == "contains":
        if isinstance(got, (list, tuple)):
            return any(_fits(wanted, one, loose) for one in got)
        return isinstance(got, str) and isinstance(wanted, str) and wanted in got
    return compares(word, wanted, got, loose)


def pattern_problems(when: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is wrong with the matchers and queries of a pattern given as a plain dict: where, and a sentence."""
    for key in ("host", "path", "query", "headers", "body"):
        if key in when:
            yield from problems(when[key], key)
    if isinstance(when.get("path"), str) and (problem := _path_problem(when["path"])) is not None:
        yield "path", problem
    for query, wanted in (when.get("jsonpath") or {}).items():
        try:
            json_queries.compiled(query)
        except ValueError as error:
            yield "jsonpath", str(error)
        yield from problems(wanted, f"jsonpath.{query}")


def _same(expected: Any, got: Any, loose: bool) -> bool:
    if isinstance(expected, bool) is not isinstance(got, bool) or isinstance(expected, str) is not isinstance(got, str):
        return loose and got is not MISSING and _spelled(expected) == _spelled(got)
    return bool(expected == got)


def _spelled(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _fits(expected: Any, got: Any, loose: bool = True) -> bool:
    return next(json_differences(expected, got, "", loose=loose), None) is None


def _lowered(headers: Mapping[str, Any]) -> dict[str, Any]:
    return {name.lower(): value for name, value in headers.items()}


def _weight(difference: Difference) -> float:
    """A wrong path outweighs a wrong method, which outweighs any one field; the likelier typo is nearer."""
    if difference.field == "path" and isinstance(difference.expected, str):
        return 4 + 8 * (1 - likeness(difference.got, difference.expected))
    return {"method": 3, "path": 8, "host": 6}.get(difference.field, 1)


def _segments(path: str) -> str:
    """The decoded path with a separator that cannot stand in a segment."""
    return "\x1e".join(unquote(segment) for segment in path.split("/"))


_NAME = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


def _path_problem(template: str) -> str | None:
    """What is wrong with a path template, or None."""
    names = _NAME.findall(unquote(template))
    twice = next((name for name in names if names.count(name) > 1), None)
    return f"{{{twice}}} stands in the path twice; give each part a name of its own" if twice else None


@lru_cache(maxsize=1024)
def _path_regex(template: str) -> Any:
    whole, rest = (template[:-1], ".*") if template.endswith("*") else (template, "")
    segments = [_segment_regex(segment) for segment in whole.split("/")]
    expression = "\x1e".join(segments) + rest
    if any(segment.count("(?P<") > 1 for segment in segments):
        return text_patterns.compiled(f"(?s){expression}")  # re would try every way to share a segment out
    return re.compile(expression, re.DOTALL)


def _segment_regex(segment: str) -> str:
    if segment == "*":
        return "[^\x1e]+"
    pieces = _NAME.split(unquote(segment))
    return "".join(f"(?P<{piece}>[^\x1e]+)" if index % 2 else re.escape(piece) for index, piece in enumerate(pieces))


def value_text(value: Any) -> str:
    """A value in a message: text in quotes, other JSON as it is written, at most 80 characters."""
    if value is MISSING:
        return "missing"
    text = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def expected_text(value: Any) -> str:
    """What a pattern wants, in a message."""
    return described(value) if is_matcher(value) else value_text(value)
