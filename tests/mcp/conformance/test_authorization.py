"""The suite's authorization command: the emulator as the authorization server of its own MCP endpoint."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.mcp.conformance.suite import LATEST, program
from tests.mcp.node_programs import environment

pytestmark = pytest.mark.timeout(240)  # the first run on a machine installs the suite

WORLD = """
stack_emu: 1
oauth:
  consent: auto
  clients:
    - {id: cli_public, redirect_uris: ["http://127.0.0.1/callback"]}
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@pytest.mark.parametrize("version", ["2025-11-25", "2026-07-28"])
def test_the_authorization_server_conforms(serve: Callable[..., Any], version: str) -> None:
    """With a public client: where a server knows those, the suite does not send a secret."""
    served = serve(WORLD)
    options = ["--url", served.base_url, "--resource", f"{served.base_url}/mcp", "--spec-version", version]
    command = [*program(LATEST), "authorization", *options, "--port", str(free_port()), "--client-id", "cli_public"]
    with subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as suite:
        assert suite.stdout is not None
        printed = []
        try:
            for line in suite.stdout:
                printed.append(line)
                if line.startswith(f"{served.base_url}/oauth/authorize?"):
                    assert httpx.get(line.strip(), follow_redirects=True, timeout=20).status_code == 200
            code = suite.wait(20)
        finally:
            suite.kill()
    text = "".join(printed)
    assert code == 0, text
    assert re.findall(r"[✓✗] ([\w-]+): (\d+) passed, (\d+) failed", text) == [
        ("authorization-server-metadata-endpoint", "1", "0"),
        ("authorization-code-grant", "1", "0"),
    ], text
