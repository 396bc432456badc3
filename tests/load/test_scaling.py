"""Two emulators behind a load balancer that hashes on the world: every surface of a world is answered by one process."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import getstack
import httpx
import pytest
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

from stack_emu.client import EmulatorClient, EmulatorError, WorldClient

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))
sys.path.insert(0, str(ROOT / "benchmarks" / "scaling"))

import two  # noqa: E402 - a benchmark's folder is no package

WORLDS = [f"world-{number:02}" for number in range(12)]
KEY = "sk_live_emu_scaled"
SCENARIO = f"""
stack_emu: 1
name: scaled
operator: {{id: op_scaled, keys: [{{key: {KEY}}}]}}
agents: [{{id: agent_one, name: one, accountability_mode: logged}}]
services: [{{id: scon_echo, provider: echo, scopes: [read], grants: [{{agent: one}}]}}]
missions: [{{id: ms_one, agent: one, intent: Look, services: [echo], expires: 1h}}]
passports: [{{id: pp_one, agent: one, mission: ms_one, ttl: 15m, env: STACK_PASSPORT}}]
upstreams: {{echo: {{hosts: [echo.example.com], routes: [{{when: {{path: /x}}, reply: {{json: {{ok: true}}}}}}]}}}}
model:
  - when: {{user: look}}
    turns: [{{call: {{tool: stack_get_agent, input: {{agent_id: agent_one}}}}}}, {{say: "{{{{ result.name }}}} is here."}}]
"""


@dataclass(frozen=True)
class Site:
    """A balancer and the two processes behind it."""

    url: str
    processes: list[dict[str, Any]]

    def held(self) -> list[list[str]]:
        return [sorted(set(two.worlds_of(one)) - {"default"}) for one in self.processes]


@pytest.fixture(scope="module")
def processes() -> Iterator[list[dict[str, Any]]]:
    with two.emulators() as ready:
        yield ready


@pytest.fixture(scope="module", params=sorted(two.CONFIGURATIONS))
def site(
    request: pytest.FixtureRequest, processes: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Both processes anew, each balancer in turn in front of them. A missing one fails: apt-get install nginx-light haproxy."""
    ports = [int(one["base_url"].rpartition(":")[2]) for one in processes]
    with two.balanced(request.param, ports, tmp_path_factory.mktemp(request.param)) as url:
        client = EmulatorClient(url)
        for name in WORLDS:
            client.create_world(name, scenario_yaml=SCENARIO)
        yield Site(url, processes)
        for name in WORLDS:
            client.remove_world(name)
            client.remove_world(name)  # what is not there is removed already
        client.close()
    assert [two.worlds_of(one) for one in processes] == [["default"], ["default"]]


@pytest.fixture
def worlds(site: Site) -> Iterator[list[WorldClient]]:
    client = EmulatorClient(site.url)
    yield [client.world(name) for name in WORLDS]
    client.close()


def test_every_world_is_in_one_process_and_both_have_some(site: Site) -> None:
    first, second = site.held()
    assert sorted(first + second) == WORLDS
    assert first
    assert second
    for names, other in ((first, site.processes[1]), (second, site.processes[0])):
        client = EmulatorClient(other["base_url"])
        for name in names:
            with pytest.raises(EmulatorError, match=f"no world named {name}; create it with PUT /w/{name}/_emu/world"):
                client.world(name)
        client.close()


def test_the_urls_a_world_is_described_with_lead_through_the_balancer(site: Site, worlds: list[WorldClient]) -> None:
    for world in worlds:
        assert world.base_url == f"{site.url}/w/{world.name}"
        assert world.mcp_url == f"{site.url}/w/{world.name}/mcp"
        assert world.anthropic_base_url == f"{site.url}/w/{world.name}/anthropic"


def test_rest_calls_and_the_proxy_stay_with_their_world(worlds: list[WorldClient]) -> None:
    for number, world in enumerate(worlds):
        stack = getstack.Stack(KEY, base_url=world.base_url)
        before = stack.audit.chain_head()["entry_count"]
        for call in range(number % 3 + 1):
            stack.agents.register(f"{world.name}-{call}")
        token = world.description["passports"]["STACK_PASSPORT"]
        reply = stack.proxy.get("echo", "https://echo.example.com/x", passport_token=token)
        assert reply.body == {"ok": True}
        assert stack.audit.chain_head()["entry_count"] == before + number % 3 + 2
        assert {agent.name for agent in stack.agents.list()} >= {f"{world.name}-0"}
        stack.close()


def test_an_mcp_session_finds_its_process_on_every_request(worlds: list[WorldClient]) -> None:
    async def look(world: WorldClient) -> tuple[str | None, list[str]]:
        headers = {"Authorization": f"Bearer {KEY}"}
        async with (
            httpx.AsyncClient(headers=headers, timeout=60, trust_env=False) as client,
            streamable_http_client(world.mcp_url, http_client=client) as streams,
            ClientSession(*streams[:2]) as session,
        ):
            await session.initialize()
            said = [await session.call_tool("stack_get_agent", {"agent_id": "agent_one"}) for _ in range(3)]
            return None, [json.loads(one.content[0].text)["id"] for one in said]

    async def all_at_once() -> list[Any]:
        return await asyncio.gather(*map(look, worlds))

    assert asyncio.run(all_at_once()) == [(None, ["agent_one"] * 3)] * len(worlds)


