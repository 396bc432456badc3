"""What a request demands of a reply (which tools, how many calls, which JSON) held against what the script says.

The real API never breaks these demands, so a script that does is the test's mistake and is reported as one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stack_emu.model_script.matching import Unscripted, quote
from stack_emu.model_script.script import PlannedTurn
from stack_emu.surfaces.openai_errors import invalid

CHOICES = ("auto", "none", "required")


@dataclass(frozen=True)
class Choice:
    """Which calls a request allows and demands.

    Args:
        mode: `auto`, `none` or `required`.
        tools: the only tools that may be called, by name; None for any.
        parallel: whether one turn may make several calls of the client's functions.
    """

    mode: str = "auto"
    tools: frozenset[str] | None = None
    parallel: bool = True

    def check(self, plan: Sequence[PlannedTurn]) -> None:
        """Hold the first planned turn against the request.

        Raises:
            Unscripted: when the real model could not have answered so.
        """
        first = plan[0]
        names = [route.name for _, route in first.calls]
        if self.mode == "none" and names:
            raise Unscripted(f"{first.where} calls {names[0]}, and the request's tool_choice allows no call.")
        if self.mode == "required" and not names:
            raise Unscripted(f"{first.where} calls nothing, and the request's tool_choice demands a call.")
        for name in names:
            if self.tools is not None and name not in self.tools:
                allowed = ", ".join(sorted(self.tools))
                raise Unscripted(f"{first.where} calls {name}, and the request's tool_choice allows only {allowed}.")
        for planned in plan:
            functions = [route.name for _, route in planned.calls if route.server is None]
            if not self.parallel and len(functions) > 1:
                raise Unscripted(
                    f"{planned.where} calls {', '.join(functions)} at once, and the request has parallel_tool_calls: false."
                )


def read_choice(value: Any, offered: Collection[str], parallel: Any, name_of: Callable[[Any], str | None]) -> Choice:
    """Read `tool_choice` and `parallel_tool_calls`.

    Args:
        value: the request's `tool_choice`.
        offered: names and labels of the request's tools.
        parallel: the request's `parallel_tool_calls`.
        name_of: the name of the one tool that a `tool_choice` object, or an entry of `allowed_tools`, stands for.

    Raises:
        OpenAiError: 400 when either cannot be read.
    """
    if parallel not in (None, True, False):
        raise invalid("parallel_tool_calls", "must be true or false.", "invalid_type")
    many = parallel is not False
    if value is None:
        return Choice(parallel=many)
    if value in CHOICES:
        if value == "required" and not offered:
            raise invalid("tool_choice", "a call is required, and the request has no tools.")
        return Choice(str(value), None, many)
    if isinstance(value, Mapping) and value.get("type") == "allowed_tools":
        allowed = value.get("allowed_tools", value)
        entries, mode = allowed.get("tools"), allowed.get("mode")
        if mode not in ("auto", "required") or not isinstance(entries, list):
            raise invalid("tool_choice.allowed_tools", "must have mode (auto or required) and tools.")
        names = [name_of(entry) for entry in entries]
        return Choice(mode, frozenset(_among(name, offered) for name in names), many)
    if isinstance(value, Mapping):
        return Choice("required", frozenset([_among(name_of(value), offered)]), many)
    raise invalid("tool_choice", f"must be one of {', '.join(CHOICES)}, or an object that names a tool.")


def _among(name: str | None, offered: Collection[str]) -> str:
    if name is None or name not in offered:
        raise invalid("tool_choice", f"{name!r} is not among the request's tools.")
    return name


@dataclass(frozen=True)
class JsonWanted:
    """A form a reply's text must have.

    Args:
        schema: the JSON Schema, or None for any JSON object.
        name: what the request calls it.
    """

    schema: Mapping[str, Any] | None
    name: str = field(default="json_object")

    def check(self, text: str, where: str) -> None:
        """Hold what a script says against the form.

        Raises:
            Unscripted: when the text is not JSON of that form.
        """
        from jsonschema.exceptions import best_match
        from referencing.exceptions import Unresolvable

        from stack_emu.kernel.schema_validation import SchemaCheck

        try:
            value = json.loads(text)
        except ValueError:
            raise Unscripted(
                f"{where} says {quote(text)}, which is not JSON; the request asks for JSON ({self.name})."
            ) from None
        if self.schema is None:
            return
        try:
            found = best_match(iter(SchemaCheck(self.schema).errors(value)))
        except (ValueError, RecursionError, Unresolvable) as error:
            why = f"the schema cannot be followed ({error})"
        else:
            if found is None:
                return
            why = found.message
        raise Unscripted(f"{where} says JSON that the request's schema {self.name} does not allow: {why}.")


def read_format(value: Any, path: str) -> JsonWanted | None:
    """Read a `response_format` (chat completions) or `text.format` (Responses).

    Args:
        value: the object; None when left out.
        path: where it stands.

    Raises:
        OpenAiError: 400 when it cannot be read.
    """
    kind = value.get("type") if isinstance(value, Mapping) else None
    if value is None or kind == "text":
        return None
    if kind == "json_object":
        return JsonWanted(None)
    if kind != "json_schema":
        raise invalid(f"{path}.type", "must be text, json_object or json_schema.")
    about = value.get("json_schema", value)
    if not isinstance(about, Mapping) or not isinstance(about.get("name"), str):
        raise invalid(f"{path}.name", "must be the name of the schema.", "missing_required_parameter")
    schema = about.get("schema", {})
    if not isinstance(schema, Mapping):
        raise invalid(f"{path}.schema", "must be a JSON Schema.", "invalid_type")
    _check_schema(schema, f"{path}.schema")
    return JsonWanted(schema, about["name"])


def _check_schema(schema: Mapping[str, Any], path: str) -> None:
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for

    try:
        validator_for(schema).check_schema(dict(schema))
    except (SchemaError, TypeError) as error:
        why = error.message if isinstance(error, SchemaError) else str(error)
        raise invalid(path, f"is no JSON Schema: {why}.", "invalid_json_schema") from None


def read_bool(body: Mapping[str, Any], name: str, default: bool = False) -> bool:
    """A field that is true or false; null is the default.

    Raises:
        OpenAiError: 400 when it is something else.
    """
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise invalid(name, "must be true or false.", "invalid_type")
    return value


def read_object(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A field that is an object; null is an empty one.

    Raises:
        OpenAiError: 400 when it is something else.
    """
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise invalid(name, "must be an object.", "invalid_type")
    return value


def check_limit(body: Mapping[str, Any], *names: str) -> None:
    """Check fields that limit the tokens of a reply.

    Raises:
        OpenAiError: 400 when one is no whole number of at least 1.
    """
    for name in names:
        value = body.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise invalid(name, "must be a whole number of at least 1.", "integer_below_min_value")
