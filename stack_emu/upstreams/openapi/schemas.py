"""The schemas of a document, all in one dialect: JSON Schema 2020-12 with every reference into one registry.

Requests and replies are two directions: what is read-only is not required of a request, and what is write-only is not
required of a reply. A document's schemas are therefore converted once for each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

from stack_emu.kernel import text_patterns
from stack_emu.kernel.schema_validation import SchemaCheck
from stack_emu.upstreams.openapi.files import At, Files
from stack_emu.upstreams.openapi.formats import checker

Direction = Literal["request", "reply"]
Schema = Mapping[str, Any]
"""A converted schema, or a reference to one."""

_BASE = "urn:openapi"
_ONE = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
_UNEVALUATED = ("unevaluatedItems", "unevaluatedProperties")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_MAPS = ("properties", "patternProperties", "dependentSchemas")
_DROPPED = frozenset({"$id", "$schema", "$anchor", "$comment", "$vocabulary", "$defs", "definitions", "contentSchema"})
_REFUSED = ("$dynamicRef", "$recursiveRef", "$dynamicAnchor", "$recursiveAnchor")
_PLAIN = frozenset({"xml", "externalDocs", "discriminator", "title", "description", "deprecated"})


class Schemas:
    """Every schema that was asked for, in one direction.

    Args:
        files: the document; mistakes are noted there.
        old: whether it is OpenAPI 3.0, whose schemas have a dialect of their own.
        direction: what is checked with them.
    """

    def __init__(self, files: Files, old: bool, direction: Direction) -> None:
        self.files = files
        self.old = old
        self.hidden = "readOnly" if direction == "request" else "writeOnly"
        self.defs: dict[str, Any] = {}
        self.places: dict[str, At] = {}
        self._names: dict[tuple[str, tuple[str, ...]], str] = {}

    def at(self, place: At) -> Schema:
        """The schema at a place of the document, as a reference; what it refers to is converted too."""
        found = self._target(place)
        key = (found.file, found.pointer)
        if key not in self._names:
            name = self._name(found)
            self._names[key] = name
            self.places[name] = found
            self.defs[name] = {}
            self.defs[name] = self._converted(found)
        return {"$ref": f"{_BASE}#/$defs/{self._names[key]}"}

    def finish(self) -> None:
        """Take back what the other direction's fields are required for, once everything is converted."""
        for definition in [*self.defs.values()]:
            self._relax(definition, frozenset())

    def endless(self) -> list[str]:
        """Names of the schemas that lead back to themselves without going into a field or an element."""
        leads = {name: set(_in_place(definition)) for name, definition in self.defs.items()}
        found = []
        for name, first in leads.items():
            reached, waiting = set[str](), [*first]
            while waiting:
                one = waiting.pop()
                if one not in reached:
                    reached.add(one)
                    waiting += leads.get(one, ())
            if name in reached:
                found.append(name)
        return found

    def resolve(self, schema: Any) -> Schema:
        """A schema without the references it begins with."""
        for _ in range(64):
            if isinstance(schema, bool):
                return {} if schema else {"not": {}}
            if set(schema) != {"$ref"}:
                return dict(schema)
            schema = self.defs[schema["$ref"].rpartition("/")[2]]
        return {}

    def identity(self, schema: Any) -> str | None:
        """The name of the schema a reference leads to in the end; None for one that has no name."""
        name = None
        for _ in range(64):
            if not isinstance(schema, Mapping) or set(schema) != {"$ref"}:
                break
            name = schema["$ref"].rpartition("/")[2]
            schema = self.defs[name]
        return name

    def merged(self, schema: Any, depth: int = 0) -> dict[str, Any]:
        """A schema with its references and its ``allOf`` folded in; alternatives stay as they are."""
        found = dict(self.resolve(schema))
        parts = list(found.pop("allOf", ()))
        if "$ref" in found:
            parts.insert(0, {"$ref": found.pop("$ref")})
        if not parts or depth > 24:
            return found
        whole: dict[str, Any] = {}
        for part in (*parts, found):
            _fold(whole, part if part is found else self.merged(part, depth + 1))
        return whole

    def forms(self, schema: Any) -> list[dict[str, Any]]:
        """The alternatives of a schema, each merged with what holds for all; the schema itself when it has none."""
        whole = self.merged(schema)
        for key in ("oneOf", "anyOf"):
            if key in whole:
                rest = {name: value for name, value in whole.items() if name != key}
                return [form for branch in whole[key] for form in self.forms({"allOf": [rest, branch]})]
        return [whole]

    def errors(self, schema: Any, value: Any) -> list[Any]:
        """What is wrong with a value: ``ValidationError`` objects of the ``jsonschema`` package."""
        return SchemaCheck(schema, checker(), self._registry).errors(value)

    def valid(self, schema: Any, value: Any) -> bool:
        """Whether a value holds to a schema."""
        return SchemaCheck(schema, checker(), self._registry).fits(value)

    def is_hidden(self, schema: Any, flag: str) -> bool:
        """Whether a property is ``readOnly`` or ``writeOnly``, whichever is asked for."""
        return self.merged(schema).get(flag) is True

    @cached_property
    def _registry(self) -> Any:
        from referencing import Registry
        from referencing.jsonschema import DRAFT202012

        return Registry().with_resource(_BASE, DRAFT202012.create_resource({"$defs": self.defs}))

    # --- converting -------------------------------------------------------------------------------------------------

    def _target(self, place: At) -> At:
        """The place of the schema itself, past references that stand alone (in 3.0 they always do)."""
        for _ in range(64):
            if not isinstance(place.value, dict) or not isinstance(place.value.get("$ref"), str):
                break
            if not self.old and set(place.value) - {"$ref", "summary", "description"}:
                break
            place = self.files.target(place.file, place.value["$ref"]) or At(place.file, place.pointer, {})
        return place

    def _name(self, place: At) -> str:
        parts = place.pointer[-1:] if "schemas" in place.pointer[-2:-1] else place.pointer[-5:]
        name = re.sub(r"[^A-Za-z0-9_.-]+", "_", "_".join(parts)) or "Schema"
        number = 1
        unique = name
        while unique in self.defs:
            number += 1
            unique = f"{name}_{number}"
        return unique

    def _converted(self, at: At) -> Any:
        """A schema in the one dialect."""
        if isinstance(at.value, bool):
            return at.value
        if not isinstance(at.value, dict):
            if at.value is not None:
                self.files.error(at, "this is not a schema; write a mapping such as {type: string}")
            return {}
        if isinstance(at.value.get("$ref"), str):
            found = self._target(at)
            if (found.file, found.pointer) != (at.file, at.pointer):
                return self.at(found)
        made: dict[str, Any] = {}
        for key, inner in at.items():
            if key in _REFUSED:
                self.files.error(inner, f"{key} is not followed; write $ref")
            elif key == "$ref":
                target = self.files.target(at.file, str(inner.value))
                if target is not None:
                    made["$ref"] = self.at(target)["$ref"]
            elif key not in _DROPPED and key not in _PLAIN and not key.startswith("x-"):
                made[key] = self._keyword(key, inner)
        if self.old:
            _modernise(made)
        self._check_pattern(at, made)
        return made

    def _keyword(self, key: str, inner: At) -> Any:
        if key in _ONE or key in _UNEVALUATED:
            return self._converted(inner)
        if key in _LISTS and isinstance(inner.value, list):
            return [self._converted(part) for _, part in inner.items()]
        if key in _MAPS and isinstance(inner.value, dict):
            return {name: self._converted(part) for name, part in inner.items()}
        return inner.value

    def _check_pattern(self, at: At, made: dict[str, Any]) -> None:
        """Leave out patterns that RE2 does not have, and say so."""
        pattern, named = made.get("pattern"), made.get("patternProperties")
        if isinstance(pattern, str) and (problem := text_patterns.problem(pattern)) is not None:
            del made["pattern"]
            self._warn_once(at.get("pattern") or at, f"the pattern is not checked: {problem}")
        for name in list(named) if isinstance(named, dict) else ():
            if (problem := text_patterns.problem(name)) is not None:
                del made["patternProperties"][name]
                made["patternProperties"][""] = True
                self._warn_once(at.get("patternProperties") or at, f"names are not checked for {name}: {problem}")

    def _warn_once(self, at: At, sentence: str) -> None:
        """Warn of a place that requests and replies both read."""
        if self.hidden == "readOnly":
            self.files.warn(at, sentence)

    # --- directions -------------------------------------------------------------------------------------------------

    def _relax(self, schema: Any, outside: frozenset[str]) -> None:
        if not isinstance(schema, dict):
            return
        hidden = outside | frozenset(self._hidden_names(schema, 0))
        if isinstance(schema.get("required"), list):
            schema["required"] = [name for name in schema["required"] if name not in hidden]
        for key in _LISTS:
            for part in schema.get(key) or ():
                self._relax(part, hidden if key != "prefixItems" else frozenset())
        for key in (*_ONE, *_UNEVALUATED):
            self._relax(schema.get(key), frozenset())
        for key in _MAPS:
            for part in _values(schema.get(key)):
                self._relax(part, frozenset())

    def _hidden_names(self, schema: Any, depth: int) -> Iterator[str]:
        """Properties of the other direction, those of what it refers to and of ``allOf`` included."""
        found = self.resolve(schema)
        for name, inner in (found.get("properties") or {}).items():
            if self.is_hidden(inner, self.hidden):
                yield name
        if depth < 24:
            parts = [*(found.get("allOf") or ()), *([{"$ref": found["$ref"]}] if "$ref" in found else [])]
            for part in parts:
                yield from self._hidden_names(part, depth + 1)


