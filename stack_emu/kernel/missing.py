"""What stands for a value that is not there."""

from __future__ import annotations

import enum


class Missing(enum.Enum):
    """Stands for a value that is not there; ``None`` is JSON's null."""

    MISSING = "missing"

    def __repr__(self) -> str:
        return "missing"


MISSING = Missing.MISSING
