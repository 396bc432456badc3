"""The same two questions through each framework: what its user sees, what the services got and what the log says.

The logs are equal byte for byte, whichever framework made the calls, in whichever language and on whichever run. Only
STACK's Python SDK adds something of its own: it gives its writes an authority request id, so the log of its agents is
another one.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from stack_emu.domain.canonical_audit import diff, verify
from tests.agents.programs import HERE, command
from tests.scenarios.conftest import stack_emu

WORLD = HERE / "triage"
MCP_TOOLS = [
    ("connector.py",),
    ("connector.py", "--stream"),
    ("mcp_tools.py",),
    ("langchain_agent.py",),
    ("openai_agent.py",),
    ("openai_agent.py", "--hosted"),
    ("connector.mjs",),
    ("connector.mjs", "--stream"),
    ("mcp_tools.mjs",),
]
OWN_TOOLS = [("client_tools.py",), ("async_client_tools.py",), ("client_tools.mjs",)]
REFUSAL = "Proxy request for payroll not in passport scope; passport pp_triage is granted github, slack"
pytestmark = pytest.mark.timeout(240)  # the first run on a machine installs the frameworks


def transcript(posted_at: str, *calls: str) -> str:
    """What an agent prints that makes these calls: three for the first question, one for the second."""
    read, announce, comment, salaries = (f"call       {call}" for call in calls)
    lines = ["user       Triage issue 7.", "assistant  I will read the issue.", read, "result     ok"]
    lines += ["assistant  I will announce it.", announce, "result     ok", comment, "result     ok"]
    lines += [f"assistant  Announced #7: Announced at {posted_at}.", "user       And now the salaries, please."]
    return "\n".join([*lines, salaries, "result     refused", f"assistant  I was refused: {REFUSAL}", ""])


BY_MCP = transcript(
    "1767329707.568024",
    "GET https://api.github.com/repos/acme/shop/issues/7",
    "POST https://slack.com/api/chat.postMessage",
    "POST https://api.github.com/repos/acme/shop/issues/7/comments",
    "GET https://payroll.example.com/v1/salaries",
)
BY_OWN_TOOLS = ("read_issue", "announce", "comment", "read_salaries")


def run_agent(program: str, *arguments: str, folder: Path) -> tuple[str, bytes]:
    """Run an agent under `exec`, which checks the scenario's expectations; what it printed, and the canonical log."""
    audit = folder / "audit.jsonl"
    started = [*command(WORLD / program, folder), *arguments]
    hashes = {"PYTHONHASHSEED": str(sum(map(ord, " ".join([program, *arguments]))))}  # another one for each agent
    ran = stack_emu("exec", str(WORLD), "--audit", str(audit), "--", *started, env=hashes).ok()
    assert ran.err == "", "no warning of the SDKs, no word of the emulator"
    return ran.out, audit.read_bytes()


def equal_to_golden(golden: str, log: bytes) -> None:
    expected = (WORLD / golden).read_bytes()
    assert log == expected, diff(expected, log)
    assert verify(log) == []


@pytest.mark.parametrize("agent", MCP_TOOLS, ids=" ".join)
def test_an_agent_with_stack_s_own_tools(agent: tuple[str, ...], tmp_path: Path) -> None:
    printed, log = run_agent(*agent, folder=tmp_path)
    assert printed == BY_MCP
    equal_to_golden("audit.jsonl", log)


@pytest.mark.parametrize("agent", OWN_TOOLS, ids=" ".join)
def test_an_agent_with_tools_that_call_stack(agent: tuple[str, ...], tmp_path: Path) -> None:
    printed, log = run_agent(*agent, folder=tmp_path)
    posted_at = printed.partition("Announced at ")[2].partition(".\n")[0]
    assert printed == transcript(posted_at, *BY_OWN_TOOLS)
    equal_to_golden("audit.jsonl" if agent[0].endswith(".mjs") else "audit-python-sdk.jsonl", log)


def test_an_agent_that_does_nothing_of_it_fails_the_run() -> None:
    ran = stack_emu("exec", str(WORLD), "--", sys.executable, "-c", "pass")
    assert ran.code == 70
    assert "expected exactly 1 POST /api/chat.postMessage to slack, saw 0" in ran.err
    assert "'service': 'payroll', 'code': 'FORBIDDEN'}, saw 0" in ran.err
