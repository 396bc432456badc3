from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import pytest

from stack_emu.kernel.store import Store


@dataclass(frozen=True)
class Thing:
    TABLE: ClassVar[str] = "things"
    INDEXES: ClassVar[tuple[str, ...]] = ("owner", "tags")
    id: str
    owner: str
    tags: tuple[str, ...] = ()
    size: int = 0


def ids(found: object) -> list[str]:
    return [thing.id for thing in found]  # type: ignore[attr-defined]


def test_records_are_found_by_an_indexed_field_and_by_members_of_a_tuple() -> None:
    store = Store()
    store.put(Thing("a", "ann", ("red", "big")))
    store.put(Thing("b", "ann", ("red",)))
    store.put(Thing("c", "bob", ("big",)))
    assert ids(store.find(Thing, owner="ann")) == ["a", "b"]
    assert ids(store.find(Thing, tags="big")) == ["a", "c"]
    assert ids(store.find(Thing, owner="ann", tags=("red",))) == ["b"]


def test_a_changed_record_moves_in_its_indexes() -> None:
    store = Store()
    thing = store.put(Thing("a", "ann"))
    store.put(replace(thing, owner="bob"))
    assert ids(store.find(Thing, owner="ann")) == []
    assert ids(store.find(Thing, owner="bob")) == ["a"]


def test_rollback_restores_inserted_changed_and_deleted_records_and_their_indexes() -> None:
    store = Store()
    store.put(Thing("kept", "ann"))
    store.put(Thing("gone", "ann"))
    before = {thing.id: thing for thing in store.all(Thing)}
    store.begin()
    store.put(Thing("new", "bob"))
    store.put(Thing("kept", "bob", size=9))
    store.put(Thing("kept", "cleo", size=10))
    store.delete(Thing, "gone")
    store.rollback()
    assert {thing.id: thing for thing in store.all(Thing)} == before
    assert sorted(ids(store.find(Thing, owner="ann"))) == ["gone", "kept"]
    assert ids(store.find(Thing, owner="bob")) == []
    assert ids(store.find(Thing, owner="cleo")) == []


def test_a_committed_transaction_cannot_be_rolled_back_later() -> None:
    store = Store()
    store.begin()
    store.put(Thing("a", "ann"))
    store.commit()
    store.begin()
    store.rollback()
    assert store.count(Thing) == 1


def test_transactions_do_not_nest() -> None:
    store = Store()
    store.begin()
    with pytest.raises(RuntimeError, match="open already"):
        store.begin()


def test_an_image_is_not_changed_by_later_writes_and_can_be_restored_twice() -> None:
    store = Store()
    store.put(Thing("a", "ann"))
    image = store.image()
    for _ in range(2):
        store.put(Thing("b", "ann"))
        store.put(Thing("a", "bob"))
        store.restore(image)
        assert ids(store.all(Thing)) == ["a"]
        assert ids(store.find(Thing, owner="ann")) == ["a"]
        assert ids(store.find(Thing, owner="bob")) == []


def test_iterating_survives_writes_made_meanwhile() -> None:
    store = Store()
    for name in "abc":
        store.put(Thing(name, "ann"))
    for thing in store.find(Thing, owner="ann"):
        store.delete(Thing, thing.id)
    assert store.count(Thing) == 0
