"""A program of many agents that does most of what there is to do, in any interleaving and over either surface.

Each agent's calls follow each other; nothing it is answered depends on what another one does meanwhile. So whoever goes
first, and by whichever way, the canonical log is the same.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from stack_emu.client import WorldClient
from stack_emu.kernel.operations import Operation
from tests.guarantees.tour import registry
from tests.guarantees.wire import ACCEPT, HELLO, rest_parts

KEYS = tuple(f"sk_live_emu_many_{number}" for number in range(8))
SLACK, GITHUB, ORDERS = "https://slack.com/api", "https://api.github.com", "https://orders.test"
_OTHERS = "".join(f"\n      - {{key: {key}, role: admin, member: m{at}@many.test}}" for at, key in enumerate(KEYS[1:]))
SCENARIO = f"""
stack_emu: 1
name: many
seed: 29
clock: CLOCK
strict: false
operator:
    id: op_many
    tier: enterprise
    email: owner@many.test
    keys:
      - {{key: {KEYS[0]}, role: operator}}{_OTHERS}
agents: [{{id: agt_helper, name: helper, accountability_mode: enforced}}]
services:
  - {{id: scon_slack, provider: slack, credential: canary, scopes: [chat:write, channels:read, channels:history], upstream: slack,
      grants: [{{agent: agt_helper}}]}}
  - {{id: scon_github, provider: github, credential: canary, upstream: github}}
  - {{id: scon_orders, provider: orders, credential: canary, upstream: orders}}
upstreams:
  slack: {{hosts: [slack.com], pack: slack, seed: {{channels: [{{name: engineering, id: C0ENGINEER}}]}}}}
  github: {{hosts: [api.github.com], pack: github, seed: {{orgs: [acme], repos: [acme/shop]}}}}
  orders:
    hosts: [orders.test]
    routes:
      - when: {{method: POST, path: /orders}}
        reply: {{status: 201, json: {{id: "{{{{ id('ord_') }}}}", number: "{{{{ counter('order') }}}}"}}}}
        callbacks: [{{url: "http://127.0.0.1:9/hook", after: 2s, json: {{order: "{{{{ reply.json.id }}}}"}}}}]
model: [{{turns: [{{say: Always.}}]}}]
approvals:
  - {{when: {{operation: proxy.request, nth: 2}}, decide: approve, after: 5s}}
faults:
  - {{on: {{upstream: orders, nth: 2}}, inject: {{status: 503}}}}
  - {{on: {{upstream: github, chance: 0.3}}, inject: {{status: 500}}}}
  - {{on: {{operation: dropoffs.create, after: 1m}}, inject: {{error: TIER_LIMIT_EXCEEDED}}}}
  - {{on: {{operation: webhook.deliver, nth: 1}}, inject: {{status: 503}}}}
  - {{on: {{operation: webhook.deliver}}, inject: {{status: 204}}}}
