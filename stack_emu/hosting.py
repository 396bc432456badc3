"""Hosted worlds: a world together with the scenario it came from and what is needed to bring it back to its seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from stack_emu.domain import deliveries, faults
from stack_emu.domain.audit_hash import row_hash
from stack_emu.domain.audit_rows import complete_row, names_of_agent, owns_agent
from stack_emu.domain.families import registry
from stack_emu.domain.llm_model import SETTING as LLM_MODEL
from stack_emu.domain.llm_model import Model, ModelRefused, ModelRequest
from stack_emu.domain.partners import limit_to_grant
from stack_emu.domain.provision import provision
from stack_emu.domain.proxy_operations import recover
from stack_emu.domain.sealed_skills import ASK_MODEL, ModelQuestion
from stack_emu.domain.state import Connection
from stack_emu.kernel.clock import Clock, RealClock, VirtualClock
from stack_emu.kernel.faults import FaultRule
from stack_emu.kernel.matching import Pattern
from stack_emu.kernel.operations import Registry
from stack_emu.kernel.secret_log import watch_logs
from stack_emu.kernel.world import World, WorldImage
from stack_emu.model_script.recording import SETTING as RECORDING
from stack_emu.model_script.recording import Recording
from stack_emu.scenario import models
from stack_emu.scenario.models import ModelRule, Scenario
from stack_emu.timeline import arm_timeline
from stack_emu.upstreams.engine import AcceptedCredential, Upstreams
from stack_emu.upstreams.model_door import ModelAsk, ModelSaid
from stack_emu.webhook_sender import WebhookSender

if TYPE_CHECKING:
    from stack_emu.scenario.loader import Inspection
    from stack_emu.state_file import StateFile
    from stack_emu.state_file.keeping import StoredWorld

DEFAULT_WORLD = "default"


@dataclass
class HostedWorld:
    """A world being served.

    Args:
        world: the world.
        scenario: what it was made from.
        seed_image: its state right after provisioning.
        strict: whether violations fail a run.
        model_rules: what the Messages API answers; rules added later come first.
        model_function: answers instead of the rules when set (in-process tests only).
        snapshots: pictures taken by name.
        on_reset: called after every return to the seed.
        text: the scenario as one text that reads as it does; asked for only where a world is to be made again.
        reread: reads the scenario's files again; None for one that has none.
    """

    world: World
    scenario: Scenario
    seed_image: WorldImage
    strict: bool
    model_rules: list[ModelRule] = field(default_factory=list)
    model_function: Callable[..., Any] | None = None
    snapshots: dict[str, WorldImage] = field(default_factory=dict)
    on_reset: Callable[[], None] = lambda: None
    text: Callable[[], str] = lambda: ""
    reread: Callable[[], Inspection] | None = None

    def reset(self) -> None:
        """Return to the scenario's seed: state, rows, ids, journal and the scenario's fault rules."""
        self.world.restore(self.seed_image)
        self.world.faults.clear()
        add_fault_rules(self.world, self.scenario)
        self.model_rules[:] = self.scenario.model
        self.model_function = None
        self.recording.clear()
        self.on_reset()

    @property
    def recording(self) -> Recording:
        """What the model answered since the seed."""
        found: Recording = self.world.settings[RECORDING]
        return found


def recorded_rules(hosted: HostedWorld) -> list[dict[str, Any]]:
    """What the model of a world answered so far, as rules of a scenario, secrets masked."""
    rules: list[dict[str, Any]] = hosted.world.redactor.value(hosted.recording.rules())
    return rules


def add_fault_rules(world: World, scenario: Scenario) -> None:
    """Give a world the fault rules of its scenario."""
    for rule in scenario.faults:
        world.faults.add(fault_rule(rule))


_CONDITIONS = frozenset({"nth", "every", "times", "after", "until", "per", "where", "chance"})


def fault_rule(declared: models.FaultRule, origin: str = "faults") -> FaultRule:
    """The kernel's form of a fault rule written in the scenario format.

    Args:
        declared: the rule.
        origin: where it was written: ``faults`` of the scenario, or ``added`` to the running world.
    """
    target = declared.on.model_dump(exclude_none=True, exclude=set(_CONDITIONS))
    if declared.on.turn is not None:
        target["turn"] = str(declared.on.turn)
    where, delay = declared.on.where, declared.inject.delay
    inject = declared.inject.model_dump(exclude_none=True, by_alias=True, exclude_defaults=True)
    if delay is not None and delay.fixed is not None:
        inject["delay"] = delay.fixed
    return FaultRule(
        on=target,
        inject=inject,
        nth=declared.on.nth,
        every=declared.on.every,
        times=declared.on.times,
        after_ms=declared.on.after,
        until_ms=declared.on.until,
        per=declared.on.per,
        where=None if where is None else Pattern.from_dict(where.model_dump(exclude_unset=True)),
        chance=declared.on.chance,
        origin=origin,
    )


class Hosting:
    """All worlds of one emulator, by name.

    Args:
        operations: what the worlds can do; every family when left out.
    """

    def __init__(self, operations: Registry | None = None) -> None:
        self.registry = operations if operations is not None else registry()
        self._worlds: dict[str, HostedWorld] = {}
        self.on_create: list[Callable[[HostedWorld], None]] = []
        self.sender = WebhookSender()
        self.state: StateFile | None = None

    def create(
        self,
        name: str,
        scenario: Scenario,
        *,
        seed: int | None = None,
        clock: str | None = None,
        strict: bool | None = None,
        text: Callable[[], str] = lambda: "",
    ) -> HostedWorld:
        """Make a world, or replace the one of that name.

        Args:
            name: its name in ``/w/<name>``; ``default`` answers at the root.
            scenario: what exists in it.
            seed: instead of the scenario's.
            clock: ``real`` or ``virtual`` instead of the scenario's.
            strict: instead of the scenario's; False when neither says.
            text: the scenario as one text, for a state file.
        """
        hosted = self.make(name, scenario, seed=seed, clock=clock, strict=strict, text=text)
        self.host(hosted)
        return hosted

    def fork(self, source: HostedWorld, name: str) -> HostedWorld:
        """Make a world that is where another one is now and goes on by itself.

        It has the other's scenario, seed, model rules and fault rules; the journal, counts of fault rules and snapshots are its
        own. A reset returns it to the same seed.

        Args:
            source: the other world.
            name: of the new one; one of that name is replaced.
        """
        origin = source.world
        mode = "virtual" if origin.clock.virtual else "real"
        made = self.make(name, source.scenario, seed=origin.seed, clock=mode, strict=source.strict, text=source.text)
        made.world.redactor.learn(origin.redactor.learned)
        made.world.restore(origin.image())
        made.world.clock.begin_at(origin.clock.start_ms)
        made.world.clock.return_to(origin.clock.moved_ms)
        made.seed_image = source.seed_image
        made.model_rules[:] = source.model_rules
        made.world.faults.clear()
        for tally in origin.faults.tallies():
            made.world.faults.add(tally.rule)
        self.host(made)
        return made

    def bring_back(
        self,
        scenario: Scenario,
        stored: StoredWorld,
        state: StateFile,
        text: Callable[[], str],
        seed: int | None = None,
    ) -> HostedWorld:
        """Make a world that a state file has, and follow it there.

        Args:
            scenario: its scenario.
            stored: what the file says of it.
            state: the file.
            text: the scenario as one text.
            seed: the seed it must have been made with; the file's own when left out.

        Raises:
            StateFileError: when the file does not fit the scenario.
        """
        kept = bytes.fromhex(stored.seed) if seed is None else seed
        hosted = self.make(stored.name, scenario, seed=kept, clock=stored.clock, strict=stored.strict, text=text)
        state.restore(hosted.world, stored)
        self.host(hosted)
        state.follow(hosted.world, text(), strict=hosted.strict, written=True)
        recover(hosted.world)
        deliveries.resume(hosted.world, hosted.world.now_ms())
        return hosted

    def host(self, hosted: HostedWorld) -> None:
        """Serve a world, instead of the one of its name."""
        self.remove(hosted.world.name)
        self._worlds[hosted.world.name] = hosted
        if self.state is not None:
            self.state.follow(hosted.world, hosted.text(), strict=hosted.strict, written=False)

    def make(
        self,
        name: str,
        scenario: Scenario,
        *,
        seed: int | bytes | None = None,
        clock: str | None = None,
        strict: bool | None = None,
        text: Callable[[], str] = lambda: "",
    ) -> HostedWorld:
        """Make a world without serving it; the arguments are those of ``create``."""
        hosted = self.draft(name, scenario, scenario.seed if seed is None else seed, _clock(scenario, clock))
        hosted.strict = strict if strict is not None else bool(scenario.strict)
        hosted.text = text
        self.sender.attach(hosted.world)
        for listener in self.on_create:
            listener(hosted)
        hosted.seed_image = hosted.world.image()
        watch_logs(hosted.world.redactor)
        return hosted

    def draft(self, name: str, scenario: Scenario, seed: int | bytes, clock: Clock) -> HostedWorld:
        """A world as its scenario has it, that nothing listens to and nobody serves.

        Args:
            name: its name.
            scenario: what exists in it.
            seed: its seed.
            clock: its clock, at the instant it begins.
        """
        world = World(name, seed, clock, row_hash, tick_ms=scenario.clock.tick)
        world.timer_handlers.update(self.registry.timers)
        world.complete_row = partial(complete_row, world)
        world.limit = partial(limit_to_grant, world)
        world.owns = partial(owns_agent, world)
        world.names_of = partial(names_of_agent, world)
        world.settings["fault_catalogue"] = faults.by_code()
        world.settings["upstream_names"] = tuple(scenario.upstreams)
        provision(world, scenario)
        upstreams = world.settings["upstreams"] = make_upstreams(scenario)
        upstreams.seed(world)
        add_fault_rules(world, scenario)
        hosted = HostedWorld(world, scenario, world.image(), bool(scenario.strict), list(scenario.model))
        world.settings[RECORDING] = Recording()
        world.settings[ASK_MODEL] = partial(_ask_model, hosted)
        arm_timeline(world, scenario, self.registry)
        hosted.seed_image = world.image()
        return hosted

    def get(self, name: str) -> HostedWorld | None:
        """The world of that name, or None."""
        return self._worlds.get(name)

    def remove(self, name: str) -> None:
        """Drop a world; dropping what is not there is no error."""
        removed = self._worlds.pop(name, None)
        if removed is not None:
            self.sender.drop(removed.world)
            if self.state is not None:
                self.state.drop(removed.world)

    def __iter__(self) -> Iterator[HostedWorld]:
        return iter(list(self._worlds.values()))


def _ask_model(hosted: HostedWorld, question: ModelQuestion) -> str:
    """What the world's scripted model says to a step of a sealed skill."""
    from stack_emu.model_answers import answer

    return answer(hosted, question)


