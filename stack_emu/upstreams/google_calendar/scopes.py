"""The scopes of the Calendar API's methods, as the reference page of each method lists them."""

from __future__ import annotations

_AUTH = "https://www.googleapis.com/auth/calendar"


def _scopes(*names: str) -> tuple[str, ...]:
    return (_AUTH, *(f"{_AUTH}.{name}" for name in names))


READ_LIST = _scopes("app.created", "calendarlist", "calendarlist.readonly", "readonly")
CHANGE_LIST = _scopes("app.created", "calendarlist")
LIST_ALL = _scopes("calendarlist", "calendarlist.readonly", "readonly")
READ_CALENDAR = _scopes("app.created", "calendars", "calendars.readonly", "readonly")
CHANGE_CALENDAR = _scopes("app.created", "calendars")
CLEAR = _scopes("calendars")
READ_EVENTS = _scopes(
    "app.created",
    "events",
    "events.freebusy",
    "events.owned",
    "events.owned.readonly",
    "events.public.readonly",
    "events.readonly",
    "readonly",
)
CHANGE_EVENTS = _scopes("app.created", "events", "events.owned")
MOVE_EVENTS = _scopes("events", "events.owned")
FREE_BUSY = _scopes("events.freebusy", "freebusy", "readonly")
COLORS = _scopes(
    "app.created",
    "calendarlist",
    "calendarlist.readonly",
    "events.freebusy",
    "events.owned",
    "events.owned.readonly",
    "events.public.readonly",
    "readonly",
)
