"""Sequences of replies and states of an upstream, also when calls race."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from .conftest import Shop

Make = Callable[..., Shop]
THREE = [{"json": {"n": 1}}, {"json": {"n": 2}}, {"json": {"n": 3}}]


def numbers(shop: Shop, count: int) -> list[int]:
    replies = [shop.ask("GET", "/job") for _ in range(count)]
    return [reply.body["n"] if reply.status == 200 else reply.status for reply in replies]


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({}, [1, 2, 3, 3, 3]),
        ({"repeat": "all"}, [1, 2, 3, 1, 2]),
        ({"repeat": "none"}, [1, 2, 3, 501, 501]),
        ({"times": 2}, [1, 2, 501, 501, 501]),
    ],
)
def test_replies_come_one_after_the_other(shop: Make, extra: dict[str, object], expected: list[int]) -> None:
    assert numbers(shop([{"replies": THREE, **extra}]), 5) == expected


def test_what_is_used_up_leaves_calls_to_what_comes_after_it(shop: Make) -> None:
    made = shop([{"times": 2, "reply": {"status": 429}}, {"reply": {"json": {"n": 9}}}])
    assert numbers(made, 3) == [429, 429, 9]


def test_a_used_up_route_says_so(shop: Make) -> None:
    made = shop([{"when": {"path": "/job"}, "times": 1, "reply": {"json": {"n": 1}}}])
    numbers(made, 2)
    assert made.world.journal[-1]["near"] is not None
    assert "it is used up: it answered 1 time in this lane" in str([entry["near"] for entry in made.world.journal])


def test_every_lane_has_a_sequence_of_its_own(shop: Make) -> None:
    made = shop([{"replies": THREE}])
    other = made.other_lane()
    assert (numbers(made, 2), numbers(other, 2), numbers(made, 1)) == ([1, 2], [1, 2], [3])


def test_a_sequence_can_be_of_the_whole_world(shop: Make) -> None:
    made = shop([{"replies": THREE, "per": "world"}])
    assert (numbers(made, 1), numbers(made.other_lane(), 1), numbers(made, 1)) == ([1], [2], [3])


def test_calls_that_race_get_one_reply_each(shop: Make) -> None:
    made = shop([{"replies": [{"json": {"n": number}, "delay": "20ms"} for number in range(50)], "repeat": "none"}])
    with ThreadPoolExecutor(50) as pool:
        replies = list(pool.map(lambda _: made.ask("GET", "/job").body["n"], range(50)))
    assert Counter(replies) == Counter(range(50))


TICKETS = [
    {
        "when": {"method": "POST", "path": "/tickets/{id}/close"},
        "requires": {"ticket/{{ request.params.id }}": "open"},
        "sets": {"ticket/{{ request.params.id }}": "closed"},
        "reply": {"json": {"state": "{{ state['ticket/' ~ request.params.id] }}"}},
    },
    {
        "when": {"method": "POST", "path": "/tickets/{id}"},
        "requires": {"ticket/{{ request.params.id }}": {"absent": True}},
        "sets": {"ticket/{{ request.params.id }}": "open", "last": "{{ request.params.id }}"},
        "reply": {"status": 201},
    },
    {
        "when": {"method": "GET", "path": "/tickets/{id}"},
        "reply": {"json": {"state": "{{ state['ticket/' ~ request.params.id] }}", "last": "{{ state.last }}"}},
    },
]


def test_states_are_required_and_set_by_routes(shop: Make) -> None:
    made = shop(TICKETS, state={"ticket/T-0": "open"})
    assert made.ask("POST", "/tickets/T-0/close").status == 200
    assert made.ask("POST", "/tickets/T-1").status == 201
    assert made.ask("GET", "/tickets/T-1").body == {"state": "open", "last": "T-1"}
    assert made.ask("POST", "/tickets/T-1/close").body == {"state": "closed"}
    refused = made.ask("POST", "/tickets/T-1/close").body["error"]
    assert refused["details"]["candidates"][0]["note"] == (
        "it needs the state ticket/T-1 to be 'open', and it is 'closed', set by POST /tickets/T-1/close"
    )
    again = made.ask("POST", "/tickets/T-1").body["error"]["details"]["candidates"][0]["note"]
    assert again == "it needs the state ticket/T-1 to be nothing, and it is 'closed', set by POST /tickets/T-1/close"
    unknown = made.ask("POST", "/tickets/T-9/close").body["error"]["details"]["candidates"][0]["note"]
    assert unknown == "it needs the state ticket/T-9 to be 'open', and it is not set"


def test_states_and_sequences_end_with_a_reset_and_come_back_with_a_snapshot(shop: Make) -> None:
    made = shop([*TICKETS, {"when": {"path": "/job"}, "replies": THREE}])
    made.ask("POST", "/tickets/T-1")
    assert numbers(made, 1) == [1]
    made.world.snapshot("one")
    made.ask("POST", "/tickets/T-1/close")
    assert numbers(made, 1) == [2]
    made.world.restore("one")
    assert (made.ask("GET", "/tickets/T-1").body["state"], numbers(made, 1)) == ("open", [2])
    made.world.reset()
    assert (made.ask("POST", "/tickets/T-1").status, numbers(made, 1)) == (201, [1])


def test_one_of_fifty_that_race_closes_the_ticket(shop: Make) -> None:
    made = shop(TICKETS, state={"ticket/T-0": "open"})
    with ThreadPoolExecutor(50) as pool:
        statuses = list(pool.map(lambda _: made.ask("POST", "/tickets/T-0/close").status, range(50)))
    assert Counter(statuses) == {200: 1, 501: 49}


def test_a_template_that_fails_sets_and_counts_nothing(shop: Make) -> None:
    broken = {"json": {"x": "{{ request.json.nothing }}"}}
    made = shop(
        [
            {"when": {"path": "/job"}, "replies": [{"json": {"n": 1}}, broken], "sets": {"done": True}},
            {"when": {"path": "/state"}, "requires": {"done": {"absent": True}}, "reply": {"json": {"n": 0}}},
        ]
    )
    assert made.ask("GET", "/state").status == 200
    assert [made.ask("GET", "/job").status for _ in range(3)] == [200, 500, 500]
    assert made.ask("GET", "/state").status == 501
