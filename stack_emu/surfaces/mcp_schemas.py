"""JSON Schemas of tools: what a command or reply model says, in the plain form that models and MCP clients take."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import TypeAdapter

from stack_emu.kernel.dispatch import Pending, Refused
from stack_emu.kernel.operations import WRITTEN_AS, Download, OpenCommand, Operation, Reply, Stream

_DEFINITIONS = "#/$defs/"
_BY_NAME = frozenset({"properties", "patternProperties", "dependentSchemas"})
_AS_IT_IS = frozenset({"default", "const", "enum", "examples", "required"})

CONFIRM = {
    "type": "boolean",
    "description": "Must be true: the call takes effect at once and cannot be undone",
}


def input_schema(declared: Operation) -> dict[str, Any]:
    """The arguments of an operation's tool.

    Definitions are written out where they are used, titles left out, hidden fields dropped, ``null`` alternatives of
    optional arguments left out (an explicit null counts as absent all the same), and unknown arguments excluded.

    Args:
        declared: an operation with a tool.
    """
    assert declared.tool is not None, f"{declared.name} has no tool"
    schema = plain(declared.command.model_json_schema(mode="validation"))
    hidden = {_wire_name(declared, name) for name in declared.tool.hidden}
    properties = {
        name: without_null(_unwritten(value))
        for name, value in schema.get("properties", {}).items()
        if name not in hidden
    }
    required = [name for name in schema.get("required", ()) if name not in hidden]
    if declared.tool.confirm:
        properties["confirm"] = dict(CONFIRM)
        required = [*(name for name in required if name != "confirm"), "confirm"]
    cleaned: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        cleaned["required"] = required
    # Closed also where a REST body may hold more (a misspelt argument is to be heard of), but for somebody else's requests.
    cleaned["additionalProperties"] = issubclass(declared.command, OpenCommand)
    return cleaned


WRAPPED = "result"
"""The one field of structured content whose reply is no object on its own."""


def output_schema(declared: Operation) -> dict[str, Any] | None:
    """The schema of a tool's structured content; None when a reply may be a document, which has none.

    Structured content had to be an object until revision 2025-11-25, so a list, or an object that may be null, stands in
    it as ``result``; in the text of the result it stays bare, as STACK's guide prints it.
    """
    found = _replies(declared)
    if Download in found or not found:
        return None
    models = [item for item in found if isinstance(item, type) and issubclass(item, Reply)]
    if len(found) == len(models) == 1:
        schema = plain(models[0].model_json_schema(mode="serialization", by_alias=True))
        schema.pop("description", None)
        return schema
    shape: Any = found[0] if len(found) == 1 else typing.Union[tuple(found)]  # noqa: UP007  from a tuple
    schema = plain(TypeAdapter(shape).json_schema(mode="serialization", by_alias=True))
    if not is_wrapped(declared):
        return {"type": "object", **schema}
    return {"type": "object", "properties": {WRAPPED: schema}, "required": [WRAPPED]}


def is_wrapped(declared: Operation) -> bool:
    """Whether structured content holds the reply as ``result``: when it may be something else than an object."""
    return any(not _is_object(item) for item in _replies(declared))


def _is_object(shape: Any) -> bool:
    origin = typing.get_origin(shape) or shape
    return isinstance(origin, type) and issubclass(origin, (Reply, dict))


def plain(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema with its ``$defs`` written out where they are referred to, and without titles."""
    definitions = schema.get("$defs", {})
    cleaned = _clean({key: value for key, value in schema.items() if key != "$defs"}, definitions, ())
    assert isinstance(cleaned, dict)
    return cleaned


def _clean(node: Any, definitions: Mapping[str, Any], open_refs: tuple[str, ...]) -> Any:
    if isinstance(node, list):
        return [_clean(item, definitions, open_refs) for item in node]
    if not isinstance(node, Mapping):
        return node
    reference = node.get("$ref")
    if isinstance(reference, str) and reference.startswith(_DEFINITIONS):
        return _follow(node, reference.removeprefix(_DEFINITIONS), definitions, open_refs)
    return {
        key: _clean_keyword(key, value, definitions, open_refs)
        for key, value in node.items()
        if key not in ("title", "discriminator")
    }


def _clean_keyword(key: str, value: Any, definitions: Mapping[str, Any], open_refs: tuple[str, ...]) -> Any:
    if key in _AS_IT_IS:
        return value
    if key in _BY_NAME and isinstance(value, Mapping):
        return {name: _clean(item, definitions, open_refs) for name, item in value.items()}
    return _clean(value, definitions, open_refs)


def _follow(
    node: Mapping[str, Any], name: str, definitions: Mapping[str, Any], open_refs: tuple[str, ...]
) -> dict[str, Any]:
    beside = {key: value for key, value in node.items() if key != "$ref"}
    if name in open_refs:  # a model inside itself: its form is written out one level up
        return {"type": "object", **_clean(beside, definitions, open_refs)}
    target = _clean(definitions[name], definitions, (*open_refs, name))
    return {**target, **_clean(beside, definitions, open_refs)}


def without_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of an optional field without its ``null`` alternative and default: a null counts as absent."""
    cleaned = dict(schema)
    if cleaned.get("default", ...) is None:
        del cleaned["default"]
    options = cleaned.get("anyOf")
    if not isinstance(options, list):
        return cleaned
    left = [option for option in options if option != {"type": "null"}]
    if len(left) == len(options) or not left:
        return cleaned
    if len(left) > 1:
        return {**cleaned, "anyOf": left}
    del cleaned["anyOf"]
    return {**left[0], **cleaned}


def _unwritten(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A field's schema without what only ``/openapi.json`` says of its text."""
    return {key: value for key, value in schema.items() if key != WRITTEN_AS}


def _wire_name(declared: Operation, field: str) -> str:
    info = declared.command.model_fields.get(field)
    alias = info.validation_alias or info.alias if info is not None else None
    return alias if isinstance(alias, str) else field


def _replies(declared: Operation) -> list[Any]:
    """What an operation may answer with at last; tools ask for no streams, and have an empty object for no content."""
    empty = declared.rest is not None and declared.rest.status == 204
    return [
        dict[str, Any] if empty and item in (None, type(None)) else item
        for item in _alternatives(declared.reply)
        if item not in (Pending, Refused, Stream) and typing.get_origin(item) is not Pending
    ]


def _alternatives(declared: Any) -> Iterable[Any]:
    if typing.get_origin(declared) in (typing.Union, types.UnionType):
        return typing.get_args(declared)
    return (declared,)
