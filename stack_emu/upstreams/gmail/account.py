"""Handlers of ``users.getProfile`` and ``users.history``."""

from __future__ import annotations

from typing import Any

from stack_emu.upstreams.gmail.mailbox import BASELINE, Mailbox, not_found
from stack_emu.upstreams.google_api import bad_parameter, page_of, page_size
from stack_emu.upstreams.pack_calls import RestCall

_TYPES = ("messageAdded", "messageDeleted", "labelAdded", "labelRemoved")


def profile(call: RestCall) -> Any:
    """The account's address, how much it holds, and the id of its latest change."""
    box = Mailbox(call)
    messages = box.messages.all()
    return {
        "emailAddress": box.address,
        "messagesTotal": len(messages),
        "threadsTotal": len({message["threadId"] for message in messages}),
        "historyId": box.history_id(),
    }


def list_history(call: RestCall) -> Any:
    """List what changed after ``startHistoryId``: messages that came and went, labels put on and taken off."""
    box = Mailbox(call)
    start = call.query("startHistoryId")
    if start is None or not start.isdigit():
        bad_parameter("startHistoryId", "Missing or invalid startHistoryId")
    if int(start) < BASELINE:
        not_found()
    kinds = call.query_all("historyTypes")
    for kind in kinds:
        if kind not in _TYPES:
            bad_parameter("historyTypes", f"Invalid value at 'history_types': {kind}")
    label = call.query("labelId")
    records = [
        one
        for one in box.changes_since(start)
        if (not kinds or one["kind"] in kinds) and (label is None or label in one["labels"])
    ]
    page, token = page_of(call, records, lambda one: [one["id"]], page_size(call, 100, 500))
    data: dict[str, Any] = {"history": [one["shown"] for one in page]} if page else {}
    if token is not None:
        data["nextPageToken"] = token
    return {**data, "historyId": box.history_id()}
