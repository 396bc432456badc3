"""What verifying a log found: that it holds, or its first broken row and what was done to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

EDITED = "edited"
DELETED = "deleted"
INSERTED = "inserted"
SWAPPED = "swapped"
TRUNCATED = "truncated"
FORKED = "forked"
REHASHED = "rehashed"
KINDS = (EDITED, DELETED, INSERTED, SWAPPED, TRUNCATED, FORKED, REHASHED)
"""What can have been done to a log, by the names ``tamper`` and ``verify`` use."""


@dataclass(frozen=True)
class Break:
    """The first broken row of a log.

    Args:
        kind: one of ``KINDS``.
        line: line of the file, from 1; in a raw export as JSON the number of the row.
        sentence: what was done to the row, and from what that is seen.
        lane: its lane in a canonical log, its account in a raw one; None where no single lane is meant.
        row: its number in the lane, from 0, in a canonical log.
        entry_id: its id in a raw log.
    """

    kind: str
    line: int
    sentence: str
    lane: str | None = None
    row: int | None = None
    entry_id: str | None = None

    @property
    def where(self) -> str:
        """Line and lane or entry, as a person would say it."""
        if self.entry_id is not None:
            return f"line {self.line}, entry {self.entry_id}"
        return f"line {self.line}" + (f", lane {self.lane}" if self.lane else "")

    def __str__(self) -> str:
        return f"{self.where}: {self.kind}: {self.sentence}"


@dataclass(frozen=True)
class Verdict:
    """What there is to say about one log.

    Args:
        form: ``canonical``, or ``json``, ``ndjson`` or ``csv`` for raw exports.
        rows: how many rows the file has.
        head: the canonical head, or the hash of the last raw row; empty when there is none.
        broken: the first break, or None.
        notes: what else a reader must know, such as what the hashes do not cover.
        proved: what checkpoints that were given prove, as data for ``--json``.
    """

    form: str
    rows: int
    head: str
    broken: Break | None = None
    notes: tuple[str, ...] = ()
    proved: tuple[Mapping[str, Any], ...] = field(default=())

    @property
    def valid(self) -> bool:
        """Whether nothing is wrong with the log."""
        return self.broken is None

    def as_data(self) -> dict[str, Any]:
        """The verdict as JSON data."""
        broken = self.broken
        return {
            "valid": self.valid,
            "form": self.form,
            "rows": self.rows,
            "head": self.head,
            "break": None
            if broken is None
            else {
                "kind": broken.kind,
                "line": broken.line,
                "lane": broken.lane,
                "row": broken.row,
                "entry_id": broken.entry_id,
                "sentence": broken.sentence,
            },
            "notes": list(self.notes),
            "checkpoints": [dict(one) for one in self.proved],
        }
