"""What Google Calendar's fake says does not depend on which of two agents came first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from stack_emu.upstreams.engine import AcceptedCredential, UpstreamRequest
from tests.upstreams.conftest import TOKEN, Bench

from .test_calendar_with_its_client import SEED, meeting

Make = Callable[..., Bench]
BASE = "https://www.googleapis.com/calendar/v3"
EVENTS = "/calendars/primary/events"
SYNC = meeting("Sync", "2026-04-01T10:00:00Z", "2026-04-01T11:00:00Z")
MEET = {"createRequest": {"requestId": "r", "conferenceSolutionKey": {"type": "hangoutsMeet"}}}

LANES: dict[str, list[tuple[str, str, Any]]] = {
    "agent:a": [
        ("POST", EVENTS, SYNC),
        ("POST", EVENTS, SYNC),
        ("POST", "/calendars", {"summary": "Trips"}),
        ("PATCH", f"{EVENTS}/lunch1", {"location": "Roof"}),
    ],
    "agent:b": [
        ("POST", f"{EVENTS}?conferenceDataVersion=1", {**SYNC, "conferenceData": MEET}),
        ("PATCH", f"{EVENTS}/standup1_20260325T080000Z", {"summary": "Short"}),
        ("POST", f"{EVENTS}/quickAdd?text=Tea", None),
    ],
}
READS = [EVENTS, f"{EVENTS}?singleEvents=true&orderBy=startTime", "/users/me/calendarList", f"{EVENTS}?maxResults=2"]


def run(make: Make, order: Sequence[str]) -> tuple[dict[str, list[Any]], list[Any]]:
    """The replies of each lane, which take turns in this order, and what a third one reads afterwards."""
    name = "google_calendar"
    bench = make({name: {"pack": name, "seed": SEED}}, {name: [AcceptedCredential(TOKEN, "scon_calendar")]})
    headers = {"Authorization": f"Bearer {TOKEN}"}

    async def go() -> tuple[dict[str, list[Any]], list[Any]]:
        waiting = {lane: list(steps) for lane, steps in LANES.items()}
        replies: dict[str, list[Any]] = {lane: [] for lane in LANES}
        for lane in order:
            method, path, body = waiting[lane].pop(0)
            request = UpstreamRequest.of_json(method, BASE + path, body or {}, headers)
            reply = await bench.send(name, request, lane=lane)
            assert reply.status == 200, reply.text
            replies[lane].append(reply.json())
        reads = [await bench.send(name, UpstreamRequest("GET", BASE + path, headers), lane="agent:c") for path in READS]
        return replies, [reply.json() for reply in reads]

    return asyncio.run(go())


def test_two_lanes_racing_in_either_order_see_the_same(bench: Make) -> None:
    first = run(bench, ["agent:a"] * 4 + ["agent:b"] * 3)
    second = run(bench, ["agent:b"] * 3 + ["agent:a"] * 4)
    mixed = run(bench, ["agent:b", "agent:a", "agent:a", "agent:b", "agent:a", "agent:b", "agent:a"])
    assert first == second == mixed
    made = {reply["id"] for replies in first[0].values() for reply in replies if reply.get("summary") == "Sync"}
    assert len(made) == 3
    assert first[1][0]["nextSyncToken"]
