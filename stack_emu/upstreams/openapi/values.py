"""Values made from schemas: the same ones whenever seed and call are the same, and valid."""

from __future__ import annotations

import base64
import hmac
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stack_emu.kernel.clock import iso
from stack_emu.kernel.ids import text_id
from stack_emu.upstreams.openapi.mistakes import mistakes
from stack_emu.upstreams.openapi.patterns import text_for
from stack_emu.upstreams.openapi.schemas import Schemas

MAX_DEPTH = 12
"""Levels of a value beyond which a schema that refers to itself is taken to have no end."""

_SPREAD = 1000
CREATED = frozenset({"created", "createdat", "createdon", "createddate", "creationdate", "createtime", "timestamp"})
"""Names of fields that hold when a thing was made, in lower case without separators."""

CHANGED = frozenset(
    {"updated", "updatedat", "updatedon", "updateddate", "modified", "modifiedat", "lastmodified", "updatetime"}
)
"""Names of fields that hold when a thing was changed last, in lower case without separators."""


class CannotMake(Exception):
    """No value was found that holds to a schema; the message says why and what would help."""


def folded(name: str) -> str:
    """A field's name in lower case without separators, so that spellings compare equal."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


@dataclass(frozen=True)
class Origin:
    """What made values follow from.

    Args:
        raw: derived bytes.
        now_ms: the instant that dates show, in epoch milliseconds.
    """

    raw: bytes
    now_ms: int

    def at(self, place: str) -> bytes:
        """32 bytes for a place in a value, whatever else is made."""
        return hmac.digest(self.raw, place.encode(), "sha256")

    def number(self, place: str, below: int) -> int:
        """A number under ``below`` for a place."""
        return int.from_bytes(self.at(place), "big") % below


@dataclass(frozen=True)
class Maker:
    """Makes values for schemas.

    Args:
        schemas: where the schemas are from.
        origin: what values follow from.
    """

    schemas: Schemas
    origin: Origin

    def make(self, schema: Any, place: str = "value") -> Any:
        """A value that holds to a schema.

        Args:
            schema: the schema.
            place: where the value stands; values at different places differ.

        Raises:
            CannotMake: when none was found.
        """
        value = self._made(schema, place, 0)
        wrong = mistakes(self.schemas, schema, value, place)
        if wrong:
            raise CannotMake(f"what was made for it does not hold to its schema: {wrong[0]}")
        return value

    def candidate(self, schema: Any, whole: Mapping[str, Any] | None = None) -> tuple[Any, bool]:
        """What a schema itself says a value could be (const, default, example), and whether it says so."""
        found = whole if whole is not None else self.schemas.merged(schema)
        for given in _suggested(found):
            if self.schemas.valid(schema, given):
                return given, True
        return None, False

    def _made(self, schema: Any, place: str, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise CannotMake(f"{place.rpartition('.')[2]} refers to itself without an end")
        whole = self.schemas.merged(schema)
        given, there = self.candidate(schema, whole)
        if there:
            return given
        if "oneOf" in whole or "anyOf" in whole:
            return self._of_forms(schema, place, depth)
        if whole.get("enum"):
            return whole["enum"][0]
        return self._of_kind(_kind(whole), whole, place, depth)

    def _of_forms(self, schema: Any, place: str, depth: int) -> Any:
        """The first of the alternatives that a value can be made for and that the whole accepts."""
        why: CannotMake | None = None
        for form in self.schemas.forms(schema):
            try:
                value = self._made(form, place, depth + 1)
            except CannotMake as error:
                why = why or error
                continue
            if self.schemas.valid(schema, value):
                return value
        raise why or CannotMake(f"{place} fits none of its forms alone")

    def _of_kind(self, kind: str, whole: Mapping[str, Any], place: str, depth: int) -> Any:
        if kind == "object":
            return self._object(whole, place, depth)
        if kind == "array":
            return self._array(whole, place, depth)
        if kind == "string":
            return self._text(whole, place)
        if kind in ("integer", "number"):
            return self._number(kind, whole, place)
        return True if kind == "boolean" else None

    # --- objects and lists ------------------------------------------------------------------------------------------

    def _object(self, whole: Mapping[str, Any], place: str, depth: int) -> dict[str, Any]:
        properties = whole.get("properties") or {}
        required = whole.get("required") or []
        made: dict[str, Any] = {}
        for name in [*properties, *(one for one in required if one not in properties)]:
            schema = properties.get(name, whole.get("additionalProperties", {}))
            found = self.schemas.merged(schema)
            if found.get("writeOnly") or (name not in required and not _shown(found, bool(required), depth)):
                continue
            try:
                made[name] = self._made(schema, f"{place}.{name}", depth + 1)
            except CannotMake:
                if name in required:
                    raise
        for number in range(len(made), whole.get("minProperties", 0)):
            made[f"field{number + 1}"] = self._made(
                whole.get("additionalProperties", {}), f"{place}.field{number}", depth + 1
            )
        return made

    def _array(self, whole: Mapping[str, Any], place: str, depth: int) -> list[Any]:
        first = [
            self._made(one, f"{place}[{number}]", depth + 1)
            for number, one in enumerate(whole.get("prefixItems") or ())
        ]
        fewest, most = whole.get("minItems", 0), whole.get("maxItems")
        items = self.schemas.merged(whole.get("items", {}))
        wanted = max(fewest, 1) if most is None else min(max(fewest, 1), most)
        if not fewest and (first or "items" not in whole):
            return first
        rest = range(len(first), wanted)
        try:
            return first + [self._element(items, whole, f"{place}[{number}]", number, depth) for number in rest]
        except CannotMake:
            if fewest > len(first):
                raise
            return first

    def _element(self, items: Mapping[str, Any], whole: Mapping[str, Any], place: str, number: int, depth: int) -> Any:
        if whole.get("uniqueItems") and number and items.get("enum"):
            return items["enum"][number % len(items["enum"])]
        if number and any(True for _ in _suggested(items)) and whole.get("uniqueItems"):
            items = {key: value for key, value in items.items() if key not in ("example", "examples", "default")}
        return self._made(items, place, depth + 1)

    # --- scalars ----------------------------------------------------------------------------------------------------

    def _number(self, kind: str, whole: Mapping[str, Any], place: str) -> Any:
        if folded(place.rpartition(".")[2]) in CREATED | CHANGED and kind == "integer" and "maximum" not in whole:
            return self.origin.now_ms // 1000
        step = whole.get("multipleOf", 1)
        low, high = _bounds(whole, kind, step)
        if low is None:
            low = high - _SPREAD if high is not None else 1
        first = math.ceil(low / step) * step
        last = min(high, first + _SPREAD * step) if high is not None else first + _SPREAD * step
        count = max(int((last - first) / step), 0) + 1
        value = first + self.origin.number(place, count) * step
        if kind == "number" and value > last:
            value = (low + last) / 2  # no whole number lies between the bounds
        return int(value) if float(value).is_integer() else value

    def _text(self, whole: Mapping[str, Any], place: str) -> str:
        shortest, longest = whole.get("minLength", 0), whole.get("maxLength")
        if "pattern" in whole:
            made = text_for(whole["pattern"], self.origin.at(place), shortest, longest)
            if made is None:
                raise CannotMake(f"no text was found for the pattern {whole['pattern']}")
            return made
        form = whole.get("format")
        if form in _FORMATS:
            return self._formatted(str(form), place)
        name = re.sub(r"\[\d+\]$", "", place.rpartition(".")[2]) or "text"
        made = f"{name}-{text_id(self.origin.at(place), 6)}"
        if len(made) < shortest:
            made += "-" + text_id(self.origin.at(place), 6) * (shortest // 6 + 1)
            made = made[: max(shortest, 1)]
        return (
            made
            if longest is None or len(made) <= longest
            else text_id(self.origin.at(place), max(longest, 0))[:longest]
        )

    def _formatted(self, form: str, place: str) -> str:
        raw = self.origin.at(place)
        short = text_id(raw, 8)
        now = iso(self.origin.now_ms)[:19] + "Z"
        if form == "uuid":
            return uuid_of(raw)
        made = {
            "date-time": now,
            "date": now[:10],
            "time": now[11:],
            "duration": "PT15M",
            "email": f"{short}@example.com",
            "idn-email": f"{short}@example.com",
            "hostname": f"{short}.example.com",
            "ipv4": f"192.0.2.{1 + raw[0] % 254}",
            "ipv6": f"2001:db8::{raw[:2].hex().lstrip('0') or '1'}",
            "byte": base64.b64encode(raw[:12]).decode(),
            "binary": short,
            "uri-reference": f"/{short}",
            "json-pointer": f"/{short}",
            "regex": short,
        }
        return made.get(form, f"https://example.com/{short}")


_FORMATS = frozenset(
    {
        "date-time",
        "date",
        "time",
        "duration",
        "uuid",
        "email",
        "idn-email",
        "hostname",
        "ipv4",
        "ipv6",
        "byte",
        "binary",
    }
    | {"uri", "url", "iri", "uri-reference", "json-pointer", "regex"}
)


def uuid_of(raw: bytes) -> str:
    """A UUID of version 4 from derived bytes."""
    digits = bytearray(raw[:16])
    digits[6] = digits[6] & 0x0F | 0x40
    digits[8] = digits[8] & 0x3F | 0x80
    text = digits.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def _suggested(whole: Mapping[str, Any]) -> Iterator[Any]:
    for key in ("const", "example", "default"):
        if key in whole:
            yield whole[key]
    if isinstance(whole.get("examples"), list):
        yield from whole["examples"]


def _shown(whole: Mapping[str, Any], has_required: bool, depth: int) -> bool:
    """Whether a field that need not be there is made all the same."""
    if whole.get("readOnly") or any(True for _ in _suggested(whole)):
        return True
    return not has_required and depth < 3


def _kind(whole: Mapping[str, Any]) -> str:
    kinds = whole.get("type")
    if isinstance(kinds, list):
        return str(next((one for one in kinds if one != "null"), "null"))
    if kinds is not None:
        return str(kinds)
    if "properties" in whole or "required" in whole or "additionalProperties" in whole:
        return "object"
    if "items" in whole or "prefixItems" in whole:
        return "array"
    return "number" if "minimum" in whole or "maximum" in whole else "string"


def _bounds(whole: Mapping[str, Any], kind: str, step: float) -> tuple[Any, Any]:
    """The least and the greatest number allowed; a strict bound counts as one step further in for whole numbers."""
    low, high = whole.get("minimum"), whole.get("maximum")
    inward = step if kind == "integer" or step != 1 else 1
    if "exclusiveMinimum" in whole:
        strict = whole["exclusiveMinimum"] + inward
        low = strict if low is None else max(low, strict)
    if "exclusiveMaximum" in whole:
        strict = whole["exclusiveMaximum"] - inward
        high = strict if high is None else min(high, strict)
    if low is not None and high is not None and low > high and kind == "number":
        middle = (low + high) / 2
        return middle, middle
    return low, high
