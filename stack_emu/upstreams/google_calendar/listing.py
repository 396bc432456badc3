"""Handlers that list events: ``events.list``, ``events.instances`` and ``freebusy.query``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from stack_emu.upstreams.google_api import bad_parameter, boolean, page_of, page_size, refuse
from stack_emu.upstreams.google_calendar.agenda import Agenda, Event, is_known, version
from stack_emu.upstreams.google_calendar.fields import shown
from stack_emu.upstreams.google_calendar.times import BadTimeError, in_zone, is_zone, read_instant
from stack_emu.upstreams.pack_calls import PackRefusal, RestCall
from stack_emu.upstreams.requests import UpstreamReply

_NOT_WITH_SYNC = (
    "iCalUID",
    "orderBy",
    "privateExtendedProperty",
    "q",
    "sharedExtendedProperty",
    "timeMin",
    "timeMax",
    "updatedMin",
)
_TEXTS = ("summary", "description", "location")
_MOST_CALENDARS = 50


def zone_asked(call: RestCall) -> str | None:
    """The ``timeZone`` of a request.

    Raises:
        PackRefusal: 400 when there is no such zone.
    """
    zone = call.query("timeZone")
    if zone is not None and not is_zone(zone):
        bad_parameter("timeZone", f"Invalid time zone: {zone}", status=False)
    return zone


def most_attendees(call: RestCall) -> int | None:
    """The ``maxAttendees`` of a request."""
    text = call.query("maxAttendees")
    if text is not None and (not text.isdigit() or int(text) < 1):
        bad_parameter("maxAttendees", f"Invalid value for maxAttendees: {text}", status=False)
    return None if text is None else int(text)


def instant(call: RestCall, name: str) -> int | None:
    """A query parameter that is an RFC 3339 instant, in epoch milliseconds.

    Raises:
        PackRefusal: 400 when it is none.
    """
    text = call.query(name)
    if text is None:
        return None
    try:
        return read_instant(text)
    except BadTimeError:
        hint = f"{name} is RFC 3339 with an offset, such as 2026-01-05T09:00:00Z."
        refuse(400, "badRequest", "Bad Request", status=False, hint=hint)


def list_events(call: RestCall) -> Any:
    """List events; ``singleEvents`` shows the instances of series, of an endless one 730 unless ``timeMax`` is given."""
    agenda = Agenda(call, call.params["calendarId"], "freeBusyReader")
    call.ignore("query.alwaysIncludeEmail", "query.showHiddenInvitations")
    token = call.query("syncToken")
    if token is not None:
        _check_alone(call)
    order = call.query("orderBy")
    single = boolean(call, "singleEvents", status=False)
    if order not in (None, "startTime", "updated"):
        bad_parameter("orderBy", f"Invalid value for: orderBy {order}", status=False)
    if order == "startTime" and not single:
        message = "The requested ordering is not available for the particular query."
        refuse(400, "badRequest", message, status=False, location=("orderBy", "parameter"), hint="singleEvents=true.")
    events = agenda.changed_since(token) if token is not None else agenda.events.all()
    low, high = instant(call, "timeMin"), instant(call, "timeMax")
    if low is not None and high is not None and high <= low:
        _empty_range()
    gone = boolean(call, "showDeleted", status=False) or token is not None or call.query("updatedMin") is not None
    wanted = _Filter.of(call)
    chosen = [one for one in _shown(agenda, events, single, low, high, gone) if wanted.fits(one)]

    def key(event: Event) -> list[Any]:
        start = agenda.span(event).start.ms
        first = {"startTime": start, "updated": event["updated"], None: event["created"]}[order]
        return [first, start, event["id"]]

    page, following = page_of(
        call, sorted(chosen, key=key), key, page_size(call, 250, 2500, status=False), status=False
    )
    return _answer(agenda, page, following, sync=order is None and call.query("q") is None)


def list_instances(call: RestCall) -> Any:
    """List the instances of a series, changed ones too."""
    agenda = Agenda(call, call.params["calendarId"])
    call.ignore("query.alwaysIncludeEmail")
    series = agenda.event(call.params["eventId"])
    low, high = instant(call, "timeMin"), instant(call, "timeMax")
    original = call.query("originalStart")
    gone = boolean(call, "showDeleted", status=False)
    instances = [
        one
        for one in (agenda.instances(series, low, high) if series.get("recurrence") else ())
        if (gone or one["status"] != "cancelled") and (original is None or _began(agenda, one) == original)
    ]

    def key(event: Event) -> list[Any]:
        return [agenda.span(event).start.ms, event["id"]]

    page, following = page_of(
        call, sorted(instances, key=key), key, page_size(call, 250, 2500, status=False), status=False
    )
    return _answer(agenda, page, following, sync=False)


def free_busy(call: RestCall) -> Any:
    """When the account's calendars are busy: events that are opaque, not cancelled and not declined."""
    call.ignore("groupExpansionMax", "calendarExpansionMax")
    low, high = _bound(call, "timeMin"), _bound(call, "timeMax")
    if high <= low:
        _empty_range()
    zone = call.field("timeZone") or "UTC"
    if not is_zone(zone):
        refuse(400, "invalid", f"Invalid time zone: {zone}", status=False)
    items = call.field("items") or []
    if not isinstance(items, list) or not all(isinstance(one, Mapping) and one.get("id") for one in items):
        refuse(400, "invalid", "Invalid items.", status=False, hint="items is a list of {id}.")
    if len(items) > _MOST_CALENDARS:
        refuse(
            400, "tooManyCalendarsRequested", f"At most {_MOST_CALENDARS} calendars.", status=False, domain="calendar"
        )
    answer = {str(one["id"]): _busy(call, str(one["id"]), low, high, zone) for one in items}
    return {
        "kind": "calendar#freeBusy",
        "timeMin": in_zone(low, "UTC"),
        "timeMax": in_zone(high, "UTC"),
        "calendars": answer,
    }


