"""What Notion's objects have in common: ids, refusals, pages of lists, and how each is shown."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from stack_emu.kernel.clock import iso
from stack_emu.upstreams.notion.values import COMPUTED, EMPTY, Invalid, dashed, plain, uuid_of
from stack_emu.upstreams.pack_calls import PackRefusal, RestCall
from stack_emu.upstreams.requests import UpstreamReply

OLD, NEW = "2022-06-28", "2025-09-03"
"""The versions that are served: in the old one a database has the properties, in the new one its data sources do."""

Doc = Mapping[str, Any]
_ID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")


def error(status: int, code: str, message: str, request_id: str | None = None) -> dict[str, Any]:
    """The body of a refusal."""
    body = {"object": "error", "status": status, "code": code, "message": message}
    return body if request_id is None else {**body, "request_id": request_id}


def refuse(status: int, code: str, message: str, hint: str | None = None) -> PackRefusal:
    """A refusal in Notion's shape."""
    return PackRefusal(UpstreamReply.of_json(error(status, code, message), status), hint)


def request_id(call: RestCall) -> str:
    """The id of the call, which is the act's."""
    return dashed(call.act.key)


def new_id(call: RestCall, kind: str) -> str:
    """A UUID derived from the act."""
    return call.mint(uuid_of(call.act.new_bytes(f"notion {kind}")))


def read_id(value: Any, place: str) -> str:
    """An id with its dashes."""
    if not isinstance(value, str) or not _ID.fullmatch(value.lower()):
        raise Invalid(f"{place} should be a valid uuid, instead was `{value!r}`.")
    return dashed(value.lower().replace("-", ""))


def fetch(call: RestCall, kind: str, value: Any, place: str) -> Doc:
    """An object by its id; one that is not there answers ``object_not_found``, as one that is not shared does."""
    key = read_id(value, place)
    found = call.collection(kind).get(key)
    if found is None:
        name = kind.rstrip("s").replace("_", " ")
        raise refuse(
            404, "object_not_found", f"Could not find {name} with ID: {key}; is it shared with the integration?"
        )
    return found


def editable(doc: Doc) -> Doc:
    """The object, unless it is in the trash."""
    if doc["_trash"]:
        raise Invalid("Can't edit a block that is archived; take it out of the trash first.")
    return doc


def moment(ms: int) -> str:
    """A time stamp as Notion prints it: to the minute."""
    return iso(ms)[:16] + ":00.000Z"


def is_old(call: RestCall) -> bool:
    """Whether the client speaks the version from before data sources."""
    return call.request.headers.get("Notion-Version") == OLD


def bot(call: RestCall) -> Doc:
    """The user that the connection acts as."""
    return next(one for one in call.collection("users").all() if one["type"] == "bot")


def stamped(call: RestCall, parent: Mapping[str, Any]) -> dict[str, Any]:
    """What every new page, block and database has."""
    who = bot(call)["id"]
    return {
        "_parent": dict(parent),
        "_ms": call.now_ms,
        "_edited": call.now_ms,
        "_by": who,
        "_editor": who,
        "_trash": False,
    }


def edited(call: RestCall, kind: str, doc: Doc, **fields: Any) -> Doc:
    """Put a changed copy, with the instant of the change."""
    return call.collection(kind).change(doc["id"], **fields, _edited=call.now_ms, _editor=bot(call)["id"])


def stamps(doc: Doc) -> dict[str, Any]:
    """The time stamps and people of an object as they are shown."""
    return {
        "created_time": moment(doc["_ms"]),
        "last_edited_time": moment(doc["_edited"]),
        "created_by": {"object": "user", "id": doc["_by"]},
        "last_edited_by": {"object": "user", "id": doc["_editor"]},
        "archived": doc["_trash"],
        "in_trash": doc["_trash"],
    }


def page_of(call: RestCall, found: Sequence[Doc], show: Any, kind: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    """A page of a list: ``page_size`` up to 100 and ``start_cursor``.

    Args:
        call: the call.
        found: everything there is, in order; each has an id.
        show: makes of one what is shown.
        kind: what the list says it holds.
        asked: ``page_size`` and ``start_cursor`` as they came.
    """
    size = asked.get("page_size")
    size = 100 if size is None else int(size) if str(size).isdigit() else 0
    if not 1 <= size <= 100:
        raise Invalid(f"page_size should be from 1 to 100, instead was `{asked['page_size']}`.")
    start, cursor = 0, asked.get("start_cursor")
    if cursor is not None:
        place = next((number for number, one in enumerate(found) if one["id"] == cursor), None)
        if place is None:
            raise Invalid(f"The start_cursor provided is invalid: {cursor}")
        start = place
    end = start + size
    more = len(found) > end
    return {
        "object": "list",
        "results": [show(call, one) for one in found[start:end]],
        "next_cursor": found[end]["id"] if more else None,
        "has_more": more,
        "type": kind,
        kind: {},
        "request_id": request_id(call),
    }


def in_query(call: RestCall) -> dict[str, Any]:
    """``page_size`` and ``start_cursor`` of a GET."""
    return {"page_size": call.query("page_size"), "start_cursor": call.query("start_cursor")}


def in_body(call: RestCall) -> dict[str, Any]:
    """``page_size`` and ``start_cursor`` of a POST."""
    return {"page_size": call.field("page_size"), "start_cursor": call.field("start_cursor")}


def schema_of(call: RestCall, page: Doc) -> Mapping[str, Any]:
    """The schema a page's properties follow; a page in no data source has its title alone."""
    source = page["_parent"].get("data_source_id")
    if source is None:
        return {"title": {"id": "title", "name": "title", "type": "title", "title": {}}}
    found = call.collection("data_sources").get(source)
    return {} if found is None else found["_schema"]


def title_of(call: RestCall, page: Doc) -> str:
    """A page's title as plain characters."""
    for one in schema_of(call, page).values():
        if one["type"] == "title":
            return plain(page["_values"].get(one["id"], []))
    return ""


def value_of(page: Doc, known: Mapping[str, Any]) -> Any:
    """A page's value of one property."""
    kind = known["type"]
    if kind in COMPUTED:
        return stamps(page)[kind]
    return page["_values"].get(known["id"], EMPTY.get(kind))


def shown_parent(call: RestCall, parent: Mapping[str, Any]) -> dict[str, Any]:
    """A parent as the client's version shows it."""
    if "data_source_id" in parent:
        if is_old(call):
            return {"type": "database_id", "database_id": parent["database_id"]}
        return {"type": "data_source_id", **parent}
    kind = next(iter(parent))
    return {"type": kind, **parent}


def show_page(call: RestCall, page: Doc) -> dict[str, Any]:
    """A page as clients see it."""
    properties = {}
    for name, known in schema_of(call, page).items():
        kind = known["type"]
        value = value_of(page, known)
        if kind == "people":
            value = [{"object": "user", **one} for one in value]
        properties[name] = {"id": known["id"], "type": kind, kind: value}
        if kind == "relation":
            properties[name]["has_more"] = False
    return {
        "object": "page",
        "id": page["id"],
        **stamps(page),
        "cover": page.get("cover"),
        "icon": page.get("icon"),
        "is_locked": page.get("is_locked", False),
        "parent": shown_parent(call, page["_parent"]),
        "properties": properties,
        "url": f"https://www.notion.so/{page['id'].replace('-', '')}",
        "public_url": None,
    }
