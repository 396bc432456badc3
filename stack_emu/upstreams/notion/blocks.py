"""Blocks: the content of pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stack_emu.upstreams.notion.objects import (
    Doc,
    editable,
    edited,
    fetch,
    in_query,
    new_id,
    page_of,
    read_id,
    refuse,
    request_id,
    shown_parent,
    stamped,
    stamps,
    title_of,
)
from stack_emu.upstreams.notion.values import Invalid, plain, rich_text
from stack_emu.upstreams.pack_calls import RestCall

TEXTS = (
    "paragraph", "heading_1", "heading_2", "heading_3", "bulleted_list_item", "numbered_list_item", "to_do", "toggle",
    "quote", "callout", "code",
)  # fmt: skip
"""Blocks with rich text."""

OTHERS = (
    "divider", "bookmark", "embed", "image", "video", "file", "pdf", "audio", "equation", "table_of_contents",
    "breadcrumb", "column_list", "column", "table", "table_row", "link_to_page", "synced_block",
)  # fmt: skip
"""Blocks without, which are kept as they come."""

_MOST, _DEEPEST = 100, 2


def place_block(call: RestCall, key: str, kind: str, where: Mapping[str, Any]) -> Doc:
    """Put the block that stands for a page or a database, among the children of the page it is in."""
    block = {"id": key, **stamped(call, where), "type": kind, "_at": where.get("page_id")}
    return call.collection("blocks").put(key, {**block, "_order": [*call.act.place, 0, key], "_content": {}})


def children(call: RestCall, key: str) -> list[Doc]:
    """The children of a page or block in their order, without those in the trash."""
    found = [one for one in call.collection("blocks").all() if one["_at"] == key and not one["_trash"]]
    return sorted(found, key=lambda one: one["_order"])


def _content(place: str, kind: str, asked: Any) -> dict[str, Any]:
    if not isinstance(asked, dict):
        raise Invalid(f"{place}.{kind} should be an object.")
    kept = {name: value for name, value in asked.items() if name != "children"}
    if kind not in TEXTS:
        return {**kept, "caption": rich_text(f"{place}.{kind}.caption", kept["caption"])} if "caption" in kept else kept
    if "rich_text" not in kept:
        raise Invalid(f"{place}.{kind}.rich_text should be defined, instead was `undefined`.")
    made = {"color": "default", **kept, "rich_text": rich_text(f"{place}.{kind}.rich_text", kept["rich_text"])}
    if kind == "to_do":
        made.setdefault("checked", False)
    elif kind == "code":
        made.setdefault("language", "plain text")
    elif kind.startswith("heading"):
        made.setdefault("is_toggleable", False)
    if not isinstance(made.get("checked", False), bool):
        raise Invalid(f"{place}.{kind}.checked should be a boolean.")
    return made


def append(call: RestCall, parent: str, asked: Any, before: list[Any] | None = None, depth: int = 0) -> list[Doc]:
    """Append blocks, and theirs, to a page or block.

    Args:
        call: the call.
        parent: id of the page or block.
        asked: the blocks as they came.
        before: where in the order they go: what their own place is added to; at the end when None.
        depth: how deep they are nested in the request, which may be two levels.
    """
    place = "body.children"
    if not isinstance(asked, list) or len(asked) > _MOST:
        raise Invalid(f"{place} should be an array of up to {_MOST} blocks.")
    if depth > _DEEPEST:
        raise Invalid(f"{place} may be nested up to {_DEEPEST} levels.")
    is_page = call.collection("pages").get(parent) is not None
    made = []
    for number, one in enumerate(asked):
        kind = next((kind for kind in (*TEXTS, *OTHERS) if isinstance(one, dict) and kind in one), None)
        if kind is None:
            raise Invalid(f"{place}[{number}] should hold one of {', '.join((*TEXTS, *OTHERS))}.")
        key = new_id(call, "block")
        instant, lane, position = call.act.place
        order = [instant, lane, position, number, key]
        if before is not None:
            order = [*before, -instant, lane, -position, number, key]
        block = {
            "id": key,
            **stamped(call, {"page_id" if is_page else "block_id": parent}),
            "type": kind,
            "_at": parent,
        }
        content = _content(f"{place}[{number}]", kind, one[kind])
        made.append(call.collection("blocks").put(key, {**block, "_order": order, "_content": content}))
        inner = one[kind].get("children", one.get("children"))
        if inner is not None:
            append(call, key, inner, depth=depth + 1)
    return made


def show_block(call: RestCall, block: Doc) -> dict[str, Any]:
    """A block as clients see it."""
    kind, content = block["type"], block["_content"]
    if kind == "child_page":
        content = {"title": title_of(call, fetch(call, "pages", block["id"], "block_id"))}
    elif kind == "child_database":
        content = {"title": plain(fetch(call, "databases", block["id"], "block_id")["title"])}
    has_children = kind != "child_database" and bool(children(call, block["id"]))
    parent = shown_parent(call, block["_parent"])
    return {
        "object": "block",
        "id": block["id"],
        "parent": parent,
        **stamps(block),
        "has_children": has_children,
        "type": kind,
        kind: content,
    }


def get_block(call: RestCall) -> Any:
    """Retrieve a block; a page's id names its child_page block."""
    return show_block(call, fetch(call, "blocks", call.params["id"], "path.block_id"))


