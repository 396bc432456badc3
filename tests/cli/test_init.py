"""``stack-emu init``: what it puts into an empty project works as it is printed."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from stack_emu.cli.init import NEXT, files

ROOT = Path(__file__).resolve().parents[2]


def run(folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    """Type a line in a project, with this interpreter's commands on the path."""
    bin_ = Path(sys.executable).parent
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    environment |= {"PATH": f"{bin_}{os.pathsep}{environment['PATH']}", "PYTHONPATH": str(ROOT)}
    words = shlex.split(line.replace("stack-emu ", f"{sys.executable} -m stack_emu.cli.main ", 1))
    if words[0] == "pytest":
        words += ["-p", "no:randomly", "-p", "no:schemathesis", "-p", "no:cacheprovider"]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=100)


def test_everything_it_prints_works_in_an_empty_project(tmp_path: Path) -> None:
    made = run(tmp_path, "stack-emu init")
    assert made.returncode == 0, made.stderr
    assert [line.split()[1] for line in made.stdout.splitlines() if line.startswith("wrote")] == list(files())
    printed = [line.strip() for line in made.stdout.splitlines() if line.startswith("  ")]
    assert tuple(printed) == NEXT
    for line in printed:
        done = run(tmp_path, line)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    again = run(tmp_path, "stack-emu init")
    assert again.stdout.count("which is there already") == len(files())


def test_a_file_that_is_there_is_kept(tmp_path: Path) -> None:
    (tmp_path / "stack").mkdir()
    (tmp_path / "stack" / "scenario.yaml").write_text("mine\n")
    made = run(tmp_path, "stack-emu init .")
    assert "kept     stack/scenario.yaml, which is there already" in made.stdout
    assert (tmp_path / "stack" / "scenario.yaml").read_text() == "mine\n"
    assert (tmp_path / "stack" / "greeter.py").exists()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "stack").write_text("a file, not a folder")
    made = run(tmp_path, "stack-emu init")
    assert made.returncode == 2
    assert "stack/scenario.yaml cannot be written" in made.stderr


@pytest.mark.parametrize("line", NEXT)
def test_the_workflow_does_what_is_printed(line: str) -> None:
    workflow = yaml.safe_load(files()[".github/workflows/stack-emu.yml"])
    steps = [step["run"] for step in workflow["jobs"]["test"]["steps"] if "run" in step]
    words = [word for word in line.split() if word != "--"]
    assert any(all(word in step.split() for word in words) for step in steps)