"""


def scenario(clock: str = "virtual") -> str:
    """The scenario, under a virtual or a real clock."""
    modes = {"virtual": "{mode: virtual, start: 2026-03-01T00:00:00Z, tick: 1ms}", "real": "{mode: real}"}
    return SCENARIO.replace("CLOCK", modes[clock])


@dataclass
class Clients:
    """What the agents call with.

    Args:
        base_url: of the world.
        http: the session all of them share.
        way: ``rest``, ``mcp``, or ``either`` for a throw at every call.
        chance: decides the throws and the pauses, and nothing else.
        longest: of a pause before a call, in seconds.
    """

    base_url: str
    http: aiohttp.ClientSession
    way: str
    chance: random.Random
    longest: float
    sessions: dict[str, asyncio.Task[str]] = field(default_factory=dict)
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    async def call(self, operation: str, bearer: str, **raw: Any) -> tuple[bool, Any]:
        """Whether an operation succeeded, and what it was answered with."""
        if self.longest:
            await asyncio.sleep(self.chance.random() * self.longest)
        declared = registry().operations[operation]
        way = self.chance.choice(("rest", "mcp")) if self.way == "either" else self.way
        if declared.tool is None or declared.rest is None:
            way = "rest" if declared.tool is None else "mcp"
        return await (self._rest if way == "rest" else self._tool)(declared, bearer, raw)

    async def _rest(self, declared: Operation, bearer: str, raw: Mapping[str, Any]) -> tuple[bool, Any]:
        method, path, headers, query, body = rest_parts(declared, raw)
        headers["Authorization"] = f"Bearer {bearer}"
        async with self.http.request(method, self.base_url + path, headers=headers, params=query, json=body) as reply:
            return reply.status < 400, await reply.json(content_type=None)

    async def _tool(self, declared: Operation, bearer: str, raw: Mapping[str, Any]) -> tuple[bool, Any]:
        tool = declared.tool
        assert tool is not None
        if bearer not in self.sessions:
            self.sessions[bearer] = asyncio.ensure_future(self._session(bearer))
        session = await asyncio.shield(self.sessions[bearer])
        arguments = {name: value for name, value in raw.items() if name not in tool.hidden}
        if tool.confirm:
            arguments["confirm"] = True
        params = {"name": tool.name, "arguments": arguments}
        answer, _ = await self._post("tools/call", params, bearer, {"Mcp-Session-Id": session})
        if "result" not in answer:  # refused as a credential, before there was a tool
            return False, answer
        text = answer["result"]["content"][0]["text"] if answer["result"]["content"] else "null"
        return not answer["result"].get("isError"), json.loads(text)

    async def _session(self, bearer: str) -> str:
        _, headers = await self._post("initialize", HELLO, bearer, {})
        session = headers.get("Mcp-Session-Id", "")
        if session:
            await self._post("notifications/initialized", None, bearer, {"Mcp-Session-Id": session})
        return session

    async def _post(self, method: str, params: Any, bearer: str, headers: Mapping[str, str]) -> tuple[Any, Any]:
        message: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
        if params is not None:
            message |= {"id": next(self.numbers), "params": params}
        sent = {"Accept": ACCEPT, "Authorization": f"Bearer {bearer}", **headers}
        async with self.http.post(f"{self.base_url}/mcp", json=message, headers=sent) as reply:
            return await reply.json(
                content_type=None
            ) if reply.status < 500 and params is not None else {}, reply.headers


@dataclass
class Agent:
    """One agent of the program, and what it knows."""

    clients: Clients
    number: int
    key: str
    known: dict[str, Any] = field(default_factory=dict)

    async def must(self, operation: str, **raw: Any) -> Any:
        """A call that has to succeed, made with the account's key."""
        good, reply = await self.clients.call(operation, self.key, **raw)
        assert good, (operation, reply)
        return reply

    async def may(self, operation: str, bearer: str | None = None, **raw: Any) -> Any:
        """A call that may be refused."""
        return await self.clients.call(operation, bearer or self.key, **raw)

    def post(self, text: str) -> dict[str, Any]:
        body = {"channel": "#engineering", "text": f"{self.number}: {text}"}
        return {"service": "slack", "method": "POST", "url": f"{SLACK}/chat.postMessage", "body": body}

    async def begin(self) -> None:
        """Register, get access and a mission, work, submit intents, hand something over, delegate."""
        enforced = self.number % 2 == 1
        mode = "enforced" if enforced else "logged"
        agent = (await self.must("agents.register", name=f"worker-{self.number}", accountability_mode=mode))["id"]
        for connection in ("scon_slack", "scon_github", "scon_orders"):
            await self.must("services.grant", agent_id=agent, service_connection_id=connection)
        mission = {"intent_summary": f"Job {self.number}", "intent_services": ["slack", "github", "orders"]}
        intent = {"summary": f"Job {self.number}", "services": ["slack", "github", "orders"], "will_delegate": True}
        started = await self.must("missions.start", agent_id=agent, mission=mission, passport={"intent": intent})
        self.known |= {"agent": agent, "mission": started["mission_id"], "token": started["passport"]["token"]}
        self.known["jti"] = started["passport"]["jti"]
        await (self.submit() if enforced else self.work())
        await self.drop(60)
        child = await self.must("passports.delegate", parent_passport_token=self.token, child_agent_id="agt_helper")
        self.known["child"] = child["token"]
        await self.may("proxy.request", self.known["child"], **self.post("from below"))

    @property
    def token(self) -> str:
        return str(self.known["token"])

    async def work(self) -> None:
        """Calls of packs and routes; some meet an injected fault, and one shows the passport itself."""
        for text in ("one", "two"):
            await self.may("proxy.request", **self.post(text), passport_token=self.token)
        await self.may("proxy.request", self.token, **self.post("as myself"))
        issues = f"{GITHUB}/repos/acme/shop/issues"
        for number in range(3):
            body = {"title": f"{self.number}/{number}", "body": "Found by an agent"}
            call = {"service": "github", "method": "POST", "url": issues, "body": body}
            await self.may("proxy.request", **call, passport_token=self.token)
        for number in range(3):
            call = {"service": "orders", "method": "POST", "url": f"{ORDERS}/orders", "body": {"n": number}}
            await self.may("proxy.request", **call, passport_token=self.token)
        ask = {"model": "gpt-5", "messages": [{"role": "user", "content": f"Are you there, {self.number}?"}]}
        await self.must("llm.openai_chat_completions", **ask, passport_token=self.token)
        await self.must(
            "passports.checkpoint", passport_jti=self.known["jti"], services_used=["slack"], actions_count=2
        )

    async def submit(self) -> None:
        """Three intents: one the account decides about at once, one the scenario decides about later, one nobody does."""
        self.known["approved"] = []
        for text in ("approved", "later", "never"):
            given = {"intent": self.post(text), "expires_in_seconds": 1_200}
            made = await self.must("intents.submit", **given, passport_token=self.token)
            self.known["approved"].append(made["approval_id"])
        await self.must("intents.approve", approval_id=self.known["approved"][0])
        approval = {"intent_approval_id": self.known["approved"][0], "passport_token": self.token}
        for _ in range(2):
            await self.may("proxy.request", **self.post("approved"), **approval)

    async def drop(self, seconds: int) -> None:
        terms = {"from_agent": self.known["agent"], "to_agent": "agt_helper", "schema": {"type": "object"}}
        good, made = await self.may("dropoffs.create", **terms, ttl_seconds=seconds)
        if good:
            await self.must("dropoffs.deposit", dropoff_id=made["id"], payload={"n": self.number})

    async def go_on(self) -> None:
        """After two minutes: what was decided meanwhile is used, what has expired is tried, passports are renewed."""
        for approval, text in zip(self.known.get("approved", ()), ("approved", "later", "never"), strict=False):
            await self.may("proxy.request", **self.post(text), passport_token=self.token, intent_approval_id=approval)
        good, renewed = await self.may("passports.refresh", token=self.token)
        if good:
            self.known |= {"token": renewed["token"], "jti": renewed["jti"]}
        await self.may("proxy.request", **self.post("later on"), passport_token=self.token)
        await self.may("proxy.request", service="nowhere", url="https://nowhere.test/", passport_token=self.token)
        await self.drop(90)
        if self.number % 3 == 0:
            await self.must("passports.revoke_agent", agent_id=self.known["agent"], reason="enough")
        elif self.number % 3 == 1:
            await self.may("missions.complete", mission_id=self.known["mission"])
        await self.may("proxy.request", self.known["child"], **self.post("too late"))

    async def end(self) -> None:
        """A day later everything is over."""
        await self.may("proxy.request", **self.post("the next day"), passport_token=self.token)
        await self.may("passports.checkout", passport_jti=self.known["jti"], services_used=["slack"], actions_count=1)
        await self.must("agents.delete", agent_id=self.known["agent"])


