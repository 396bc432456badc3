"""What the README prints works as it is printed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack_emu.scenario.loader import loads
from tests.docs.blocks import README, ROOT, blocks
from tests.docs.test_pytest_page import run_pytest

PORT = 4747
SHELL = blocks(README, "sh")


def shell_block(starting: str) -> list[str]:
    """The lines of the shell block whose first line starts so."""
    return next(block for block in SHELL if block.startswith(starting)).strip().splitlines()


def environment(**more: str) -> dict[str, str]:
    """This process's, with the command line of this Python first on PATH."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, **more}


def is_free(port: int) -> bool:
    with contextlib.closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@contextlib.contextmanager
def in_one_shell(line: str) -> Iterator[str]:
    """Run `stack-emu up …` in the background until the block ends; its base URL.

    The line is run as printed, with --json to see that it is ready, and on another port only when 4747 is taken.
    """
    command = [*line.split("#")[0].split(), "--json", *([] if is_free(PORT) else ["--port", "0"])]
    up = subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True)
    assert up.stdout is not None
    try:
        yield json.loads(up.stdout.readline())["base_url"]
    finally:
        up.send_signal(signal.SIGINT)
        assert up.wait(10) == 0
        up.stdout.close()


def test_the_first_commands_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for line in shell_block("make demo"):
        target = line.split()[1]
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), line


def test_its_test_passes(tmp_path: Path) -> None:
    (tmp_path / "scenarios").symlink_to(ROOT / "scenarios")
    (example,) = blocks(README, "python")
    (tmp_path / "test_example.py").write_text(example)
    done = run_pytest(tmp_path, "test_example.py")
    assert done.returncode == 0, done.stdout + done.stderr


def test_up_env_and_curl_work_as_printed() -> None:
    up, *other_shell = shell_block("stack-emu up")
    with in_one_shell(up) as base_url:
        url = {} if base_url.endswith(f":{PORT}") else {"STACK_EMU_URL": base_url}
        script = "\n".join(["set -eu", *other_shell])
        done = subprocess.run(
            ["bash", "-c", script], cwd=ROOT, env=environment(**url), capture_output=True, text=True, timeout=60
        )
    assert done.returncode == 0, done.stderr
    assert [agent["name"] for agent in json.loads(done.stdout)] == ["deploy-bot"]


def test_exec_and_audit_verify_work_as_printed(tmp_path: Path) -> None:
    (tmp_path / "scenarios").symlink_to(ROOT / "scenarios")
    script = "\n".join(["set -eu", *shell_block("stack-emu exec")])
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "audit.jsonl").read_bytes() == (ROOT / "scenarios/deploy-bot/audit.jsonl").read_bytes()


def test_coverage_works_as_printed() -> None:
    (line,) = shell_block("stack-emu coverage")
    done = subprocess.run(line.split(), cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "proxy.request" in done.stdout


def test_its_scenario_loads_and_does_what_it_says(tmp_path: Path) -> None:
    (scenario,) = blocks(README, "yaml")
    assert loads(scenario).name == "hello"
    (tmp_path / "scenario.yaml").write_text(scenario)
    program = (
        "import anthropic, os; print(anthropic.Anthropic().beta.messages.create(model='claude-opus-5-5', max_tokens=9,"
        " betas=['mcp-client-2025-04-04'], messages=[{'role': 'user', 'content': 'Please say hello.'}],"
        " mcp_servers=[{'type': 'url', 'url': 'https://mcp.getstack.run/mcp', 'name': 'stack',"
        " 'authorization_token': os.environ['STACK_API_KEY']}]).content[-1].text)"
    )
    command = ["stack-emu", "exec", str(tmp_path), "--", sys.executable, "-c", program]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Posted at ")


@pytest.mark.parametrize("line", sorted({line for block in SHELL for line in block.strip().splitlines()}))
def test_every_shell_line_is_run_or_accounted_for(line: str) -> None:
    known = ("make demo", "make test", "pip install stack-emu", "stack-emu ", 'eval "$(stack-emu env)"', "curl -s ")
    assert line.startswith(known)


def test_every_link_to_a_file_leads_somewhere() -> None:
    for page in [README, *sorted((ROOT / "docs").glob("*.md"))]:
        targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
        assert [target for target in targets if not (page.parent / target).exists()] == [], page.name
