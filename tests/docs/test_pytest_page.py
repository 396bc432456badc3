"""docs/pytest.md names everything the fixture has, and its examples pass as they are printed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stack_emu import pytest_world
from stack_emu.client import (
    ApprovalControl,
    AuditControl,
    ClockControl,
    FaultControl,
    ModelControl,
    OutboxControl,
    UpstreamControl,
)
from stack_emu.pytest_plugin import _ARGUMENTS
from stack_emu.scenario.loader import loads
from tests.docs.blocks import PYTEST, blocks

CLASSES = (
    pytest_world.TestWorld,
    ApprovalControl,
    AuditControl,
    pytest_world.GoldenAudit,
    ClockControl,
    FaultControl,
    ModelControl,
    OutboxControl,
    UpstreamControl,
    pytest_world.TestUpstream,
)
PLUMBING = {"connect", "connection", "close", "close_clients", "failure_sections", "folder", "httpserver", "update"}
SET_IN_INIT = {
    "base_url",
    "mcp_url",
    "anthropic_base_url",
    "openai_base_url",
    "api_key",
    "name",
    "description",
    "clock",
    "faults",
    "model",
    "outbox",
}


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest as a user's project would have it: nothing of this repository's configuration."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    (folder / "pytest.ini").write_text("[pytest]\n")
    left_out = [f"-pno:{plugin}" for plugin in ("cacheprovider", "randomly", "schemathesis")]
    command = [sys.executable, "-m", "pytest", "-q", *left_out, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100)


def test_its_examples_pass(tmp_path: Path) -> None:
    (world,) = blocks(PYTEST, "yaml")
    (tmp_path / "world.yaml").write_text(world)
    examples = blocks(PYTEST, "python")
    for number, example in enumerate(examples):
        (tmp_path / f"test_example_{number}.py").write_text(example)
    written = run_pytest(tmp_path, "--stack-emu-update")
    assert written.returncode == 0, written.stdout + written.stderr
    assert (tmp_path / "golden" / "greeting.jsonl").exists()
    again = run_pytest(tmp_path)
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stderr == ""
    assert f"{sum(example.count('def test_') for example in examples)} passed" in again.stdout


def test_its_scenario_loads() -> None:
    (world,) = blocks(PYTEST, "yaml")
    assert loads(world).name == "greetings"


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_it_names_every_public_attribute(kind: type) -> None:
    page = PYTEST.read_text()
    public = {name for name in dir(kind) if not name.startswith("_")} | (
        SET_IN_INIT if kind is pytest_world.TestWorld else set()
    )
    assert {name for name in public - PLUMBING if name not in page} == set()


def test_it_names_every_argument_of_the_marker() -> None:
    page = PYTEST.read_text()
    assert {name for name in _ARGUMENTS if f"| `{name}` |" not in page} == set()
