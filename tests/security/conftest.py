"""A served world for the tests of a whole module: they read it, are refused by it, or put it back as it was."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from stack_emu.hosting import Hosting
from stack_emu.scenario.loader import loads
from stack_emu.surfaces.server import Server
from tests.conftest import Served


@pytest.fixture(scope="module")
def serve_all(_loop: asyncio.AbstractEventLoop) -> Iterator[Callable[..., Served]]:
    """``serve_all(yaml, name=yaml, …) -> Served``: the first scenario at the root, the others as worlds of those names."""
    running: list[Server] = []

    def run(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, _loop).result(30)

    def start(text: str = "stack_emu: 1\n", **others: str) -> Served:
        def load() -> Hosting:
            hosting = Hosting()
            hosting.create("default", loads(text))
            for name, scenario in others.items():
                hosting.create(name, loads(scenario))
            return hosting

        server = Server(load)

        async def begin() -> None:
            await server.start()
            await server.ready()

        run(begin())
        running.append(server)
        return Served(server, _loop)

    yield start
    for server in running:
        run(server.stop())
