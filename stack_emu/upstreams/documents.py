"""What packs remember: JSON documents in named collections of the world's store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from stack_emu.kernel.store import Store


@dataclass(frozen=True, slots=True)
class Document:
    """One document. ``id`` is ``<upstream>/<collection>/<key>`` and ``place`` is ``<upstream>/<collection>``.

    ``data`` is JSON and is never changed in place: put a changed copy. ``order`` is the place of the act that made it.
    """

    TABLE: ClassVar[str] = "pack_documents"
    INDEXES: ClassVar[tuple[str, ...]] = ("place",)
    id: str
    place: str
    key: str
    data: Mapping[str, Any]
    order: tuple[int, str, int] = (0, "", 0)


class Collection:
    """A named collection of one upstream, in the order its documents were first put.

    Within a lane that is the order of the calls; documents of several lanes made at the same instant come lane by lane,
    so the order is the same whoever came first.

    Args:
        store: the world's store, in which a transaction is open while a pack answers.
        upstream: name of the upstream, so that two upstreams can use one pack in one world.
        name: name of the collection; ``/`` separates what it belongs to, as in ``issues/acme/shop``.
        order: the place of the act that new documents are made by; that of the seed when left out.
    """

    def __init__(self, store: Store, upstream: str, name: str, order: tuple[int, str, int] = (0, "", 0)) -> None:
        self._store = store
        self._order = order
        self.place = f"{upstream}/{name}"

    def get(self, key: str) -> Mapping[str, Any] | None:
        """The document with this key, or None."""
        found = self._store.get(Document, f"{self.place}/{key}")
        return None if found is None else found.data

    def put(self, key: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """Insert or replace a document and return its data; a replaced one keeps its place in the order."""
        known = self._store.get(Document, f"{self.place}/{key}")
        order = self._order if known is None else known.order
        self._store.put(Document(f"{self.place}/{key}", self.place, key, data, order))
        return data

    def change(self, key: str, **fields: Any) -> Mapping[str, Any]:
        """Put a copy of a document with these fields changed, and return it.

        Raises:
            KeyError: when there is no such document.
        """
        found = self.get(key)
        if found is None:
            raise KeyError(key)
        return self.put(key, {**found, **fields})

    def delete(self, key: str) -> bool:
        """Remove a document; returns whether there was one."""
        if self.get(key) is None:
            return False
        self._store.delete(Document, f"{self.place}/{key}")
        return True

    def items(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Keys and documents, oldest first."""
        kept = sorted(self._store.find(Document, place=self.place), key=lambda one: one.order)
        return ((found.key, found.data) for found in kept)

    def all(self) -> list[Mapping[str, Any]]:
        """The documents, oldest first."""
        return [data for _, data in self.items()]

    def free(self, derive: Callable[[], str]) -> str:
        """The first key of ``derive`` that no document has."""
        while True:
            key = derive()
            if self.get(key) is None:
                return key
