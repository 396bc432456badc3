"""A world with upstreams, and a loopback server through which real clients reach them as the proxy would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from getstack import Stack

from stack_emu.client import WorldClient
from stack_emu.emulator import Emulator
from stack_emu.kernel.acts import Act, RowDraft
from stack_emu.kernel.clock import Clock, VirtualClock
from stack_emu.kernel.journal import Entry
from stack_emu.kernel.world import World
from stack_emu.scenario.upstream_models import Upstream
from stack_emu.upstreams.engine import AcceptedCredential, UpstreamReply, UpstreamRequest, Upstreams
from stack_emu.upstreams.packs import find_pack

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
class Service:
    """A pack reached over a socket as the proxy would reach it."""

    bench: Bench
    base_url: str
    pack: str

    @property
    def world(self) -> World:
        return self.bench.world

    @property
    def entries(self) -> list[Entry]:
        """What was asked of it, oldest first."""
        return list(self.world.journal.entries(surface="upstream"))

    def undriven(self) -> list[str]:
        """The pack's operations that nothing has brought to success yet, as method and path."""
        driven = {f"{one.method} {one.route}" for one in self.entries if one.status is not None and one.status < 400}
        return [row.call for row in find_pack(self.pack).operations if row.call not in driven]

    def unread(self) -> set[str]:
        """Fields that clients sent and nothing read, with the route they were sent to."""
        return {f"{one.route} {name}" for one in self.entries for name in one.unread}


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
def serve(_loop: asyncio.AbstractEventLoop) -> Iterator[Callable[..., Service]]:
    """Serve a pack on loopback: ``serve("github", seed={...}, scopes=("repo",)) -> Service``.

    Keyword arguments: ``token`` is what the client must send, ``scopes`` what it is good for (all when None), ``more`` other
    accepted credentials; the rest goes to the world.
    """
    stops: list[Callable[[], None]] = []

    def start(
        pack: str,
        *,
        seed: Mapping[str, Any] | None = None,
        scopes: tuple[str, ...] | None = None,
        token: str = TOKEN,
        more: Sequence[AcceptedCredential] = (),
        **options: Any,
    ) -> Service:
        name = Path(pack).name
        accepted = {name: [AcceptedCredential(token, f"scon_{name}", scopes), *more]}
        bench = make_bench({name: {"pack": pack, "seed": dict(seed or {})}}, accepted, **options)
        ready: asyncio.Future[tuple[str, Callable[[], None]]] = asyncio.run_coroutine_threadsafe(
            _serve(bench, name, _loop), _loop
        )
        base_url, stop = ready.result(10)
        stops.append(stop)
        return Service(bench, base_url, pack)

    yield start
    for stop in stops:
        stop()


@dataclass
class Proxied:
    """A world with one connected upstream, and the SDK of an operator that reaches it through STACK's proxy."""

    world: WorldClient
    stack: Stack
    service: str

    def ask(self, method: str, url: str, **options: Any) -> Any:
        """Proxy one request with ``getstack``; keyword arguments are ``headers``, ``body`` and ``query``."""
        return self.stack.proxy.request(self.service, url, method=method, **options)

    def journal(self) -> list[dict[str, Any]]:
        """What reached the upstream, oldest first."""
        return [entry for entry in self.world.journal if entry["surface"] == "upstream"]


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[Callable[..., Proxied]]:
    """Connect a pack to STACK: ``proxied("github", seed={...}, scopes=["repo"]) -> Proxied``.

    Other keyword arguments are keys of the upstream, such as ``hosts`` and ``routes``. The scenario is written to
    ``tmp_path``, so paths in it are relative to that folder.
    """
    with Emulator() as emulator, ExitStack() as stack:

        def start(pack: str, *, scopes: Sequence[str] = (), **upstream: Any) -> Proxied:
            name = Path(pack).name
            service = {"id": f"scon_{name}", "provider": name, "credential": "canary", "upstream": name}
            scenario = {
                "stack_emu": 1,
                "strict": False,
                "operator": {"id": "op_acme", "keys": [{"key": "sk_live_emu_acme"}]},
                "services": [{**service, **({"scopes": list(scopes)} if scopes else {})}],
                "upstreams": {name: {"pack": pack, **upstream}},
            }
            file = tmp_path / f"{name}.yaml"
            file.write_text(yaml.safe_dump(scenario))
            world = emulator.world(scenario=file, clock="virtual")
            sdk = Stack(api_key="sk_live_emu_acme", base_url=world.base_url)
            stack.callback(sdk.close)
            return Proxied(world, sdk, name)

        yield start


@pytest.fixture
def slack(serve: Callable[..., Service]) -> Callable[..., Service]:
    """Serve a fake Slack on loopback: ``slack(scopes=("chat:write",)) -> Service``."""

    def start(*, seed: Mapping[str, Any] = SLACK_SEED, **options: Any) -> Service:
        return serve("slack", seed=seed, **options)

    return start


async def _serve(bench: Bench, name: str, loop: asyncio.AbstractEventLoop) -> tuple[str, Callable[[], None]]:
    async def answer(request: web.BaseRequest) -> web.Response:
        outgoing = UpstreamRequest(request.method, str(request.url), request.headers, body=await request.read())
        reply = await bench.send(name, outgoing)
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
