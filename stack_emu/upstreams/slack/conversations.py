"""The methods ``conversations.*``: docs.slack.dev/reference/methods and slack_sdk 3.47 ``conversations_*``."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from stack_emu.upstreams.slack import pins
from stack_emu.upstreams.slack.call import SlackCall, SlackError
from stack_emu.upstreams.slack.channel_settings import checked_name
from stack_emu.upstreams.slack.paging import page
from stack_emu.upstreams.slack.places import (
    PREFIX,
    channel_by_id,
    channel_named,
    direct_channel,
    message_at,
    need_for,
    need_membership,
    need_to_manage,
    posted,
    replies_to,
)
from stack_emu.upstreams.slack.records import Channel, Message
from stack_emu.upstreams.slack.shapes import channel_shape, message_shape
from stack_emu.upstreams.slack.stamps import new_id

_KINDS = {"public_channel": "public", "private_channel": "private", "im": "im", "mpim": "mpim"}
_STAMP = re.compile(r"\d{1,10}\.\d{6}")
_MAX_USERS = 8
_CREATED = 1_000_000


def list_channels(call: SlackCall) -> dict[str, Any]:
    """``conversations.list``: seeded ones first, then created ones by name; private ones the token's user is in."""
    shown, cursor = page(call, _listed(call), "team", lambda channel: channel.channel)
    shapes = [{**channel_shape(call, channel), "num_members": len(channel.members)} for channel in shown]
    return {"channels": shapes, "response_metadata": {"next_cursor": cursor}}


def info(call: SlackCall) -> dict[str, Any]:
    """``conversations.info``: one conversation the token's user may see."""
    channel = channel_by_id(call, call.required("channel"))
    need_for(call, channel, "read")
    shape = channel_shape(call, channel)
    if call.flag("include_num_members"):
        shape["num_members"] = len(channel.members)
    return {"channel": shape}


def members(call: SlackCall) -> dict[str, Any]:
    """``conversations.members``: ids of those who are in it."""
    channel = channel_by_id(call, call.required("channel"))
    need_for(call, channel, "read")
    shown, cursor = page(call, channel.members, "user", lambda user: user)
    return {"members": shown, "response_metadata": {"next_cursor": cursor}}


def history(call: SlackCall) -> dict[str, Any]:
    """``conversations.history``: newest first, without replies that were not broadcast."""
    channel = _readable(call)
    everything = posted(call, channel)
    shown = [message for message in everything if message.thread_ts is None or message.broadcast]
    within = _within(call, channel)
    newest = [message for message in reversed(shown) if within(message)]
    messages, cursor = page(call, newest, "next_ts", _compact)
    reply: dict[str, Any] = {
        "messages": [message_shape(call, message, replies_to(message, everything)) for message in messages],
        "has_more": bool(cursor),
        "pin_count": len(pins.pinned(call, channel)),
        "channel_actions_ts": None,
        "channel_actions_count": 0,
    }
    if cursor:
        reply["response_metadata"] = {"next_cursor": cursor}
    return reply


def replies(call: SlackCall) -> dict[str, Any]:
    """``conversations.replies``: a thread's first message, then its replies, oldest first."""
    channel = _readable(call)
    asked = message_at(call, channel, call.required("ts"), "thread_not_found")
    first = message_at(call, channel, asked.thread_ts or asked.ts, "thread_not_found")
    thread = replies_to(first, posted(call, channel))
    within = _within(call, channel)
    messages, cursor = page(call, [first, *filter(within, thread)], "next_ts", _compact, default=1000)
    reply: dict[str, Any] = {
        "messages": [message_shape(call, message, thread if message == first else ()) for message in messages],
        "has_more": bool(cursor),
    }
    if cursor:
        reply["response_metadata"] = {"next_cursor": cursor}
    return reply


def create(call: SlackCall) -> dict[str, Any]:
    """``conversations.create``: the token's user is its first member."""
    private = call.flag("is_private")
    call.need(*(("groups:write",) if private else ("channels:manage", "channels:write")))
    name = checked_name(call.text("name"))
    if channel_named(call, name) is not None:
        raise SlackError("name_taken")
    number = new_id(call.act, "C")
    channel = call.store.put(
        Channel(
            id=f"{call.upstream}/{number}",
            upstream=call.upstream,
            channel=number,
            name=name,
            kind="private" if private else "public",
            creator=call.bot,
            members=(call.bot,),
            position=_CREATED,
        )
    )
    return {"channel": channel_shape(call, channel)}


