from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from stack_emu.kernel.acts import Act, RowDraft
from stack_emu.kernel.clock import RealClock, VirtualClock, iso, parse_iso
from stack_emu.kernel.errors import Fault, FaultSpec
from stack_emu.kernel.world import Timer, World

REFUSED = FaultSpec("REFUSED", 403, "{who} may not")
START = 1_767_225_600_000


@dataclass(frozen=True)
class Note:
    TABLE: ClassVar[str] = "notes"
    INDEXES: ClassVar[tuple[str, ...]] = ()
    id: str


def world(seed: int = 7, **options: Any) -> World:
    return World("w", seed, VirtualClock(START), lambda row: row.entry_id, **options)


def act(of: World, lane: str = "key:0", operation: str = "notes.add", **given: Any) -> Act:
    return of.begin_act(operation, "op", lane, given, RowDraft(operation, "system"))


def test_ids_follow_seed_operation_lane_and_input_and_nothing_else() -> None:
    one, two = world(), world()
    act(two, lane="key:9", text="something else first")
    assert act(one, text="x").new_id("note", "n_") == act(two, text="x").new_id("note", "n_")


@pytest.mark.parametrize(
    "other",
    [
        lambda: act(world(8), text="x"),
        lambda: act(world(), lane="key:1", text="x"),
        lambda: act(world(), operation="notes.drop", text="x"),
        lambda: act(world(), text="y"),
    ],
    ids=["seed", "lane", "operation", "input"],
)
def test_ids_differ_when_anything_they_derive_from_differs(other: Any) -> None:
    assert act(world(), text="x").new_id("note", "n_") != other().new_id("note", "n_")


def test_equal_acts_are_told_apart_by_their_ordinal() -> None:
    of = world()
    first, second = act(of, text="x"), act(of, text="x")
    assert (first.key, first.ordinal, second.ordinal) == (second.key, 0, 1)
    assert first.new_id("note", "n_") != second.new_id("note", "n_")


def test_success_commits_state_and_rows() -> None:
    of = world()
    with of.transaction(act(of)) as now:
        of.store.put(Note(now.new_id("note", "n_")))
        now.also("note.indexed", subject="n")
    assert of.store.count(Note) == 1
    assert [row.action for row in of.audit.rows("op")] == ["notes.add", "note.indexed"]


def test_a_fault_undoes_state_and_side_rows_and_keeps_the_refusal() -> None:
    of = world()
    with pytest.raises(Fault), of.transaction(act(of)) as now:
        of.store.put(Note("n"))
        now.also("note.indexed")
        raise Fault(REFUSED, who="ann")
    assert of.store.count(Note) == 0
    (row,) = of.audit.rows("op")
    assert (row.outcome, row.error_code, row.error_message) == ("blocked", "REFUSED", "ann may not")


def test_any_other_exception_undoes_everything_and_gives_the_ordinal_back() -> None:
    of = world()
    with pytest.raises(ZeroDivisionError), of.transaction(act(of, text="x")):
        of.store.put(Note("n"))
        raise ZeroDivisionError
    assert of.store.count(Note) == 0
    assert of.audit.rows("op") == []
    assert act(of, text="x").ordinal == 0


def test_depth_is_one_more_than_the_deepest_act_whose_ids_are_named() -> None:
    of = world()
    with of.transaction(act(of, text="a")) as first:
        made = first.new_id("note", "n_")
    with of.transaction(act(of, about={"ids": [made]})) as second:
        deeper = second.new_id("note", "n_")
    third = act(of, lane=f"agent:{deeper}", text="z")
    assert (first.depth, second.depth, third.depth) == (1, 2, 3)


def test_ticks_space_stamps_in_a_lane_and_move_no_deadline() -> None:
    of = world(tick_ms=5)
    stamps = []
    for _ in range(3):
        with of.transaction(act(of)) as now:
            stamps.append((now.now_ms, now.stamp_ms))
    with of.transaction(act(of, lane="key:1")) as other:
        pass
    assert stamps == [(START, START), (START, START + 5), (START, START + 10)]
    assert other.stamp_ms == START


def test_advance_fires_timers_in_order_at_the_instant_each_was_due() -> None:
    of = world()
    fired: list[tuple[str, int]] = []

    def ring(where: World, now: Act, timer: Timer) -> None:
        fired.append((timer.id, now.now_ms - START))
        if timer.id == "b":
            where.arm(Timer("late", START + 2500, "ring", "key:0", "op"))

    of.timer_handlers["ring"] = ring
    of.arm(Timer("c", START + 3000, "ring", "key:0", "op"))
    of.arm(Timer("b", START + 2000, "ring", "key:0", "op"))
    of.arm(Timer("a", START + 2000, "ring", "key:0", "op"))
    of.arm(Timer("never", START + 9000, "ring", "key:0", "op"))
    assert of.advance(4000) == 4
    assert fired == [("a", 2000), ("b", 2000), ("late", 2500), ("c", 3000)]
    assert of.now_ms() == START + 4000


def test_a_moved_timer_fires_once_and_a_disarmed_one_never() -> None:
    of = world()
    fired: list[int] = []
    of.timer_handlers["ring"] = lambda where, now, timer: fired.append(now.now_ms - START)
    of.arm(Timer("t", START + 1000, "ring", "key:0", "op"))
    of.arm(Timer("t", START + 2000, "ring", "key:0", "op"))
    of.arm(Timer("u", START + 1500, "ring", "key:0", "op"))
    of.disarm("u")
    of.advance(5000)
    assert fired == [2000]


def test_a_timer_armed_by_an_act_that_was_undone_does_not_fire() -> None:
    of = world()
    of.timer_handlers["ring"] = lambda where, now, timer: pytest.fail("fired")
    with pytest.raises(Fault), of.transaction(act(of)):
        of.arm(Timer("t", START + 1000, "ring", "key:0", "op"))
        raise Fault(REFUSED, who="ann")
    assert of.advance(5000) == 0


def test_restoring_an_image_brings_back_state_rows_ids_and_timers() -> None:
    of = world()
    of.timer_handlers["ring"] = lambda where, now, timer: None
    of.arm(Timer("t", START + 1000, "ring", "key:0", "op"))
    image = of.image()

    def run() -> list[str]:
        with of.transaction(act(of, text="x")) as now:
            of.store.put(Note(now.new_id("note", "n_")))
        return [row.entry_hash for row in of.audit.rows("op")]

    first = run()
    of.restore(image)
    assert of.store.count(Note) == 0
    assert run() == first
    assert of.next_due_ms() == START + 1000


def test_the_clock_only_moves_forward() -> None:
    with pytest.raises(ValueError, match="only moves forward"):
        world().advance(-1)
    with pytest.raises(ValueError, match="only moves forward"):
        RealClock().move(-1)


@pytest.mark.parametrize("ms", [0, START, START + 7, 4_102_444_799_999])
def test_instants_survive_being_printed(ms: int) -> None:
    assert parse_iso(iso(ms)) == ms


def test_markers_are_found_wherever_they_stand_in_an_annotation() -> None:
    from typing import Annotated

    from stack_emu.kernel.operations import TOKEN, VOLATILE, Auth, Command, Operation

    class Given(Command):
        plain: Annotated[str, TOKEN]
        inside: Annotated[str, TOKEN] | None = None
        around: Annotated[str | None, VOLATILE] = None
        other: str = ""

    def handler(ctx: object, command: Given) -> None: ...

    handler.__annotations__["command"] = Given
    declared = Operation("x.y", handler, Auth(frozenset()), "here", "invented")
    assert declared.token_fields == {"plain", "inside"}
    assert declared.volatile_fields == {"around"}
