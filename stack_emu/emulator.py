"""An emulator in this process: a server and its gateway in a thread of their own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from stack_emu.client import EmulatorClient, WorldClient
from stack_emu.scenario.composition import Choices
from stack_emu.scenario.models import Scenario
from stack_emu.surfaces.server import Server

if TYPE_CHECKING:
    from stack_emu.hosting import HostedWorld, Hosting
    from stack_emu.surfaces.host_gateway import HostGateway

T = TypeVar("T")


class Emulator:
    """Worlds served from a thread, so that clients which block their own event loop cannot starve it.

    Use it as a context manager, or call ``start`` and ``stop``.

    Args:
        scenario: a file, a folder or a loaded scenario for the default world; the empty one when left out.
        host: address to bind; loopback unless asked otherwise.
        port: 0 picks a free one.
        seed: instead of the scenario's.
        clock: ``real`` or ``virtual`` instead of the scenario's.
        strict: instead of the scenario's.
        overlays: names of the overlays to lay over the scenario in a file, in order.
        variables: values of its variables, instead of those it gives.
    """

    def __init__(
        self,
        scenario: str | Path | Scenario | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        seed: int | None = None,
        clock: str | None = None,
        strict: bool | None = None,
        overlays: Sequence[str] = (),
        variables: Mapping[str, Any] | None = None,
    ) -> None:
        self._scenario = scenario
        self._choices = Choices(tuple(overlays), dict(variables or {}))
        self._host, self._port = host, port
        self._options: dict[str, Any] = {"seed": seed, "clock": clock, "strict": strict}
        self._loop = asyncio.new_event_loop()
        self._thread: threading.Thread | None = None
        self._gateway: HostGateway | None = None
        self._worlds = 0
        self.server = Server(self._load)
        self.client: EmulatorClient

    def _load(self) -> Hosting:
        from stack_emu.hosting import DEFAULT_WORLD, Hosting

        hosting = Hosting()
        scenario = self._scenario
        if scenario is None:
            scenario = Scenario.default()
        elif not isinstance(scenario, Scenario):
            scenario = self.server.scenarios.load(Path(scenario), self._choices)
        hosting.create(DEFAULT_WORLD, scenario, **self._options)
        return hosting

    def start(self) -> Emulator:
        """Bind, load and return itself.

        Raises:
            OSError: when the port is taken.
            ScenarioError: when the scenario has mistakes.
        """
        self._thread = threading.Thread(target=self._loop.run_forever, name="stack-emu", daemon=True)
        self._thread.start()
        try:
            self.run(self.server.start(self._host, self._port))
            self.run(self.server.ready())
        except BaseException:
            self.stop()
            raise
        self.client = EmulatorClient(self.server.base_url)
        return self

    def stop(self) -> None:
        """Close everything; safe to call twice."""
        if self._thread is None:
            return
        if self._gateway is not None:
            self.run(self._gateway.stop())
        self.run(self.server.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()
        self._thread = None
        if hasattr(self, "client"):
            self.client.close()

    def __enter__(self) -> Emulator:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def run(self, work: Coroutine[Any, Any, T], timeout: float = 60) -> T:
        """Run a coroutine in the emulator's loop and wait for its result (seconds)."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout)

    def call(self, function: Callable[[], T]) -> T:
        """Call a function in the emulator's thread and wait for its result."""

        async def work() -> T:
            return function()

        return self.run(work())

    @property
    def base_url(self) -> str:
        """Where the default world answers."""
        return self.server.base_url

    @property
    def gateway(self) -> HostGateway:
        """The gateway for code that names the real hosts; started on first use."""
        if self._gateway is None:
            from stack_emu.surfaces.host_gateway import HostGateway

            gateway = HostGateway(self.server)
            self.run(gateway.start())
            self._gateway = gateway
        return self._gateway

    def world(
        self,
        name: str | None = None,
        *,
        scenario: str | Path | None = None,
        seed: int | None = None,
        clock: str | None = None,
        strict: bool | None = None,
        overlays: Sequence[str] = (),
        variables: Mapping[str, Any] | None = None,
    ) -> WorldClient:
        """Make a world of its own on this emulator.

        Args:
            name: chosen when left out.
            scenario: file or folder; the empty scenario when left out.
            seed: instead of the scenario's.
            clock: ``real`` or ``virtual`` instead of the scenario's.
            strict: instead of the scenario's.
            overlays: names of the scenario's overlays to lay over it, in order.
            variables: values of the scenario's variables, instead of those it gives.
        """
        self._worlds += 1
        return self.client.create_world(
            name or f"world-{self._worlds}",
            scenario=scenario,
            seed=seed,
            clock=clock,
            strict=strict,
            overlays=overlays,
            variables=variables,
        )

    def hosted(self, name: str) -> HostedWorld:
        """The world itself, for code in this process.

        Raises:
            KeyError: when there is none of that name.
        """
        hosted = self.server.hosting.get(name)
        if hosted is None:
            raise KeyError(name)
        return hosted
