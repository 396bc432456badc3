"""The Claude Agent SDK with its bundled CLI works against STACK's MCP server, with nothing but loopback to reach.

Not part of the default suite, because the CLI is 380 MB: `make test-agent-sdk` installs it and runs this.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import claude_agent_sdk

from stack_emu.domain.authentication import OPERATOR, PASSPORT
from stack_emu.domain.canonical_audit import verify
from stack_emu.domain.families import registry

HERE = Path(__file__).parent
CONFIGURED = Path("/etc/claude-code")
WORKED = """\
  text: I will post it.
  call: mcp__stack__stack_proxy_request
  result: ok
  text: Posted: True
  success
"""
EXPECTED = f"""\
operator key
  ['stack: connected']
  tools: {{all_tools}}
{WORKED}passport
  ['stack: connected']
  tools: {{passport_tools}}
{WORKED}refused
  ['stack: connected']
  tools: {{passport_tools}}
  text: I will write it down.
  call: mcp__stack__stack_proxy_request
  result: {{refusal}}
  text: Refused (FORBIDDEN): {{message}}
  success
revoked passport
  ['stack: failed']
  tools: 0
  text: I have no tool for that.
  success
"""


def tools_of(bearer: str) -> int:
    """How many tools a kind of bearer may use, by their declarations."""
    declared = [tool.auth.bearers for tool in registry().tools.values()]
    return sum(not bearers or bearer in bearers for bearers in declared)


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


def test_an_agent_lists_tools_calls_them_and_shows_refusals_until_its_passport_is_revoked(tmp_path: Path) -> None:
    assert claude_agent_sdk.__version__
    assert not CONFIGURED.exists(), f"{CONFIGURED} would be read by the CLI: move it away for this test"
    audit = tmp_path / "audit.jsonl"
    home = tmp_path / "home"
    home.mkdir()
    emulator = [sys.executable, "-m", "stack_emu.cli.main", "exec", str(HERE), "--audit", str(audit)]
    done = subprocess.run(
        [sys.executable, str(HERE / "loopback_only.py"), *emulator, "--", sys.executable, str(HERE / "agent.py")],
        cwd=home,
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    refusal = next(line for line in done.stdout.splitlines() if line.startswith("  result: {"))[len("  result: ") :]
    error = json.loads(refusal)["error"]
    assert error["details"]["missing_grant"] == {"agent_id": "agent_deploy_bot", "service": "tracker"}
    assert done.stdout == EXPECTED.format(
        all_tools=tools_of(OPERATOR), passport_tools=tools_of(PASSPORT), refusal=refusal, message=error["message"]
    )
    assert "gateway" not in done.stderr, "the CLI reached for no host that is not emulated"
    assert verify(audit.read_bytes()) == []
