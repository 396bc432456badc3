"""Handlers of ``users.threads``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stack_emu.upstreams.gmail.mailbox import Mailbox, Message, order
from stack_emu.upstreams.gmail.messages import changes, found, listed
from stack_emu.upstreams.gmail.showing import brief, format_of, shown
from stack_emu.upstreams.google_api import page_of, page_size
from stack_emu.upstreams.pack_calls import RestCall

_FORMATS = ("full", "metadata", "minimal")


def list_threads(call: RestCall) -> Any:
    """List the threads that have a message the search finds, those with the newest one first."""
    box = Mailbox(call)
    latest: dict[str, Message] = {}
    for message in found(call, box):
        latest.setdefault(message["threadId"], message)
    threads = list(latest.values())
    page, token = page_of(call, threads, order, page_size(call, 100, 500), descending=True)
    return listed("threads", [_named(box, message["threadId"]) for message in page], token, len(threads))


def get(call: RestCall) -> Any:
    """Read a thread with its messages, oldest first."""
    messages = Mailbox(call).thread(call.params["id"])
    shape = format_of(call, _FORMATS)
    data = {"id": call.params["id"], "historyId": _history_id(messages)}
    return {**data, "messages": [shown(call, message, shape) for message in messages]}


def modify(call: RestCall) -> Any:
    """Change the labels of every message of a thread."""
    box = Mailbox(call)
    messages = box.thread(call.params["id"])
    return _relabelled(call, box, messages, *changes(call, box))


def trash(call: RestCall) -> Any:
    """Move a thread to the trash."""
    box = Mailbox(call)
    return _relabelled(call, box, box.thread(call.params["id"]), ["TRASH"], [])


def untrash(call: RestCall) -> Any:
    """Take a thread out of the trash."""
    box = Mailbox(call)
    return _relabelled(call, box, box.thread(call.params["id"]), [], ["TRASH"])


def delete(call: RestCall) -> Any:
    """Delete a thread and its messages for good."""
    box = Mailbox(call)
    for message in box.thread(call.params["id"]):
        box.remove(message)


def _named(box: Mailbox, key: str) -> dict[str, Any]:
    messages = box.thread(key)
    return {"id": key, "snippet": messages[-1]["snippet"], "historyId": _history_id(messages)}


def _history_id(messages: Sequence[Message]) -> str:
    return str(max(message["historyId"] for message in messages))


def _relabelled(
    call: RestCall, box: Mailbox, messages: Sequence[Message], add: Sequence[str], remove: Sequence[str]
) -> dict[str, Any]:
    changed = [box.relabel(message, add, remove) for message in messages]
    return {"id": call.params["id"], "messages": [brief(message) for message in changed]}
