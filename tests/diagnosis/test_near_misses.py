"""Calls that nothing answers, and refusals that only the world can explain, say the same everywhere."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from stack_emu.emulator import Emulator
from tests.diagnosis.driving import Case, Driver, read_cases

CASES = read_cases()


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_what_is_said_is_what_the_table_says(emulator: Emulator, case: Case, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="stack_emu.journal")
    driver = Driver(emulator, f"case-{CASES.index(case)}")
    try:
        assert driver.run(case.calls) == case.said, "look at the difference, then run python -m tests.diagnosis.goldens"
        for place, text in driver.told().items():
            for line in case.said:
                assert line.removeprefix("unmatched: ").removeprefix("unscripted: ") in text, place
        assert all(line in driver.neutral(caplog.text) for line in case.said)
    finally:
        driver.close()


def test_the_table_is_long_enough_to_be_believed() -> None:
    assert len(CASES) >= 40
    assert all(case.said for case in CASES)
    assert len({case.name for case in CASES}) == len(CASES)


def test_what_came_nearest_is_data_too(emulator: Emulator) -> None:
    driver = Driver(emulator, "data")
    driver.run(["rest POST /v1/passport/issue {}"])
    details = json.loads(driver.replies[-1].text)["error"]["details"]
    assert details["candidates"][0]["name"] == "POST /v1/passports/issue (passports.issue)"
    assert details["candidates"][0]["differences"] == [
        {"field": "path", "got": "/v1/passport/issue", "expected": "/v1/passports/issue"}
    ]
    driver.close()
