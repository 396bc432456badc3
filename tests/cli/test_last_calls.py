"""Calls still under way when a command ends: waited for a little, then settled as of unknown outcome."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCENARIO = """
stack_emu: 1
agents: [{id: agent_a, name: aa, accountability_mode: logged}]
services: [{id: scon_x, provider: x, scopes: [read], grants: [{agent: agent_a}]}]
missions: [{id: ms_a, agent: agent_a, intent: Look, services: [x]}]
passports: [{id: pp_a, agent: agent_a, mission: ms_a, env: TOKEN}]
upstreams: {x: {hosts: [x.example.com], routes: [{reply: {json: {}, delay: DELAY}}]}}
"""
LEAVES_AT_ONCE = """
import json, os, socket
from urllib.parse import urlsplit

at = urlsplit(os.environ["STACK_BASE_URL"])
body = json.dumps({"service": "x", "url": "https://x.example.com/", "method": "GET"}).encode()
head = f"POST /v1/proxy HTTP/1.1\\r\\nHost: {at.netloc}\\r\\nAuthorization: Bearer {os.environ['TOKEN']}\\r\\n"
head += f"Content-Type: application/json\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n"
with socket.create_connection((at.hostname, at.port)) as there:
    there.sendall(head.encode() + body)
    there.settimeout(0.3)
    try:
        there.recv(1)
    except TimeoutError:
        pass
"""


@pytest.mark.parametrize(
    ("delay", "outcome"), [("800ms", ("success", None)), ("25s", ("failure", "INTERRUPTED"))], ids=["short", "long"]
)
def test_a_command_that_leaves_in_the_middle_of_a_call(tmp_path: Path, delay: str, outcome: tuple[str, object]) -> None:
    scenario, audit = tmp_path / "s.yaml", tmp_path / "audit.jsonl"
    scenario.write_text(SCENARIO.replace("DELAY", delay), "utf-8")
    command = [sys.executable, "-m", "stack_emu.cli.main", "exec", str(scenario), "--audit", str(audit), "--"]
    done = subprocess.run(
        [*command, sys.executable, "-c", LEAVES_AT_ONCE], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in audit.read_text("utf-8").splitlines()[:-1]]
    assert [(row["outcome"], row.get("code")) for row in rows if row["action"] == "credential.proxy"] == [outcome]
