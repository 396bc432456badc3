"""Pages, their properties and search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stack_emu.upstreams.notion.blocks import append, place_block
from stack_emu.upstreams.notion.filters import arrange, read_filter
from stack_emu.upstreams.notion.objects import (
    Doc,
    editable,
    edited,
    fetch,
    in_body,
    in_query,
    is_old,
    new_id,
    page_of,
    read_id,
    refuse,
    schema_of,
    show_page,
    stamped,
    title_of,
    value_of,
)
from stack_emu.upstreams.notion.sources import show_container, source_of, source_title
from stack_emu.upstreams.notion.values import Invalid, find_property, values, with_options
from stack_emu.upstreams.pack_calls import RestCall

_PAGED = ("title", "rich_text", "people", "relation")


def _read_parent(call: RestCall) -> dict[str, Any]:
    asked = call.field("parent")
    if not isinstance(asked, dict):
        raise Invalid("body.parent should be defined, instead was `undefined`.")
    if "page_id" in asked:
        return {"page_id": editable(fetch(call, "pages", asked["page_id"], "body.parent.page_id"))["id"]}
    if "data_source_id" in asked or "database_id" in asked:
        source = source_of(call, asked)
        return {"data_source_id": source["id"], "database_id": source["_parent"]["database_id"]}
    if asked.get("workspace") is True:
        return {"workspace": True}
    raise Invalid("body.parent should hold page_id, data_source_id, database_id or workspace.")


def _write_values(call: RestCall, page: Doc, asked: Any) -> dict[str, Any]:
    """A page's values after a change, by property id; options that are new are added to the schema."""
    known = schema_of(call, page)
    chosen = values(known, asked)
    for name, value in chosen.items():
        for one in value if known[name]["type"] == "relation" else ():
            fetch(call, "pages", one["id"], f"body.properties.{name}")
    source = page["_parent"].get("data_source_id")
    grown = with_options(known, chosen)
    if source is not None and grown != known:
        call.collection("data_sources").change(source, _schema=grown)
    return {**page["_values"], **{known[name]["id"]: value for name, value in chosen.items()}}


def create_page(call: RestCall) -> Any:
    """Create a page in a page or in a data source, with its first blocks."""
    parent = _read_parent(call)
    key = new_id(call, "page")
    page = {"id": key, **stamped(call, parent), "icon": call.field("icon"), "cover": call.field("cover"), "_values": {}}
    page = dict(call.collection("pages").put(key, page))
    call.collection("pages").change(key, _values=_write_values(call, page, call.field("properties", {})))
    place_block(call, key, "child_page", parent)
    if call.field("children") is not None:
        append(call, key, call.field("children"))
    return show_page(call, fetch(call, "pages", key, "page_id"))


def get_page(call: RestCall) -> Any:
    """Retrieve a page, with all properties or those of ``filter_properties``."""
    page = fetch(call, "pages", call.params["id"], "path.page_id")
    shown, wanted = show_page(call, page), call.query_all("filter_properties")
    if wanted:
        known = shown["properties"]
        missing = next((one for one in wanted if find_property(known, one) is None), None)
        if missing is not None:
            raise Invalid(f"Could not find property with name or id: {missing}")
        names = [find_property(known, one) for one in wanted]
        shown["properties"] = {name: one for name, one in known.items() if name in names}
    return shown


def update_page(call: RestCall) -> Any:
    """Change properties, icon, cover or lock of a page, or move it into the trash and out of it."""
    page = fetch(call, "pages", call.params["id"], "path.page_id")
    trash = call.field("in_trash", call.field("archived"))
    if trash is None:
        editable(page)
    elif not isinstance(trash, bool):
        raise Invalid("body.in_trash should be a boolean.")
    fields = {name: call.field(name) for name in ("icon", "cover", "is_locked") if call.has(name)}
    if call.has("properties"):
        fields["_values"] = _write_values(call, page, call.field("properties"))
    if trash is not None:
        fields["_trash"] = trash
        call.collection("blocks").change(page["id"], _trash=trash)
    return show_page(call, edited(call, "pages", page, **fields))


def get_property(call: RestCall) -> Any:
    """Retrieve one property of a page; texts, people and relations come as lists in pages."""
    page = fetch(call, "pages", call.params["id"], "path.page_id")
    known = schema_of(call, page)
    name = find_property(known, call.params["property"])
    if name is None:
        raise refuse(404, "object_not_found", f"Could not find property with ID: {call.params['property']}.")
    kind, key = known[name]["type"], known[name]["id"]
    value, asked = value_of(page, known[name]), in_query(call)
    head = {"object": "property_item", "id": key, "type": kind}
    if kind not in _PAGED:
        return {**head, kind: value}
    items = [{"id": str(number), "_item": one} for number, one in enumerate(value)]
    listed = page_of(call, items, lambda _, one: {**head, kind: one["_item"]}, "property_item", asked)
    return {**listed, "property_item": {"id": key, "next_url": None, "type": kind, kind: {}}}


def search(call: RestCall) -> Any:
    """Search pages and data sources (databases in the old version) by title."""
    container = "database" if is_old(call) else "data_source"
    asked = call.field("filter")
    wanted = None
    if asked is not None:
        wanted = asked.get("value") if isinstance(asked, dict) and asked.get("property") == "object" else ""
        if wanted not in ("page", container):
            raise Invalid(f"body.filter.value should be page or {container}, under the property object.")
    query = str(call.field("query") or "").lower()
    pages = [one for one in call.collection("pages").all() if query in title_of(call, one).lower()]
    sources = [one for one in call.collection("data_sources").all() if query in source_title(one).lower()]
    found = ([] if wanted == container else pages) + ([] if wanted == "page" else sources)
    found = [one for one in found if not one["_trash"]]
    sort = call.field("sort")
    down = not (isinstance(sort, dict) and sort.get("direction") == "ascending")
    found.sort(key=lambda one: one["_edited"])
    if down:
        found.reverse()

    def show(call: RestCall, one: Mapping[str, Any]) -> Any:
        return show_page(call, one) if "_values" in one else show_container(call, one)

    return page_of(
        call, found, show, "page_or_data_source" if container != "database" else "page_or_database", in_body(call)
    )


def query_source(call: RestCall) -> Any:
    """Query the pages of a data source: ``filter``, ``sorts``, and pages of up to 100."""
    old = "databases" in call.operation.path
    source = source_of(call, {("database_id" if old else "data_source_id"): read_id(call.params["id"], "path.id")})
    known = source["_schema"]
    asked = call.field("filter")
    test = (lambda _: True) if asked is None else read_filter(asked, known, call.now_ms)
    trash = bool(call.field("in_trash", call.field("archived", False)))
    pages = [
        one
        for one in call.collection("pages").all()
        if one["_parent"].get("data_source_id") == source["id"] and one["_trash"] == trash and test(one)
    ]
    kind = "page_or_database" if is_old(call) else "page_or_data_source"
    shown = page_of(call, arrange(pages, call.field("sorts"), known), show_page, kind, in_body(call))
    wanted = call.query_all("filter_properties")
    names = [find_property(known, one) for one in wanted]
    for page in shown["results"] if wanted else ():
        page["properties"] = {name: one for name, one in page["properties"].items() if name in names}
    return shown
