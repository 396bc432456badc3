"""What runs a command under `stack-emu exec`, as a user would: in a process of its own, with nothing but its output."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = ROOT / "scenarios"
_TIMEOUT_S = 100


@dataclass(frozen=True)
class Ran:
    """A command that ended."""

    code: int
    out: str
    err: str

    def ok(self) -> Ran:
        """Itself, when it ended well."""
        assert self.code == 0, f"exit code {self.code}\n{self.out}\n{self.err}"
        return self


def run(*command: str, env: dict[str, str] | None = None, cwd: Path = ROOT) -> Ran:
    """Run a command to its end."""
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True, timeout=_TIMEOUT_S
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def stack_emu(*arguments: str, env: dict[str, str] | None = None) -> Ran:
    """Run the command line."""
    return run(sys.executable, "-m", "stack_emu.cli.main", *arguments, env=env)


@pytest.fixture
def exec_scenario(tmp_path: Path) -> Callable[..., tuple[Ran, bytes]]:
    """Runs a bundled scenario's agent under `exec`; returns what it printed and the canonical log."""

    def run_it(name: str, *arguments: str, env: dict[str, str] | None = None) -> tuple[Ran, bytes]:
        audit = tmp_path / f"{name}.jsonl"
        agent = [sys.executable, f"scenarios/{name}/agent.py", *arguments]
        ran = stack_emu("exec", f"scenarios/{name}", "--audit", str(audit), "--", *agent, env=env)
        return ran, audit.read_bytes() if audit.exists() else b""

    return run_it
