"""JSON kinds of request bodies: whether a field is the boolean, number or text that ``/openapi.json`` says it is.

A query can only write text, so the models read ``"5"`` as 5; a body that says ``"5"`` where a number belongs is a mistake of
its sender, and is told so, as the arguments of a tool are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any

from stack_emu.domain import faults
from stack_emu.kernel.dispatch import MOST_PROBLEMS
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import Command
from stack_emu.surfaces.mcp_schemas import plain

_KINDS = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
_NAMES = {
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


def require_kinds(command: type[Command], body: Mapping[str, Any]) -> None:
    """Hold a body's fields against the kinds a command's schema names. What it does not name is not looked at.

    Args:
        command: the operation's command.
        body: the request's JSON object.

    Raises:
        Fault: INVALID_REQUEST with ``details.fields`` = {field path: problem}.
    """
    properties = _properties(command)
    wrong = (
        found
        for name, value in body.items()
        if name in properties
        for found in _problems(value, properties[name], name)
    )
    fields = dict(islice(wrong, MOST_PROBLEMS))
    if fields:
        problem = "; ".join(f"{name}: {text}" for name, text in fields.items())
        raise Fault(faults.INVALID_REQUEST, details={"fields": fields}, problem=problem)


@lru_cache(maxsize=1024)
def _properties(command: type[Command]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = plain(command.model_json_schema(mode="validation")).get("properties", {})
    return found


def _problems(value: Any, schema: Any, path: str) -> Iterator[tuple[str, str]]:
    if value is None or not isinstance(schema, Mapping):  # a null counts as absent
        return
    options = [option for option in schema.get("anyOf", (schema,)) if _admits(option, value)]
    if not options:
        kinds = dict.fromkeys(kind for option in schema.get("anyOf", (schema,)) for kind in _kinds(option))
        wanted = " or ".join(_NAMES[kind] for kind in kinds if kind != "null")
        yield path, f"must be {wanted}, not {_kind_of(value)}"
    elif len(options) == 1:  # which of several is meant is for the model to say
        yield from _inside(value, options[0], path)


def _inside(value: Any, schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        known, rest = schema.get("properties", {}), schema.get("additionalProperties")
        for name, item in value.items():
            yield from _problems(item, known.get(name, rest), f"{path}.{name}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _problems(item, schema.get("items"), f"{path}.{number}")


def _admits(schema: Mapping[str, Any], value: Any) -> bool:
    kinds = _kinds(schema)
    if not kinds:
        return True
    kind = _kind_of_value(value)
    if kind == "integer":
        return "integer" in kinds or "number" in kinds
    if kind == "number":
        return "number" in kinds or ("integer" in kinds and value == int(value))
    return kind in kinds


def _kinds(schema: Mapping[str, Any]) -> tuple[str, ...]:
    kind = schema.get("type", ())
    return (kind,) if isinstance(kind, str) else tuple(kind)


def _kind_of_value(value: Any) -> str:
    return _KINDS.get(type(value), "null")


def _kind_of(value: Any) -> str:
    return _NAMES["number" if _kind_of_value(value) == "integer" else _kind_of_value(value)]