def _empty_range() -> NoReturn:
    message, location = "The specified time range is empty.", ("timeMax", "parameter")
    refuse(400, "timeRangeEmpty", message, status=False, domain="calendar", location=location)


def _bound(call: RestCall, name: str) -> int:
    try:
        return read_instant(call.field(name))
    except BadTimeError:
        reason = "required" if call.field(name) is None else "badRequest"
        refuse(400, reason, f"Missing or bad {name}.", status=False, hint=f"{name} is RFC 3339 with an offset.")


def _busy(call: RestCall, key: str, low: int, high: int, zone: str) -> dict[str, Any]:
    try:
        agenda = Agenda(call, key, "freeBusyReader")
    except PackRefusal:
        return {"errors": [{"domain": "global", "reason": "notFound"}], "busy": []}
    spans = []
    for event in _shown(agenda, agenda.events.all(), True, low, high, False):
        mine: Mapping[str, Any] = next((one for one in event.get("attendees", []) if one.get("self")), {})
        if event.get("transparency") != "transparent" and mine.get("responseStatus") != "declined":
            span = agenda.span(event)
            spans.append((max(span.start.ms, low), min(span.end.ms, high)))
    busy: list[list[int]] = []
    for start, end in sorted(spans):
        if busy and start <= busy[-1][1]:
            busy[-1][1] = max(busy[-1][1], end)
        else:
            busy.append([start, end])
    return {"busy": [{"start": in_zone(start, zone), "end": in_zone(end, zone)} for start, end in busy]}


def _check_alone(call: RestCall) -> None:
    for name in _NOT_WITH_SYNC:
        if call.query(name) is not None:
            message = f"Sync token cannot be used together with other query restrictions: {name}"
            bad_parameter("syncToken", message, status=False)


