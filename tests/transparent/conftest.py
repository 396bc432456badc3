"""An emulator with two worlds that can be told apart by what any client sees of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stack_emu.client import WorldClient
from stack_emu.emulator import Emulator

SCENARIO = """
stack_emu: 1
agents: [{{id: agent_{name}, name: {name}}}]
upstreams:
  slack: {{hosts: [slack.com], pack: slack, seed: {{channels: [{{name: engineering}}]}}}}
  incidents:
    hosts: [incidents.example.com, "*.deep.example.com"]
    routes: [{{when: {{method: GET}}, reply: {{json: {{world: {name}}}}}}}]
services: [{{id: scon_slack, provider: slack, scopes: [chat:write], upstream: slack}}]
model: [{{when: {{user: which world}}, turns: [{{say: {name}}}]}}]
"""


@pytest.fixture(scope="session")
def emulator() -> Iterator[Emulator]:
    with Emulator() as emulator:
        yield emulator


@pytest.fixture(scope="session")
def _worlds(emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> dict[str, WorldClient]:
    folder: Path = tmp_path_factory.mktemp("worlds")
    made = {}
    for name in ("blue", "red"):
        (folder / f"{name}.yaml").write_text(SCENARIO.format(name=name))
        made[name] = emulator.world(name, scenario=folder / f"{name}.yaml", strict=True)
    return made


@pytest.fixture
def blue(_worlds: dict[str, WorldClient]) -> WorldClient:
    _worlds["blue"].reset()
    return _worlds["blue"]


@pytest.fixture
def red(_worlds: dict[str, WorldClient]) -> WorldClient:
    _worlds["red"].reset()
    return _worlds["red"]
