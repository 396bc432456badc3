"""The value types of the scenario format: durations, offsets, instants, names and hosts.

In YAML a duration is written `15m`; in the loaded scenario it is an `int` of milliseconds. Every type here validates
with one sentence that says what would have worked, and describes itself in the JSON Schema.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, Strict, WithJsonSchema
from pydantic_core import PydanticCustomError

MAX_INTEGER = 2**53 - 1
"""The largest integer every JSON reader holds exactly."""

MILLISECONDS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
DURATION_PATTERN = r"^[0-9]{1,12}(ms|s|m|h|d)$"
OFFSET_PATTERN = r"^\+[0-9]{1,12}(ms|s|m|h|d)$"
SINCE_START_PATTERN = r"^\+?[0-9]{1,12}(ms|s|m|h|d)$"
INSTANT_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,3})?(Z|[+-][0-9]{2}:[0-9]{2})$"
HOST_PATTERN = r"^(\*\.)?[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$"
ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"

Convert = Callable[[object], object]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Model(BaseModel):
    """The base of every scenario model: immutable, unknown keys refused, schema built on first use."""

    short_forms: ClassVar[dict[str, str]] = {}
    """Keys that stand for a list of one: the singular and the list it is short for."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


def accept_singular(value: object, singular: str, plural: str) -> object:
    """Turn `operator: {...}` into `operators: [{...}]`, leaving every other value as it is.

    Raises:
        PydanticCustomError: when both keys are there; its context names the key to blame.
    """
    if not isinstance(value, dict) or singular not in value:
        return value
    if plural in value:
        sentence = f"{singular} is short for {plural} with one entry; put everything into {plural}"
        raise PydanticCustomError("both_forms", sentence, {"key": singular})
    rest = {name: part for name, part in value.items() if name != singular}
    return {**rest, plural: [value[singular]]}


def parse_duration(text: str) -> int:
    """The milliseconds of a duration such as `500ms`, `30s`, `15m`, `24h` or `30d`.

    Raises:
        ValueError: when the text is not one number followed by one of those units.
    """
    if not re.fullmatch(DURATION_PATTERN[1:-1], text):
        raise ValueError(f"{text!r} is not a duration; {_duration_hint(text)}")
    number = text.rstrip("dhms")
    return int(number) * MILLISECONDS[text[len(number) :]]


def parse_offset(text: str) -> int:
    """The milliseconds of an offset from the world's start, such as `+10m`.

    Raises:
        ValueError: when the text is not `+` followed by a duration.
    """
    if not re.fullmatch(OFFSET_PATTERN[1:-1], text):
        raise ValueError(f"{text!r} is not an offset from the world's start; {_offset_hint(text)}")
    return parse_duration(text[1:])


def parse_since_start(text: str) -> int:
    """The milliseconds from the world's start of a duration counted from there: `10m`, or `+10m`.

    Raises:
        ValueError: when the text is neither.
    """
    return parse_duration(text.removeprefix("+"))


def parse_instant(text: str) -> int:
    """The milliseconds since 1970 of an instant with a time zone, such as `2026-01-01T00:00:00Z`.

    Raises:
        ValueError: when the text is not such an instant, or names a day or an hour that does not exist.
    """
    if not re.fullmatch(INSTANT_PATTERN[1:-1], text):
        raise ValueError(f"{text!r} is not an instant; write it like 2026-01-01T00:00:00Z")
    try:
        moment = _read_instant(text)
    except ValueError:
        raise ValueError(
            f"{text!r} names a day or an hour there is none of; write it like 2026-01-01T00:00:00Z"
        ) from None
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def format_duration(milliseconds: int) -> str:
    """The shortest way to write a duration: 900000 is `15m`."""
    for unit in ("d", "h", "m", "s"):
        if milliseconds and milliseconds % MILLISECONDS[unit] == 0:
            return f"{milliseconds // MILLISECONDS[unit]}{unit}"
    return f"{milliseconds}ms" if milliseconds else "0s"


