"""A stateful fake Google Calendar."""

from __future__ import annotations

from stack_emu.upstreams.google_calendar.pack import GoogleCalendarPack

PACK = GoogleCalendarPack()
"""The pack ``google_calendar``."""

__all__ = ["PACK", "GoogleCalendarPack"]
