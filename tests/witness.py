"""A witness of effects: which call changed what a later call to another operation answered.

It stands beside one served world. Before a handler runs, the witness lets it run on the same state with the writes of one
earlier call taken back, and rolls that back too: when the reply or the refusal differs, the later call has seen the effect
of the earlier one. Nothing is taken for an effect that only shows in the audit log, in timers or in usage meters.

What is counted are exchanges of the journal: both calls have an entry there, and the entry says which client made them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from stack_emu.domain import billing, deliveries, inbound_receive, outbox
from stack_emu.domain.meters import MeterMonth, MeterTally
from stack_emu.kernel import dispatch
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.ids import Derivation
from stack_emu.kernel.operations import Download, Stream
from stack_emu.kernel.world import Timer
from stack_emu.surfaces import mcp, rest

METERS: tuple[type[Any], ...] = (MeterMonth, MeterTally)
"""What nearly every call moves: it counts as an effect only of an operation that writes nothing else."""


Write = tuple[type[Any], str, Any, Any]
"""Table, key, and the record before and after."""


@dataclass
class Effect:
    """What one call wrote, and who made it: ``meters`` apart from the rest."""

    operation: str
    client: str
    writes: list[Write] = field(default_factory=list)
    meters: list[Write] = field(default_factory=list)

    @property
    def own(self) -> list[Write]:
        """What counts as its effect."""
        return self.writes or self.meters


FIXED = {
    "identity.list_providers": "the same in every world",
    "jwks.get": "follows the seed",
    "services.list_available": "follows the scenario",
    "services.list_templates": "the same in every world",
}
"""Reads that no call can change."""


@dataclass
class Witness:
    """What has been seen in one world so far.

    Args:
        world: the world.
        name_client: journal entry → name of the client, or None when its calls do not count.
    """

    world: Any
    name_client: Callable[[Any], str | None]
    effects: list[Effect] = field(default_factory=list)
    seen: dict[tuple[str, str], str] = field(default_factory=dict)
    moved: dict[tuple[str, str], str] = field(default_factory=dict)
    called: set[tuple[str, str]] = field(default_factory=set)
    writing: set[str] = field(default_factory=set)
    _first_log: Any = None

    def called_by(self, client: str) -> set[str]:
        """Names of the operations a client called."""
        return {name for name, who in self.called if who == client}

    def proofs(self, client: str) -> dict[str, str]:
        """For every operation a client called: who saw its effect, or whose effect it saw when it only reads."""
        return {name: proof for name in sorted(self.called_by(client)) if (proof := self._proof(name, client))}

    def _proof(self, name: str, client: str) -> str:
        if name in FIXED:
            return FIXED[name]
        if name in self.writing:
            return f"seen by {self.seen[name, client]}" if (name, client) in self.seen else ""
        return f"follows {self.moved[name, client]}" if (name, client) in self.moved else ""

    def entry(self, operation: str) -> Any:
        """The journal's entry of the call under way."""
        entries = reversed(tuple(self.world.journal.entries()))
        return next((entry for entry in entries if entry.operation == operation and entry.status is None), None)

    def ask(self, context: Any, command: Any, client: str | None) -> None:
        """Find out whose effects the call that is about to run sees."""
        name = context.operation.name
        if self._first_log is None:
            self._first_log = self.world.audit.image()
        said = self._said(context, command, ())
        for effect in reversed(self.effects):  # what was done last most likely shows
            if effect.operation == name:
                continue
            if self._wants(effect) and self._said(context, command, effect.own) not in (said, CRASHED):
                self.seen[effect.operation, effect.client] = name
                self._moves(name, client, effect)
            elif client is not None and (name, client) not in self.moved:
                everything = effect.writes + effect.meters
                if self._said(context, command, everything) not in (said, CRASHED):
                    self._moves(name, client, effect)
        if client is not None and (name, client) not in self.moved and self._said_without_log(context, command) != said:
            self.moved[name, client] = "the audit log"

    def _moves(self, name: str, client: str | None, effect: Effect) -> None:
        if client is not None:
            self.moved.setdefault((name, client), effect.operation)

    def look(self, observer: str, reading: Callable[[], Any]) -> None:
        """Find out whose effects something other than a handler sees: ``reading`` is a synchronous function."""
        said = self._read(reading, ())
        for effect in self.effects:
            if self._wants(effect) and self._read(reading, effect.own) not in (said, CRASHED):
                self.seen[effect.operation, effect.client] = observer

    def _read(self, reading: Callable[[], Any], taken_back: Any) -> Any:
        with sandbox(self.world.store):
            self._take_back(taken_back)
            try:
                return repr(reading())
            except Fault as fault:
                return "refused", fault.code, fault.message
            except Exception:
                return CRASHED

    def _wants(self, effect: Effect) -> bool:
        return (effect.operation, effect.client) not in self.seen

    def _said(self, context: Any, command: Any, taken_back: Any) -> Any:
        with sandbox(self.world.store):
            self._take_back(taken_back)
            return answer(context, command)

    def _take_back(self, writes: Any) -> None:
        store = self.world.store
        for kind, key, before, after in writes:
            if store.get(kind, key) is after:
                store.delete(kind, key) if before is None else store.put(before)

    def _said_without_log(self, context: Any, command: Any) -> Any:
        now = self.world.audit.image()
        self.world.audit.restore(self._first_log)
        try:
            with sandbox(self.world.store):
                return answer(context, command)
        finally:
            self.world.audit.restore(now)

    def note(self, effect: Effect, undo: Any) -> None:
        """Keep what a call wrote, oldest value first."""
        first: dict[tuple[type[Any], str], Any] = {}
        for kind, key, old, _ in undo or ():
            first.setdefault((kind, key), old)
        for (kind, key), old in first.items():
            now = self.world.store.get(kind, key)
            if now is not old and kind is not Timer:
                (effect.meters if kind in METERS else effect.writes).append((kind, key, old, now))
        if effect.own:
            self.writing.add(effect.operation)
            if effect not in self.effects:
                self.effects.append(effect)


