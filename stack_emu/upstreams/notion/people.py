"""Users and comments."""

from __future__ import annotations

from typing import Any

from stack_emu.upstreams.notion.objects import (
    Doc,
    bot,
    editable,
    fetch,
    in_query,
    moment,
    new_id,
    page_of,
    read_id,
    shown_parent,
    stamped,
)
from stack_emu.upstreams.notion.values import Invalid, rich_text
from stack_emu.upstreams.pack_calls import RestCall


def show_user(_: RestCall, user: Doc) -> dict[str, Any]:
    """A user as clients see it."""
    head = {"object": "user", "id": user["id"], "name": user["name"], "avatar_url": None, "type": user["type"]}
    if user["type"] == "bot":
        return {**head, "bot": {"owner": {"type": "workspace", "workspace": True}, "workspace_name": user["workspace"]}}
    return {**head, "person": {"email": user["email"]} if user.get("email") else {}}


def get_me(call: RestCall) -> Any:
    """The bot user that the connection acts as."""
    return show_user(call, bot(call))


def list_users(call: RestCall) -> Any:
    """List the users of the workspace."""
    return page_of(call, call.collection("users").all(), show_user, "user", in_query(call))


def get_user(call: RestCall) -> Any:
    """Retrieve a user."""
    return show_user(call, fetch(call, "users", call.params["id"], "path.user_id"))


def show_comment(call: RestCall, comment: Doc) -> dict[str, Any]:
    """A comment as clients see it."""
    return {
        "object": "comment",
        "id": comment["id"],
        "parent": shown_parent(call, comment["_parent"]),
        "discussion_id": comment["discussion_id"],
        "created_time": moment(comment["_ms"]),
        "last_edited_time": moment(comment["_edited"]),
        "created_by": {"object": "user", "id": comment["_by"]},
        "rich_text": comment["rich_text"],
    }


def _discussion(call: RestCall) -> list[Doc]:
    found = call.collection("comments").all()
    return sorted(found, key=lambda one: one["_ms"])


def create_comment(call: RestCall) -> Any:
    """Comment on a page or block, or reply in a discussion."""
    parent, discussion = call.field("parent"), call.field("discussion_id")
    if (parent is None) == (discussion is None):
        raise Invalid("body should hold either parent or discussion_id.")
    if discussion is not None:
        key = read_id(discussion, "body.discussion_id")
        first = next((one for one in _discussion(call) if one["discussion_id"] == key), None)
        if first is None:
            raise Invalid(f"Could not find discussion with ID: {key}.")
        where = first["_parent"]
    elif isinstance(parent, dict) and "page_id" in parent:
        where = {"page_id": editable(fetch(call, "pages", parent["page_id"], "body.parent.page_id"))["id"]}
        key = new_id(call, "discussion")
    elif isinstance(parent, dict) and "block_id" in parent:
        where = {"block_id": editable(fetch(call, "blocks", parent["block_id"], "body.parent.block_id"))["id"]}
        key = new_id(call, "discussion")
    else:
        raise Invalid("body.parent should hold page_id or block_id.")
    own = new_id(call, "comment")
    made = {"id": own, **stamped(call, where), "discussion_id": key}
    text = rich_text("body.rich_text", call.field("rich_text"))
    return show_comment(call, call.collection("comments").put(own, {**made, "rich_text": text}))


def list_comments(call: RestCall) -> Any:
    """List the comments of a page or block, oldest first."""
    key = fetch(call, "blocks", call.query("block_id"), "query.block_id")["id"]
    found = [one for one in _discussion(call) if key in one["_parent"].values()]
    return page_of(call, found, show_comment, "comment", in_query(call))


def get_comment(call: RestCall) -> Any:
    """Retrieve a comment."""
    return show_comment(call, fetch(call, "comments", call.params["id"], "path.comment_id"))
