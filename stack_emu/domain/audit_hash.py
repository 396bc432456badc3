"""The published hash formula of STACK's raw audit chain.

docs/api/audit: SHA-256, in hex, of ``JSON.stringify`` of an object with the keys entry_id, timestamp, operator_id,
agent_id, layer, action, outcome, prev_entry_hash in this order. The first row links to 64 zeros.
"""

from __future__ import annotations

import hashlib
import json

from stack_emu.kernel.audit import Row

HASHED = ("entry_id", "timestamp", "operator_id", "agent_id", "layer", "action", "outcome", "prev_entry_hash")


def row_hash(row: Row) -> str:
    """The ``entry_hash`` of a row whose ``prev_entry_hash`` is set."""
    body = {name: getattr(row, name) for name in HASHED}
    return hashlib.sha256(json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode("utf-8")).hexdigest()
