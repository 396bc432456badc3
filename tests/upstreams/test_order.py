"""What packs list comes in the order of the calls of a lane, and in one order whoever of two lanes came first."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from stack_emu.upstreams.engine import UpstreamRequest

from .conftest import Bench

Make = Callable[..., Bench]
THINGS = {"desk": {"hosts": ["desk.test"], "resources": {"things": {"items": [{"id": "seeded"}]}}}}
NAMES = ["one", "two", "three", "four", "five"]


def add(made: Bench, name: str, lane: str = "agent:a") -> None:
    assert (
        made.ask("desk", UpstreamRequest.of_json("POST", "https://desk.test/things", {"name": name}), lane).status
        == 201
    )


def names(made: Bench) -> list[str]:
    listed = made.ask("desk", UpstreamRequest("GET", "https://desk.test/things")).json()
    return [one.get("name", one["id"]) for one in listed]


def test_calls_of_one_lane_at_one_instant_are_listed_as_they_were_made(bench: Make) -> None:
    made = bench(THINGS)
    for name in NAMES:
        add(made, name)
    assert names(made) == ["seeded", *NAMES]


def test_two_lanes_that_race_are_listed_alike_whoever_came_first(bench: Make) -> None:
    first, second = bench(THINGS), bench(THINGS)
    for name in NAMES:
        add(first, f"a {name}", "agent:a")
        add(first, f"b {name}", "agent:b")
    for name in NAMES:
        add(second, f"b {name}", "agent:b")
    for name in NAMES:
        add(second, f"a {name}", "agent:a")
    assert (
        names(first) == names(second) == ["seeded", *(f"a {name}" for name in NAMES), *(f"b {name}" for name in NAMES)]
    )


@pytest.mark.parametrize("seconds", [1])
def test_what_comes_later_is_listed_later_whatever_its_lane(bench: Make, seconds: int) -> None:
    made = bench(THINGS)
    add(made, "early", "agent:z")
    made.world.advance(seconds * 1000)
    add(made, "late", "agent:a")
    assert names(made) == ["seeded", "early", "late"]
