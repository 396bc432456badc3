"""The published hash formula of STACK's raw audit chain.

docs/api/audit: SHA-256, in hex, of ``JSON.stringify`` of an object with the keys entry_id, timestamp, operator_id,
agent_id, layer, action, outcome, prev_entry_hash in this order. The first row links to 64 zeros.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from stack_emu.kernel.audit import Row

HASHED = ("entry_id", "timestamp", "operator_id", "agent_id", "layer", "action", "outcome", "prev_entry_hash")


_text = json.encoder.encode_basestring
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def row_hash(row: Row) -> str:
    """The ``entry_hash`` of a row whose ``prev_entry_hash`` is set."""
    # What ``_digest`` makes of the columns of HASHED, at a third of the cost: every row is hashed when it is written.
    body = (
        f'{{"entry_id":{_text(row.entry_id)},"timestamp":{row.timestamp},"operator_id":{_text(row.operator_id)},'
        f'"agent_id":{"null" if row.agent_id is None else _text(row.agent_id)},"layer":{_text(row.layer)},'
        f'"action":{_text(row.action)},"outcome":{_text(row.outcome)},"prev_entry_hash":{_text(row.prev_entry_hash)}}}'
    )
    return hashlib.sha256(body.encode("utf-8")).hexdigest()


def read_entries(data: bytes) -> list[dict[str, Any]]:
    """The rows in an export: the JSON object, a bare array, or NDJSON.

    Raises:
        ValueError: when the file is none of these.
    """
    text = data.decode("utf-8")
    try:
        whole = json.loads(text)
    except ValueError:
        whole = [json.loads(line) for line in text.splitlines() if line.strip()]
    if isinstance(whole, dict):
        whole = whole.get("entries", [whole])
    if not isinstance(whole, list) or not all(isinstance(row, dict) and "entry_hash" in row for row in whole):
        raise ValueError("this holds no audit rows; export them with GET /v1/audit/export")
    return whole


def verify_entries(entries: Iterable[Mapping[str, Any]]) -> list[str]:
    """Check exported rows, oldest first, without an emulator; returns a sentence for every break.

    An export may begin in the middle of the chain, so what its first row links to is taken as given.
    """
    problems: list[str] = []
    previous: dict[str, str] = {}
    for number, entry in enumerate(entries, 1):
        where = f"row {number}, {entry.get('entry_id')}"
        operator = str(entry.get("operator_id"))
        linked = entry.get("prev_entry_hash")
        if previous.get(operator, linked) != linked:
            problems.append(f"{where}: prev_entry_hash does not equal the hash of the row before")
        body = {name: entry.get(name) for name in HASHED}
        if _digest(body) != entry.get("entry_hash"):
            problems.append(f"{where}: entry_hash does not equal the hash of the row's own content")
        previous[operator] = str(entry.get("entry_hash"))
    return problems


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(_encode(body).encode("utf-8")).hexdigest()
