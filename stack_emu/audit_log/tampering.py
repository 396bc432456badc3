"""Spoiling a log on purpose, in every way verification has a name for, to see that a consumer notices."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stack_emu.audit_log.canonical_file import CanonicalFile, canonical, chained, hash_without
from stack_emu.audit_log.raw_rows import RawFile, entry_hash, write_raw
from stack_emu.audit_log.verdicts import DELETED, EDITED, FORKED, INSERTED, KINDS, REHASHED, SWAPPED, TRUNCATED

EDIT, DELETE, INSERT, SWAP, TRUNCATE, FORK, REHASH = "edit", "delete", "insert", "swap", "truncate", "fork", "rehash"
WAYS: Mapping[str, str] = {
    EDIT: EDITED,
    DELETE: DELETED,
    INSERT: INSERTED,
    SWAP: SWAPPED,
    TRUNCATE: TRUNCATED,
    FORK: FORKED,
    REHASH: REHASHED,
}
"""What can be done to a log, and what verification calls it. Taking out the last row of a lane reads as truncated."""

assert set(WAYS.values()) == set(KINDS)


@dataclass(frozen=True)
class Spoiled:
    """A spoiled log: its bytes and what was done to it."""

    data: bytes
    sentence: str


def spoil(log: CanonicalFile | RawFile, how: str, line: int, change: tuple[str, str] | None, rehash: bool) -> Spoiled:
    """Spoil a log that holds.

    Args:
        log: the log.
        how: one of ``WAYS``. An inserted row and a fork's second branch are copies of the row with the change, linked to
            the row, or to the row before it, and hashed; a rehash is an edit after which everything is hashed anew.
        line: which row, by its line in the file, from 1; in the JSON form by its number.
        change: name and value of the field that is set; None turns the outcome.
        rehash: whether all links and hashes are made right again afterwards, whatever was done.

    Raises:
        ValueError: when there is no such row, or it cannot be spoiled that way.
    """
    rows = _Rows(log)
    at = rows.index(line)
    done = rows.spoil(how, at, line, change)
    if rehash or how == REHASH:
        return Spoiled(rows.hashed_anew(), f"{done}, and everything was hashed anew")
    return Spoiled(rows.written(how), done)


class _Rows:
    """The rows of either kind of log, under the same operations."""

    def __init__(self, log: CanonicalFile | RawFile) -> None:
        self._log = log
        self._raw = log if isinstance(log, RawFile) else None
        self._prev, self._hash = ("prev_entry_hash", "entry_hash") if self._raw else ("prev", "hash")
        self.rows: list[Mapping[str, Any]] = list(log.entries if isinstance(log, RawFile) else log.rows)

    def index(self, line: int) -> int:
        lines = list(self._raw.lines) if self._raw is not None else list(range(1, len(self.rows) + 1))
        if line in lines:
            return lines.index(line)
        if not lines:
            raise ValueError("it has no rows")
        raise ValueError(f"it has rows on lines {lines[0]} to {lines[-1]}; --line {line} is none of them")

    def spoil(self, how: str, at: int, line: int, change: tuple[str, str] | None) -> str:
        row = self.rows[at]
        if how in (EDIT, REHASH):
            self.rows[at] = changed = self._changed(row, change)
            if changed == row:
                raise ValueError(f"line {line} has this value already; give --set another one")
            return f"line {line} was changed"
        if how == DELETE:
            del self.rows[at]
            return f"line {line} was removed"
        if how == TRUNCATE:
            del self.rows[at:]
            return f"the file was cut before line {line}"
        if how == SWAP:
            if at + 1 == len(self.rows):
                raise ValueError(f"line {line} is the last row; name one with a row behind it to swap them")
            self.rows[at : at + 2] = self.rows[at + 1], row
            return f"line {line} and the row behind it changed places"
        copied = dict(self._changed(row, change))
        if how == INSERT:
            self._follow(row, copied)
        copied[self._hash] = self._hashed(copied)
        if copied == row:
            raise ValueError(f"line {line} has this value already; give --set another one")
        self.rows.insert(at + 1, copied)
        return f"a row was put in behind line {line}" if how == INSERT else f"the chain forks at line {line}"

    def _changed(self, row: Mapping[str, Any], change: tuple[str, str] | None) -> Mapping[str, Any]:
        if change is None:
            return {**row, "outcome": "failure" if row.get("outcome") == "success" else "success"}
        name, text = change
        present = row.get(name)
        if present is not None and not isinstance(present, str):
            try:
                return {**row, name: json.loads(text)}
            except ValueError:
                pass
        return {**row, name: text}

    def _follow(self, row: Mapping[str, Any], copied: dict[str, Any]) -> None:
        copied[self._prev] = row[self._hash]
        if self._raw is not None:
            copied["entry_id"] = f"{row.get('entry_id')}_inserted"
        else:
            copied["n"] = row["n"] + 1

    def _hashed(self, row: Mapping[str, Any]) -> str:
        return entry_hash(row) if self._raw is not None else hash_without(row, "hash")

    def written(self, how: str) -> bytes:
        """The file with these rows and nothing else changed; cut short, a canonical log has no head."""
        if isinstance(self._log, RawFile):
            return write_raw(self._log.with_entries(self.rows))
        lines = [canonical(row) for row in self.rows]
        if how != TRUNCATE:
            lines.append(canonical(self._log.head))
        return b"".join(line + b"\n" for line in lines)

    def hashed_anew(self) -> bytes:
        """The file with these rows, all links and hashes right."""
        if not isinstance(self._log, RawFile):
            return chained(self.rows, self._log.head)
        previous = {str(row.get("operator_id")): row[self._prev] for row in reversed(self._log.entries)}
        rows: list[Mapping[str, Any]] = []
        for row in self.rows:
            operator = str(row.get("operator_id"))
            linked = {**row, self._prev: previous.get(operator, "0" * 64)}
            linked[self._hash] = previous[operator] = entry_hash(linked)
            rows.append(linked)
        file = self._log.with_entries(rows)
        if "count" in file.around:
            file = RawFile(file.form, rows, file.lines, {**file.around, "count": len(rows)}, file.columns)
        return write_raw(file)