def _shown(
    agenda: Agenda, events: Sequence[Event], single: bool, low: int | None, high: int | None, gone: bool
) -> Iterator[Event]:
    """What of some events a list between two instants has: cancelled ones when asked for, instances of series when single."""
    series = {event["id"] for event in events if event.get("recurrence") and event["status"] != "cancelled"}
    for event in events:
        cancelled = event["status"] == "cancelled"
        if not single:
            if (gone or not cancelled or _of_a_series(agenda, event)) and _touches(agenda, event, low, high):
                yield event
        elif event["id"] in series:
            yield from (one for one in agenda.instances(event, low, high) if gone or one["status"] != "cancelled")
        elif event.get("recurringEventId") in series or (cancelled and not gone):
            continue
        elif agenda.span(event).overlaps(low, high):
            yield event


def _of_a_series(agenda: Agenda, event: Event) -> bool:
    """Whether an event is an instance of a series that is still there: cancelled ones tell what the series lacks."""
    series = agenda.events.get(event.get("recurringEventId", ""))
    return series is not None and series["status"] != "cancelled"


def _touches(agenda: Agenda, event: Event, low: int | None, high: int | None) -> bool:
    if low is None and high is None:
        return True
    if not event.get("recurrence"):
        return agenda.span(event).overlaps(low, high)
    return next(agenda.instances(event, low, high), None) is not None


@dataclass(frozen=True)
class _Filter:
    """What a list asks of its events besides when they are."""

    uid: str | None
    words: frozenset[str]
    since_ms: int | None
    kinds: tuple[str, ...]
    properties: tuple[tuple[str, str, str], ...]

    @classmethod
    def of(cls, call: RestCall) -> _Filter:
        return cls(
            call.query("iCalUID"),
            frozenset(re.findall(r"\w+", (call.query("q") or "").lower())),
            instant(call, "updatedMin"),
            tuple(call.query_all("eventTypes")),
            tuple(
                (kind, wanted.partition("=")[0], wanted.partition("=")[2])
                for kind in ("private", "shared")
                for wanted in call.query_all(f"{kind}ExtendedProperty")
            ),
        )

    def fits(self, event: Event) -> bool:
        if self.uid is not None and event["iCalUID"] != self.uid:
            return False
        if self.kinds and event["eventType"] not in self.kinds:
            return False
        if self.since_ms is not None and read_instant(event["updated"]) < self.since_ms:
            return False
        known = event.get("extendedProperties", {})
        if any(str(known.get(kind, {}).get(name)) != value for kind, name, value in self.properties):
            return False
        return self.words <= _words(event) if self.words else True


def _words(event: Event) -> set[str]:
    people = [event["organizer"], *event.get("attendees", [])]
    texts = [event.get(name, "") for name in _TEXTS]
    texts += [str(one.get(name, "")) for one in people for name in ("email", "displayName")]
    return set(re.findall(r"\w+", " ".join(texts).lower()))


def _began(agenda: Agenda, event: Event) -> str:
    """The original start of an instance as a client asks for it."""
    point = agenda.span({**event, "start": event["originalStartTime"]}).start.shown(agenda.zone)
    return point.get("date") or point["dateTime"]


def _answer(agenda: Agenda, page: Any, following: str | None, *, sync: bool) -> Any:
    call, calendar = agenda.call, agenda.calendar
    zone, most = zone_asked(call), most_attendees(call)
    every = agenda.events.all()
    tag = version(repr(sorted((event["id"], event["etag"]) for event in every)) + calendar["etag"])
    if is_known(call, tag):
        return UpstreamReply(304, {"ETag": tag})
    data = {
        "kind": "calendar#events",
        "etag": tag,
        "summary": calendar["summary"],
        "description": calendar.get("description", ""),
        "updated": max([calendar["updated"], *(event["updated"] for event in every)]),
        "timeZone": zone or agenda.zone,
        "accessRole": agenda.role,
        "defaultReminders": list(calendar.get("defaultReminders", [])),
        "items": [shown(agenda, event, zone, most) for event in page],
    }
    call.headers["ETag"] = tag
    if following is not None:
        return {**data, "nextPageToken": following}
    return {**data, "nextSyncToken": agenda.sync_token()} if sync else data
