"""The request journal: what arrived, what it was taken for and how it was answered, with every secret masked."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from stack_emu.kernel.redactor import Redactor

_log = logging.getLogger("stack_emu.journal")

__all__ = ["Entry", "Journal", "Redactor"]


@dataclass
class Entry:
    """One exchange.

    ``surface`` is where it arrived (``rest``, ``mcp``, ``messages``, ``openai``, ``upstream``, ``gateway``, ``control``),
    ``client`` what the client calls itself (its User-Agent), ``route`` the template it matched, ``unread`` the fields
    nobody looked at, ``problem`` the violation it was, if any (``unmatched``, ``bypass``, ``unscripted``, ``leak`` …),
    ``hint`` the sentence that says what would have worked and ``near`` the nearest candidates side by side; ``injected``
    names the fault rule that was injected into it; ``act`` is the name of the act it was part of (``Act.name``).
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
    near: str | None = None
    request: Mapping[str, Any] = field(default_factory=dict)
    response: Mapping[str, Any] = field(default_factory=dict)
    injected: str | None = None
    act: str | None = None


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
        self._before = 0

    @property
    def written(self) -> int:
        """How many entries there have ever been, those forgotten since included."""
        return self._before + self._next - 1

    def moment(self, entry: Entry) -> int:
        """The place of an entry among all there have ever been; comparable with ``written``."""
        return self._before + entry.number

    @property
    def dropped(self) -> int:
        """How many of the oldest entries are not kept any more."""
        return self._next - 1 - len(self._entries)

    def add(self, at_ms: int, surface: str, method: str, path: str, **fields: Any) -> Entry:
        """Note an exchange; request and response data are masked on the way in. Returns the entry, to be completed."""
        entry = Entry(self._next, at_ms, surface, method, self.redactor.text(path), **fields)
        entry.client = None if entry.client is None else self.redactor.text(entry.client)
        entry.request = self.redactor.value(entry.request)
        entry.response = self.redactor.value(entry.response)
        self._next += 1
        self._entries.append(entry)
        return entry

    def explain(self, entry: Entry, hint: str, problem: str | None = None, *, near: str | None = None) -> str:
        """Say on an entry what would have worked, log it, and return the sentence with secrets masked.

        Args:
            entry: the exchange.
            hint: the sentence.
            problem: the violation the exchange is; None when it is none.
            near: the nearest candidates side by side, as :func:`stack_emu.kernel.near_miss.side_by_side` makes it.
        """
        said = self.redactor.text(hint)
        entry.problem, entry.hint = problem, said
        entry.near = self.redactor.text(near) if near else None
        level = logging.WARNING if problem else logging.INFO
        what = f"{problem}: {said}" if problem else said
        _log.log(level, "%s %s: %s%s", entry.method, entry.path, what, f"\n{entry.near}" if entry.near else "")
        return said

    def entries(self, *, surface: str | None = None) -> Iterator[Entry]:
        """Entries oldest first, of one surface when named."""
        return (entry for entry in tuple(self._entries) if surface is None or entry.surface == surface)

    def violations(self) -> list[Entry]:
        """Entries that a strict run fails for."""
        return [entry for entry in self._entries if entry.problem is not None]

    def clear(self) -> None:
        """Forget everything; numbers start again at 1."""
        self._before = self.written
        self._entries.clear()
        self._next = 1
