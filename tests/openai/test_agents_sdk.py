"""An unchanged program on the OpenAI Agents SDK, under `stack-emu exec`: its calls reach the fake Slack and the audit."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.mcp.python_programs import python_with
from tests.scenarios.conftest import run

HERE = Path(__file__).parent / "agents"
pytestmark = pytest.mark.timeout(240)  # the first run on a machine installs the SDK
ITEMS = {
    "server": ["message_output_item", "tool_call_item", "tool_call_output_item", "message_output_item"],
    "functions": ["tool_call_item"] * 2 + ["tool_call_output_item"] * 2 + ["message_output_item"],
    "hosted": ["mcp_list_tools_item", "message_output_item", "tool_call_item", "message_output_item"],
    "hosted-approved": [
        "mcp_list_tools_item",
        "message_output_item",
        "mcp_approval_request_item",
        "mcp_approval_response_item",
        "tool_call_item",
        "message_output_item",
    ],
}


@pytest.mark.parametrize(
    "way",
    [
        "server",
        "server-streamed",
        "server-chat",
        "functions",
        "functions-chat",
        "hosted",
        "hosted-streamed",
        "hosted-approved",
    ],
)
def test_a_loop_ends_at_slack_and_in_the_audit(way: str, tmp_path: Path) -> None:
    python = python_with("openai-agents==0.24.0")
    audit = tmp_path / "audit.jsonl"
    emulator = [sys.executable, "-m", "stack_emu.cli.main", "exec", ".", "--audit", str(audit)]
    # The scenario expects one message in Slack, its row in the audit and no leak: else the command fails.
    ran = run(*emulator, "--", python, "agent.py", way, cwd=HERE).ok()
    seen = json.loads(ran.out.splitlines()[-1])
    assert seen["said"] == ("Posted: True, 2 words" if way.startswith("functions") else "Posted: True")
    expected = ITEMS.get(way) or ITEMS[way.partition("-")[0]]
    assert seen["items"] == expected
    assert seen["asked"] == (["stack_proxy_request"] if way == "hosted-approved" else [])
    assert "Tracing" not in ran.err, "the traces the SDK sends are taken"
    rows = [json.loads(line) for line in audit.read_text().splitlines()[:-1]]
    [proxied] = [row for row in rows if row["action"] == "credential.proxy"]
    assert (proxied["outcome"], proxied["agent"], proxied["passport"]) == ("success", "agent_deploy_bot", "pp_deploy")
