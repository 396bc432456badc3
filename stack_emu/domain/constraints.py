"""Parameter constraints: the conditions on a proxied request that grants and passports carry.

Operators, paths and limits are those of docs/concepts/constraints. Where that page says nothing, this module decides:

- ``matches`` finds the pattern anywhere in the value; anchor it with ``^`` and ``$``.
- A value that is not there meets no ``eq``, ``in``, ``matches`` or ``starts_with``; it meets ``not_eq`` and ``not_in``,
  unless the request has a body that cannot be looked into: then nothing is known, and the constraint fails.
- A query parameter, header or form field that occurs several times must meet the constraint in every occurrence.
- Parts that are text by nature (all but a JSON body) compare with numbers and booleans by their spelling.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field

from stack_emu.domain import faults
from stack_emu.domain.state import Constraint
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import Command

OPERATORS = ("eq", "not_eq", "in", "not_in", "matches", "starts_with")
PATHS = ("method", "url.pathname", "url.host", "url.origin", "headers.<name>", "query.<key>", "body.<dotted.path>")
MAX_CONSTRAINTS = 32
MAX_PATTERN = 256

_PATH = re.compile(r"method|url\.(pathname|host|origin)|headers\.[^.\s][^\s]*|query\..+|body\..+", re.DOTALL)
_SHOWN = 200


class ConstraintInput(Command):
    """A constraint as a request gives it."""

    path: str = Field(description="Part of the request: " + ", ".join(PATHS))
    op: str = Field(description="How to compare: " + ", ".join(OPERATORS))
    value: Any = Field(None, description="What to compare with: a list for in and not_in, an RE2 pattern for matches")


@dataclass(frozen=True)
class ConstrainedRequest:
    """What constraints see of a proxied request.

    Args:
        method: HTTP method.
        url: absolute URL in normal form, without its query string.
        headers: the caller's headers that will be sent; looked up in any case.
        query: every parameter, those of the URL included.
        body: JSON data, text, or None.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Sequence[tuple[str, str]] = ()
    body: Any = None


@dataclass(frozen=True)
class Violation:
    """A constraint a request does not meet: ``got`` is what the request has, ``missing`` that it has nothing there."""

    path: str
    op: str
    expected: Any
    got: Any
    missing: bool = False

    def __str__(self) -> str:
        got = "it is missing" if self.missing else f"it is {_spelled(self.got)}"
        return f"{self.path} must be {_WORDS[self.op]} {_spelled(self.expected)}, but {got}"

    def as_json(self) -> dict[str, Any]:
        """The violation as details of a refusal."""
        return {
            "path": self.path,
            "op": self.op,
            "expected": self.expected,
            "got": None if self.missing else self.got,
            "missing": self.missing,
        }


_WORDS = {
    "eq": "equal to",
    "not_eq": "other than",
    "in": "one of",
    "not_in": "none of",
    "matches": "text matching",
    "starts_with": "text starting with",
}


def accepted(inputs: Iterable[ConstraintInput]) -> tuple[Constraint, ...]:
    """The constraints of a request, checked.

    Raises:
        Fault: INVALID_REQUEST as ``check_all``.
    """
    constraints = tuple(Constraint(given.path, given.op, given.value) for given in inputs)
    check_all(constraints)
    return constraints


def check_all(constraints: Sequence[Constraint]) -> None:
    """Refuse a list of constraints that cannot work.

    Raises:
        Fault: INVALID_REQUEST for more than 32, or for the first one that ``check`` refuses.
    """
    if len(constraints) > MAX_CONSTRAINTS:
        raise _invalid(f"{len(constraints)} constraints were given; at most {MAX_CONSTRAINTS} are allowed on a service")
    for constraint in constraints:
        check(constraint)


def check(constraint: Constraint) -> None:
    """Refuse a constraint that cannot work.

    Raises:
        Fault: INVALID_REQUEST naming the path, operator, value or pattern, and what would be accepted.
    """
    if not _PATH.fullmatch(constraint.path):
        raise _invalid(f"{constraint.path} is no part of a request; use one of {', '.join(PATHS)}")
    if constraint.op not in OPERATORS:
        raise _invalid(f"{constraint.op} is no operator; use one of {', '.join(OPERATORS)}")
    value = constraint.value
    if constraint.op in ("in", "not_in") and not isinstance(value, (list, tuple)):
        raise _invalid(f"{constraint.op} on {constraint.path} compares with a list, not with {_spelled(value)}")
    if constraint.op in ("matches", "starts_with") and not isinstance(value, str):
        raise _invalid(f"{constraint.op} on {constraint.path} compares with text, not with {_spelled(value)}")
    if constraint.op == "matches":
        _check_pattern(constraint.path, value)


def as_json(constraint: Constraint) -> dict[str, Any]:
    """A constraint as it stands in replies and in ``stk.services[].constraints``."""
    value = list(constraint.value) if isinstance(constraint.value, tuple) else constraint.value
    return {"path": constraint.path, "op": constraint.op, "value": value}


