"""Commands whose Python would not see the docs client are recognised, others are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from stack_emu.docs_client.isolation import why_not
from stack_emu.docs_client.launch import prepare
from tests.docs_client.conftest import Run


@pytest.mark.parametrize(
    ("command", "flag"),
    [
        ("python -I agent.py", "I"),
        ("python3 -S agent.py", "S"),
        ("python -E agent.py", "E"),
        ("python -IS agent.py", "I"),
        ("python -BSu agent.py", "S"),
        ("/usr/bin/python3.11 -u -I agent.py", "I"),
        ("python3.13t -I agent.py", "I"),
        ("pypy3 -I agent.py", "I"),
        ("python -W error -X dev -I -m agent", "I"),
        ("python -Werror -I -c pass", "I"),
        ("python --check-hash-based-pycs never -I agent.py", "I"),
        ("env python -I agent.py", "I"),
        ("/usr/bin/env -u HOME A=1 python -I agent.py", "I"),
        ("env -S 'python -I' agent.py", "I"),
        ("env '-SA=1 python -I agent.py'", "I"),
        ("uv run python -I agent.py", "I"),
        ("uv run --with httpx python3 -I agent.py", "I"),
        ("nice -n 5 env python -S agent.py", "S"),
        ("sh -c 'cd /tmp && python -I agent.py'", "I"),
        ("bash -ec 'python -S agent.py; true'", "S"),
    ],
)
def test_isolated_pythons_are_recognised(command: str, flag: str) -> None:
    import shlex

    reason = why_not(shlex.split(command))
    assert reason is not None
    assert f"-{flag}" in reason
    assert "leave" in reason


@pytest.mark.parametrize(
    "command",
    [
        "python agent.py -I",
        "python -c print(1) -I",
        "python -m agent -S",
        "python -cI",
        "python -X importtime agent.py",
        "python -WI agent.py",
        "python -s -u -B agent.py",
        "python - -I",
        "python -- -I",
        "python",
        "env A=1 python agent.py",
        "env",
        "uv run agent -I",
        "uv run python agent.py -I",
        "node -I agent.js",
        "no-such-command -I",
        "sh -c 'python agent.py -I'",
        "sh script.sh -I",
        "sh -c 'unbalanced \" quote'",
    ],
)
def test_other_commands_are_left_alone(command: str) -> None:
    import shlex

    assert why_not(shlex.split(command)) is None


@pytest.mark.parametrize(
    ("line", "flag"),
    [
        ("#!/usr/bin/python3 -I", "I"),
        ("#!/usr/bin/env -S python -I", "I"),
        ("#!/usr/bin/env -S python3 -u -S", "S"),
        ("#! /usr/bin/env -vS python -E", "E"),
        ("#!/usr/bin/env python", None),
        ("#!/bin/sh -I", None),
        ("not a script", None),
    ],
)
def test_the_first_line_of_a_script_counts(tmp_path: Path, line: str, flag: str | None) -> None:
    script = tmp_path / "agent"
    script.write_text(f"{line}\nprint('hello')\n")
    script.chmod(0o755)
    for command, path in (([str(script)], None), (["agent"], str(tmp_path))):
        reason = why_not(command, path)
        assert (reason is None) == (flag is None)
        assert flag is None or f"-{flag}" in str(reason)


@pytest.mark.parametrize(
    "command",
    [
        "env -i python agent.py",
        "env - python agent.py",
        "env -u PYTHONPATH python agent.py",
        "env PYTHONPATH=src python agent.py",
    ],
)
def test_env_that_takes_the_path_away_is_recognised(command: str) -> None:
    reason = why_not(command.split())
    assert reason is not None
    assert "PYTHONPATH" in reason


def test_a_script_that_names_itself_does_not_loop(tmp_path: Path) -> None:
    script = tmp_path / "agent"
    script.write_text(f"#!{script}\n")
    script.chmod(0o755)
    assert why_not([str(script)]) is None


@pytest.mark.parametrize("flags", [["-I"], ["-S"], ["-E"]])
def test_python_proves_what_is_said_of_it(flags: list[str], run_python: Run, capfd: pytest.CaptureFixture[str]) -> None:
    done = run_python("import sys; print('_Finder' in [type(f).__name__ for f in sys.meta_path])", flags=flags)
    assert done.stdout == "False\n"
    assert capfd.readouterr().err.startswith("stack-emu: --docs-client cannot apply: python")


def test_nothing_is_said_when_it_applies(capsys: pytest.CaptureFixture[str]) -> None:
    prepare(["python", "agent.py"], {})
    assert capsys.readouterr().err == ""
