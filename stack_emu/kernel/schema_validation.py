"""Holding JSON data to a JSON Schema that others wrote: nothing is fetched, and the time it takes is bounded.

Patterns are run by RE2. References are followed a bounded number of times for each value, because a short schema whose parts name
one another twice each stands for one of any size. Elements are compared by what they are written as, each once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any

from stack_emu.kernel import text_patterns

MAX_REFERENCES = 10_000
"""How often references are followed while one value is checked."""

MOST_ERRORS = 1000
"""How many mistakes of one value are told."""


class SchemaTooDeep(ValueError):
    """A schema that refers to itself more often than is followed."""


class SchemaCheck:
    """Checks values against one schema, each for itself.

    Args:
        schema: the schema, of the draft it names, else 2020-12.
        formats: a ``FormatChecker`` of the ``jsonschema`` package, if formats are to be held to.
        registry: a ``referencing.Registry`` of other schemas it may refer to; there are none otherwise.
    """

    def __init__(self, schema: Any, formats: Any = None, registry: Any = None) -> None:
        from jsonschema.validators import Draft202012Validator, validator_for
        from referencing import Registry

        bounded = _bounded(validator_for(schema, default=Draft202012Validator))
        self._validator = bounded(schema, registry=Registry() if registry is None else registry, format_checker=formats)

    def errors(self, value: Any) -> list[Any]:
        """What is wrong with a value: ``ValidationError`` objects of the ``jsonschema`` package, at most `MOST_ERRORS`.

        Raises:
            SchemaTooDeep: when its references lead to one another too often.
            RecursionError: when they do without end.
            ValueError: for a pattern that RE2 does not have.
            referencing.exceptions.Unresolvable: for a reference that leads out of the schema.
        """
        return self._found(value, MOST_ERRORS)

    def fits(self, value: Any) -> bool:
        """Whether nothing is wrong with a value; raises as `errors` does."""
        return not self._found(value, 1)

    def _found(self, value: Any, most: int) -> list[Any]:
        _followed.count = 0
        return list(islice(self._validator.iter_errors(value), most))


class _Followed:
    """How many references were followed for the value that is being checked; checking is never interrupted by another."""

    count = 0


_followed = _Followed()


@lru_cache
def _bounded(draft: Any) -> Any:
    """A draft of JSON Schema, of the ``jsonschema`` package, with bounds."""
    from jsonschema.validators import extend

    keywords: dict[str, Any] = {
        name: _counted(draft.VALIDATORS[name])
        for name in ("$ref", "$dynamicRef", "$recursiveRef")
        if name in draft.VALIDATORS
    }
    keywords |= {"pattern": _pattern, "patternProperties": _pattern_properties, "uniqueItems": _unique_items}
    return extend(draft, keywords)  # type: ignore[no-untyped-call]


def _counted(follow: Any) -> Any:
    def check(*arguments: Any) -> Iterator[Any]:
        _followed.count += 1
        if _followed.count > MAX_REFERENCES:
            raise SchemaTooDeep("its references lead to one another too often")
        yield from follow(*arguments) or ()

    return check


def _pattern(validator: Any, pattern: Any, instance: Any, schema: Any) -> Iterator[Any]:
    from jsonschema.exceptions import ValidationError

    if validator.is_type(instance, "string") and not text_patterns.found(pattern, instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _pattern_properties(validator: Any, patterns: Any, instance: Any, schema: Any) -> Iterator[Any]:
    if not isinstance(instance, Mapping):
        return
    for pattern, inner in patterns.items():
        for name, value in instance.items():
            if text_patterns.found(pattern, name):
                yield from validator.descend(value, inner, path=name, schema_path=pattern)


def _unique_items(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[Any]:
    from jsonschema.exceptions import ValidationError

    if wanted and validator.is_type(instance, "array"):
        written = {json.dumps(_comparable(one), sort_keys=True) for one in instance}
        if len(written) < len(instance):
            yield ValidationError(f"{instance!r} has non-unique elements")


def _comparable(value: Any) -> Any:
    """A value with numbers that are equal spelled equally: 1.0 as 1."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {name: _comparable(one) for name, one in value.items()}
    return [_comparable(one) for one in value] if isinstance(value, (list, tuple)) else value


def pattern_problem(schema: Any) -> str | None:
    """What is wrong with the first pattern of a schema that cannot be run; None when all can.

    A value that only looks like a pattern, in an example, counts as one.
    """
    left = [schema]
    while left:
        part = left.pop()
        if isinstance(part, Mapping):
            named = part.get("patternProperties")
            patterns = [part.get("pattern"), *(named if isinstance(named, Mapping) else ())]
            for pattern in patterns:
                if isinstance(pattern, str) and (told := text_patterns.problem(pattern)) is not None:
                    return told
            left += part.values()
        elif isinstance(part, (list, tuple)):
            left += part
    return None
