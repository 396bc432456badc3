"""Fifty agents through one AsyncStack with one operator key: the client of ``test_concurrency``.

``python fleet_client.py MODE AGENTS URL …`` makes one run for each URL. MODE is ``serial``, ``apart`` (the agents run
at once, each makes its calls in turn) or ``gathered`` (the calls within each agent are gathered too).
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

OPERATOR = "sk_live_emu_fleet"
POST = "https://slack.com/api/chat.postMessage"
IN_FLIGHT = 60
"""Proxied calls in flight at once; beyond its 100 connections the HTTP client spends its time on its queue."""


async def life(client: Any, number: int, gathered: bool, gate: asyncio.Semaphore) -> None:
    """Register, be granted Slack, start a mission, call four times, delegate, revoke."""
    agent = await client.agents.register(f"worker-{number}", accountability_mode="logged")
    await client.services.grant_agent_access(agent.id, "scon_slack", ["chat:write"])
    started = await client.missions.start(
        agent_id=agent.id,
        mission={"intent_summary": f"Job {number}", "intent_services": ["slack"]},
        passport={"intent": {"summary": f"Job {number}", "services": ["slack"], "will_delegate": True}},
    )
    passport = started["passport"]

    async def post(step: int) -> None:
        body = {"channel": "#engineering", "text": f"{number}/{step}"}
        async with gate:
            reply = await client.proxy.post("slack", POST, body=body, passport_token=passport["token"])
        assert reply.body["ok"] is True, reply.body

    delegate = client.passports.delegate(passport["token"], "agt_helper")
    if gathered:
        await asyncio.gather(*(post(step) for step in range(4)), delegate)
    else:
        for step in range(4):
            await post(step)
        await delegate
    revoked = await client.passports.revoke(passport["jti"])
    assert revoked["cascaded_count"] == 1, revoked


async def main(mode: str, agents: int, urls: list[str]) -> None:
    """Make the runs."""
    from getstack import AsyncStack

    for url in urls:
        async with AsyncStack(OPERATOR, base_url=url) as client:
            gate = asyncio.Semaphore(IN_FLIGHT)
            lives = [life(client, number, mode == "gathered", gate) for number in range(agents)]
            if mode == "serial":
                for one in lives:
                    await one
            else:
                await asyncio.gather(*lives)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))
