"""The same program, run again and again in any interleaving and over either surface: the same bytes.

``DETERMINISM_RUNS`` says how often (``make determinism``: a hundred times).
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from stack_emu import Emulator
from stack_emu.domain.canonical_audit import diff, verify
from stack_emu.kernel import act_store
from stack_emu.kernel.audit import ActEntry
from tests.determinism.program import KEYS, run, scenario

RUNS = int(os.environ.get("DETERMINISM_RUNS", "25"))
AGENTS = 5
LONGEST_PAUSE_SECONDS = 0.002


@dataclass(frozen=True)
class Left:
    """What a run left: the canonical logs, and what shows that runs differ at all."""

    audit: bytes
    journal: bytes
    arrival: tuple[str, ...]
    overlaps: int


Make = Callable[..., Left]


@pytest.fixture(scope="module")
def make() -> Iterator[Make]:
    """``make(agents=…, at_once=…, keys=…, way=…, seed=…) -> Left``: a run in a world of its own."""
    with Emulator() as emulator:
        count = 0

        def left(**options: object) -> Left:
            nonlocal count
            count += 1
            world = emulator.client.create_world(f"run-{count}", scenario_yaml=scenario())
            asyncio.run(run(world, longest=LONGEST_PAUSE_SECONDS, **{"agents": AGENTS, **options}))  # type: ignore[arg-type]
            inside = emulator.hosted(world.name).world
            arrival = tuple(act.lane for act in emulator.call(lambda: list(inside.audit.acts())))
            made = Left(world.audit.canonical(), world.journal_canonical(), arrival, len(inside.lanes.overlaps))
            emulator.client.remove_world(world.name)
            return made

        yield left


@pytest.fixture(scope="module")
def in_turn(make: Make) -> dict[str, Left]:
    """One agent after the other, over each surface."""
    return {way: make(way=way) for way in ("rest", "mcp")}


def test_the_program_does_what_it_is_for(in_turn: dict[str, Left]) -> None:
    audit, journal = in_turn["rest"].audit, in_turn["rest"].journal
    assert verify(audit) == verify(journal) == []
    for told in (
        b'"operation":"timer.intent.decide"',
        b'"operation":"timer.dropoff.expire"',
        b'"operation":"timer.mission.expire"',
        b'"operation":"timer.checkpoint.silence"',
        b'"action":"passport.revoke_cascade"',
        b'"action":"security.signal"',
        b'"code":"PASSPORT_REVOKED"',
        b'"code":"INTENT_APPROVAL_REQUIRED"',
        b'"code":"TIER_LIMIT_EXCEEDED"',
        b'"upstream_status":503',
        b'"action":"llm.call"',
    ):
        assert told in audit, told
    for told in (
        b'"surface":"upstream"',
        b'"surface":"messages"',
        b'"injected":"faults[0]"',
        b'"injected":"faults[1]"',
    ):
        assert told in journal, told


def test_rest_and_mcp_leave_the_same_log_and_say_in_the_journal_which_it_was(in_turn: dict[str, Left]) -> None:
    assert diff(in_turn["rest"].audit, in_turn["mcp"].audit) == ""
    assert in_turn["rest"].audit == in_turn["mcp"].audit
    assert b'"surface":"mcp"' not in in_turn["rest"].journal
    assert in_turn["mcp"].journal.count(b'"surface":"mcp"') == in_turn["rest"].journal.count(b'"surface":"rest"')


@pytest.mark.parametrize("way", ["rest", "mcp"])
def test_a_run_whose_old_acts_leave_memory_leaves_the_same_bytes(
    make: Make, in_turn: dict[str, Left], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    left_memory: list[ActEntry] = []
    pack = act_store._packed

    def counted(act: ActEntry) -> bytes:
        left_memory.append(act)
        return pack(act)

    monkeypatch.setattr(act_store, "KEPT", 12)
    monkeypatch.setattr(act_store, "SEGMENT", 5)
    monkeypatch.setattr(act_store, "_packed", counted)
    left = make(way=way, seed=3, at_once=3)
    assert diff(in_turn["rest"].audit, left.audit) == ""
    assert (left.audit, left.journal) == (in_turn["rest"].audit, in_turn[way].journal)
    assert len(left_memory) > len(left.arrival) / 2


@pytest.mark.timeout(30 + 10 * RUNS)
def test_every_run_leaves_the_same_bytes(make: Make, in_turn: dict[str, Left]) -> None:
    arrivals = set()
    for seed in range(RUNS):
        way = ("rest", "mcp", "either")[seed % 3]
        left = make(way=way, seed=seed, at_once=random.Random(seed).randint(2, AGENTS))
        assert diff(in_turn["rest"].audit, left.audit) == "", f"seed {seed}, {way}"
        assert left.audit == in_turn["rest"].audit
        if way in in_turn:
            assert diff(in_turn[way].journal, left.journal) == "", f"seed {seed}, {way}"
            assert left.journal == in_turn[way].journal
        assert left.overlaps == 0
        arrivals.add(left.arrival)
    assert len(arrivals) > RUNS * 2 // 3, "the pauses did not make the runs differ: the test shows nothing"


def test_many_keys_are_as_good_as_one(make: Make) -> None:
    """Who is created by another key has another id; each number of keys has a log of its own."""
    serial = make(keys=len(KEYS), agents=len(KEYS))
    for seed, way in enumerate(("rest", "either")):
        left = make(keys=len(KEYS), agents=len(KEYS), at_once=len(KEYS), way=way, seed=seed)
        assert diff(serial.audit, left.audit) == "", way
        assert left.audit == serial.audit
    assert make(keys=1, agents=len(KEYS)).audit != serial.audit


@pytest.mark.timeout(300)
def test_sixty_four_clients_at_once_leave_what_one_leaves(make: Make) -> None:
    one = make(agents=64, at_once=1)
    many = make(agents=64, at_once=64, seed=5, way="either")
    assert diff(one.audit, many.audit) == ""
    assert one.audit == many.audit
    assert one.arrival != many.arrival
