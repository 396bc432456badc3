"""What came nearest to something that matched nothing: the candidates in order, and a table that sets them side by side.

The differences are those matching itself found (:meth:`Pattern.difference`), so diagnosis and matching cannot disagree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stack_emu.kernel.matching import Difference, Matchable, Pattern, expected_text, value_text, weigh

NEAREST = 3
"""How many candidates are shown."""

_WIDEST = 44
_FITS = "✓"


@dataclass(frozen=True)
class Candidate:
    """Something that nearly matched.

    Args:
        name: what messages call it.
        differences: every respect in which it did not match; empty when something else than the request is in its way.
        note: what else is in its way, for example a state that is not reached or a scope that is lacking.
        weight: how far it is from the request; nearer ones weigh less.
    """

    name: str
    differences: tuple[Difference, ...] = ()
    note: str | None = None
    weight: float = field(default=0.0, compare=False)

    def __str__(self) -> str:
        reasons = [str(difference) for difference in self.differences[:NEAREST]]
        more = len(self.differences) - NEAREST
        if more > 0:
            reasons.append(f"{more} more difference{'s' if more > 1 else ''}")
        if self.note:
            reasons.append(self.note)
        return f"{self.name}: {'; '.join(reasons)}" if reasons else self.name

    def as_json(self) -> dict[str, Any]:
        """The candidate as JSON data: ``name``, ``differences`` and ``note``."""
        return {
            "name": self.name,
            "differences": [difference.as_json() for difference in self.differences],
            "note": self.note,
        }


def nearest_n(patterns: Iterable[Pattern], request: Matchable, n: int = NEAREST) -> list[Candidate]:
    """The ``n`` patterns that miss a request by least, nearest first; among equally near ones the earlier."""
    return nearest_of((Candidate(str(pattern), tuple(pattern.difference(request))) for pattern in patterns), n)


def nearest_of(candidates: Iterable[Candidate], n: int = NEAREST) -> list[Candidate]:
    """The ``n`` candidates whose differences, and notes as one more each, weigh least, nearest first."""
    weighed = sorted(candidates, key=lambda one: one.weight + weigh(one.differences) + (0.5 if one.note else 0))
    return weighed[:n]


def side_by_side(sent: Mapping[str, Any], candidates: Sequence[Candidate]) -> str:
    """A table with a line for each respect in which a candidate differs: what was sent, then what each would take.

    Args:
        sent: what was sent, for lines where no difference tells: at least ``method`` and ``path`` for requests. Its lines
            come first, in its order.
        candidates: the nearest candidates, nearest first; their notes stand below the table.

    Returns:
        Lines without trailing spaces; empty text without candidates. A tick says that a candidate takes what was sent.
    """
    if not candidates:
        return ""
    values: dict[str, str] = {name: value_text(value) for name, value in sent.items()}
    for candidate in candidates:
        for difference in candidate.differences:
            values.setdefault(difference.field, value_text(difference.got))
    rows = [["", "sent", *(candidate.name for candidate in candidates)]]
    for place, value in values.items():
        rows.append([place, value, *(_cell(candidate, place) for candidate in candidates)])
    notes = [f"{one.name}: {one.note}" for one in candidates if one.note]
    return "\n".join([_table(rows), *notes])


def recorded_side_by_side(candidates: Sequence[Candidate]) -> str:
    """A table with a line for each respect in which a record differs: what was expected, then what each one was.

    Args:
        candidates: the nearest records, nearest first, each with how it differs from what was expected.
    """
    expected: dict[str, str] = {}
    for candidate in candidates:
        for difference in candidate.differences:
            expected.setdefault(difference.field, expected_text(difference.expected))
    if not expected:
        return ""
    rows = [["", "expected", *(candidate.name for candidate in candidates)]]
    for place, value in expected.items():
        rows.append([place, value, *(_recorded(candidate, place) for candidate in candidates)])
    return _table(rows)


def _recorded(candidate: Candidate, place: str) -> str:
    return next((value_text(found.got) for found in candidate.differences if found.field == place), _FITS)


def sent_of(request: Matchable) -> dict[str, Any]:
    """What :func:`side_by_side` says of a request where no difference tells: its method and path."""
    return {"method": request.method.upper(), "path": request.path}


def _cell(candidate: Candidate, place: str) -> str:
    for difference in candidate.differences:
        if difference.field == place:
            return expected_text(difference.expected)
    return _FITS


def _table(rows: Sequence[Sequence[str]]) -> str:
    cut = [[_cut(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cut) for column in range(len(cut[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cut]
    return "\n".join(lines)


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WIDEST else f"{line[: _WIDEST - 1]}…"
