"""Writes the key tables of docs/scenario-format.md from the models of the format.

    python docs/scenario_tables.py

Between ``<!-- keys Name -->`` and ``<!-- end -->`` stands the table of the model of that name.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pydantic_core import PydanticUndefined

from stack_emu.kernel.matchers import WORDS
from stack_emu.scenario.models import Scenario
from stack_emu.scenario.schema import json_schema
from stack_emu.scenario.values import (
    DURATION_PATTERN,
    INSTANT_PATTERN,
    OFFSET_PATTERN,
    SINCE_START_PATTERN,
    Model,
    format_duration,
)

PAGE = Path(__file__).with_name("scenario-format.md")
_BLOCK = re.compile(r"<!-- keys (\w+) -->\n.*?<!-- end -->", re.DOTALL)
_MATCHERS = re.compile(r"<!-- matchers -->\n.*?<!-- end -->", re.DOTALL)
_TIMES = {
    DURATION_PATTERN: "[duration](#times)",
    OFFSET_PATTERN: "[offset](#times)",
    SINCE_START_PATTERN: "[duration or offset](#times)",
    INSTANT_PATTERN: "[instant](#times)",
}
_SPECIAL = {("Service", "credential"): "`canary`, text or [credential](#credential)", ("Credential", "text"): "text"}


def filled(page: str) -> str:
    """The page with its tables as the models say."""
    page = _BLOCK.sub(lambda found: f"<!-- keys {found[1]} -->\n{table(found[1])}\n<!-- end -->", page)
    return _MATCHERS.sub(f"<!-- matchers -->\n{_matchers()}\n<!-- end -->", page)


def _matchers() -> str:
    return "\n".join(
        ["| word | asks for |", "|---|---|", *(f"| `{word}` | {meaning} |" for word, meaning in WORDS.items())]
    )


def tables() -> list[str]:
    """Names of every model of the format."""
    return ["Scenario", *json_schema()["$defs"]]


def table(name: str) -> str:
    """The table of one model."""
    schema = json_schema()
    model = next(found for found in (Scenario, *_models(Model)) if found.__name__ == name)
    lines = ["| key | type | default | meaning |", "|---|---|---|---|"]
    properties = _properties(schema, name)
    for key, described in properties.items():
        kind = _SPECIAL.get((name, key)) or _kind(described)
        meaning = described["description"].replace("|", "\\|").replace("{{", "`{{`")
        lines.append(f"| `{key}` | {kind} | {_default(model, key, described)} | {meaning} |")
    return "\n".join(lines)


def _models(base: type[Model]) -> list[type[Model]]:
    return [found for model in base.__subclasses__() for found in (model, *_models(model))]


def _properties(schema: dict[str, Any], name: str) -> dict[str, Any]:
    definition = schema if name == "Scenario" else schema["$defs"][name]
    for option in definition.get("anyOf", []):
        definition = option if "properties" in option else definition
    found: dict[str, Any] = definition["properties"]
    return found


def anchor(name: str) -> str:
    """A model's heading as link target: ``OperatorKey`` is ``operator-key``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()


def _kind(described: dict[str, Any]) -> str:
    if "$ref" in described:
        name = described["$ref"].rpartition("/")[2]
        return f"[{anchor(name).replace('-', ' ')}](#{anchor(name)})"
    if "anyOf" in described:
        options = [_kind(option) for option in described["anyOf"] if option.get("type") != "null"]
        return " or ".join(dict.fromkeys(options))
    if "const" in described or "enum" in described:
        return ", ".join(f"`{value}`" for value in described.get("enum", [described.get("const")]))
    if described.get("pattern") in _TIMES:
        return _TIMES[described["pattern"]]
    return _plain_kind(described)


def _plain_kind(described: dict[str, Any]) -> str:
    kind = described.get("type")
    if kind == "array":
        if "prefixItems" in described:
            return f"list of {len(described['prefixItems'])}: {_kind(described['prefixItems'][0])}"
        return f"list of {_kind(described['items'])}"
    if kind == "object":
        values = described.get("patternProperties") or {}
        inner = next(iter(values.values()), described.get("additionalProperties"))
        of = _kind(inner) if isinstance(inner, dict) and inner else "any value"
        return f"map of name to {of}"
    if isinstance(kind, list):
        return " or ".join(_kind({"type": one}) for one in kind)
    return {
        "string": "text",
        "integer": "integer",
        "boolean": "true or false",
        "number": "number",
        "null": "null",
        None: "any value",
    }[kind]


def _default(model: type[Model], key: str, described: dict[str, Any]) -> str:
    field = next((one for name, one in model.model_fields.items() if key in (name, one.alias)), None)
    if field is None:
        return "–"
    if field.default is PydanticUndefined and field.default_factory is None:
        return "required"
    value = field.default
    if _kind(described) in (_TIMES[DURATION_PATTERN], _TIMES[SINCE_START_PATTERN]) and isinstance(value, int):
        return f"`{format_duration(value)}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`" if isinstance(value, (str, int)) else "–"


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
