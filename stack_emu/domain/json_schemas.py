"""JSON Schemas of skills: checked when they come in, checked against, and whether one skill's output can feed another.

A schema is read as the draft its ``$schema`` names, else as draft 2020-12. References may lead to places in the same schema
only: nothing is ever fetched.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from stack_emu.domain import faults
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.schema_validation import SchemaCheck, SchemaTooDeep, pattern_problem

SHOWN = 10
"""Most problems a refusal lists."""


def schema_problem(schema: Mapping[str, Any]) -> str | None:
    """Why something is no JSON Schema that can be used here; None when it is one."""
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import Draft202012Validator, validator_for

    remote = next(_remote_references(schema), None)
    if remote is not None:
        return f"$ref {remote} leads elsewhere; only references within the schema, such as #/$defs/item, are followed"
    if not isinstance(schema.get("$schema", ""), str):
        return "$schema: it names a draft, as text"
    try:
        validator_for(schema, default=Draft202012Validator).check_schema(dict(schema))
    except SchemaError as error:
        where = "/".join(str(part) for part in error.absolute_path) or "the schema"
        return f"{where}: {error.message}"
    except RecursionError:
        return "it is nested too deeply"
    except (
        ValueError,
        TypeError,
        AttributeError,
        LookupError,
    ) as error:  # keywords of a form the library did not expect
        return f"it cannot be read ({error})"
    return pattern_problem(schema)


def check_schema(field: str, schema: Mapping[str, Any] | None) -> None:
    """Refuse what is no JSON Schema.

    Raises:
        Fault: INVALID_REQUEST naming the field.
    """
    problem = schema_problem(schema) if schema is not None else None
    if problem is not None:
        refuse_field(field, f"this is no JSON Schema that can be used: {problem}")


def refuse_field(field: str, problem: str) -> NoReturn:
    """Refuse a field of the command.

    Raises:
        Fault: INVALID_REQUEST, always.
    """
    raise Fault(faults.INVALID_REQUEST, problem=f"{field}: {problem}", details={"fields": {field: problem}})


def mismatches(schema: Mapping[str, Any], value: Any) -> dict[str, str]:
    """What is wrong with a value: path → problem, the path ``$`` being the whole; empty when it fits."""
    from referencing.exceptions import Unresolvable

    try:
        errors = sorted(SchemaCheck(schema).errors(value), key=lambda error: error.json_path)
    except Unresolvable as missing:
        return {"$": f"the schema refers to {missing.ref}, which it does not have"}
    except (RecursionError, SchemaTooDeep):
        return {"$": "the schema refers to itself without end, or more often than is followed"}
    except (ValueError, TypeError, AttributeError, LookupError):  # keywords of a form the library did not expect
        return {"$": "the schema has a part that cannot be followed"}
    found: dict[str, str] = {}
    for error in errors:
        found.setdefault(error.json_path, _sentence(error.validator, error.validator_value, error.message))
    return dict(list(found.items())[:SHOWN])


def _sentence(keyword: Any, wanted: Any, message: str) -> str:
    """What a value must be, without the value itself: refusals go into audit rows, inputs do not."""
    if keyword in ("required", "dependentRequired"):
        return message
    shown = json.dumps(wanted, ensure_ascii=False)
    shown = shown if len(shown) <= 120 else shown[:117] + "..."
    return f"must be of type {shown}" if keyword == "type" else f"must fit {keyword}: {shown}"


def check_value(what: str, schema: Mapping[str, Any], value: Any) -> None:
    """Refuse a value that does not fit.

    Args:
        what: ``input`` or ``output``.
        schema: the skill's schema for it.
        value: what was sent.

    Raises:
        Fault: SCHEMA_VALIDATION_FAILED with ``details.fields`` = {JSON path: problem}.
    """
    found = mismatches(schema, value)
    if found:
        problems = "; ".join(f"{path}: {problem}" for path, problem in found.items())
        details = {"fields": found, "schema": f"{what}_schema"}
        raise Fault(
            faults.SCHEMA_VALIDATION_FAILED,
            what=f"The {what}",
            schema=f"the skill's {what}_schema",
            problems=problems,
            details=details,
        )


def feeds(produced: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether objects of one schema hold what another asks for: every required property, of a type that fits.

    A schema that requires nothing is fed by what shares a property with it, and by anything when it names none.
    """
    has, takes = _properties(produced), _properties(wanted)
    required = wanted.get("required") or ()
    if not all(name in has and _fits(has[name], takes.get(name, {})) for name in required):
        return False
    if required or not takes:
        return True
    return any(name in has and _fits(has[name], part) for name, part in takes.items())


def _properties(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    properties = schema.get("properties")
    return properties if isinstance(properties, Mapping) else {}


def _fits(produced: Any, wanted: Any) -> bool:
    ours, theirs = _types(produced), _types(wanted)
    return not ours or not theirs or ours <= theirs


def _types(schema: Any) -> frozenset[str]:
    """The JSON types a schema allows; empty when it does not say. A number may be an integer."""
    declared = schema.get("type") if isinstance(schema, Mapping) else None
    names = {declared} if isinstance(declared, str) else set(declared or ())
    return frozenset(names | {"integer"} if "number" in names else names)


def _remote_references(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        for name in ("$ref", "$dynamicRef", "$recursiveRef"):
            target = schema.get(name)
            if isinstance(target, str) and not target.startswith("#"):
                yield target
        for part in schema.values():
            yield from _remote_references(part)
    elif isinstance(schema, (list, tuple)):
        for part in schema:
            yield from _remote_references(part)
