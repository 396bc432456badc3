"""Taking a changed scenario over into a running world: what it declares anew is there, what the run made stays.

The scenario as it was and the scenario as it is are both built, with equal seeds and clocks, so that they differ in what was
edited and in nothing else. That difference is then laid over the world, record by record and field by field, wherever the
run has left what the old scenario said.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from stack_emu.domain.secret_kinds import MODEL_KEY, learn_script_keys
from stack_emu.hosting import HostedWorld, Hosting, fault_rule
from stack_emu.kernel.clock import VirtualClock
from stack_emu.kernel.store import Store, StoreImage
from stack_emu.kernel.world import Timer, World
from stack_emu.scenario.models import Scenario
from stack_emu.upstreams.route_answers import carry_counts
from stack_emu.worlds.differences import compare
from stack_emu.worlds.record_kinds import codec_of

FIXED = {
    "seed": "every id and key comes from it",
    "clock": "a world cannot change its time",
    "gateway": "the gateway reads it when it starts",
}
"""Parts of a scenario that a running world cannot take over, and why."""

_RECORDS = ("operators", "agents", "services", "missions", "passports", "skills", "fleets", "timeline")
_OWN_SETTINGS = ("signer", "model_recording", "llm_model", "upstreams")
"""Settings that belong to the running world, not to its scenario."""


@dataclass(frozen=True)
class Step:
    """Something a reload did, or did not do.

    Args:
        kind: ``added``, ``changed`` or ``kept``; ``refused`` for what needs a restart.
        path: the part of the scenario, or the record.
        sentence: it in words.
    """

    kind: str
    path: str
    sentence: str

    def as_json(self) -> dict[str, str]:
        """The step as JSON data."""
        return {"kind": self.kind, "path": self.path, "what": self.sentence}


def reload(hosting: Hosting, hosted: HostedWorld, scenario: Scenario, *, dry_run: bool = False) -> list[Step]:
    """Take a changed scenario over into a world.

    State, passports, audit log, journal and clock stay; a reset returns to the new scenario from now on.

    Args:
        hosting: where the world lives.
        hosted: the world.
        scenario: the scenario as it is now.
        dry_run: whether only to say what would be done.

    Returns:
        What was done, in the order of the format.

    Raises:
        WorldError: when the new scenario describes a world that cannot be; nothing is changed.
    """
    old, world = hosted.scenario, hosted.world
    steps = [
        Step("refused", name, f"{name} changed, which needs a restart: {why}")
        for name, why in FIXED.items()
        if getattr(old, name) != getattr(scenario, name)
    ]
    scenario = scenario.model_copy(update={name: getattr(old, name) for name in FIXED})
    begun, now = world.clock.start_ms, world.clock.now_ms()
    before = hosting.draft(world.name, old, world.seed, VirtualClock(begun))
    after = hosting.draft(world.name, scenario, world.seed, VirtualClock(begun))
    fresh = hosting.draft(world.name, scenario, world.seed, VirtualClock(now))
    merge = _Merge(hosted, before, after, fresh)
    steps += _sections(old, scenario)
    if dry_run:
        return steps + [step for step, _ in merge.steps()]
    world.store.begin()
    try:
        for step, write in merge.steps():
            steps.append(step)
            if write is not None:
                _write(world, write)
        _move_counts(world.store, old, scenario)
    except BaseException:
        world.store.rollback()
        raise
    world.store.commit()
    _take_settings(hosted, before.world, after)
    hosted.seed_image = dataclasses.replace(after.seed_image, store=merge.seed())
    return steps


def _sections(old: Scenario, new: Scenario) -> Iterator[Step]:
    for name in Scenario.model_fields:
        was, now = getattr(old, name), getattr(new, name)
        if was == now or name in _RECORDS:
            continue
        if name == "upstreams":
            yield from _upstreams(was, now)
        elif isinstance(now, tuple):
            yield Step("changed", name, f"{name}: {len(now)} rule{'' if len(now) == 1 else 's'}, before {len(was)}")
        else:
            yield Step("changed", name, f"{name} is as the scenario has it now")


def _upstreams(old: dict[str, Any], new: dict[str, Any]) -> Iterator[Step]:
    for name in {**old, **new}:
        path = f"upstreams.{name}"
        if name not in old:
            yield Step("added", path, f"{path} is there")
        elif name not in new:
            yield Step("changed", path, f"{path} is gone; what it remembered stays")
        elif old[name] != new[name]:
            parts = [
                part for part in type(new[name]).model_fields if getattr(old[name], part) != getattr(new[name], part)
            ]
            yield Step("changed", path, f"{path}: {', '.join(parts)} changed")


class _Merge:
    """The difference of two seeds, as it can be laid over a running world."""

    def __init__(self, hosted: HostedWorld, before: HostedWorld, after: HostedWorld, fresh: HostedWorld) -> None:
        self._store = hosted.world.store
        self._now_ms = hosted.world.clock.now_ms()
        self._seeded = hosted.seed_image.store
        self._before, self._after, self._fresh = (one.seed_image.store for one in (before, after, fresh))
        codec = codec_of([before.world, after.world])
        after.world.redactor.learn(before.world.redactor.learned)
        self._found = compare(before.seed_image, after.seed_image, codec, after.world.redactor)
        self._kinds = {kind.TABLE: kind for kind in {**self._before.tables, **self._after.tables}}

    def steps(self) -> Iterator[tuple[Step, Any]]:
        """Each step, with the record to be put or None."""
        for one in self._found.records:
            kind, named = self._kinds[one.table], one.sentence()
            live = self._store.get(kind, one.id)
            path = f"{one.table}.{one.id}"
            if one.change == "added":
                fresh = {} if kind is Timer else self._fresh.rows(kind)
                made = fresh.get(one.id) or self._after.rows(kind)[one.id]
                if live is not None:
                    yield Step("kept", path, f"{named}, but the run has made one already; that one stays"), None
                elif isinstance(made, Timer) and made.at_ms <= self._now_ms:
                    yield Step("kept", path, f"{named}, but its instant is over; a reset runs it"), None
                else:
                    yield Step("added", path, named), made
            elif one.change == "removed":
                if live is not None:
                    yield Step("kept", path, f"{named} from the scenario; it stays until a reset"), None
            elif live is None:
                yield Step("kept", path, f"{named}; the run has removed it, and it stays away until a reset"), None
            else:
                yield self._changed(one.fields, kind, live, path, named)

    def seed(self) -> StoreImage:
        """The seed the world returns to from now on."""
        store = Store()
        store.restore(self._seeded)
        for one in self._found.records:
            kind = self._kinds[one.table]
            old, new = store.get(kind, one.id), self._after.rows(kind).get(one.id)
            if new is None:
                store.delete(kind, one.id)
            elif old is None:
                store.put(new)
            else:
                store.put(dataclasses.replace(old, **{name: getattr(new, name) for name in one.fields}))
        return store.image()

    def _changed(self, fields: Any, kind: type[Any], live: Any, path: str, named: str) -> tuple[Step, Any]:
        seeded, new = self._seeded.rows(kind).get(live.id), self._after.rows(kind)[live.id]
        free = [name for name in fields if seeded is not None and getattr(live, name) == getattr(seeded, name)]
        held = [name for name in fields if name not in free and getattr(live, name) != getattr(new, name)]
        told = f"{named}; the run has changed {', '.join(held)} itself, which stays until a reset" if held else named
        if not free:
            return Step("kept", path, told), None
        return Step("changed", path, told), dataclasses.replace(live, **{name: getattr(new, name) for name in free})


def _write(world: World, record: Any) -> None:
    if isinstance(record, Timer):
        world.arm(record)
    else:
        world.store.put(record)


def _move_counts(store: Store, old: Scenario, new: Scenario) -> None:
    for name in old.upstreams.keys() & new.upstreams.keys():
        was, now = list(old.upstreams[name].routes), list(new.upstreams[name].routes)
        if was == now:
            continue
        moved: dict[int, int] = {}
        for number, route in enumerate(was, start=1):
            places = [place for place, other in enumerate(now, start=1) if other == route]
            place = next((place for place in places if place not in moved.values()), None)
            if place is not None:
                moved[number] = place
        carry_counts(store, name, moved)


def _take_settings(hosted: HostedWorld, before: World, after: HostedWorld) -> None:
    world, made = hosted.world, after.world
    for name in before.settings.keys() - made.settings.keys() - set(_OWN_SETTINGS):
        world.settings.pop(name, None)
    for name, value in made.settings.items():
        if name not in _OWN_SETTINGS and name != "ask_model":
            world.settings[name] = value
    upstreams = made.settings["upstreams"]
    upstreams.succeed(world.settings["upstreams"])
    world.settings["upstreams"] = upstreams
    world.on_handled[:] = made.on_handled
    world.timer_runners.update(made.timer_runners)
    known = set(world.redactor.learned)  # keys of models are numbered in each world anew
    world.redactor.learn(one for one in made.redactor.learned if one not in known and one.kind != MODEL_KEY)
    learn_script_keys(world, after.scenario.model)
    world.faults.replace("faults", [fault_rule(rule) for rule in after.scenario.faults])
    added = len(hosted.model_rules) - len(hosted.scenario.model)
    hosted.model_rules[:] = [*hosted.model_rules[:added], *after.scenario.model]
    if after.scenario.strict is not None and after.scenario.strict != hosted.scenario.strict:
        hosted.strict = after.scenario.strict
    hosted.scenario = after.scenario
