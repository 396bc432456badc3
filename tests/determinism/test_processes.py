"""The same bytes in every process, whatever its hash seed, and on every Python there is an environment for."""

from __future__ import annotations

import json
import os
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.determinism.pythons import prepared

ROOT = Path(__file__).resolve().parents[2]
HASH_SEEDS = 2
"""Processes of each Python, each with a hash seed of its own."""


@pytest.fixture(scope="module")
def ran() -> list[dict[str, Any]]:
    """What each process printed, with its hash seed; two processes at a time."""
    chance = random.Random()
    waiting = [(str(python), str(chance.randrange(2**32))) for python in prepared().values() for _ in range(HASH_SEEDS)]
    found = []
    while waiting:
        now, waiting = waiting[:2], waiting[2:]
        running = [(hash_seed, start(python, hash_seed)) for python, hash_seed in now]
        for hash_seed, process in running:
            out, problem = process.communicate(timeout=100)
            assert process.returncode == 0, problem
            found.append({**json.loads(out), "hash seed": hash_seed})
    return found


def start(python: str, hash_seed: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    command = [python, "-m", "tests.determinism.program_process"]
    return subprocess.Popen(
        command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.timeout(600)
def test_every_process_leaves_the_same_bytes(ran: list[dict[str, Any]], record_property: Any) -> None:
    record_property("pythons", ", ".join(sorted({one["python"] for one in ran})))
    print("Pythons that ran:", ", ".join(sorted({one["python"] for one in ran})))
    assert len({one["hash seed"] for one in ran}) == len(ran)
    names = [name for name in ran[0] if name not in ("python", "hash seed")]
    assert len(names) == 7
    for name in names:
        by_digest: dict[str, list[str]] = {}
        for one in ran:
            by_digest.setdefault(one[name], []).append(f"{one['python']} with PYTHONHASHSEED={one['hash seed']}")
        assert len(by_digest) == 1, f"{name} differs: {by_digest}"


def test_the_surfaces_agree_there_too(ran: list[dict[str, Any]]) -> None:
    for one in ran:
        assert one["audit over rest"] == one["audit over mcp"]
        assert one["journal over rest"] != one["journal over mcp"]


def test_every_environment_that_is_there_ran(ran: list[dict[str, Any]]) -> None:
    assert {one["python"].rpartition(".")[0] for one in ran} == set(prepared())
