"""The acts of a log in commit order: the latest in memory, older ones in a nameless file, so that a long log needs little memory.

A file is made when a log first outgrows memory, in the folder for temporary files (``TMPDIR``), and is gone with the last log
or picture that reads it. What it holds is what the log holds: rows are masked before they are made.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import weakref
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING, overload

if TYPE_CHECKING:
    from stack_emu.kernel.audit import ActEntry, Row

KEPT = 10_000
"""The latest acts, at least this many, stay in memory."""
SEGMENT = 1000
"""Acts that leave memory together."""

_log = logging.getLogger("stack_emu")


class _File:
    """A file without a name that is only added to."""

    def __init__(self) -> None:
        with tempfile.TemporaryFile(prefix="stack-emu-") as made:
            self._descriptor = os.dup(made.fileno())
        self._end = 0
        self._lock = Lock()
        weakref.finalize(self, os.close, self._descriptor)

    def add(self, data: bytes) -> int:
        """Write at the end; where it begins.

        Raises:
            OSError: when there is no room; nothing is added then.
        """
        with self._lock:
            os.lseek(self._descriptor, self._end, os.SEEK_SET)
            left = memoryview(data)
            while left:
                left = left[os.write(self._descriptor, left) :]
            began, self._end = self._end, self._end + len(data)
        return began

    def read(self, began: int, length: int) -> bytes:
        """Bytes that were added."""
        with self._lock:
            os.lseek(self._descriptor, began, os.SEEK_SET)
            return os.read(self._descriptor, length)


class _Segment:
    """Acts in a file.

    Args:
        file: where.
        acts: the acts, of which nothing is kept.
        pack: writes one.
    """

    def __init__(self, file: _File, acts: Sequence[ActEntry], pack: Callable[[ActEntry], bytes]) -> None:
        self._file = file
        written = [pack(act) for act in acts]
        self._ends = array("Q")
        end = file.add(b"".join(written))
        self._began = end
        for one in written:
            end += len(one)
            self._ends.append(end)

    def read(self, place: int) -> bytes:
        """One act as it was written."""
        began = self._ends[place - 1] if place else self._began
        return self._file.read(began, self._ends[place] - began)

    def read_all(self) -> Iterator[bytes]:
        """All acts as they were written."""
        whole = memoryview(self._file.read(self._began, self._ends[-1] - self._began))
        began = self._began
        for end in self._ends:
            yield bytes(whole[began - self._began : end - self._began])
            began = end


class Acts(Sequence["ActEntry"]):
    """Acts in commit order.

    Args:
        acts: what it begins with.
    """

    def __init__(self, acts: Iterable[ActEntry] = ()) -> None:
        self._segments: list[_Segment] = []
        self._latest: list[ActEntry] = []
        self._lanes: dict[str, int] = {}
        self._lane_of = array("I")
        self._file: _File | None = None
        self._stays = False
        for act in acts:
            self.append(act)

    def append(self, act: ActEntry) -> None:
        """Add an act at the end."""
        self._latest.append(act)
        self._lane_of.append(self._lanes.setdefault(act.lane, len(self._lanes)))
        if len(self._latest) >= KEPT + SEGMENT and not self._stays:
            self._put_away()

    @property
    def is_about_to_put_away(self) -> bool:
        """Whether the next act that is appended makes older ones leave memory."""
        return len(self._latest) + 1 >= KEPT + SEGMENT and not self._stays

    def _put_away(self) -> None:
        try:
            if self._file is None:
                self._file = _File()
            self._segments.append(_Segment(self._file, self._latest[:SEGMENT], _packed))
        except OSError as error:
            self._stays = True
            _log.warning("audit rows stay in memory from here on: no file for older ones can be written (%s)", error)
            return
        del self._latest[:SEGMENT]

    def picture(self) -> Acts:
        """The acts there are now; later ones are not in it, and it can be added to by itself."""
        made = Acts()
        made._segments, made._latest = list(self._segments), list(self._latest)
        made._lanes, made._lane_of = dict(self._lanes), self._lane_of[:]
        return made

    def by_lane(self) -> dict[str, array[int]]:
        """The places of each lane's acts, in commit order; no act is read for it."""
        places = [array("I") for _ in self._lanes]
        for place, lane in enumerate(self._lane_of):
            places[lane].append(place)
        return dict(zip(self._lanes, places, strict=True))

    def __len__(self) -> int:
        return len(self._segments) * SEGMENT + len(self._latest)

    @overload
    def __getitem__(self, place: int) -> ActEntry: ...

    @overload
    def __getitem__(self, place: slice) -> list[ActEntry]: ...

    def __getitem__(self, place: int | slice) -> ActEntry | list[ActEntry]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        wanted = place + len(self) if place < 0 else place
        number, inside = divmod(wanted, SEGMENT)
        if 0 <= number < len(self._segments):
            return _unpacked(self._segments[number].read(inside))
        if wanted < 0:
            raise IndexError("there is no such act")
        return self._latest[wanted - len(self._segments) * SEGMENT]

    def __iter__(self) -> Iterator[ActEntry]:
        return self.since(0)

    def since(self, place: int) -> Iterator[ActEntry]:
        """The acts from a place on, those that come meanwhile too; faster than one by one."""
        while place < len(self):
            number, inside = divmod(place, SEGMENT)
            if number < len(self._segments):
                for data in islice(self._segments[number].read_all(), inside, None):
                    yield _unpacked(data)
                    place += 1
            else:
                yield self[place]
                place += 1

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (Acts, list, tuple)):
            return NotImplemented
        return len(self) == len(other) and all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{len(self)} acts>"


