"""The fields of an event: what a client may write, what is checked, and how an event is shown."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from stack_emu.upstreams.google_api import beyond_the_fake, refuse
from stack_emu.upstreams.google_calendar.agenda import Agenda, Event
from stack_emu.upstreams.google_calendar.recurrence import BadRuleError, UnknownRuleError
from stack_emu.upstreams.google_calendar.times import BadTimeError, Moment, read_point
from stack_emu.upstreams.pack_calls import RestCall

WRITABLE = (
    "summary",
    "description",
    "location",
    "colorId",
    "status",
    "transparency",
    "visibility",
    "start",
    "end",
    "recurrence",
    "attendees",
    "reminders",
    "extendedProperties",
    "source",
    "attachments",
    "gadget",
    "eventType",
    "guestsCanInviteOthers",
    "guestsCanModify",
    "guestsCanSeeOtherGuests",
    "anyoneCanAddSelf",
    "sequence",
)
"""Fields a client writes and reads back."""

_SHOWN_ONLY = (
    "kind",
    "etag",
    "id",
    "htmlLink",
    "created",
    "updated",
    "creator",
    "organizer",
    "iCalUID",
    "originalStartTime",
    "recurringEventId",
    "hangoutLink",
    "conferenceData",
    "endTimeUnspecified",
    "locked",
    "privateCopy",
    "attendeesOmitted",
)
_CHOICES = {
    "status": ("confirmed", "tentative", "cancelled"),
    "transparency": ("opaque", "transparent"),
    "visibility": ("default", "public", "private", "confidential"),
}
_TYPES: Mapping[type, tuple[str, ...]] = {
    str: ("summary", "description", "location", "colorId", "eventType", "status", "transparency", "visibility"),
    dict: ("reminders", "extendedProperties", "source", "gadget", "conferenceData"),
    list: ("attendees", "recurrence", "attachments"),
    bool: ("guestsCanInviteOthers", "guestsCanModify", "guestsCanSeeOtherGuests", "anyoneCanAddSelf"),
}
_WORDS_OF = {str: "text", dict: "an object", list: "a list", bool: "true or false"}
_COLORS = 11
_RESPONSES = ("needsAction", "declined", "tentative", "accepted")
_WORDS = {
    "missing": ("required", "Missing {} time."),
    "zone": ("required", "Missing time zone definition for {} time."),
}
_QUIET = ("sendUpdates", "sendNotifications", "alwaysIncludeEmail", "supportsAttachments", "eventLabelVersion")


def written(call: RestCall, *, conferences: bool = True) -> dict[str, Any]:
    """The writable fields of a request; those the service sets itself are passed over.

    Mail to guests (``sendUpdates``) goes nowhere and is not to be seen in the API either.
    """
    call.ignore(*_SHOWN_ONLY, *(f"query.{name}" for name in _QUIET))
    version = call.query("conferenceDataVersion") or "0"
    fields = {name: call.field(name) for name in WRITABLE if call.has(name)}
    if conferences and version == "1" and call.has("conferenceData"):
        fields["conferenceData"] = call.field("conferenceData")
    return fields


def checked(agenda: Agenda, event: dict[str, Any]) -> dict[str, Any]:
    """The event with its parts in the form that is kept.

    Raises:
        PackRefusal: when a part is wrong.
    """
    start, end = _point(agenda, event, "start"), _point(agenda, event, "end")
    if start.whole is not end.whole:
        _invalid("end", "Invalid end time.", "start and end are both dates or both instants.")
    if end.ms < start.ms or (start.whole and end.ms == start.ms):
        refuse(400, "timeRangeEmpty", "The specified time range is empty.", status=False, domain="calendar")
    _check_types(event)
    for name, choices in _CHOICES.items():
        if event.get(name) is not None and event[name] not in choices:
            _invalid(name, f"Invalid value for: {name}", f"one of {', '.join(choices)}.")
    event = {name: value for name, value in event.items() if value not in (None, [])}
    event.update(start=start.kept(), end=end.kept())
    if "recurrence" in event:
        _check_recurrence(agenda, event, start)
    if "attendees" in event:
        event["attendees"] = _attendees(agenda, event)
    if "conferenceData" in event:
        event["conferenceData"] = _conference(agenda, event)
    return event


def shown(agenda: Agenda, event: Event, zone: str | None = None, most_attendees: int | None = None) -> dict[str, Any]:
    """An event as the API shows it.

    Args:
        agenda: its calendar.
        event: the event.
        zone: time zone its instants are written in; the calendar's by default.
        most_attendees: how many attendees are shown; all by default, else only the account when there are more.
    """
    where = zone or agenda.zone
    data = {"kind": "calendar#event", **event}
    for name in ("start", "end", "originalStartTime"):
        if name in event:
            data[name] = read_point(event[name], agenda.zone).shown(where)
    attendees = event.get("attendees", [])
    if most_attendees is not None and len(attendees) > most_attendees:
        data["attendees"] = [one for one in attendees if one.get("self")][:most_attendees]
        data["attendeesOmitted"] = True
    if agenda.role == "freeBusyReader":
        return {name: data[name] for name in ("kind", "etag", "id", "status", "start", "end") if name in data}
    return data


def merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The old fields with the new ones patched in: null deletes, objects merge, lists are replaced."""
    result = dict(old)
    for name, value in new.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, Mapping) and isinstance(result.get(name), Mapping):
            result[name] = merged(result[name], value)
        else:
            result[name] = value
    return result


