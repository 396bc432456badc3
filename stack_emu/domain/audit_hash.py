"""The published hash formula of STACK's raw audit chain, for rows as a world keeps them."""

from __future__ import annotations

from stack_emu.audit_log.raw_rows import HASHED, entry_hash
from stack_emu.kernel.audit import Row


def row_hash(row: Row) -> str:
    """The ``entry_hash`` of a row whose ``prev_entry_hash`` is set."""
    return entry_hash({name: getattr(row, name) for name in HASHED})
