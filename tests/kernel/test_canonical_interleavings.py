"""The promise of the canonical log: the same program gives the same bytes, however its calls interleave."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from stack_emu.domain.authentication import authenticate
from stack_emu.domain.canonical_audit import canonical_log, verify
from stack_emu.hosting import Hosting
from stack_emu.kernel.dispatch import Call, perform
from stack_emu.kernel.errors import Fault
from stack_emu.scenario.loader import loads

KEY = "sk_live_emu_operator"
CLOCKS = {"virtual": "{mode: virtual, tick: 1ms}", "real": "{mode: real}"}
AGENTS = 6
WORLD = """
stack_emu: 1
seed: 11
clock: CLOCK
services:
  - {id: scon_slack, provider: slack, upstream: slack}
upstreams:
  slack: {pack: slack, seed: {channels: [{name: eng}]}}
"""


class Program:
    """One run: a world of its own, and a random source that only decides who goes when."""

    def __init__(self, hosting: Hosting, chance: random.Random, mode: str) -> None:
        self.hosted = hosting.create("default", loads(WORLD.replace("CLOCK", CLOCKS[mode])))
        self.world = self.hosted.world
        self.registry = hosting.registry
        self.chance = chance
        self.tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Awaitable[Any]) -> asyncio.Task[Any]:
        task = asyncio.ensure_future(self._later(work))
        self.tasks.add(task)
        return task

    async def _later(self, work: Awaitable[Any]) -> Any:
        await self.pause()
        return await work

    async def pause(self) -> None:
        for _ in range(self.chance.randrange(6)):
            await asyncio.sleep(0)

    async def call(self, operation: str, bearer: str = KEY, **raw: Any) -> Any:
        await self.pause()
        caller = authenticate(self.world, bearer)
        call = Call(self.registry.operations[operation], caller, raw, ticket=self.world.lanes.ticket())
        return await perform(self.world, call, self.spawn)

    async def proxy(self, token: str, text: str, channel: str = "#eng") -> Any:
        request_id = "".join(self.chance.choice("abcdefghij") for _ in range(24))
        return await self.call(
            "proxy.request",
            service="slack",
            url="https://slack.com/api/chat.postMessage",
            method="POST",
            body={"channel": channel, "text": text},
            passport_token=token,
            authority_request_id=request_id,
        )

    async def agent(self, number: int, gathered: bool) -> None:
        agent = await self.call("agents.register", name=f"worker-{number}", accountability_mode="logged")
        await self.call("services.grant", agent_id=agent.id, service_connection_id="scon_slack", scopes=["chat:write"])
        mission = {"intent_summary": f"job {number}", "intent_services": ["slack"]}
        started = await self.call("missions.start", agent_id=agent.id, mission=mission, passport={})
        token = started.passport.token if hasattr(started, "passport") else started["passport"]["token"]
        posts = [self.proxy(token, f"{number}/{step}") for step in range(3)]
        posts.append(
            self.call("proxy.request", service="slack", url="https://nowhere.example.com", passport_token=token)
        )
        if gathered:
            await asyncio.gather(*posts)
        else:
            for post in posts:
                await post
        with pytest.raises(Fault):
            await self.call("proxy.request", service="github", url="https://api.github.com/user", passport_token=token)
        await self.call("passports.revoke_agent", agent_id=agent.id)
        with pytest.raises(Fault):
            await self.proxy(token, "too late")


def run(hosting: Hosting, seed: int | None, mode: str, *, gathered: bool = False) -> Program:
    """One run; without a seed one agent after the other."""
    program = Program(hosting, random.Random(seed), mode)

    async def everything() -> None:
        numbers = list(range(AGENTS))
        if seed is None:
            for number in numbers:
                await program.agent(number, gathered)
            return
        program.chance.shuffle(numbers)
        await asyncio.gather(*(program.agent(number, gathered) for number in numbers))

    asyncio.run(everything())
    return program


@pytest.fixture(scope="module")
def hosting() -> Hosting:
    return Hosting()


@pytest.mark.parametrize("mode", ["virtual", "real"])
def test_agents_running_at_once_leave_the_bytes_of_agents_running_in_turn(hosting: Hosting, mode: str) -> None:
    serial = canonical_log(run(hosting, None, mode).world)
    assert verify(serial) == []
    assert serial.count(b'"action":"credential.proxy"') == AGENTS * 6
    assert b"<authority_request:4>" in serial
    assert b'"code":"PASSPORT_REVOKED"' in serial
    orders = set()
    for seed in range(25):
        program = run(hosting, seed, mode)
        orders.add(tuple(act.lane for act in program.world.audit.acts()))
        assert canonical_log(program.world) == serial, f"seed {seed}"
    assert len(orders) > 20


def test_calls_gathered_inside_an_agent_leave_the_same_bytes_in_content_order(hosting: Hosting) -> None:
    first = canonical_log(run(hosting, 0, "virtual", gathered=True).world, "content")
    assert verify(first) == []
    commit_orders = set()
    for seed in range(1, 25):
        program = run(hosting, seed, "virtual", gathered=True)
        commit_orders.add(canonical_log(program.world))
        assert canonical_log(program.world, "content") == first, f"seed {seed}"
    assert len(commit_orders) > 1


def test_calls_that_overlap_in_a_lane_are_reported_and_serial_ones_are_not(hosting: Hosting) -> None:
    assert not run(hosting, None, "virtual").world.lanes.overlaps
    lanes = {overlap.lane for overlap in run(hosting, 1, "virtual", gathered=True).world.lanes.overlaps}
    assert any("/passport:" in lane for lane in lanes)


def test_a_real_clock_leaves_no_instant_in_the_log(hosting: Hosting) -> None:
    assert b'"at_ms"' not in canonical_log(run(hosting, None, "real").world)
    assert b'"at_ms"' in canonical_log(run(hosting, None, "virtual").world)


def test_another_seed_gives_other_ids_and_the_same_story(hosting: Hosting) -> None:
    import json

    def story(seed: int) -> list[Callable[[], Any]] | list[Any]:
        scenario = loads(WORLD.replace("CLOCK", CLOCKS["virtual"]).replace("seed: 11", f"seed: {seed}"))
        program = Program(hosting, random.Random(0), "virtual")
        program.hosted = hosting.create("default", scenario)
        program.world = program.hosted.world
        asyncio.run(program.agent(0, False))
        rows = [json.loads(line) for line in canonical_log(program.world).splitlines()[:-1]]
        assert all(row["agent"] for row in rows)
        return [(row["action"], row["outcome"], row.get("service")) for row in rows] + [{row["agent"] for row in rows}]

    one, two = story(1), story(2)
    assert one[:-1] == two[:-1]
    assert one[-1] != two[-1]
