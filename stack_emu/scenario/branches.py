"""Pydantic reports every branch of a value that may have several forms; an author wants to hear of the one that was meant."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

_CONTAINERS = ("tuple_type", "list_type", "dict_type", "model_type", "model_attributes_type")
_FORM = re.compile(r"(literal|tuple|list|dict|function-\w+)\[|constrained-|str$")
"""How pydantic names the forms of a value.

They stand in locations beside keys: a key of such a name is told apart by the data having it.
"""


def apt_branches(errors: Sequence[dict[str, Any]], data: Any) -> list[dict[str, Any]]:
    """The errors of the form that was meant, with locations that have no names of forms in them.

    Args:
        errors: pydantic's errors.
        data: what was validated.
    """
    plain = [{**error, "loc": _without_forms(error["loc"], data)} for error in errors]
    several = {after["loc"] for before, after in zip(errors, plain, strict=True) if before["loc"] != after["loc"]}
    return [error for error in plain if not _within(error, several) or _is_apt(error, plain)]


def _within(error: dict[str, Any], places: set[tuple[Any, ...]]) -> bool:
    return any(tuple(error["loc"][: len(place)]) == place for place in places)


def _is_apt(error: dict[str, Any], errors: Sequence[dict[str, Any]]) -> bool:
    """Whether an error is of the form that was meant: a list for what is a list, and so on."""
    same = [other for other in errors if other["loc"] == error["loc"]]
    deeper = [other for other in errors if len(other["loc"]) > len(error["loc"]) and _begins(other, error)]
    if isinstance(error["input"], (dict, list, tuple)) and deeper:
        return False
    if error["type"] in _CONTAINERS and any(other["type"] not in _CONTAINERS for other in same):
        return False
    return error is same[0] or error["type"] not in _CONTAINERS


def _begins(inner: dict[str, Any], outer: dict[str, Any]) -> bool:
    return tuple(inner["loc"][: len(outer["loc"])]) == tuple(outer["loc"])


def _without_forms(location: tuple[Any, ...], data: Any) -> tuple[Any, ...]:
    """A location without the parts that name a form, such as `tuple[str, ...]`."""
    parts, value = [], data
    for part in location:
        known = isinstance(value, dict) and part in value
        if known or (isinstance(value, (list, tuple)) and isinstance(part, int) and part < len(value)):
            value = value[part]
        elif isinstance(part, str) and _FORM.match(part):
            continue
        else:  # a key that is missing, or the long form of one that was written in its short form
            value = None
        parts.append(part)
    return tuple(parts)
