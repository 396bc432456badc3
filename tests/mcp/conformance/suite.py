"""Runs the official conformance suite (npm ``@modelcontextprotocol/conformance``) and reads what it says."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.mcp.node_programs import environment, node, packages

LATEST = "@modelcontextprotocol/conformance"
"""The release that knows 2026-07-28."""
STABLE = "conformance-0-1"
"""The release its registry calls the latest, which ends at 2025-11-25."""

_SCENARIO = re.compile(r"^[✓✗] ([\w-]+): (\d+) passed, (\d+) failed", re.MULTILINE)


@dataclass(frozen=True)
class Outcome:
    """How a run of the suite ended.

    Args:
        code: its exit code: 0 when just what was expected to fail did.
        passed: checks that passed.
        failed: checks that failed.
        failing: scenarios with failed checks.
        scenarios: scenarios run.
        text: what it printed.
    """

    code: int
    passed: int
    failed: int
    failing: frozenset[str]
    scenarios: int
    text: str


def program(release: str) -> list[str]:
    return [node(), str(packages() / "node_modules" / release / "dist" / "index.js")]


def run_suite(url: str, *options: str, release: str = LATEST, expected: Path | None = None) -> Outcome:
    """Run the server scenarios against an endpoint.

    Args:
        url: the endpoint.
        *options: further options of the command.
        release: which release of the suite.
        expected: the list of scenarios that fail; none does when left out.
    """
    command = [*program(release), "server", "--url", url, *options]
    if expected is not None:
        command += ["--expected-failures", str(expected)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=100, check=False)
    summary = done.stdout.rpartition("=== SUMMARY ===")[2]
    seen = [(name, int(passed), int(failed)) for name, passed, failed in _SCENARIO.findall(summary)]
    return Outcome(
        done.returncode,
        sum(passed for _, passed, _ in seen),
        sum(failed for _, _, failed in seen),
        frozenset(name for name, _, failed in seen if failed),
        len(seen),
        summary + done.stderr,
    )
