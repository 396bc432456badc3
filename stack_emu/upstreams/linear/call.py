"""One GraphQL request on its way: the workspace it reads and writes, and ids derived from its act."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stack_emu.kernel.clock import iso
from stack_emu.upstreams.documents import Collection
from stack_emu.upstreams.linear.errors import LinearError, invalid, not_found
from stack_emu.upstreams.linear.records import ENTITY_OF, LISTS
from stack_emu.upstreams.packs import PackContext

Document = Mapping[str, Any]
WORKSPACE = "workspace"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass
class LinearCall:
    """What resolvers work with.

    Args:
        context: what the engine gave.
        done: out: whether a root field came to an end without an error.
        ineffective: out: arguments that were given and change nothing here.
    """

    context: PackContext
    done: bool = False
    ineffective: set[str] = field(default_factory=set)

    @property
    def now(self) -> str:
        """The time stamp of the call as Linear prints it, spaced by the world's tick."""
        return iso(self.context.act.stamp_ms)

    @property
    def instant(self) -> str:
        """The instant of the call as Linear prints it: what cycles begin and end by."""
        return iso(self.context.act.now_ms)

    def collection(self, name: str) -> Collection:
        """A collection of this upstream."""
        return Collection(self.context.world.store, self.context.upstream, name)

    def get(self, collection: str, key: str) -> Document | None:
        """A document by its id, or None."""
        return self.collection(collection).get(key)

    def find(self, collection: str, key: str | None) -> Document:
        """A document by its id; an issue by its identifier and a team by its key too.

        Raises:
            LinearError: when there is none.
        """
        found = None if key is None else self.get(collection, key)
        if found is None and key is not None and collection == "issues":
            pointer = self.get("identifiers", key.upper())
            found = pointer and self.get("issues", pointer["id"])
        if found is None and key is not None and collection == "teams":
            found = next((team for team in self.collection("teams").all() if team["key"] == key), None)
        if found is None and key is not None and collection == "projects":
            found = next((one for one in self.collection("projects").all() if one["slugId"] == key), None)
        if found is None:
            raise not_found(ENTITY_OF[collection])
        return found

    def workspace(self) -> Document:
        """The organization, with the ids of the acting user."""
        found = self.get(WORKSPACE, WORKSPACE)
        assert found is not None
        return found

    def viewer(self) -> Document:
        """The user every connection acts as."""
        return self.find("users", self.workspace()["viewerId"])

    def listed(self, kind: str, name: str, source: Document) -> list[Document]:
        """The documents of a list that hangs on an entity."""
        collection, link = LISTS[kind, name]
        if link.startswith("*"):
            wanted = [self.get(collection, key) for key in source.get(link[1:], ())]
            return [one for one in wanted if one is not None]
        everything = self.collection(collection).all()
        if not link:
            return everything
        return [one for one in everything if _links(one.get(link), source["id"])]

    def new_id(self, collection: str, given: str | None) -> str:
        """The id of a new document: the client's own, or one derived from the act.

        Raises:
            LinearError: when the client's is no UUID, or taken.
        """
        if given is None:
            documents = self.collection(collection)
            return self.mint(documents.free(lambda: uuid_of(self.context.act.new_bytes(collection))))
        key = given.lower()
        if _UUID.fullmatch(key) is None:
            raise invalid("id must be a UUID")
        if self.get(collection, key) is not None:
            message = f"Entity with id {key} already exists"
            raise LinearError(message, "conflict on insert of " + ENTITY_OF[collection])
        return self.mint(key)

    def mint(self, value: str) -> str:
        """Note an id, so that calls which name it later are known to come after it."""
        self.context.act.minted.append(value)
        return value

    def number(self, kind: str, digits: int) -> int:
        """A number of so many digits, derived from the act."""
        lowest = 10 ** (digits - 1)
        number: int = lowest + self.context.act.new_number(kind, 9 * lowest)
        return number

    def payload(self, **fields: Any) -> dict[str, Any]:
        """What a mutation answers."""
        return {"success": True, "lastSyncId": self.number("sync", 10), **fields}


def uuid_of(raw: bytes) -> str:
    """A version 4 UUID from derived bytes."""
    text = raw[:16].hex()
    variant = "89ab"[int(text[16], 16) % 4]
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{variant}{text[17:20]}-{text[20:32]}"


def _links(value: Any, key: str) -> bool:
    return key in value if isinstance(value, (list, tuple)) else value == key
