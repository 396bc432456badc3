"""An exception after any store write of any operation changes nothing: the reply says so, and the tour goes on as if
nothing had been.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from stack_emu.domain.meters import MeterMonth
from stack_emu.domain.state import AgentTokenUse, Mission, ProxyOperation
from stack_emu.kernel.dispatch import does_io
from stack_emu.kernel.world import Timer, TimerError, World
from tests.guarantees.conftest import Ground
from tests.guarantees.tour import STEPS, Step, Tour, agent_jwt, prepare, registry

PROXIED = "proxy.request"
MOST_WRITES = 60


class Crash(Exception):
    """What the test injects; nothing in the emulator expects it."""


class Fuse:
    """Raises right after the k-th store write of a world; with ``k=None`` it only counts."""

    def __init__(self, k: int | None) -> None:
        self.k, self.writes, self.burnt = k, 0, False

    def __call__(self) -> None:
        self.writes += 1
        if self.writes == self.k:
            self.burnt = True
            raise Crash(f"after write {self.k}")


@contextmanager
def fused(world: World, k: int | None) -> Iterator[Fuse]:
    before, fuse = world.store.on_write, Fuse(k)
    world.store.on_write = fuse
    try:
        yield fuse
    finally:
        world.store.on_write = before


def picture(world: World) -> dict[str, Any]:
    """Everything an act may change, in the order lists would show it."""
    image = world.image()
    tables = {
        kind.TABLE: (
            list(table.rows.items()),
            {name: {value: list(keys) for value, keys in index.items()} for name, index in table.indexes.items()},
        )
        for kind, table in image.store.tables.items()
        if table.rows
    }
    return {
        "tables": tables,
        "audit": (image.audit.chains, image.audit.acts),
        "act counts": {key: count for key, count in image.act_counts.items() if count},
        "lane counts": image.lane_counts,
        "minted": image.minted,
        "next timer": world.next_due_ms(),
    }


def settled(world: World) -> list[str]:
    """What is wrong with the accounts of proxied calls when none is under way; empty when nothing is."""
    operations = list(world.store.all(ProxyOperation))
    wrong = [f"{made.id} is {made.delivery_state}" for made in operations if made.delivery_state == "dispatching"]
    wrong += [f"{made.id} is reserved" for made in operations if made.accounting_state == "reserved"]
    wrong += [
        f"{mission.id} has {mission.reserved} reserved" for mission in world.store.all(Mission) if mission.reserved
    ]
    committed = sum(made.accounting_state == "committed" for made in operations)
    calls = ("proxy_calls", "llm_calls")
    used = sum(month.used for month in world.store.all(MeterMonth) if month.id.split("/")[1] in calls)
    return wrong + ([] if committed == used else [f"{used} calls are counted, {committed} were committed"])


@pytest.fixture(autouse=True)
def _expected_tracebacks(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger="stack_emu")


def crash_at_every_write(ground: Ground, tour: Tour, step: Step, call: Callable[..., Any]) -> int:
    """Try the step with a crash after write 1, 2, …; returns how many writes it has."""
    world = ground.world
    for k in range(1, MOST_WRITES):
        before, image = ground.do(lambda: picture(world)), ground.do(world.image)
        with fused(world, k) as fuse:
            answer = call(step, tour.raw(step))
        if not fuse.burnt:  # it has fewer writes: this was the undisturbed step, to be made again for real
            ground.do(lambda image=image: world.restore(image))
            return k - 1
        after = ground.do(lambda: picture(world))
        where = f"{step.name}, after write {k}: {answer.status} {answer.body}"
        if does_io(registry().operations[step.operation]) and len(after["audit"][1]) > len(before["audit"][1]):
            assert len(after["audit"][1]) == len(before["audit"][1]) + 1, where
            assert after["audit"][1][-1].rows[0].outcome == "failure", where
            assert ground.do(lambda: settled(world)) == [], where
            ground.do(lambda image=image: world.restore(image))
            continue
        assert answer.code == "INTERNAL_ERROR", where
        assert "nothing was changed" in answer.error["message"], where
        for part in before:
            assert after[part] == before[part], f"{where}: {part}"
    raise AssertionError(f"{step.name} has more than {MOST_WRITES} writes")


@pytest.mark.parametrize("surface", ["rest", "mcp"])
def test_a_crash_after_any_store_write_of_any_operation_changes_nothing(
    ground: Ground, ground_of: Callable[..., Ground], surface: str
) -> None:
    call = ground.over_rest if surface == "rest" else ground.over_mcp
    tour = Tour(ground.world)
    writes = {}
    for step in STEPS:
        writes[step.name] = crash_at_every_write(ground, tour, step, call)
        tour.take(step, call)
    undisturbed = ground_of()
    undisturbed.do(lambda: prepare(undisturbed.world))
    undisturbed.take_tour()
    assert ground.log() == undisturbed.log()
    changing = {step.name for step in STEPS if registry().operations[step.operation].audit is not None}
    assert {name for name, count in writes.items() if count} == changing


def test_a_crash_while_a_proxied_call_settles_is_concluded_as_a_failed_call_of_unknown_outcome(ground: Ground) -> None:
    world = ground.world
    step = next(step for step in STEPS if step.operation == PROXIED)
    tour = Tour(world)
    with fused(world, None) as fuse:
        tour.take(step, ground.over_rest)
    total = fuse.writes
    with fused(world, total) as fuse:
        answer = ground.over_rest(step, {**tour.raw(step), "body": {"channel": "#engineering", "text": "again"}})
    assert fuse.burnt
    assert (answer.status, answer.code) == (500, "INTERNAL_ERROR")
    last = list(world.store.all(ProxyOperation))[-1]
    assert (last.delivery_state, last.accounting_state) == ("outcome_unknown", "released")
    row = world.audit.rows("op_tour")[-1]
    assert (row.action, row.outcome, row.error_code) == ("credential.proxy", "failure", "INTERNAL_ERROR")
    assert ground.do(lambda: settled(world)) == []


def test_ids_are_never_given_twice_after_a_settle_crashed(ground: Ground) -> None:
    world, tour = ground.world, Tour(ground.world)
    step = next(step for step in STEPS if step.operation == PROXIED)
    with fused(world, None) as fuse:
        first = tour.take(step, ground.over_rest)
    with fused(world, fuse.writes):
        ground.over_rest(step, tour.raw(step))
    third = tour.take(step, ground.over_rest)
    assert first.body["body"]["ts"] != third.body["body"]["ts"]
    rows = [row.entry_id for row in world.audit.rows("op_tour")]
    assert len(set(rows)) == len(rows) == 3


def test_a_crash_in_a_timer_leaves_it_armed_and_the_requests_answered(ground: Ground) -> None:
    world, tour = ground.world, Tour(ground.world)
    for step in STEPS:
        tour.take(step, ground.over_rest)
        if step.name == "started":
            break
    armed = ground.do(lambda: len(list(world.store.all(Timer))))
    assert armed >= 2
    for k in range(1, MOST_WRITES):
        before = ground.do(lambda: picture(world))
        due = world.next_due_ms()
        with fused(world, k) as fuse:
            ground.do(lambda: _advance_to(world, due))
            if fuse.burnt:
                assert ground.do(lambda: picture(world)) == before
        if not fuse.burnt:
            break
    assert k > 1
    assert ground.rest.http.get("/").status_code == 200


def _advance_to(world: World, due: int | None) -> None:
    assert due is not None
    with suppress(TimerError):  # of the crash
        world.advance(max(0, due - world.now_ms()))


def test_a_request_is_answered_although_a_timer_that_is_due_crashes(ground: Ground) -> None:
    world = ground.world
    ground.do(lambda: world.arm(Timer("broken/1", world.now_ms() - 1, "mission.expire", "control", "op_tour", {})))
    answer = ground.rest.http.get("/v1/agents", headers={"Authorization": "Bearer sk_live_emu_tour_operator"})
    assert answer.status_code == 200


def test_a_spent_agent_jwt_stays_spent_whatever_became_of_its_call(ground: Ground) -> None:
    world = ground.world
    declared = registry().operations["missions.open"]
    bearer = agent_jwt(world, 1)
    raw = {"intent_summary": "Once", "agent_id": "agt_tour"}
    with fused(world, 2) as fuse:
        crashed = ground.rest.call(declared, raw, bearer)
    assert fuse.burnt
    assert crashed.code == "INTERNAL_ERROR"
    assert len(list(world.store.all(AgentTokenUse))) == 1
    again = ground.rest.call(declared, raw, bearer)
    assert (again.status, "used before" in again.error["message"]) == (401, True)
    assert ground.rest.call(declared, raw, agent_jwt(world, 2)).status == 201