async def run(
    world: WorldClient,
    *,
    agents: int,
    at_once: int = 1,
    keys: int = 1,
    way: str = "rest",
    seed: int | None = None,
    longest: float = 0.0,
) -> None:
    """Run the program in a fresh world.

    Args:
        world: the world.
        agents: how many.
        at_once: how many of them go at the same time.
        keys: how many of the account's keys they share.
        way: ``rest``, ``mcp`` or ``either``.
        seed: of the interleaving; without one they go in turn and do not pause.
        longest: of a pause before a call, in seconds.
    """
    chance = random.Random(seed)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(60)) as http:
        clients = Clients(world.base_url, http, way, chance, longest if seed is not None else 0.0)
        first = Agent(clients, -1, KEYS[0])
        await first.must("delivery_methods.add", channel_type="webhook", destination="http://127.0.0.1:9/told")
        everyone = [Agent(clients, number, KEYS[number % keys]) for number in range(agents)]
        for part, by in (("begin", "2m"), ("go_on", "1d"), ("end", "1h")):
            if seed is not None:
                chance.shuffle(everyone)
            turn = asyncio.Semaphore(at_once)
            await asyncio.gather(*(_in_turn(turn, agent, part) for agent in everyone))
            await asyncio.to_thread(world.clock.advance, by)
        for session in clients.sessions.values():
            await session


async def _in_turn(turn: asyncio.Semaphore, agent: Agent, part: str) -> None:
    async with turn:
        await getattr(agent, part)()


def sha(data: bytes) -> str:
    """What two logs are compared by across processes."""
    return hashlib.sha256(data).hexdigest()
