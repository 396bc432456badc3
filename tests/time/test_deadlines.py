"""Every deadline there is: good one step before it, over at it, by the world's clock alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from stack_emu import Emulator
from tests.time import access_deadlines, account_deadlines, clock_readers, surroundings_deadlines, work_deadlines
from tests.time.clock_readers import names
from tests.time.deadlines import DEADLINES, Worlds
from tests.time.no_deadlines import REASONS

FAMILIES = (access_deadlines, account_deadlines, surroundings_deadlines, work_deadlines)
"""Importing them fills the table."""


@pytest.fixture(scope="module")
def worlds(emulator: Emulator) -> Worlds:
    return Worlds(emulator.client)


@pytest.mark.parametrize("name", DEADLINES)
def test_a_deadline_is_met_to_the_millisecond(worlds: Worlds, name: str) -> None:
    case = DEADLINES[name]
    stands = []
    for last_step in (0, case.step):
        bench = worlds.fresh(case.world)
        try:
            due, probe = case.begin(bench)
            bench.advance(due - case.step)
            if last_step:
                bench.advance(last_step)
            stands.append(probe())
        finally:
            bench.close()
    assert stands == [case.good, case.over]


# --- nothing is left out -----------------------------------------------------------------------------------------------

COVERED = {name for case in DEADLINES.values() for name in case.covers}


def test_whatever_has_to_do_with_the_instant_has_a_case_or_a_reason() -> None:
    found = names()
    known = COVERED | set(REASONS)
    missing = [f"{place}: {name}" for name, place in found.items() if name not in known]
    assert missing == [], "give each a case in tests/time/*_deadlines.py, or a reason in tests/time/no_deadlines.py"


def test_every_case_and_every_reason_is_of_something_that_is_there() -> None:
    found = set(names())
    gone = {name for name in COVERED | set(REASONS) if name not in found and not name.startswith("timer ")}
    assert gone == set()
    assert COVERED.isdisjoint(REASONS)


def test_every_kind_of_timer_has_a_case(emulator: Emulator) -> None:
    world = emulator.hosted("default").world
    kinds = {f"timer {kind}" for kind in (*world.timer_handlers, *world.timer_runners)}
    assert len(kinds) > 10
    assert kinds == {name for name in COVERED if name.startswith("timer ")}


def test_what_reckons_with_the_instant_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search finds what it is meant to find."""
    source = "LIFE_MS = 5\nNAME_MS = 'x'\nclass A:\n    ends_until: int\nclass BReply(Reply):\n    expires_at: int\n"
    source += "def f(ctx):\n    return ctx.now_ms + 5\n"
    source += "def g(w, x):\n    def h():\n        return x.end <= w.now_ms()\n    return h\n"
    (tmp_path / "one.py").write_text(source, encoding="utf-8")
    monkeypatch.setattr(clock_readers, "ROOT", tmp_path)
    assert set(names()) == {"one.LIFE_MS", "one.A.ends_until", "one.f", "one.g.h"}


def test_no_case_is_good_and_over_alike() -> None:
    assert [name for name, case in DEADLINES.items() if case.good == case.over] == []
