"""Tools: the operations of a registry as MCP clients see them, who may see which, and what is wrong with arguments."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

from stack_emu.domain import faults
from stack_emu.kernel.dispatch import MOST_PROBLEMS
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.near_words import likeness
from stack_emu.kernel.operations import ROLE_RANK, Auth, Caller, Operation, Registry
from stack_emu.surfaces.mcp_schemas import input_schema, is_wrapped, output_schema
from stack_emu.surfaces.mcp_when import WHEN

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError

_SHOWN = 12
_TAKING_AWAY = frozenset(
    {"delete", "disconnect", "erase", "expire", "reset", "revoke", "rotate", "suspend", "withdraw"}
)
"""Verbs of tools after which something is gone or out of use."""


@dataclass(frozen=True)
class ToolEntry:
    """One tool.

    Args:
        operation: what it calls.
        definition: what ``tools/list`` says about it.
    """

    operation: Operation
    definition: Mapping[str, Any]

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The schemas of its arguments by name."""
        properties: Mapping[str, Any] = self.definition["inputSchema"]["properties"]
        return properties

    @property
    def structured(self) -> bool:
        """Whether results must carry structured content."""
        return "outputSchema" in self.definition

    @cached_property
    def wrapped(self) -> bool:
        """Whether structured content holds the reply as ``result``."""
        return is_wrapped(self.operation)

    @cached_property
    def _validator(self) -> Draft202012Validator:
        from jsonschema import Draft202012Validator

        return Draft202012Validator(self.definition["inputSchema"])

    @property
    def _hidden(self) -> tuple[str, ...]:
        """Command fields that are no arguments, where unknown arguments are let through."""
        tool = self.operation.tool
        if tool is None or self.definition["inputSchema"]["additionalProperties"] is False:
            return ()
        return tool.hidden

    def check(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The command's raw input, when ``arguments`` hold to the schema. Explicit nulls count as absent.

        Raises:
            Fault: INVALID_REQUEST with ``details.fields`` = {argument path: problem}; values are not repeated in it.
        """
        given = {name: value for name, value in arguments.items() if value is not None}
        problems: dict[str, str] = {}
        for error in islice(self._validator.iter_errors(given), MOST_PROBLEMS):
            problems.update(self._problems(error, given))
        problems.update((name, self._unknown_sentence(name)) for name in self._hidden if name in given)
        problems.update((name, "is too large a number") for name, value in given.items() if not _finite(value))
        if self._needs_confirmation and given.get("confirm") is not True:
            problems["confirm"] = f"must be true: {self.definition['name']} takes effect at once and cannot be undone"
        if problems:
            ordered = dict(sorted(problems.items()))
            text = "; ".join(f"{name}: {problem}" for name, problem in ordered.items())
            raise Fault(faults.INVALID_REQUEST, details={"fields": ordered}, problem=text)
        if self._needs_confirmation and "confirm" not in self.operation.command.model_fields:
            del given["confirm"]
        return given

    def forbidden_content(self) -> dict[str, Any] | None:
        """Structured content that the tool's schema forbids; None, which is forbidden too, when it takes any object."""
        from jsonschema import Draft202012Validator

        spoilt: dict[str, Any] = {"malformed": True}
        allowed = not self.structured or Draft202012Validator(self.definition["outputSchema"]).is_valid(spoilt)
        return None if allowed else spoilt

    def unknown(self, arguments: Mapping[str, Any]) -> tuple[str, ...]:
        """Names in ``arguments`` that are no arguments of this tool."""
        if self.definition["inputSchema"]["additionalProperties"] is not False:
            return ()
        return tuple(sorted(set(arguments) - set(self.arguments)))

    @property
    def _needs_confirmation(self) -> bool:
        return self.operation.tool is not None and self.operation.tool.confirm

    def _problems(self, error: ValidationError, given: Mapping[str, Any]) -> dict[str, str]:
        path = ".".join(str(part) for part in error.absolute_path)
        if error.validator == "required":
            wanted: Any = error.validator_value
            present: Any = error.instance
            missing = [name for name in wanted if name not in present]
            return {f"{path}.{name}" if path else name: "is required" for name in missing}
        if error.validator == "additionalProperties" and not path:
            return {name: self._unknown_sentence(name) for name in self.unknown(given)[:MOST_PROBLEMS]}
        return {path or "arguments": _sentence(error)}

    def _unknown_sentence(self, name: str) -> str:
        known = list(self.arguments)
        if not known:
            return f"is not an argument: {self.definition['name']} takes none"
        return f"is not an argument of {self.definition['name']}; the nearest is {nearest(name, known)}"


def _finite(value: Any) -> bool:
    """Whether JSON data holds only numbers JSON has; the protocol's parser makes an infinity of 1e999."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, Mapping):
        return all(map(_finite, value.values()))
    return all(map(_finite, value)) if isinstance(value, (list, tuple)) else True


class Catalogue:
    """The tools of a registry.

    Args:
        registry: where they come from.
    """

    def __init__(self, registry: Registry) -> None:
        self.entries = {name: ToolEntry(declared, _definition(declared)) for name, declared in registry.tools.items()}

    def visible(self, caller: Caller) -> list[ToolEntry]:
        """The tools whose operations let a caller of this kind, role and scope in."""
        return [entry for entry in self.entries.values() if admits(entry.operation.auth, caller)]

    def schema(self, name: str) -> Mapping[str, Any] | None:
        """The input schema of a tool, or None."""
        entry = self.entries.get(name)
        return entry.definition["inputSchema"] if entry is not None else None


def tool_definitions(registry: Registry) -> list[dict[str, Any]]:
    """Every tool of a registry as ``tools/list`` describes it to a caller who may call all of them."""
    return [dict(entry.definition) for entry in Catalogue(registry).entries.values()]


def admits(auth: Auth, caller: Caller) -> bool:
    """Whether an operation lets callers of this kind, role and scope in; what they may touch is its own to say."""
    if not auth.bearers:
        return True
    if caller.kind not in auth.bearers or ROLE_RANK[caller.role] < ROLE_RANK[auth.role]:
        return False
    return caller.scopes is None or auth.scope is None or auth.scope in caller.scopes


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that is most like ``name``; the first of them when several are equally so.

    Raises:
        ValueError: when nothing is known.
    """
    return max(known, key=lambda candidate: likeness(name, candidate))


def _definition(declared: Operation) -> dict[str, Any]:
    tool = declared.tool
    assert tool is not None, f"{declared.name} has no tool"
    definition: dict[str, Any] = {
        "name": tool.name,
        "title": tool.title or _title(tool.name),
        "description": f"{_first_paragraph(declared.description)} {WHEN.get(tool.name, '')}".rstrip(),
        "inputSchema": input_schema(declared),
    }
    output = output_schema(declared)
    if output is not None:
        definition["outputSchema"] = output
    definition["annotations"] = _annotations(declared)
    return definition


def _title(name: str) -> str:
    words = name.removeprefix("stack_").replace("_", " ")
    return words[:1].upper() + words[1:]


def _first_paragraph(text: str) -> str:
    return " ".join(text.split("\n\n", 1)[0].split())


def _annotations(declared: Operation) -> dict[str, Any]:
    tool, rest = declared.tool, declared.rest
    assert tool is not None, f"{declared.name} has no tool"
    method = rest.method if rest is not None else ""
    read_only = tool.read_only if tool.read_only is not None else method == "GET" or declared.audit is None
    takes_away = tool.destructive or method == "DELETE" or tool.name.split("_")[1] in _TAKING_AWAY
    return {
        "readOnlyHint": read_only,
        "destructiveHint": takes_away and not read_only,
        "idempotentHint": tool.idempotent or read_only or method in ("PUT", "DELETE"),
    }


_TYPES = {
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "object": "an object",
    "array": "an array",
    "null": "null",
}


def _sentence(error: ValidationError) -> str:
    """What is wrong, without the value: it may be a secret."""
    rule = str(error.validator)
    wanted: Any = error.validator_value
    if rule == "type":
        names = [wanted] if isinstance(wanted, str) else list(wanted)
        return "must be " + " or ".join(_TYPES.get(name, name) for name in names)
    if rule == "enum":
        shown = ", ".join(str(option) for option in wanted[:_SHOWN])
        return f"must be one of {shown}" + (", …" if len(wanted) > _SHOWN else "")
    if rule in ("anyOf", "oneOf"):
        return "must have one of the forms the schema allows: " + _forms(wanted)
    return _LIMITS[rule].format(wanted) if rule in _LIMITS else f"does not hold to {rule} of the schema"


def _forms(options: Iterable[Any]) -> str:
    names = (_TYPES.get(str(option.get("type")), "one of its values") for option in options)
    return ", ".join(dict.fromkeys(names))


_LIMITS = {
    "const": "must be {0}",
    "pattern": "must match {0}",
    "minLength": "must have at least {0} characters",
    "maxLength": "must have at most {0} characters",
    "minItems": "must have at least {0} items",
    "maxItems": "must have at most {0} items",
    "minimum": "must be at least {0}",
    "maximum": "must be at most {0}",
    "exclusiveMinimum": "must be more than {0}",
    "exclusiveMaximum": "must be less than {0}",
    "minProperties": "must have at least {0} members",
    "maxProperties": "must have at most {0} members",
    "multipleOf": "must be a multiple of {0}",
    "uniqueItems": "must have no item twice",
}
