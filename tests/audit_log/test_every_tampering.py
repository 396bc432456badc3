"""Every single change of every field of a long log is caught and the right row named; so is each other tampering, everywhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from stack_emu.audit_log.canonical_file import Line, canonical, read_canonical, read_line
from stack_emu.audit_log.checkpoints import Checkpoint, checkpoint_break, statement_of
from stack_emu.audit_log.raw_rows import HASHED, RawFile
from stack_emu.audit_log.tampering import DELETE, EDIT, FORK, INSERT, REHASH, SWAP, TRUNCATE, WAYS, spoil
from stack_emu.audit_log.verdicts import DELETED, EDITED, FORKED, INSERTED, REHASHED, SWAPPED, TRUNCATED
from stack_emu.audit_log.verification import canonical_break, read, verify
from tests.audit_log.logs import long_file, long_log, raw_file

LOG = long_file()
UNTOUCHED = long_log()
Record = Callable[[str, object], None]


def other_values(value: Any) -> Iterator[Any]:
    """Values a field could be changed to: one of its kind, and one of another."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield value + 1
    elif isinstance(value, str):
        yield value + "x" if len(value) != 64 else ("e" if value[0] == "f" else "f") + value[1:]
    elif isinstance(value, list):
        yield [*value, "x"]
    else:
        yield {**value, "x": "0" * 64} if isinstance(value, dict) else "x"
    yield None


