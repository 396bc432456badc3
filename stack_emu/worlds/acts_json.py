"""Acts with their rows as JSON data and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from stack_emu.kernel.audit import ActEntry, AuditImage, Row

_ROW_FIELDS = tuple(one.name for one in dataclasses.fields(Row))
_ACT_FIELDS = tuple(one.name for one in dataclasses.fields(ActEntry) if one.name != "rows")


def dump_act(entry: ActEntry) -> dict[str, Any]:
    """An act as JSON data."""
    data = {name: getattr(entry, name) for name in _ACT_FIELDS}
    data["rows"] = [{name: getattr(row, name) for name in _ROW_FIELDS} for row in entry.rows]
    return data


def load_audit(acts: Iterable[Mapping[str, Any]]) -> AuditImage:
    """A picture of an audit log, from its acts in commit order.

    Raises:
        TypeError: for data that ``dump_act`` did not make.
    """
    return AuditImage.of(ActEntry(**{**data, "rows": tuple(Row(**row) for row in data["rows"])}) for data in acts)
