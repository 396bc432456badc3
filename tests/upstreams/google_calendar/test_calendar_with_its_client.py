"""Every operation of the Google Calendar pack, driven by google-api-python-client over a socket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from googleapiclient.errors import HttpError
from googleapiclient.http import BatchHttpRequest

from tests.upstreams.conftest import Service
from tests.upstreams.google_client import calendar_client

SEED = {
    "email": "ada@acme.test",
    "timeZone": "Europe/Berlin",
    "calendars": [
        "Team",
        {"summary": "Holidays", "id": "holidays@acme.test", "accessRole": "reader", "timeZone": "UTC"},
    ],
    "events": [
        {
            "id": "standup1",
            "summary": "Stand-up",
            "start": "2026-03-23T09:00:00",
            "end": "2026-03-23T09:15:00",
            "recurrence": "FREQ=WEEKLY;BYDAY=MO,WE;COUNT=6",
            "attendees": ["ada@acme.test", {"email": "bob@acme.test", "responseStatus": "accepted"}],
        },
        {"id": "lunch1", "summary": "Lunch", "start": "2026-03-24T12:00:00", "location": "Canteen"},
        {"id": "offsite1", "summary": "Offsite", "start": "2026-03-26", "transparency": "transparent"},
        {"id": "labour1", "summary": "Labour Day", "start": "2026-05-01", "calendar": "holidays@acme.test"},
    ],
}
Serve = Callable[..., Service]
PRIMARY: dict[str, Any] = {"calendarId": "primary"}


def at(time: str, zone: str | None = None) -> dict[str, str]:
    return {"dateTime": time, **({"timeZone": zone} if zone else {})}


def meeting(summary: str, start: str, end: str, **more: Any) -> dict[str, Any]:
    return {"summary": summary, "start": at(start), "end": at(end), **more}


def refused(request: Any) -> HttpError:
    with pytest.raises(HttpError) as caught:
        request.execute()
    return caught.value


def items(answer: dict[str, Any]) -> list[str]:
    return [one.get("summary", one["id"]) for one in answer["items"]]


@pytest.fixture
def calendar(serve: Serve) -> Iterator[tuple[Service, Any]]:
    service = serve("google_calendar", seed=SEED)
    with calendar_client(service) as api:
        yield service, api


def test_every_operation_with_google_s_client(calendar: tuple[Service, Any]) -> None:
    service, api = calendar
    events = api.events()
    drive_calendars(api)

    # one event, from its making to its end
    body = meeting("Review", "2026-03-25T14:00:00+01:00", "2026-03-25T15:00:00+01:00", colorId="3")
    body["attendees"] = [{"email": "bob@acme.test"}, {"email": "ada@acme.test", "responseStatus": "accepted"}]
    body["conferenceData"] = {"createRequest": {"requestId": "r1", "conferenceSolutionKey": {"type": "hangoutsMeet"}}}
    made = events.insert(body=body, conferenceDataVersion=1, sendUpdates="all", **PRIMARY).execute()
    assert made["start"] == {"dateTime": "2026-03-25T14:00:00+01:00", "timeZone": "Europe/Berlin"}
    assert made["attendees"][0] == {"email": "bob@acme.test", "responseStatus": "needsAction"}
    assert made["attendees"][1]["self"] is made["attendees"][1]["organizer"] is True
    assert made["organizer"] == made["creator"] == {"email": "ada@acme.test", "self": True}
    assert made["hangoutLink"] == made["conferenceData"]["entryPoints"][0]["uri"]
    assert made["conferenceData"]["createRequest"]["status"] == {"statusCode": "success"}
    key = made["id"]
    assert events.get(eventId=key, **PRIMARY).execute() == made
    abroad = events.get(eventId=key, timeZone="America/New_York", maxAttendees=1, **PRIMARY).execute()
    assert abroad["start"] == {"dateTime": "2026-03-25T09:00:00-04:00", "timeZone": "Europe/Berlin"}
    assert (len(abroad["attendees"]), abroad["attendeesOmitted"]) == (1, True)
    patched = events.patch(eventId=key, body={"location": "Room 1", "colorId": None}, **PRIMARY).execute()
    assert ("colorId" in patched, patched["location"], patched["sequence"]) == (False, "Room 1", 0)
    assert patched["etag"] != made["etag"]
    later = {**patched, "start": at("2026-03-25T15:00:00+01:00"), "end": at("2026-03-25T16:00:00+01:00")}
    replaced = events.update(eventId=key, body=later, **PRIMARY).execute()
    assert (replaced["sequence"], replaced["location"], replaced["hangoutLink"]) == (1, "Room 1", made["hangoutLink"])
    bare = meeting("Bare", "2026-03-25T15:00:00Z", "2026-03-25T16:00:00Z")
    assert "location" not in events.update(eventId=key, body=bare, **PRIMARY).execute()
    team = api.calendarList().list().execute()["items"][1]["id"]
    moved = events.move(eventId=key, destination=team, **PRIMARY).execute()
    assert moved["organizer"]["email"] == team
    assert events.get(eventId=key, **PRIMARY).execute()["status"] == "cancelled"
    assert events.delete(eventId=key, calendarId=team).execute() == ""
    assert refused(events.delete(eventId=key, calendarId=team)).status_code == 410

    quick = events.quickAdd(text="Dentist on 2026-04-02 at 3pm", **PRIMARY).execute()
    assert (quick["summary"], quick["start"]["dateTime"]) == ("Dentist", "2026-04-02T15:00:00+02:00")
    copy = {**meeting("Copy", "2026-04-03T10:00:00Z", "2026-04-03T11:00:00Z"), "iCalUID": "x@y.test"}
    first = events.import_(body=copy, **PRIMARY).execute()
    again = events.import_(body={**copy, "summary": "Copy 2"}, **PRIMARY).execute()
    assert (again["id"], again["summary"]) == (first["id"], "Copy 2")

    drive_batch(service, api)
    drive_series(api)
    drive_free_busy(api)
    assert api.calendars().clear(**PRIMARY).execute() == ""
    assert events.list(**PRIMARY).execute()["items"] == []
    assert service.undriven() == []
    assert service.unread() == set()


def drive_calendars(api: Any) -> None:
    listed = api.calendarList().list(showHidden=True, fields="items(id,summary,accessRole,primary)").execute()["items"]
    assert [(one["summary"], one["accessRole"]) for one in listed] == [
        ("ada@acme.test", "owner"),
        ("Holidays", "reader"),
        ("Team", "owner"),
    ]
    assert api.calendarList().get(**PRIMARY).execute()["primary"] is True
    made = api.calendars().insert(body={"summary": "Trips", "timeZone": "Asia/Tokyo"}).execute()
    key = made["id"]
    assert api.calendars().get(calendarId=key).execute() == made
    changed = api.calendars().patch(calendarId=key, body={"description": "by train"}).execute()
    assert (changed["description"], changed["timeZone"]) == ("by train", "Asia/Tokyo")
    assert "description" not in api.calendars().update(calendarId=key, body={"summary": "Rail"}).execute()
    entry = api.calendarList().patch(calendarId=key, body={"colorId": "3", "hidden": True}).execute()
    assert entry["backgroundColor"] == api.colors().get().execute()["calendar"]["3"]["background"]
    assert "Rail" not in items(api.calendarList().list().execute())
    assert api.calendars().delete(calendarId=key).execute() == ""
    assert refused(api.calendars().get(calendarId=key)).status_code == 404
    api.calendarList().patch(calendarId="holidays@acme.test", body={"hidden": True}).execute()
    assert items(api.calendarList().list(minAccessRole="owner").execute()) == ["ada@acme.test", "Team"]


def drive_series(api: Any) -> None:
    events = api.events()
    starts = [one["start"]["dateTime"] for one in events.instances(eventId="standup1", **PRIMARY).execute()["items"]]
    assert starts[:3] == ["2026-03-23T09:00:00+01:00", "2026-03-25T09:00:00+01:00", "2026-03-30T09:00:00+02:00"]
    assert len(starts) == 6
    second = "standup1_20260325T080000Z"
    instance = events.get(eventId=second, **PRIMARY).execute()
    assert instance["recurringEventId"] == "standup1"
    assert instance["originalStartTime"]["dateTime"] == "2026-03-25T09:00:00+01:00"
    later = {"start": at("2026-03-25T10:00:00+01:00"), "end": at("2026-03-25T10:15:00+01:00")}
    assert events.patch(eventId=second, body=later, **PRIMARY).execute()["id"] == second
    events.delete(eventId="standup1_20260330T070000Z", **PRIMARY).execute()
    left = [one["start"]["dateTime"] for one in events.instances(eventId="standup1", **PRIMARY).execute()["items"]]
    assert left[:3] == ["2026-03-23T09:00:00+01:00", "2026-03-25T10:00:00+01:00", "2026-04-01T09:00:00+02:00"]
    every = events.instances(eventId="standup1", showDeleted=True, **PRIMARY).execute()["items"]
    assert [one["status"] for one in every].count("cancelled") == 1
    window = {"timeMin": "2026-03-23T00:00:00Z", "timeMax": "2026-03-28T00:00:00Z", "singleEvents": True}
    week = events.list(orderBy="startTime", **window, **PRIMARY).execute()
    assert items(week) == ["Stand-up", "Lunch", "Stand-up", "Offsite"]
    only = events.instances(eventId="standup1", originalStart="2026-03-25T09:00:00+01:00", **PRIMARY).execute()
    assert [one["id"] for one in only["items"]] == [second]


def drive_batch(service: Service, api: Any) -> None:
    answers: dict[str, Any] = {}
    batch = BatchHttpRequest(
        callback=lambda key, answer, error: answers.update({key: error or answer}),
        batch_uri=f"{service.base_url}/batch/calendar/v3",
    )
    batch.add(api.events().insert(body=meeting("Batched", "2026-06-01T10:00:00Z", "2026-06-01T11:00:00Z"), **PRIMARY))
    batch.add(api.events().delete(eventId="nothing", **PRIMARY))
    batch.execute()
    made, error = answers["1"], answers["2"]
    assert error.status_code == 404
    assert api.events().delete(eventId=made["id"], **PRIMARY).execute() == ""


def drive_free_busy(api: Any) -> None:
    body = {
        "timeMin": "2026-03-24T00:00:00Z",
        "timeMax": "2026-03-27T00:00:00Z",
        "timeZone": "Europe/Berlin",
        "items": [{"id": "primary"}, {"id": "nobody@acme.test"}],
    }
    answer = api.freebusy().query(body=body).execute()["calendars"]
    assert answer["nobody@acme.test"]["errors"] == [{"domain": "global", "reason": "notFound"}]
    assert answer["primary"]["busy"] == [
        {"start": "2026-03-24T12:00:00+01:00", "end": "2026-03-24T13:00:00+01:00"},
        {"start": "2026-03-25T10:00:00+01:00", "end": "2026-03-25T10:15:00+01:00"},
    ]


def test_lists_page_search_and_filter(calendar: tuple[Service, Any]) -> None:
    service, api = calendar
    events = api.events()
    for number in range(5):
        body = meeting(f"Talk {number}", f"2026-04-0{number + 1}T10:00:00Z", f"2026-04-0{number + 1}T11:00:00Z")
        body["extendedProperties"] = {"private": {"room": str(number % 2)}}
        events.insert(body=body, **PRIMARY).execute()
    expected = items(events.list(q="talk", singleEvents=True, orderBy="startTime", **PRIMARY).execute())
    assert expected == [f"Talk {number}" for number in range(5)]
    seen, request = [], events.list(q="talk", singleEvents=True, orderBy="startTime", maxResults=2, **PRIMARY)
    while request is not None:
        answer = request.execute()
        seen.append(items(answer))
        request = events.list_next(request, answer)
    assert seen == [["Talk 0", "Talk 1"], ["Talk 2", "Talk 3"], ["Talk 4"]]
    assert len(events.list(privateExtendedProperty=["room=1"], **PRIMARY).execute()["items"]) == 2
    assert items(events.list(q="canteen", **PRIMARY).execute()) == ["Lunch"]
    assert items(events.list(q="bob@acme.test", **PRIMARY).execute()) == ["Stand-up"]
    assert items(events.list(iCalUID="lunch1@google.com", **PRIMARY).execute()) == ["Lunch"]
    before = events.list(timeMax="2026-03-24T11:00:00Z", **PRIMARY).execute()
    assert items(before) == ["Stand-up"]
    assert items(events.list(updatedMin="2027-01-01T00:00:00Z", **PRIMARY).execute()) == []
    nowhere = events.list(q="x", iCalUID="y", eventTypes=["default"], calendarId="holidays@acme.test").execute()
    assert nowhere["items"] == []
    assert "Labour Day" in items(events.list(calendarId="holidays@acme.test").execute())
    assert service.unread() == set()


def test_a_sync_token_brings_what_changed_and_nothing_else(calendar: tuple[Service, Any]) -> None:
    _, api = calendar
    events = api.events()
    token = events.list(**PRIMARY).execute()["nextSyncToken"]
    nothing = events.list(syncToken=token, **PRIMARY).execute()
    assert (nothing["items"], nothing["nextSyncToken"]) == ([], token)
    made = events.insert(body=meeting("New", "2026-04-01T10:00:00Z", "2026-04-01T11:00:00Z"), **PRIMARY).execute()
    events.delete(eventId="lunch1", **PRIMARY).execute()
    events.patch(eventId="standup1_20260325T080000Z", body={"summary": "Longer"}, **PRIMARY).execute()
    answer = events.list(syncToken=token, **PRIMARY).execute()
    statuses = {one["id"]: one["status"] for one in answer["items"]}
    assert statuses == {made["id"]: "confirmed", "lunch1": "cancelled", "standup1_20260325T080000Z": "confirmed"}
    assert events.list(syncToken=answer["nextSyncToken"], **PRIMARY).execute()["items"] == []
    assert refused(events.list(syncToken="old", **PRIMARY)).status_code == 410
    assert refused(events.list(syncToken=token, q="x", **PRIMARY)).status_code == 400


def test_versions_guard_changes(calendar: tuple[Service, Any]) -> None:
    _, api = calendar
    events = api.events()
    old = events.get(eventId="lunch1", **PRIMARY).execute()
    fresh = events.get(eventId="lunch1", **PRIMARY)
    fresh.headers["If-None-Match"] = old["etag"]
    assert refused(fresh).status_code == 304
    events.patch(eventId="lunch1", body={"location": "Roof"}, **PRIMARY).execute()
    late = events.patch(eventId="lunch1", body={"location": "Cellar"}, **PRIMARY)
    late.headers["If-Match"] = old["etag"]
    error = refused(late)
    assert (error.status_code, error.error_details[0]["reason"]) == (412, "conditionNotMet")
    assert events.get(eventId="lunch1", **PRIMARY).execute()["location"] == "Roof"


@pytest.mark.parametrize(
    ("rule", "days"),
    [
        ("RRULE:FREQ=DAILY;INTERVAL=2;COUNT=3", ["01-30", "02-01", "02-03"]),
        ("RRULE:FREQ=DAILY;UNTIL=20260201", ["01-30", "01-31", "02-01"]),
        ("RRULE:FREQ=WEEKLY;BYDAY=FR,SA;COUNT=3;WKST=SU", ["01-30", "01-31", "02-06"]),
        ("RRULE:FREQ=MONTHLY;COUNT=3", ["01-30", "03-30", "04-30"]),
        ("RRULE:FREQ=MONTHLY;BYDAY=-1FR;COUNT=3", ["01-30", "02-27", "03-27"]),
        ("RRULE:FREQ=MONTHLY;BYMONTHDAY=-1;COUNT=2", ["01-31", "02-28"]),
        ("RRULE:FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1;COUNT=3", ["01-30", "02-27", "03-31"]),
        ("RRULE:FREQ=YEARLY;BYMONTH=3,9;COUNT=2", ["03-30", "09-30"]),
    ],
)
def test_rules_of_recurrence(calendar: tuple[Service, Any], rule: str, days: list[str]) -> None:
    _, api = calendar
    body = {"summary": "Series", "start": {"date": "2026-01-30"}, "end": {"date": "2026-01-31"}, "recurrence": [rule]}
    made = api.events().insert(body=body, **PRIMARY).execute()
    instances = api.events().instances(eventId=made["id"], **PRIMARY).execute()["items"]
    assert [one["start"]["date"][5:] for one in instances] == days


def test_days_left_out_and_added(calendar: tuple[Service, Any]) -> None:
    _, api = calendar
    body = {
        **meeting("Series", "2026-01-05T09:00:00", "2026-01-05T10:00:00"),
        "recurrence": [
            "RRULE:FREQ=DAILY;COUNT=3",
            "EXDATE;TZID=Europe/Berlin:20260106T090000",
            "RDATE:20260110T080000Z",
        ],
    }
    for name in ("start", "end"):
        body[name]["timeZone"] = "Europe/Berlin"
    made = api.events().insert(body=body, **PRIMARY).execute()
    instances = api.events().instances(eventId=made["id"], **PRIMARY).execute()["items"]
    assert [one["start"]["dateTime"][:16] for one in instances] == [
        "2026-01-05T09:00",
        "2026-01-07T09:00",
        "2026-01-10T09:00",
    ]


def test_an_endless_series_is_shown_as_far_as_it_is_asked_for(calendar: tuple[Service, Any]) -> None:
    _, api = calendar
    body = {"start": {"date": "2026-01-01"}, "end": {"date": "2026-01-02"}, "recurrence": ["RRULE:FREQ=DAILY"]}
    made = api.events().insert(body=body, **PRIMARY).execute()
    assert len(api.events().instances(eventId=made["id"], maxResults=2500, **PRIMARY).execute()["items"]) == 730
    far = {"timeMin": "2031-06-01T00:00:00Z", "timeMax": "2031-06-03T00:00:00Z"}
    days = api.events().instances(eventId=made["id"], **far, **PRIMARY).execute()["items"]
    assert len(days) in (2, 3)
    assert api.events().get(eventId=f"{made['id']}_20310601", **PRIMARY).execute()["start"] == {"date": "2031-06-01"}
