"""An agent's whole mission, through STACK's own asynchronous SDK and through plain aiohttp, with each call timed."""

from __future__ import annotations

import contextlib
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp
import getstack

KEY = "sk_live_emu_soak"
ARCHIVIST = "agent_archivist"
SCOPES = {
    "slack": ["chat:write", "channels:read", "channels:history"],
    "github": ["repo"],
    "tickets": ["tickets:write", "tickets:read"],
}
HANDED_DOWN = [{"service_connection_id": "scon_slack", "scopes": ["chat:write"]}]
"""What the delegated passport may do."""
AT_ONE_CLIENT = 20
"""Agents that share one SDK client; httpx keeps as many idle connections as that."""
PATIENCE_SECONDS = 120
_ID = re.compile(r"(?<=_)[a-z2-7]{20}")


@dataclass
class Tally:
    """What the calls of a run took, in milliseconds by operation, and what went wrong."""

    taken: dict[str, list[float]] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def calls(self) -> int:
        """How many calls were answered or failed."""
        return sum(map(len, self.taken.values()))

    @contextlib.contextmanager
    def timed(self, operation: str) -> Iterator[None]:
        """Time a call; an error is counted and goes on up."""
        started = time.perf_counter()
        try:
            yield
        except Exception as error:
            text = _ID.sub("…", str(error))[:200]
            self.errors[f"{operation}: {type(error).__name__}: {text}"] += 1
            raise
        finally:
            self.taken.setdefault(operation, []).append((time.perf_counter() - started) * 1000)


class Hands(Protocol):
    """What an agent does things with."""

    async def register(self, name: str) -> str:
        """Register an agent; its id."""

    async def grant(self, agent: str, connection: str, scopes: list[str]) -> None:
        """Give it a service."""

    async def start(self, agent: str, intent: str, services: list[str]) -> dict[str, Any]:
        """Open a mission; the passport's token and jti."""

    async def proxy(self, service: str, method: str, url: str, token: str, body: Any = None) -> Any:
        """A call through the proxy; the body of what the service answered."""

    async def checkpoint(self, jti: str, services: list[str], actions: int) -> None:
        """Report what was done."""

    async def delegate(self, token: str, child: str) -> str:
        """A passport for another agent; its token."""

    async def revoke(self, jti: str) -> int:
        """Revoke a passport; how many fell with it."""


async def mission(hands: Hands, tally: Tally, name: str) -> None:
    """Live a life from registration to revocation: seventeen calls, nine of them through the proxy.

    Raises:
        Exception: what a call raised.
        AssertionError: when an answer is not as it must be.
    """
    with tally.timed("agents.register"):
        agent = await hands.register(name)
    for service, scopes in SCOPES.items():
        with tally.timed("services.grant"):
            await hands.grant(agent, f"scon_{service}", scopes)
    with tally.timed("missions.start"):
        passport = await hands.start(agent, f"{name} tidies up", list(SCOPES))
    token, jti = passport["token"], passport["jti"]

    async def through_proxy(service: str, method: str, url: str, body: Any = None, by: str = token) -> Any:
        with tally.timed(f"proxy: {service}"):
            return await hands.proxy(service, method, url, by, body)

    message = {"channel": "#soak", "text": f"{name} begins"}
    posted = await through_proxy("slack", "POST", "https://slack.com/api/chat.postMessage", message)
    assert posted["ok"], posted
    channel = posted["channel"]
    for number in range(2):
        ticket = {"subject": f"part {number}", "by": name}
        opened = await through_proxy("tickets", "POST", "https://tickets.example.com/v1/tickets", ticket)
        read = await through_proxy("tickets", "GET", f"https://tickets.example.com/v1/tickets/{opened['id']}")
        assert read == {"id": opened["id"], "status": "open"}
    with tally.timed("passports.checkpoint"):
        await hands.checkpoint(jti, ["slack", "tickets"], 5)
    issues = "https://api.github.com/repos/acme/shop/issues"
    assert (await through_proxy("github", "GET", f"{issues}/1"))["title"] == "The door squeaks"
    made = await through_proxy("github", "POST", issues, {"title": f"{name} found something"})
    assert (await through_proxy("github", "GET", f"{issues}/{made['number']}"))["title"] == f"{name} found something"
    with tally.timed("passports.delegate"):
        handed = await hands.delegate(token, ARCHIVIST)
    last = {"channel": channel, "text": f"{name} is archived"}
    archived = await through_proxy("slack", "POST", "https://slack.com/api/chat.postMessage", last, handed)
    assert archived["ok"], archived
    with tally.timed("passports.revoke"):
        assert await hands.revoke(jti) == 1


