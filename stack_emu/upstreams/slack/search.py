"""The methods ``search.*``: docs.slack.dev/reference/methods and slack_sdk 3.48 ``search_*``.

Slack wants a user's token for them, here every token will do. A query's words must all occur, whatever their case; a
phrase stands in quotation marks; a minus in front excludes. Modifiers: ``in:``, ``from:`` (a name, ``@name``, an id or
``me``), ``before:``, ``after:``, ``on:`` (days as ``2026-01-31``, by the world's time of posting), ``has:`` (``link``,
``pin``, ``reaction``, ``file``, ``:emoji:``) and ``is:thread``. Other words with a colon are words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from stack_emu.kernel.clock import iso
from stack_emu.upstreams.slack import pins
from stack_emu.upstreams.slack.call import SlackCall, SlackError, invalid_arguments
from stack_emu.upstreams.slack.chat import permalink
from stack_emu.upstreams.slack.files import shared
from stack_emu.upstreams.slack.paging import numbered
from stack_emu.upstreams.slack.places import visible
from stack_emu.upstreams.slack.records import Channel, File, Message, User
from stack_emu.upstreams.slack.shapes import file_shape, message_shape

_TERM = re.compile(r'(-?)(?:(in|from|before|after|on|has|is):)?(?:"([^"]*)"|(\S+))', re.IGNORECASE)
_COUNT = 20
_MOST = 100
_START, _END = "\ue000", "\ue001"


@dataclass(frozen=True)
class _Term:
    """One condition of a query: ``kind`` is a modifier, or empty for words that must occur."""

    kind: str
    value: str
    excluded: bool


def messages(call: SlackCall) -> dict[str, Any]:
    """``search.messages``: newest first, by page or, from ``*`` on, by cursor."""
    terms = _terms(call)
    found, paging = _messages(call, terms)
    return {"query": call.text("query"), "messages": found, **paging}


def files(call: SlackCall) -> dict[str, Any]:
    """``search.files``: by name and title."""
    terms = _terms(call)
    return {"query": call.text("query"), "files": _files(call, terms)}


def everything(call: SlackCall) -> dict[str, Any]:
    """``search.all``: messages and files; posts do not exist any more."""
    terms = _terms(call)
    found, _ = _messages(call, terms)
    return {
        "query": call.text("query"),
        "messages": found,
        "files": _files(call, terms),
        "posts": {"total": 0, "matches": []},
    }


def _terms(call: SlackCall) -> list[_Term]:
    call.need("search:read")
    query = call.text("query")
    if query is None:
        raise SlackError("no_query")
    terms = []
    for sign, kind, phrase, word in _TERM.findall(query):
        kind, value = kind.lower(), phrase or word
        if kind in ("before", "after", "on") and not _is_day(value):
            kind, value = "", f"{kind}:{value}"
        terms.append(_Term(kind, value, bool(sign)))
    return terms


def _messages(call: SlackCall, terms: Sequence[_Term]) -> tuple[dict[str, Any], dict[str, Any]]:
    found = [message for message in visible(call) if all(_holds(call, message, term) for term in terms)]
    if _ascending(call):
        found.reverse()
    cursor = call.text("cursor")
    if cursor is not None:
        return _by_cursor(call, found, terms, cursor)
    shown, paging = numbered(call, found, _COUNT, _MOST)
    return _result(paging, [_match(call, message, terms) for message in shown]), {}


def _by_cursor(
    call: SlackCall, found: Sequence[Message], terms: Sequence[_Term], cursor: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    names = [f"{message.channel}-{message.ts}" for message in found]
    if cursor != "*" and cursor not in names:
        raise SlackError("invalid_cursor")
    start = 0 if cursor == "*" else names.index(cursor)
    count = min(call.number("count") or _COUNT, _MOST)
    if count < 1:
        raise invalid_arguments("must be greater than 0: count")
    shown = found[start : start + count]
    following = names[start + count] if start + count < len(names) else ""
    paging = {"count": count, "total": len(found), "page": start // count + 1, "pages": -(-len(found) // count)}
    matches = [_match(call, message, terms) for message in shown]
    return _result(paging, matches), {"response_metadata": {"next_cursor": following}}


def _files(call: SlackCall, terms: Sequence[_Term]) -> dict[str, Any]:
    found = [file for file in shared(call) if all(_holds_of_file(call, file, term) for term in terms)]
    if _ascending(call):
        found.reverse()
    shown, paging = numbered(call, found, _COUNT, _MOST)
    return _result(paging, [file_shape(call, file) for file in shown])


def _ascending(call: SlackCall) -> bool:
    """Whether the oldest comes first: only a sort by time has a direction."""
    direction, by_time = call.text("sort_dir"), call.text("sort") == "timestamp"
    return by_time and direction == "asc"


def _result(paging: Mapping[str, int], matches: Sequence[Any]) -> dict[str, Any]:
    first = (paging["page"] - 1) * paging["count"] + 1 if matches else 0
    pagination = {
        "total_count": paging["total"],
        "page": paging["page"],
        "per_page": paging["count"],
        "page_count": paging["pages"],
        "first": first,
        "last": first + len(matches) - 1 if matches else 0,
    }
    return {"total": paging["total"], "pagination": pagination, "paging": dict(paging), "matches": list(matches)}


def _match(call: SlackCall, message: Message, terms: Sequence[_Term]) -> dict[str, Any]:
    channel = call.store.get(Channel, message.place)
    author = call.user(message.user)
    shape = message_shape(call, message)
    text = _highlighted(message.text, terms) if call.flag("highlight") else message.text
    kept: dict[str, Any] = {name: shape[name] for name in ("blocks", "attachments", "files") if name in shape}
    return {
        "type": "message",
        "team": call.workspace.team,
        "channel": _place(channel) if channel is not None else {"id": message.channel},
        "user": message.user,
        "username": author.name if author is not None else "",
        "ts": message.ts,
        "text": text,
        "permalink": permalink(call, message),
        "score": 0,
        **kept,
    }


def _place(channel: Channel) -> dict[str, Any]:
    return {
        "id": channel.channel,
        "name": channel.name or "",
        "is_channel": channel.kind == "public",
        "is_group": channel.kind == "private",
        "is_im": channel.kind == "im",
        "is_mpim": channel.kind == "mpim",
        "is_private": channel.kind != "public",
        "is_shared": False,
        "is_ext_shared": False,
        "is_org_shared": False,
        "is_pending_ext_shared": False,
        "pending_shared": [],
    }


def _highlighted(text: str, terms: Sequence[_Term]) -> str:
    words = [re.escape(term.value) for term in terms if not term.kind and not term.excluded]
    if not words:
        return text
    return re.sub("|".join(words), lambda found: f"{_START}{found[0]}{_END}", text, flags=re.IGNORECASE)


def _holds(call: SlackCall, message: Message, term: _Term) -> bool:
    channel = call.store.get(Channel, message.place)
    if term.kind == "has":
        found = channel is not None and _has(call, channel, message, term.value)
    elif term.kind == "is":
        found = term.value.lower() == "thread" and message.thread_ts is not None
    elif term.kind == "in":
        found = channel is not None and _is_place(call, channel, term.value)
    else:
        found = _holds_of_any(call, message.user, message.at_ms, message.text, term)
    return found != term.excluded


def _holds_of_file(call: SlackCall, file: File, term: _Term) -> bool:
    if term.kind == "in":
        places = (call.store.get(Channel, f"{call.upstream}/{one}") for one in file.channels)
        found = any(place is not None and _is_place(call, place, term.value) for place in places)
    elif term.kind in ("has", "is"):
        found = False
    else:
        found = _holds_of_any(call, file.user, file.at_ms, f"{file.title}\n{file.name}", term)
    return found != term.excluded


def _holds_of_any(call: SlackCall, user: str, at_ms: int, text: str, term: _Term) -> bool:
    day = iso(at_ms)[:10]
    if term.kind == "from":
        return _is_user(call, call.user(user), term.value)
    if term.kind in ("before", "after", "on"):
        return {"before": day < term.value, "after": day > term.value, "on": day == term.value}[term.kind]
    return term.value.lower() in text.lower()


def _has(call: SlackCall, channel: Channel, message: Message, what: str) -> bool:
    if what.startswith(":"):
        return what.strip(":") in dict(message.reactions)
    return {
        "link": "http://" in message.text or "https://" in message.text,
        "pin": message.ts in pins.pinned(call, channel),
        "reaction": bool(message.reactions),
        "file": bool(message.files),
    }.get(what.lower(), False)


def _is_place(call: SlackCall, channel: Channel, given: str) -> bool:
    if channel.kind == "im":
        return any(_is_user(call, call.user(user), given) for user in channel.members if user != call.bot)
    return given.removeprefix("#").lower() in ((channel.name or "").lower(), channel.channel.lower())


def _is_user(call: SlackCall, user: User | None, given: str) -> bool:
    if user is None:
        return False
    if given.lower() == "me":
        return user.user == call.bot
    return given.strip("<@>").lower() in (user.name.lower(), user.user.lower())


def _is_day(value: str) -> bool:
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return len(value) == 10