def format_instant(milliseconds: int) -> str:
    """An instant in UTC with milliseconds, as STACK writes them."""
    moment = _EPOCH + timedelta(milliseconds=milliseconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{milliseconds % 1000:03d}Z"


def _read_instant(text: str) -> datetime:
    """Python 3.10 reads neither `Z` nor one or two decimals, so both are completed first."""
    body, zone = (text[:-1], "+00:00") if text.endswith("Z") else (text[:-6], text[-6:])
    whole, _, fraction = body.partition(".")
    return datetime.fromisoformat(f"{whole}.{fraction:0<6}{zone}")


def _duration_hint(text: str) -> str:
    """What to write instead of a text that is not a duration."""
    bare = text.strip().lstrip("+").replace(" ", "")
    if re.fullmatch(DURATION_PATTERN[1:-1], bare):
        return f"write {bare}"
    if re.fullmatch(r"[0-9]+", bare):
        return f"it has no unit; write {bare}s for seconds, or {bare}ms, {bare}m, {bare}h, {bare}d"
    return "write one number and one unit, such as 500ms, 30s, 15m, 24h or 30d"


def _offset_hint(text: str) -> str:
    """What to write instead of a text that is not an offset."""
    bare = text.strip().lstrip("+").replace(" ", "")
    if re.fullmatch(DURATION_PATTERN[1:-1], bare):
        return f"write +{bare}"
    if re.fullmatch(r"[0-9]+", bare):
        return f"it has no unit; write +{bare}s for seconds, or +{bare}ms, +{bare}m, +{bare}h, +{bare}d"
    return "write + and a duration, such as +10m"


def _from_text(parse: Callable[[str], int]) -> Convert:
    """Wrap a parser so that a bare number gets a sentence about its missing unit instead of a type error."""

    def convert(value: object) -> object:
        if isinstance(value, (int, float)):
            return parse(repr(value))
        if isinstance(value, str):
            return parse(value)
        raise ValueError("write it as text, such as 30s")

    return convert


def _header_text(value: object) -> object:
    """Header values are text; a whole number is a convenience that YAML would otherwise make a mistake."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value


def _one_or_many(value: object) -> object:
    """A single text stands for a list of one."""
    return [value] if isinstance(value, str) else value


Int = Annotated[int, Strict()]
Flag = Annotated[bool, Strict()]
Count = Annotated[int, Strict(), Field(ge=1)]
Status = Annotated[int, Strict(), Field(ge=100, le=599)]
Json = Any
"""Any JSON value. The loader produces nothing else."""

Duration = Annotated[
    int,
    BeforeValidator(_from_text(parse_duration)),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
    WithJsonSchema(
        {"type": "string", "pattern": DURATION_PATTERN, "examples": ["500ms", "30s", "15m", "24h", "30d"]},
    ),
]
"""A length of time: text such as `15m` in YAML, milliseconds in Python."""

Offset = Annotated[
    int,
    BeforeValidator(_from_text(parse_offset)),
    PlainSerializer(lambda value: f"+{format_duration(value)}", return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": OFFSET_PATTERN, "examples": ["+10m"]}),
]
"""A moment counted from the world's start: `+10m` in YAML, milliseconds in Python."""

SinceStart = Annotated[
    int,
    BeforeValidator(_from_text(parse_since_start)),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": SINCE_START_PATTERN, "examples": ["10m", "+10m"]}),
]
"""A duration that counts from the world's start, which an offset says as well: `10m` or `+10m` in YAML."""

Instant = Annotated[
    int,
    BeforeValidator(_from_text(parse_instant)),
    PlainSerializer(format_instant, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": INSTANT_PATTERN, "examples": ["2026-01-01T00:00:00Z"]}),
]
"""A point in time: ISO 8601 with a zone in YAML, milliseconds since 1970 in Python."""

Identifier = Annotated[str, Field(pattern=ID_PATTERN, max_length=128)]
Host = Annotated[str, Field(pattern=HOST_PATTERN, max_length=253)]
Headers = dict[str, Annotated[str, BeforeValidator(_header_text), WithJsonSchema({"type": ["string", "integer"]})]]
Names = Annotated[
    tuple[str, ...],
    BeforeValidator(_one_or_many),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
"""One name or a list of names in YAML, always a tuple in Python."""
