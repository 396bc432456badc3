"""The timeline: operations a scenario carries out by itself at an instant, as one of its keys."""

from __future__ import annotations

from typing import Any

from stack_emu.domain.authentication import authenticate
from stack_emu.kernel.dispatch import Call, begin, does_io, run
from stack_emu.kernel.errors import Fault, WorldError
from stack_emu.kernel.operations import Registry
from stack_emu.kernel.world import Timer, World
from stack_emu.scenario.models import Scenario

KIND = "timeline"


class TimelineError(WorldError):
    """A timeline step that cannot be carried out; the message says what would have worked."""


def arm_timeline(world: World, scenario: Scenario, registry: Registry) -> None:
    """Set a timer for each step of a scenario's timeline.

    Raises:
        TimelineError: for an operation that does not exist or that does I/O.
    """
    first_key = scenario.operators[0].keys[0].key

    def run_step(world: World, timer: Timer) -> None:
        _run_step(world, registry, keys[timer.id], timer)

    keys: dict[str, str] = {}
    world.timer_runners[KIND] = run_step
    for number, step in enumerate(scenario.timeline):
        if step.operation not in registry.operations:
            known = ", ".join(sorted(registry.operations))
            raise TimelineError(f"timeline: there is no operation {step.operation}; there are {known}")
        if does_io(registry.operations[step.operation]):
            raise TimelineError(f"timeline: {step.operation} talks to an upstream, which a step of the timeline cannot")
        timer_id = f"timeline/{number:04d}"
        keys[timer_id] = step.as_ or first_key
        world.arm(
            Timer(
                timer_id,
                world.clock.start_ms + step.at,
                KIND,
                "timeline",
                scenario.operators[0].id,
                {"operation": step.operation, "input": step.input},
            )
        )


def _run_step(world: World, registry: Registry, key: str, timer: Timer) -> None:
    declared = registry.operations[timer.payload["operation"]]
    entry = world.journal.add(world.now_ms(), "timeline", "STEP", declared.name, operation=declared.name)
    entry.request = world.redactor.value(timer.payload["input"])
    raw: dict[str, Any] = dict(timer.payload["input"])
    try:
        call = Call(declared, authenticate(world, key), raw)
        command, context = begin(world, call)
        entry.lane, entry.act = context.lane, call.act
        run(world, context, command)
        entry.status = 200
    except Fault as fault:
        entry.status, entry.code, entry.hint = fault.status, fault.code, world.redactor.text(fault.message)
