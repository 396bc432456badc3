"""Messages for later: ``chat.scheduleMessage``, ``chat.deleteScheduledMessage``, ``chat.scheduledMessages.list``.

docs.slack.dev/reference/methods and slack_sdk 3.48. A message is posted at its instant on the world's clock. It is written
when the workspace is next called at or after that instant, before anything else happens in it, so that it stands in
its channel where it belongs; nobody can tell the difference. One whose channel is archived by then is dropped.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from stack_emu.kernel.store import Store
from stack_emu.upstreams.slack.call import SlackCall, SlackError
from stack_emu.upstreams.slack.chat import content, thread
from stack_emu.upstreams.slack.paging import page
from stack_emu.upstreams.slack.places import channel_to_post_in, need_writable
from stack_emu.upstreams.slack.records import Channel, Message, Scheduled, Workspace
from stack_emu.upstreams.slack.shapes import bot_fields
from stack_emu.upstreams.slack.stamps import new_id, new_stamp

_FURTHEST_S = 120 * 86_400
_WINDOW_S = 300
_PER_WINDOW = 30
_TOO_LATE_S = 60


def schedule(call: SlackCall) -> dict[str, Any]:
    """``chat.scheduleMessage``: at most 120 days ahead, and 30 messages of a channel in five minutes."""
    call.need("chat:write")
    channel = channel_to_post_in(call, call.required("channel"))
    need_writable(call, channel)
    text, extra = content(call)
    thread_ts = thread(call, channel)
    post_at = _instant(call)
    if len([one for one in _waiting(call, channel) if one.post_at // _WINDOW_S == post_at // _WINDOW_S]) >= _PER_WINDOW:
        raise SlackError("restricted_too_many")
    number = new_id(call.act, "Q")
    call.store.put(
        Scheduled(
            id=f"{call.upstream}/{number}",
            upstream=call.upstream,
            number=number,
            place=channel.id,
            channel=channel.channel,
            ts=new_stamp(call.act, lambda taken: _taken(call, channel, taken)),
            user=call.bot,
            text=text,
            post_at=post_at,
            thread_ts=thread_ts,
            broadcast=thread_ts is not None and call.flag("reply_broadcast"),
            extra=extra,
        )
    )
    shown = {"type": "delayed_message", "text": text, "user": call.bot, "team": call.workspace.team, **bot_fields(call)}
    message = {**shown, **extra, **({"thread_ts": thread_ts} if thread_ts else {})}
    return {"channel": channel.channel, "scheduled_message_id": number, "post_at": post_at, "message": message}


def delete_scheduled(call: SlackCall) -> dict[str, Any]:
    """``chat.deleteScheduledMessage``: until a minute before it is posted."""
    call.need("chat:write")
    channel = channel_to_post_in(call, call.required("channel"))
    found = call.store.get(Scheduled, f"{call.upstream}/{call.required('scheduled_message_id')}")
    if found is None or found.place != channel.id or found.post_at - call.now_s < _TOO_LATE_S:
        raise SlackError("invalid_scheduled_message_id")
    call.store.delete(Scheduled, found.id)
    return {}


def list_scheduled(call: SlackCall) -> dict[str, Any]:
    """``chat.scheduledMessages.list``: what waits, the soonest first."""
    given = call.text("channel")
    channel = None if given is None else channel_to_post_in(call, given)
    oldest, latest = call.number("oldest"), call.number("latest")
    found = [
        one
        for one in _waiting(call, channel)
        if (oldest is None or one.post_at >= oldest) and (latest is None or one.post_at <= latest)
    ]
    shown, cursor = page(call, found, "scheduled", lambda one: one.number)
    return {
        "scheduled_messages": [
            {"id": one.number, "channel_id": one.channel, "post_at": one.post_at, "text": one.text} for one in shown
        ],
        "response_metadata": {"next_cursor": cursor},
    }


def due(store: Store, upstream: str, now_ms: int) -> list[Scheduled]:
    """The messages whose instant has come, in the order they are posted.

    Args:
        store: the world's store.
        upstream: name of the upstream.
        now_ms: the world's instant in epoch milliseconds.
    """
    found = (one for one in store.find(Scheduled, upstream=upstream) if one.post_at * 1000 <= now_ms)
    return sorted(found, key=lambda one: (one.post_at, one.number))


def as_message(scheduled: Scheduled, position: int) -> Message:
    """The message that a scheduled one becomes.

    Args:
        scheduled: what was scheduled.
        position: its place in posting order.
    """
    return Message(
        id=f"{scheduled.place}/{scheduled.ts}",
        place=scheduled.place,
        upstream=scheduled.upstream,
        channel=scheduled.channel,
        ts=scheduled.ts,
        user=scheduled.user,
        text=scheduled.text,
        position=position,
        at_ms=scheduled.post_at * 1000,
        thread_ts=scheduled.thread_ts,
        broadcast=scheduled.broadcast,
        extra=scheduled.extra,
    )


def post_due(call: SlackCall) -> None:
    """Post the messages whose instant has come."""
    for one in due(call.store, call.upstream, call.act.now_ms):
        call.store.delete(Scheduled, one.id)
        channel = call.store.get(Channel, one.place)
        workspace = call.store.get(Workspace, call.upstream)
        if channel is None or channel.archived or workspace is None:
            continue
        call.store.put(as_message(one, workspace.next_position))
        call.store.put(replace(workspace, next_position=workspace.next_position + 1))


def _waiting(call: SlackCall, channel: Channel | None) -> list[Scheduled]:
    found = call.store.find(Scheduled, upstream=call.upstream)
    mine = (one for one in found if channel is None or one.place == channel.id)
    return sorted(mine, key=lambda one: (one.post_at, one.number))


def _taken(call: SlackCall, channel: Channel, stamp: str) -> bool:
    if call.store.get(Message, f"{channel.id}/{stamp}") is not None:
        return True
    return any(one.ts == stamp for one in _waiting(call, channel))


def _instant(call: SlackCall) -> int:
    value = call.required("post_at")
    try:
        post_at = int(float(value))
    except (ValueError, OverflowError):
        raise SlackError("invalid_time") from None
    if post_at <= call.now_s:
        raise SlackError("time_in_past")
    if post_at > call.now_s + _FURTHEST_S:
        raise SlackError("time_too_far")
    return post_at