def open_direct(call: SlackCall) -> dict[str, Any]:
    """``conversations.open``: by the conversation's id, or by its users."""
    users = tuple(call.names("users"))
    given = call.text("channel")
    if given is not None:
        channel = channel_by_id(call, given)
        if channel.kind not in ("im", "mpim"):
            raise SlackError("method_not_supported_for_channel_type")
        return _opened(call, channel, already=True)
    if not users:
        raise SlackError("users_list_not_supplied")
    if len(users) > _MAX_USERS:
        raise SlackError("too_many_users")
    if any(call.user(user) is None for user in users):
        raise SlackError("user_not_found")
    call.need("im:write" if len(users) == 1 else "mpim:write")
    before = call.store.count(Channel)
    channel = direct_channel(call, users)
    return _opened(call, channel, already=call.store.count(Channel) == before)


def close(call: SlackCall) -> dict[str, Any]:
    """``conversations.close``: direct conversations; ``conversations.open`` opens them again."""
    channel = channel_by_id(call, call.required("channel"))
    if channel.kind not in ("im", "mpim"):
        raise SlackError("method_not_supported_for_channel_type")
    need_for(call, channel, "write")
    if channel.closed:
        return {"no_op": True, "already_closed": True}
    call.store.put(replace(channel, closed=True))
    return {}


def mark(call: SlackCall) -> dict[str, Any]:
    """``conversations.mark``: the token's user has read up to a message."""
    channel = channel_by_id(call, call.required("channel"))
    need_to_manage(call, channel)
    need_membership(call, channel)
    stamp = call.required("ts")
    if not _STAMP.fullmatch(stamp):
        raise SlackError("invalid_timestamp")
    call.store.put(replace(channel, last_read=stamp))
    return {}


def of_user(call: SlackCall) -> dict[str, Any]:
    """``users.conversations``: those a user is in, as far as the token's user may see them."""
    user = call.text("user") or call.bot
    if call.user(user) is None:
        raise SlackError("user_not_found")
    shown, cursor = page(call, _listed(call, user), "team", lambda channel: channel.channel)
    return {
        "channels": [channel_shape(call, channel) for channel in shown],
        "response_metadata": {"next_cursor": cursor},
    }


def _opened(call: SlackCall, channel: Channel, *, already: bool) -> dict[str, Any]:
    already = already and not channel.closed
    if channel.closed:
        channel = call.store.put(replace(channel, closed=False))
    shape = channel_shape(call, channel) if call.flag("return_im") else {"id": channel.channel}
    return {"no_op": True, "already_open": True, "channel": shape} if already else {"channel": shape}


def _listed(call: SlackCall, user: str | None = None) -> list[Channel]:
    """The conversations of the asked kinds that the token's user may see, and the other user is in."""
    kinds = _asked_kinds(call)
    found = [
        channel
        for channel in call.store.find(Channel, upstream=call.upstream)
        if channel.kind in kinds
        and (channel.kind == "public" or call.bot in channel.members)
        and (user is None or user in channel.members)
    ]
    if call.flag("exclude_archived"):
        found = [channel for channel in found if not channel.archived]
    return sorted(found, key=lambda channel: (channel.position, channel.name or "", channel.channel))


def _asked_kinds(call: SlackCall) -> set[str]:
    names = call.names("types") or ["public_channel"]
    if any(name not in _KINDS for name in names):
        raise SlackError("invalid_types")
    for name in names:
        call.need(f"{PREFIX[_KINDS[name]]}:read")
    return {_KINDS[name] for name in names}


def _readable(call: SlackCall) -> Channel:
    channel = channel_by_id(call, call.required("channel"))
    need_for(call, channel, "history")
    need_membership(call, channel)
    return channel


def _within(call: SlackCall, channel: Channel) -> Callable[[Message], bool]:
    """The test for ``oldest``, ``latest`` and ``inclusive``.

    A stamp of this conversation means that message's place in posting order; any other number is an instant, compared
    with the world's time of posting.
    """
    inclusive = call.flag("inclusive")
    oldest = _bound(call, channel, "oldest", "invalid_ts_oldest")
    latest = _bound(call, channel, "latest", "invalid_ts_latest")

    def test(message: Message) -> bool:
        if oldest is not None and not _after(message, oldest, inclusive):
            return False
        return latest is None or (_at(message, latest) and inclusive) or not _after(message, latest, True)

    return test


def _bound(call: SlackCall, channel: Channel, name: str, error: str) -> Message | float | None:
    value = call.text(name)
    if value is None or value in ("0", "now"):
        return None
    try:
        instant = float(value)
    except ValueError:
        raise SlackError(error) from None
    return call.store.get(Message, f"{channel.id}/{value}") or instant


def _at(message: Message, bound: Message | float) -> bool:
    return message.ts == bound.ts if isinstance(bound, Message) else message.at_ms == bound * 1000


def _after(message: Message, bound: Message | float, inclusive: bool) -> bool:
    if _at(message, bound):
        return inclusive
    if isinstance(bound, Message):
        return message.position > bound.position
    return message.at_ms > bound * 1000


def _compact(message: Message) -> str:
    return message.ts.replace(".", "")
