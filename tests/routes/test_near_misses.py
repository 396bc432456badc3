"""What is said about calls that no route answers has a golden for each way to miss."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from stack_emu.emulator import Emulator
from tests.diagnosis.driving import Case, read_cases
from tests.routes.driving import SCENARIO, TABLE, said, send, stack

CASES = read_cases(TABLE)
_NUMBERS = count()


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator() as started:
        yield started


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_call_that_no_route_answers_is_told_what_came_nearest(emulator: Emulator, case: Case) -> None:
    world = emulator.world(f"near{next(_NUMBERS)}", scenario=SCENARIO)
    assert said(world, case.calls) == case.said


def test_there_is_a_golden_for_every_way_to_miss() -> None:
    assert len(CASES) >= 25
    assert all(case.said and case.calls for case in CASES)
    assert len({case.name for case in CASES}) == len(CASES)


def test_no_golden_shows_a_secret() -> None:
    text = "\n".join(line for case in CASES for line in case.said)
    assert "canary" not in text
    assert "blue-team-secret" not in text


def test_the_reply_has_the_candidates_as_data(emulator: Emulator) -> None:
    world = emulator.world("data", scenario=SCENARIO)
    client = stack(world)
    reply = send(client, "GET /v1/tickets/7")
    client.close()
    details = reply["body"]["error"]["details"]
    assert reply["status"] == 501
    assert [one["name"] for one in details["candidates"]] == [
        "GET /v1/tickets/{id}",
        "GET /v1/once",
        "POST /v1/tickets/{id}/close",
    ]
    assert details["candidates"][0]["differences"] == [
        {"field": "query.expand", "got": None, "expected": "owner", "missing": True}
    ]
    assert details["side_by_side"] == world.journal[-1]["near"].splitlines()
