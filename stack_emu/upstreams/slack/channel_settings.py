"""What can be set of a channel: its name, topic, purpose, and whether it is archived.

docs.slack.dev/reference/methods and slack_sdk 3.48 ``conversations_*``. None of it leaves a message in the channel.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from stack_emu.upstreams.slack.call import SlackCall, SlackError
from stack_emu.upstreams.slack.places import channel_by_id, channel_named, need_membership, need_to_manage
from stack_emu.upstreams.slack.records import Channel
from stack_emu.upstreams.slack.shapes import channel_shape

GENERAL = "general"
"""The channel everybody is in, which nobody leaves or archives."""

_MAX_NAME = 80
_MAX_TOPIC = 250


def rename(call: SlackCall) -> dict[str, Any]:
    """``conversations.rename``: channels the token's user created."""
    channel = _channel(call)
    need_to_manage(call, channel)
    _need_open(channel)
    need_membership(call, channel)
    name = checked_name(call.text("name"))
    if channel.creator != call.bot:
        raise SlackError("not_authorized")
    taken = channel_named(call, name)
    if taken is not None and taken.id != channel.id:
        raise SlackError("name_taken")
    names = channel.previous_names
    if channel.name is not None and channel.name != name:
        names = (channel.name, *(one for one in names if one not in (name, channel.name)))
    renamed = call.store.put(replace(channel, name=name, previous_names=names))
    return {"channel": channel_shape(call, renamed)}


def set_topic(call: SlackCall) -> dict[str, Any]:
    """``conversations.setTopic``: 250 characters at most."""
    topic = _long_text(call, "topic")
    return {"channel": channel_shape(call, call.store.put(replace(_described(call), topic=topic)))}


def set_purpose(call: SlackCall) -> dict[str, Any]:
    """``conversations.setPurpose``: 250 characters at most."""
    purpose = _long_text(call, "purpose")
    changed = call.store.put(replace(_described(call), purpose=purpose))
    return {"channel": channel_shape(call, changed), "purpose": purpose}


def archive(call: SlackCall) -> dict[str, Any]:
    """``conversations.archive``: nobody can post there any more."""
    channel = _channel(call)
    need_to_manage(call, channel)
    if channel.archived:
        raise SlackError("already_archived")
    if channel.name == GENERAL:
        raise SlackError("cant_archive_general")
    call.store.put(replace(channel, archived=True))
    return {}


def unarchive(call: SlackCall) -> dict[str, Any]:
    """``conversations.unarchive``: with its members as they were."""
    channel = _channel(call)
    need_to_manage(call, channel)
    if not channel.archived:
        raise SlackError("not_archived")
    call.store.put(replace(channel, archived=False))
    return {}


def checked_name(name: str | None) -> str:
    """A channel's name that Slack takes.

    Raises:
        SlackError: ``invalid_name_required``, ``invalid_name_maxlength``, ``invalid_name_specials`` or
            ``invalid_name_punctuation``.
    """
    if name is None:
        raise SlackError("invalid_name_required")
    if len(name) > _MAX_NAME:
        raise SlackError("invalid_name_maxlength")
    if any(letter.isupper() or not (letter.isalnum() or letter in "-_") for letter in name):
        raise SlackError("invalid_name_specials")
    if not any(letter.isalnum() for letter in name):
        raise SlackError("invalid_name_punctuation")
    return name


def _channel(call: SlackCall) -> Channel:
    channel = channel_by_id(call, call.required("channel"))
    if channel.kind not in ("public", "private"):
        raise SlackError("method_not_supported_for_channel_type")
    return channel


def _need_open(channel: Channel) -> None:
    if channel.archived:
        raise SlackError("is_archived")


def _described(call: SlackCall) -> Channel:
    channel = channel_by_id(call, call.required("channel"))
    if channel.kind == "im":
        raise SlackError("method_not_supported_for_channel_type")
    need_to_manage(call, channel, "topic")
    _need_open(channel)
    need_membership(call, channel)
    return channel


def _long_text(call: SlackCall, name: str) -> str:
    text = call.text(name) or ""
    if len(text) > _MAX_TOPIC:
        raise SlackError("too_long")
    return text
