"""What differs between two states of a world, or between two worlds: record by record, in words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from stack_emu.kernel.record_json import RecordCodec
from stack_emu.kernel.redactor import Redactor
from stack_emu.kernel.store import StoreImage
from stack_emu.kernel.world import WorldImage

_LONGEST = 60
_DIGEST = re.compile(r"\b([0-9a-f]{8})[0-9a-f]{56}\b")
_NAMING = ("name", "title", "label", "handle", "email", "text")


@dataclass(frozen=True)
class Difference:
    """A record that differs.

    Args:
        table: its table.
        id: its id.
        change: ``added``, ``removed`` or ``changed``.
        label: what people call it, where it has a name.
        fields: for a changed one, each field that differs as [before, after]; otherwise its fields.
    """

    table: str
    id: str
    change: str
    label: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)

    def sentence(self) -> str:
        """The difference in words."""
        shown = _DIGEST.sub(r"\1…", self.id)
        named = f"{self.table.replace('_', ' ')}: {shown}" + (f" ({self.label})" if self.label else "")
        if self.change != "changed":
            return f"{named} {self.change}"
        each = ", ".join(_changed(name, old, new) for name, (old, new) in self.fields.items())
        return f"{named} changed: {each}"


@dataclass(frozen=True)
class Compared:
    """Two states compared.

    Args:
        records: the records that differ, by table and id.
        acts: how many acts the first and the second state have.
        moved_ms: how far the clock of each was moved.
    """

    records: tuple[Difference, ...]
    acts: tuple[int, int]
    moved_ms: tuple[int, int]

    def as_json(self) -> dict[str, Any]:
        """The comparison as JSON data, with its text."""
        return {
            "same": not self.records and self.acts[0] == self.acts[1] and self.moved_ms[0] == self.moved_ms[1],
            "records": [
                {"table": one.table, "id": one.id, "change": one.change, "label": one.label, "fields": dict(one.fields)}
                for one in self.records
            ],
            "acts": list(self.acts),
            "clock_moved_ms": list(self.moved_ms),
            "text": self.text(),
        }

    def text(self) -> str:
        """The comparison in words, a line for each difference."""
        lines = [one.sentence() for one in self.records]
        if self.acts[0] != self.acts[1]:
            lines.append(f"audit: {self.acts[0]} acts → {self.acts[1]}")
        if self.moved_ms[0] != self.moved_ms[1]:
            lines.append(f"clock: moved by {self.moved_ms[0]} ms → {self.moved_ms[1]} ms")
        return "".join(line + "\n" for line in lines)


def compare(before: WorldImage, after: WorldImage, codec: RecordCodec, redactor: Redactor) -> Compared:
    """What differs between two pictures, secrets masked.

    Args:
        before: the first.
        after: the second.
        codec: knows the kinds of both.
        redactor: masks the secrets of both.
    """
    found = sorted(_differences(before.store, after.store, codec, redactor), key=lambda one: (one.table, one.id))
    return Compared(
        tuple(found),
        (len(before.audit.acts), len(after.audit.acts)),
        (before.clock_moved_ms, after.clock_moved_ms),
    )


def _differences(before: StoreImage, after: StoreImage, codec: RecordCodec, redactor: Redactor) -> Iterator[Difference]:
    for kind in {**before.tables, **after.tables}:
        old, new = before.rows(kind), after.rows(kind)
        for key in {**old, **new}:
            was, now = old.get(key), new.get(key)
            if was is now or was == now:
                continue
            was_data, now_data = (None if one is None else codec.dump(one) for one in (was, now))
            yield _difference(kind.TABLE, redactor.text(key), was_data, now_data, redactor)


def _difference(
    table: str, key: str, was: Mapping[str, Any] | None, now: Mapping[str, Any] | None, redactor: Redactor
) -> Difference:
    label = next((str(one[name]) for one in (now, was) if one for name in _NAMING if one.get(name)), "")
    label = redactor.text(label)
    if was is None or now is None:
        change, fields = ("added", now) if was is None else ("removed", was)
        return Difference(table, key, change, label, redactor.value(dict(fields or {})))
    changed = {name: redactor.value([was.get(name), now.get(name)]) for name in now if was.get(name) != now.get(name)}
    return Difference(table, key, "changed", label, changed)


def _changed(name: str, old: Any, new: Any) -> str:
    if old == new:  # two secrets of one name
        return f"{name} {_short(old)} → another"
    return f"{name} {_short(old)} → {_short(new)}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
