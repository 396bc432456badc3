"""The same seed gives the same world in every process, and another seed another one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
MADE = (
    "flp fch agt ms pc pp ses scon ckp co rev gvr sev aud req skl sinv sreq cs llm drp iap pck op grt clm ivs irq mem "
    "prn prf pcs abn aor rcv rvc rky apv prs use ndst nch iwh ntf obx wdl ocl ocr ogr"
)
MADE_ID = re.compile(rf"\b(?:{'|'.join(MADE.split())})_[a-z2-7]{{20}}\b")


def tours(*variants: tuple[int, str, str]) -> list[dict[str, Any]]:
    """What came of the tour in processes of their own, for each (seed, clock, PYTHONHASHSEED)."""
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.guarantees.tour_process", str(seed), clock],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for seed, clock, hash_seed in variants
    ]
    found = []
    for process in running:
        out, problem = process.communicate(timeout=60)
        assert process.returncode == 0, problem
        found.append(json.loads(out))
    return found


@pytest.fixture(scope="module")
def virtual() -> list[dict[str, Any]]:
    return tours((11, "virtual", "0"), (11, "virtual", "4242"), (12, "virtual", "0"))


def test_two_processes_with_one_seed_agree_to_the_last_byte(virtual: list[dict[str, Any]]) -> None:
    one, other, _ = virtual
    assert other["log"] == one["log"]
    assert other["rows"] == one["rows"]
    assert other["replies"] == one["replies"]


def test_another_seed_gives_other_ids_and_nothing_else(virtual: list[dict[str, Any]]) -> None:
    """Only the order of rows that the ids themselves decide may differ."""
    one, _, other = virtual
    known, made = (set(MADE_ID.findall(json.dumps(run["replies"]))) for run in (one, other))
    assert len(known) > 20
    assert not known & made
    shapes = [
        re.sub(
            r'"(?:(?:hash|prev|head)":"[0-9a-f]{64}"|(?:n|act)":\d+)', "", MADE_ID.sub("<id>", run["log"])
        ).splitlines()
        for run in (one, other)
    ]
    assert sorted(shapes[0][:-1]) == sorted(shapes[1][:-1])


def test_a_real_clock_gives_the_same_log_and_ids_on_every_run() -> None:
    one, other = tours((11, "real", "1"), (11, "real", "2"))
    assert other["log"] == one["log"]
    assert [row["entry_id"] for row in other["rows"]] == [row["entry_id"] for row in one["rows"]]
    assert [row["timestamp"] for row in other["rows"]] != [row["timestamp"] for row in one["rows"]]
    assert '"at_ms"' not in one["log"]
