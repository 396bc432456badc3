"""The typed client of the control API for code in an event loop: every call is awaited and blocks nothing.

It has the methods of :mod:`stack_emu.client`, with the same arguments and results; what is a property there is a method here.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from stack_emu.client import EmulatorClient, WorldClient
from stack_emu.world_controls import (
    ApprovalControl,
    AuditControl,
    ClockControl,
    ConsentControl,
    FaultControl,
    ModelControl,
    OutboxControl,
    UpstreamControl,
)

__all__ = ["AsyncEmulatorClient", "AsyncWorldClient"]

T = TypeVar("T")
S = TypeVar("S")
R = TypeVar("R")
P = ParamSpec("P")


class _Part(Generic[T]):
    """Something that answers by asking its synchronous twin in a thread."""

    def __init__(self, twin: T) -> None:
        self._twin = twin


def _awaited(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[_Part[S], P], Coroutine[Any, Any, R]]:
    @functools.wraps(method)
    async def call(self: _Part[S], /, *arguments: P.args, **options: P.kwargs) -> R:
        return await asyncio.to_thread(method, self._twin, *arguments, **options)

    return call


def _read(read: property, result: type[R]) -> Callable[[_Part[Any]], Coroutine[Any, Any, R]]:
    async def call(self: _Part[Any], /) -> R:
        assert read.fget is not None
        return await asyncio.to_thread(read.fget, self._twin)

    call.__doc__ = read.__doc__
    return call


class AsyncClock(_Part[ClockControl]):
    """The world's clock."""

    now = _awaited(ClockControl.now)
    now_ms = _awaited(ClockControl.now_ms)
    advance = _awaited(ClockControl.advance)


class AsyncAudit(_Part[AuditControl]):
    """The world's audit log."""

    entries = _awaited(AuditControl.entries)
    canonical = _awaited(AuditControl.canonical)
    checkpoint = _awaited(AuditControl.checkpoint)
    keys = _awaited(AuditControl.keys)


class AsyncFaults(_Part[FaultControl]):
    """Injected faults."""

    add = _awaited(FaultControl.add)
    list = _awaited(FaultControl.list)
    clear = _awaited(FaultControl.clear)


class AsyncModel(_Part[ModelControl]):
    """What the Messages API answers."""

    script = _awaited(ModelControl.script)
    export = _awaited(ModelControl.export)


class AsyncApprovals(_Part[ApprovalControl]):
    """Human decisions."""

    all = _awaited(ApprovalControl.all)
    pending = _awaited(ApprovalControl.pending)
    approve = _awaited(ApprovalControl.approve)
    reject = _awaited(ApprovalControl.reject)


class AsyncConsents(_Part[ConsentControl]):
    """Sign-ins over OAuth that ask a person."""

    all = _awaited(ConsentControl.all)
    pending = _awaited(ConsentControl.pending)
    approve = _awaited(ConsentControl.approve)
    deny = _awaited(ConsentControl.deny)


class AsyncOutbox(_Part[OutboxControl]):
    """What would have left this machine."""

    all = _awaited(OutboxControl.all)
    to = _awaited(OutboxControl.to)
    code = _awaited(OutboxControl.code)


class AsyncUpstream(_Part[UpstreamControl]):
    """One fake upstream of the world."""

    requests = _read(UpstreamControl.requests, list[dict[str, Any]])  # type: ignore[arg-type]
    verify = _awaited(UpstreamControl.verify)
    forward = _awaited(UpstreamControl.forward)


