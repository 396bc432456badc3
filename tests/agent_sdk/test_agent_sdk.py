"""The Claude Agent SDK with its bundled CLI works against STACK's MCP server, with nothing but loopback to reach.

Not part of the default suite, because the CLI is 380 MB: `make test-agent-sdk` installs it and runs this.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import claude_agent_sdk

from stack_emu import Emulator
from stack_emu.domain.canonical_audit import diff, verify
from tests.docs.agents_page import SECTIONS, run_script

HERE = Path(__file__).parent
TRIAGE = HERE.parent / "agents" / "triage"
CONFIGURED = Path("/etc/claude-code")
WORKED = """\
  ['stack: connected']
  text: I will post it.
  call: mcp__stack__stack_proxy_request
  result: ok
  text: Posted: True
  success
"""
EXPECTED = f"""\
operator key
{WORKED}passport
{WORKED}revoked passport
  ['stack: failed']
  text: I have no tool for that.
  success
"""
REFUSAL = "Proxy request for payroll not in passport scope; passport pp_triage is granted github, slack"
REFUSED = (
    '{"error":{"message":"' + REFUSAL + '","code":"FORBIDDEN","details":{"service":"payroll","missing_grant":'
    '{"agent_id":"agent_triage_bot","service":"payroll"},"intent_services":["github","slack"],'
    '"granted_providers":["github","slack"]}}}'
)
CALL = "  call: mcp__stack__stack_proxy_request"
CONVERSATION = f"""\
Triage issue 7.
<init>
  text: I will read the issue.
{CALL} GET https://api.github.com/repos/acme/shop/issues/7
  result: ok
  text: I will announce it.
{CALL} POST https://slack.com/api/chat.postMessage
  result: ok
{CALL} POST https://api.github.com/repos/acme/shop/issues/7/comments
  result: ok
  text: Announced #7: Announced at 1767329707.568024.
  success
And now the salaries, please.
<init>
{CALL} GET https://payroll.example.com/v1/salaries
  result: {REFUSED}
  text: I was refused: {REFUSAL}
  success
Close issue 7.
<init>
{CALL} PATCH https://api.github.com/repos/acme/shop/issues/7
  denied by the callback
  result: Ask Ada before you change an issue.
  text: I did not: Ask Ada before you change an issue.
  success
"""


def environment(home: Path) -> dict[str, str]:
    """An environment without anything of this machine's user in it."""
    (home / "tmp").mkdir()
    return {
        "PATH": os.defpath,
        "HOME": str(home),
        "TMPDIR": str(home / "tmp"),
        "CLAUDE_CONFIG_DIR": str(home / ".claude"),
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "GIT_CONFIG_NOSYSTEM": "1",
    }


def run_agent(scenario: Path, agent: Path, folder: Path) -> tuple[str, bytes]:
    """Run an agent under `exec` where there is no network; what it printed, and the canonical log."""
    assert claude_agent_sdk.__version__
    assert not CONFIGURED.exists(), f"{CONFIGURED} would be read by the CLI: move it away for this test"
    audit = folder / "audit.jsonl"
    home = folder / "home"
    home.mkdir()
    emulator = [sys.executable, "-m", "stack_emu.cli.main", "exec", str(scenario), "--audit", str(audit)]
    done = subprocess.run(
        [sys.executable, str(HERE / "loopback_only.py"), *emulator, "--", sys.executable, str(agent)],
        cwd=home,
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "gateway" not in done.stderr, "the CLI reached for no host that is not emulated"
    log = audit.read_bytes()
    assert verify(log) == []
    return done.stdout, log


def offered_to(passport: str) -> int:
    """How many tools STACK's MCP server offers the bearer of a passport of the scenario, by another client."""

    async def count(world: Any) -> int:
        async with world.mcp(bearer=world.description["passports"][passport]) as client:
            return len((await client.list_tools()).tools)

    with Emulator() as emulator:
        return asyncio.run(count(emulator.world("tools", scenario=TRIAGE)))


def test_an_agent_works_with_a_key_and_with_a_passport_until_it_is_revoked(tmp_path: Path) -> None:
    printed, _ = run_agent(HERE, HERE / "agent.py", tmp_path)
    assert printed == EXPECTED


def test_a_conversation_with_tools_that_are_allowed_refused_by_stack_and_denied_by_its_user(tmp_path: Path) -> None:
    printed, log = run_agent(TRIAGE, HERE / "triage.py", tmp_path)
    init = f"  ['stack: connected']\n  {offered_to('STACK_PASSPORT')} tools"
    assert printed == CONVERSATION.replace("<init>", init)
    golden = (TRIAGE / "audit.jsonl").read_bytes()
    assert log == golden, f"other frameworks leave another log:\n{diff(golden, log)}"


def test_the_section_of_the_page_prints_what_it_says(tmp_path: Path) -> None:
    section = SECTIONS["Claude Agent SDK"]
    home = tmp_path / "home"
    home.mkdir()
    alone = [sys.executable, str(HERE / "loopback_only.py")]
    assert run_script(section, section.write(tmp_path), base=environment(home), within=alone) == section.printed