class Rows(Sequence["Row"]):
    """The rows of one account's chain, oldest first: places in acts, and rows that were put in their stead.

    Args:
        acts: whose rows they are.
    """

    def __init__(self, acts: Acts) -> None:
        self._acts = acts
        self._in_act = array("I")
        self._at = array("I")
        self._instead: dict[int, Row] = {}

    def add(self, act: int, at: int) -> None:
        """Add a row at the end.

        Args:
            act: the number of its act.
            at: its place among the act's rows.
        """
        self._in_act.append(act)
        self._at.append(at)

    def picture(self, acts: Acts) -> Rows:
        """The rows there are now, read from a picture of their acts."""
        made = Rows(acts)
        made._in_act, made._at, made._instead = self._in_act[:], self._at[:], dict(self._instead)
        return made

    def __len__(self) -> int:
        return len(self._in_act)

    @overload
    def __getitem__(self, place: int) -> Row: ...

    @overload
    def __getitem__(self, place: slice) -> list[Row]: ...

    def __getitem__(self, place: int | slice) -> Row | list[Row]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        wanted = place + len(self) if place < 0 else place
        instead = self._instead.get(wanted)
        if instead is not None:
            return instead
        if wanted < 0:
            raise IndexError("there is no such row")
        return self._acts[self._in_act[wanted]].rows[self._at[wanted]]

    def __iter__(self) -> Iterator[Row]:
        return self.since(0)

    def since(self, place: int) -> Iterator[Row]:
        """The rows from a place on, those that come meanwhile too; faster than one by one."""
        if place >= len(self):
            return
        first = self._in_act[place]
        for number, act in enumerate(self._acts.since(first), first):
            while place < len(self) and self._in_act[place] == number:
                yield self._instead.get(place) or act.rows[self._at[place]]
                place += 1
            if place >= len(self):
                return

    def __setitem__(self, place: int, row: Row) -> None:
        self._instead[range(len(self))[place]] = row

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (Rows, list, tuple)):
            return NotImplemented
        return len(self) == len(other) and all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(list(self))


def _packed(act: ActEntry) -> bytes:
    from stack_emu.kernel.audit import as_dict

    rows = [list(as_dict(row).values()) for row in act.rows]
    columns = [act.lane, act.sequence, act.key, act.ordinal, act.depth, act.operation, rows, act.now_ms]
    return json.dumps(columns, separators=(",", ":")).encode("ascii")


def _unpacked(data: bytes) -> ActEntry:
    from stack_emu.kernel.audit import ActEntry, Row

    lane, sequence, key, ordinal, depth, operation, rows, now_ms = json.loads(data)
    made = tuple(Row(*row) for row in rows)
    return ActEntry(sys.intern(lane), sequence, key, ordinal, depth, operation, made, now_ms)
