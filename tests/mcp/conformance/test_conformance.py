"""The official conformance suite, at both specification versions, against the endpoint as the emulator serves it.

With the suite's fixtures behind the endpoint and event streams for answers every check passes. Two more runs say what does
not: with JSON for answers nothing can be sent during a call, and the emulator's own tools are not the suite's. What fails
there, or ends with a warning, stands in ``expected/``; the suite fails when something else does, and when something listed
there passes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.mcp.conformance.server import build
from tests.mcp.conformance.suite import STABLE, run_suite

pytestmark = pytest.mark.timeout(240)  # the first run on a machine installs the suite

EXPECTED = Path(__file__).with_name("expected")
JSON = "stack_emu: 1\n"
STREAMS = "stack_emu: 1\nmcp: {answers: streams}\n"
CHECKS = {"2025-11-25": 84, "2026-07-28": 152}
"""The suite's checks by specification version: with fewer, it would have left some out."""


@pytest.mark.parametrize("version", CHECKS)
def test_every_check_of_a_version_passes(admit: Callable[..., Any], version: str) -> None:
    outcome = run_suite(
        f"{admit(STREAMS, build).base_url}/mcp",
        *("--suite", "all", "--spec-version", version),
        expected=EXPECTED / f"streams-{version}.yml",
    )
    assert outcome.failing == frozenset(), outcome.text
    assert (outcome.code, outcome.passed) == (0, CHECKS[version]), outcome.text


@pytest.mark.parametrize("version", CHECKS)
def test_every_scenario_a_version_requires_passes(admit: Callable[..., Any], version: str) -> None:
    """The set that was frozen when the version came out, run apart from what came into the suite later."""
    outcome = run_suite(f"{admit(STREAMS, build).base_url}/mcp", "--requirements", version)
    required = {name for name in outcome.failing if not name.startswith("tasks-")}
    assert required == set(), outcome.text


def test_the_stable_release_of_the_suite_passes(admit: Callable[..., Any]) -> None:
    outcome = run_suite(f"{admit(STREAMS, build).base_url}/mcp", "--suite", "all", release=STABLE)
    assert outcome.failing == frozenset(), outcome.text
    assert (outcome.code, outcome.passed) == (0, 44)


@pytest.mark.parametrize("version", CHECKS)
@pytest.mark.parametrize(("served", "fixtures"), [("json", build), ("own-tools", None)])
def test_just_the_listed_scenarios_fail(
    admit: Callable[..., Any], version: str, served: str, fixtures: Callable[..., Any] | None
) -> None:
    listed = EXPECTED / f"{served}-{version}.yml"
    outcome = run_suite(
        f"{admit(JSON, fixtures).base_url}/mcp", "--suite", "all", "--spec-version", version, expected=listed
    )
    assert outcome.code == 0, outcome.text
    assert outcome.failing <= set(yaml.safe_load(listed.read_text("utf-8"))["server"])
    assert outcome.passed > 0


@pytest.mark.parametrize("listed", [["ping"], []], ids=["passes-but-listed", "fails-but-unlisted"])
def test_a_list_that_does_not_say_what_fails_is_not_accepted(
    admit: Callable[..., Any], tmp_path: Path, listed: list[str]
) -> None:
    baseline = tmp_path / "expected.yml"
    baseline.write_text(yaml.safe_dump({"server": listed}), "utf-8")
    scenario = "ping" if listed else "tools-call-image"
    outcome = run_suite(f"{admit(JSON).base_url}/mcp", "--scenario", scenario, expected=baseline)
    assert outcome.code == 1, outcome.text
