"""What is wrong with a value, field by field, each with what would be right."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stack_emu.scenario.problems import nearest
from stack_emu.upstreams.openapi.formats import EXAMPLES
from stack_emu.upstreams.openapi.schemas import Schemas

MOST = 20
"""Most mistakes told at once."""

_LONGEST = 60
_KINDS = {
    "string": "a text",
    "integer": "a whole number such as 10",
    "number": "a number such as 1.5",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


@dataclass(frozen=True)
class Mistake:
    """One mistake.

    Args:
        field: where it is, such as ``body.lines[0].qty`` or ``query.limit``.
        sentence: what is wrong and what would be right; it follows the field.
    """

    field: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.field} {self.sentence}"


def mistakes(schemas: Schemas, schema: Any, value: Any, place: str) -> list[Mistake]:
    """Every mistake of a value, in the order of its fields.

    Args:
        schemas: where the schema is from.
        schema: what the value must be.
        value: the value as JSON data.
        place: what it is called, such as ``body``.
    """
    found = [one for error in schemas.errors(schema, value) for one in _told(error, place)]
    return sorted(dict.fromkeys(found), key=lambda one: one.field)[:MOST]


def _told(error: Any, place: str) -> Iterator[Mistake]:
    place = place + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.relative_path)
    keyword = str(error.validator)
    if keyword in ("oneOf", "anyOf"):
        yield from _of_alternatives(error, place)
    elif keyword == "required":
        for name in error.validator_value:
            if isinstance(error.instance, Mapping) and name not in error.instance:
                yield Mistake(f"{place}.{name}", "is missing; it is required")
    elif keyword == "additionalProperties" and error.validator_value is False:
        known = [*(error.schema.get("properties") or {})] if isinstance(error.schema, Mapping) else []
        for name in [one for one in error.instance if one not in known]:
            close = nearest(str(name), known)
            hint = f"did you mean {close}?" if close else f"there are: {', '.join(known) or 'none'}"
            yield Mistake(f"{place}.{name}", f"is no field it has; {hint}")
    else:
        said = _SENTENCES.get(keyword)
        yield Mistake(place, said(error) if said is not None else f"does not fit: {error.message}")


def _of_alternatives(error: Any, place: str) -> Iterator[Mistake]:
    branches: dict[Any, list[Any]] = {}
    for inner in error.context or ():
        branches.setdefault(inner.relative_schema_path[0], []).append(inner)
    if not branches:
        yield Mistake(
            place, f"fits more than one of the {len(error.validator_value)} forms it may have; exactly one is allowed"
        )
        return
    nearest_branch = min(branches.values(), key=_distance)
    for inner in nearest_branch:
        yield from _told(inner, place)


def _distance(errors: Sequence[Any]) -> tuple[bool, int]:
    """How far a value is from one of the forms it may have: one of another type, or of another kind, is farther."""
    other = any(not one.relative_path and one.validator == "type" for one in errors)
    tagged = any(one.validator in ("const", "enum") for one in errors)
    return (other, len(errors) + 10 * tagged)


def shown(value: Any) -> str:
    """A value in a sentence, as JSON, shortened."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _type(error: Any) -> str:
    kinds = error.validator_value if isinstance(error.validator_value, list) else [error.validator_value]
    wanted = " or ".join(_KINDS.get(str(kind), str(kind)) for kind in kinds)
    return f"is {shown(error.instance)}; it must be {wanted}"


def _bound(words: str) -> Callable[[Any], str]:
    return lambda error: f"is {shown(error.instance)}; it must be {words} {shown(error.validator_value)}"


def _length(words: str, what: str) -> Callable[[Any], str]:
    return lambda error: f"has {len(error.instance)} {what}; it must have {words} {error.validator_value}"


def _format(error: Any) -> str:
    example = EXAMPLES.get(str(error.validator_value))
    return f"is {shown(error.instance)}, which is no {error.validator_value}" + (
        f"; write {example}" if example else ""
    )


_SENTENCES: Mapping[str, Callable[[Any], str]] = {
    "type": _type,
    "enum": lambda error: f"is {shown(error.instance)}; use one of {', '.join(map(shown, error.validator_value))}",
    "const": lambda error: f"is {shown(error.instance)}; it must be {shown(error.validator_value)}",
    "minimum": _bound("at least"),
    "maximum": _bound("at most"),
    "exclusiveMinimum": _bound("more than"),
    "exclusiveMaximum": _bound("less than"),
    "multipleOf": _bound("a multiple of"),
    "minLength": _length("at least", "characters"),
    "maxLength": _length("at most", "characters"),
    "minItems": _length("at least", "entries"),
    "maxItems": _length("at most", "entries"),
    "minProperties": _length("at least", "fields"),
    "maxProperties": _length("at most", "fields"),
    "uniqueItems": lambda error: "has an entry twice; each may be there once",
    "pattern": lambda error: f"is {shown(error.instance)}; it must match {error.validator_value}",
    "format": _format,
    "not": lambda error: f"is {shown(error.instance)}, which is excluded",
}
