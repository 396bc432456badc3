"""Holding JSON data to a JSON Schema that others wrote: nothing is fetched, and the time it takes is bounded.

Patterns are run by RE2. References are followed a bounded number of times, because a short schema whose parts name one another
twice each stands for one of any size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stack_emu.kernel import text_patterns

MAX_REFERENCES = 10_000
"""How often references are followed while one value is checked."""


class SchemaTooDeep(ValueError):
    """A schema that refers to itself more often than is followed."""


def validator(schema: Any, value_checks: Any = None) -> Any:
    """A validator of the ``jsonschema`` package for a schema, of the draft it names, else draft 2020-12.

    Its ``iter_errors`` raises :class:`SchemaTooDeep`, ``ValueError`` for patterns RE2 does not have, and
    ``referencing.exceptions.Unresolvable`` for references that lead out of the schema.

    Args:
        schema: the schema.
        value_checks: a ``FormatChecker``, if formats are to be held to.
    """
    from jsonschema.validators import Draft202012Validator, extend, validator_for
    from referencing import Registry

    draft = validator_for(schema, default=Draft202012Validator)
    followed = 0

    def counted(keyword: str) -> Any:
        follow = draft.VALIDATORS[keyword]

        def check(*arguments: Any) -> Iterator[Any]:
            nonlocal followed
            followed += 1
            if followed > MAX_REFERENCES:
                raise SchemaTooDeep("its references lead to one another too often")
            yield from follow(*arguments) or ()

        return check

    references = [name for name in ("$ref", "$dynamicRef", "$recursiveRef") if name in draft.VALIDATORS]
    keywords = {name: counted(name) for name in references}
    bounded = extend(  # type: ignore[no-untyped-call]
        draft, {**keywords, "pattern": _pattern, "patternProperties": _pattern_properties}
    )
    return bounded(schema, registry=Registry(), format_checker=value_checks)


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


def pattern_problem(schema: Any) -> str | None:
    """What is wrong with the first pattern of a schema that cannot be run; None when all can.

    A value that only looks like a pattern, in an example, counts as one.
    """
    left = [schema]
    while left:
        part = left.pop()
        if isinstance(part, Mapping):
            patterns = [part.get("pattern"), *(part.get("patternProperties") or {})]
            for pattern in patterns:
                if isinstance(pattern, str) and (told := text_patterns.problem(pattern)) is not None:
                    return told
            left += part.values()
        elif isinstance(part, (list, tuple)):
            left += part
    return None