def test_metadata_stands_behind_well_known_names_of_the_right_process(site: Site, worlds: list[WorldClient]) -> None:
    for world in worlds:
        for name, key, value in (
            (f"oauth-protected-resource/w/{world.name}/mcp", "resource", world.mcp_url),
            (f"oauth-authorization-server/w/{world.name}", "issuer", world.base_url),
            (f"openid-configuration/w/{world.name}", "issuer", world.base_url),
        ):
            answer = httpx.get(f"{site.url}/.well-known/{name}", trust_env=False, timeout=60)
            assert answer.json()[key] == value, answer.text


def test_the_messages_api_dials_the_connector_through_the_balancer(worlds: list[WorldClient]) -> None:
    for world in worlds[:4]:
        with anthropic.Anthropic(api_key="any", base_url=world.anthropic_base_url, max_retries=0) as claude:
            said = claude.beta.messages.create(
                model="claude-opus-5-5",
                max_tokens=100,
                messages=[{"role": "user", "content": "look"}],
                mcp_servers=[{"type": "url", "name": "stack", "url": world.mcp_url, "authorization_token": KEY}],
                tools=[{"type": "mcp_toolset", "mcp_server_name": "stack"}],
                betas=["mcp-client-2025-11-20"],
            )
        assert said.content[-1].text == "one is here."


def test_the_control_api_reaches_the_process_of_the_world_it_names(site: Site, worlds: list[WorldClient]) -> None:
    for world in worlds:
        assert world.snapshot("before") == "before"
        httpx.post(
            f"{world.base_url}/v1/agents/register",
            json={"name": f"late-{world.name}"},
            headers={"Authorization": f"Bearer {KEY}"},
            trust_env=False,
            timeout=60,
        ).raise_for_status()
        assert f'"name":"late-{world.name}"' in world.audit.canonical().decode()
        world.restore("before")
        assert f"late-{world.name}" not in world.audit.canonical().decode()
    first, second = site.held()
    assert sorted(first + second) == WORLDS


def test_a_fork_is_made_where_its_name_belongs_or_refused_by_name(site: Site, worlds: list[WorldClient]) -> None:
    first, second = site.held()
    there = {name: number for number, names in enumerate((first, second)) for name in names}
    made = refused = 0
    for world in worlds:
        other = next(name for name in WORLDS if name != world.name)
        if there[other] == there[world.name]:
            fork = world.fork(other)
            assert fork.base_url == f"{site.url}/w/{other}"
            made += 1
        else:
            with pytest.raises(EmulatorError, match=f"There is no world {world.name}; there is"):
                world.fork(other)
            refused += 1
    assert made
    assert refused
    assert site.held() == [first, second]


def test_the_lines_the_page_shows_are_those_of_the_tested_configurations() -> None:
    page = (ROOT / "docs" / "scaling.md").read_text("utf-8")
    for kind, fence in (("nginx", "```nginx\n"), ("haproxy", "```haproxy\n")):
        shown = page.partition(fence)[2].partition("```")[0]
        assert shown.strip(), f"docs/scaling.md shows nothing of {kind}"
        assert shown in two.CONFIGURATIONS[kind].read_text("utf-8")


def test_the_workers_of_a_test_suite_share_one_address(processes: list[dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "scaled.yaml").write_text(SCENARIO, "utf-8")
    (tmp_path / "test_spread.py").write_text(
        "import pytest\n\n\n"
        "@pytest.mark.parametrize('number', range(12))\n"
        "@pytest.mark.stack_emu(scenario='scaled.yaml')\n"
        "def test_a_world_of_its_own(stack_emu, number):\n"
        "    stack = stack_emu.stack()\n"
        "    stack.agents.register(f'agent-{number}')\n"
        "    assert [agent.name for agent in stack.agents.list()] == ['one', f'agent-{number}']\n"
        f"    with open({str(tmp_path / 'urls')!r}, 'a') as urls:\n"
        "        urls.write(stack_emu.base_url + '\\n')\n",
        "utf-8",
    )
    options = ["-q", "-n", "2", "-p", "no:cacheprovider", "-p", "no:randomly", "-c", "/dev/null"]
    ports = [int(one["base_url"].rpartition(":")[2]) for one in processes]
    with two.balanced("nginx", ports, tmp_path) as url:
        command = [sys.executable, "-m", "pytest", *options, "--rootdir", str(tmp_path), "--stack-emu-url", url]
        done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, timeout=110, check=False)
    assert "12 passed" in done.stdout, done.stdout + done.stderr
    urls = (tmp_path / "urls").read_text("utf-8").splitlines()
    assert len(urls) == len(set(urls)) == 12
    assert all(one.startswith(f"{url}/w/") for one in urls)
    left = {name for one in processes for name in two.worlds_of(one)} - {"default", *WORLDS}
    assert left == set()  # each test's own world is gone again
