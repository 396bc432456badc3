"""Structured output: whether what a script says is the JSON a request asks for in `output_config.format`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from stack_emu.model_script.matching import Unscripted, quote


def output_check(schema: Mapping[str, Any] | None) -> Callable[[str, str], None] | None:
    """What refuses text that is not JSON of the schema; None where any text will do.

    Args:
        schema: the JSON Schema of `output_config.format`, if there is one.
    """
    if schema is None:
        return None

    def check(text: str, where: str) -> None:
        problem = _problem(schema, text)
        if problem:
            raise Unscripted(
                f"{where} says {quote(text)}, and the request asks for JSON of a schema (output_config.format): {problem}. "
                "Write the turn with json: and what the schema wants, or match the request with when: {output: …}."
            )

    return check


def properties_of(schema: Mapping[str, Any] | None) -> tuple[str, ...] | None:
    """Names of the properties a schema has; None where there is no schema."""
    if schema is None:
        return None
    properties = schema.get("properties")
    return tuple(properties) if isinstance(properties, Mapping) else ()


def _problem(schema: Mapping[str, Any], text: str) -> str | None:
    try:
        value = json.loads(text)
    except ValueError:
        return "this is not JSON"
    from jsonschema.exceptions import best_match
    from referencing.exceptions import Unresolvable

    from stack_emu.kernel.schema_validation import SchemaCheck

    try:
        found = best_match(iter(SchemaCheck(schema).errors(value)))
    except (ValueError, RecursionError, Unresolvable) as error:
        return f"the schema cannot be followed ({error})"
    if found is None:
        return None
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in found.absolute_path)
    return f"at {place.lstrip('.')}, {found.message}" if place else str(found.message)
