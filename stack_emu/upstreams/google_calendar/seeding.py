"""The calendars a scenario begins with."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from stack_emu.kernel.clock import iso
from stack_emu.kernel.near_words import close_matches
from stack_emu.kernel.world import World
from stack_emu.scenario.values import parse_offset
from stack_emu.upstreams.documents import Collection
from stack_emu.upstreams.google_api import encode
from stack_emu.upstreams.google_calendar.agenda import ROLES, event_id, version
from stack_emu.upstreams.google_calendar.recurrence import BadRuleError, UnknownRuleError, read_recurrence
from stack_emu.upstreams.google_calendar.times import BadTimeError, Moment, is_zone, read_point, utc, zone_of
from stack_emu.upstreams.rest_pack import check_keys

SEED_KEYS: Mapping[str, str] = {
    "email": "the account's address, which is the id of its primary calendar; `me@example.com` when left out",
    "timeZone": "of the primary calendar, such as Europe/Berlin; UTC when left out",
    "calendars": "further calendars, names or {summary, id, description, location, timeZone, accessRole, colorId, hidden}; "
    "`accessRole` is freeBusyReader, reader, writer or owner",
    "events": "each {summary, start, end} with {id, calendar, description, location, attendees, recurrence, organizer, status, "
    "transparency, visibility, colorId}: `start` and `end` are a day, 2026-01-05, an instant, 2026-01-05T09:00:00, in "
    "the calendar's time zone unless it has an offset, or +10m from the world's start; "
    "`end` is an hour or a day later when left out; `calendar` is a "
    "summary or an id; attendees are addresses or {email, displayName, responseStatus, optional}; `recurrence` is one "
    "RRULE or a list of lines",
}
"""What a seed may hold, for people."""

_CALENDAR = ("summary", "id", "description", "location", "timeZone", "accessRole", "colorId", "hidden")
_EVENT = (
    "summary",
    "start",
    "end",
    "id",
    "calendar",
    "description",
    "location",
    "attendees",
    "recurrence",
    "organizer",
    "status",
    "transparency",
    "visibility",
    "colorId",
)
_ATTENDEE = ("email", "displayName", "responseStatus", "optional", "comment")
_PLAIN = ("summary", "description", "location", "transparency", "visibility", "colorId")


def check_seed(seed: Mapping[str, Any]) -> None:
    """Refuse a seed that cannot work.

    Raises:
        ValueError: one sentence that says which part is wrong and what to write.
    """
    check_keys("seed", seed, tuple(SEED_KEYS))
    if "@" not in str(seed.get("email", "me@example.com")):
        raise ValueError(f"seed.email {seed['email']!r} is no address; write one like me@example.com.")
    _check_zone("seed", seed)
    calendars = _list(seed, "calendars")
    for place, one in enumerate(calendars):
        _check_calendar(f"seed.calendars[{place}]", one)
    zones = _zones(seed)
    _check_once("seed.calendars", [_long(one)["summary"] for one in calendars])
    seen: list[str] = []
    for place, one in enumerate(_list(seed, "events")):
        _check_event(f"seed.events[{place}]", one, zones)
        if "id" in one:
            seen.append(str(one["id"]))
    _check_once("seed.events", seen)


def write_seed(world: World, name: str, seed: Mapping[str, Any]) -> None:
    """Write the account, its calendars and their events."""
    email = str(seed.get("email", "me@example.com"))
    created = iso(world.now_ms())
    Collection(world.store, name, "account").put("me", {"email": email})
    primary = {"summary": email, "id": email, "timeZone": seed.get("timeZone", "UTC"), "primary": True}
    calendars = Collection(world.store, name, "calendars")
    keys = {"primary": email, email: email}
    for place, given in enumerate([primary, *_list(seed, "calendars")]):
        one = dict(_long(given))
        derived = event_id(world.key_bytes(f"calendar.{name}.id", one["summary"]))
        key = str(one.setdefault("id", f"c_{derived}@group.calendar.google.com"))
        keys.update({str(one["summary"]): key, key: key})
        defaults = {"timeZone": primary["timeZone"], "accessRole": "owner", "colorId": str(14 + place % 8)}
        tag = version(f"{world.key_bytes(f'calendar.{name}.etag', key).hex()}")
        calendars.put(key, {**defaults, "selected": True, **one, "colorId": str(one.get("colorId", 14 + place % 8))})
        calendars.change(key, etag=tag, updated=created)
    zones = {str(one["id"]): str(one["timeZone"]) for one in calendars.all()}
    for place, one in enumerate(_list(seed, "events")):
        calendar = keys[str(one.get("calendar", "primary"))]
        raw = world.key_bytes(f"calendar.{name}.event", str(place))
        event = _event(one, str(one.get("id", event_id(raw))), email, calendar, zones[calendar], world.now_ms())
        tag = version(raw.hex())
        place_of = Collection(world.store, name, f"events/{calendar}")
        place_of.put(event["id"], {**event, "etag": tag, "created": created, "updated": created})


def _event(one: Mapping[str, Any], key: str, email: str, calendar: str, zone: str, start_ms: int) -> dict[str, Any]:
    start, end = _span(one, zone, start_ms)
    by = str(one.get("organizer", calendar))
    organizer = {"email": by, **({"self": True} if by == calendar else {})}
    creator = by if by != calendar else email
    event = {
        "id": key,
        "status": one.get("status", "confirmed"),
        "htmlLink": f"https://www.google.com/calendar/event?eid={encode(f'{key} {calendar}'.encode()).rstrip('=')}",
        **{name: one[name] for name in _PLAIN if name in one},
        "creator": {"email": creator, **({"self": True} if creator == email else {})},
        "organizer": organizer,
        "start": start.kept(),
        "end": end.kept(),
        "iCalUID": f"{key}@google.com",
        "reminders": {"useDefault": True},
        "eventType": "default",
        "sequence": 0,
    }
    if "recurrence" in one:
        event["recurrence"] = _lines(one["recurrence"])
    if one.get("attendees"):
        people = [each if isinstance(each, Mapping) else {"email": each} for each in one["attendees"]]
        event["attendees"] = [
            {
                "responseStatus": "needsAction",
                **each,
                **({"self": True} if str(each["email"]).lower() == email.lower() else {}),
                **({"organizer": True} if each["email"] == by else {}),
            }
            for each in people
        ]
    return event


def _span(one: Mapping[str, Any], zone: str, start_ms: int) -> tuple[Moment, Moment]:
    start = _moment(one["start"], zone, start_ms)
    if "end" in one:
        return start, _moment(one["end"], zone, start_ms)
    return start, start.at(start.local + (timedelta(days=1) if start.whole else timedelta(hours=1)))


def _moment(value: Any, zone: str, start_ms: int) -> Moment:
    if isinstance(value, Mapping):
        return read_point(value, zone)
    text = str(value).replace(" ", "T")
    if _is_offset(text):
        try:
            instant = utc(start_ms + parse_offset(text))
        except ValueError:
            raise BadTimeError("invalid") from None
        return Moment(instant.astimezone(zone_of(zone)).replace(tzinfo=None), zone, False)
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        return read_point({"date": text}, zone)
    return read_point({"dateTime": text, "timeZone": zone}, zone)


def _is_offset(value: Any) -> bool:
    """Whether a point is written as an offset, so that only the world's start tells where it lies."""
    return str(value).startswith("+")


