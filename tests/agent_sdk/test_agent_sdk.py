"""The Claude Agent SDK with its bundled CLI works against STACK's MCP server, with nothing but loopback to reach.

Not part of the default suite, because the CLI is 380 MB: `make test-agent-sdk` installs it and runs this.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import claude_agent_sdk

from stack_emu.domain.canonical_audit import verify

HERE = Path(__file__).parent
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


def test_an_agent_works_with_a_key_and_with_a_passport_until_it_is_revoked(tmp_path: Path) -> None:
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
    assert done.stdout == EXPECTED
    assert "gateway" not in done.stderr, "the CLI reached for no host that is not emulated"
    assert verify(audit.read_bytes()) == []
