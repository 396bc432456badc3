"""Verifying a log: form, order, chains and head, with what was done to the first row that is broken.

``docs/audit-format.md`` specifies the rules, which ``docs/verify-audit.mjs`` follows as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from stack_emu.audit_log.canonical_file import CanonicalFile, Line, canonical, read_canonical
from stack_emu.audit_log.chains import Link, first_break, label_bytes
from stack_emu.audit_log.raw_rows import HASHED, RawFile, entry_hash, read_raw
from stack_emu.audit_log.verdicts import EDITED, INSERTED, REHASHED, TRUNCATED, Break, Verdict
from stack_emu.kernel import strict_json
from stack_emu.kernel.audit import FORMATS, GENESIS, ORDERS

RAW_COVER = f"the hash of a raw row covers {', '.join(HASHED)}; other columns are not hashed"
_NO_PREV, _NO_HASH, _NO_END = "(no link)", "(no hash)", "(no end)"


def read(data: bytes) -> CanonicalFile | RawFile:
    """Read a log of either kind, told apart by its first line that says which it is.

    Raises:
        ValueError: when the file is no audit log.
    """
    if not data.strip():
        return read_canonical(data)
    for line in data.split(b"\n"):
        try:
            value = strict_json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            if {"lane", "prev", "lanes", "head"} & value.keys():
                return read_canonical(data)
            if {"entry_id", "entry_hash", "entries"} & value.keys():
                break
    try:
        return read_raw(data)
    except ValueError:
        pass
    raise ValueError(
        "this is no audit log; give a canonical log (exec --audit FILE) or an export of raw rows as JSON, NDJSON or CSV"
    )


def verify(log: CanonicalFile | RawFile) -> Verdict:
    """What there is to say about a log by itself, without a head or checkpoint kept elsewhere."""
    if isinstance(log, RawFile):
        return _verify_raw(log)
    head = log.head.get("head")
    return Verdict(
        "canonical", len(log.rows), head if isinstance(head, str) else "", canonical_break(log.lines, log.ended)
    )


def head_break(log: CanonicalFile | RawFile, head: str | None) -> Break | None:
    """Whether a log that holds ends with the hash it is known to have.

    Args:
        log: the log.
        head: the head of a canonical log, or the hash of the last row of a raw one; None: nothing is known.
    """
    if head is None:
        return None
    if isinstance(log, RawFile):
        links = raw_links(log)
        return _raw_head_break(links, head)
    if log.head.get("head") == head:
        return None
    said = f"all its hashes hold, but the head is {log.head.get('head')}, not {head} as expected"
    return Break(REHASHED, len(log.lines), said)


def _raw_head_break(links: list[Link], head: str) -> Break | None:
    if not links:
        return Break(TRUNCATED, 0, f"there are no rows, where the last hash should be {head}")
    if links[-1].recorded == head:
        return None
    said = f"all its hashes hold, but the last hash is {links[-1].recorded}, not {head} as expected"
    return links[-1].broken(REHASHED, said)


def _text(value: object, otherwise: str) -> str:
    return value if isinstance(value, str) else otherwise


# --- canonical --------------------------------------------------------------------------------------------------------


def canonical_break(lines: Sequence[Line], ended: bool = True) -> Break | None:
    """The first break of a canonical log, or None.

    Args:
        lines: its lines, each read by itself.
        ended: whether the last one is ended by a newline.
    """
    malformed: Break | None = None
    head_at: int | None = None
    links: list[Link] = []
    for number, line in enumerate(lines, 1):
        content = line.content
        if malformed is None:
            if head_at is not None:
                malformed = Break(INSERTED, number, "there is nothing behind the head of a log")
            elif line.problem:
                malformed = _malformed(number, line, cut=number == len(lines) and not ended)
        if content is None:
            continue
        if line.is_head:
            head_at = head_at or number
        elif head_at is None:
            links.append(
                Link(
                    number,
                    line.lane,
                    _text(content.get("prev"), _NO_PREV),
                    _text(content.get("hash"), _NO_HASH),
                    line.own,
                    content.get("n"),
                )
            )
    head = lines[head_at - 1].content if head_at is not None else None
    lanes = head.get("lanes") if head is not None else None
    ends = {lane: _text(end, _NO_END) for lane, end in lanes.items()} if isinstance(lanes, dict) else None
    broken = first_break(links, ends, numbered=True)
    if malformed is not None and (broken is None or malformed.line <= broken.line):
        return malformed
    if broken is not None:
        return broken
    if head is None or head_at is None:
        said = (
            "the log ends without its last line, the head" if lines else "the file is empty; a log has at least a head"
        )
        return Break(TRUNCATED, len(lines), said, links[-1].lane if links else None)
    if not ended:
        return Break(TRUNCATED, len(lines), "the last line is not ended by a newline")
    return _head_break(head, head_at, lines[head_at - 1].own, links)


def _malformed(number: int, line: Line, *, cut: bool) -> Break:
    if cut and line.content is None:
        return Break(TRUNCATED, number, "the file ends in the middle of this line")
    lane = line.lane if line.content is not None and not line.is_head else None
    return Break(EDITED, number, line.problem, lane)


def _head_break(head: Mapping[str, Any], at: int, own: str, links: list[Link]) -> Break | None:
    """What the head says of rows whose chains hold."""
    if head.get("head") != own:
        return Break(EDITED, at, "the head was edited: its hash is not that of its content")
    if head.get("format") not in FORMATS:
        return Break(EDITED, at, f"the format is {head.get('format')}; this verifier knows {' and '.join(FORMATS)}")
    if head.get("order") not in ORDERS:
        return Break(EDITED, at, f"the order is {head.get('order')}, which is none of {', '.join(ORDERS)}")
    lanes = head.get("lanes")
    declared = {lane: _text(end, _NO_END) for lane, end in lanes.items()} if isinstance(lanes, dict) else {}
    by_lane: dict[str, list[Link]] = {}
    for link in links:
        by_lane.setdefault(link.lane, []).append(link)
    for lane in sorted({*declared, *by_lane}, key=label_bytes):
        found = _lane_end(lane, declared.get(lane), by_lane.get(lane, []), at, head.get("rows") == len(links))
        if found is not None:
            return found
    if head.get("rows") != len(links) or type(head.get("rows")) is not int:
        return Break(REHASHED, at, f"the head counts {head.get('rows')} rows, and its lanes end with {len(links)}")
    return None


def _lane_end(lane: str, end: str | None, links: list[Link], at: int, count_right: bool) -> Break | None:
    if not links:
        return Break(TRUNCATED, at, f"all rows of lane {lane} are missing; the head names the last of them", lane)
    last = links[-1]
    if end == last.recorded:
        return None
    if end is None:
        return links[0].broken(INSERTED, "the head knows no such lane")
    for link, following in pairwise(links):
        if link.recorded == end:
            return following.broken(INSERTED, f"the head says that the lane ends before it, on line {link.line}")
    if count_right:
        return last.broken(EDITED, "it was edited and hashed anew: the head still names the hash it had")
    return last.broken(TRUNCATED, "rows are missing behind it: the head names a later row as the lane's last")


# --- raw ----------------------------------------------------------------------------------------------------------------


def raw_links(file: RawFile) -> list[Link]:
    """The rows of an export as their chains see them."""
    return [
        Link(
            line,
            _operator(entry),
            _text(entry.get("prev_entry_hash"), _NO_PREV),
            _text(entry.get("entry_hash"), _NO_HASH),
            entry_hash(entry),
            entry_id=_name(entry.get("entry_id")),
        )
        for line, entry in zip(file.lines, file.entries, strict=True)
    ]


def _operator(entry: Mapping[str, Any]) -> str:
    value = entry.get("operator_id")
    return value if isinstance(value, str) else canonical(value).decode("utf-8")


def _name(value: object) -> str:
    return value if isinstance(value, str) else "without an id"


def _verify_raw(file: RawFile) -> Verdict:
    links = raw_links(file)
    broken = first_break(links, None, numbered=False) or _count_break(file, links)
    begins = {link.lane: link.prev == GENESIS for link in reversed(links)}
    notes = [RAW_COVER]
    if links and not all(begins.values()):
        notes.append("it begins in the middle of the chain; what its first row links to is taken as given")
    if file.around.get("truncated") is True:
        notes.append("the export stopped at its row limit; more rows follow")
    head = links[-1].recorded if links else ""
    return Verdict(file.form, len(links), str(head), broken, tuple(notes))


def _count_break(file: RawFile, links: list[Link]) -> Break | None:
    count = file.around.get("count")
    if type(count) is not int or count == len(links):
        return None
    said = f"the export says that it holds {count} rows, and it has {len(links)}"
    if not links:
        return Break(TRUNCATED, 0, said)
    return links[-1].broken(TRUNCATED if count > len(links) else INSERTED, said)
