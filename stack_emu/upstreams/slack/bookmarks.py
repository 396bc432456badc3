"""The methods ``bookmarks.*``: docs.slack.dev/reference/methods and slack_sdk 3.48 ``bookmarks_*``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from stack_emu.upstreams.slack.call import SlackCall, SlackError, invalid_arguments
from stack_emu.upstreams.slack.places import channel_by_id
from stack_emu.upstreams.slack.records import Channel
from stack_emu.upstreams.slack.stamps import EPOCH_S, new_id

_EMOJI = re.compile(r":[a-z0-9_+'-]+:")
_MOST = 100


def add(call: SlackCall) -> dict[str, Any]:
    """``bookmarks.add``: links only."""
    call.need("bookmarks:write")
    channel = _channel(call)
    title = call.required("title")
    if call.required("type") != "link":
        raise SlackError("invalid_bookmark_type")
    link = _link(call)
    if link is None:
        raise SlackError("invalid_link")
    kept = call.collection(_name(channel))
    if len(kept.all()) >= _MOST:
        raise SlackError("too_many_bookmarks")
    number = new_id(call.act, "Bk")
    data = {"id": number, "title": title, "link": link, "emoji": _emoji(call) or "", "date_updated": 0}
    return {"bookmark": _shape(call, channel, kept.put(number, {**data, "by": call.bot}))}


def edit(call: SlackCall) -> dict[str, Any]:
    """``bookmarks.edit``: changes what is given."""
    call.need("bookmarks:write")
    channel = _channel(call)
    number = call.required("bookmark_id")
    kept = call.collection(_name(channel))
    if kept.get(number) is None:
        raise SlackError("not_found")
    given = {"title": call.text("title"), "link": _link(call), "emoji": _emoji(call)}
    changes = {name: value for name, value in given.items() if value is not None}
    if not changes:
        raise invalid_arguments("must provide one of: title, link, emoji")
    changed = kept.change(number, **changes, date_updated=EPOCH_S, by=call.bot)
    return {"bookmark": _shape(call, channel, changed)}


def remove(call: SlackCall) -> dict[str, Any]:
    """``bookmarks.remove``: takes a bookmark out of a channel."""
    call.need("bookmarks:write")
    channel = _channel(call)
    if not call.collection(_name(channel)).delete(call.required("bookmark_id")):
        raise SlackError("not_found")
    return {}


def list_bookmarks(call: SlackCall) -> dict[str, Any]:
    """``bookmarks.list``: those of a channel, oldest first."""
    call.need("bookmarks:read")
    channel = _channel(call)
    return {"bookmarks": [_shape(call, channel, one) for one in call.collection(_name(channel)).all()]}


def _name(channel: Channel) -> str:
    return f"bookmarks/{channel.channel}"


def _channel(call: SlackCall) -> Channel:
    return channel_by_id(call, call.required("channel_id"))


def _link(call: SlackCall) -> str | None:
    link = call.text("link")
    if link is not None and not link.startswith(("http://", "https://")):
        raise SlackError("invalid_link")
    return link


def _emoji(call: SlackCall) -> str | None:
    emoji = call.text("emoji")
    if emoji is not None and not _EMOJI.fullmatch(emoji):
        raise SlackError("invalid_emoji")
    return emoji


def _shape(call: SlackCall, channel: Channel, bookmark: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": bookmark["id"],
        "channel_id": channel.channel,
        "title": bookmark["title"],
        "link": bookmark["link"],
        "emoji": bookmark["emoji"],
        "icon_url": None,
        "type": "link",
        "entity_id": None,
        "date_created": EPOCH_S,
        "date_updated": bookmark["date_updated"],
        "rank": "",
        "last_updated_by_user_id": bookmark["by"],
        "last_updated_by_team_id": call.workspace.team,
        "shortcut_id": None,
        "app_id": None,
    }
