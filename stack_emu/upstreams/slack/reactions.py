"""The methods ``reactions.*`` on messages: docs.slack.dev/reference/methods and slack_sdk 3.47 ``reactions_*``."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from stack_emu.upstreams.slack.call import SlackCall, SlackError
from stack_emu.upstreams.slack.chat import permalink
from stack_emu.upstreams.slack.paging import DEFAULT_COUNT, numbered, page
from stack_emu.upstreams.slack.places import channel_by_id, message_at, visible
from stack_emu.upstreams.slack.records import Message
from stack_emu.upstreams.slack.shapes import message_shape

_NAME = re.compile(r"[a-z0-9_+'-]+(::skin-tone-[2-6])?")
_STAMP = re.compile(r"\d{1,10}\.\d{6}")


def add(call: SlackCall) -> dict[str, Any]:
    """``reactions.add``: the token's user reacts to a message."""
    call.need("reactions:write")
    name = _name(call)
    message = _message(call)
    users = dict(message.reactions).get(name, ())
    if call.bot in users:
        raise SlackError("already_reacted")
    _put(call, message, name, (*users, call.bot))
    return {}


def remove(call: SlackCall) -> dict[str, Any]:
    """``reactions.remove``: takes back a reaction of the token's user."""
    call.need("reactions:write")
    name = _name(call)
    message = _message(call)
    users = dict(message.reactions).get(name, ())
    if call.bot not in users:
        raise SlackError("no_reaction")
    _put(call, message, name, tuple(user for user in users if user != call.bot))
    return {}


def get(call: SlackCall) -> dict[str, Any]:
    """``reactions.get``: a message with its reactions."""
    call.need("reactions:read")
    message = _message(call)
    return _listed(call, message)


def list_reactions(call: SlackCall) -> dict[str, Any]:
    """``reactions.list``: the messages a user reacted to, newest first, by page or by cursor."""
    call.need("reactions:read")
    user = call.text("user") or call.bot
    if call.user(user) is None:
        raise SlackError("user_not_found")
    found = [message for message in visible(call) if any(user in users for _, users in message.reactions)]
    if call.raw("page") is not None:
        shown, paging = numbered(call, found, DEFAULT_COUNT)
        return {"items": [_listed(call, message) for message in shown], "paging": paging}
    newest, cursor = page(call, found, "reaction", lambda message: f"{message.channel}/{message.ts}")
    return {"items": [_listed(call, message) for message in newest], "response_metadata": {"next_cursor": cursor}}


def _listed(call: SlackCall, message: Message) -> dict[str, Any]:
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
