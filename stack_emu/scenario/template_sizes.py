"""How large what a template asks for would become, worked out before it is made."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MAX_REPEAT = 100_000
"""The most repetitions of a text or list, and the widest a text is made."""
MAX_EXPONENT = 1000

_NOT_WIDTHS = frozenset({"default", "d", "int", "float", "truncate", "sum", "map", "select", "reject", "format"})
"""Filters and methods whose numbers say nothing about a size, or not by themselves."""
_PERCENT = re.compile(r"[-#0 +]*([0-9]*|\*)(?:\.([0-9]*|\*))?")
_DIGITS = re.compile(r"[0-9]+")


def foresee_filter(name: str, subject: Any, given: Sequence[Any], named: Mapping[str, Any], largest: int) -> None:
    """Refuse a filter or test whose result would be too large.

    Args:
        name: its name.
        subject: what it is applied to.
        given: what it is given beside.
        named: what it is given by name.
        largest: the most characters of a result.

    Raises:
        ValueError: when the result would be too large.
    """
    values = (*given, *named.values())
    _check_numbers(name, values)
    if name == "format":
        _foresee_percent(str(subject), values, largest)
    elif name == "replace":
        _check(str(subject).count(str(values[0])) * _longest(values) if values else 0, largest)
    elif name == "join" and isinstance(subject, (str, list, tuple, Mapping)):
        _check(len(subject) * _longest(values), largest)
    elif name == "indent":
        width = max(
            (one if isinstance(one, int) else len(one) for one in values if isinstance(one, (int, str))), default=4
        )
        _check((str(subject).count("\n") + 1) * width, largest)
    elif name in ("wordwrap", "urlize"):
        _check(len(str(subject)) * sum(len(one) for one in values if isinstance(one, str)), largest)
    elif name == "sum" and not isinstance(named.get("start", given[1] if len(given) > 1 else 0), (int, float)):
        raise ValueError("sum begins with a number here; put lists together with +")


def foresee_method(name: str, owner: Any, given: Sequence[Any], named: Mapping[str, Any], largest: int) -> None:
    """Refuse a method of a text or a number whose result would be too large.

    Args:
        name: its name.
        owner: whose it is.
        given: its arguments.
        named: those it is given by name.
        largest: the most characters of a result.

    Raises:
        ValueError: when the result would be too large.
    """
    values = (*given, *named.values())
    _check_numbers(name, values)
    if name in ("format", "format_map"):
        _foresee_braces(str(owner), values, largest)
    elif name == "replace" and values:
        _check(owner.count(values[0]) * _longest(values), largest)
    elif name == "join" and values and hasattr(values[0], "__len__"):
        _check(len(owner) * len(values[0]), largest)
    elif name == "translate":
        _check(len(owner) * _longest(values), largest)
    elif name == "expandtabs":
        width = max((one for one in values if isinstance(one, int)), default=8)
        _check(owner.count("\t" if isinstance(owner, str) else b"\t") * width, largest)


def foresee_operator(operator: str, left: Any, right: Any, largest: int, bits: int) -> None:
    """Refuse an operation whose result would be too large.

    Args:
        operator: such as ``*``.
        left: its left side.
        right: its right side.
        largest: the most characters of a text.
        bits: the most bits of a whole number.

    Raises:
        ValueError: when the result would be too large.
    """
    if operator == "%" and isinstance(left, (str, bytes)):
        text = left if isinstance(left, str) else left.decode("latin-1")
        _foresee_percent(text, right if isinstance(right, tuple) else (right,), largest)
    elif operator == "**" and isinstance(right, (int, float)):
        size = left.bit_length() if isinstance(left, int) else 1
        if abs(right) > MAX_EXPONENT or size * abs(right) > bits:
            raise ValueError(f"the exponent is above {MAX_EXPONENT}, or the number too large")
    elif operator == "*":
        sizes = [len(side) for side in (left, right) if isinstance(side, (str, bytes, list, tuple))]
        numbers = [side for side in (left, right) if isinstance(side, int)]
        if sizes and numbers and sizes[0] * numbers[0] > MAX_REPEAT:
            raise ValueError(f"the repetition is longer than {MAX_REPEAT:,}")
        if len(numbers) == 2 and sum(number.bit_length() for number in numbers) > bits:
            raise ValueError("the number is too large")


def _foresee_percent(subject: str, values: Iterable[Any], largest: int) -> None:
    """Refuse ``%`` with fields that would become too wide: each is as wide as it says, or as what is put in."""
    values = list(values)
    widths: list[str | None] = []
    fields = subject.split("%")[1:]
    for field in fields:
        if field.startswith("("):
            if ")" not in field:  # a name with a % in it: any number of the text may be a width
                widths += _DIGITS.findall(subject)
                continue
            field = field.partition(")")[2]
        found = _PERCENT.match(field)
        widths += found.groups() if found else ()
    if "*" in widths:
        _check_numbers("%", values)
        widths.append(str(max((one for one in values if isinstance(one, int)), default=0)))
    _check_fields(len(fields), widths, values, largest)


def _foresee_braces(subject: str, values: Iterable[Any], largest: int) -> None:
    """Refuse ``str.format`` with fields that would become too wide."""
    values = list(values)
    specs = [spec for _, name, spec, _ in string.Formatter().parse(subject) if name is not None]
    widths: list[str | None] = [digits for spec in specs for digits in _DIGITS.findall(spec or "")]
    if any("{" in (spec or "") for spec in specs):
        _check_numbers("{", values)
        widths += [digits for one in values if isinstance(one, str) for digits in _DIGITS.findall(one)]
        widths.append(str(max((one for one in values if isinstance(one, int)), default=0)))
    _check_fields(len(specs), widths, values, largest)


def _check_fields(fields: int, widths: Iterable[str | None], values: Sequence[Any], largest: int) -> None:
    widest = max((int(width[:9]) for width in widths if width and width != "*"), default=0)
    if widest > MAX_REPEAT:
        raise ValueError(f"a field is wider than {MAX_REPEAT:,}")
    _check(fields * max(widest, _longest(values)), largest)


def _longest(values: Any) -> int:
    """About how long something is when it is written, all it holds included; of several, all of them together."""
    if isinstance(values, (str, bytes)):
        return len(values)
    if isinstance(values, Mapping):
        return sum(_longest(one) + 4 for pair in values.items() for one in pair)
    if isinstance(values, (list, tuple, set, frozenset)):
        return sum(_longest(one) + 4 for one in values)
    return values.bit_length() // 3 + 1 if isinstance(values, int) else 32


def _check_numbers(name: str, values: Iterable[Any]) -> None:
    for one in values if name not in _NOT_WIDTHS else ():
        if isinstance(one, int) and not isinstance(one, bool) and abs(one) > MAX_REPEAT:
            raise ValueError(f"{one if one.bit_length() < 64 else 'the number'} is above {MAX_REPEAT:,}")


def _check(size: int, largest: int) -> None:
    if size > largest:
        raise ValueError(f"the value would be longer than {largest:,} characters")
