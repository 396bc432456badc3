"""What a service made from a document remembers: its things, by kind and key."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from stack_emu.kernel.acts import Act
from stack_emu.kernel.ids import derive
from stack_emu.kernel.world import World
from stack_emu.upstreams.documents import Collection
from stack_emu.upstreams.openapi.document import Api
from stack_emu.upstreams.openapi.kinds import Kind
from stack_emu.upstreams.openapi.shapes import Shaper
from stack_emu.upstreams.openapi.values import Maker, Origin

Owner = Mapping[str, str]
"""What a thing belongs to: the id of the one, by the shape of its path."""


@dataclass(frozen=True)
class Things:
    """The things of one kind in one upstream.

    Args:
        api: the document.
        kind: the kind.
        world: where they are kept.
        upstream: name of the upstream.
        now_ms: the instant of the call.
        order: the place of the act among all, for new things.
    """

    api: Api
    kind: Kind
    world: World
    upstream: str
    now_ms: int
    order: tuple[int, str, int] = (0, "", 0)

    @property
    def records(self) -> Collection:
        """What is kept: ``thing``, ``parents`` and ``made`` (epoch milliseconds), by key."""
        return Collection(self.world.store, self.upstream, f"things {self.kind.name}", self.order)

    def key(self, thing_id: str, owner: Owner) -> str:
        """The key of a thing; ids that are unique only beside one another count with what they belong to."""
        parents = [owner.get(shape, "") for shape in self.kind.parents[0]] if self.kind.by_parent else []
        return "/".join(quote(one, safe="") for one in (*parents, thing_id))

    def get(self, thing_id: str, owner: Owner) -> tuple[str, Mapping[str, Any]] | None:
        """The key and the record of a thing, or None when it is not there or belongs to something else."""
        key = self.key(thing_id, owner)
        record = self.records.get(key)
        return (key, record) if record is not None and self.belongs(record, owner) else None

    def of(self, owner: Owner) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Keys and records of what belongs to something, oldest first."""
        return ((key, record) for key, record in self.records.items() if self.belongs(record, owner))

    def belongs(self, record: Mapping[str, Any], owner: Owner) -> bool:
        """Whether a thing belongs to all of these; a field that says so counts before the path it was made at."""
        thing: Mapping[str, Any] = record["thing"]
        for shape, thing_id in owner.items():
            name = self.kind.link(thing, shape)
            said = thing[name] if name is not None else record["parents"].get(shape)
            if said is not None and not isinstance(said, (dict, list)) and str(said) != thing_id:
                return False
            if said is None and shape in {one for parents in self.kind.parents for one in parents}:
                return False
        return True

    def put(self, key: str, thing: Mapping[str, Any], owner: Owner, made_ms: int | None = None) -> Mapping[str, Any]:
        """Keep a thing, with everything filled in that some reply shows of it."""
        whole: Any = dict(thing)
        shaper = self.shaper(key)
        for schema in self.kind.items:
            whole = shaper.filled(schema, whole)
        made = self.now_ms if made_ms is None else made_ms
        return self.records.put(key, {"thing": whole, "parents": dict(owner), "made": made})

    def shaper(self, key: str) -> Shaper:
        """What fits a thing to schemas; what it makes up follows from the thing's key."""
        raw = derive(self.world.seed, "openapi", f"{self.upstream}/{self.kind.name}/{key}", 0, 0)
        return Shaper(Maker(self.api.replies, Origin(raw, self.now_ms)))

    def linked(self, owner: Owner) -> dict[str, Any]:
        """The fields by which a thing says what it belongs to."""
        found: dict[str, Any] = {}
        for shape, thing_id in owner.items():
            name = self.kind.link(self.properties(), shape)
            if name is not None:
                for value in (thing_id, int(thing_id) if re.fullmatch(r"\d{1,18}", thing_id) else thing_id):
                    if self.api.replies.valid(self.properties()[name], value):
                        found[name] = value
        return found

    def properties(self) -> dict[str, Any]:
        """The schemas of the fields that replies show of a thing."""
        schemas = self.api.replies
        return {
            name: inner
            for schema in self.kind.items[::-1]
            for form in schemas.forms(schema)
            for name, inner in (form.get("properties") or {}).items()
        }

    def typed_id(self, thing_id: str) -> Any:
        """An id as the field that holds it has it: a number where that is one."""
        schema = self.properties().get(self.kind.id_field or "", {})
        if re.fullmatch(r"\d{1,18}", thing_id) and not self.api.replies.valid(schema, thing_id):
            return int(thing_id)
        return thing_id

    def new_id(self, act: Act) -> str:
        """A new id, derived from the act, that the field which holds it may have."""
        schema = self.properties().get(self.kind.id_field or "", {})
        whole = self.api.replies.merged(schema)
        example = next(
            (one for one in (whole.get("example"), *(whole.get("examples") or ())) if isinstance(one, str)), ""
        )
        begins = re.match(r"[A-Za-z]+[_-](?=[A-Za-z0-9]*\d)", example) if whole.get("format") != "uuid" else None
        number = 10_000_000 + act.new_number("openapi", 90_000_000)
        for candidate in (f"{begins[0] if begins else ''}{number}", number):
            if self.api.replies.valid(schema, candidate):
                return str(candidate)
        plain = {key: one for key, one in whole.items() if key not in ("example", "examples", "default")}
        return str(Maker(self.api.replies, Origin(act.new_bytes("openapi"), self.now_ms)).make(plain, "id"))
