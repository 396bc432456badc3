"""The calendars of one upstream in one call: their events, series and instances, and what clients know of them.

Events are kept as the API shows them, without what depends on the question. A changed or cancelled instance of a series is
an event of its own, whose id is the series' with the instance's start behind it. A sync token stands for the events there
were, each in its version, in whatever order they came.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NoReturn

from stack_emu.kernel.clock import iso
from stack_emu.kernel.ids import text_id
from stack_emu.upstreams.documents import Collection
from stack_emu.upstreams.google_api import refuse
from stack_emu.upstreams.google_calendar.recurrence import Recurrence, read_recurrence
from stack_emu.upstreams.google_calendar.times import BadTimeError, Moment, read_point, stamp_ms
from stack_emu.upstreams.pack_calls import RestCall

Event = Mapping[str, Any]

_DAYS_MS = 2 * 86_400_000

ROLES = ("freeBusyReader", "reader", "writer", "owner")
"""What one may do with a calendar, from little to everything."""


@dataclass(frozen=True)
class Span:
    """From when to when an event or an instance of one is."""

    start: Moment
    end: Moment

    def overlaps(self, min_ms: int | None, max_ms: int | None) -> bool:
        """Whether it ends after ``min_ms`` and begins before ``max_ms``."""
        return (min_ms is None or self.end.ms > min_ms) and (max_ms is None or self.start.ms < max_ms)


class Agenda:
    """One calendar of the account.

    Args:
        call: the call that looks at it.
        key: the calendar's id, or ``primary``.
        role: what the account must be able to do with it.

    Raises:
        PackRefusal: 404 when there is no such calendar, 403 when the account may do less.
    """

    def __init__(self, call: RestCall, key: str, role: str = "reader") -> None:
        self.call = call
        self.account: str = account(call)
        self.key = self.account if key == "primary" else key
        found = call.collection("calendars").get(self.key)
        if found is None:
            not_found()
        self.calendar = found
        self.zone: str = found["timeZone"]
        self.role: str = found["accessRole"]
        self.events: Collection = call.collection(f"events/{self.key}")
        if ROLES.index(self.role) < ROLES.index(role):
            message = f"You need to have {role} access to this calendar."
            hint = f"seed.calendars gives the account the access role {self.role} of {self.key}."
            refuse(403, "requiredAccessLevel", message, status=False, domain="calendar", hint=hint)

    # --- events -----------------------------------------------------------------------------------------------------

    def event(self, key: str) -> Event:
        """An event or an instance of a series.

        Raises:
            PackRefusal: 404 when there is none.
        """
        found = self.events.get(key) or self._instance(key)
        if found is None:
            not_found()
        return found

    def span(self, event: Event) -> Span:
        """When an event is."""
        return Span(read_point(event["start"], self.zone), read_point(event["end"], self.zone))

    def put(self, event: Event) -> Event:
        """Keep an event in a new version."""
        call = self.call
        etag = f'"{call.number("calendar.etag", 16)}"'
        changed = {**event, "updated": iso(call.now_ms), "etag": etag}
        return self.events.put(changed["id"], changed)

    def cancel(self, event: Event) -> None:
        """Delete an event: it stays as cancelled. With a series its changed instances go."""
        for other in self.exceptions(event["id"]):
            self.put({**other, "status": "cancelled"})
        self.put({**event, "status": "cancelled"})

    def exceptions(self, key: str) -> list[Event]:
        """The changed and cancelled instances of a series."""
        return [one for one in self.events.all() if one.get("recurringEventId") == key]

    def instances(self, series: Event, min_ms: int | None, max_ms: int | None) -> Iterator[Event]:
        """The instances of a series between two instants, changed ones as they are, cancelled ones too."""
        changed = {one["id"]: one for one in self.exceptions(series["id"])}
        for moment, instance in self._unchanged(series, max_ms):
            span = Span(moment, read_point(instance["end"], self.zone))
            if instance["id"] not in changed and span.overlaps(min_ms, max_ms):
                yield instance
        for other in changed.values():
            if self.span(other).overlaps(min_ms, max_ms):
                yield other

    def recurrence(self, event: Event) -> Recurrence:
        """The rules of a series."""
        return read_recurrence(event["recurrence"], read_point(event["start"], self.zone))

    def _unchanged(self, series: Event, max_ms: int | None) -> Iterator[tuple[Moment, Event]]:
        span = self.span(series)
        length = span.end.local - span.start.local
        for moment in self.recurrence(series).moments(span.start, max_ms):
            yield moment, self._made(series, moment, span.end.at(moment.local + length))

    def _made(self, series: Event, start: Moment, end: Moment) -> Event:
        event = {name: value for name, value in series.items() if name != "recurrence"}
        return {
            **event,
            "id": f"{series['id']}_{start.stamp}",
            "recurringEventId": series["id"],
            "originalStartTime": start.kept(),
            "start": start.kept(),
            "end": end.kept(),
            "etag": version(f"{series['etag']} {start.stamp}"),
        }

    def _instance(self, key: str) -> Event | None:
        name, _, stamp = key.rpartition("_")
        series = self.events.get(name)
        if series is None or not series.get("recurrence") or series["status"] == "cancelled":
            return None
        try:
            bound = stamp_ms(stamp) + _DAYS_MS
        except BadTimeError:
            return None
        unchanged = self._unchanged(series, bound)
        return next((instance for moment, instance in unchanged if moment.stamp == stamp), None)

    # --- what clients know ------------------------------------------------------------------------------------------

    def sync_token(self) -> str:
        """A token that stands for all events as they are."""
        known = {event["id"]: event["etag"] for event in self.events.all()}
        token = text_id(sha256(repr((self.key, sorted(known.items()))).encode()).digest(), 24) + "="
        cursors = self.call.collection(f"cursors/{self.key}")
        if cursors.get(token) is None:
            cursors.put(token, known)
        return token

    def changed_since(self, token: str) -> list[Event]:
        """The events that a token does not stand for.

        Raises:
            PackRefusal: 410 when it is no token of this calendar.
        """
        known = self.call.collection(f"cursors/{self.key}").get(token)
        if known is None:
            message = "Sync token is no longer valid, a full sync is required."
            location = ("syncToken", "parameter")
            refuse(410, "fullSyncRequired", message, status=False, domain="calendar", location=location)
        return [event for event in self.events.all() if known.get(event["id"]) != event["etag"]]


def event_id(raw: bytes) -> str:
    """Derived bytes as an event's id: 26 of the letters of base32hex."""
    return base64.b32hexencode(raw).decode().lower()[:26]


