"""The request journal: what arrived, what it was taken for and how it was answered, with every secret masked."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*")
_SECRET_HEADERS = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "x-passport-token",
        "x-stack-passport",
        "x-api-key",
        "cookie",
        "set-cookie",
    }
)


class Redactor:
    """Replaces secrets in text and JSON by their names, so that what is kept can be shown to anyone.

    Known secrets are replaced by ``<secret:NAME>``; anything with the form of a JWT becomes ``<token>``, anything of a
    form that was added ``<NAME>``.
    """

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._forms: dict[str, tuple[re.Pattern[str], str]] = {}

    def add(self, secret: str, name: str) -> None:
        """Learn a secret; texts shorter than six characters are refused because they would mask ordinary words."""
        if len(secret) >= 6:
            self._names[secret] = name

    def add_form(self, prefix: str, pattern: str, name: str) -> None:
        """Learn a form of secrets, for those that are too many and too short-lived to be learnt one by one.

        Args:
            prefix: text that every secret of the form begins with.
            pattern: regular expression for what follows the prefix.
            name: what replaces them, in angle brackets.
        """
        self._forms[prefix] = (re.compile(re.escape(prefix) + pattern), name)

    def names_in(self, text: str) -> list[str]:
        """Names of the known secrets, and of forms of secrets, that occur in ``text``."""
        forms = self._forms.items()
        shaped = [name for prefix, (pattern, name) in forms if prefix in text and pattern.search(text)]
        return [name for secret, name in self._names.items() if secret in text] + shaped

    def text(self, text: str) -> str:
        """``text`` with known secrets and JWTs masked."""
        for secret, name in self._names.items():
            if secret in text:
                text = text.replace(secret, f"<secret:{name}>")
        for prefix, (pattern, name) in self._forms.items():
            if prefix in text:
                text = pattern.sub(f"<{name}>", text)
        return _JWT.sub("<token>", text) if "eyJ" in text else text

    def traceback(self) -> str:
        """The traceback of the exception being handled, secrets in its message masked."""
        import traceback

        return self.text(traceback.format_exc().rstrip())

    def value(self, value: Any) -> Any:
        """JSON data with every string (keys too) masked."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, (dict, Mapping)):
            return {self.text(str(key)): self.value(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(item) for item in value]
        return value

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Headers with credential-bearing ones reduced to their scheme and all others masked."""
        shown: dict[str, str] = {}
        for name, value in headers.items():
            if name.lower() in _SECRET_HEADERS:
                scheme, separator, _ = value.partition(" ")
                shown[name] = f"{scheme} <masked>" if separator and len(scheme) <= 12 else "<masked>"
            else:
                shown[name] = self.text(value)
        return shown

    def copy(self) -> Redactor:
        """A redactor that masks the same texts."""
        twin = Redactor()
        twin._names = dict(self._names)
        twin._forms = dict(self._forms)
        return twin


@dataclass
class Entry:
    """One exchange.

    ``surface`` is where it arrived (``rest``, ``mcp``, ``messages``, ``openai``, ``upstream``, ``gateway``, ``control``),
    ``client`` what the client calls itself (its User-Agent), ``route`` the template it matched, ``unread`` the fields
    nobody looked at, ``problem`` the violation it was, if any (``unmatched``, ``bypass``, ``unscripted``, ``leak`` …) and
    ``hint`` the sentence that says what would have worked; ``injected`` names the fault rule that was injected into it.
    """

    number: int
    at_ms: int
    surface: str
    method: str
    path: str
    route: str | None = None
    operation: str | None = None
    lane: str | None = None
    caller: str | None = None
    client: str | None = None
    status: int | None = None
    code: str | None = None
    unread: tuple[str, ...] = ()
    problem: str | None = None
    hint: str | None = None
    request: Mapping[str, Any] = field(default_factory=dict)
    response: Mapping[str, Any] = field(default_factory=dict)
    injected: str | None = None


class Journal:
    """The last exchanges of one world, oldest dropped first.

    Args:
        redactor: masks what is kept.
        limit: how many entries are kept.
    """

    def __init__(self, redactor: Redactor, limit: int = 10_000) -> None:
        self.redactor = redactor
        self._entries: deque[Entry] = deque(maxlen=limit)
        self._next = 1

    def add(self, at_ms: int, surface: str, method: str, path: str, **fields: Any) -> Entry:
        """Note an exchange; request and response data are masked on the way in. Returns the entry, to be completed."""
        entry = Entry(self._next, at_ms, surface, method, self.redactor.text(path), **fields)
        entry.client = None if entry.client is None else self.redactor.text(entry.client)
        entry.request = self.redactor.value(entry.request)
        entry.response = self.redactor.value(entry.response)
        self._next += 1
        self._entries.append(entry)
        return entry

    def entries(self, *, surface: str | None = None) -> Iterator[Entry]:
        """Entries oldest first, of one surface when named."""
        return (entry for entry in tuple(self._entries) if surface is None or entry.surface == surface)

    def violations(self) -> list[Entry]:
        """Entries that a strict run fails for."""
        return [entry for entry in self._entries if entry.problem is not None]

    def clear(self) -> None:
        """Forget everything; numbers start again at 1."""
        self._entries.clear()
        self._next = 1