def unproven(witness: Witness, client: str) -> list[str]:
    """Operations a client called of which nothing shows that they do anything."""
    return sorted(witness.called_by(client) - witness.proofs(client).keys())


CRASHED = ("crashed",)


def answer(context: Any, command: Any) -> Any:
    """What a handler says, as comparable data."""
    act = context.maybe_act
    if act is not None:
        twin = replace(act.row, metadata=dict(act.row.metadata))
        derivation = Derivation(act.derivation.seed, act.derivation.act_key, act.derivation.ordinal)
        act = replace(act, row=twin, derivation=derivation, more=[], minted=[], counters={})
    try:
        reply = context.operation.handler(replace(context, maybe_act=act, delays=dict(context.delays)), command)
    except Fault as fault:
        return "refused", fault.code, fault.message, repr(fault.details)
    except Exception:
        return CRASHED
    if isinstance(reply, dispatch.Pending):
        return ("pending",)
    if isinstance(reply, dispatch.Refused):
        return "refused", reply.fault.code, reply.fault.message
    if isinstance(reply, Download):
        return reply.body, reply.media, reply.filename
    if isinstance(reply, Stream):
        return reply.media, tuple(reply.chunks)
    return repr(dispatch.dump(reply))


@contextlib.contextmanager
def sandbox(store: Any) -> Iterator[None]:
    """Take back everything that is written inside."""
    store.begin()
    listener, store.on_write = store.on_write, None
    try:
        yield
    finally:
        store.rollback()
        store.on_write = listener


