"""The methods ``chat.*``: docs.slack.dev/reference/methods and slack_sdk 3.47 ``chat_*``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from stack_emu.upstreams.slack import pins
from stack_emu.upstreams.slack.call import SlackCall, SlackError
from stack_emu.upstreams.slack.places import (
    MAX_TEXT,
    channel_by_id,
    channel_to_post_in,
    message_at,
    need_membership,
    need_writable,
    post,
)
from stack_emu.upstreams.slack.records import Channel, Message
from stack_emu.upstreams.slack.shapes import message_shape
from stack_emu.upstreams.slack.stamps import new_stamp


def post_message(call: SlackCall) -> dict[str, Any]:
    """``chat.postMessage``: ``channel`` may be an id, ``#name``, a name or a user's id."""
    call.need("chat:write")
    channel = channel_to_post_in(call, call.required("channel"))
    need_writable(call, channel)
    text, extra = content(call)
    thread_ts = thread(call, channel)
    broadcast = thread_ts is not None and call.flag("reply_broadcast")
    message = post(call, channel, text, thread_ts=thread_ts, broadcast=broadcast, extra=extra)
    return {"channel": channel.channel, "ts": message.ts, "message": message_shape(call, message)}


def post_ephemeral(call: SlackCall) -> dict[str, Any]:
    """``chat.postEphemeral``: seen by one member, in no history."""
    call.need("chat:write")
    channel = channel_to_post_in(call, call.required("channel"))
    user = call.required("user")
    need_writable(call, channel)
    if user not in channel.members:
        raise SlackError("user_not_in_channel")
    text, extra = content(call)
    message = post(call, channel, text, thread_ts=call.text("thread_ts"), ephemeral_to=user, extra=extra)
    return {"message_ts": message.ts}


def update(call: SlackCall) -> dict[str, Any]:
    """``chat.update``: the token's own messages only; blocks and attachments stay unless given, if only as ``[]``."""
    call.need("chat:write")
    channel = channel_by_id(call, call.required("channel"))
    message = _own(call, channel, "cant_update_message")
    text, beside = content(call)
    extra = {key: value for key, value in {**message.extra, **beside}.items() if value}
    edited = new_stamp(call.act, lambda _: False)
    changed = call.store.put(
        replace(message, text=text or message.text, extra=extra, edited_ts=edited, edited_by=call.bot)
    )
    shape = message_shape(call, changed)
    return {"channel": channel.channel, "ts": changed.ts, "text": changed.text, "message": shape}


def delete(call: SlackCall) -> dict[str, Any]:
    """``chat.delete``: the token's own messages only."""
    call.need("chat:write")
    channel = channel_by_id(call, call.required("channel"))
    message = _own(call, channel, "cant_delete_message")
    call.store.delete(Message, message.id)
    pins.forget(call, message)
    return {"channel": channel.channel, "ts": message.ts}


def me_message(call: SlackCall) -> dict[str, Any]:
    """``chat.meMessage``: a message of the subtype ``me_message``."""
    call.need("chat:write")
    channel = channel_to_post_in(call, call.required("channel"))
    need_writable(call, channel)
    text = call.text("text")
    if text is None:
        raise SlackError("no_text")
    if len(text) > MAX_TEXT:
        raise SlackError("msg_too_long")
    message = post(call, channel, text, extra={"subtype": "me_message"})
    return {"channel": channel.channel, "ts": message.ts}


def unfurl(call: SlackCall) -> dict[str, Any]:
    """``chat.unfurl``: hangs an attachment to a message for each of its links; by ``channel`` and ``ts`` only."""
    call.need("links:write")
    if call.raw("unfurl_id") is not None:
        raise SlackError("cannot_find_message")
    unfurls = call.mapping("unfurls", "cannot_parse_attachment")
    if not unfurls:
        raise SlackError("missing_unfurls")
    given, stamp = call.text("channel"), call.text("ts")
    if given is None or stamp is None:
        raise SlackError("missing_channel" if given is None else "missing_ts")
    message = message_at(call, channel_by_id(call, given), stamp, "cannot_find_message")
    attachments = list(message.extra.get("attachments", ()))
    for number, (url, shown) in enumerate(unfurls.items(), start=len(attachments) + 1):
        if not isinstance(shown, dict):
            raise SlackError("cannot_parse_attachment")
        if url not in message.text:
            raise SlackError("cannot_unfurl_url")
        attachments.append({**shown, "id": number, "from_url": url, "is_app_unfurl": True})
    call.store.put(replace(message, extra={**message.extra, "attachments": attachments}))
    return {}


def get_permalink(call: SlackCall) -> dict[str, Any]:
    """``chat.getPermalink``: the address of a message in Slack's web client."""
    channel = channel_by_id(call, call.required("channel"))
    message = message_at(call, channel, call.required("message_ts"))
    return {"channel": channel.channel, "permalink": permalink(call, message)}


def permalink(call: SlackCall, message: Message) -> str:
    """The address of a message in Slack's web client."""
    stamp = message.ts.replace(".", "")
    return f"https://{call.workspace.domain}.slack.com/archives/{message.channel}/p{stamp}"


def _own(call: SlackCall, channel: Channel, refusal: str) -> Message:
    message = message_at(call, channel, call.required("ts"))
    if channel.archived:
        raise SlackError("is_archived")
    need_membership(call, channel)
    if message.user != call.bot:
        raise SlackError(refusal)
    return message


def content(call: SlackCall) -> tuple[str, dict[str, Any]]:
    """Text and what stands beside it, as far as given; there must be text, a block or an attachment."""
    text = call.text("text") or ""
    beside = {
        "blocks": call.array("blocks", "invalid_blocks_format"),
        "attachments": call.array("attachments", "invalid_attachments"),
        "username": call.text("username"),
    }
    given = {key: value for key, value in beside.items() if value is not None}
    if not (text or given.get("blocks") or given.get("attachments")):
        raise SlackError("no_text")
    if len(text) > MAX_TEXT:
        raise SlackError("msg_too_long")
    return text, given


def thread(call: SlackCall, channel: Channel) -> str | None:
    """The first message of the thread that ``thread_ts`` names, which may be a reply's."""
    stamp = call.text("thread_ts")
    if stamp is None:
        return None
    message = message_at(call, channel, stamp, "thread_not_found")
    return message.thread_ts or message.ts
