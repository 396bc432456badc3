"""What Gmail's fake says does not depend on which of two agents came first."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Sequence
from typing import Any

from stack_emu.upstreams.engine import AcceptedCredential, UpstreamRequest
from tests.upstreams.conftest import TOKEN, Bench

from .test_gmail_with_its_client import SEED, raw

Make = Callable[..., Bench]
BASE = "https://gmail.googleapis.com/gmail/v1/users/me"
Step = tuple[str, str, Any]

LANES: dict[str, list[Step]] = {
    "agent:a": [
        ("POST", "/messages/send", {"raw": raw("one", To="bob@example.com", Subject="one")}),
        ("POST", "/messages/send", {"raw": raw("one", To="bob@example.com", Subject="one")}),
        ("POST", "/labels", {"name": "Todo"}),
        ("POST", "/messages/a1/modify", {"addLabelIds": ["STARRED"]}),
    ],
    "agent:b": [
        ("POST", "/drafts", {"message": {"raw": raw("two", Subject="two")}}),
        ("POST", "/messages/send", {"raw": raw("one", To="bob@example.com", Subject="one")}),
        ("POST", "/messages/a2/trash", None),
    ],
}
READS = [
    "/messages?includeSpamTrash=true",
    "/threads",
    "/drafts",
    "/labels",
    "/profile",
    "/history?startHistoryId=999999",
]


def run(make: Make, order: Sequence[str]) -> tuple[dict[str, list[Any]], list[Any]]:
    """The replies of each lane, which take turns in this order, and what a third one reads afterwards."""
    bench = make({"gmail": {"pack": "gmail", "seed": SEED}}, {"gmail": [AcceptedCredential(TOKEN, "scon_gmail")]})
    headers = {"Authorization": f"Bearer {TOKEN}"}

    async def go() -> tuple[dict[str, list[Any]], list[Any]]:
        waiting = {lane: list(steps) for lane, steps in LANES.items()}
        replies: dict[str, list[Any]] = {lane: [] for lane in LANES}
        for lane in order:
            method, path, body = waiting[lane].pop(0)
            request = UpstreamRequest.of_json(method, BASE + path, body or {}, headers)
            reply = await bench.send("gmail", request, lane=lane)
            assert reply.status == 200, reply.text
            replies[lane].append(reply.json())
        reads = [
            await bench.send("gmail", UpstreamRequest("GET", BASE + path, headers), lane="agent:c") for path in READS
        ]
        return replies, [reply.json() for reply in reads]

    return asyncio.run(go())


def test_two_lanes_racing_in_either_order_see_the_same(bench: Make) -> None:
    first = run(bench, ["agent:a"] * 4 + ["agent:b"] * 3)
    second = run(bench, ["agent:b"] * 3 + ["agent:a"] * 4)
    mixed = run(bench, ["agent:b", "agent:a", "agent:a", "agent:b", "agent:a", "agent:b", "agent:a"])
    assert first == second == mixed
    sent = [reply["id"] for replies in first[0].values() for reply in replies if reply.get("labelIds") == ["SENT"]]
    assert len(set(sent)) == 3


def test_bytes_that_a_seed_makes_are_the_same_in_every_world(bench: Make) -> None:
    def whole() -> Any:
        world = bench({"gmail": {"pack": "gmail", "seed": SEED}})
        message = world.ask("gmail", UpstreamRequest("GET", f"{BASE}/messages/a1?format=raw")).json()
        return base64.urlsafe_b64decode(message["raw"])

    assert whole() == whole()
    assert b"boundary" in whole()