@contextlib.contextmanager
def watching(world: Any, name_client: Callable[[Any], str | None]) -> Iterator[Witness]:
    """Stand witness to what happens in a world."""
    witness = Witness(world, name_client)
    real_run, real_settle = dispatch.run, dispatch._settle
    under_way: dict[int, Effect] = {}

    def run(its_world: Any, context: Any, command: Any) -> Any:
        if its_world is not world:
            return real_run(its_world, context, command)
        name = context.operation.name
        entry = witness.entry(name)
        client = name_client(entry) if entry is not None else None
        witness.ask(context, command, client)
        effect = Effect(name, client or "")
        with noting(witness, effect):
            reply = real_run(its_world, context, command)
        if isinstance(reply, dispatch.Pending):
            under_way[id(context)] = effect
        if client is not None:
            witness.called.add((name, client))
        return reply

    def settle(its_world: Any, context: Any, pending: Any, result: Any) -> Any:
        effect = under_way.get(id(context))
        if its_world is not world or effect is None:
            return real_settle(its_world, context, pending, result)
        with noting(witness, effect):
            return real_settle(its_world, context, pending, result)

    dispatch.run, dispatch._settle = run, settle
    try:
        with other_views(witness):
            yield witness
    finally:
        dispatch.run, dispatch._settle = real_run, real_settle


def _looks(witness: Witness) -> list[tuple[Any, str, str, Callable[..., Callable[[], Any]]]]:
    """Where the witness looks beside the handlers: module, function, how the look is called, and what is read there.

    Each reading is made from the arguments of the call it goes ahead of.
    """

    def signed(world: Any, slug: str, headers: Any, body: bytes, **options: Any) -> Callable[[], Any]:
        now_s, verified, live = world.now_ms() // 1000, inbound_receive._verified, inbound_receive.find_live
        return lambda: verified(live(world, slug), headers, body, now_s)

    def as_it_is(owner: Any, name: str) -> Callable[..., Callable[[], Any]]:
        real = getattr(owner, name)
        return lambda *arguments, **options: lambda: real(*arguments, **options)

    upstreams, read_mail = witness.world.settings["upstreams"], outbox.messages
    credential = "the credential of the next call"
    return [
        (rest, "authenticate", credential, as_it_is(rest, "authenticate")),
        (mcp, "authenticate", credential, as_it_is(mcp, "authenticate")),
        (outbox, "messages", "the outbox", lambda world: lambda: list(read_mail(world))),
        (inbound_receive, "receive", "a webhook received", signed),
        (deliveries, "prepare", "a webhook sent", as_it_is(deliveries, "prepare")),
        (upstreams, "_retrieved", "a direct call of the service", as_it_is(upstreams, "_retrieved")),
        (billing, "pay", "the payment page", lambda world, key: lambda: world.store.get(billing.Checkout, key)),
    ]


@contextlib.contextmanager
def other_views(witness: Witness) -> Iterator[None]:
    """Let the witness also look where a handler does not: credentials, mailboxes, webhooks in and out, payments."""

    def watched(look: str, reading: Callable[..., Callable[[], Any]]) -> Callable[..., Any]:
        def around(real: Any, world: Any, *arguments: Any, **options: Any) -> Any:
            if world is not witness.world:
                return real(world, *arguments, **options)
            witness.look(look, reading(world, *arguments, **options))
            if look != "the payment page":
                return real(world, *arguments, **options)
            with noting(witness, Effect("a payment", "")):  # what it does shows in operations too
                return real(world, *arguments, **options)

        return around

    with contextlib.ExitStack() as stack:
        for owner, name, look, reading in _looks(witness):
            stack.enter_context(replaced(owner, name, watched(look, reading)))
        yield


@contextlib.contextmanager
def replaced(owner: Any, name: str, around: Callable[..., Any]) -> Iterator[None]:
    """Have calls of a module's function go through ``around(real, *arguments)``."""
    real = getattr(owner, name)
    setattr(owner, name, lambda *arguments, **options: around(real, *arguments, **options))
    try:
        yield
    finally:
        setattr(owner, name, real)


@contextlib.contextmanager
def noting(witness: Witness, effect: Effect) -> Iterator[None]:
    """Note under ``effect`` what is committed inside."""
    store = witness.world.store
    real = store.commit

    def commit() -> None:
        undo = store._undo
        real()
        witness.note(effect, undo)

    store.commit = commit
    try:
        yield
    finally:
        store.commit = real