def account(call: RestCall) -> str:
    """The account's address, which is the id of its primary calendar."""
    found = call.collection("account").get("me") or {}
    return str(found["email"])


def all_calendars(call: RestCall) -> list[Mapping[str, Any]]:
    """The account's calendars, the primary one first, the others by name."""
    calendars = call.collection("calendars").all()
    return sorted(calendars, key=lambda one: (not one.get("primary"), str(one["summary"]), str(one["id"])))


def version(text: str) -> str:
    """An entity tag for what a text says."""
    return f'"{int.from_bytes(sha256(text.encode()).digest()[:6], "big")}"'


def check_version(call: RestCall, etag: str) -> None:
    """Refuse when ``If-Match`` names another version.

    Raises:
        PackRefusal: 412.
    """
    wanted = call.request.headers.get("If-Match")
    if wanted is not None and wanted.strip() not in ("*", etag) and etag not in _tags(wanted):
        location = ("If-Match", "header")
        refuse(412, "conditionNotMet", "Precondition Failed", status=False, location=location)


def is_known(call: RestCall, etag: str) -> bool:
    """Whether ``If-None-Match`` names this version."""
    wanted = call.request.headers.get("If-None-Match")
    return wanted is not None and etag in _tags(wanted)


def _tags(header: str) -> Sequence[str]:
    return [one.strip().removeprefix("W/") for one in header.split(",")]


def not_found() -> NoReturn:
    """Refuse with 404.

    Raises:
        PackRefusal: always.
    """
    refuse(404, "notFound", "Not Found", status=False)
