"""Handlers of ``calendarList``, ``calendars`` and ``colors``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stack_emu.kernel.clock import iso
from stack_emu.upstreams.google_api import bad_parameter, beyond_the_fake, boolean, page_of, page_size, refuse
from stack_emu.upstreams.google_calendar.agenda import (
    ROLES,
    Agenda,
    account,
    all_calendars,
    check_version,
    event_id,
    is_known,
    version,
)
from stack_emu.upstreams.google_calendar.times import is_zone
from stack_emu.upstreams.pack_calls import RestCall
from stack_emu.upstreams.requests import UpstreamReply

Calendar = Mapping[str, Any]

EVENT_COLORS = [
    "a4bdfc",
    "7ae7bf",
    "dbadff",
    "ff887c",
    "fbd75b",
    "ffb878",
    "46d6db",
    "e1e1e1",
    "5484ed",
    "51b749",
    "dc2127",
]
"""Backgrounds of events by their ``colorId``, from 1."""

_COLORS_TO_12 = "ac725e d06b64 f83a22 fa573c ff7537 ffad46 42d692 16a765 7bd148 b3dc6c fbe983 fad165"
_COLORS_TO_24 = "92e1c0 9fe1e7 9fc6e7 4986e7 9a9cff b99aff c2c2c2 cabdbf cca6ac f691b2 cd74e6 a47ae2"
CALENDAR_COLORS = tuple(f"{_COLORS_TO_12} {_COLORS_TO_24}".split())
"""Backgrounds of calendars by their ``colorId``, from 1."""

DEFAULT_COLOR = "14"
FOREGROUND = "#1d1d1d"
_CALENDAR = ("summary", "description", "location", "timeZone")
_ENTRY = ("summaryOverride", "colorId", "hidden", "selected", "defaultReminders", "notificationSettings")
_ENTRY_TYPES = {"summaryOverride": str, "hidden": bool, "selected": bool, "defaultReminders": list, "colorId": str}
_SHOWN_ONLY = ("kind", "etag", "id", "accessRole", "primary", "conferenceProperties", "dataOwner", "deleted")


def list_entries(call: RestCall) -> Any:
    """List the calendars the account has, the primary one first."""
    if call.query("syncToken") is not None:
        beyond_the_fake(call, "Google Calendar's fake syncs events, not the list of calendars; leave syncToken out.")
    call.ignore("query.showDeleted", "query.showOwnOrganizationOnly")
    least = call.query("minAccessRole") or ROLES[0]
    if least not in ROLES:
        bad_parameter("minAccessRole", f"Invalid value for: minAccessRole {least}", status=False)
    hidden = boolean(call, "showHidden", status=False)
    entries = [
        one
        for one in all_calendars(call)
        if ROLES.index(one["accessRole"]) >= ROLES.index(least) and (hidden or not one.get("hidden"))
    ]
    page, token = page_of(call, entries, _order, page_size(call, 100, 250, status=False), status=False)
    tag = version(" ".join(one["etag"] for one in entries))
    data = {"kind": "calendar#calendarList", "etag": tag, "items": [_entry(one) for one in page]}
    return {**data, "nextPageToken": token} if token is not None else data


def get_entry(call: RestCall) -> Any:
    """Read one calendar as the account sees it."""
    return _entry(Agenda(call, call.params["calendarId"], ROLES[0]).calendar)


def patch_entry(call: RestCall) -> Any:
    """Change how the account sees a calendar: colour, name, whether it is shown."""
    agenda = Agenda(call, call.params["calendarId"], ROLES[0])
    check_version(call, agenda.calendar["etag"])
    call.ignore("query.colorRgbFormat", *_SHOWN_ONLY, *_CALENDAR)
    fields = {name: call.field(name) for name in _ENTRY if call.has(name)}
    for name, kind in _ENTRY_TYPES.items():
        if fields.get(name) is not None and not isinstance(fields[name], kind):
            refuse(400, "invalid", f"Invalid value for: {name}", status=False)
    color = fields.get("colorId")
    if color is not None and (not str(color).isdigit() or not 1 <= int(color) <= len(CALENDAR_COLORS)):
        refuse(400, "invalid", "Invalid value for: colorId", status=False, hint="colorId is 1 to 24, as text.")
    for name in ("backgroundColor", "foregroundColor"):
        if call.has(name) and boolean(call, "colorRgbFormat", status=False):
            fields[name] = call.field(name)
    kept = {name: value for name, value in {**agenda.calendar, **fields}.items() if value is not None}
    return _entry(_put(call, {"colorId": DEFAULT_COLOR, **kept}))


def get(call: RestCall) -> Any:
    """Read a calendar's own properties."""
    calendar = Agenda(call, call.params["calendarId"], ROLES[0]).calendar
    if is_known(call, calendar["etag"]):
        return UpstreamReply(304, {"ETag": calendar["etag"]})
    return _shown(calendar)


