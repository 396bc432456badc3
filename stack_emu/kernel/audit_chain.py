"""One account's raw chain, and how rows are found in it without walking all of it."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from stack_emu.kernel.act_store import Rows

if TYPE_CHECKING:
    from stack_emu.kernel.audit import Row

INDEXED = ("agent_id", "passport_jti", "mission")
"""Columns, and what is in the metadata, by which rows are found directly; others are compared row by row."""


class Chain:
    """Rows of one account, oldest first.

    What helps to find rows is made when it is first asked for, or before rows leave memory, and grows with the rows that came
    since, so a short chain that is only written carries none of it, and looking at its end costs the same however long it is.

    Args:
        rows: what it begins with, growing with the chain; a place of it can be given another row.
    """

    def __init__(self, rows: Any) -> None:
        self.rows: Any = rows
        self._forget()

    def _forget(self) -> None:
        # Stamps need not rise along a chain, but the latest stamp so far does, and no row is further behind it than the lag.
        self._latest: array[int] = array("q")
        self._lag = 0
        self._places: dict[str, dict[str, array[int]]] = {name: {} for name in INDEXED}
        self._placed = 0

    def replace(self, index: int, row: Row) -> None:
        """Put another row at a place."""
        self.rows[index] = row
        self._forget()

    def select(
        self,
        *,
        newest_first: bool = False,
        from_ms: int | None = None,
        to_ms: int | None = None,
        from_place: int = 0,
        **equals: Any,
    ) -> Iterator[Row]:
        """The rows that fit, in order of the chain or against it.

        Args:
            newest_first: whether to begin at the end.
            from_ms: the first instant, in epoch milliseconds.
            to_ms: the instant before which rows must be.
            from_place: the first place in the chain.
            equals: values that columns must have, or ``mission`` in the metadata.
        """
        first, last = self.span(from_ms, to_ms)
        first = max(first, from_place)
        places = self._candidates(equals, first, last)
        rows = self.rows
        for place in reversed(places) if newest_first else places:
            row = rows[place]
            if (
                (from_ms is None or row.timestamp >= from_ms)
                and (to_ms is None or row.timestamp < to_ms)
                and all(_of(row, name) == value for name, value in equals.items())
            ):
                yield row

    def span(self, from_ms: int | None, to_ms: int | None) -> tuple[int, int]:
        """Places outside which no row is within the instants: the first, and the one behind the last."""
        if from_ms is None and to_ms is None:
            return 0, len(self.rows)
        self._follow_time()
        first = 0 if from_ms is None else bisect_left(self._latest, from_ms)
        last = len(self.rows) if to_ms is None else bisect_left(self._latest, to_ms + self._lag)
        return first, max(first, last)

    def first_since(self, instant_ms: int) -> int:
        """The place of the first row that is not before an instant; the length of the chain when there is none."""
        first, _ = self.span(instant_ms, None)
        return first

    def follow(self) -> None:
        """Take note of what rows are found by, while the latest are in memory."""
        self._follow_time()
        self._follow_names()

    def _follow_time(self) -> None:
        known = self._latest
        latest = known[-1] if known else None
        for row in self._rows_since(len(known)):
            stamp = row.timestamp
            if latest is None or stamp > latest:
                latest = stamp
            self._lag = max(self._lag, latest - stamp)
            known.append(latest)

    def _rows_since(self, place: int) -> Iterator[Row]:
        """Rows from a place on, read in passing where they are kept in a file."""
        if isinstance(self.rows, Rows):
            return self.rows.since(place)
        return (self.rows[at] for at in range(place, len(self.rows)))

    def _candidates(self, equals: dict[str, Any], first: int, last: int) -> Sequence[int]:
        columns = [name for name in INDEXED if equals.get(name) is not None]
        if not columns:
            return range(first, last)
        self._follow_names()
        found = [self._places[name].get(equals[name], array("I")) for name in columns]
        places = min(found, key=len)
        return places[bisect_left(places, first) : bisect_left(places, last)]

    def _follow_names(self) -> None:
        for place, row in enumerate(self._rows_since(self._placed), self._placed):
            for name, places in self._places.items():
                value = _of(row, name)
                if value is not None:
                    places.setdefault(value, array("I")).append(place)
        self._placed = len(self.rows)


def _of(row: Row, name: str) -> Any:
    return row.metadata.get(name) if name == "mission" else getattr(row, name)
