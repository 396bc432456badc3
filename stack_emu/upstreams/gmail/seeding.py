"""The mailbox a scenario begins with."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from stack_emu.kernel.near_words import close_matches
from stack_emu.kernel.world import World
from stack_emu.scenario.values import parse_offset
from stack_emu.upstreams.gmail.mailbox import BASELINE, SYSTEM_LABELS, seeded
from stack_emu.upstreams.gmail.mime import compose, index_of
from stack_emu.upstreams.google_api import encode
from stack_emu.upstreams.rest_pack import check_keys

SEED_KEYS: Mapping[str, str] = {
    "email": "the account's address; `me@example.com` when left out",
    "labels": "names, or {name, id, color: {textColor, backgroundColor}}: the user's own labels",
    "messages": "oldest first, each {from, to, cc, bcc, subject, body, html, attachments, headers} or {raw}, with {id, date, "
    "labels, thread}: `labels` are names or system ids, INBOX and UNREAD when left out; messages with the same text as "
    "`thread` are one thread; `date` is ISO 8601 or an offset from the world's start, "
    "a minute after the one before when left out; an attachment is {filename, "
    "type, content}",
    "drafts": "like messages, with {id} of the draft",
}
"""What a seed may hold, for people."""

_CONTENT = ("from", "to", "cc", "bcc", "subject", "body", "html", "attachments", "headers", "raw")
_MESSAGE = (*_CONTENT, "id", "date", "labels", "thread")
_DRAFT = (*_CONTENT, "id", "date", "thread")
_ATTACHMENT = ("filename", "type", "content")
_LABEL = ("name", "id", "color")
_TEXTS = ("from", "subject", "body", "html", "raw", "thread", "id")
_MINUTE_MS = 60_000


def check_seed(seed: Mapping[str, Any]) -> None:
    """Refuse a seed that cannot work.

    Raises:
        ValueError: one sentence that says which part is wrong and what to write.
    """
    check_keys("seed", seed, tuple(SEED_KEYS))
    if "@" not in str(seed.get("email", "me@example.com")):
        raise ValueError(f"seed.email {seed['email']!r} is no address; write one like me@example.com.")
    labels = [_check_label(f"seed.labels[{place}]", one) for place, one in enumerate(_list(seed, "labels"))]
    _check_once("seed.labels", [label["name"].lower() for label in labels])
    known = [*SYSTEM_LABELS, *(label["name"] for label in labels), *(label["id"] for label in labels if "id" in label)]
    for name, keys in (("messages", _MESSAGE), ("drafts", _DRAFT)):
        entries = _list(seed, name)
        for place, one in enumerate(entries):
            _check_message(f"seed.{name}[{place}]", one, keys, known)
        _check_once(f"seed.{name}", [str(one["id"]) for one in entries if "id" in one])


def write_seed(world: World, name: str, seed: Mapping[str, Any]) -> None:
    """Write the account, its labels, messages and drafts."""
    email = str(seed.get("email", "me@example.com"))
    messages, drafts = _list(seed, "messages"), _list(seed, "drafts")
    start = world.now_ms()
    count = len(messages) + len(drafts)
    seeded(world, name, "account").put("me", {"email": email, "start_ms": start})
    names = {label: label for label in SYSTEM_LABELS}
    for place, given in enumerate(_list(seed, "labels")):
        label = given if isinstance(given, Mapping) else {"name": given}
        key = str(label.get("id", f"Label_{place + 1}"))
        visible = {"messageListVisibility": "show", "labelListVisibility": "labelShow"}
        seeded(world, name, "labels").put(key, {**visible, **label, "id": key, "type": "user"})
        names[str(label["name"])] = key
        names[key] = key
    threads: dict[str, str] = {}
    for place, one in enumerate([*messages, *drafts]):
        draft = place >= len(messages)
        key = world.key_bytes(f"gmail.{name}.message", str(place)).hex()[:16]
        key = key if draft else str(one.get("id", key))
        at_ms = _instant(one["date"], start) if "date" in one else start - (count - place) * _MINUTE_MS
        labels = ["DRAFT"] if draft else [names[str(label)] for label in one.get("labels", ["INBOX", "UNREAD"])]
        _put(world, name, one, key, at_ms, BASELINE - count + place, labels, email, threads)
        if draft:
            number = f"r{10**18 + int(world.key_bytes(f'gmail.{name}.draft', str(place)).hex()[:14], 16)}"
            identity = str(one.get("id", number))
            seeded(world, name, "drafts").put(identity, {"id": identity, "messageId": key})


def _put(
    world: World,
    name: str,
    one: Mapping[str, Any],
    key: str,
    at_ms: int,
    history_id: int,
    labels: Sequence[str],
    email: str,
    threads: dict[str, str],
) -> None:
    mine = "DRAFT" in labels or "SENT" in labels
    parties = {"from": email} if mine else {"from": "someone@example.com", "to": email}
    raw = str(one["raw"]).encode() if "raw" in one else compose({**parties, **one}, date_ms=at_ms, key=f"{name}/{key}")
    message = {
        "id": key,
        "threadId": threads.setdefault(str(one["thread"]), key) if "thread" in one else key,
        "labelIds": list(labels),
        "internalDate": at_ms,
        "order": 0,
        "historyId": history_id,
        "raw": encode(raw),
        "account": email,
        **index_of(raw),
    }
    seeded(world, name, "messages").put(key, message)


def _check_label(place: str, label: Any) -> Mapping[str, Any]:
    if isinstance(label, str):
        label = {"name": label}
    check_keys(place, label, _LABEL)
    if not isinstance(label.get("name"), str) or not label["name"]:
        raise ValueError(f"{place} has no name; add name.")
    if label["name"].upper() in SYSTEM_LABELS:
        raise ValueError(f"{place} has the name {label['name']!r} of a label every mailbox has; leave it out.")
    return dict(label)


def _check_message(place: str, one: Any, keys: Sequence[str], labels: Sequence[str]) -> None:
    check_keys(place, one, keys)
    for key in _TEXTS:
        if key in one and not isinstance(one[key], str):
            raise ValueError(f"{place}.{key} is no text; write it in quotes.")
    if keys is _MESSAGE and "id" in one and re.fullmatch(r"[0-9a-f]{1,16}", str(one["id"])) is None:
        raise ValueError(f"{place}.id {one['id']!r} is no message id; write up to 16 digits of 0-9 and a-f.")
    if "raw" in one and set(one) & set(_CONTENT) != {"raw"}:
        raise ValueError(f"{place} has raw and parts of a message; write one or the other.")
    if "date" in one:
        try:
            _instant(one["date"], 0)
        except ValueError:
            raise ValueError(
                f"{place}.date {one['date']!r} is no instant; write 2026-01-01T09:00:00Z, or +10m."
            ) from None
    if not isinstance(one.get("labels", []), list):
        raise ValueError(f"{place}.labels is no list; write [INBOX].")
    for label in one.get("labels", []):
        if label not in labels:
            near = close_matches(str(label), labels, 1)
            hint = f"did you mean {near[0]}?" if near else "add it to seed.labels."
            raise ValueError(f"{place}.labels has {label!r}, which is no label; {hint}")
    for number, attachment in enumerate(one.get("attachments", [])):
        check_keys(f"{place}.attachments[{number}]", attachment, _ATTACHMENT)
        if "filename" not in attachment:
            raise ValueError(f"{place}.attachments[{number}] has no filename; add filename.")


def _check_once(place: str, values: Sequence[str]) -> None:
    double = next((value for value in values if values.count(value) > 1), None)
    if double is not None:
        raise ValueError(f"{place} has {double!r} twice; give each its own.")


def _list(seed: Mapping[str, Any], name: str) -> list[Any]:
    value = seed.get(name) or []
    if not isinstance(value, list):
        raise ValueError(f"seed.{name} is no list; write one.")
    return value


def _instant(value: Any, start_ms: int) -> int:
    if str(value).startswith("+"):
        return start_ms + parse_offset(str(value))
    moment = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    return int((moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp() * 1000)