def violations(constraints: Iterable[Constraint], request: ConstrainedRequest) -> list[Violation]:
    """The constraints a request does not meet, in their order; empty when it may go out.

    Raises:
        Fault: INVALID_REQUEST for a pattern that RE2 refuses.
    """
    return [found for constraint in constraints if (found := _violation(constraint, request)) is not None]


def _violation(constraint: Constraint, request: ConstrainedRequest) -> Violation | None:
    expected = list(constraint.value) if isinstance(constraint.value, tuple) else constraint.value
    values, opaque = _values(constraint.path, request)
    if not values:
        if constraint.op in ("not_eq", "not_in") and not opaque:
            return None
        return Violation(constraint.path, constraint.op, expected, None, missing=True)
    loose = not constraint.path.startswith("body.") or not isinstance(request.body, (Mapping, list))
    for value in values:
        if not _meets(constraint, value, loose):
            return Violation(constraint.path, constraint.op, expected, _cut(value))
    return None


def _meets(constraint: Constraint, value: Any, loose: bool) -> bool:
    op, wanted = constraint.op, constraint.value
    if op in ("eq", "not_eq"):
        return _equal(value, wanted, loose) == (op == "eq")
    if op in ("in", "not_in"):
        return any(_equal(value, item, loose) for item in wanted) == (op == "in")
    if not isinstance(value, str):
        return False
    if op == "starts_with":
        return value.startswith(str(wanted))
    return _compiled(constraint.path, str(wanted)).search(value) is not None


def _values(path: str, request: ConstrainedRequest) -> tuple[list[Any], bool]:
    """Every value at a path, and whether the request hides what might be there."""
    root, _, rest = path.partition(".")
    if root == "method":
        return [request.method.upper()], False
    if root == "url":
        return [_url_part(request.url, rest)], False
    if root == "headers":
        return [value for name, value in request.headers.items() if name.lower() == rest.lower()], False
    if root == "query":
        return [value for name, value in request.query if name == rest], False
    return _body_values(rest, request)


def _url_part(url: str, part: str) -> str:
    split = urlsplit(url)
    if part == "pathname":
        return split.path.rstrip("/") or "/"
    if part == "host":
        return split.netloc.rpartition("@")[2].lower()
    return f"{split.scheme}://{split.netloc.rpartition('@')[2]}".lower()


def _body_values(path: str, request: ConstrainedRequest) -> tuple[list[Any], bool]:
    body = request.body
    if body is None or body == "":
        return [], False
    if isinstance(body, str):
        kind = next((value for name, value in request.headers.items() if name.lower() == "content-type"), "").lower()
        if "x-www-form-urlencoded" in kind:
            return [value for name, value in parse_qsl(body, keep_blank_values=True) if name == path], False
        try:
            body = json.loads(body, object_pairs_hook=_once)
        except (ValueError, RecursionError):
            return [], True
    if not isinstance(body, (Mapping, list, tuple)):
        return [], True
    return _dotted(body, path), False


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names are there once: of equal ones, what reads the body may take either."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is there twice")
    return found


def _dotted(value: Any, path: str) -> list[Any]:
    """The values at a dotted path: object keys and list indexes; a key that itself has dots is another occurrence."""
    found = [value[path]] if isinstance(value, Mapping) and path in value else []
    head, separator, rest = path.partition(".")
    if isinstance(value, Mapping) and head in value:
        inner = value[head]
    elif isinstance(value, (list, tuple)) and head.isdecimal() and len(head) < 10 and int(head) < len(value):
        inner = value[int(head)]
    else:
        return found
    if separator:
        return found + _dotted(inner, rest)
    return found or [inner]


def _equal(got: Any, wanted: Any, loose: bool) -> bool:
    if loose and isinstance(got, str) and isinstance(wanted, (bool, int, float)):
        return got == json.dumps(wanted)
    if isinstance(got, bool) is not isinstance(wanted, bool):
        return False
    if isinstance(got, Mapping) and isinstance(wanted, Mapping):
        return got.keys() == wanted.keys() and all(_equal(got[key], wanted[key], loose) for key in got)
    if isinstance(got, (list, tuple)) and isinstance(wanted, (list, tuple)):
        return len(got) == len(wanted) and all(_equal(one, two, loose) for one, two in zip(got, wanted, strict=True))
    return bool(got == wanted)


def _check_pattern(path: str, pattern: str) -> None:
    if len(pattern) > MAX_PATTERN:
        raise _invalid(f"the pattern for {path} has {len(pattern)} characters; at most {MAX_PATTERN} are allowed")
    _compiled(path, pattern)


def _compiled(path: str, pattern: str) -> Any:
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options=options)
    except re2.error as error:
        reason = error.args[0] if error.args else error
        said = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        problem = f"RE2 refuses the pattern {_spelled(pattern)} for {path} ({said})"
        raise _invalid(f"{problem}; it has no look-around and no back-references") from None


def _invalid(problem: str) -> Fault:
    return Fault(faults.INVALID_REQUEST, problem=problem, details={"fields": {"constraints": problem}})


def _spelled(value: Any) -> str:
    return json.dumps(_cut(value), ensure_ascii=False, default=str)


def _cut(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= _SHOWN else value[:_SHOWN] + "…"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return value if len(text) <= _SHOWN else text[:_SHOWN] + "…"