def edits(content: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every edit of one field: changed, taken out, put in."""
    for name, value in content.items():
        for other in other_values(value):
            yield "changed", {**content, name: other}
        yield "removed", {key: item for key, item in content.items() if key != name}
    for name in ("reason", "lanes", "head"):
        if name not in content:
            yield "added", {**content, name: "x"}


def test_every_edit_of_one_field_names_the_edited_line(record_property: Record) -> None:
    assert canonical_break(LOG.lines) is None
    assert len(LOG.rows) >= 200
    counted: Counter[str] = Counter()
    lines: list[Line] = list(LOG.lines)
    for number, line in enumerate(LOG.lines, 1):
        assert line.content is not None
        for what, edited in edits(line.content):
            lines[number - 1] = read_line(canonical(edited))
            broken = canonical_break(lines)
            assert broken is not None, (number, what)
            assert (broken.kind, broken.line) == (EDITED, number), (str(broken), what, edited)
            counted[what] += 1
        lines[number - 1] = line
    for what, count in counted.items():
        record_property(f"fields {what} and caught", count)
    print(f"{len(LOG.rows)} rows:", *(f"{count} fields {what}," for what, count in counted.items()), "all caught")
    assert sum(counted.values()) > 9000


def last_of_lane(number: int) -> bool:
    """Whether the row on this line is its lane's last."""
    return number == len(LOG.rows) or LOG.lines[number].lane != LOG.lines[number - 1].lane


def expected(how: str, number: int) -> tuple[set[str], set[int]]:
    """The names a tampering may be given, and the lines it may be seen on."""
    if how == DELETE:
        if not last_of_lane(number):
            return {DELETED}, {number}
        alone = number == 1 or LOG.lines[number - 2].lane != LOG.lines[number - 1].lane
        return {TRUNCATED}, {len(LOG.lines) - 1 if alone else number - 1}
    if how == TRUNCATE:
        return {TRUNCATED}, {number - 1}
    if how in (INSERT, FORK):
        return {WAYS[how]}, {number + 1}
    return {WAYS[how]}, {number}


@pytest.mark.parametrize("how", [DELETE, INSERT, SWAP, TRUNCATE, FORK, EDIT])
def test_every_other_tampering_is_named_at_every_place(how: str, record_property: Record) -> None:
    places = len(LOG.rows) - (how == SWAP)
    for number in range(1, places + 1):
        spoiled = read_canonical(spoil(LOG, how, number, None, False).data)
        broken = canonical_break(spoiled.lines, spoiled.ended)
        kinds, at = expected(how, number)
        assert broken is not None, number
        assert broken.kind in kinds, (number, str(broken))
        assert broken.line in at, (number, str(broken))
    record_property(f"{how} caught at", places)
    print(f"{how}: caught at all {places} places")


@pytest.mark.parametrize("how", list(WAYS))
def test_hashed_anew_it_holds_by_itself_and_only_a_checkpoint_notices(how: str, record_property: Record) -> None:
    checkpoint = Checkpoint(statement_of(LOG), "key", "")
    assert checkpoint_break(LOG, checkpoint) is None
    places = range(1, len(LOG.rows), 7)
    for number in places:
        data = spoil(LOG, how, number, None, True).data
        if data == UNTOUCHED:  # rows of two lanes changed places, and hashing anew sorted the lanes
            assert how == SWAP
            assert last_of_lane(number)
            continue
        spoiled = read_canonical(data)
        assert canonical_break(spoiled.lines) is None
        broken = checkpoint_break(spoiled, checkpoint)
        grown = how in (INSERT, FORK) and last_of_lane(number)
        assert (broken is None) == grown, number  # rows behind the signed ones are what a checkpoint allows
        if broken is not None:
            assert broken.kind == TRUNCATED if how == TRUNCATE else broken.kind in (REHASHED, TRUNCATED), str(broken)
    record_property(f"{how}, hashed anew, caught at", len(places))


# --- raw rows -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["json", "ndjson", "csv"])
def test_every_edit_of_a_hashed_column_is_caught_and_no_other_can_be(form: str, record_property: Record) -> None:
    file = raw_file(form)
    assert verify(file).valid
    counted: Counter[bool] = Counter()
    for at in range(len(file.entries)):
        for name, value in file.entries[at].items():
            entries = list(file.entries)
            entries[at] = {**file.entries[at], name: next(other_values(value))}
            changed = file.with_entries(entries)
            broken = verify(changed).broken
            hashed = name in HASHED or name == "entry_hash"
            assert (broken is not None) == hashed, (at, name)
            if broken is not None:
                assert (broken.kind, broken.line) == (EDITED, changed.lines[at]), (name, str(broken))
            counted[hashed] += 1
    record_property(f"{form}: edits caught", counted[True])
    record_property(f"{form}: edits outside the hash, not to be seen", counted[False])
    print(f"{form}: {counted[True]} edits caught, {counted[False]} outside the hash")


INSIDE = {DELETE: DELETED, EDIT: EDITED, SWAP: SWAPPED, FORK: FORKED, INSERT: INSERTED}


@pytest.mark.parametrize("form", ["json", "ndjson", "csv"])
@pytest.mark.parametrize("how", list(WAYS))
def test_raw_exports_are_seen_through_at_every_place_with_a_checkpoint(how: str, form: str) -> None:
    """Without one, only what is missing at either end, or hashed anew, can pass."""
    file = raw_file(form)
    checkpoint = Checkpoint(statement_of(file), "key", "")
    assert checkpoint_break(file, checkpoint) is None
    last = len(file.entries) - 1
    for at in range(last + (how != SWAP)):
        again = read(spoil(file, how, file.lines[at], None, False).data)
        broken = verify(again).broken
        if how in INSIDE and 0 < at < last - 1:
            assert isinstance(again, RawFile)
            assert broken is not None, at
            assert broken.kind == INSIDE[how], (at, str(broken))
            assert broken.line in again.lines[at : at + 2], (at, str(broken))
            continue
        if broken is None:
            broken = checkpoint_break(again, checkpoint)
        if how == INSERT and at == last and form != "json":
            assert broken is None  # a row more at the end is what a checkpoint allows
            continue
        assert broken is not None, at
        if how in (TRUNCATE, REHASH):
            assert broken.kind == (TRUNCATED if how == TRUNCATE else REHASHED), (at, str(broken))
