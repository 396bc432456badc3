"""Nothing an upstream says depends on who came first, on the wall clock or on the run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from stack_emu.kernel.clock import RealClock
from stack_emu.upstreams.engine import AcceptedCredential, UpstreamRequest
from stack_emu.upstreams.slack.stamps import EPOCH_S

from .conftest import SLACK_SEED, TOKEN, Bench

Make = Callable[..., Bench]
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
SETTINGS = {
    "slack": {"pack": "slack", "seed": SLACK_SEED},
    "incidents": {
        "hosts": ["incidents.example.com"],
        "routes": [
            {
                "when": {"method": "POST", "path": "/v1/incidents"},
                "reply": {
                    "status": 201,
                    "json": {
                        "id": "inc_{{ counter('incident') }}",
                        "key": "{{ id('key_') }}",
                        "n": "{{ counter('n') }}",
                    },
                },
            }
        ],
    },
}


def made(make: Make, **options: Any) -> Bench:
    return make(SETTINGS, {"slack": [AcceptedCredential(TOKEN, "scon_slack")]}, **options)


def slack(method: str, **fields: Any) -> tuple[str, UpstreamRequest]:
    return "slack", UpstreamRequest.of_json("POST", f"https://slack.com/api/{method}", fields, AUTHORIZED)


def incident(title: str) -> tuple[str, UpstreamRequest]:
    return "incidents", UpstreamRequest.of_json("POST", "https://incidents.example.com/v1/incidents", {"title": title})


PROGRAM = [
    slack("chat.postMessage", channel="#engineering", text="one"),
    slack("chat.postMessage", channel="#engineering", text="two"),
    slack("conversations.create", name="incident-7"),
    slack("files.getUploadURLExternal", filename="a.txt", length=3),
    slack("conversations.open", users="U0ADA"),
    slack("users.list"),
    slack("auth.test"),
    incident("first"),
    incident("second"),
]


def run(bench: Bench, program: Sequence[tuple[str, UpstreamRequest]]) -> dict[str, bytes]:
    async def replies() -> dict[str, bytes]:
        return {f"{request.path} {request.text}": (await bench.send(name, request)).body for name, request in program}

    return asyncio.run(replies())


def test_two_worlds_with_one_seed_answer_the_same_bytes_also_under_the_real_clock(bench: Make) -> None:
    first = run(made(bench), PROGRAM)
    assert run(made(bench), PROGRAM) == first
    assert run(made(bench, clock=RealClock()), PROGRAM) == first


def test_another_seed_gives_other_ids(bench: Make) -> None:
    ours, theirs = run(made(bench), PROGRAM), run(made(bench, seed=8), PROGRAM)
    assert not [path for path in ours if ours[path] == theirs[path] and "open" not in path]


def test_independent_calls_see_the_same_whatever_their_order(bench: Make) -> None:
    assert run(made(bench), list(reversed(PROGRAM))) == run(made(bench), PROGRAM)


def test_equal_calls_in_one_lane_get_different_stamps_and_other_lanes_do_not_disturb_them(bench: Make) -> None:
    post = slack("chat.postMessage", channel="#engineering", text="again")

    async def stamps(lanes: str) -> list[tuple[str, str]]:
        world = made(bench)
        return [(lane, (await world.send(*post, lane=lane)).json()["ts"]) for lane in lanes]

    serial, mixed = asyncio.run(stamps("aabb")), asyncio.run(stamps("abab"))
    assert len(set(serial)) == 4
    assert sorted(serial) == sorted(mixed)


def test_a_message_that_names_another_is_always_later(bench: Make) -> None:
    world = made(bench)

    async def chain() -> list[float]:
        stamps: list[str] = []
        for number in range(6):
            thread = {"thread_ts": stamps[-1]} if stamps else {}
            post = slack("chat.postMessage", channel="#engineering", text=f"step {number}", **thread)
            stamps.append((await world.send(*post)).json()["ts"])
        return [float(stamp) for stamp in stamps]

    stamps = asyncio.run(chain())
    assert stamps == sorted(stamps)
    assert EPOCH_S + 86_400 <= stamps[0] < EPOCH_S + 2 * 86_400


def test_counters_look_like_numbers_and_ids_that_templates_made_are_known_to_the_act(bench: Make) -> None:
    world = made(bench)
    act = world.act({"title": "first"})
    name, request = incident("first")
    data = asyncio.run(world.engine.call(world.world, act, name, request, lane="agent:a")).json()
    assert data["id"].removeprefix("inc_").isdigit()
    assert isinstance(data["n"], int)
    assert len(str(data["n"])) == 8
    assert {data["id"], data["key"]} <= set(act.minted)


def test_fifty_agents_posting_at_once_get_what_they_get_one_by_one(bench: Make) -> None:
    def posts(world: Bench) -> list[Any]:
        return [
            world.send(*slack("chat.postMessage", channel="#engineering", text=f"post {n}"), lane=f"agent:{agent}")
            for agent in range(50)
            for n in range(4)
        ]

    async def gathered() -> list[bytes]:
        return [reply.body for reply in await asyncio.gather(*posts(made(bench)))]

    async def serial() -> list[bytes]:
        return [(await post).body for post in posts(made(bench))]

    one, other = asyncio.run(gathered()), asyncio.run(serial())
    assert one == other
    assert len(set(one)) == 200
