"""Finding conversations and messages, and putting messages into them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from stack_emu.upstreams.slack.call import SlackCall, SlackError
from stack_emu.upstreams.slack.records import Channel, Message, User, Workspace
from stack_emu.upstreams.slack.stamps import new_stamp, slack_id

PREFIX = {"public": "channels", "private": "groups", "im": "im", "mpim": "mpim"}
"""The front of the scopes for each kind of conversation."""

MAX_TEXT = 40_000
"""Characters in a message (docs.slack.dev, chat.postMessage, msg_too_long)."""


def channel_by_id(call: SlackCall, given: str) -> Channel:
    """The conversation with this id, if the token's user may see it.

    Raises:
        SlackError: ``channel_not_found``.
    """
    channel = call.store.get(Channel, f"{call.upstream}/{given}")
    if channel is None or (channel.kind != "public" and call.bot not in channel.members):
        raise SlackError("channel_not_found")
    return channel


def channel_to_post_in(call: SlackCall, given: str) -> Channel:
    """The conversation a message goes to: an id, ``#name``, a name, or a user's id for a direct message.

    Raises:
        SlackError: ``channel_not_found``.
    """
    if call.user(given) is not None:
        return direct_channel(call, (given,))
    named = call.store.find(Channel, name=given.removeprefix("#"), upstream=call.upstream)
    found = next((channel for channel in named if channel.kind in ("public", "private")), None)
    return channel_by_id(call, found.channel if found is not None else given)


def channel_named(call: SlackCall, name: str) -> Channel | None:
    """The channel of this name, seen or not."""
    return next(call.store.find(Channel, name=name, upstream=call.upstream), None)


def direct_channel(call: SlackCall, users: tuple[str, ...]) -> Channel:
    """The direct conversation with these users, opened when there is none; the same users always have the same one."""
    members = tuple(dict.fromkeys((*users, call.bot)))
    kind = "im" if len(members) <= 2 else "mpim"
    raw = call.context.world.key_bytes(f"slack.{call.upstream}.{kind}", ",".join(sorted(members)))
    number = slack_id("D" if kind == "im" else "G", raw)
    found = call.store.get(Channel, f"{call.upstream}/{number}")
    if found is not None:
        return found
    names = [user.name for user in (call.user(member) for member in members) if user is not None]
    return call.store.put(
        Channel(
            id=f"{call.upstream}/{number}",
            upstream=call.upstream,
            channel=number,
            name=f"mpdm-{'--'.join(sorted(names))}-1" if kind == "mpim" else None,
            kind=kind,
            creator=call.bot,
            members=members,
        )
    )


def need_for(call: SlackCall, channel: Channel, what: str) -> None:
    """Require the scope for a kind of conversation, for example ``channels:history``.

    Raises:
        SlackError: ``missing_scope``.
    """
    call.need(f"{PREFIX[channel.kind]}:{what}")


def need_to_manage(call: SlackCall, channel: Channel, *parts: str) -> None:
    """Require a scope that lets the token change a conversation.

    Args:
        call: the call.
        channel: the conversation.
        *parts: narrower scopes that do as well, by their ends: ``topic`` for ``channels:write.topic``.

    Raises:
        SlackError: ``missing_scope``.
    """
    first = ("channels:manage", "channels:write") if channel.kind == "public" else (f"{PREFIX[channel.kind]}:write",)
    call.need(*first, *(f"{PREFIX[channel.kind]}:write.{part}" for part in parts))


def need_membership(call: SlackCall, channel: Channel) -> None:
    """Require the token's user to be in the conversation.

    Raises:
        SlackError: ``not_in_channel``.
    """
    if call.bot not in channel.members:
        raise SlackError("not_in_channel")


def message_at(call: SlackCall, channel: Channel, stamp: str, error: str = "message_not_found") -> Message:
    """The message with this stamp that everybody sees.

    Raises:
        SlackError: ``error`` when there is none.
    """
    message = call.store.get(Message, f"{channel.id}/{stamp}")
    if message is None or message.ephemeral_to is not None:
        raise SlackError(error)
    return message


def posted(call: SlackCall, channel: Channel) -> list[Message]:
    """Messages everybody sees, in posting order."""
    found = (message for message in call.store.find(Message, place=channel.id) if message.ephemeral_to is None)
    return sorted(found, key=lambda message: message.position)


def visible(call: SlackCall) -> list[Message]:
    """Every message that everybody sees in the conversations the token's user may see, newest first."""
    found = [
        message
        for channel in call.store.find(Channel, upstream=call.upstream)
        if channel.kind == "public" or call.bot in channel.members
        for message in call.store.find(Message, place=channel.id)
        if message.ephemeral_to is None
    ]
    return sorted(found, key=lambda message: -message.position)


def replies_to(message: Message, messages: list[Message]) -> list[Message]:
    """The replies in a message's thread, in posting order."""
    return [reply for reply in messages if reply.thread_ts == message.ts]


def post(
    call: SlackCall,
    channel: Channel,
    text: str,
    *,
    thread_ts: str | None = None,
    broadcast: bool = False,
    files: tuple[str, ...] = (),
    ephemeral_to: str | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Message:
    """Put a message by the token's user into a conversation and return it."""
    workspace = call.store.get(Workspace, call.upstream) or call.workspace
    call.store.put(replace(workspace, next_position=workspace.next_position + 1))
    stamp = new_stamp(call.act, lambda taken: call.store.get(Message, f"{channel.id}/{taken}") is not None)
    return call.store.put(
        Message(
            id=f"{channel.id}/{stamp}",
            place=channel.id,
            upstream=call.upstream,
            channel=channel.channel,
            ts=stamp,
            user=call.bot,
            text=text,
            position=workspace.next_position,
            at_ms=call.act.now_ms,
            thread_ts=thread_ts,
            broadcast=broadcast,
            files=files,
            ephemeral_to=ephemeral_to,
            extra=dict(extra or {}),
        )
    )


def need_writable(call: SlackCall, channel: Channel) -> None:
    """Require that the token's user may post: the channel is not archived, and the user is in it or may write anyway.

    Raises:
        SlackError: ``is_archived`` or ``not_in_channel``.
    """
    if channel.archived:
        raise SlackError("is_archived")
    if call.bot in channel.members:
        return
    explicit = call.context.credential is not None and call.context.credential.scopes is not None
    if not (explicit and channel.kind == "public" and call.has("chat:write.public")):
        raise SlackError("not_in_channel")


def people(call: SlackCall) -> list[User]:
    """Every user in the order of the seed."""
    return sorted(call.store.find(User, upstream=call.upstream), key=lambda user: user.position)