def _lines(value: Any) -> list[str]:
    lines = value if isinstance(value, list) else [value]
    return [str(line) if ":" in str(line) else f"RRULE:{line}" for line in lines]


def _check_calendar(place: str, given: Any) -> None:
    one = _long(given)
    check_keys(place, one, _CALENDAR)
    if not isinstance(one.get("summary"), str) or not one["summary"]:
        raise ValueError(f"{place} has no summary; add summary, which is its name.")
    if one.get("accessRole", "owner") not in ROLES:
        raise ValueError(f"{place}.accessRole {one['accessRole']!r} is none of {', '.join(ROLES)}.")
    color = str(one.get("colorId", 1))
    if not color.isdigit() or not 1 <= int(color) <= 24:
        raise ValueError(f"{place}.colorId {color!r} is not a number from 1 to 24.")
    _check_zone(place, one)


def _check_event(place: str, one: Any, zones: Mapping[str, str]) -> None:
    check_keys(place, one, _EVENT)
    calendar = str(one.get("calendar", "primary"))
    if calendar not in zones:
        near = close_matches(calendar, list(zones), 1)
        hint = f"did you mean {near[0]}?" if near else "add it to seed.calendars."
        raise ValueError(f"{place}.calendar {calendar!r} is no calendar; {hint}")
    if "id" in one and re.fullmatch(r"[a-v0-9]{5,1024}", str(one["id"])) is None:
        raise ValueError(f"{place}.id {one['id']!r} is no event id; write at least 5 of the letters a to v and digits.")
    if "start" not in one:
        raise ValueError(f"{place} has no start; add start, such as 2026-01-05T09:00:00.")
    for name in ("start", "end"):
        if name in one:
            _check_moment(f"{place}.{name}", one[name], zones[calendar])
    start, end = _span(one, zones[calendar], 0)
    comparable = _is_offset(one["start"]) is _is_offset(one.get("end", one["start"]))
    if start.whole is not end.whole or (comparable and end.ms < start.ms):
        raise ValueError(f"{place} ends before it starts, or is half a day and half an instant; correct its end.")
    for number, each in enumerate(one.get("attendees", [])):
        attendee = each if isinstance(each, Mapping) else {"email": each}
        check_keys(f"{place}.attendees[{number}]", attendee, _ATTENDEE)
        if "@" not in str(attendee.get("email", "")):
            raise ValueError(f"{place}.attendees[{number}] has no address; write one like bob@example.com.")
    if "recurrence" in one:
        try:
            read_recurrence(_lines(one["recurrence"]), start)
        except (BadRuleError, UnknownRuleError) as error:
            raise ValueError(f"{place}.recurrence has {error}, which is no rule the fake knows.") from None


