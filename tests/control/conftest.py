"""A served world and the typed client of its control API, over a socket."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from stack_emu.client import ControlConnection, EmulatorClient, WorldClient
from tests.conftest import Served

SHOP = """
stack_emu: 1
name: shop
seed: 3
clock: {mode: virtual}
operator: {id: op_shop, keys: [{key: sk_live_emu_shop}]}
agents:
  - {id: agent_clerk, name: clerk, accountability_mode: logged}
  - {id: agent_idle, name: idle}
services:
  - {id: scon_orders, provider: orders, credential: canary, scopes: [read], grants: [{agent: agent_clerk}]}
missions: [{id: ms_day, agent: agent_clerk, intent: Look orders up, services: [orders], expires: 8h}]
passports: [{id: pp_day, agent: agent_clerk, mission: ms_day, env: SHOP_PASSPORT}]
upstreams:
  orders:
    hosts: [orders.example.com]
    routes:
      - when: {method: GET, path: "/orders/{id}"}
        reply: {json: {id: "{{ request.params.id }}", state: open}}
model:
  - when: {user: hello}
    turns: [{say: Hello to you.}]
"""


@pytest.fixture
def served(serve: Callable[..., Served]) -> Served:
    """The server under control, with the shop as its default world."""
    return serve(SHOP)


@pytest.fixture
def emulator(served: Served) -> Iterator[EmulatorClient]:
    """The client of an emulator that serves the shop."""
    client = EmulatorClient(served.base_url)
    yield client
    client.close()


@pytest.fixture
def shop(emulator: EmulatorClient) -> Iterator[WorldClient]:
    """The shop."""
    world = WorldClient.connect(emulator.connection.url)
    yield world
    world.close_clients()
    world.connection.close()


@pytest.fixture
def control(emulator: EmulatorClient) -> ControlConnection:
    """Requests to the control API as they stand."""
    return emulator.connection