def _in_place(schema: Any) -> Iterator[str]:
    """Names of the schemas that a value must hold to as a whole to hold to this one."""
    if not isinstance(schema, dict):
        return
    if isinstance(schema.get("$ref"), str):
        yield schema["$ref"].rpartition("/")[2]
    for key in ("allOf", "anyOf", "oneOf"):
        parts = schema.get(key)
        for part in parts if isinstance(parts, list) else ():
            yield from _in_place(part)
    for key in ("not", "if", "then", "else"):
        yield from _in_place(schema.get(key))


def _values(found: Any) -> Sequence[Any]:
    return list(found.values()) if isinstance(found, dict) else []


def _modernise(schema: dict[str, Any]) -> None:
    """From the dialect of OpenAPI 3.0 to JSON Schema 2020-12."""
    if schema.pop("nullable", None) is True and isinstance(schema.get("type"), str):
        schema["type"] = [schema["type"], "null"]
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        strict = schema.get(exclusive)
        if isinstance(strict, bool):
            del schema[exclusive]
            if strict and bound in schema:
                schema[exclusive] = schema.pop(bound)


def _fold(whole: dict[str, Any], part: Mapping[str, Any]) -> None:
    """Lay a part of an ``allOf`` over what is there already."""
    for key, value in part.items():
        known = whole.get(key)
        if known is None:
            whole[key] = value
        elif key == "properties":
            whole[key] = {**known, **{n: _both(known.get(n), v) for n, v in value.items()}}
        elif key == "required":
            whole[key] = [*known, *(name for name in value if name not in known)]
        elif key in ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"):
            whole[key] = max(known, value)
        elif key in ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"):
            whole[key] = min(known, value)
        elif key in ("oneOf", "anyOf"):
            whole[key] = [{"allOf": [first, second]} for first in known for second in value]
        else:
            whole[key] = value


def _both(first: Any, second: Any) -> Any:
    return second if first is None or first == second else {"allOf": [first, second]}
