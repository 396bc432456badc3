"""Databases and their data sources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stack_emu.upstreams.notion.blocks import place_block
from stack_emu.upstreams.notion.objects import (
    Doc,
    editable,
    edited,
    fetch,
    is_old,
    new_id,
    read_id,
    refuse,
    shown_parent,
    stamped,
    stamps,
)
from stack_emu.upstreams.notion.values import Invalid, changed_schema, plain, rich_text, schema
from stack_emu.upstreams.pack_calls import RestCall


def sources(call: RestCall, database: str) -> list[Doc]:
    """The data sources of a database, oldest first."""
    found = [one for one in call.collection("data_sources").all() if one["_parent"]["database_id"] == database]
    return sorted(found, key=lambda one: one["_ms"])


def source_of(call: RestCall, asked: Mapping[str, Any]) -> Doc:
    """The data source that ``data_source_id`` names, or the only one of ``database_id``."""
    if "data_source_id" in asked:
        return fetch(call, "data_sources", asked["data_source_id"], "data_source_id")
    database = fetch(call, "databases", asked["database_id"], "database_id")
    found = sources(call, database["id"])
    if len(found) > 1:
        raise Invalid("Databases with multiple data sources are not supported here; name a data_source_id.")
    return found[0]


def source_title(source: Doc) -> str:
    """A data source's title as plain characters."""
    return plain(source["title"])


def _shown_schema(source: Doc) -> dict[str, Any]:
    shown = {}
    for name, one in source["_schema"].items():
        config = one[one["type"]]
        if "options" in config:
            options = [{key: value for key, value in each.items() if key != "_added"} for each in config["options"]]
            config = {**config, "options": options}
        shown[name] = {**one, one["type"]: config}
    return shown


def show_source(call: RestCall, source: Doc) -> dict[str, Any]:
    """A data source as clients see it."""
    database = fetch(call, "databases", source["_parent"]["database_id"], "database_id")
    return {
        "object": "data_source",
        "id": source["id"],
        **stamps(source),
        "title": source["title"],
        "description": [],
        "icon": source.get("icon"),
        "cover": None,
        "parent": shown_parent(call, source["_parent"]),
        "database_parent": shown_parent(call, database["_parent"]),
        "is_inline": database["is_inline"],
        "properties": _shown_schema(source),
        "url": f"https://www.notion.so/{database['id'].replace('-', '')}",
        "public_url": None,
    }


def show_database(call: RestCall, database: Doc) -> dict[str, Any]:
    """A database as the client's version shows it: with its data sources, or with the properties of the first."""
    found = sources(call, database["id"])
    more: dict[str, Any] = {"data_sources": [{"id": one["id"], "name": source_title(one)} for one in found]}
    if is_old(call):
        more = {"properties": _shown_schema(found[0])}
    return {
        "object": "database",
        "id": database["id"],
        **stamps(database),
        "title": database["title"],
        "description": database["description"],
        "icon": database.get("icon"),
        "cover": database.get("cover"),
        "parent": shown_parent(call, database["_parent"]),
        "is_inline": database["is_inline"],
        "is_locked": database.get("is_locked", False),
        **more,
        "url": f"https://www.notion.so/{database['id'].replace('-', '')}",
        "public_url": None,
    }


def show_container(call: RestCall, source: Doc) -> dict[str, Any]:
    """What search answers for a data source: itself, or its database in the old version."""
    if not is_old(call):
        return show_source(call, source)
    return show_database(call, fetch(call, "databases", source["_parent"]["database_id"], "database_id"))


def _new_source(call: RestCall, database: str, title: list[Any], asked: Any, place: str) -> Doc:
    if isinstance(asked, dict):
        for one in asked.values():
            relation = one.get("relation") if isinstance(one, dict) else None
            if relation:
                source_of(call, relation)
    key = new_id(call, "data source")
    made = {"id": key, **stamped(call, {"database_id": database}), "title": title, "icon": None}
    return call.collection("data_sources").put(key, {**made, "_schema": schema(place, asked)})


