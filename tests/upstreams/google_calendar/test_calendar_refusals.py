"""What Google Calendar's fake refuses, and how google-api-python-client shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.auth.exceptions import RefreshError

from stack_emu.kernel.faults import FaultRule
from stack_emu.upstreams.packs import find_pack
from tests.upstreams.conftest import Proxied, Service
from tests.upstreams.google_client import AUTH, calendar_client

from .test_calendar_with_its_client import PRIMARY, SEED, at, meeting, refused

Serve = Callable[..., Service]
Start = Callable[..., tuple[Service, Any]]
NOON, ONE = "2026-04-01T12:00:00Z", "2026-04-01T13:00:00Z"
FINE = meeting("Fine", NOON, ONE)
HOLIDAYS = {"calendarId": "holidays@acme.test"}


@pytest.fixture
def start(serve: Serve) -> Iterator[Start]:
    opened: list[Any] = []

    def begin(*scopes: str, token: str | None = None) -> tuple[Service, Any]:
        service = serve("google_calendar", seed=SEED, scopes=scopes or None)
        opened.append(calendar_client(service, **({"token": token} if token else {})))
        return service, opened[-1]

    yield begin
    for one in opened:
        one.close()


def inserted(**fields: Any) -> Callable[[Any], Any]:
    return lambda api: api.events().insert(body={**FINE, **fields}, **PRIMARY)


def conferring(data: Any) -> Callable[[Any], Any]:
    return lambda api: api.events().insert(body={**FINE, "conferenceData": data}, conferenceDataVersion=1, **PRIMARY)


REFUSALS: list[tuple[Callable[[Any], Any], int, str]] = [
    (lambda api: api.events().get(eventId="nothing", **PRIMARY), 404, "notFound"),
    (lambda api: api.events().get(eventId="standup1_20260324T080000Z", **PRIMARY), 404, "notFound"),
    (lambda api: api.events().list(calendarId="nobody@acme.test"), 404, "notFound"),
    (lambda api: api.events().insert(body=FINE, **HOLIDAYS), 403, "requiredAccessLevel"),
    (lambda api: api.events().delete(eventId="labour1", **HOLIDAYS), 403, "requiredAccessLevel"),
    (lambda api: api.events().insert(body={"summary": "x"}, **PRIMARY), 400, "required"),
    (inserted(end=at("2026-04-01T11:00:00Z")), 400, "timeRangeEmpty"),
    (inserted(end={"date": "2026-04-02"}), 400, "invalid"),
    (inserted(start=at("yesterday")), 400, "invalid"),
    (inserted(start={"date": "20260401"}), 400, "invalid"),
    (inserted(start=at("2026-04-01T12:00:00")), 400, "required"),
    (inserted(start=at(NOON, "Mars/Olympus")), 400, "required"),
    (inserted(id="NOT-AN-ID"), 400, "invalid"),
    (inserted(id="lunch1"), 409, "duplicate"),
    (inserted(attendees=[{"displayName": "Bob"}]), 400, "required"),
    (inserted(attendees=[{"email": "bob"}]), 400, "invalid"),
    (inserted(attendees=[{"email": "b@c.test", "responseStatus": "maybe"}]), 400, "invalid"),
    (inserted(status="done"), 400, "invalid"),
    (inserted(summary=5), 400, "invalid"),
    (inserted(colorId="12"), 400, "invalid"),
    (inserted(extendedProperties={"private": 5}), 400, "invalid"),
    (inserted(start=at("9999-12-31T23:59:59-12:00")), 400, "invalid"),
    (inserted(recurrence=["RRULE:FREQ=DAILY;INTERVAL=99999999"]), 400, "invalid"),
    (conferring({}), 400, "invalid"),
    (conferring({"entryPoints": 5}), 400, "invalid"),
    (conferring({"createRequest": {}}), 400, "required"),
    (conferring({"createRequest": {"requestId": "r", "conferenceSolutionKey": "meet"}}), 400, "invalid"),
    (inserted(recurrence=["RRULE:FREQ=FORTNIGHTLY"]), 400, "invalid"),
    (inserted(recurrence=["every day"]), 400, "invalid"),
    (inserted(recurrence=["RRULE:FREQ=DAILY;COUNT=0"]), 400, "invalid"),
    (lambda api: api.events().list(orderBy="startTime", **PRIMARY), 400, "badRequest"),
    (lambda api: api.events().list(timeMin="2026-04-01", **PRIMARY), 400, "badRequest"),
    (lambda api: api.events().list(timeMin=ONE, timeMax=NOON, **PRIMARY), 400, "timeRangeEmpty"),
    (lambda api: api.events().list(pageToken="x", **PRIMARY), 400, "invalidParameter"),
    (lambda api: api.events().list(timeZone="Mars/Olympus", **PRIMARY), 400, "invalidParameter"),
    (lambda api: api.events().move(eventId="lunch1", destination="nobody@acme.test", **PRIMARY), 404, "notFound"),
    (
        lambda api: api.events().move(eventId="standup1_20260325T080000Z", destination="primary", **PRIMARY),
        400,
        "cannotChangeOrganizerOfInstance",
    ),
    (lambda api: api.calendars().insert(body={}), 400, "required"),
    (lambda api: api.calendars().insert(body={"summary": "x", "timeZone": "Mars/Olympus"}), 400, "invalid"),
    (lambda api: api.calendars().patch(body={"summary": None}, **PRIMARY), 400, "required"),
    (lambda api: api.calendars().delete(**PRIMARY), 403, "forbidden"),
    (lambda api: api.calendars().patch(body={"summary": "x"}, **HOLIDAYS), 403, "requiredAccessLevel"),
    (lambda api: api.calendars().clear(calendarId="holidays@acme.test"), 403, "requiredAccessLevel"),
    (lambda api: api.calendarList().patch(body={"colorId": "25"}, **PRIMARY), 400, "invalid"),
    (lambda api: api.freebusy().query(body={"timeMin": NOON, "items": []}), 400, "required"),
    (lambda api: api.freebusy().query(body={"timeMin": ONE, "timeMax": NOON}), 400, "timeRangeEmpty"),
]


@pytest.mark.parametrize(("ask", "status", "reason"), REFUSALS)
def test_refusals_in_calendar_s_words(start: Start, ask: Callable[[Any], Any], status: int, reason: str) -> None:
    _, api = start()
    before = api.events().list(showDeleted=True, **PRIMARY).execute()
    error = refused(ask(api))
    assert error.status_code == status
    assert [one["reason"] for one in error.error_details] == [reason]
    assert api.events().list(showDeleted=True, **PRIMARY).execute() == before


def test_a_token_without_the_scope_is_told_so(start: Start) -> None:
    service, api = start(f"{AUTH}calendar.readonly")
    assert api.events().list(**PRIMARY).execute()["items"]
    error = refused(api.events().insert(body=FINE, **PRIMARY))
    assert error.status_code == 403
    assert [one["reason"] for one in error.error_details] == ["ACCESS_TOKEN_SCOPE_INSUFFICIENT"]
    hint = str(service.bench.last().hint)
    assert hint.startswith(f"events.insert needs the scope {AUTH}calendar or ")


def test_an_unknown_token_is_unauthorized(start: Start) -> None:
    service, api = start(token="not-the-token")
    with pytest.raises(RefreshError):
        api.calendarList().list().execute()
    assert [entry.status for entry in service.entries] == [401]


def test_rate_limits_come_from_faults_and_the_client_retries(start: Start) -> None:
    service, api = start()
    service.world.faults.add(FaultRule({"upstream": "google_calendar"}, {"status": 429}, times=2))
    error = refused(api.colors().get())
    assert (error.status_code, error.error_details[0]["domain"]) == (429, "usageLimits")
    assert api.colors().get().execute(num_retries=1)["kind"] == "calendar#colors"


def test_what_is_not_served_says_what_is(start: Start) -> None:
    service, api = start()
    assert refused(api.acl().list(**PRIMARY)).status_code == 501
    assert "nobody to share with" in str(service.bench.last().hint)
    assert refused(api.settings().list()).status_code == 501
    assert refused(api.settings().get(setting="timezone")).status_code == 501
    assert "nothing here acts by them" in str(service.bench.last().hint)
    hourly = {**FINE, "recurrence": ["RRULE:FREQ=HOURLY"]}
    assert refused(api.events().insert(body=hourly, **PRIMARY)).status_code == 501
    assert "FREQ=HOURLY" in str(service.bench.last().hint)


def test_an_agent_s_calendar_and_mail_through_stack_s_proxy(proxied: Callable[..., Proxied]) -> None:
    upstream = proxied("google_calendar", scopes=[f"{AUTH}calendar.events"], seed=SEED)
    base = "https://www.googleapis.com/calendar/v3/calendars/ada%40acme.test"
    made = upstream.ask("POST", f"{base}/events", body={**FINE, "mood": "good"}).body
    window = {"timeMin": NOON, "timeMax": ONE, "singleEvents": "true", "orderBy": "startTime"}
    found = upstream.ask("GET", f"{base}/events", query=window).body
    assert [one["id"] for one in found["items"]][-1] == made["id"]
    answered = upstream.ask("PATCH", f"{base}/events/{made['id']}", body={"status": "tentative"})
    assert answered.body["status"] == "tentative"
    assert upstream.ask("DELETE", base).status == 403
    assert upstream.ask("DELETE", f"{base}/events/{made['id']}").status == 204
    assert ["mood"] in [list(entry["unread"]) for entry in upstream.journal()]


@pytest.mark.parametrize(
    ("seed", "sentence"),
    [
        ({"event": []}, "seed has no key 'event'; did you mean events?"),
        ({"email": "ada"}, "seed.email 'ada' is no address; write one like me@example.com."),
        ({"timeZone": "Berlin"}, "seed.timeZone 'Berlin' is no time zone; write one like Europe/Berlin."),
        ({"calendars": [{"name": "Team"}]}, "seed.calendars[0] has no key 'name'"),
        ({"calendars": [{"id": "x@y.test"}]}, "seed.calendars[0] has no summary; add summary"),
        ({"calendars": ["Team", "Team"]}, "seed.calendars has 'Team' twice; give each its own."),
        ({"calendars": [{"summary": "a", "accessRole": "boss"}]}, "seed.calendars[0].accessRole 'boss' is none of"),
        ({"calendars": [{"summary": "a", "colorId": 99}]}, "seed.calendars[0].colorId '99' is not a number"),
        ({"events": [{"start": "2026-01-01", "titel": "x"}]}, "seed.events[0] has no key 'titel'"),
        ({"events": [{"summary": "x"}]}, "seed.events[0] has no start; add start"),
        ({"events": [{"start": "soon"}]}, "seed.events[0].start 'soon' is no point in time"),
        ({"events": [{"start": "2026-01-02", "end": "2026-01-01"}]}, "seed.events[0] ends before it starts"),
        ({"events": [{"start": "2026-01-01", "id": "a-b-c"}]}, "seed.events[0].id 'a-b-c' is no event id"),
        ({"events": [{"start": "2026-01-01", "id": "aaaaa"}] * 2}, "seed.events has 'aaaaa' twice"),
        (
            {"calendars": ["Team"], "events": [{"start": "2026-01-01", "calendar": "Taem"}]},
            "seed.events[0].calendar 'Taem' is no calendar; did you mean Team?",
        ),
        ({"events": [{"start": "2026-01-01", "attendees": ["bob"]}]}, "seed.events[0].attendees[0] has no address"),
        ({"events": [{"start": "2026-01-01", "recurrence": "FREQ=DALY"}]}, "seed.events[0].recurrence has FREQ=DALY"),
        ({"events": {}, "calendars": {"a": 1}}, "seed.calendars is no list; write one."),
    ],
)
def test_a_seed_that_cannot_work_says_where(seed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError) as caught:
        find_pack("google_calendar").check(seed)
    assert str(caught.value).startswith(sentence)
