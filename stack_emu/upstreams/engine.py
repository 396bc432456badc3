"""The upstream engine: takes a request that left the proxy to the fake that answers for its host."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from stack_emu.kernel.acts import Act, RowDraft
from stack_emu.kernel.canonical import digest
from stack_emu.kernel.faults import Injection, Names
from stack_emu.kernel.matching import first_match
from stack_emu.kernel.world import World
from stack_emu.upstreams import replies
from stack_emu.upstreams.credentials import AcceptedCredential, accepted_in, foreign_secrets
from stack_emu.upstreams.errors import (
    UpstreamError,
    UpstreamRefused,
    UpstreamSettingsError,
    UpstreamTimeout,
    UpstreamTooLarge,
    UpstreamUnreachable,
)
from stack_emu.upstreams.fakes import Fake, compile_fake
from stack_emu.upstreams.forward import Forwarder, require_loopback, too_large
from stack_emu.upstreams.hosts import HostTable
from stack_emu.upstreams.model_door import ModelBacked, ModelDoor, ModelSaid
from stack_emu.upstreams.packs import Pack, PackContext
from stack_emu.upstreams.requests import UpstreamReply, UpstreamRequest
from stack_emu.upstreams.route_answers import RouteAnswer, Routes
from stack_emu.upstreams.seen import Exchange, seen_requests

if TYPE_CHECKING:
    from stack_emu.scenario.templates import Templates
    from stack_emu.scenario.upstream_models import Upstream

__all__ = [
    "AcceptedCredential",
    "UpstreamError",
    "UpstreamRefused",
    "UpstreamReply",
    "UpstreamRequest",
    "UpstreamSettingsError",
    "UpstreamTimeout",
    "UpstreamTooLarge",
    "UpstreamUnreachable",
    "Upstreams",
]

Accepted = Callable[[World, str], Sequence[AcceptedCredential]]
"""The credentials an upstream accepts in a world."""

Retrieved = Callable[[World, str], bool]
"""Whether an agent was given the credential of a connection, and so may call the upstream itself."""

OnWire = Callable[[Injection], object]
"""Takes what a fault does to the bytes of a reply."""

TIMEOUT_S = 30.0
MAX_REPLY_BYTES = 10 * 1024 * 1024

_REACHED = frozenset({"upstream", "path", "method", "service"})
"""What only a call that reached an upstream has: rules that name none of these were counted when STACK was called."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Standing:
    """What a request may expect of an upstream.

    Args:
        credential: the accepted credential it carries.
        foreign: names of the secrets in it that belong elsewhere.
        served: whether it is served, or answered as without a credential.
        bypass: for a direct call: why it is a violation; None when it is none.
    """

    credential: AcceptedCredential | None
    foreign: tuple[str, ...]
    served: bool
    bypass: str | None = None


