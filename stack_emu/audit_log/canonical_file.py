"""Canonical logs as files: their lines, their rows, and hashing a changed one anew."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stack_emu.kernel import strict_json
from stack_emu.kernel.audit import GENESIS
from stack_emu.kernel.canonical import canonical_json

CHAIN_FIELDS = ("hash", "prev", "n", "act", "lane")
"""Where a row stands, as opposed to what happened."""


@dataclass(frozen=True)
class Line:
    """One line of a canonical log, read by itself.

    Args:
        raw: its bytes without the newline.
        content: the object it is, or None.
        problem: why it is no line of a log: no JSON object, or not in canonical form; empty when it is one.
        own: the hash of its content, without ``hash`` (of a head, without ``head``); empty when there is none.
    """

    raw: bytes
    content: Mapping[str, Any] | None
    problem: str
    own: str

    @property
    def is_head(self) -> bool:
        """Whether it is a head: it says ``head`` or ``lanes`` and links to nothing."""
        return self.content is not None and "prev" not in self.content and bool({"head", "lanes"} & self.content.keys())

    @property
    def lane(self) -> str:
        """Label of its lane; what is no text is named by its JSON."""
        value = (self.content or {}).get("lane")
        return value if isinstance(value, str) else canonical(value).decode("utf-8")


@dataclass(frozen=True)
class CanonicalFile:
    """A canonical log as it stands in a file.

    Args:
        lines: all its lines.
        ended: whether the last one is ended by a newline.
    """

    lines: Sequence[Line]
    ended: bool = True

    @property
    def rows(self) -> list[Mapping[str, Any]]:
        """The rows, broken or not, in the order of the file."""
        return [line.content for line in self.lines if line.content is not None and not line.is_head]

    @property
    def head(self) -> Mapping[str, Any]:
        """The first head; empty when there is none."""
        return next((line.content for line in self.lines if line.content is not None and line.is_head), {})


def canonical(value: Any) -> bytes:
    """The canonical JSON of a value that was read from a file; empty when it has none."""
    try:
        return canonical_json(value)
    except ValueError:
        return b""


def hash_without(content: Mapping[str, Any], name: str) -> str:
    """The hex SHA-256 of an object without one of its names."""
    return hashlib.sha256(canonical({key: value for key, value in content.items() if key != name})).hexdigest()


def read_line(raw: bytes) -> Line:
    """Read one line by itself."""
    try:
        content = strict_json.loads(raw.decode("utf-8"))
    except ValueError:
        return Line(raw, None, "it is not JSON", "")
    if not isinstance(content, dict):
        return Line(raw, None, "it is not a JSON object", "")
    line = Line(raw, content, "", "")
    own = hash_without(content, "head" if line.is_head else "hash")
    return Line(raw, content, "" if canonical(content) == raw else _why_not_canonical(raw), own)


def _why_not_canonical(raw: bytes) -> str:
    problem = "it is not in canonical form (RFC 8785), so something else than the emulator wrote it"
    return (
        problem + "; it ends with CR LF, as an editor or git's autocrlf leaves it" if raw.endswith(b"\r") else problem
    )


def read_canonical(data: bytes) -> CanonicalFile:
    """Read a whole file; nothing is checked beyond single lines."""
    lines = data.split(b"\n")
    ended = lines[-1] == b""
    if ended:
        lines.pop()
    return CanonicalFile([read_line(line) for line in lines], ended or not data)


def content_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row without its chain: what happened, and nothing about where it stands."""
    return {name: value for name, value in row.items() if name not in CHAIN_FIELDS}


def head_sha256(data: bytes) -> str:
    """The head hash of a canonical log: 64 hex digits that stand for every row in it.

    Raises:
        ValueError: when the last line is no head.
    """
    last = read_line(data.rstrip(b"\n").rpartition(b"\n")[2])
    if last.content is None or "head" not in last.content:
        raise ValueError("the last line of this file holds no head; it is not a whole canonical log")
    return str(last.content["head"])


def rehash(data: bytes) -> bytes:
    """A changed log with all its numbers and hashes made right again, as someone who controls the file could do.

    It verifies, unless its head is compared with one that was kept elsewhere, or with a signed checkpoint.
    """
    file = read_canonical(data)
    return chained(file.rows, file.head)


def chained(rows: Iterable[Mapping[str, Any]], head: Mapping[str, Any]) -> bytes:
    """A log of these rows, its lanes sorted, numbered, linked and hashed.

    Args:
        rows: those of a lane in the order they are to have.
        head: the last line, of which ``lanes``, ``rows`` and ``head`` are made anew.
    """
    previous: dict[str, str] = {}
    counts: dict[str, int] = {}
    lines: list[bytes] = []
    for row in sorted(rows, key=lambda row: str(row.get("lane")).encode("utf-8", "surrogatepass")):
        lane = str(row.get("lane"))
        line = {**row, "n": counts.get(lane, 0), "prev": previous.get(lane, GENESIS)}
        line["hash"] = previous[lane] = hash_without(line, "hash")
        counts[lane] = line["n"] + 1
        lines.append(canonical(line))
    last = {**head, "lanes": previous, "rows": len(lines)}
    last["head"] = hash_without(last, "head")
    return b"".join(line + b"\n" for line in [*lines, canonical(last)])
