"""The methods ``reactions.*`` on messages: docs.slack.dev/reference/methods and slack_sdk 3.47 ``reactions_*``."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from stack_emu.upstreams.slack.call import SlackCall, SlackError
from stack_emu.upstreams.slack.chat import permalink
from stack_emu.upstreams.slack.places import channel_by_id, message_at
from stack_emu.upstreams.slack.records import Message
from stack_emu.upstreams.slack.shapes import message_shape

_NAME = re.compile(r"[a-z0-9_+'-]+(::skin-tone-[2-6])?")
_STAMP = re.compile(r"\d{1,10}\.\d{6}")


def add(call: SlackCall) -> dict[str, Any]:
    """``reactions.add``."""
    call.need("reactions:write")
    name = _name(call)
    message = _message(call)
    users = dict(message.reactions).get(name, ())
    if call.bot in users:
        raise SlackError("already_reacted")
    _put(call, message, name, (*users, call.bot))
    return {}


def remove(call: SlackCall) -> dict[str, Any]:
    """``reactions.remove``."""
    call.need("reactions:write")
    name = _name(call)
    message = _message(call)
    users = dict(message.reactions).get(name, ())
    if call.bot not in users:
        raise SlackError("no_reaction")
    _put(call, message, name, tuple(user for user in users if user != call.bot))
    return {}


def get(call: SlackCall) -> dict[str, Any]:
    """``reactions.get``."""
    call.need("reactions:read")
    message = _message(call)
    shape = {**message_shape(call, message), "permalink": permalink(call, message)}
    return {"type": "message", "channel": message.channel, "message": shape}


def _name(call: SlackCall) -> str:
    name = call.required("name").strip(":")
    if not _NAME.fullmatch(name):
        raise SlackError("invalid_name")
    return name


def _message(call: SlackCall) -> Message:
    channel, stamp = call.text("channel"), call.text("timestamp")
    if channel is None or stamp is None:
        raise SlackError("no_item_specified")
    found = channel_by_id(call, channel)
    if not _STAMP.fullmatch(stamp):
        raise SlackError("bad_timestamp")
    return message_at(call, found, stamp)


def _put(call: SlackCall, message: Message, name: str, users: tuple[str, ...]) -> None:
    reactions = {**dict(message.reactions), name: users}
    call.store.put(replace(message, reactions=tuple((key, value) for key, value in reactions.items() if value)))
