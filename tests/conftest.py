"""Fixtures every test may use: a served world on a real socket, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml  # noqa: F401  - pytester forgets what its tests import first, and libyaml's parser bears no second loading

from stack_emu.hosting import HostedWorld, Hosting
from stack_emu.scenario.loader import loads
from stack_emu.scenario.models import Scenario
from stack_emu.surfaces.server import Server
from tests import evidence

KEY = "sk_live_emu_operator"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-evidence", action="store_true", help="rewrite stack_emu/evidence.json from this run")


def pytest_configure(config: pytest.Config) -> None:
    evidence.watch_refusals()
    evidence.watch_sdk()
    config.pluginmanager.register(evidence.EvidencePlugin(config), "stack-emu-evidence")


@dataclass
class Served:
    """A running server with one world, reached over loopback by real clients."""

    server: Server
    loop: asyncio.AbstractEventLoop

    @property
    def base_url(self) -> str:
        return self.server.base_url

    @property
    def hosted(self) -> HostedWorld:
        hosted = self.server.hosting.get("default")
        assert hosted is not None
        return hosted

    @property
    def world(self) -> Any:
        return self.hosted.world

    def rows(self, operator_id: str = "op_emu") -> list[Any]:
        return self.world.audit.rows(operator_id)

    def call(self, function: Callable[[], Any]) -> Any:
        """Run a function in the server's loop thread."""

        async def run() -> Any:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(10)

    def advance(self, milliseconds: int) -> int:
        return self.call(lambda: self.world.advance(milliseconds))


@pytest.fixture(scope="session")
def _loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)
    loop.close()


@pytest.fixture
def serve(_loop: asyncio.AbstractEventLoop) -> Iterator[Callable[..., Served]]:
    """Serve a scenario given as YAML text (or the default one): ``serve(yaml) -> Served``."""
    running: list[Server] = []

    def start(text: str | None = None, **options: Any) -> Served:
        scenario = Scenario.default() if text is None else loads(text)

        def load() -> Hosting:
            hosting = Hosting()
            hosting.create("default", scenario, **options)
            return hosting

        server = Server(load)

        async def begin() -> None:
            await server.start()
            await server.ready()

        asyncio.run_coroutine_threadsafe(begin(), _loop).result(20)
        running.append(server)
        return Served(server, _loop)

    yield start
    for server in running:
        asyncio.run_coroutine_threadsafe(server.stop(), _loop).result(10)
