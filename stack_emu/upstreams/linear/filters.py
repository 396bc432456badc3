"""Filters: and/or, comparators, filters of what an entity refers to, and filters of its lists."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from stack_emu.kernel.clock import iso
from stack_emu.upstreams.linear.call import Document, LinearCall
from stack_emu.upstreams.linear.errors import invalid
from stack_emu.upstreams.linear.records import COLLECTIONS, ENTITY_OF, LISTS

_REFERENCES = {
    "assignee": "users",
    "creator": "users",
    "user": "users",
    "lead": "users",
    "team": "teams",
    "state": "states",
    "project": "projects",
    "cycle": "cycles",
    "issue": "issues",
}


def matches(call: LinearCall, kind: str, document: Document, wanted: Mapping[str, Any]) -> bool:
    """Whether a document passes a filter; every part of it has to hold.

    Args:
        call: the request.
        kind: GraphQL type of the document.
        document: the document.
        wanted: the filter as the client wrote it.
    """
    return all(_holds(call, kind, document, key, part) for key, part in wanted.items() if part is not None)


def _holds(call: LinearCall, kind: str, document: Document, key: str, part: Any) -> bool:
    if key == "and":
        return all(matches(call, kind, document, one) for one in part)
    if key == "or":
        return any(matches(call, kind, document, one) for one in part)
    if (kind, key) in LISTS:
        collection = LISTS[kind, key][0]
        return _some(call, ENTITY_OF[collection], call.listed(kind, key, document), part)
    reference = _REFERENCES.get(key) or (COLLECTIONS[kind] if key == "parent" else None)
    # A project's state is text; an issue's is a workflow state.
    if reference is not None and f"{key}Id" in document:
        return _refers(call, reference, document[f"{key}Id"], part)
    if reference is not None and kind != "Project":
        return _refers(call, reference, None, part)
    return compare(call, _value(call, kind, document, key), part)


def _refers(call: LinearCall, collection: str, key: str | None, part: Mapping[str, Any]) -> bool:
    found = None if key is None else call.get(collection, key)
    rest = dict(part)
    null = rest.pop("null", None)
    if null is not None and null != (found is None):
        return False
    if found is None:
        return null is True or not rest
    return matches(call, ENTITY_OF[collection], found, rest)


def _some(call: LinearCall, kind: str, documents: list[Document], part: Mapping[str, Any]) -> bool:
    rest = dict(part)
    length, every, some = rest.pop("length", None), rest.pop("every", None), rest.pop("some", None)
    alternatives, together = rest.pop("or", None), rest.pop("and", None)
    if length is not None and not compare(call, len(documents), length):
        return False
    if every is not None and not all(matches(call, kind, one, every) for one in documents):
        return False
    if alternatives is not None and not any(_some(call, kind, documents, one) for one in alternatives):
        return False
    if together is not None and not all(_some(call, kind, documents, one) for one in together):
        return False
    return all(any(matches(call, kind, one, each) for one in documents) for each in (some, rest or None) if each)


def _value(call: LinearCall, kind: str, document: Document, key: str) -> Any:
    if kind == "User" and key == "isMe":
        return document["id"] == call.workspace()["viewerId"]
    if kind == "Issue" and key == "id":
        return (document["id"], document["identifier"])
    if kind == "Cycle" and key.startswith("is"):
        return cycle_phase(call, document) == key
    return document.get(key)


def cycle_phase(call: LinearCall, cycle: Document) -> str:
    """``isActive``, ``isFuture`` or ``isPast``."""
    now = call.instant
    if now < cycle["startsAt"]:
        return "isFuture"
    return "isActive" if now < cycle["endsAt"] else "isPast"


def compare(call: LinearCall, value: Any, comparator: Mapping[str, Any]) -> bool:
    """Whether a value passes every operator of a comparator."""
    return all(_operator(call, value, name, operand) for name, operand in comparator.items() if operand is not None)


def _operator(call: LinearCall, value: Any, name: str, operand: Any) -> bool:
    if name == "null":
        return bool((value is None) == operand)
    if name in ("and", "or"):
        return (all if name == "and" else any)(compare(call, value, one) for one in operand)
    if name.startswith("n") and name[1:] in ("eq", "in", "eqIgnoreCase"):
        return not _operator(call, value, name[1:], operand)
    if name.startswith("not"):
        return not _operator(call, value, name[3].lower() + name[4:], operand)
    if isinstance(value, tuple):
        return any(_operator(call, one, name, operand) for one in value)
    if name == "in":
        return any(_operator(call, value, "eq", one) for one in operand)
    if name == "eq":
        return bool(_same_kind(call, value, operand) == value)
    if value is None:
        return False
    if name in ("lt", "lte", "gt", "gte"):
        return _ordered(value, name, _same_kind(call, value, operand))
    return _textual(str(value), name, operand)


def _ordered(value: Any, name: str, operand: Any) -> bool:
    if name.endswith("e") and value == operand:
        return True
    return bool(value < operand if name.startswith("l") else value > operand)


def _textual(value: str, name: str, operand: str) -> bool:
    if "IgnoreCase" in name:
        name, _, accent = name.partition("IgnoreCase")
        value, operand = value.casefold(), operand.casefold()
        if accent:
            value, operand = _plain(value), _plain(operand)
    if name == "eq":
        return value == operand
    if name == "contains":
        return operand in value
    return value.startswith(operand) if name == "startsWith" else value.endswith(operand)


def _plain(text: str) -> str:
    return "".join(one for one in unicodedata.normalize("NFKD", text) if not unicodedata.combining(one))


def _same_kind(call: LinearCall, value: Any, operand: Any) -> Any:
    """A date or a duration like ``-P2W`` written as the value is; other operands as they came."""
    if not isinstance(value, str) or not isinstance(operand, str):
        return operand
    if operand.lstrip("-").startswith("P") and value[:4].isdigit():
        instant = call.context.act.stamp_ms + round(_duration(operand).total_seconds() * 1000)
        return iso(instant)[: len(value)]
    if len(value) == 24 and value.endswith("Z") and len(operand) >= 10 and operand[:4].isdigit():
        return instant_text(operand)
    return operand


def instant_text(text: str) -> str:
    """An instant as it is stored, from any ISO 8601 date or date and time.

    Raises:
        LinearError: when it is none.
    """
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise invalid(f"{text} is not a date") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    return iso(round(moment.timestamp() * 1000))


_UNITS = {"Y": 365.0, "M": 30.0, "W": 7.0, "D": 1.0, "H": 1 / 24, "m": 1 / 1440, "S": 1 / 86400}


def _duration(text: str) -> timedelta:
    sign = -1 if text.startswith("-") else 1
    days, digits, time = 0.0, "", False
    for one in text.lstrip("-")[1:]:
        if one == "T":
            time = True
        elif one.isdigit() or one == ".":
            digits += one
        elif one in _UNITS and digits:
            days += float(digits) * _UNITS["m" if time and one == "M" else one]
            digits = ""
        else:
            raise invalid(f"{text} is not a duration")
    return timedelta(days=sign * days)
