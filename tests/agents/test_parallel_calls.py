"""Calls an agent makes at the same time: in content order their log is the same, whichever of them came first."""

from __future__ import annotations

from pathlib import Path

import pytest

from stack_emu.domain.canonical_audit import diff, verify
from tests.agents.programs import HERE, command
from tests.scenarios.conftest import stack_emu

WORLD = HERE / "parallel"


@pytest.mark.timeout(240)  # the first run on a machine installs the framework
def test_three_calls_of_one_turn(tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"
    agent = command(WORLD / "langchain_agent.py", tmp_path)
    ran = stack_emu("exec", str(WORLD), "--order", "content", "--audit", str(audit), "--", *agent).ok()
    assert ran.out == "7, 8, 1767321152.978294\n"
    assert [line for line in ran.err.splitlines() if "in flight together in lane" not in line] == []
    log, expected = audit.read_bytes(), (WORLD / "audit.jsonl").read_bytes()
    assert log == expected, diff(expected, log)
    assert verify(log) == []
