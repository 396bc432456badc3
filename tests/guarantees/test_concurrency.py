"""Concurrency: many agents behind one key, random delays in the server, and always the same log."""

from __future__ import annotations

import asyncio
import hashlib
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import getstack
import pytest

from stack_emu.domain.canonical_audit import canonical_log, verify
from stack_emu.kernel.world import World
from stack_emu.scenario.loader import loads
from stack_emu.surfaces import rest
from stack_emu.upstreams.engine import Upstreams
from tests.guarantees.conftest import Ground
from tests.guarantees.fleet_client import OPERATOR, POST
from tests.guarantees.test_crash_safety import settled

AGENTS = 50
LONGEST_DELAY_SECONDS = 0.004
CLIENT = Path(__file__).with_name("fleet_client.py")
SCENARIO = f"""
stack_emu: 1
name: fleet
seed: 3
operator: {{id: op_fleet, keys: [{{key: {OPERATOR}}}]}}
agents: [{{id: agt_helper, name: helper, accountability_mode: logged}}]
services:
  - {{id: scon_slack, provider: slack, credential: canary, scopes: [chat:write, channels:read], upstream: slack}}
missions: [{{id: ms_helper, agent: agt_helper, intent: Help, services: [slack]}}]
upstreams: {{slack: {{hosts: [slack.com], pack: slack, seed: {{channels: [{{name: engineering}}]}}}}}}
"""


class Jitter:
    """Random delays inside the server: before an operation runs, after it, and while its upstream waits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.chance = random.Random()
        self.longest = 0.0
        real_perform, real_call = rest.perform, Upstreams.call

        async def perform(world: World, call: Any, spawn: Any) -> Any:
            await self.pause()
            try:
                return await real_perform(world, call, spawn)
            finally:
                await self.pause()

        async def upstream(*arguments: Any, **named: Any) -> Any:
            await self.pause()
            try:
                return await real_call(*arguments, **named)
            finally:
                await self.pause()

        monkeypatch.setattr(rest, "perform", perform)
        monkeypatch.setattr(Upstreams, "call", upstream)

    async def pause(self) -> None:
        if self.longest:
            await asyncio.sleep(self.chance.random() * self.longest)


@pytest.fixture
def jitter(monkeypatch: pytest.MonkeyPatch) -> Jitter:
    return Jitter(monkeypatch)


def fleet(ground: Ground, mode: str, runs: int = 1) -> list[World]:
    """Make runs of the fleet, each in a world of its own on the one server; the clients are processes of their own."""
    hosting, scenario = ground.served.server.hosting, loads(SCENARIO)
    names = [f"{mode}-{number}" for number in range(runs)]
    worlds = [ground.do(lambda name=name: hosting.create(name, scenario).world) for name in names]
    urls = [f"{ground.served.base_url}/w/{name}" for name in names]
    shares = [share for share in (urls[0::2], urls[1::2]) if share]
    clients = [
        subprocess.Popen([sys.executable, str(CLIENT), mode, str(AGENTS), *share], stderr=subprocess.PIPE, text=True)
        for share in shares
    ]
    for client in clients:
        with client:
            _, problem = client.communicate(timeout=110)
            assert client.returncode == 0, problem
    return worlds


def shas(ground: Ground, worlds: list[World], order: str = "commit") -> set[str]:
    return {hashlib.sha256(ground.do(lambda world=world: canonical_log(world, order))).hexdigest() for world in worlds}


@pytest.mark.parametrize(("mode", "order", "runs"), [("apart", "commit", 25), ("gathered", "content", 10)])
def test_fifty_agents_behind_one_key_leave_one_log_in_every_run(
    ground: Ground, jitter: Jitter, mode: str, order: str, runs: int
) -> None:
    (serial,) = fleet(ground, "serial")
    expected = ground.do(lambda: canonical_log(serial, order))
    assert verify(expected) == []
    assert expected.count(b'"action":"credential.proxy"') == AGENTS * 4
    jitter.longest = LONGEST_DELAY_SECONDS
    worlds = fleet(ground, mode, runs)
    assert shas(ground, worlds, order) == {hashlib.sha256(expected).hexdigest()}
    for world in worlds:
        assert ground.do(lambda world=world: settled(world)) == []
    raw = {tuple(row.entry_id for row in world.audit.rows("op_fleet")) for world in worlds}
    assert len(raw) > runs // 2, "the delays did not make the runs differ: the test shows nothing"
    overlaps = [world.lanes.overlaps for world in worlds]
    assert all(overlaps) if mode == "gathered" else not any(overlaps)


# --- overlaps --------------------------------------------------------------------------------------------------------

RACE = f"""
import asyncio, os, sys
from getstack import AsyncStack

async def main():
    async with AsyncStack(os.environ["STACK_API_KEY"], base_url=os.environ["STACK_BASE_URL"]) as client:
        body = {{"channel": "#engineering", "text": "twice"}}
        calls = [client.proxy.post("slack", "{POST}", body=body) for _ in range(2)]
        if sys.argv[1] == "racing":
            await asyncio.gather(*calls)
        else:
            for call in calls:
                await call

asyncio.run(main())
"""


async def _post_twice(base_url: str) -> list[Any]:
    async with getstack.AsyncStack(OPERATOR, base_url=base_url) as client:
        body = {"channel": "#engineering", "text": "twice"}
        replies = await asyncio.gather(*(client.proxy.post("slack", POST, body=body) for _ in range(2)))
    return [reply.body["ts"] for reply in replies]


def test_two_identical_racing_calls_in_one_lane_are_reported_as_an_overlap(
    ground_of: Callable[..., Ground], jitter: Jitter
) -> None:
    jitter.longest = LONGEST_DELAY_SECONDS
    ground = ground_of(SCENARIO)
    stamps = asyncio.run(_post_twice(ground.served.base_url))
    assert stamps[0] != stamps[1]
    (overlap,) = ground.world.lanes.overlaps
    assert (overlap.lane, overlap.first, overlap.second) == ("key:0", "proxy.request", "proxy.request")
    assert b"overlap" not in ground.log()


def test_the_same_calls_in_lanes_of_their_own_are_no_overlap(ground_of: Callable[..., Ground], jitter: Jitter) -> None:
    jitter.longest = LONGEST_DELAY_SECONDS
    ground = ground_of(SCENARIO)

    async def work() -> None:
        lanes = [f"{ground.served.base_url}/w/default/~{name}" for name in ("left", "right")]
        clients = [getstack.AsyncStack(OPERATOR, base_url=lane) for lane in lanes]
        async with clients[0], clients[1]:
            body = {"channel": "#engineering", "text": "once each"}
            await asyncio.gather(*(client.proxy.post("slack", POST, body=body) for client in clients))

    asyncio.run(work())
    assert ground.world.lanes.overlaps == []


@pytest.mark.parametrize("how", ["racing", "in turn"])
def test_exec_tells_of_an_overlap_on_stderr_and_only_then(tmp_path: Path, how: str) -> None:
    scenario, program = tmp_path / "scenario.yaml", tmp_path / "race.py"
    slow = "faults: [{on: {upstream: slack}, inject: {delay: 200ms}}]\n"
    scenario.write_text(SCENARIO + slow, encoding="utf-8")
    program.write_text(RACE, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "stack_emu.cli.main",
        "exec",
        str(scenario),
        "--",
        sys.executable,
        str(program),
        how,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stderr.splitlines() if "overlap" in line]
    assert len(told) == (1 if how == "racing" else 0), done.stderr
    for line in told:
        assert "proxy.request" in line
        assert "key:0" in line