class Upstreams:
    """The fake services of a scenario, one engine for each world: it holds settings, all state is in the world's store.

    Args:
        settings: upstream name to its scenario model.
        accepted: the credentials an upstream accepts in a world.
        retrieved: whether an agent was given a connection's credential; then a direct call with it is served.
        timeout_s: seconds until an answer must be complete (STACK's proxy waits 30, docs/concepts/proxy).
        max_reply_bytes: longest answer let through (STACK's proxy passes 10 MB, docs/concepts/proxy).
        model: asks a world's scripted model, for packs of models' APIs.

    Raises:
        UpstreamSettingsError: when an upstream cannot work: an unknown pack, a bad seed, a forward that leaves this
            machine, two upstreams with one host.
    """

    def __init__(
        self,
        settings: Mapping[str, Upstream],
        accepted: Accepted,
        retrieved: Retrieved | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        max_reply_bytes: int = MAX_REPLY_BYTES,
        model: ModelDoor | None = None,
    ) -> None:
        self._fakes = {name: compile_fake(name, upstream) for name, upstream in settings.items()}
        self._hosts = HostTable({name: self._fakes[name].host_names(one) for name, one in settings.items()})
        self._accepted = accepted
        self._retrieved = retrieved or (lambda world, connection_id: False)
        self._timeout_s = timeout_s
        self._max_reply_bytes = max_reply_bytes
        self._forwarder = Forwarder(timeout_s, max_reply_bytes)
        self._overrides: dict[str, str] = {}
        self._forwarded_hosts: dict[str, tuple[str, ...]] = {}
        self._templates: Templates | None = None
        self._model = model

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the upstreams in the order of the settings."""
        return tuple(self._fakes)

    @property
    def hosts(self) -> list[str]:
        """Every host name and ``*.suffix`` pattern some upstream answers for."""
        return self._hosts.names()

    def host_owner(self, host: str, port: int | None = None) -> str | None:
        """The upstream that answers for a host name, or None.

        Args:
            host: in any case; a trailing dot or ``:port`` is ignored.
            port: ignored: upstreams own hosts, whatever the port.
        """
        name = host.rsplit(":", 1)[0] if host.count(":") == 1 else host
        return self._hosts.owner(name)

    def seed(self, world: World) -> None:
        """Write the state the packs begin with; once per world, before its seed image is taken."""
        for fake in self._fakes.values():
            if fake.pack is not None:
                fake.pack.seed(world, fake.name, fake.seed)

    def set_forward(self, name: str, url: str | None, hosts: Sequence[str] = ()) -> None:
        """Send everything for an upstream to a server on this machine, before its routes and its pack; None ends that.

        Args:
            name: the upstream; a new one is made when there is none of that name.
            url: base URL on this machine.
            hosts: host names the upstream answers for besides those it has.

        Raises:
            UpstreamSettingsError: when the URL leaves this machine or another upstream has one of the hosts.
        """
        if url is not None:
            require_loopback(url)
        self._hosts.add(name, hosts)
        self._forwarded_hosts[name] = (*self._forwarded_hosts.get(name, ()), *hosts)
        self._fakes.setdefault(name, Fake(name))
        self._overrides.pop(name, None)
        if url is not None:
            self._overrides[name] = url

    def requests(self, world: World, name: str) -> list[dict[str, Any]]:
        """What an upstream received in a world, oldest first, secrets masked, as JSON data.

        Every item has the fields of :class:`stack_emu.upstreams.seen.SeenRequest`.

        Raises:
            KeyError: when there is no such upstream.
        """
        self._fake(name)
        return [asdict(request) for request in seen_requests(world, name)]

    async def call(
        self,
        world: World,
        act: Act,
        name: str,
        request: UpstreamRequest,
        *,
        lane: str,
        about: Mapping[str, Names] | None = None,
        scopes: Sequence[str] | None = None,
    ) -> UpstreamReply:
        """Send a proxied request, credential injected, to an upstream.

        State is read and written between awaits only, in one transaction of its own; call it outside any transaction.

        Args:
            world: the world.
            act: the act the call belongs to; ids come from it.
            name: the upstream.
            request: what the proxy sends.
            lane: the lane faults are counted in.
            about: further fields for fault rules, such as ``agent``, ``service`` and ``operation``.
            scopes: what the caller may do with the credential, when that is less than the connection may.

        Raises:
            UpstreamUnreachable: a fault dropped the connection, or a forward has nobody listening.
            UpstreamTimeout: no complete answer in time.
            UpstreamTooLarge: the answer exceeds the limit.
            UpstreamRefused: a fault wants STACK itself to refuse.
            KeyError: when there is no such upstream.
        """
        fake = self._fake(name)
        standing = self._judge(world, fake, request)
        if standing.credential is not None and scopes is not None:
            whole = standing.credential
            granted = replace(whole, scopes=tuple(scopes), connection_scopes=whole.scopes)
            standing = replace(standing, credential=granted)
        exchange = Exchange(world, name, request, act, lane, _connection(standing))
        return await self._run(fake, exchange, standing, act, about or {})

    async def direct(
        self,
        world: World,
        name: str,
        request: UpstreamRequest,
        *,
        lane: str = "direct",
        on_wire: OnWire | None = None,
    ) -> UpstreamReply:
        """Answer a request that reached an upstream's host without STACK.

        It is answered as one without a valid credential and marked as a bypass, unless it carries a credential that an
        agent was given, or goes to an address the upstream handed out.

        Args:
            world: the world.
            name: the upstream.
            request: what arrived.
            lane: the lane its ids are derived in and faults are counted in.
            on_wire: given what a fault does to the bytes of the reply, which is then returned unspoilt.

        Raises:
            UpstreamError: as ``call``.
            KeyError: when there is no such upstream.
        """
        fake = self._fake(name)
        standing = self._judge_direct(world, fake, request)
        act = _direct_act(world, name, request, lane)
        exchange = Exchange(world, name, request, act, lane, _connection(standing), direct=True)
        return await self._run(fake, exchange, standing, act, {}, on_wire)

    def succeed(self, other: Upstreams) -> None:
        """Take the place of other upstreams: go on with their connections, and with the forwards that were set on them."""
        self._forwarder = other._forwarder
        for name, url in other._overrides.items():
            hosts = other._forwarded_hosts.get(name, ())
            if name in self._fakes or hosts:
                self.set_forward(name, url, tuple(host for host in hosts if self._hosts.owner(host) is None))

    async def aclose(self) -> None:
        """Close the connections of forwards."""
        await self._forwarder.aclose()

    # --- who may ----------------------------------------------------------------------------------------------------

    def _judge(self, world: World, fake: Fake, request: UpstreamRequest) -> _Standing:
        accepted = self._accepted(world, fake.name)
        credential = accepted_in(request, accepted)
        foreign = foreign_secrets(world.redactor, request, accepted)
        # A server behind a forward checks credentials itself, in ways that need not show one in the request.
        forwarded = fake.forward is not None or fake.name in self._overrides
        open_to_all = not foreign and (not accepted or forwarded)
        served = credential is not None or open_to_all or fake.presigned(world, request)
        return _Standing(credential, foreign, served)

    def _judge_direct(self, world: World, fake: Fake, request: UpstreamRequest) -> _Standing:
        accepted = self._accepted(world, fake.name)
        credential = accepted_in(request, accepted)
        foreign = foreign_secrets(world.redactor, request, accepted)
        if credential is not None and self._retrieved(world, credential.connection_id):
            return _Standing(credential, foreign, served=True)
        if fake.presigned(world, request):
            return _Standing(None, foreign, served=True)
        hint = replies.bypass_hint(request.host, credential)
        return _Standing(None, foreign, served=not accepted and not foreign, bypass=hint)

    # --- answering --------------------------------------------------------------------------------------------------

    async def _run(
        self,
        fake: Fake,
        exchange: Exchange,
        standing: _Standing,
        act: Act,
        about: Mapping[str, Names],
        on_wire: OnWire | None = None,
    ) -> UpstreamReply:
        if standing.foreign:
            exchange.entry.request = {**exchange.entry.request, "foreign": list(standing.foreign)}
            exchange.say("leak", replies.leak_hint(standing.foreign, exchange.request.host))
        if standing.bypass is not None:
            exchange.say("bypass", standing.bypass)
        try:
            return exchange.finish(await self._faulted(fake, exchange, standing, act, about, on_wire))
        except UpstreamError as error:
            exchange.fail(error)
            raise

    async def _faulted(
        self,
        fake: Fake,
        exchange: Exchange,
        standing: _Standing,
        act: Act,
        about: Mapping[str, Names],
        on_wire: OnWire | None,
    ) -> UpstreamReply:
        world, request = exchange.world, exchange.request
        inject = _take_fault(fake.name, exchange, act, about)
        if inject is None:
            return self._limited(request, await self._answer(fake, exchange, standing, act))
        exchange.entry.injected = inject.rule
        await self._wait(world, request.host, inject.get("delay"))
        if inject.get("error"):
            raise UpstreamRefused(str(inject["error"]), inject.get("message"))
        if inject.get("drop") and inject["drop"] != "reply":
            raise UpstreamUnreachable(f"the connection to {request.host} was closed before the request took effect.")
        reply = replies.injected(fake.pack, inject)
        if reply is not None:
            exchange.entry.route = "fault"
        else:
            reply = self._limited(request, await self._answer(fake, exchange, standing, act))
        if inject.get("drop") == "reply":
            raise UpstreamUnreachable(f"the connection to {request.host} was closed before its reply arrived.")
        wire = inject.wire
        if wire is None:
            return reply
        if on_wire is not None:
            on_wire(wire)
            return reply
        await self._wait(world, request.host, (wire.get("dribble") or {}).get("over"))
        return replies.broken(reply, wire, request.host)

    def _limited(self, request: UpstreamRequest, reply: UpstreamReply) -> UpstreamReply:
        if len(reply.body) > self._max_reply_bytes:
            raise too_large(request.host, self._max_reply_bytes)
        return reply

    async def _answer(self, fake: Fake, exchange: Exchange, standing: _Standing, act: Act) -> UpstreamReply:
        request = exchange.request
        if not standing.served:
            return replies.without_credential(fake.pack, fake.name, request)
        if fake.name in self._overrides:
            return await self._forward(exchange, self._overrides[fake.name])
        routes = Routes(exchange.world, fake, request, act, exchange.lane or "", self._render)
        answered = self._by_route(routes, exchange)
        if isinstance(answered, RouteAnswer):
            await self._wait(exchange.world, request.host, answered.delay_ms)
            return answered.reply
        if answered is not None:
            return answered
        if fake.pack is not None:
            said = await self._ask_model(fake.pack, exchange)
            return self._ask_pack(fake, fake.pack, exchange, standing, act, said)
        if fake.forward is not None:
            return await self._forward(exchange, fake.forward)
        others = (other for other in self._fakes.values() if other is not fake)
        elsewhere = next(
            (other.name for other in others if first_match([r.pattern for r in other.rules], request)), None
        )
        near = routes.nearest()
        reply, hint, table = replies.unmatched(fake.name, request, near, exchange.world.redactor, elsewhere)
        exchange.say("unmatched", hint, table)
        return reply

    async def _forward(self, exchange: Exchange, target: str) -> UpstreamReply:
        exchange.entry.route = "forward"
        return await self._forwarder.send(target, exchange.request)

    def _by_route(self, routes: Routes, exchange: Exchange) -> RouteAnswer | UpstreamReply | None:
        """What a route answers, or the reply of one that failed; None when none answers."""
        if not routes.fake.rules:
            return None
        from stack_emu.scenario.templates import TemplateError

        try:
            answered = routes.answer()
        except (TemplateError, UpstreamSettingsError) as error:
            exchange.say("crash", f"a route of upstream {routes.fake.name} failed: {error}.")
            return replies.crashed(routes.fake.name, str(exchange.entry.hint))
        if answered is not None:
            exchange.entry.route = str(answered.rule.pattern).partition(" ")[2] if answered.rule.pattern.path else "*"
        return answered

    def _render(self, value: Any, variables: Mapping[str, Any]) -> Any:
        from stack_emu.scenario.templates import Templates

        if self._templates is None:
            self._templates = Templates()
        return self._templates.render(value, variables)

    async def _ask_model(self, pack: Pack, exchange: Exchange) -> ModelSaid | None:
        """Ask the scripted model before the pack's transaction opens, because it may take its time."""
        if self._model is None or not isinstance(pack, ModelBacked):
            return None
        ask = pack.asks_model(exchange.request, exchange.lane or "")
        said = None if ask is None else await self._model(exchange.world, ask)
        if said is not None and said.status == 0:
            raise UpstreamUnreachable(said.message)
        return said

    def _ask_pack(
        self,
        fake: Fake,
        pack: Pack,
        exchange: Exchange,
        standing: _Standing,
        act: Act,
        said: ModelSaid | None = None,
    ) -> UpstreamReply:
        world = exchange.world
        context = PackContext(
            world,
            fake.name,
            act,
            exchange.request,
            standing.credential,
            lambda host: self.host_owner(host) == fake.name,
            said=said,
        )
        minted = len(act.minted)
        world.store.begin()
        try:
            reply = pack.handle(context)
        except BaseException as error:
            world.store.rollback()
            del act.minted[minted:]
            if not isinstance(error, Exception):
                raise
            return _crashed(fake, exchange, error)
        if context.discard:
            world.store.rollback()
            del act.minted[minted:]
        else:
            world.store.commit()
        exchange.entry.route = context.route
        exchange.entry.unread = context.unread
        exchange.say(context.problem, context.hint, context.near)
        return reply

    async def _wait(self, world: World, host: str, delay_ms: int | None) -> None:
        """Wait in wall time, at most the timeout; under a virtual clock a certain timeout is not waited for."""
        if not delay_ms:
            return
        late = delay_ms / 1000 >= self._timeout_s
        if not (late and world.clock.virtual):
            await asyncio.sleep(min(delay_ms / 1000, self._timeout_s))
        if late:
            raise UpstreamTimeout(f"{host} did not answer within {self._timeout_s:g} seconds.")

    def _fake(self, name: str) -> Fake:
        fake = self._fakes.get(name)
        if fake is None:
            raise KeyError(f"there is no upstream {name!r}; there are: {', '.join(self._fakes) or 'none'}.")
        return fake