def _check_moment(place: str, value: Any, zone: str) -> None:
    try:
        _moment(value, zone, 0)
    except BadTimeError:
        raise ValueError(
            f"{place} {value!r} is no point in time; write 2026-01-05, 2026-01-05T09:00:00 or +10m."
        ) from None


def _check_zone(place: str, one: Mapping[str, Any]) -> None:
    if "timeZone" in one and not is_zone(one["timeZone"]):
        raise ValueError(f"{place}.timeZone {one['timeZone']!r} is no time zone; write one like Europe/Berlin.")


def _check_once(place: str, values: Sequence[str]) -> None:
    double = next((value for value in values if values.count(value) > 1), None)
    if double is not None:
        raise ValueError(f"{place} has {double!r} twice; give each its own.")


def _zones(seed: Mapping[str, Any]) -> dict[str, str]:
    """Time zones of calendars by every name an event may call them."""
    zone = str(seed.get("timeZone", "UTC"))
    zones = {"primary": zone, str(seed.get("email", "me@example.com")): zone}
    for one in map(_long, _list(seed, "calendars")):
        own = str(one.get("timeZone", zone))
        zones.update({str(one[name]): own for name in ("summary", "id") if name in one})
    return zones


def _long(calendar: Any) -> Mapping[str, Any]:
    return calendar if isinstance(calendar, Mapping) else {"summary": calendar}


def _list(seed: Mapping[str, Any], name: str) -> list[Any]:
    value = seed.get(name) or []
    if not isinstance(value, list):
        raise ValueError(f"seed.{name} is no list; write one.")
    return value
