"""Handlers of ``users.messages``: lists and search, reading, sending, inserting, labels, trash, deletion, attachments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stack_emu.upstreams.gmail.mailbox import FIXED_LABELS, Mailbox, Message, not_found, order, raw_bytes, recipients
from stack_emu.upstreams.gmail.mime import addresses, date_of, index_of, mail_date, parsed, with_header
from stack_emu.upstreams.gmail.search import Search, UnknownOperatorError
from stack_emu.upstreams.gmail.showing import (
    brief,
    format_of,
    named,
    only_metadata,
    refuse_for_metadata,
    sent_message,
    shown,
)
from stack_emu.upstreams.google_api import beyond_the_fake, boolean, encode, page_of, page_size, refuse
from stack_emu.upstreams.pack_calls import RestCall

_MOST_IDS = 1000


def found(call: RestCall, box: Mailbox) -> list[Message]:
    """The messages that ``q``, ``labelIds`` and ``includeSpamTrash`` ask for, newest first.

    Raises:
        PackRefusal: for an unknown label, and for a search a token for metadata may not make.
    """
    labels = box.known_labels(call.query_all("labelIds"))
    text = call.query("q")
    if text is not None and only_metadata(call):
        refuse_for_metadata("does not support 'q' parameter")
    try:
        search = Search(text or "", box.label_names(), call.now_ms)
    except UnknownOperatorError as error:
        beyond_the_fake(call, f"Gmail's fake does not know {error} in a search; docs/upstreams.md names what it knows.")
    hidden = {"SPAM", "TRASH"} - set(labels)
    if boolean(call, "includeSpamTrash") or search.everywhere:
        hidden = set()
    return [
        message
        for message in box.newest_first()
        if set(labels) <= set(message["labelIds"]) and not hidden & set(message["labelIds"]) and search.matches(message)
    ]


def list_messages(call: RestCall) -> Any:
    """List messages, newest first; ``q`` searches them."""
    box = Mailbox(call)
    messages = found(call, box)
    page, token = page_of(call, messages, order, page_size(call, 100, 500), descending=True)
    return listed("messages", [named(message) for message in page], token, len(messages))


def get(call: RestCall) -> Any:
    """Read one message in one of four formats."""
    return shown(call, Mailbox(call).message(call.params["id"]), format_of(call))


def send(call: RestCall) -> Any:
    """Send a message; it is kept with the label SENT, and in the inbox too when it goes to the account itself."""
    box = Mailbox(call)
    raw, fields = sent_message(call)
    return brief(deliver(call, box, raw, thread_of(box, fields.get("threadId"))))


def deliver(call: RestCall, box: Mailbox, raw: bytes, thread: str | None) -> Message:
    """Check a message as sending does, put in what it lacks, and keep it.

    Raises:
        PackRefusal: 400 without a recipient, or with one that is no address.
    """
    index = index_of(raw)
    for name in ("to", "cc", "bcc"):
        if index[name].strip() and not addresses(index[name]):
            refuse(400, "invalidArgument", f"Invalid {name.title()} header")
    if not recipients(index):
        refuse(400, "invalidArgument", "Recipient address required")
    if box.address.lower() not in addresses(index["from"]):
        raw = with_header(raw, "From", box.address)
    if not index["message_id"]:
        raw = with_header(raw, "Message-ID", f"<{call.act.new_bytes('gmail.message_id').hex()[:24]}@mail.gmail.com>")
    if date_of(raw) is None:
        raw = with_header(raw, "Date", mail_date(call.now_ms))
    own = ["UNREAD", "INBOX"] if box.address.lower() in recipients(index) else []
    return box.add(raw, ["SENT", *own], thread=thread)


def thread_of(box: Mailbox, thread: Any) -> str | None:
    """The thread a request names.

    Raises:
        PackRefusal: 404 when there is none.
    """
    if not thread:
        return None
    box.thread(str(thread))
    return str(thread)


def insert(call: RestCall) -> Any:
    """Put a message into the mailbox without sending it, like an IMAP APPEND."""
    return brief(_insert(call, "receivedTime"))


def import_message(call: RestCall) -> Any:
    """Put a message into the mailbox as if it had arrived; nothing is taken for spam."""
    call.ignore("query.neverMarkSpam", "query.processForCalendar")
    return brief(_insert(call, "dateHeader"))


def _insert(call: RestCall, source: str) -> Message:
    box = Mailbox(call)
    raw, fields = sent_message(call, "labelIds")
    if call.query("deleted") not in (None, "false"):
        beyond_the_fake(call, "Gmail's fake keeps no messages for Google Vault; leave deleted out.")
    by_header = (call.query("internalDateSource") or source) == "dateHeader"
    labels = box.known_labels(fields.get("labelIds") or [])
    return box.add(
        raw, labels, thread=thread_of(box, fields.get("threadId")), at_ms=date_of(raw) if by_header else None
    )


def modify(call: RestCall) -> Any:
    """Put labels on a message and take others off."""
    box = Mailbox(call)
    message = box.message(call.params["id"])
    return brief(box.relabel(message, *changes(call, box)))


def changes(call: RestCall, box: Mailbox) -> tuple[list[str], list[str]]:
    """The labels of a request to put on and to take off.

    Raises:
        PackRefusal: 400 for none, an unknown one, one of the fixed ones, or one in both lists.
    """
    add = box.known_labels(call.field("addLabelIds") or [])
    remove = box.known_labels(call.field("removeLabelIds") or [])
    if not add and not remove:
        refuse(400, "invalidArgument", "No label add or removes specified")
    for label in (*add, *remove):
        if label in FIXED_LABELS:
            refuse(
                400, "invalidArgument", f"Invalid label: {label}", hint=f"{label} is Gmail's own to put on or take off."
            )
    both = sorted(set(add) & set(remove))
    if both:
        refuse(400, "invalidArgument", f"Cannot both add and remove the same label: {both[0]}")
    return add, remove


def trash(call: RestCall) -> Any:
    """Move a message to the trash; it keeps its other labels."""
    box = Mailbox(call)
    return brief(box.relabel(box.message(call.params["id"]), ["TRASH"], []))


def untrash(call: RestCall) -> Any:
    """Take a message out of the trash, to where its labels put it."""
    box = Mailbox(call)
    return brief(box.relabel(box.message(call.params["id"]), [], ["TRASH"]))


def delete(call: RestCall) -> Any:
    """Delete a message for good."""
    box = Mailbox(call)
    box.remove(box.message(call.params["id"]))


def batch_modify(call: RestCall) -> Any:
    """Change the labels of up to 1000 messages; ids there are no messages of are passed over."""
    box = Mailbox(call)
    keys = _ids(call)
    add, remove = changes(call, box)
    for message in _known(box, keys):
        box.relabel(message, add, remove)


def batch_delete(call: RestCall) -> Any:
    """Delete up to 1000 messages for good; ids there are no messages of are passed over."""
    box = Mailbox(call)
    for message in _known(box, _ids(call)):
        box.remove(message)


def attachment(call: RestCall) -> Any:
    """The content of an attachment in URL-safe base64."""
    message = Mailbox(call).message(call.params["messageId"])
    key = call.params["id"]
    parts = (part for part in parsed(raw_bytes(message)).walk() if part.filename)
    part = next((part for part in parts if part.attachment_id(message["id"]) == key), None)
    if part is None:
        not_found()
    return {"attachmentId": key, "size": len(part.content), "data": encode(part.content)}


def listed(name: str, items: Sequence[Mapping[str, Any]], token: str | None, total: int) -> dict[str, Any]:
    """A page of a list; without items it has no list at all."""
    data: dict[str, Any] = {name: list(items)} if items else {}
    if token is not None:
        data["nextPageToken"] = token
    return {**data, "resultSizeEstimate": total}


def _ids(call: RestCall) -> list[str]:
    keys = call.field("ids")
    if not isinstance(keys, list) or not keys:
        refuse(400, "invalidArgument", "No message ids specified")
    if len(keys) > _MOST_IDS:
        refuse(400, "invalidArgument", f"Too many message ids: at most {_MOST_IDS}")
    return list(dict.fromkeys(str(key) for key in keys))


def _known(box: Mailbox, keys: Sequence[str]) -> list[Message]:
    messages = (box.messages.get(key) for key in keys)
    return [message for message in messages if message is not None]
