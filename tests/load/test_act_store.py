"""Old acts leave memory for a file: what is read, hashed, pictured, spoilt and exported is what it would have been."""

from __future__ import annotations

import gc
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stack_emu.domain.audit_hash import row_hash
from stack_emu.domain.canonical_audit import canonical_log
from stack_emu.kernel import act_store
from stack_emu.kernel.acts import RowDraft
from stack_emu.kernel.audit import Row, as_dict, verify_chain
from stack_emu.kernel.clock import VirtualClock
from stack_emu.kernel.world import World

ROWS = 400


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Acts leave memory early."""
    monkeypatch.setattr(act_store, "KEPT", 20)
    monkeypatch.setattr(act_store, "SEGMENT", 7)


def add(world: World, number: int) -> None:
    operator, agent, passport = f"op_{number % 3 // 2}", f"agent_{number % 5}", f"pp_{number // 10}"
    draft = RowDraft("credential.proxy", "vault")
    draft.set(
        agent_id=agent, passport_jti=passport, mission=f"ms_{number % 4}", nested={"a": [1, {"ö": None}], "b": 0.5}
    )
    draft.set(half="\ud800" if number % 50 == 0 else None)
    lane = f"agent:{agent}/passport:{passport}"
    with world.transaction(world.begin_act("proxy.request", operator, lane, {"n": number}, draft)):
        world.clock.move(10)


def filled(rows: int = ROWS) -> World:
    world = World("w", 1, VirtualClock(0), row_hash)
    for number in range(rows):
        add(world, number)
    return world


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> tuple[World, World]:
    """Two worlds with the same rows: all in memory, and most in a file."""
    whole = filled()
    monkeypatch.setattr(act_store, "KEPT", 20)
    monkeypatch.setattr(act_store, "SEGMENT", 7)
    put_away = filled()
    assert (len(whole.audit.acts()._segments), len(put_away.audit.acts()._segments)) == (0, (ROWS - 20) // 7)
    return whole, put_away


def test_every_way_of_reading_gives_what_memory_gives(both: tuple[World, World]) -> None:
    whole, put_away = both
    acts, kept = put_away.audit.acts(), list(whole.audit.acts())
    assert list(acts) == kept
    assert [acts[place] for place in range(-ROWS, ROWS)] == kept + kept
    for first, last, step in ((0, 5, 1), (3, 390, 50), (-3, None, 1), (None, None, -1), (390, 1000, 1), (5, 2, 1)):
        assert acts[first:last:step] == kept[first:last:step]
    assert acts == kept
    for place in (0, 6, 7, 8, 379, 380, 399, 400, 500):
        assert list(acts.since(place)) == kept[place:]
    assert list(reversed(acts)) == kept[::-1]
    for beyond in (ROWS, -ROWS - 1, 10 * ROWS):
        with pytest.raises(IndexError):
            acts[beyond]
    for operator in ("op_0", "op_1"):
        rows, wanted = put_away.audit.rows(operator), list(whole.audit.rows(operator))
        assert [as_dict(row) for row in rows] == [as_dict(row) for row in wanted]
        assert rows[3:200:17] == wanted[3:200:17]
        assert rows[-1] == wanted[-1]
        for place in (0, 1, 8, 200, len(wanted) - 3, len(wanted), len(wanted) + 5):
            assert list(rows.since(place)) == wanted[place:]
        assert verify_chain(rows, row_hash) is None
        with pytest.raises(IndexError):
            rows[len(wanted)]
    assert whole.audit.rows("op_0") == put_away.audit.rows("op_0") != put_away.audit.rows("op_1")


@pytest.mark.parametrize("order", ["commit", "content"])
def test_the_canonical_log_is_the_same_bytes(both: tuple[World, World], order: str) -> None:
    whole, put_away = both
    for world in both:
        assert any(row.metadata.get("half") == "\ud800" for row in world.audit.rows("op_0"))
    assert canonical_log(put_away, order) == canonical_log(whole, order)


def test_rows_are_found_by_what_they_say(both: tuple[World, World]) -> None:
    whole, put_away = both
    for asked in (
        {"agent_id": "agent_1"},
        {"passport_jti": "pp_7"},
        {"mission": "ms_3", "agent_id": "agent_2"},
        {"mission": "ms_9"},
        {"from_ms": 500, "to_ms": 900},
        {"from_ms": 3_000, "agent_id": "agent_4"},
        {"from_place": 100, "to_ms": 2_000},
    ):
        for newest_first in (False, True):
            found = [
                [row.entry_id for row in world.audit.chain("op_0").select(newest_first=newest_first, **asked)]  # type: ignore[arg-type]
                for world in (put_away, whole)
            ]
            assert found[0] == found[1], asked


def test_a_picture_is_what_it_was_and_goes_its_own_way(little: None) -> None:
    world = filled(100)
    image, before = world.image(), canonical_log(world)
    for number in range(100, 200):
        add(world, number)
    later = canonical_log(world)
    assert len(image.audit.acts) == 100
    twin = World("w", 1, VirtualClock(0), row_hash)
    twin.restore(image)
    assert canonical_log(twin) == before
    for number in range(100, 200):
        add(twin, number)
    assert canonical_log(twin) == later == canonical_log(world)
    world.restore(image)
    assert canonical_log(world) == before
    assert twin.audit.rows("op_0")[-1].entry_id != world.audit.rows("op_0")[-1].entry_id


@pytest.mark.parametrize("place", [0, 5, 150, -1])
def test_an_old_row_that_is_spoilt_is_noticed_and_pictured_spoilt(both: tuple[World, World], place: int) -> None:
    for world in both:
        world.audit.tamper("op_0", place, action="nothing.happened")
        image = world.audit.image()
        world.audit.restore(image)
        found = verify_chain(world.audit.rows("op_0"), row_hash)
        rows = len(world.audit.rows("op_0"))
        assert found is not None
        assert found.index == place % rows
    assert [row.action for row in both[0].audit.rows("op_0")] == [row.action for row in both[1].audit.rows("op_0")]


def test_reading_goes_on_while_rows_come_and_leave(little: None) -> None:
    world = filled(50)
    seen = []
    for act in world.audit.acts():
        seen.append(act.sequence)
        if len(seen) <= 50:
            add(world, 50 + len(seen))
    assert seen == list(range(100))


def test_memory_holds_the_latest_only_and_nothing_is_left_behind() -> None:
    def in_memory() -> int:
        gc.collect()
        return sum(type(one) is Row for one in gc.get_objects())

    def files() -> set[str]:
        links = (Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd"))
        return {str(link) for link in links if link.is_symlink() and os.readlink(link).endswith(" (deleted)")}

    rows, open_files = in_memory(), files()
    world = filled(act_store.KEPT + 5 * act_store.SEGMENT)
    picture = world.image()
    assert in_memory() - rows <= act_store.KEPT + act_store.SEGMENT
    [file] = files() - open_files
    del world
    assert len(picture.audit.acts[0].rows) == 1
    assert files() - open_files == {file}
    del picture
    gc.collect()
    assert files() <= open_files


FULL = """
import logging, resource, signal, sys
from stack_emu.kernel import act_store
from tests.load.test_act_store import ROWS, canonical_log, filled, row_hash, verify_chain
act_store.KEPT, act_store.SEGMENT = 20, 7
logging.basicConfig(level=logging.WARNING)
if sys.argv[1] == "full":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
world = filled()
assert len(world.audit.acts()) == ROWS
assert verify_chain(world.audit.rows("op_0"), row_hash) is None
import hashlib
print(len(world.audit.acts()._segments), hashlib.sha256(canonical_log(world)).hexdigest())
"""


def test_without_room_for_a_file_rows_stay_in_memory_and_that_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "no folder").write_text("")
    wanted = hashlib.sha256(canonical_log(filled())).hexdigest()
    for case in ("room", "full"):
        done = subprocess.run(
            [sys.executable, "-c", FULL, case],
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
            cwd=Path(__file__).parents[2],
        )
        assert done.returncode == 0, done.stderr
        segments, digest = done.stdout.split()
        assert digest == wanted
        if case == "full":
            assert 0 < int(segments) < (ROWS - 20) // 7
            assert done.stderr.count("stay in memory from here on") == 1
        else:
            assert int(segments) == (ROWS - 20) // 7
            assert done.stderr == ""
