"""What clients sent that nothing read: usually a misspelt field, or one that the service has and the emulator does not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from stack_emu.kernel.journal import Entry
from stack_emu.kernel.near_words import LONGEST, close_matches

MOST = 100
"""How many fields of one request are looked at."""


@dataclass(frozen=True)
class UnreadField:
    """A field that was sent and had no effect.

    Args:
        surface: where it was sent: ``rest``, ``mcp``, ``messages``, ``openai`` or ``upstream``.
        target: what it was sent to: the operation, or the method and route of an upstream.
        field: its name; ``query.limit`` for a query parameter.
        times: how often it was sent.
        meant: the field of the target whose name is nearest, if one is near.
    """

    surface: str
    target: str
    field: str
    times: int
    meant: str | None = None

    def __str__(self) -> str:
        meant = f"; did you mean {self.meant}?" if self.meant else ""
        often = f" ({self.times} times)" if self.times > 1 else ""
        return f"{self.target} was sent {self.field} over {self.surface}, which nothing reads{meant}{often}"


def unread_fields(entries: Iterable[Entry]) -> list[UnreadField]:
    """What was sent and not read, in the order it was first sent.

    Args:
        entries: the journal's entries.
    """
    counts: Counter[tuple[str, str, str, str | None]] = Counter()
    for entry in entries:
        target = _target(entry)
        for field in entry.unread[:MOST]:
            field = field if len(field) <= LONGEST else f"{field[:LONGEST]}…"
            counts[entry.surface, target, field, entry.operation] += 1
    return [
        UnreadField(surface, target, field, times, _meant(operation, field) if surface != "upstream" else None)
        for (surface, target, field, operation), times in counts.items()
    ]


def _target(entry: Entry) -> str:
    if entry.surface == "upstream":
        return f"{entry.request.get('upstream')} {entry.method} {entry.route or entry.path}"
    return entry.operation or f"{entry.method} {entry.path}"


def _meant(operation: str | None, field: str) -> str | None:
    near = close_matches(field, _fields().get(operation or "", ()), 1, 0.6)
    return near[0] if near else None


@lru_cache(maxsize=1)
def _fields() -> dict[str, tuple[str, ...]]:
    """The fields of every operation."""
    from stack_emu.domain.families import registry

    return {name: tuple(declared.command.model_fields) for name, declared in registry().operations.items()}
