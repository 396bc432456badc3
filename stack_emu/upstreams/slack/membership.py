"""Who is in a channel: ``conversations.{join, leave, invite, kick}``.

docs.slack.dev/reference/methods and slack_sdk 3.48 ``conversations_*``. Coming and going leaves no message behind.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from stack_emu.upstreams.slack.call import SlackCall, SlackError
from stack_emu.upstreams.slack.channel_settings import GENERAL
from stack_emu.upstreams.slack.places import channel_by_id, need_membership, need_to_manage
from stack_emu.upstreams.slack.records import Channel
from stack_emu.upstreams.slack.shapes import channel_shape

_MAX_INVITED = 1000


def join(call: SlackCall) -> dict[str, Any]:
    """``conversations.join``: public channels only; it leaves no message behind."""
    call.need("channels:join", "channels:write")
    channel = channel_by_id(call, call.required("channel"))
    if channel.kind != "public":
        raise SlackError("method_not_supported_for_channel_type")
    if channel.archived:
        raise SlackError("is_archived")
    if call.bot in channel.members:
        warned = {"warning": "already_in_channel", "response_metadata": {"warnings": ["already_in_channel"]}}
        return {"channel": channel_shape(call, channel), **warned}
    joined = call.store.put(replace(channel, members=(*channel.members, call.bot)))
    return {"channel": channel_shape(call, joined)}


def leave(call: SlackCall) -> dict[str, Any]:
    """``conversations.leave``: the token's user is no longer in it."""
    channel = _channel(call)
    need_to_manage(call, channel)
    if channel.archived:
        raise SlackError("is_archived")
    if channel.name == GENERAL:
        raise SlackError("cant_leave_general")
    if call.bot not in channel.members:
        return {"not_in_channel": True}
    if channel.kind == "private" and len(channel.members) == 1:
        raise SlackError("last_member")
    call.store.put(replace(channel, members=tuple(one for one in channel.members if one != call.bot)))
    return {}


def invite(call: SlackCall) -> dict[str, Any]:
    """``conversations.invite``: all of the users or, with ``force``, those that can be; the others are in ``errors``."""
    channel = _channel(call)
    need_to_manage(call, channel, "invites")
    if channel.archived:
        raise SlackError("is_archived")
    need_membership(call, channel)
    users = list(dict.fromkeys(call.names("users")))
    if not users:
        raise SlackError("no_user")
    if len(users) > _MAX_INVITED:
        raise SlackError("too_many_users")
    refused = {user: word for user in users if (word := _hindrance(call, channel, user)) is not None}
    errors = [{"user": user, "ok": False, "error": word} for user, word in refused.items()]
    if errors and (not call.flag("force") or len(errors) == len(users)):
        raise SlackError(next(iter(refused.values())), errors=errors)
    members = (*channel.members, *(user for user in users if user not in refused))
    shape = channel_shape(call, call.store.put(replace(channel, members=members)))
    return {"channel": shape, **({"errors": errors} if errors else {})}


def kick(call: SlackCall) -> dict[str, Any]:
    """``conversations.kick``: takes another user out."""
    channel = _channel(call)
    need_to_manage(call, channel)
    user = call.required("user")
    if call.user(user) is None:
        raise SlackError("user_not_found")
    if user == call.bot:
        raise SlackError("cant_kick_self")
    if channel.name == GENERAL:
        raise SlackError("cant_kick_from_general")
    need_membership(call, channel)
    if user not in channel.members:
        raise SlackError("not_in_channel")
    call.store.put(replace(channel, members=tuple(one for one in channel.members if one != user)))
    return {"errors": {}}


def _channel(call: SlackCall) -> Channel:
    channel = channel_by_id(call, call.required("channel"))
    if channel.kind not in ("public", "private"):
        raise SlackError("method_not_supported_for_channel_type")
    return channel


def _hindrance(call: SlackCall, channel: Channel, user: str) -> str | None:
    """Why a user cannot be invited, in Slack's word; None when it can."""
    found = call.user(user)
    if user == call.bot:
        return "cant_invite_self"
    if found is None:
        return "user_not_found"
    if user in channel.members:
        return "already_in_channel"
    return "user_is_restricted" if found.deleted else None
