"""The ``mcp`` package's own OAuth client, from a 401 to a tool call, on worlds at the root and under ``/w/<name>``."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata
from pydantic import AnyUrl

from stack_emu.scenario.loader import loads
from tests.oauth.dance import Dancer

AGENTS = "stack_emu: 1\nagents: [{id: agt_one, name: one}]\n"


class Memory:
    tokens: Any = None
    client: Any = None

    async def get_tokens(self) -> Any:
        return self.tokens

    async def set_tokens(self, tokens: Any) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> Any:
        return self.client

    async def set_client_info(self, client_info: Any) -> None:
        self.client = client_info


class Browser:
    """Follows the authorization URL and keeps what the redirect carries."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.sent: dict[str, str] = {}

    async def open(self, url: str) -> None:
        self.asked.append(url)
        async with httpx.AsyncClient(trust_env=False) as http:
            reply = await http.get(url)
        self.sent = {name: value[0] for name, value in parse_qs(urlsplit(reply.headers["Location"]).query).items()}

    async def callback(self) -> AuthorizationCodeResult:
        return AuthorizationCodeResult(code=self.sent["code"], state=self.sent["state"], iss=self.sent["iss"])


def provider(url: str, browser: Browser, memory: Memory) -> OAuthClientProvider:
    metadata = OAuthClientMetadata(client_name="mcp", redirect_uris=[AnyUrl("http://127.0.0.1:5997/callback")])
    return OAuthClientProvider(url, metadata, memory, browser.open, browser.callback)


async def call(url: str, auth: Any, tool: str, arguments: dict[str, Any]) -> Any:
    async with (
        httpx2.AsyncClient(auth=auth, timeout=20, trust_env=False) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        return await client.call_tool(tool, arguments)


@pytest.mark.parametrize("name", ["default", "apart"])
def test_the_client_signs_itself_in_and_calls_a_tool(serve: Callable[..., Any], name: str) -> None:
    served = serve(AGENTS)
    base = served.server.base_url
    if name != "default":
        served.call(lambda: served.server.hosting.create(name, loads(AGENTS)))
        base = f"{base}/w/{name}"
    browser, memory = Browser(), Memory()
    result = asyncio.run(call(f"{base}/mcp", provider(f"{base}/mcp", browser, memory), "stack_list_agents", {}))
    assert not result.is_error
    assert [agent["id"] for agent in json.loads(result.content[0].text)] == ["agt_one"]
    [asked] = browser.asked
    assert asked.startswith(f"{base}/oauth/authorize?")
    assert parse_qs(urlsplit(asked).query)["resource"] == [f"{base}/mcp"]
    assert browser.sent["iss"] == base
    world = served.server.hosting.get(name).world
    assert [row.action for row in world.audit.rows("op_emu")] == ["oauth.register", "oauth.authorize", "oauth.token"]
    assert memory.tokens.access_token not in str([vars(one) for one in world.journal.entries()])


def test_the_client_signs_itself_in_at_the_real_addresses(tmp_path: Path) -> None:
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text(AGENTS, encoding="utf-8")
    program = Path(__file__).with_name("real_hosts.py")
    emulator = [sys.executable, "-m", "stack_emu.cli.main", "exec", str(scenario)]
    done = subprocess.run(
        [*emulator, "--", sys.executable, str(program)], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == [
        "authorize at https://api.getstack.run/oauth/authorize",
        "resource https://mcp.getstack.run/mcp",
        "issuer https://api.getstack.run",
        "agents agt_one",
    ]


def test_the_documents_of_a_world_name_each_other(serve: Callable[..., Any]) -> None:
    served = serve(AGENTS)
    served.call(lambda: served.server.hosting.create("apart", loads(AGENTS)))
    root = served.base_url
    for world in ("", "/w/apart", "/w/apart/~left"):
        refused = httpx.post(f"{root}{world}/mcp", json={}, trust_env=False)
        assert refused.status_code == 401
        document = f"{root}/.well-known/oauth-protected-resource{world}/mcp"
        assert refused.headers["WWW-Authenticate"] == f'Bearer resource_metadata="{document}"'
        wrong = httpx.post(f"{root}{world}/mcp", json={}, headers={"Authorization": "Bearer oat_x"}, trust_env=False)
        assert wrong.headers["WWW-Authenticate"].startswith('Bearer error="invalid_token"')
        resource = httpx.get(document, trust_env=False).json()
        assert resource["resource"] == f"{root}{world}/mcp"
        assert resource["authorization_servers"] == [f"{root}{world}"]
        for name in ("oauth-authorization-server", "openid-configuration"):
            server = httpx.get(f"{root}/.well-known/{name}{world}", trust_env=False).json()
            assert server["issuer"] == f"{root}{world}"
            assert server["token_endpoint"] == f"{root}{world}/oauth/token"
        assert httpx.get(f"{root}/.well-known/oauth-protected-resource{world}", trust_env=False).status_code == 200
    assert httpx.get(f"{root}/.well-known/oauth-protected-resource/else", trust_env=False).status_code == 404


def test_a_token_of_one_world_is_nothing_in_another(serve: Callable[..., Any]) -> None:
    served = serve(AGENTS)
    served.call(lambda: served.server.hosting.create("apart", loads(AGENTS), seed=5))
    tokens = Dancer(served.base_url, {}).sign_in()
    other = Dancer(f"{served.base_url}/w/apart")
    assert other.get("/v1/agents", tokens["access_token"]).status_code == 401
    assert (
        Dancer(f"{served.base_url}/w/apart", {})
        .authorize(resource=f"{served.base_url}/mcp")
        .headers["Location"]
        .count("error=invalid_target")
        == 1
    )


def test_a_tool_beyond_the_tokens_scopes_is_a_challenge_that_names_the_scope(serve: Callable[..., Any]) -> None:
    served = serve(AGENTS)
    dancer = Dancer(served.base_url, {})
    token = dancer.sign_in(scope="audit:read")["access_token"]
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "stack_list_agents"}}
    refused = dancer.http.post(
        f"{served.base_url}/mcp",
        json=message,
        headers={"Authorization": f"Bearer {token}", "Accept": "application/json"},
    )
    assert refused.status_code == 403
    challenge = refused.headers["WWW-Authenticate"]
    assert 'error="insufficient_scope"' in challenge
    assert 'scope="agents:read"' in challenge
    assert "/.well-known/oauth-protected-resource/mcp" in challenge
    assert refused.json()["error"]["data"]["details"]["missing_scope"] == "agents:read"


def test_the_client_steps_up_when_it_is_challenged(serve: Callable[..., Any]) -> None:
    served = serve(AGENTS)
    browser, memory = Browser(), Memory()
    url = f"{served.base_url}/mcp"
    signed = provider(url, browser, memory)

    async def both() -> Any:
        await call(url, signed, "stack_list_agents", {})
        limited = Dancer(served.base_url)
        limited.client_id = memory.client.client_id
        narrow = limited.refresh(memory.tokens.refresh_token, scope="audit:read").json()
        memory.tokens = memory.tokens.model_copy(update={**narrow})
        return await call(url, provider(url, browser, memory), "stack_list_agents", {})

    result = asyncio.run(both())
    assert not result.is_error
    assert len(browser.asked) == 2
    assert set(parse_qs(urlsplit(browser.asked[1]).query)["scope"][0].split()) == {"audit:read", "agents:read"}
