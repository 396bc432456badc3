"""Many agents behind one key of the real asynchronous SDK: the canonical log does not depend on who was faster."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import getstack
import httpx
import pytest

from stack_emu.domain.canonical_audit import canonical_log, verify
from tests.families.proxy_world import OPERATOR, POST_MESSAGE, WORLD, bearer

AGENTS = 12


async def work(client: Any, http: httpx.AsyncClient, number: int, chance: random.Random, gathered: bool) -> None:
    """Register, grant, start a mission, proxy four calls, delegate, revoke."""

    async def pause() -> None:
        await asyncio.sleep(chance.random() / 200)

    await pause()
    agent = await client.agents.register(f"worker-{number}", accountability_mode="logged")
    payload = {"agent_id": agent.id, "service_connection_id": "scon_slack", "scopes": ["chat:write"]}
    granted = await http.post("/v1/services/grant", json=payload, headers=bearer(OPERATOR))
    assert granted.is_success
    mission = {"intent_summary": f"job {number}", "intent_services": ["slack"]}
    started = await client.missions.start(agent_id=agent.id, mission=mission)
    token = started["passport"]["token"]

    async def post(step: int) -> None:
        await pause()
        body = {"channel": "#eng" if step % 2 else "#ops", "text": f"{number}/{step}"}
        reply = await client.proxy.post("slack", POST_MESSAGE, body=body, passport_token=token)
        assert reply.body["ok"] is True

    if gathered:
        await asyncio.gather(*map(post, range(4)))
    else:
        for step in range(4):
            await post(step)
    child = await client.passports.delegate(token, agent.id)
    await client.passports.revoke(started["passport"]["jti"])
    with pytest.raises(getstack.UnauthorizedError):
        await client.proxy.post("slack", POST_MESSAGE, body={}, passport_token=child.token)


def run(serve: Callable[..., Any], seed: int | None, *, gathered: bool = False) -> Any:
    """One run in a world of its own; without a seed one agent after the other. Returns the world."""
    served = serve(WORLD.replace("clock: {mode: virtual}", "clock: {mode: real}"))
    chance = random.Random(seed)

    async def everything() -> None:
        stack = getstack.AsyncStack(OPERATOR, base_url=served.base_url)
        async with stack as client, httpx.AsyncClient(base_url=served.base_url) as http:
            numbers = list(range(AGENTS))
            if seed is None:
                for number in numbers:
                    await work(client, http, number, chance, gathered)
                return
            chance.shuffle(numbers)
            await asyncio.gather(*(work(client, http, number, chance, gathered) for number in numbers))

    asyncio.run(everything())
    return served.world


def test_agents_at_once_leave_the_log_of_agents_in_turn(serve: Callable[..., Any]) -> None:
    serial = canonical_log(run(serve, None))
    assert verify(serial) == []
    assert serial.count(b'"action":"credential.proxy"') == AGENTS * 5
    for seed in range(4):
        assert canonical_log(run(serve, seed)) == serial, f"seed {seed}"


def test_calls_gathered_inside_each_agent_leave_one_log_in_content_order(serve: Callable[..., Any]) -> None:
    logs = {canonical_log(run(serve, seed, gathered=True), "content") for seed in range(4)}
    assert len(logs) == 1
