"""Rich text, schemas of properties and their values: read as clients send them, kept as Notion shows them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

_LONGEST_TEXT, _MOST_ITEMS = 2000, 100
_COLORS = ("default", "gray", "brown", "orange", "yellow", "green", "blue", "purple", "pink", "red")
_DATE = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?")
_PLAIN = {
    "bold": False,
    "italic": False,
    "strikethrough": False,
    "underline": False,
    "code": False,
    "color": "default",
}
_STATUSES = ("Not started", "In progress", "Done")

COMPUTED = ("created_time", "last_edited_time", "created_by", "last_edited_by")
"""Types whose values Notion makes itself."""

TYPES = (
    "title", "rich_text", "number", "select", "multi_select", "status", "date", "people", "files", "checkbox", "url",
    "email", "phone_number", "relation", *COMPUTED,
)  # fmt: skip
"""Types of properties that are served."""


def uuid_of(raw: bytes) -> str:
    """16 derived bytes as a version 4 UUID."""
    digits = raw[:16].hex()
    variant = "89ab"[int(digits[16], 16) % 4]
    return dashed(f"{digits[:12]}4{digits[13:16]}{variant}{digits[17:]}")


def dashed(digits: str) -> str:
    """32 hexadecimal digits in the form of a UUID."""
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:32]))


class Invalid(ValueError):
    """Something a client sent, or a seed says, that Notion would refuse as ``validation_error``."""


def rich_text(place: str, value: Any) -> list[dict[str, Any]]:
    """Rich text as Notion shows it, from the items a client sends."""
    if not isinstance(value, list):
        raise Invalid(f"{place} should be an array of rich text.")
    if len(value) > _MOST_ITEMS:
        raise Invalid(f"{place}.length should be ≤ `{_MOST_ITEMS}`, instead was `{len(value)}`.")
    return [_text_item(f"{place}[{number}]", item) for number, item in enumerate(value)]


def _text_item(place: str, item: Any) -> dict[str, Any]:
    kind = (
        item.get("type", next((one for one in ("text", "mention", "equation") if one in item), None))
        if isinstance(item, dict)
        else None
    )
    if kind is None or not isinstance(item.get(kind), dict):
        raise Invalid(f"{place} should hold text, mention or equation.")
    shown = {**_PLAIN, **(item.get("annotations") or {})}
    if kind != "text":
        plain = item.get("plain_text") or str(item[kind].get("expression", "Untitled"))
        return {"type": kind, kind: item[kind], "annotations": shown, "plain_text": plain, "href": None}
    content, link = item["text"].get("content"), item["text"].get("link")
    if not isinstance(content, str):
        raise Invalid(f"{place}.text.content should be a string.")
    if len(content) > _LONGEST_TEXT:
        raise Invalid(f"{place}.text.content.length should be ≤ `{_LONGEST_TEXT}`, instead was `{len(content)}`.")
    href = link.get("url") if isinstance(link, dict) else None
    text = {"content": content, "link": link}
    return {"type": "text", "text": text, "annotations": shown, "plain_text": content, "href": href}


def plain(items: Sequence[Mapping[str, Any]]) -> str:
    """The characters of rich text."""
    return "".join(item["plain_text"] for item in items)


def text(content: str) -> list[dict[str, Any]]:
    """Rich text of plain characters."""
    return rich_text("text", [{"text": {"content": content}}]) if content else []


# --- schemas ----------------------------------------------------------------------------------------------------------


def option(owner: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    """An option of a select, with an id and a color that follow from its name."""
    name = asked.get("name")
    if not isinstance(name, str) or not name or "," in name:
        raise Invalid(f"{owner}: an option's name should be a text without commas, instead was {name!r}.")
    digest = sha256(f"{owner}/{name}".encode()).hexdigest()
    color = asked.get("color") or _COLORS[int(digest[:4], 16) % len(_COLORS)]
    if color not in _COLORS:
        raise Invalid(f"{owner}: an option's color should be one of {', '.join(_COLORS)}, instead was {color!r}.")
    return {"id": asked.get("id") or digest[:8], "name": name, "color": color, "description": None}


def property_schema(place: str, name: str, asked: Any) -> dict[str, Any]:
    """One property of a schema, as Notion shows it."""
    kinds = [kind for kind in TYPES if isinstance(asked, dict) and kind in asked]
    if len(kinds) != 1:
        known = ", ".join(TYPES)
        raise Invalid(f"{place}.{name} should hold exactly one of {known}.")
    kind = kinds[0]
    config = dict(asked[kind] or {})
    if kind in ("select", "multi_select", "status"):
        given = config.get("options") or ([{"name": one} for one in _STATUSES] if kind == "status" else [])
        config = {**config, "options": [option(name, one) for one in given]}
    elif kind == "number":
        config = {"format": config.get("format", "number")}
    elif kind == "relation" and not (config.get("data_source_id") or config.get("database_id")):
        raise Invalid(f"{place}.{name}.relation.data_source_id should be defined.")
    key = "title" if kind == "title" else sha256(name.encode()).hexdigest()[:4]
    return {"id": key, "name": name, "description": None, "type": kind, kind: config}


def schema(place: str, asked: Any) -> dict[str, Any]:
    """A whole schema; it needs exactly one title."""
    if not isinstance(asked, dict):
        raise Invalid(f"{place} should be an object.")
    made = {name: property_schema(place, name, one) for name, one in asked.items()}
    if [one["type"] for one in made.values()].count("title") != 1:
        raise Invalid(f"{place} should have exactly one property of type title.")
    return made


def changed_schema(old: Mapping[str, Any], asked: Any) -> dict[str, Any]:
    """A schema after a change: null removes a property, ``name`` renames it, a type replaces or adds it."""
    made = dict(old)
    for given, one in (asked or {}).items():
        name = find_property(made, given)
        if one is None:
            if name is None or made[name]["type"] == "title":
                raise Invalid(f"{given} is not a property that can be removed.")
            del made[name]
            continue
        if name is not None and isinstance(one, dict) and "name" in one:
            made = {(one["name"] if key == name else key): value for key, value in made.items()}
            made[one["name"]] = {**made[one["name"]], "name": one["name"]}
            name = one["name"]
        if name is None or set(one) - {"name", "type"}:
            fresh = property_schema("body.properties", name or given, one)
            made[name or given] = {**fresh, "id": made[name]["id"]} if name else fresh
    if [one["type"] for one in made.values()].count("title") != 1:
        raise Invalid("body.properties should leave exactly one property of type title.")
    return made


def find_property(known: Mapping[str, Any], given: str) -> str | None:
    """The name of a property that is given by name or by id."""
    if given in known:
        return given
    return next((name for name, one in known.items() if one["id"] == given), None)


# --- values -----------------------------------------------------------------------------------------------------------


def property_value(place: str, known: Mapping[str, Any], value: Any) -> Any:
    """A property's value as Notion keeps it; options need not exist yet, except those of a status.

    Args:
        place: where it was said, for messages.
        known: the property's schema.
        value: what stands under the property's type.
    """
    kind = known["type"]
    if kind in COMPUTED:
        raise Invalid(f"{place} is of type {kind}, which Notion sets itself.")
    if kind in ("title", "rich_text"):
        return rich_text(f"{place}.{kind}", value)
    if kind in ("select", "status"):
        return None if value is None else _chosen(place, known, value)
    if kind == "multi_select":
        return [_chosen(place, known, one) for one in _array(place, kind, value)]
    if kind == "date":
        return None if value is None else _date(place, value)
    if kind in ("people", "relation"):
        for one in _array(place, kind, value):
            if not isinstance(one, dict) or not isinstance(one.get("id"), str):
                raise Invalid(f"{place}.{kind} should be an array of objects with an id.")
        return [{"id": one["id"]} for one in value]
    return _array(place, kind, value) if kind == "files" else _scalar(place, kind, value)


def _scalar(place: str, kind: str, value: Any) -> Any:
    if kind == "checkbox":
        fits = isinstance(value, bool)
    elif kind == "number":
        fits = value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))
    else:
        fits = value is None or isinstance(value, str)
    if not fits:
        expected = {"checkbox": "a boolean", "number": "a number or `null`"}.get(kind, "a string or `null`")
        raise Invalid(f"{place}.{kind} should be {expected}, instead was `{value!r}`.")
    return value


def _array(place: str, kind: str, value: Any) -> list[Any]:
    if not isinstance(value, list) or len(value) > _MOST_ITEMS:
        raise Invalid(f"{place}.{kind} should be an array of up to {_MOST_ITEMS} items.")
    return value


def _chosen(place: str, known: Mapping[str, Any], value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not ({"name", "id"} & set(value)):
        raise Invalid(f"{place}.{known['type']} should hold an option's name or id.")
    options = known[known["type"]]["options"]
    found = next((one for one in options if one["id"] == value.get("id") or one["name"] == value.get("name")), None)
    if found is None and (known["type"] == "status" or "name" not in value):
        names = ", ".join(one["name"] for one in options)
        raise Invalid(f"{place}: there is no such option; {known['name']} has: {names}.")
    made = found or option(known["name"], {"name": value["name"]})
    return {name: made[name] for name in ("id", "name", "color")}


def _date(place: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not isinstance(value.get("start"), str):
        raise Invalid(f"{place}.date.start should be a date.")
    for name in ("start", "end"):
        if value.get(name) is not None and not _DATE.fullmatch(str(value[name])):
            raise Invalid(f"{place}.date.{name} should be a valid ISO 8601 date string, instead was `{value[name]}`.")
    return {"start": value["start"], "end": value.get("end"), "time_zone": value.get("time_zone")}


EMPTY: Mapping[str, Any] = {
    "title": [],
    "rich_text": [],
    "multi_select": [],
    "people": [],
    "files": [],
    "relation": [],
    "checkbox": False,
}
"""Values of properties nobody set; None where no other is named."""


def values(known: Mapping[str, Any], asked: Any) -> dict[str, Any]:
    """Values by the property's name, from what a client sends by name or id."""
    if not isinstance(asked, dict):
        raise Invalid("body.properties should be an object.")
    made: dict[str, Any] = {}
    for given, one in asked.items():
        name = find_property(known, given)
        if name is None:
            raise Invalid(f"{given} is not a property that exists; there are: {', '.join(known)}.")
        kind = known[name]["type"]
        value = one.get(kind, ...) if isinstance(one, dict) else one if kind in ("title", "rich_text") else ...
        if value is ... and kind not in COMPUTED:
            raise Invalid(f"{name} is expected to be {kind}.")
        made[name] = property_value(f"body.properties.{name}", known[name], value)
    return made


def with_options(known: Mapping[str, Any], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """A schema with the options that values brought; those come after the others by name, whoever came first."""
    made = dict(known)
    for name, value in chosen.items():
        kind = known[name]["type"]
        if kind not in ("select", "multi_select") or not value:
            continue
        options = known[name][kind]["options"]
        ids = {one["id"] for one in options}
        picked = value if kind == "multi_select" else [value]
        fresh = [{**one, "description": None, "_added": True} for one in picked if one["id"] not in ids]
        if fresh:
            first = [one for one in options if not one.get("_added")]
            rest = sorted([one for one in options if one.get("_added")] + fresh, key=lambda one: str(one["name"]))
            made[name] = {**known[name], kind: {**known[name][kind], "options": first + rest}}
    return made
