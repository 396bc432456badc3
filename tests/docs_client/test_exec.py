"""``stack-emu exec --docs-client``: the page's program against the real host name, unchanged."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.docs_client.conftest import WORLD

PAGE = """
import os
from getstack import StackClient

stack = StackClient(api_key=os.environ["STACK_API_KEY"])
passport = stack.passports.issue(agent_id="agent_deploy_bot", intent="Announce the deploy", ttl_seconds=900)
assert passport.token
stack.passports.revoke(passport.id)
print("done")
"""


def _exec(folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    (folder / "scenario.yaml").write_text(WORLD)
    (folder / "page.py").write_text(PAGE)
    command = ["exec", str(folder), "--docs-client", "--", sys.executable, *flags, str(folder / "page.py")]
    launcher = "import sys; from stack_emu.cli.main import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", launcher, *command], capture_output=True, text=True, timeout=60, check=False
    )


def test_the_page_runs_as_printed_under_exec(tmp_path: Path) -> None:
    done = _exec(tmp_path)
    assert done.stdout == "done\n", done.stderr
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("DocsClientWarning") == 1


def test_exec_says_when_it_cannot_apply(tmp_path: Path) -> None:
    done = _exec(tmp_path, "-I")
    assert "--docs-client cannot apply" in done.stderr
    assert "leave -I out" in done.stderr
    assert "cannot import name 'StackClient'" in done.stderr
    assert done.returncode == 1


@pytest.mark.stack_emu(docs_client=True)
@pytest.mark.filterwarnings("ignore::stack_emu.docs_client.shape.DocsClientWarning")
def test_the_page_runs_as_printed_in_a_test(stack_emu: Any) -> None:
    from getstack import StackClient

    agent = stack_emu.stack().agents.register(name="deploy-bot", accountability_mode="logged")
    with StackClient(api_key=stack_emu.api_key, base_url=stack_emu.base_url) as stack:
        passport = stack.passports.issue(agent_id=agent.id, intent="Announce the deploy", ttl_seconds=900)
        stack.passports.revoke(passport.id)
    assert stack_emu.audit.entries()[-1]["passport_jti"] == passport.id


@pytest.mark.stack_emu(docs_client=True, transparent=True)
@pytest.mark.filterwarnings("ignore::stack_emu.docs_client.shape.DocsClientWarning")
def test_the_page_runs_as_printed_in_a_test_that_names_the_real_host(stack_emu: Any) -> None:
    from getstack import StackClient

    agent = stack_emu.stack().agents.register(name="deploy-bot", accountability_mode="logged")
    with StackClient(api_key=os.environ["STACK_API_KEY"]) as stack:
        passport = stack.passports.issue(agent_id=agent.id, intent="Announce the deploy", ttl_seconds=900)
        assert passport.token
        stack.passports.revoke(passport.id)
