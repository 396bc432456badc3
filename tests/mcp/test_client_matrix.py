"""The MCP clients people use, each in an environment of its own: every tool listed, calls made, refusals seen."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.mcp.conftest import KEY
from tests.mcp.node_programs import CACHE, environment, node, packages
from tests.mcp.python_programs import python_with

CLIENTS = Path(__file__).with_name("clients")
PYTHON = {
    "mcp==1.30.0": "with_mcp1.py",
    "fastmcp==4.2.3": "with_fastmcp.py",
    "langchain-mcp-adapters==0.3.2": "with_langchain.py",
    "openai-agents==0.24.0": "with_openai_agents.py",
}
TYPESCRIPT = {"@modelcontextprotocol/sdk": "1", "@modelcontextprotocol/client": "2"}
pytestmark = pytest.mark.timeout(240)  # the first run on a machine installs them

WORLD = """
stack_emu: 1
agents: [{id: agent_deploy_bot, name: deploy-bot}]
missions: [{id: ms_deploy, agent: agent_deploy_bot, intent: Announce deploys, expires: 1h}]
passports:
  - {id: pp_deploy, agent: agent_deploy_bot, mission: ms_deploy, ttl: 15m, env: STACK_PASSPORT}
"""
MADE = ["stack_register_agent", {"name": "by-a-client"}]
REFUSED = ["stack_issue_passport", {"agent_id": "agent_deploy_bot", "intent": {"summary": "Announce", "services": []}}]
HIDING = {"mcp==1.30.0": "401 Unauthorized", "langchain-mcp-adapters==0.3.2": "401 Unauthorized"}
"""What clients show of a refused request that do not read the body of such an answer."""
MISSING = "send mission_ids with one ms_ id"
"""What the refusal says is missing."""


def python_command(requirement: str) -> list[str]:
    return [python_with(requirement), str(CLIENTS / PYTHON[requirement])]


def run_client(client: str, url: str, bearer: str, calls: list[Any]) -> dict[str, Any]:
    """Run a client's program; what it prints is what its user sees."""
    if client in PYTHON:
        command = python_command(client)
        variables = {"PATH": os.environ["PATH"], "HOME": str(CACHE / "home"), "NO_PROXY": "127.0.0.1,localhost"}
        variables |= {"PYTHONDONTWRITEBYTECODE": "1", "OPENAI_AGENTS_DISABLE_TRACING": "1"}
    else:
        command = [node(), str(CLIENTS / "with_typescript.mjs"), TYPESCRIPT[client]]
        variables = environment(PACKAGES=str(packages()))
    done = subprocess.run(
        [*command, url, bearer, json.dumps(calls)],
        env=variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def offered(served: Any) -> list[str]:
    return list(served.server.hosting.registry.tools)


@pytest.mark.parametrize("client", [*PYTHON, *TYPESCRIPT])
def test_a_client_lists_every_tool_calls_some_and_is_told_why_it_is_refused(
    serve: Callable[..., Any], client: str
) -> None:
    served = serve(WORLD)
    seen = run_client(client, f"{served.base_url}/mcp", KEY, [MADE, REFUSED, ["stack_no_such_tool", {}]])
    assert seen.get("failed") is None
    if client == "mcp==1.30.0":
        assert (seen["protocol"], seen["session"]) == ("2025-11-25", True)
    assert seen["tools"] == offered(served)
    if client == "mcp==1.30.0":  # the client of the handshake era shows how it is spoken to
        assert (seen["protocol"], seen["session"]) == ("2025-11-25", True)
    made, refused, unknown = seen["answers"]
    assert made["error"] is False
    assert json.loads(made["shown"])["name"] == "by-a-client"
    assert made["structured"]["name"] == "by-a-client"
    assert refused["error"] is True
    assert MISSING in refused["shown"]
    assert "MISSION_REQUIRED" in refused["shown"]
    assert unknown["error"] is not False
    assert [row.action for row in served.rows()][-2:] == ["agent.register", "passport.issue"]


@pytest.mark.parametrize("client", [*PYTHON, *TYPESCRIPT])
def test_a_client_with_a_revoked_passport_is_told_so(serve: Callable[..., Any], client: str) -> None:
    served = serve(WORLD)
    passport = served.server.describe(served.hosted)["passports"]["STACK_PASSPORT"]
    url = f"{served.base_url}/mcp"
    (own,) = run_client(client, url, passport, [["stack_get_agent", {"agent_id": "agent_deploy_bot"}]])["answers"]
    assert json.loads(own["shown"])["id"] == "agent_deploy_bot"
    revoked = httpx.post(
        f"{served.base_url}/v1/passports/revoke", json={"jti": "pp_deploy"}, headers={"Authorization": f"Bearer {KEY}"}
    )
    assert revoked.status_code == 200, revoked.text
    seen = run_client(client, url, passport, [])
    assert re.search(HIDING.get(client, "Passport pp_deploy has been revoked"), seen["failed"]), seen


def inspect(*arguments: str) -> subprocess.CompletedProcess[str]:
    launcher = packages() / "node_modules" / "@modelcontextprotocol" / "inspector" / "clients" / "launcher" / "build"
    command = [node(), str(launcher / "index.js"), "--cli", *arguments]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60, check=False)


def test_the_inspectors_command_line_lists_calls_and_shows_refusals(serve: Callable[..., Any]) -> None:
    served = serve(WORLD)
    common = [f"{served.base_url}/mcp", "--transport", "http", "--header", f"Authorization: Bearer {KEY}"]
    listed = inspect(*common, "--method", "tools/list")
    assert listed.returncode == 0, listed.stderr
    assert [tool["name"] for tool in json.loads(listed.stdout)["tools"]] == offered(served)
    called = ("--method", "tools/call", "--tool-name")
    made = inspect(*common, *called, "stack_register_agent", "--tool-arg", "name=by-the-inspector")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["structuredContent"]["name"] == "by-the-inspector"
    agent = ("--tool-arg", "agent_id=agent_deploy_bot")
    intent = ("--tool-arg", 'intent={"summary": "Announce", "services": []}')
    refused = inspect(*common, *called, "stack_issue_passport", *agent, *intent)
    assert MISSING in refused.stdout + refused.stderr
