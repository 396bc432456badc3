"""Handlers of ``events`` that read or change one event."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from stack_emu.kernel.clock import iso
from stack_emu.upstreams.google_api import encode, refuse
from stack_emu.upstreams.google_calendar.agenda import Agenda, Event, check_version, event_id, is_known
from stack_emu.upstreams.google_calendar.fields import checked, merged, shown, written
from stack_emu.upstreams.google_calendar.listing import most_attendees, zone_asked
from stack_emu.upstreams.google_calendar.times import BadTimeError, Moment, read_point, utc, zone_of
from stack_emu.upstreams.pack_calls import RestCall
from stack_emu.upstreams.requests import UpstreamReply

_ID = re.compile(r"[a-v0-9]{5,1024}")
_OWN = ("id", "created", "creator", "organizer", "iCalUID", "htmlLink", "recurringEventId", "originalStartTime")
_CLOCK = re.compile(r"\b(?:at\s+)?(\d{1,2})(?::(\d\d))?\s*(am|pm)\b|\bat\s+(\d{1,2})(?::(\d\d))?\b", re.IGNORECASE)
_DAY = re.compile(r"\b(?:on\s+)?(\d{4})-(\d\d)-(\d\d)\b|\b(today|tomorrow)\b", re.IGNORECASE)


def get(call: RestCall) -> Any:
    """Read an event or one instance of a series; a deleted event is cancelled."""
    agenda = Agenda(call, call.params["calendarId"])
    call.ignore("query.alwaysIncludeEmail")
    event = agenda.event(call.params["eventId"])
    if is_known(call, event["etag"]):
        return UpstreamReply(304, {"ETag": event["etag"]})
    return _answer(agenda, event, zone_asked(call))


def insert(call: RestCall) -> Any:
    """Add an event, or a series when it has a ``recurrence``; the client may choose the id."""
    agenda = Agenda(call, call.params["calendarId"], "writer")
    key = call.field("id")
    if key is not None and (not isinstance(key, str) or _ID.fullmatch(key) is None):
        refuse(400, "invalid", "Invalid resource id value.", status=False, hint="ids are 5 to 1024 of a-v and 0-9.")
    if key is not None and agenda.events.get(key) is not None:
        refuse(409, "duplicate", "The requested identifier already exists.", status=False)
    return _answer(agenda, _added(agenda, written(call), key))


def import_event(call: RestCall) -> Any:
    """Add a private copy of an event by its ``iCalUID``; one that is there already is replaced."""
    agenda = Agenda(call, call.params["calendarId"], "writer")
    uid = call.field("iCalUID")
    if not uid:
        refuse(400, "required", "Missing iCalUID.", status=False)
    there = next((one for one in agenda.events.all() if one["iCalUID"] == uid), None)
    fields = written(call)
    organizer = call.field("organizer")
    extra = {"iCalUID": str(uid), **({"organizer": organizer} if isinstance(organizer, dict) else {})}
    if there is None:
        return _answer(agenda, _added(agenda, fields, None, extra))
    return _answer(agenda, _changed(agenda, there, {**_kept(there), "status": "confirmed", **fields, **extra}))


def update(call: RestCall) -> Any:
    """Replace an event or one instance of a series."""
    agenda, event = _found(call)
    fields = written(call)
    fields.pop("sequence", None)
    kept = {**_kept(event), "status": "confirmed"}
    if "conferenceData" in event and call.query("conferenceDataVersion") in (None, "0"):
        kept["conferenceData"] = event["conferenceData"]
    return _answer(agenda, _changed(agenda, event, {**kept, **fields}))


def patch(call: RestCall) -> Any:
    """Change some fields of an event or of one instance; null deletes a field, lists are replaced."""
    agenda, event = _found(call)
    fields = written(call)
    fields.pop("sequence", None)
    for name in ("start", "end"):  # a date and an instant do not go together
        if isinstance(fields.get(name), Mapping):
            other = {"date": "dateTime", "dateTime": "date"}
            gone = {other[key]: None for key, value in fields[name].items() if key in other and value is not None}
            fields[name] = {**gone, **fields[name]}
    return _answer(agenda, _changed(agenda, event, merged(event, fields)))


def delete(call: RestCall) -> Any:
    """Delete an event, a series, or one instance of it; it is cancelled from then on."""
    agenda, event = _found(call)
    call.ignore("query.sendUpdates", "query.sendNotifications")
    if event["status"] == "cancelled":
        refuse(410, "deleted", "Resource has been deleted", status=False)
    agenda.cancel(event)


def move(call: RestCall) -> Any:
    """Move an event to another calendar of the account, whose organizer changes."""
    agenda, event = _found(call)
    call.ignore("query.sendUpdates", "query.sendNotifications")
    destination = call.query("destination")
    if destination is None:
        refuse(400, "required", "Required", status=False, location=("destination", "parameter"))
    there = Agenda(call, destination, "writer")
    if event.get("recurringEventId") or event["status"] == "cancelled":
        refuse(400, "cannotChangeOrganizerOfInstance", "Cannot change the organizer of an instance.", status=False)
    if there.events.get(event["id"]) is not None and there.key != agenda.key:
        refuse(409, "duplicate", "The requested identifier already exists.", status=False)
    moved = there.put({**event, "organizer": _person(there)})
    if there.key != agenda.key:
        agenda.put({**event, "status": "cancelled"})
    return _answer(there, moved)


def quick_add(call: RestCall) -> Any:
    """Add an event from a line of text: ``today``, ``tomorrow``, a date and a time are understood, in English."""
    agenda = Agenda(call, call.params["calendarId"], "writer")
    call.ignore("query.sendUpdates", "query.sendNotifications")
    text = call.query("text")
    if text is None:
        refuse(400, "required", "Required", status=False, location=("text", "parameter"))
    now = utc(call.now_ms).astimezone(zone_of(agenda.zone)).replace(tzinfo=None, microsecond=0)
    day, clock = _DAY.search(text), _CLOCK.search(text)
    start = now
    if day is not None and day[1]:
        try:
            start = read_point({"date": f"{day[1]}-{day[2]}-{day[3]}"}, agenda.zone).local.replace(
                hour=now.hour, minute=now.minute, second=now.second
            )
        except BadTimeError:
            refuse(400, "invalid", "Bad Request", status=False, hint=f"{day[0]} is no day.")
    elif day is not None and day[4].lower() == "tomorrow":
        start += timedelta(days=1)
    hour, minute = _hour(clock) if clock is not None else (0, 0)
    whole = clock is None and day is not None
    begin = Moment(start.replace(hour=hour, minute=minute, second=0) if clock or whole else start, agenda.zone, whole)
    end = begin.at(begin.local + (timedelta(days=1) if whole else timedelta(hours=1)))
    summary = " ".join(_DAY.sub("", _CLOCK.sub("", text)).split()) or text
    fields = {"summary": summary, "start": begin.kept(), "end": end.kept()}
    return _answer(agenda, _added(agenda, fields, None))


def _hour(clock: re.Match[str]) -> tuple[int, int]:
    hour, minute = int(clock[1] or clock[4]), int(clock[2] or clock[5] or 0)
    if clock[3]:
        hour = hour % 12 + (12 if clock[3].lower() == "pm" else 0)
    return hour % 24, minute % 60


def _found(call: RestCall) -> tuple[Agenda, Event]:
    """The event a change is of, in the version the client knows."""
    agenda = Agenda(call, call.params["calendarId"], "writer")
    event = agenda.event(call.params["eventId"])
    check_version(call, event["etag"])
    return agenda, event


def _kept(event: Event) -> dict[str, Any]:
    """What a client does not write."""
    return {name: event[name] for name in _OWN if name in event}


def _person(agenda: Agenda) -> dict[str, Any]:
    if agenda.key == agenda.account:
        return {"email": agenda.account, "self": True}
    return {"email": agenda.key, "displayName": agenda.calendar["summary"], "self": True}


def _added(agenda: Agenda, fields: Mapping[str, Any], key: str | None, extra: Mapping[str, Any] | None = None) -> Event:
    call = agenda.call
    key = call.mint(key or agenda.events.free(lambda: event_id(call.act.new_bytes("calendar.event"))))
    event = {
        "id": key,
        "status": "confirmed",
        "htmlLink": f"https://www.google.com/calendar/event?eid={encode(f'{key} {agenda.key}'.encode()).rstrip('=')}",
        "created": iso(call.now_ms),
        "creator": {"email": agenda.account, "self": True},
        "organizer": _person(agenda),
        "iCalUID": f"{key}@google.com",
        "reminders": {"useDefault": True},
        "eventType": "default",
        "sequence": 0,
        **{name: value for name, value in fields.items() if value is not None},
        **(extra or {}),
    }
    return agenda.put(_linked(checked(agenda, event)))


def _changed(agenda: Agenda, old: Event, fields: Mapping[str, Any]) -> Event:
    defaults = {"reminders": {"useDefault": True}, "eventType": "default"}
    event = checked(agenda, {**defaults, **_kept(old), **fields})
    times = ("start", "end", "recurrence")
    later = any(event.get(name) != old.get(name) for name in times)
    event["sequence"] = int(old.get("sequence", 0)) + later
    return agenda.put(_linked(event))


def _linked(event: dict[str, Any]) -> dict[str, Any]:
    """The event with the link of its conference."""
    event = {name: value for name, value in event.items() if name != "hangoutLink"}
    entries = event.get("conferenceData", {}).get("entryPoints", [])
    video = next((one["uri"] for one in entries if one.get("entryPointType") == "video" and "uri" in one), None)
    return {**event, "hangoutLink": video} if video else event


def _answer(agenda: Agenda, event: Event, zone: str | None = None) -> Any:
    agenda.call.headers["ETag"] = event["etag"]
    return shown(agenda, event, zone, most_attendees(agenda.call))
