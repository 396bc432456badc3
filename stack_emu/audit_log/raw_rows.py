"""Exports of STACK's raw audit rows: reading and writing them as JSON, NDJSON and CSV, and the published hash formula.

docs/api/audit: ``entry_hash`` is the SHA-256, in hex, of ``JSON.stringify`` of an object with the keys ``HASHED``, in this
order. The first row of an account links to 64 zeros.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from stack_emu.kernel import strict_json
from stack_emu.kernel.canonical import canonical_json

HASHED = ("entry_id", "timestamp", "operator_id", "agent_id", "layer", "action", "outcome", "prev_entry_hash")
"""The columns the hash covers, in the order of the formula."""

FORMS = ("json", "ndjson", "csv")
_NUMBERS = ("timestamp", "duration_ms")
_FORMULA = re.compile(r"'+[=+\-@\t\r]")


@dataclass(frozen=True)
class RawFile:
    """An export of raw rows, oldest first.

    Args:
        form: one of ``FORMS``.
        entries: the rows; what is no object is an empty one.
        lines: the line each row begins on, from 1; in the JSON form the number of the row.
        around: what the JSON form says beside the rows, such as ``count`` and ``truncated``.
        columns: the header of the CSV form.
    """

    form: str
    entries: Sequence[Mapping[str, Any]]
    lines: Sequence[int]
    around: Mapping[str, Any] = field(default_factory=dict)
    columns: Sequence[str] = ()

    def with_entries(self, entries: Sequence[Mapping[str, Any]]) -> RawFile:
        """The same file with other rows; what stands beside them stays as it was."""
        first = 2 if self.form == "csv" else 1
        return replace(self, entries=entries, lines=range(first, first + len(entries)))


def entry_hash(entry: Mapping[str, Any]) -> str:
    """The hash of a row by the published formula; a column that is missing counts as null."""
    body = {name: entry.get(name) for name in HASHED}
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    if any(isinstance(value, float) for value in body.values()):
        text = "{" + ",".join(f'"{name}":{_scalar(value)}' for name, value in body.items()) + "}"
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _scalar(value: Any) -> str:
    """As ``JSON.stringify`` writes it, which prints ``1.0`` as ``1``."""
    if isinstance(value, float):
        return canonical_json(value).decode("ascii")
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def read_raw(data: bytes) -> RawFile:
    """Read an export in any of its forms.

    Raises:
        ValueError: when the file is none of them.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("this is no text in UTF-8") from None
    if text.lstrip()[:1] not in ("{", "["):
        return _read_csv(text)
    try:
        whole = strict_json.loads(text)
    except ValueError:
        return _read_ndjson(text)
    if isinstance(whole, dict) and not isinstance(whole.get("entries"), list):
        return _checked(RawFile("ndjson", [whole], [1]))
    around = {} if isinstance(whole, list) else {name: value for name, value in whole.items() if name != "entries"}
    rows = whole if isinstance(whole, list) else whole["entries"]
    entries = [row if isinstance(row, dict) else {} for row in rows]
    return _checked(RawFile("json", entries, range(1, len(entries) + 1), around))


def _checked(file: RawFile) -> RawFile:
    if file.entries and not any("entry_hash" in row or "entry_id" in row for row in file.entries):
        raise ValueError("this holds no audit rows; export them with GET /v1/audit/export")
    return file


def _read_ndjson(text: str) -> RawFile:
    entries: list[Mapping[str, Any]] = []
    lines: list[int] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = strict_json.loads(line)
        except ValueError:
            row = None
        entries.append(row if isinstance(row, dict) else {})
        lines.append(number)
    return _checked(RawFile("ndjson", entries, lines))


def _read_csv(text: str) -> RawFile:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
        if not {"entry_id", "entry_hash"} & set(header):
            raise ValueError("this holds no audit rows; export them with GET /v1/audit/export")
        entries: list[Mapping[str, Any]] = []
        lines: list[int] = []
        begin = reader.line_num + 1
        for cells in reader:
            if cells:
                entries.append({name: _value(name, cell) for name, cell in zip(header, cells, strict=False)})
                lines.append(begin)
            begin = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"this is no CSV: {error}") from None
    return RawFile("csv", entries, lines, columns=header)


def _value(name: str, cell: str) -> Any:
    if cell == "":
        return None
    if name in _NUMBERS and re.fullmatch(r"-?(0|[1-9][0-9]{0,15})", cell):
        return int(cell)
    if name == "metadata":
        try:
            return strict_json.loads(cell)
        except ValueError:
            return cell
    return cell[1:] if _FORMULA.match(cell) else cell


def cell(value: Any) -> Any:
    """A value as it stands in the CSV form.

    Text that a spreadsheet would run as a formula has an apostrophe before it; text that already begins with apostrophes
    and such a character gets one more, so that it can be read back.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value[:1] in ("=", "+", "-", "@", "\t", "\r") or _FORMULA.match(value) else value
    if isinstance(value, (dict, list)):
        return json.dumps(value, sort_keys=True, ensure_ascii=False)
    return value


def write_raw(file: RawFile) -> bytes:
    """The file's bytes, in its own form."""
    if file.form == "ndjson":
        return "".join(_compact(row) + "\n" for row in file.entries).encode("utf-8")
    if file.form == "csv":
        out = io.StringIO(newline="")
        writer = csv.writer(out, lineterminator="\r\n")
        writer.writerow(file.columns)
        writer.writerows([cell(row.get(name)) for name in file.columns] for row in file.entries)
        return out.getvalue().encode("utf-8")
    whole = {"entries": list(file.entries), **file.around} if file.around else list(file.entries)
    return _compact(whole).encode("utf-8")


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
