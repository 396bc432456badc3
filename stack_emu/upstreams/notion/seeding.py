"""What a scenario may start a Notion workspace with."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

from stack_emu.kernel.world import World
from stack_emu.upstreams.documents import Collection
from stack_emu.upstreams.notion.values import COMPUTED, Invalid, property_value, schema, text, uuid_of, with_options
from stack_emu.upstreams.rest_pack import check_keys

SEED_KEYS = {
    "workspace": "its name",
    "users": "each {id, name, email}",
    "pages": "each {id, title, text}: pages of the workspace, text is a list of paragraphs",
    "databases": "each {id, data_source, title, properties, rows}: a property is a type or {type: options}, a row is "
    "property to plain value, and id",
}
_SIMPLE = (
    "title",
    "rich_text",
    "number",
    "select",
    "multi_select",
    "status",
    "date",
    "checkbox",
    "url",
    "email",
    "phone_number",
)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def derived(place: str) -> str:
    """The id of something that was given none: the same on every run."""
    return uuid_of(sha256(f"notion {place}".encode()).digest())


def _each(place: str, items: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(items, list):
        raise ValueError(f"{place} is not a list.")
    yield from ((f"{place}[{number}]", item) for number, item in enumerate(items))


def _check(place: str, item: Any, keys: tuple[str, ...], needed: str, taken: dict[str, str]) -> None:
    check_keys(place, item, keys)
    if not isinstance(item.get(needed), str):
        raise ValueError(f"{place} has no {needed}; write {needed}: Something.")
    for name in ("id", "data_source"):
        if name in item:
            _check_id(f"{place}.{name}", item[name], taken)


def _check_id(place: str, key: Any, taken: dict[str, str]) -> None:
    if not isinstance(key, str) or not _UUID.fullmatch(key):
        raise ValueError(f"{place} is {key!r}; write a UUID such as {derived(place)}, or leave it out.")
    if key in taken:
        raise ValueError(f"{place} is {key!r}, which is {taken[key]} already.")
    taken[key] = place


def check_seed(seed: Mapping[str, Any]) -> None:
    """Refuse a seed that cannot work.

    Raises:
        ValueError: one sentence that begins with the place.
    """
    check_keys("seed", seed, list(SEED_KEYS))
    taken: dict[str, str] = {}
    if not isinstance(seed.get("workspace", ""), str):
        raise ValueError(f"seed.workspace is {seed['workspace']!r}; write a text.")
    for place, user in _each("seed.users", seed.get("users", [])):
        _check(place, user, ("id", "name", "email"), "name", taken)
    for place, page in _each("seed.pages", seed.get("pages", [])):
        _check(place, page, ("id", "title", "text"), "title", taken)
        for inner, line in _each(f"{place}.text", page.get("text", [])):
            if not isinstance(line, str):
                raise ValueError(f"{inner} is {line!r}; write a text.")
    for place, database in _each("seed.databases", seed.get("databases", [])):
        _check(place, database, ("id", "data_source", "title", "properties", "rows"), "title", taken)
        known = _schema(f"{place}.properties", database.get("properties", {"Name": "title"}))
        for inner, row in _each(f"{place}.rows", database.get("rows", [])):
            check_keys(inner, row, ["id", *known])
            if "id" in row:
                _check_id(f"{inner}.id", row["id"], taken)
            _row(inner, known, row)


def _schema(place: str, asked: Any) -> dict[str, Any]:
    check_keys(place, asked, list(asked) if isinstance(asked, Mapping) else [])
    full: dict[str, Any] = {}
    for name, one in asked.items():
        kind, options = (
            (one, [])
            if isinstance(one, str)
            else next(iter(one.items()), ("", []))
            if isinstance(one, Mapping)
            else ("", [])
        )
        if kind not in (*_SIMPLE, *COMPUTED) or not isinstance(options, list):
            raise ValueError(f"{place}.{name} is {one!r}; write one of {', '.join(_SIMPLE)}, or {{select: [a, b]}}.")
        full[name] = {kind: {"options": [{"name": option} for option in options]} if options else {}}
    try:
        return schema(place, full)
    except Invalid as problem:
        raise ValueError(f"{place}: {problem}") from None


def _row(place: str, known: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    made = {}
    for name, value in row.items():
        if name == "id":
            continue
        kind = known[name]["type"]
        full: Any = value
        if kind in ("title", "rich_text"):
            full = text(value) if isinstance(value, str) else value
        elif kind in ("select", "status"):
            full = {"name": value}
        elif kind == "multi_select":
            full = [{"name": one} for one in value] if isinstance(value, list) else value
        elif kind == "date":
            full = {"start": str(value)}
        try:
            made[name] = property_value(f"{place}.{name}", known[name], full)
        except Invalid as problem:
            raise ValueError(str(problem)) from None
    return made


def write_seed(world: World, name: str, seed: Mapping[str, Any]) -> None:
    """Write the workspace that the upstream ``name`` begins with. Earlier entries count as made earlier."""
    start = world.clock.now_ms() - 86_400_000
    users, pages, blocks, databases, data_sources = (
        Collection(world.store, name, kind) for kind in ("users", "pages", "blocks", "databases", "data_sources")
    )
    me = derived("bot")
    users.put(me, {"id": me, "name": "Integration", "type": "bot", "workspace": seed.get("workspace", "Workspace")})
    for place, user in _each("seed.users", seed.get("users", [])):
        key = user.get("id") or derived(place)
        users.put(key, {"id": key, "name": user["name"], "email": user.get("email"), "type": "person"})
    made = 0

    def head(key: str, parent: Mapping[str, Any]) -> dict[str, Any]:
        nonlocal made
        made += 1
        times = {"_ms": start + made, "_edited": start + made, "_by": me, "_editor": me}
        return {"id": key, "_parent": dict(parent), **times, "_trash": False}

    def block(key: str, kind: str, at: str | None, parent: Mapping[str, Any], content: Mapping[str, Any]) -> None:
        one = head(key, parent)
        blocks.put(
            key, {**one, "type": kind, "_at": at, "_order": [one["_ms"], "", 0, 0, key], "_content": dict(content)}
        )

    for place, page in _each("seed.pages", seed.get("pages", [])):
        key = page.get("id") or derived(place)
        pages.put(key, {**head(key, {"workspace": True}), "_values": {"title": text(page["title"])}})
        block(key, "child_page", None, {"workspace": True}, {})
        for inner, line in _each(f"{place}.text", page.get("text", [])):
            block(derived(inner), "paragraph", key, {"page_id": key}, {"color": "default", "rich_text": text(line)})
    for place, database in _each("seed.databases", seed.get("databases", [])):
        key = database.get("id") or derived(place)
        source = database.get("data_source") or derived(f"{place}.data_source")
        title = text(database["title"])
        databases.put(key, {**head(key, {"workspace": True}), "title": title, "description": [], "is_inline": False})
        block(key, "child_database", None, {"workspace": True}, {})
        known = _schema(f"{place}.properties", database.get("properties", {"Name": "title"}))
        for inner, row in _each(f"{place}.rows", database.get("rows", [])):
            values = _row(inner, known, row)
            known = with_options(known, values)
            own = row.get("id") or derived(inner)
            parent = {"data_source_id": source, "database_id": key}
            pages.put(
                own, {**head(own, parent), "_values": {known[name]["id"]: value for name, value in values.items()}}
            )
            block(own, "child_page", None, parent, {})
        data_sources.put(source, {**head(source, {"database_id": key}), "title": title, "icon": None, "_schema": known})