class SdkHands:
    """STACK's own asynchronous client.

    Args:
        stack: the client.
    """

    def __init__(self, stack: getstack.AsyncStack) -> None:
        self._stack = stack

    async def register(self, name: str) -> str:
        return str((await self._stack.agents.register(name, accountability_mode="logged")).id)

    async def grant(self, agent: str, connection: str, scopes: list[str]) -> None:
        await self._stack.services.grant_agent_access(agent, connection, scopes)

    async def start(self, agent: str, intent: str, services: list[str]) -> dict[str, Any]:
        started = await self._stack.missions.start(agent_id=agent, **_mission(intent, services))
        return dict(started["passport"])

    async def proxy(self, service: str, method: str, url: str, token: str, body: Any = None) -> Any:
        reply = await self._stack.proxy.request(service, url, method, body=body, passport_token=token)
        assert reply.status < 300, f"{url} answered {reply.status}: {reply.body}"
        return reply.body

    async def checkpoint(self, jti: str, services: list[str], actions: int) -> None:
        await self._stack.passports.checkpoint(jti, services, actions)

    async def delegate(self, token: str, child: str) -> str:
        return str((await self._stack.passports.delegate(token, child, HANDED_DOWN)).token)

    async def revoke(self, jti: str) -> int:
        return int((await self._stack.passports.revoke(jti, reason="done"))["cascaded_count"])


class WireHands:
    """Plain aiohttp, as a program without an SDK.

    Args:
        session: the connections.
        base_url: of the world.
    """

    def __init__(self, session: aiohttp.ClientSession, base_url: str) -> None:
        self._session = session
        self._base_url = base_url

    async def _post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> Any:
        async with self._session.post(f"{self._base_url}/v1{path}", json=body, headers=headers) as reply:
            data = await reply.json()
            assert reply.status < 300, f"{path} answered {reply.status}: {data}"
            return data

    async def register(self, name: str) -> str:
        return str((await self._post("/agents/register", {"name": name, "accountability_mode": "logged"}))["id"])

    async def grant(self, agent: str, connection: str, scopes: list[str]) -> None:
        body = {"agent_id": agent, "service_connection_id": connection, "scopes": scopes}
        await self._post("/services/grant", body)

    async def start(self, agent: str, intent: str, services: list[str]) -> dict[str, Any]:
        started = await self._post("/missions/start", {"agent_id": agent, **_mission(intent, services)})
        return dict(started["passport"])

    async def proxy(self, service: str, method: str, url: str, token: str, body: Any = None) -> Any:
        call = {"service": service, "method": method, "url": url, **({} if body is None else {"body": body})}
        reply = await self._post("/proxy", call, {"X-Passport-Token": token})
        assert reply["status"] < 300, f"{url} answered {reply['status']}: {reply['body']}"
        return reply["body"]

    async def checkpoint(self, jti: str, services: list[str], actions: int) -> None:
        await self._post(f"/passports/{jti}/checkpoint", {"services_used": services, "actions_count": actions})

    async def delegate(self, token: str, child: str) -> str:
        body = {"parent_passport_token": token, "child_agent_id": child, "scopes": HANDED_DOWN}
        return str((await self._post("/passports/delegate", body))["token"])

    async def revoke(self, jti: str) -> int:
        return int((await self._post("/passports/revoke", {"jti": jti, "reason": "done"}))["cascaded_count"])


def _mission(intent: str, services: list[str]) -> dict[str, Any]:
    return {
        "mission": {"intent_summary": intent, "intent_services": services},
        "passport": {"intent": {"summary": intent, "services": services, "will_delegate": True}},
    }


@contextlib.asynccontextmanager
async def hands_for(count: int, base_url: str) -> AsyncIterator[list[Hands]]:
    """Hands for so many agents, of the SDK and of aiohttp by turns; their connections are closed in the end."""
    async with contextlib.AsyncExitStack() as closing:
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(PATIENCE_SECONDS)
        bearer = {"Authorization": f"Bearer {KEY}"}
        session = aiohttp.ClientSession(connector=connector, headers=bearer, timeout=timeout, trust_env=False)
        wire = WireHands(await closing.enter_async_context(session), base_url)
        given: list[Hands] = []
        for number in range(count):
            if number % (2 * AT_ONE_CLIENT) == 0:
                stack = getstack.AsyncStack(KEY, base_url=base_url, timeout=PATIENCE_SECONDS)
                sdk = SdkHands(await closing.enter_async_context(stack))
            given.append(sdk if number % 2 == 0 else wire)
        yield given
