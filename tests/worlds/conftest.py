"""An emulator in this process, and worlds with a life in them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stack_emu.client import EmulatorClient, WorldClient
from stack_emu.emulator import Emulator

KEY = "sk_live_emu_whole"
SLACK = "https://slack.com/api"
SCENARIO = f"""
stack_emu: 1
name: whole
seed: 3
clock: {{mode: virtual, start: 2026-01-01T00:00:00Z}}
operator: {{id: op_whole, keys: [{{key: {KEY}}}]}}
agents: [{{id: agt_one, name: one-bot, accountability_mode: logged}}]
services:
  - id: scon_slack
    provider: slack
    credential: canary
    upstream: slack
    scopes: [chat:write, channels:history]
    grants: [{{agent: agt_one, scopes: [chat:write, channels:history]}}]
upstreams:
  slack: {{hosts: [slack.com], pack: slack, seed: {{channels: [{{id: C0ENGINEER, name: engineering}}]}}}}
missions: [{{id: ms_one, agent: agt_one, intent: Announce, services: [slack], expires: 24h}}]
passports: [{{id: pp_one, agent: agt_one, mission: ms_one, ttl: 1h, env: PASSPORT}}]
model: [{{when: {{user: hello}}, turns: [{{say: Hello.}}]}}]
"""


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scenario in a file."""
    file = tmp_path_factory.mktemp("worlds") / "whole.yaml"
    file.write_text(SCENARIO)
    return file


@pytest.fixture(scope="module")
def running() -> Iterator[Emulator]:
    """An emulator whose default world is empty."""
    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def emulator(running: Emulator) -> Iterator[EmulatorClient]:
    """Its client; worlds a test made are gone afterwards."""
    with EmulatorClient(running.base_url) as client:
        yield client
        for world in client.worlds():
            if world.name != "default":
                client.remove_world(world.name)


@pytest.fixture
def world(emulator: EmulatorClient, scenario: Path) -> WorldClient:
    """A world of the scenario."""
    return emulator.create_world("first", scenario=scenario)


def post(world: WorldClient, text: str) -> Any:
    """Say something in Slack, as the scenario's agent."""
    body = {"channel": "C0ENGINEER", "text": text}
    passport = world.description["passports"]["PASSPORT"]
    with world.stack() as stack:
        return stack.proxy.post("slack", f"{SLACK}/chat.postMessage", body=body, passport_token=passport).body


def said(world: WorldClient) -> list[str]:
    """What was said in Slack, oldest last."""
    passport = world.description["passports"]["PASSPORT"]
    with world.stack() as stack:
        url = f"{SLACK}/conversations.history?channel=C0ENGINEER"
        return [one["text"] for one in stack.proxy.get("slack", url, passport_token=passport).body["messages"]]
