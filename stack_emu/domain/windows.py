"""Windows of time in queries: instants as clients write them, ISO-8601 or milliseconds since 1970."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

from stack_emu.domain import faults
from stack_emu.kernel.clock import ISO_PATTERN, parse_iso
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import written_as

LAST_MS = 253_402_300_799_999
"""The last instant there is a way to write for."""


def _instant(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise ValueError("must be an ISO-8601 instant or milliseconds since 1970")
    text = str(value).strip()
    try:
        at = int(text) if text.lstrip("-").isdigit() else parse_iso(text)
    except (ValueError, OverflowError):
        raise ValueError("must be an ISO-8601 instant or milliseconds since 1970") from None
    if not 0 <= at <= LAST_MS:
        raise ValueError("must lie between the years 1970 and 9999")
    return at


Instant = Annotated[
    int,
    BeforeValidator(_instant),
    WithJsonSchema(
        {
            "type": ["string", "integer"],
            "examples": ["2026-01-01T00:00:00Z"],
            **written_as(pattern=f"{ISO_PATTERN}|^[0-9]{{1,13}}$", minimum=0, maximum=LAST_MS),
        }
    ),
]
"""An instant of a query, as epoch milliseconds."""


def check_window(since_ms: int | None, until_ms: int | None) -> None:
    """Refuse a window that ends before it starts.

    Raises:
        Fault: INVALID_REQUEST.
    """
    if since_ms is not None and until_ms is not None and until_ms < since_ms:
        problem = "until: it lies before since"
        raise Fault(faults.INVALID_REQUEST, problem=problem, details={"fields": {"until": problem}})
