"""The mailbox of one upstream in one call: messages, threads, labels, drafts and what happened to them.

Message and draft ids are derived from the call that made them. A thread has the id of its first message. Messages are
ordered by their instant, then by what they came after: the messages of their thread and those their call names.

The id of a change is made of the instant, of how many changes of its message came before, and of derived digits. What a
client is told as the mailbox's latest ``historyId`` stands for the changes there were, in whatever order they arrived: a list
of the changes since it has exactly those that are not among them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, NoReturn

from stack_emu.kernel.world import World
from stack_emu.upstreams.documents import Collection
from stack_emu.upstreams.gmail.mime import addresses, index_of, stripped_subject
from stack_emu.upstreams.google_api import decode, encode, refuse
from stack_emu.upstreams.pack_calls import RestCall

Message = Mapping[str, Any]
"""``id``, ``threadId``, ``labelIds``, ``internalDate`` (ms), ``historyId``, ``raw`` and what the search looks at."""

SYSTEM_LABELS = (
    "CHAT",
    "SENT",
    "INBOX",
    "IMPORTANT",
    "TRASH",
    "DRAFT",
    "SPAM",
    "CATEGORY_FORUMS",
    "CATEGORY_UPDATES",
    "CATEGORY_PERSONAL",
    "CATEGORY_PROMOTIONS",
    "CATEGORY_SOCIAL",
    "STARRED",
    "UNREAD",
)
"""Ids of the labels every mailbox has, which are their names too."""

FIXED_LABELS = ("SENT", "DRAFT", "CHAT")
"""System labels that nobody puts on or takes off."""

BASELINE = 999_999
"""The history id of a mailbox in which nothing has changed; those of seeded messages are below it."""

_STEPS = 100
_DIGITS = 1_000_000
_ID = re.compile(r"[0-9a-f]{1,16}")
_LOGGED = {"messageAdded": "messagesAdded", "messageDeleted": "messagesDeleted"}
_LOGGED |= {"labelAdded": "labelsAdded", "labelRemoved": "labelsRemoved"}


class Mailbox:
    """The one mailbox behind an upstream.

    Args:
        call: the call that looks at it.
    """

    def __init__(self, call: RestCall) -> None:
        self.call = call
        self.messages = call.collection("messages")
        self.labels = call.collection("labels")
        self.drafts = call.collection("drafts")
        self.history = call.collection("history")
        self.cursors = call.collection("cursors")
        account = call.collection("account").get("me") or {}
        self.address: str = account["email"]
        self.start_ms: int = account["start_ms"]
        user = call.params.get("userId", "me")
        if user.lower() not in ("me", self.address.lower()):
            refuse(403, "forbidden", f"Delegation denied for {self.address}", hint=f"userId is me or {self.address}.")

    # --- reading ----------------------------------------------------------------------------------------------------

    def message(self, key: str) -> Message:
        """A message.

        Raises:
            PackRefusal: 400 when it is no id, 404 when there is none.
        """
        if _ID.fullmatch(key) is None:
            refuse(400, "invalidArgument", "Invalid id value", hint="message ids are hexadecimal digits.")
        found = self.messages.get(key)
        if found is None:
            not_found()
        return found

    def newest_first(self) -> list[Message]:
        """Every message, the newest first."""
        return sorted(self.messages.all(), key=order, reverse=True)

    def thread(self, key: str) -> list[Message]:
        """The messages of a thread, oldest first.

        Raises:
            PackRefusal: 400 when it is no id, 404 when there is none.
        """
        if _ID.fullmatch(key) is None:
            refuse(400, "invalidArgument", "Invalid id value", hint="thread ids are hexadecimal digits.")
        found = sorted((one for one in self.messages.all() if one["threadId"] == key), key=order)
        if not found:
            not_found()
        return found

    def label_names(self) -> dict[str, str]:
        """Names of the user's labels to their ids."""
        return {str(one["name"]): str(one["id"]) for one in self.labels.all()}

    def known_labels(self, given: Any) -> list[str]:
        """Label ids of a request.

        Raises:
            PackRefusal: 400 when one of them is no label.
        """
        if not isinstance(given, list):
            refuse(400, "invalidArgument", "Invalid value at label ids")
        for label in given:
            if label not in SYSTEM_LABELS and self.labels.get(str(label)) is None:
                known = ", ".join([*SYSTEM_LABELS, *sorted(self.label_names().values())])
                refuse(400, "invalidArgument", f"Invalid label: {label}", hint=f"labels are named by id: {known}.")
        return [str(label) for label in given]

    def history_id(self) -> str:
        """The id that stands for all changes so far."""
        known = sorted(int(key) for key, _ in self.history.items())
        if not known:
            return str(BASELINE)
        mark = int(sha256(repr(known).encode()).hexdigest(), 16) % _DIGITS
        key = str(known[-1] // _DIGITS * _DIGITS + mark)
        if self.cursors.get(key) is None:
            self.cursors.put(key, {"known": known})
        return key

    # --- writing ----------------------------------------------------------------------------------------------------

    def add(self, raw: bytes, labels: Iterable[str], *, thread: str | None, at_ms: int | None = None) -> Message:
        """Put a message into the mailbox.

        Args:
            raw: its bytes.
            labels: its labels' ids.
            thread: the thread it joins; else the one its references and subject name, else one of its own.
            at_ms: its internal date; the instant of the call by default.
        """
        key = self.call.mint(self.messages.free(lambda: self.call.act.new_bytes("gmail.message").hex()[:16]))
        index = index_of(raw)
        message = {
            "id": key,
            "threadId": thread or self._thread_of(index) or key,
            "labelIds": list(dict.fromkeys(labels)),
            "internalDate": self.call.now_ms if at_ms is None else at_ms,
            "order": 0,
            "raw": encode(raw),
            "account": self.address,
            **index,
        }
        before = [one["order"] for one in self.messages.all() if one["threadId"] == message["threadId"]]
        message["order"] = max([self.call.act.depth, *(place + 1 for place in before)])
        return self._log("messageAdded", message)

    def relabel(self, message: Message, add: Sequence[str], remove: Sequence[str]) -> Message:
        """Put labels on a message and take others off."""
        old = message["labelIds"]
        new = [label for label in dict.fromkeys([*old, *add]) if label not in remove]
        message = {**message, "labelIds": new}
        for kind, labels in (("labelAdded", set(new) - set(old)), ("labelRemoved", set(old) - set(new))):
            if labels:
                message = self._log(kind, message, sorted(labels))
        return message

    def remove(self, message: Message) -> None:
        """Delete a message for good, and the draft it is the text of."""
        self._log("messageDeleted", message)
        self.messages.delete(message["id"])
        for key, draft in list(self.drafts.items()):
            if draft["messageId"] == message["id"]:
                self.drafts.delete(key)

    def changes_since(self, start: str) -> list[Mapping[str, Any]]:
        """The changes that a history id does not stand for, by their ids; for the id of a change, those with a larger one."""
        cursor = self.cursors.get(str(int(start)))
        known = set(cursor["known"]) if cursor is not None else set()
        changes = [one for one in self.history.all() if one["id"] not in known]
        if cursor is None:
            changes = [one for one in changes if one["id"] > int(start)]
        return sorted(changes, key=lambda one: one["id"])

    def _log(self, kind: str, message: Message, labels: Sequence[str] = ()) -> Message:
        act = self.call.act
        at_ms = max(act.stamp_ms - self.start_ms, message.get("changed_ms", 0))
        step = min(message.get("changes", 0) + 1, _STEPS - 1)

        def number() -> str:
            return str((at_ms * _STEPS + step) * _DIGITS + act.new_number("gmail.history", _DIGITS))

        key = self.call.mint(self.history.free(number))
        entry = {"id": message["id"], "threadId": message["threadId"]}
        shown = {
            "message": {**entry, "labelIds": message["labelIds"]},
            **({"labelIds": list(labels)} if labels else {}),
        }
        record = {"id": str(key), "messages": [entry], _LOGGED[kind]: [shown]}
        self.history.put(
            key, {"id": int(key), "kind": kind, "labels": [*labels, *message["labelIds"]], "shown": record}
        )
        changed = {**message, "historyId": int(key), "changed_ms": at_ms, "changes": step}
        return self.messages.put(message["id"], changed)

    def _thread_of(self, index: Mapping[str, Any]) -> str | None:
        """The thread of a message that an answer refers to and has the subject of."""
        for message in self.newest_first():
            named = message["message_id"] and message["message_id"] in index["references"]
            if named and stripped_subject(message["subject"]) == stripped_subject(index["subject"]):
                return str(message["threadId"])
        return None


def seeded(world: World, name: str, collection: str) -> Collection:
    """A collection of the mailbox, before there is a call."""
    return Collection(world.store, name, collection)


def order(message: Message) -> list[Any]:
    """What messages are sorted by: their instant, what they came after, their id."""
    return [message["internalDate"], message["order"], message["id"]]


def recipients(message: Message) -> list[str]:
    """The addresses a message goes to."""
    return addresses(message["to"], message["cc"], message["bcc"])


def raw_bytes(message: Message) -> bytes:
    """A message's bytes."""
    return decode(message["raw"])


def not_found() -> NoReturn:
    """Refuse with 404.

    Raises:
        PackRefusal: always.
    """
    refuse(404, "notFound", "Requested entity was not found.")
