"""Fifty agents at once through one AsyncStack; with --serial, one after the other. It names the real hosts."""

import asyncio
import os
import sys

from getstack import AsyncStack

TICKETS = "https://tickets.example.com/v1/tickets"
NAMES = [f"worker-{number:02}" for number in range(1, 51)]


async def live(stack, name):
    """An agent's whole life, from registration to revocation; the tickets it opened."""
    agent = await stack.agents.register(name, accountability_mode="logged")
    await stack.services.grant_agent_access(agent.id, "scon_tickets", ["tickets:write", "tickets:read"])
    started = await stack.missions.start(
        agent_id=agent.id,
        mission={"intent_summary": f"{name} tidies up", "intent_services": ["tickets"]},
        passport={"intent": {"summary": f"{name} tidies up", "services": ["tickets"], "will_delegate": True}},
    )
    passport = started["passport"]
    opened = []
    for subject in ("leaking tap", "broken lamp"):
        body = {"subject": subject, "by": name}
        reply = await stack.proxy.post("tickets", TICKETS, body=body, passport_token=passport["token"])
        opened.append(reply.body["id"])
        await stack.proxy.get("tickets", f"{TICKETS}/{opened[-1]}", passport_token=passport["token"])
    await stack.passports.delegate(passport["token"], "agent_archivist")
    await stack.passports.revoke(passport["jti"], reason=f"{name} is done")
    return opened


async def main(serial):
    async with AsyncStack(api_key=os.environ["STACK_API_KEY"]) as stack:
        lives = [live(stack, name) for name in NAMES]
        tickets = [await each for each in lives] if serial else await asyncio.gather(*lives)
    print(f"{len(tickets)} agents {'one after the other' if serial else 'at once'}")
    print(f"first {tickets[0]}, last {tickets[-1]}")


asyncio.run(main("--serial" in sys.argv[1:]))
