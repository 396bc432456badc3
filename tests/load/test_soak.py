"""Forty missions, twenty at once, twice: no error, nothing that stays open, and the same log."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
AGENTS, ROUNDS = 20, 2
CALLS = 17
ROWS = 19
"""Rows of one mission: one a call, one for the passport it starts with, one for the delegated passport that falls."""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    state = tmp_path_factory.mktemp("soak") / "world.db"
    options = ["--agents", str(AGENTS), "--rounds", str(ROUNDS), "--state", str(state), "--json"]
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "soak.py"), *options],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.startswith("{"), done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == 0, found
    return found


def test_every_call_is_answered_and_has_its_row(report: dict[str, Any]) -> None:
    assert [(run["errors"], run["error_kinds"]) for run in report["runs"]] == [(0, {})] * 2
    assert [(run["rounds"], run["calls"]) for run in report["runs"]] == [(ROUNDS, AGENTS * ROUNDS * CALLS)] * 2
    assert [(run["rows"], run["chain_valid"]) for run in report["runs"]] == [(AGENTS * ROUNDS * ROWS, True)] * 2


def test_two_runs_leave_the_same_log(report: dict[str, Any]) -> None:
    first, second = (run["log_sha256"] for run in report["runs"])
    assert first == second
    assert len({run["log_bytes"] for run in report["runs"]}) == 1
    assert report["runs"][0]["log_bytes"] > AGENTS * ROUNDS * ROWS * 100


def test_nothing_stays_open_once_the_clients_have_gone(report: dict[str, Any]) -> None:
    for run in report["runs"]:
        start, end = run["server"]["start"], run["server"]["end"]
        assert end["connections"] == start["connections"] == 1
        assert end["tasks"] <= start["tasks"] + 3  # what serves MCP is loaded a moment after the start
        assert end["worlds"] == start["worlds"] == 1
        # A file more or less may be open for a moment: SQLite's, or the socket of a connection that is being closed.
        assert end["files"] <= start["files"] + 2
        assert 1 < run["peak_connections"] <= AGENTS + 2
