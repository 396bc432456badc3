"""Billing periods: calendar months in UTC."""

from __future__ import annotations

from dataclasses import dataclass

from stack_emu.kernel.clock import iso, parse_iso


@dataclass(frozen=True)
class Period:
    """A time from its start, included, to its end, excluded."""

    start_ms: int
    end_ms: int
    label: str


def month_of(at_ms: int) -> Period:
    """The month an instant lies in."""
    label = iso(at_ms)[:7]
    year, month = int(label[:4]), int(label[5:])
    following = f"{year + month // 12:04d}-{month % 12 + 1:02d}"
    return Period(parse_iso(f"{label}-01"), parse_iso(f"{following}-01"), label)
