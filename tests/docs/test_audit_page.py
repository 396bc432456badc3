"""What docs/audit.md prints works as it is printed, and says of tampering what happens."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from stack_emu.audit_log.tampering import WAYS
from stack_emu.domain.tiers import RETENTION_DAYS
from tests.docs.blocks import ROOT, blocks

PAGE = ROOT / "docs" / "audit.md"
TEXT = PAGE.read_text("utf-8")


def test_every_command_does_what_is_said(tmp_path: Path) -> None:
    for name in ("scenarios", "docs"):
        (tmp_path / name).symlink_to(ROOT / name)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    lines = [line for block in blocks(PAGE, "sh") for line in block.splitlines()]
    assert len(lines) >= 9
    told = {}
    for line in lines:
        ran = subprocess.run(
            ["sh", "-c", line],
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert ran.returncode == (1 if "exits with 1" in line else 0), (line, ran)
        told[line] = ran.stdout
    [broken] = [said for line, said in told.items() if "exits with 1" in line]
    assert "spoiled.jsonl: line 12, lane " in broken
    assert ": deleted: " in broken
    assert (tmp_path / "report.html").read_text("utf-8").startswith("<!doctype html>")
    assert "proves 42 rows; 0 stand behind them" in "".join(told.values())


def test_the_ways_to_tamper_and_the_days_rows_are_kept_are_those_of_the_code() -> None:
    table = dict(re.findall(r"^\| `(\w+)` \|.*?`(\w+)`[^`]*\|$", TEXT, re.MULTILINE))
    assert set(table) == set(WAYS)
    for how, kind in WAYS.items():
        [row] = re.findall(rf"^\| `{how}` \|.*\|$", TEXT, re.MULTILINE)
        assert f"`{kind}`" in row
    days = ", ".join(f"{days} {'days ' if tier == 'free' else ''}on `{tier}`" for tier, days in RETENTION_DAYS.items())
    assert days in " ".join(TEXT.split())