def _take_fault(upstream: str, exchange: Exchange, act: Act, about: Mapping[str, Names]) -> Injection | None:
    world, request = exchange.world, exchange.request
    if not len(world.faults):
        return None
    call = {**about, "upstream": upstream, "path": request.path, "method": request.method}
    elapsed = world.now_ms() - world.clock.start_ms
    identity = f"{act.key}:{act.ordinal}"
    return world.faults.take(exchange.lane or "", elapsed, _REACHED, request=request, identity=identity, **call)


def _connection(standing: _Standing) -> str | None:
    return standing.credential.connection_id if standing.credential is not None else None


def _direct_act(world: World, name: str, request: UpstreamRequest, lane: str) -> Act:
    """An act that only ids are derived from: STACK never sees a direct call, so it leaves no row."""
    logical = {
        "upstream": name,
        "method": request.method,
        "url": request.full_url,
        "body": digest({"content": request.content}) if request.body else None,
    }
    return world.begin_act("upstream.direct", "", lane, logical, RowDraft("upstream.direct", "upstream"))


def _crashed(fake: Fake, exchange: Exchange, error: Exception) -> UpstreamReply:
    """Answer 500; only code locations are logged, because messages may quote the request."""
    place = "".join(traceback.format_tb(error.__traceback__)).rstrip()
    _log.error("upstream %s failed with %s\n%s", fake.name, type(error).__name__, place)
    exchange.say("crash", f"the fake of upstream {fake.name} failed with {type(error).__name__}; nothing was changed.")
    return replies.crashed(fake.name, str(exchange.entry.hint))