def list_children(call: RestCall) -> Any:
    """List the children of a block or page in their order, one level deep."""
    block = fetch(call, "blocks", call.params["id"], "path.block_id")
    return page_of(call, children(call, block["id"]), show_block, "block", in_query(call))


def append_children(call: RestCall) -> Any:
    """Append blocks to a block or page, at its end, at its start, or after one of its children."""
    block = editable(fetch(call, "blocks", call.params["id"], "path.block_id"))
    position, after = call.field("position"), call.field("after")
    before: list[Any] | None = None
    if isinstance(position, dict):
        after = position.get("after_block", {}).get("id", after)
        before = [] if position.get("type") == "start" else None
    if after is not None:
        other = fetch(call, "blocks", after, "body.after")
        if other["_at"] != block["id"]:
            raise Invalid("body.after should be a child of the block.")
        before = other["_order"]
    made = append(call, block["id"], call.field("children"), before)
    kind = "pages" if block["type"] == "child_page" else "blocks"
    edited(call, kind, block)
    shown = [show_block(call, one) for one in made]
    head = {"object": "list", "results": shown, "next_cursor": None, "has_more": False}
    return {**head, "type": "block", "block": {}, "request_id": request_id(call)}


def update_block(call: RestCall) -> Any:
    """Change a block's content, or move it into the trash and out of it; its type stays."""
    block = fetch(call, "blocks", call.params["id"], "path.block_id")
    trash = call.field("in_trash", call.field("archived"))
    call.ignore("type")
    if trash is None:
        editable(block)
    given = next((kind for kind in (*TEXTS, *OTHERS) if call.has(kind)), None)
    if given not in (None, block["type"]):
        raise Invalid(f"The block is a {block['type']}, which cannot become a {given}.")
    fields: dict[str, Any] = {}
    if given is not None:
        asked = call.field(given)
        merged = {**block["_content"], **asked} if isinstance(asked, dict) else asked
        fields["_content"] = _content("body", given, merged)
    if isinstance(trash, bool):
        fields["_trash"] = trash
    return show_block(call, edited(call, "blocks", block, **fields))


def delete_block(call: RestCall) -> Any:
    """Move a block, or a page by its id, into the trash."""
    key = read_id(call.params["id"], "path.block_id")
    block = fetch(call, "blocks", key, "path.block_id")
    if block["type"] == "child_database":
        raise refuse(400, "validation_error", "A database goes into the trash by databases.update.")
    if block["type"] == "child_page":
        edited(call, "pages", fetch(call, "pages", key, "path.block_id"), _trash=True)
    return show_block(call, edited(call, "blocks", editable(block), _trash=True))
