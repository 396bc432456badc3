"""Logs to verify and spoil: the golden of a fleet, cut to some 200 rows, and a raw chain in all its forms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stack_emu.audit_log.canonical_file import CanonicalFile, chained, read_canonical
from stack_emu.audit_log.raw_rows import RawFile, entry_hash, read_raw, write_raw
from stack_emu.domain.audit import COLUMNS

ROOT = Path(__file__).resolve().parents[2]
GOLDENS = sorted((ROOT / "scenarios").glob("*/audit.jsonl"))
ROWS = 230
START = 1_767_225_600_000


def long_log() -> bytes:
    """The first lanes of the fleet's golden, whole lanes, and the one with most rows: 200 rows and more."""
    golden = read_canonical((ROOT / "scenarios" / "fleet-of-fifty" / "audit.jsonl").read_bytes())
    other = read_canonical((ROOT / "scenarios" / "revocation" / "audit.jsonl").read_bytes())
    lanes: dict[str, list[Any]] = {}
    for row in [*golden.rows, *other.rows]:
        lanes.setdefault(row["lane"], []).append(row)
    kept: list[str] = [row["lane"] for row in other.rows]
    for lane in lanes:
        if sum(len(lanes[name]) for name in set(kept)) < ROWS:
            kept.append(lane)
    rows = [row for lane in sorted(set(kept), key=str.encode) for row in lanes[lane]]
    return chained(rows, golden.head)


def long_file() -> CanonicalFile:
    """``long_log``, read."""
    return read_canonical(long_log())


def raw_entries(count: int = 40) -> list[dict[str, Any]]:
    """A raw chain of one account with every kind of value a row can have, hashed by the published formula."""
    entries: list[dict[str, Any]] = []
    previous = "0" * 64
    for number in range(count):
        entry: dict[str, Any] = dict.fromkeys(COLUMNS)
        entry.update(
            entry_id=f"aud_{number:04}",
            timestamp=START + number // 3,
            trace_id=f"req_{number // 2}",
            span_id="0",
            operator_id="op_acme",
            agent_id=None if number % 5 == 0 else "agent_“böt”\u2028",
            passport_jti=f"pp_{number % 4}" if number % 2 else None,
            layer="vault",
            action=["credential.proxy", "passport.issue", "agent.register"][number % 3],
            outcome=["success", "blocked", "failure"][number % 7 % 3],
            duration_ms=number or None,
            error_message=["=1+1", "'=quoted", 'say "no",\nplease', None][number % 4],
            prev_entry_hash=previous,
        )
        entry["metadata"] = {"service": "slack", "scopes": ["chat:write"]} if number % 2 else {}
        entry["entry_hash"] = previous = entry_hash(entry)
        entries.append(entry)
    return entries


def raw_file(form: str, entries: list[dict[str, Any]] | None = None) -> RawFile:
    """A raw chain as an export in one of its forms."""
    entries = raw_entries() if entries is None else entries
    around = {"count": len(entries), "truncated": False} if form == "json" else {}
    written = write_raw(RawFile(form, entries, range(len(entries)), around, (*COLUMNS, "metadata")))
    return read_raw(written)


def raw_bytes(form: str, entries: list[dict[str, Any]] | None = None) -> bytes:
    """The bytes of such an export."""
    return write_raw(raw_file(form, entries))


def lines_of(data: bytes) -> list[dict[str, Any]]:
    """Every line of a canonical log."""
    return [json.loads(line) for line in data.splitlines()]
