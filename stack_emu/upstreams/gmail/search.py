"""Gmail's search language: what ``q`` of the lists means.

Known from "Search operators you can use with Gmail" (support.google.com/mail/answer/7190) and "Searching for messages" of
the Gmail guides: terms are joined by and; ``OR`` and ``{ }`` by or; ``-`` negates; ``( )`` groups, also after an
operator; dates without a time are in UTC here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

Test = Callable[[Mapping[str, Any]], bool]
"""Whether a message fits. Messages are those of :mod:`stack_emu.upstreams.gmail.mailbox`."""

_TOKEN = re.compile(r'(?:([(){}])|(-)|([A-Za-z]\w*):(?=\S)|"([^"]*)"?|([^\s(){}"]+))')
_FIELDS = {"from": ("from",), "to": ("to", "cc", "bcc"), "cc": ("cc",), "bcc": ("bcc",), "subject": ("subject",)}
_FIELDS |= {"deliveredto": ("to", "cc", "bcc"), "list": ("list",)}
_EVERYWHERE = ("from", "to", "cc", "bcc", "subject", "text")
_SYSTEM = {"inbox": "INBOX", "sent": "SENT", "draft": "DRAFT", "drafts": "DRAFT", "trash": "TRASH", "spam": "SPAM"}
_SYSTEM |= {"unread": "UNREAD", "starred": "STARRED", "important": "IMPORTANT", "chats": "CHAT"}
_CATEGORIES = {"primary": "CATEGORY_PERSONAL", "social": "CATEGORY_SOCIAL", "promotions": "CATEGORY_PROMOTIONS"}
_CATEGORIES |= {"updates": "CATEGORY_UPDATES", "forums": "CATEGORY_FORUMS"}
_DAY_MS = 86_400_000
_DEEPEST = 50
_SPANS = {"h": _DAY_MS // 24, "d": _DAY_MS, "w": 7 * _DAY_MS, "m": 30 * _DAY_MS, "y": 365 * _DAY_MS}
_SIZES = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


class UnknownOperatorError(Exception):
    """A search uses something Gmail knows and the fake does not."""


class Search:
    """A parsed search.

    Args:
        text: the value of ``q``.
        labels: label names in lower case to ids.
        now_ms: what ``newer_than`` and ``older_than`` count from.

    Raises:
        UnknownOperatorError: for an operator the fake does not know; the message names it.
    """

    def __init__(self, text: str, labels: Mapping[str, str], now_ms: int) -> None:
        self._labels = {_label_key(name): key for name, key in labels.items()}
        self._now_ms = now_ms
        self._tokens = [found.groups() for found in _TOKEN.finditer(text) if found.group().strip()]
        self._depth = 0
        self.everywhere = False
        """Whether spam and trash are searched too, because the search asks for them."""
        self._test = self._all(None)

    def matches(self, message: Mapping[str, Any]) -> bool:
        """Whether a message fits."""
        return self._test(message)

    # --- the grammar ------------------------------------------------------------------------------------------------

    def _all(self, end: str | None, operator: str | None = None, either: bool = False) -> Test:
        """Terms up to the bracket that ends them, joined by and, or by or inside ``{ }``."""
        groups: list[list[Test]] = []
        joined = False
        while self._tokens:
            bracket, _, _, _, word = self._tokens[0]
            if bracket in (")", "}"):
                self._tokens.pop(0)
                if bracket == end:
                    break
                continue
            if word in ("OR", "AND"):
                self._tokens.pop(0)
                joined = word == "OR" and bool(groups)
                continue
            test = self._term(operator)
            if joined:
                groups[-1].append(test)
            else:
                groups.append([test])
            joined = False
        tests = [_any(group) for group in groups]
        return _any(tests) if either and tests else lambda message: all(test(message) for test in tests)

    def _term(self, operator: str | None) -> Test:
        if not self._tokens:
            return lambda message: True
        self._depth += 1
        if self._depth > _DEEPEST:
            raise UnknownOperatorError("such deep nesting")
        try:
            return self._next_term(operator)
        finally:
            self._depth -= 1

    def _next_term(self, operator: str | None) -> Test:
        bracket, minus, named, quoted, word = self._tokens.pop(0)
        if minus:
            inner = self._term(operator)
            return lambda message: not inner(message)
        if bracket in ("(", "{"):
            return self._all(")" if bracket == "(" else "}", operator, bracket == "{")
        if named and (named.lower() in _FIELDS or hasattr(self, f"_is_{named.lower()}")):
            return self._term(named.lower())
        if named:
            return self._of(operator, f"{named}:{self._text()}")
        value = quoted if quoted is not None else (word or "")
        return self._of(operator, value)

    def _text(self) -> str:
        """The text after something that looks like an operator and is none, such as ``https:``."""
        _, _, _, quoted, word = self._tokens.pop(0) if self._tokens else (None,) * 5
        return quoted or word or ""

    # --- what operators mean ----------------------------------------------------------------------------------------

    def _of(self, operator: str | None, value: str) -> Test:
        if operator is None:
            return lambda message: any(_has(message[name], value) for name in _EVERYWHERE) or _in_files(message, value)
        if operator in _FIELDS:
            names = _FIELDS[operator]
            if value.lower() == "me":
                return lambda message: any(_has(message[name], message["account"]) for name in names)
            return lambda message: any(_has(message[name], value) for name in names)
        method: Callable[[str], Test] = getattr(self, f"_is_{operator}")
        return method(value)

    def _is_in(self, value: str) -> Test:
        if value.lower() == "anywhere":
            self.everywhere = True
            return lambda message: True
        return self._is_label(value)

    def _is_label(self, value: str) -> Test:
        label = _SYSTEM.get(value.lower()) or self._labels.get(_label_key(value), "")
        self.everywhere = self.everywhere or label in ("TRASH", "SPAM")
        return lambda message: label in message["labelIds"]

    def _is_category(self, value: str) -> Test:
        label = _CATEGORIES.get(value.lower(), "")
        return lambda message: label in message["labelIds"]

    def _is_is(self, value: str) -> Test:
        if value.lower() == "read":
            return lambda message: "UNREAD" not in message["labelIds"]
        if value.lower() not in _SYSTEM:
            raise UnknownOperatorError(f"is:{value}")
        return self._is_label(value)

    def _is_has(self, value: str) -> Test:
        if value.lower() == "attachment":
            return lambda message: bool(message["files"])
        if value.lower() in ("userlabels", "nouserlabels"):
            wanted, mine = value.lower() == "userlabels", set(self._labels.values())
            return lambda message: bool(mine & set(message["labelIds"])) is wanted
        raise UnknownOperatorError(f"has:{value}")

    def _is_filename(self, value: str) -> Test:
        return lambda message: _in_files(message, value)

    def _is_rfc822msgid(self, value: str) -> Test:
        return lambda message: message["message_id"].strip("<>") == value.strip("<>")

    def _is_after(self, value: str) -> Test:
        instant = _instant(value, "after")
        return lambda message: message["internalDate"] >= instant

    def _is_before(self, value: str) -> Test:
        instant = _instant(value, "before")
        return lambda message: message["internalDate"] < instant

    _is_newer = _is_after
    _is_older = _is_before

    def _is_newer_than(self, value: str) -> Test:
        instant = self._now_ms - _span(value, "newer_than")
        return lambda message: message["internalDate"] >= instant

    def _is_older_than(self, value: str) -> Test:
        instant = self._now_ms - _span(value, "older_than")
        return lambda message: message["internalDate"] < instant

    def _is_larger(self, value: str) -> Test:
        size = _size(value)
        return lambda message: message["size"] > size

    _is_size = _is_larger

    def _is_smaller(self, value: str) -> Test:
        size = _size(value)
        return lambda message: message["size"] < size


def _any(tests: list[Test]) -> Test:
    return tests[0] if len(tests) == 1 else lambda message: any(test(message) for test in tests)


def _has(text: str, wanted: str) -> bool:
    """Whether the words of ``wanted`` stand in ``text`` one after the other, as whole words in any case."""
    return _words(wanted) in _words(text)


def _words(text: str) -> str:
    return " ".join(["", *re.findall(r"\w+", text.lower()), ""])


def _in_files(message: Mapping[str, Any], value: str) -> bool:
    return any(_has(name, value) for name in message["files"])


def _label_key(name: str) -> str:
    return re.sub(r"[\s/]+", "-", name.lower())


def _instant(value: str, operator: str) -> int:
    if value.isdigit() and len(value) > 8:
        return int(value) * 1000
    try:
        year, month, day = (int(part) for part in re.split("[/-]", value))
        return int(datetime(year, month, day, tzinfo=timezone.utc).timestamp() * 1000)
    except ValueError:
        raise UnknownOperatorError(f"{operator}:{value}") from None


def _span(value: str, operator: str) -> int:
    found = re.fullmatch(r"(\d+)([hdwmy])", value.lower())
    if found is None:
        raise UnknownOperatorError(f"{operator}:{value}")
    return int(found[1]) * _SPANS[found[2]]


def _size(value: str) -> int:
    found = re.fullmatch(r"(\d+)([kmg]?)b?", value.lower())
    if found is None:
        raise UnknownOperatorError(f"size:{value}")
    return int(found[1]) * _SIZES[found[2]]