def insert(call: RestCall) -> Any:
    """Add a calendar, which the account owns."""
    fields = _fields(call, titled=True)
    calendars = call.collection("calendars")
    key = call.mint(
        calendars.free(lambda: f"c_{event_id(call.act.new_bytes('calendar.id'))}@group.calendar.google.com")
    )
    owned = {"id": key, "timeZone": "UTC", "accessRole": "owner", "colorId": DEFAULT_COLOR, "selected": True}
    return _shown(_put(call, {**owned, **{name: value for name, value in fields.items() if value is not None}}))


def patch(call: RestCall) -> Any:
    """Change some properties of a calendar; null deletes one."""
    agenda = Agenda(call, call.params["calendarId"], "owner")
    check_version(call, agenda.calendar["etag"])
    changed = {**agenda.calendar, **_fields(call)}
    return _shown(_put(call, {name: value for name, value in changed.items() if value is not None}))


def update(call: RestCall) -> Any:
    """Replace the properties of a calendar."""
    agenda = Agenda(call, call.params["calendarId"], "owner")
    check_version(call, agenda.calendar["etag"])
    fields = _fields(call, titled=True)
    kept = {name: value for name, value in agenda.calendar.items() if name not in ("description", "location")}
    return _shown(_put(call, {**kept, **{name: value for name, value in fields.items() if value is not None}}))


def delete(call: RestCall) -> Any:
    """Delete a calendar and its events; the primary one stays."""
    agenda = Agenda(call, call.params["calendarId"], "owner")
    check_version(call, agenda.calendar["etag"])
    if agenda.calendar.get("primary"):
        refuse(
            403, "forbidden", "Cannot delete the primary calendar.", status=False, hint="calendars.clear empties it."
        )
    for key, _ in list(agenda.events.items()):
        agenda.events.delete(key)
    call.collection("calendars").delete(agenda.key)


def clear(call: RestCall) -> Any:
    """Delete every event of the primary calendar."""
    agenda = Agenda(call, call.params["calendarId"], "owner")
    if not agenda.calendar.get("primary"):
        refuse(400, "invalid", "Only the primary calendar can be cleared.", status=False)
    for event in agenda.events.all():
        if event["status"] != "cancelled":
            agenda.put({**event, "status": "cancelled"})


def colors(call: RestCall) -> Any:
    """The colours that ``colorId`` of events and calendars stands for."""
    account(call)
    return {
        "kind": "calendar#colors",
        "updated": "2012-02-14T00:00:00.000Z",
        "calendar": _palette(CALENDAR_COLORS),
        "event": _palette(EVENT_COLORS),
    }


def _palette(backgrounds: Sequence[str]) -> dict[str, Any]:
    return {str(place): {"background": f"#{one}", "foreground": FOREGROUND} for place, one in enumerate(backgrounds, 1)}


def _fields(call: RestCall, *, titled: bool = False) -> dict[str, Any]:
    """The properties of a calendar in a request; its title is needed when ``titled``, and may never be taken away."""
    call.ignore(*_SHOWN_ONLY)
    fields = {name: call.field(name) for name in _CALENDAR if call.has(name)}
    for name in _CALENDAR:
        if fields.get(name) is not None and not isinstance(fields[name], str):
            refuse(400, "invalid", f"Invalid value for: {name}", status=False)
    if fields.get("timeZone") is not None and not is_zone(fields["timeZone"]):
        refuse(400, "invalid", "Invalid time zone.", status=False, hint="timeZone is an IANA name: Europe/Berlin.")
    if (titled or "summary" in fields) and not fields.get("summary"):
        refuse(400, "required", "Missing title.", status=False, hint="summary is the calendar's title.")
    if fields.get("timeZone") is None:
        fields.pop("timeZone", None)
    return fields


def _put(call: RestCall, calendar: Calendar) -> Calendar:
    etag = f'"{call.number("calendar.etag", 16)}"'
    return call.collection("calendars").put(calendar["id"], {**calendar, "etag": etag, "updated": iso(call.now_ms)})


def _order(calendar: Calendar) -> list[Any]:
    return [not calendar.get("primary"), calendar["summary"], calendar["id"]]


def _shown(calendar: Calendar) -> dict[str, Any]:
    names = ("etag", "id", *_CALENDAR)
    return {"kind": "calendar#calendar", **{name: calendar[name] for name in names if name in calendar}}


def _entry(calendar: Calendar) -> dict[str, Any]:
    color = CALENDAR_COLORS[int(calendar["colorId"]) - 1]
    names = ("etag", "id", *_CALENDAR, *_ENTRY, "accessRole", "primary")
    return {
        "kind": "calendar#calendarListEntry",
        "defaultReminders": [],
        "backgroundColor": calendar.get("backgroundColor", f"#{color}"),
        "foregroundColor": calendar.get("foregroundColor", FOREGROUND),
        **{name: calendar[name] for name in names if name in calendar},
    }
