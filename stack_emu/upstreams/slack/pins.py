"""The methods ``pins.*`` on messages: docs.slack.dev/reference/methods and slack_sdk 3.48 ``pins_*``."""

from __future__ import annotations

import re
from typing import Any

from stack_emu.upstreams.slack.call import SlackCall, SlackError
from stack_emu.upstreams.slack.places import channel_by_id, message_at, need_membership
from stack_emu.upstreams.slack.records import Channel, Message
from stack_emu.upstreams.slack.shapes import message_shape
from stack_emu.upstreams.slack.stamps import EPOCH_S

_STAMP = re.compile(r"\d{1,10}\.\d{6}")


def add(call: SlackCall) -> dict[str, Any]:
    """``pins.add``: messages only."""
    call.need("pins:write")
    channel, message = _item(call)
    if channel.archived:
        raise SlackError("is_archived")
    kept = call.collection(_name(channel))
    if kept.get(message.ts) is not None:
        raise SlackError("already_pinned")
    kept.put(message.ts, {"user": call.bot})
    return {}


def remove(call: SlackCall) -> dict[str, Any]:
    """``pins.remove``: takes a pin off a message."""
    call.need("pins:write")
    channel, message = _item(call)
    if not call.collection(_name(channel)).delete(message.ts):
        raise SlackError("no_pin")
    return {}


def list_pins(call: SlackCall) -> dict[str, Any]:
    """``pins.list``: the last pinned first."""
    call.need("pins:read")
    channel = channel_by_id(call, call.required("channel"))
    need_membership(call, channel)
    items = []
    for stamp, pin in call.collection(_name(channel)).items():
        message = message_at(call, channel, stamp)
        shape = {**message_shape(call, message), "pinned_to": [channel.channel]}
        created = {"created": EPOCH_S, "created_by": pin["user"]}
        items.append({"type": "message", "channel": channel.channel, "message": shape, **created})
    return {"items": items[::-1]}


def pinned(call: SlackCall, channel: Channel) -> set[str]:
    """The stamps of a conversation's pinned messages."""
    return {stamp for stamp, _ in call.collection(_name(channel)).items()}


def forget(call: SlackCall, message: Message) -> None:
    """Drop the pin of a message that is deleted."""
    call.collection(f"pins/{message.channel}").delete(message.ts)


def _name(channel: Channel) -> str:
    return f"pins/{channel.channel}"


def _item(call: SlackCall) -> tuple[Channel, Message]:
    channel = channel_by_id(call, call.required("channel"))
    need_membership(call, channel)
    stamp = call.text("timestamp")
    if stamp is None:
        raise SlackError("no_item_specified")
    if not _STAMP.fullmatch(stamp):
        raise SlackError("bad_timestamp")
    return channel, message_at(call, channel, stamp)