async def ask_world_model(world: World, ask: ModelAsk) -> ModelSaid:
    """Ask a world's scripted model, as the LLM gateway does, for an upstream that is a model's API."""
    model: Model | None = world.settings.get(LLM_MODEL)
    if model is None:
        return ModelSaid(503, kind="overloaded_error", message="no model is served beside this world.")
    request = ModelRequest(ask.provider, ask.body, ("", ""), ask.lane)
    try:
        said = await model.complete(world, request)
    except ModelRefused as refused:
        return ModelSaid(refused.status, refused.body, None, refused.type, str(refused), refused.headers)
    stream = b"".join(model.events(request, said.body)) if ask.body.get("stream") is True else None
    return ModelSaid(200, said.body, stream)


def make_upstreams(scenario: Scenario) -> Upstreams:
    """The fake services of a scenario, which accept the credentials of the connections that belong to them."""

    def accepted(world: World, upstream: str) -> list[AcceptedCredential]:
        connections = world.store.find(Connection, upstream=upstream)
        return [
            AcceptedCredential(secret, connection.id, connection.scopes or None)
            for connection in connections
            if connection.status == "active"
            for secret in _secrets(connection)
        ]

    def retrieved(world: World, connection_id: str) -> bool:
        connection = world.store.get(Connection, connection_id)
        return connection is not None and connection.retrieved

    return Upstreams(scenario.upstreams, accepted, retrieved, model=ask_world_model)


def _secrets(connection: Connection) -> list[str]:
    credential = connection.credential
    return [credential] if isinstance(credential, str) else [str(value) for value in credential.values()]


def _clock(scenario: Scenario, mode: str | None) -> Clock:
    if (mode or scenario.clock.mode) == "virtual":
        return VirtualClock(scenario.clock.start_ms)
    return RealClock()
