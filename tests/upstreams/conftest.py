"""A world with upstreams, and a loopback server through which real clients reach them as the proxy would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from stack_emu.kernel.acts import Act, RowDraft
from stack_emu.kernel.clock import Clock, VirtualClock
from stack_emu.kernel.journal import Entry
from stack_emu.kernel.world import World
from stack_emu.scenario.upstream_models import Upstream
from stack_emu.upstreams.engine import AcceptedCredential, UpstreamReply, UpstreamRequest, Upstreams

START_MS = 1_767_225_600_000
TOKEN = "xoxb-canary-of-slack"


@dataclass
class Bench:
    """A world, its upstreams, and who may call them."""

    world: World
    engine: Upstreams
    credentials: dict[str, list[AcceptedCredential]]
    retrieved: set[str] = field(default_factory=set)

    def act(self, logical: Mapping[str, Any], lane: str = "agent:a") -> Act:
        row = RowDraft("credential.proxy", "vault")
        return self.world.begin_act("proxy.request", "op_a", lane, logical, row)

    async def send(self, name: str, request: UpstreamRequest, lane: str = "agent:a") -> UpstreamReply:
        """Proxy a request as an act of its own, whose ids are known to later acts."""
        logical = {
            "method": request.method,
            "path": request.path,
            "query": dict(request.query),
            "body": request.content,
        }
        act = self.act(logical, lane)
        reply = await self.engine.call(self.world, act, name, request, lane=lane)
        with self.world.transaction(act):
            pass
        return reply

    def ask(self, name: str, request: UpstreamRequest, lane: str = "agent:a") -> UpstreamReply:
        return asyncio.run(self._once(self.send(name, request, lane)))

    def direct(self, name: str, request: UpstreamRequest) -> UpstreamReply:
        return asyncio.run(self._once(self.engine.direct(self.world, name, request)))

    def last(self) -> Entry:
        return list(self.world.journal.entries(surface="upstream"))[-1]

    async def _once(self, work: Coroutine[Any, Any, UpstreamReply]) -> UpstreamReply:
        try:
            return await work
        finally:
            await self.engine.aclose()


@pytest.fixture
def bench() -> Callable[..., Bench]:
    """Make a world with upstreams: ``bench({"slack": {...}}, {"slack": [AcceptedCredential(...)]})``."""
    return make_bench


def make_bench(
    upstreams: Mapping[str, Mapping[str, Any]],
    credentials: Mapping[str, list[AcceptedCredential]] | None = None,
    *,
    seed: int = 7,
    clock: Clock | None = None,
    **options: Any,
) -> Bench:
    world = World("default", seed, clock or VirtualClock(START_MS), row_hash=lambda row: "x")
    known = dict(credentials or {})
    retrieved: set[str] = set()
    engine = Upstreams(
        {name: Upstream.model_validate(settings) for name, settings in upstreams.items()},
        lambda _, name: known.get(name, []),
        lambda _, connection: connection in retrieved,
        **options,
    )
    for accepted in known.values():
        for credential in accepted:
            world.redactor.add(credential.secret, credential.connection_id)
    engine.seed(world)
    return Bench(world, engine, known, retrieved)


@dataclass
class Workspace:
    """A fake Slack reached over a socket."""

    bench: Bench
    base_url: str

    @property
    def world(self) -> World:
        return self.bench.world


SLACK_SEED = {
    "team": {"name": "Acme", "domain": "acme"},
    "bot": "deployer",
    "users": [
        {"name": "ada", "id": "U0ADA", "real_name": "Ada Lovelace", "email": "ada@acme.test", "is_admin": True},
        {"name": "bob", "id": "U0BOB", "deleted": True, "email": "bob@acme.test"},
    ],
    "channels": [
        {"name": "engineering", "id": "C0ENG", "members": ["ada"], "topic": "ships"},
        {"name": "random", "id": "C0RANDOM", "bot_member": False},
        {"name": "secret", "id": "C0SECRET", "private": True, "bot_member": False},
        {"name": "board", "id": "C0BOARD", "private": True},
        {"name": "old", "id": "C0OLD", "archived": True, "messages": ["last words", {"user": "ada", "text": "bye"}]},
    ],
}


@pytest.fixture
def slack(_loop: asyncio.AbstractEventLoop) -> Iterator[Callable[..., Workspace]]:
    """Serve a fake Slack on loopback: ``slack(scopes=("chat:write",)) -> Workspace``."""
    stops: list[Callable[[], None]] = []

    def start(
        *, scopes: tuple[str, ...] | None = None, seed: Mapping[str, Any] = SLACK_SEED, **options: Any
    ) -> Workspace:
        accepted = {"slack": [AcceptedCredential(TOKEN, "scon_slack", scopes)]}
        bench = make_bench({"slack": {"pack": "slack", "seed": dict(seed)}}, accepted, **options)
        ready: asyncio.Future[tuple[str, Callable[[], None]]] = asyncio.run_coroutine_threadsafe(
            _serve(bench, _loop), _loop
        )
        base_url, stop = ready.result(10)
        stops.append(stop)
        return Workspace(bench, base_url)

    yield start
    for stop in stops:
        stop()


async def _serve(bench: Bench, loop: asyncio.AbstractEventLoop) -> tuple[str, Callable[[], None]]:
    async def answer(request: web.BaseRequest) -> web.Response:
        outgoing = UpstreamRequest(request.method, str(request.url), request.headers, body=await request.read())
        reply = await bench.send("slack", outgoing)
        return web.Response(status=reply.status, headers=reply.headers, body=reply.body)

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]

    def stop() -> None:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)

    return f"http://127.0.0.1:{port}", stop


@asynccontextmanager
async def closing(bench: Bench) -> AsyncIterator[Bench]:
    try:
        yield bench
    finally:
        await bench.engine.aclose()