def _point(agenda: Agenda, event: Mapping[str, Any], name: str) -> Moment:
    try:
        return read_point(event.get(name), agenda.zone)
    except BadTimeError as error:
        reason, message = _WORDS.get(str(error), ("invalid", "Invalid {} time."))
        hint = f"{name} is {{date: 2026-01-05}} or {{dateTime: 2026-01-05T09:00:00Z}}, or without Z with a timeZone."
        refuse(400, reason, message.format(name), status=False, hint=hint)


def _invalid(name: str, message: str, hint: str) -> NoReturn:
    refuse(400, "invalid", message, status=False, hint=f"{name}: {hint}")


def _check_types(event: Mapping[str, Any]) -> None:
    for kind, names in _TYPES.items():
        for name in names:
            if event.get(name) is not None and not isinstance(event[name], kind):
                _invalid(name, f"Invalid value for: {name}", f"it is {_WORDS_OF[kind]}.")
    color = event.get("colorId") or "1"
    if not color.isdigit() or not 1 <= int(color) <= _COLORS:
        _invalid("colorId", "Invalid value for: colorId", f"1 to {_COLORS}, as text; colors.get has them.")
    for name, known in (event.get("extendedProperties") or {}).items():
        if name not in ("private", "shared") or not isinstance(known, dict):
            _invalid(
                "extendedProperties", "Invalid extended properties.", "{private: {name: text}, shared: {name: text}}."
            )


def _check_recurrence(agenda: Agenda, event: Mapping[str, Any], start: Moment) -> None:
    if event.get("recurringEventId"):
        _invalid("recurrence", "Invalid recurrence rule.", "a list of RRULE, EXDATE and RDATE lines, of a series only.")
    try:
        moments = agenda.recurrence(event).moments(start, None, 1)
    except BadRuleError:
        _invalid("recurrence", "Invalid recurrence rule.", "lines such as RRULE:FREQ=WEEKLY;BYDAY=MO;COUNT=4.")
    except UnknownRuleError as error:
        beyond_the_fake(
            agenda.call,
            f"Google Calendar's fake does not know {error} in a recurrence; docs/upstreams.md names what it knows.",
        )
    if not moments:
        _invalid("recurrence", "Invalid recurrence rule.", "it has no instance.")


def _attendees(agenda: Agenda, event: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    given, organizer = event["attendees"], str(event.get("organizer", {}).get("email", "")).lower()
    if not all(isinstance(one, Mapping) for one in given):
        _invalid("attendees", "Invalid attendees.", "a list of {email}.")
    kept: dict[str, Mapping[str, Any]] = {}
    for one in given:
        email = str(one.get("email") or "")
        if not email:
            refuse(400, "required", "Missing attendee email.", status=False)
        if re.fullmatch(r"[^@\s]+@[^@\s]+", email) is None:
            refuse(400, "invalid", "Invalid attendee email.", status=False)
        response = one.get("responseStatus", "needsAction")
        if response not in _RESPONSES:
            _invalid("responseStatus", "Invalid value for: responseStatus", f"one of {', '.join(_RESPONSES)}.")
        marks = {"self": True} if email.lower() == agenda.account.lower() else {}
        marks |= {"organizer": True} if email.lower() == organizer else {}
        kept[email.lower()] = {**one, "email": email, "responseStatus": response, **marks}
    return list(kept.values())


def _conference(agenda: Agenda, event: Mapping[str, Any]) -> Mapping[str, Any]:
    """The conference of an event: as it is, or made by its createRequest."""
    given: Mapping[str, Any] = event["conferenceData"]
    request, entries = given.get("createRequest"), given.get("entryPoints")
    if isinstance(entries, list) and entries and all(isinstance(one, Mapping) for one in entries):
        return given
    if not isinstance(request, Mapping) or entries:
        _invalid("conferenceData", "Invalid conference data.", "a createRequest, or entryPoints.")
    if not request.get("requestId"):
        refuse(400, "required", "Missing conference request id.", status=False)
    solution = request.get("conferenceSolutionKey") or {}
    kind = solution.get("type", "hangoutsMeet") if isinstance(solution, Mapping) else None
    if kind != "hangoutsMeet":
        _invalid("conferenceData", "Invalid conference type value.", "hangoutsMeet is the type there is.")
    raw = agenda.call.act.new_bytes("calendar.meet")
    letters = "".join(chr(ord("a") + byte % 26) for byte in raw[:10])
    code = f"{letters[:3]}-{letters[3:7]}-{letters[7:]}"
    address = f"meet.google.com/{code}"
    return {
        "createRequest": {
            "requestId": request["requestId"],
            "conferenceSolutionKey": {"type": kind},
            "status": {"statusCode": "success"},
        },
        "entryPoints": [{"entryPointType": "video", "uri": f"https://{address}", "label": address}],
        "conferenceSolution": {"key": {"type": kind}, "name": "Google Meet"},
        "conferenceId": code,
    }
