"""Handlers of ``users.drafts``. A draft keeps its id while its message, when changed, gets a new one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stack_emu.upstreams.gmail.mailbox import Mailbox, Message, not_found, order, raw_bytes
from stack_emu.upstreams.gmail.messages import deliver, found, listed, thread_of
from stack_emu.upstreams.gmail.showing import brief, format_of, named, sent_message, shown
from stack_emu.upstreams.google_api import page_of, page_size, refuse
from stack_emu.upstreams.pack_calls import RestCall


def list_drafts(call: RestCall) -> Any:
    """List drafts, newest first; ``q`` searches them."""
    box = Mailbox(call)
    drafts = {str(draft["messageId"]): str(draft["id"]) for draft in box.drafts.all()}
    messages = [message for message in found(call, box) if message["id"] in drafts]
    page, token = page_of(call, messages, order, page_size(call, 100, 500), descending=True)
    shown_drafts = [{"id": drafts[message["id"]], "message": named(message)} for message in page]
    return listed("drafts", shown_drafts, token, len(messages))


def get(call: RestCall) -> Any:
    """Read a draft with its message in one of four formats."""
    box = Mailbox(call)
    draft, message = _draft(box, call.params["id"])
    return {"id": draft["id"], "message": shown(call, message, format_of(call))}


def create(call: RestCall) -> Any:
    """Keep a message as a draft; it needs no recipient yet."""
    box = Mailbox(call)
    raw, fields = sent_message(call, inside="message")
    message = box.add(raw, ["DRAFT"], thread=thread_of(box, fields.get("threadId")))
    key = call.mint(box.drafts.free(lambda: f"r{10**18 + call.act.new_number('gmail.draft', 8 * 10**18)}"))
    box.drafts.put(key, {"id": key, "messageId": message["id"]})
    return {"id": key, "message": brief(message)}


def update(call: RestCall) -> Any:
    """Replace the message of a draft; it stays in its thread unless another is named."""
    box = Mailbox(call)
    draft, message = _draft(box, call.params["id"])
    call.ignore("id")
    raw, fields = sent_message(call, inside="message")
    return {"id": draft["id"], "message": brief(_replace(box, draft, message, raw, fields))}


def delete(call: RestCall) -> Any:
    """Delete a draft for good."""
    box = Mailbox(call)
    _, message = _draft(box, call.params["id"])
    box.remove(message)


def send(call: RestCall) -> Any:
    """Send a draft, with another message when one is given; the draft is gone and the sent message has a new id."""
    box = Mailbox(call)
    key = call.field("id")
    if call.fields.get("message") or call.request.path.startswith("/upload/"):
        raw, fields = sent_message(call, inside="message")
    else:
        raw, fields = b"", {}
    if not key and not raw:
        refuse(400, "invalidArgument", "Invalid draft", hint="name the draft by id.")
    thread = thread_of(box, fields.get("threadId"))
    if key:
        _, message = _draft(box, str(key))
        raw = raw or raw_bytes(message)
        sent = deliver(call, box, raw, thread or message["threadId"])
        box.remove(message)
        return brief(sent)
    return brief(deliver(call, box, raw, thread))


def _draft(box: Mailbox, key: str) -> tuple[Mapping[str, Any], Message]:
    draft = box.drafts.get(key)
    if draft is None:
        not_found()
    return draft, box.message(draft["messageId"])


def _replace(box: Mailbox, draft: Mapping[str, Any], old: Message, raw: bytes, fields: Mapping[str, Any]) -> Message:
    new = box.add(raw, ["DRAFT"], thread=thread_of(box, fields.get("threadId")) or old["threadId"])
    box.drafts.put(draft["id"], {"id": draft["id"], "messageId": new["id"]})
    box.remove(old)
    return new
