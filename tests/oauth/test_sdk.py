"""The ``getstack`` SDK, unmodified: sign-in in a browser, the credentials file, ``from_oauth``, enrollment by a person."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from getstack import AsyncStack, Stack
from getstack.auth import CredentialsFileAuth
from getstack.errors import UnauthorizedError

from stack_emu.scenario.loader import loads
from tests.oauth.dance import Dancer

AGENTS = "stack_emu: 1\nagents: [{id: agt_one, name: one}]\n"
FIRST_RUN = Path(__file__).with_name("first_run.py")
BROWSER = """\
import sys, urllib.request
urllib.request.build_opener(urllib.request.ProxyHandler({})).open(sys.argv[1], timeout=20).read()
"""


def first_run(home: Path, base_url: str, agent_id: str = "-", browsing: str = BROWSER) -> tuple[int, str]:
    """Run the program at a terminal, with a browser that goes where it is sent; returns its code and what it printed."""
    browser = home / "browser"
    browser.write_text(f"#!{sys.executable}\n{browsing}")
    browser.chmod(browser.stat().st_mode | stat.S_IXUSR)
    kept = {name: value for name, value in os.environ.items() if name not in ("CI", "STACK_API_KEY")}
    env = {**kept, "HOME": str(home), "BROWSER": f"{browser} %s", "STACK_DASHBOARD_URL": base_url, "TERM": "dumb"}
    ours, theirs = pty.openpty()
    command = [sys.executable, str(FIRST_RUN), base_url, agent_id]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env) as process:
        os.close(theirs)
        said = b""
        try:
            while part := os.read(ours, 65536):
                said += part
        except OSError:  # how a terminal ends on Linux
            pass
        finally:
            os.close(ours)
        return process.wait(60), said.decode()


@pytest.mark.parametrize("name", ["default", "apart"])
def test_the_first_run_signs_in_and_the_next_one_has_a_credentials_file(
    serve: Callable[..., Any], tmp_path: Path, name: str
) -> None:
    served = serve(AGENTS)
    base = served.base_url
    if name != "default":
        served.call(lambda: served.server.hosting.create(name, loads(AGENTS)))
        base = f"{base}/w/{name}"
    code, said = first_run(tmp_path, base)
    assert code == 0, said
    assert 'SEEN ["agt_one"]' in said
    file = tmp_path / ".stack" / "credentials.json"
    first = json.loads(file.read_text())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    code, said = first_run(tmp_path, base)
    assert code == 0, said
    second = json.loads(file.read_text())
    assert second["client_id"] == first["client_id"]
    assert second["refresh_token"] != first["refresh_token"]
    rows = served.server.hosting.get(name).world.audit.rows("op_emu")
    assert [row.action for row in rows].count("oauth.register") == 1


def test_a_denied_sign_in_ends_the_program_with_the_reason(serve: Callable[..., Any], tmp_path: Path) -> None:
    code, said = first_run(tmp_path, serve(AGENTS + "oauth: {consent: deny}\n").base_url)
    assert code != 0
    assert "access_denied" in said
    assert not (tmp_path / ".stack" / "credentials.json").exists()


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_two_programs_may_hold_the_same_credentials_file(serve: Callable[..., Any], tmp_path: Path, kind: str) -> None:
    served = serve(AGENTS)
    dancer = Dancer(served.base_url, {})
    file = tmp_path / "credentials.json"
    file.write_text(json.dumps({"client_id": dancer.client_id, "refresh_token": dancer.sign_in()["refresh_token"]}))
    holders = [CredentialsFileAuth(file, served.base_url) for _ in range(2)]
    for _ in range(3):
        for holder in holders:
            holder._access_expires_at = 0  # as if its five minutes were over
            assert listed(kind, served.base_url, holder) == ["agt_one"]
    assert [row.outcome for row in served.rows()].count("blocked") == 0
    assert {row.metadata.get("repeated") for row in served.rows()} == {None, True}


def listed(kind: str, base_url: str, auth: Any) -> list[str]:
    if kind == "sync":
        with Stack(base_url=base_url, _auth=auth) as stack:
            return [agent.id for agent in stack.agents.list()]

    async def ask() -> list[str]:
        async with AsyncStack(base_url=base_url, _auth=auth) as stack:
            return [agent.id for agent in await stack.agents.list()]

    return asyncio.run(ask())


def test_from_oauth_uses_its_access_token_and_the_older_path_refreshes_it(serve: Callable[..., Any]) -> None:
    served = serve(AGENTS)
    dancer = Dancer(served.base_url, {})
    tokens = dancer.sign_in()
    endpoint = f"{served.base_url}/v1/oauth/token"
    with Stack.from_oauth(
        dancer.client_id,
        "",
        tokens["access_token"],
        tokens["refresh_token"],
        token_endpoint=endpoint,
        base_url=served.base_url,
    ) as stack:
        assert [agent.id for agent in stack.agents.list()] == ["agt_one"]
        stack._client.auth.expires_at = 1.0
        assert [agent.id for agent in stack.agents.list()] == ["agt_one"]
        assert stack._client.auth.refresh_token != tokens["refresh_token"]
        dancer.http.post(
            f"{served.base_url}/oauth/revoke",
            data={"client_id": dancer.client_id, "token": stack._client.auth.refresh_token},
        )
        with pytest.raises(UnauthorizedError, match="revoked"):
            stack.agents.list()


def test_an_agents_first_run_enrolls_its_key_with_a_persons_approval(serve: Callable[..., Any], tmp_path: Path) -> None:
    served = serve(AGENTS)
    code, said = first_run(tmp_path, served.base_url, "agt_one")
    assert code == 0, said
    assert 'SEEN ["agt_one"]' in said
    assert (tmp_path / ".stack" / "agents" / "agt_one.json").exists()
    actions = [row.action for row in served.rows()]
    assert actions == ["agent.enrollment_request", "agent.enrollment_challenge", "agent.enroll"]


def test_an_enrollment_that_is_denied_ends_the_program(serve: Callable[..., Any], tmp_path: Path) -> None:
    code, said = first_run(tmp_path, serve(AGENTS + "oauth: {consent: deny}\n").base_url, "agt_one")
    assert code != 0
    assert "access_denied" in said
    assert not (tmp_path / ".stack" / "agents" / "agt_one.json").exists()