def create_database(call: RestCall) -> Any:
    """Create a database in a page, with its first data source (old version: with its properties)."""
    asked = call.field("parent")
    if not isinstance(asked, dict) or not ("page_id" in asked or asked.get("workspace") is True):
        raise Invalid("body.parent should hold page_id or workspace.")
    parent: dict[str, Any] = {"workspace": True}
    if "page_id" in asked:
        parent = {"page_id": editable(fetch(call, "pages", asked["page_id"], "body.parent.page_id"))["id"]}
    title = rich_text("body.title", call.field("title", []))
    key = new_id(call, "database")
    fields = {"icon": call.field("icon"), "cover": call.field("cover"), "is_inline": bool(call.field("is_inline"))}
    description = rich_text("body.description", call.field("description", []))
    made = {"id": key, **stamped(call, parent), **fields, "title": title, "description": description}
    database = call.collection("databases").put(key, made)
    if is_old(call):
        properties, place = call.field("properties"), "body.properties"
    else:
        initial = call.field("initial_data_source") or {}
        place = "body.initial_data_source.properties"
        properties = initial.get("properties", {"Name": {"title": {}}})
    _new_source(call, key, title, properties, place)
    place_block(call, key, "child_database", parent)
    return show_database(call, database)


def get_database(call: RestCall) -> Any:
    """Retrieve a database."""
    return show_database(call, fetch(call, "databases", call.params["id"], "path.database_id"))


def update_database(call: RestCall) -> Any:
    """Change title, description, icon, cover or lock of a database (old version: its properties), or trash it."""
    database = fetch(call, "databases", call.params["id"], "path.database_id")
    fields = {name: call.field(name) for name in ("icon", "cover", "is_inline", "is_locked") if call.has(name)}
    for name in ("title", "description"):
        if call.has(name):
            fields[name] = rich_text(f"body.{name}", call.field(name))
    trash = call.field("in_trash", call.field("archived"))
    if trash is None:
        editable(database)
    else:
        fields["_trash"] = bool(trash)
        call.collection("blocks").change(database["id"], _trash=bool(trash))
        for one in sources(call, database["id"]):
            edited(call, "data_sources", one, _trash=bool(trash))
    if is_old(call) and call.has("properties"):
        first = sources(call, database["id"])[0]
        edited(call, "data_sources", first, _schema=changed_schema(first["_schema"], call.field("properties")))
    return show_database(call, edited(call, "databases", database, **fields))


def create_source(call: RestCall) -> Any:
    """Add a data source to a database."""
    asked = call.field("parent")
    if not isinstance(asked, dict) or "database_id" not in asked:
        raise Invalid("body.parent should hold database_id.")
    database = editable(fetch(call, "databases", asked["database_id"], "body.parent.database_id"))
    title = rich_text("body.title", call.field("title", []))
    return show_source(call, _new_source(call, database["id"], title, call.field("properties"), "body.properties"))


def get_source(call: RestCall) -> Any:
    """Retrieve a data source with its properties."""
    key = read_id(call.params["id"], "path.data_source_id")
    if call.collection("databases").get(key) is not None:
        raise refuse(404, "object_not_found", f"{key} is a database; its data sources are in databases.retrieve.")
    return show_source(call, fetch(call, "data_sources", key, "path.data_source_id"))


def update_source(call: RestCall) -> Any:
    """Change the title or the properties of a data source, or move it into the trash."""
    source = fetch(call, "data_sources", call.params["id"], "path.data_source_id")
    fields: dict[str, Any] = {"icon": call.field("icon")} if call.has("icon") else {}
    if call.has("title"):
        fields["title"] = rich_text("body.title", call.field("title"))
    if call.has("properties"):
        fields["_schema"] = changed_schema(source["_schema"], call.field("properties"))
    trash = call.field("in_trash", call.field("archived"))
    if trash is None:
        editable(source)
    else:
        fields["_trash"] = bool(trash)
    return show_source(call, edited(call, "data_sources", source, **fields))
