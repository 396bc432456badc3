"""The client for code in an event loop: it can do all the other one can, and does it without blocking."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from stack_emu import async_client, client, world_controls
from stack_emu.async_client import AsyncEmulatorClient, AsyncWorldClient
from stack_emu.client import EmulatorError
from tests.conftest import Served

PAIRS = {
    "EmulatorClient": "AsyncEmulatorClient",
    "WorldClient": "AsyncWorldClient",
    "ClockControl": "AsyncClock",
    "AuditControl": "AsyncAudit",
    "FaultControl": "AsyncFaults",
    "ModelControl": "AsyncModel",
    "ApprovalControl": "AsyncApprovals",
    "ConsentControl": "AsyncConsents",
    "OutboxControl": "AsyncOutbox",
    "UpstreamControl": "AsyncUpstream",
}
OTHERWISE = {
    "EmulatorClient": {"close": "aclose"},
    "ClockControl": {
        "freeze": None,
        "follow": None,
        "frozen": None,
    },  # sets the clock of the process, which no event loop has to itself
    "WorldClient": {
        "stack": "async_stack",
        "anthropic": "async_anthropic",
        "openai": "async_openai",
        "close_clients": None,
    },
}


def public(kind: type) -> dict[str, object]:
    return {name: value for name, value in inspect.getmembers(kind) if not name.startswith("_")}


@pytest.mark.parametrize("name", PAIRS)
def test_everything_of_the_synchronous_client_is_there(name: str) -> None:
    sync = getattr(client, name, None) or getattr(world_controls, name)
    twin = getattr(async_client, PAIRS[name])
    for member, value in public(sync).items():
        there = OTHERWISE.get(name, {}).get(member, member)
        if there is None:
            continue
        made = getattr(twin, there, None)
        if made is None and f"self.{there} = " in inspect.getsource(twin.__init__):
            continue
        if callable(value) and inspect.iscoroutinefunction(made) and member == there:
            assert list(inspect.signature(made).parameters)[1:] == list(inspect.signature(value).parameters)[1:], member
        assert made is not None, f"{PAIRS[name]} lacks {there}"
        assert (getattr(made, "__doc__", None) or "").strip(), f"{PAIRS[name]}.{there} says nothing"


def test_a_world_is_driven_from_an_event_loop(served: Served) -> None:
    asyncio.run(drive(served.base_url))


async def drive(url: str) -> None:
    async with AsyncEmulatorClient(url) as emulator:
        assert (await emulator.health())["status"] == "ok"
        world = await emulator.create_world("async", scenario_yaml="stack_emu: 1\nclock: {mode: virtual}\n")
        assert [one.name for one in await emulator.worlds()] == ["async", "default"]
        before = await world.clock.now_ms()
        fired = await world.clock.advance("15m")
        assert (await world.clock.now_ms(), int(fired), fired.timers) == (before + 900_000, 0, ())
        async with world.async_stack() as stack:
            agent = await stack.agents.register("async-bot", accountability_mode="logged")
        assert [row["action"] for row in await world.audit.entries()] == ["agent.register"]
        assert await world.snapshot("here") == "here"
        assert await world.snapshots() == ["here"]
        fork = await world.fork("fork")
        await fork.reset()
        assert (await fork.diff())["same"]
        assert agent.id in (await fork.diff("world:async"))["text"]
        assert [entry["operation"] for entry in await world.journal()] == ["agents.register"]
        with pytest.raises(EmulatorError, match="There is no snapshot gone; there is here"):
            await world.restore("gone")
        again = await AsyncWorldClient.connect(world.base_url)
        assert again.name == "async"
        await again.aclose()
        await emulator.remove_world("fork")
        with pytest.raises(EmulatorError, match="There is no world named fork"):
            await emulator.world("fork")


def test_calls_run_beside_each_other_and_the_loop_goes_on(served: Served) -> None:
    names = [f"beside-{number}" for number in range(12)]

    async def run() -> tuple[list[str], int]:
        ticks, done = 0, asyncio.Event()

        async def tick() -> None:
            nonlocal ticks
            while not done.is_set():
                ticks += 1
                await asyncio.sleep(0)

        async def make() -> list[str]:
            async with AsyncEmulatorClient(served.base_url) as emulator:
                worlds = await asyncio.gather(*(emulator.create_world(name) for name in names))
            done.set()
            return [world.name for world in worlds]

        made, _ = await asyncio.gather(make(), tick())
        return made, ticks

    made, ticks = asyncio.run(run())
    assert made == names
    assert ticks > 10
