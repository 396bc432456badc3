"""A served world and the typed client of its control API, over a socket."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jsonschema
import pytest

from stack_emu.client import ControlConnection, EmulatorClient, WorldClient
from stack_emu.surfaces.control_document import ROUTES, control_document
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


DOCUMENT = control_document("test", ROUTES)
PATTERNS = {
    (method, re.compile("(/w/[^/]+)?" + re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)))): operation
    for path, each in DOCUMENT["paths"].items()
    for method, operation in each.items()
}


@pytest.fixture(autouse=True)
def as_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every reply a client gets in these tests is what the document says."""
    plain = ControlConnection.request

    def request(self: ControlConnection, method: str, path: str, body: Mapping[str, Any] | None = None) -> bytes:
        data = plain(self, method, path, body)
        found = [
            operation
            for (of, pattern), operation in PATTERNS.items()
            if of == method.lower() and pattern.fullmatch(path.partition("?")[0])
        ]
        if found:  # a test may ask for what is not there
            content = found[0]["responses"]["200"]["content"]
            if "application/json" in content:
                jsonschema.validate(json.loads(data), content["application/json"]["schema"])
            if body is not None and "requestBody" in found[0]:
                jsonschema.validate(body, found[0]["requestBody"]["content"]["application/json"]["schema"])
        return data

    monkeypatch.setattr(ControlConnection, "request", request)


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