class AsyncWorldClient(_Part[WorldClient]):
    """A world.

    Args:
        world: the synchronous client of the same world.
    """

    def __init__(self, world: WorldClient) -> None:
        super().__init__(world)
        self.name = world.name
        self.base_url = world.base_url
        self.mcp_url = world.mcp_url
        self.anthropic_base_url = world.anthropic_base_url
        self.openai_base_url = world.openai_base_url
        self.api_key = world.api_key
        self.description = world.description
        self.env = world.env
        self.clock = AsyncClock(world.clock)
        self.audit = AsyncAudit(world.audit)
        self.faults = AsyncFaults(world.faults)
        self.model = AsyncModel(world.model)
        self.approvals = AsyncApprovals(world.approvals)
        self.consents = AsyncConsents(world.consents)
        self.outbox = AsyncOutbox(world.outbox)
        self.async_stack = world.async_stack
        self.async_anthropic = world.async_anthropic
        self.async_openai = world.async_openai
        self.mcp = world.mcp

    @classmethod
    async def connect(cls, url: str) -> AsyncWorldClient:
        """The world at a URL (the emulator's own URL is its default world).

        Raises:
            EmulatorError: when nothing answers there.
        """
        return cls(await asyncio.to_thread(WorldClient.connect, url))

    raw = _awaited(WorldClient.raw)
    control = _awaited(WorldClient.control)
    passport = _awaited(WorldClient.passport)
    signal = _awaited(WorldClient.signal)
    deliveries = _read(WorldClient.deliveries, list[dict[str, Any]])  # type: ignore[arg-type]
    received = _read(WorldClient.received, list[dict[str, Any]])  # type: ignore[arg-type]
    journal = _read(WorldClient.journal, list[dict[str, Any]])  # type: ignore[arg-type]
    journal_canonical = _awaited(WorldClient.journal_canonical)
    verdict = _awaited(WorldClient.verdict)
    verify = _awaited(WorldClient.verify)
    snapshot = _awaited(WorldClient.snapshot)
    snapshots = _read(WorldClient.snapshots, list[str])  # type: ignore[arg-type]
    restore = _awaited(WorldClient.restore)
    forget_snapshot = _awaited(WorldClient.forget_snapshot)
    diff = _awaited(WorldClient.diff)
    export = _awaited(WorldClient.export)
    reload = _awaited(WorldClient.reload)
    reset = _awaited(WorldClient.reset)

    async def fork(self, name: str) -> AsyncWorldClient:
        """Make a world that is where this one is now and goes on by itself.

        Args:
            name: of the new world.
        """
        return AsyncWorldClient(await asyncio.to_thread(self._twin.fork, name))

    def upstream(self, name: str) -> AsyncUpstream:
        """One of the scenario's upstreams."""
        return AsyncUpstream(self._twin.upstream(name))

    def lane(self, name: str) -> AsyncWorldClient:
        """This world through URLs that put every act in a lane of that name."""
        return AsyncWorldClient(self._twin.lane(name))

    async def aclose(self) -> None:
        """Close the connections to the emulator."""
        self._twin.connection.close()


def _world_of(
    method: Callable[Concatenate[EmulatorClient, P], WorldClient],
) -> Callable[Concatenate[AsyncEmulatorClient, P], Coroutine[Any, Any, AsyncWorldClient]]:
    @functools.wraps(method)
    async def call(self: AsyncEmulatorClient, /, *arguments: P.args, **options: P.kwargs) -> AsyncWorldClient:
        return AsyncWorldClient(await asyncio.to_thread(method, self._twin, *arguments, **options))

    return call


class AsyncEmulatorClient(_Part[EmulatorClient]):
    """A running emulator: makes and removes worlds.

    Args:
        url: its base URL.
    """

    def __init__(self, url: str) -> None:
        super().__init__(EmulatorClient(url))

    create_world = _world_of(EmulatorClient.create_world)
    import_world = _world_of(EmulatorClient.import_world)
    world = _world_of(EmulatorClient.world)
    remove_world = _awaited(EmulatorClient.remove_world)
    health = _awaited(EmulatorClient.health)

    async def worlds(self) -> list[AsyncWorldClient]:
        """Every world, by name."""
        return [AsyncWorldClient(one) for one in await asyncio.to_thread(self._twin.worlds)]

    async def aclose(self) -> None:
        """Close the connections."""
        self._twin.close()

    async def __aenter__(self) -> AsyncEmulatorClient:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()
