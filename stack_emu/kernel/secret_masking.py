"""Masking: takes secrets out of JSON data and text, also where they are encoded or cut into pieces, and says where they were."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from stack_emu.kernel.secret_scan import Scanner, Sighting

_RUN = re.compile(r"[A-Za-z0-9+/_=%\\&#;.~-]{6,}")
_KEY = "~"
_MOST_PIECES = 300
"""Texts that are left out one by one to see which of them hold a secret's pieces."""


@dataclass(frozen=True)
class Place:
    """Where a secret was: what was seen, and the JSON path (or header, or byte) where."""

    sighting: Sighting
    where: str

    def __str__(self) -> str:
        return f"{self.sighting.name} ({self.sighting.how}, {self.where})"


@dataclass
class _Leaf:
    path: str
    name: str
    text: str
    masked: str | None = None


@dataclass
class Cleaning:
    """One pass over JSON data.

    Args:
        scanner: knows the secrets.
        but: kinds that are welcome.
        deep: whether texts without a clue are decoded too.
    """

    scanner: Scanner
    but: frozenset[str] = frozenset()
    deep: bool = False
    places: list[Place] = field(default_factory=list)

    def value(self, value: Any, root: str = "$") -> Any:
        """The data without secrets; ``places`` says where they were."""
        leaves = list(_leaves(value, root, ""))
        for leaf in leaves:
            clean, found = self.text(leaf.text)
            if found:
                leaf.masked = clean
                self.places += [Place(one, self._shown(leaf)) for one in found]
        if not self.places:
            self._pieces(leaves)
        if not self.places:
            return value
        return _rebuilt(value, root, {leaf.path: leaf.masked for leaf in leaves if leaf.masked is not None})

    def text(self, text: str) -> tuple[str, list[Sighting]]:
        """A text without secrets, and which there were."""
        found = self._find(text)
        if not found:
            return text, []
        clean = self.scanner.replaced(text, self.but, _mask)
        if self._find(clean):
            clean = _RUN.sub(lambda run: _marked(self._find(run[0]), run[0]), clean)
        if self._find(clean):
            clean = "".join(_mask(one.name) for one in found)
        return clean, found

    def _shown(self, leaf: _Leaf) -> str:
        """The path of a text; a name is shown as one of its object, and a path that holds a secret without it."""
        path = f"a name in {leaf.path.rpartition('.')[0]}" if leaf.name == _KEY else leaf.path
        clean = self.scanner.replaced(path, frozenset(), _mask)
        return "a name" if self._find(clean) else clean

    def _find(self, text: str) -> list[Sighting]:
        return self.scanner.find(text.encode("utf-8", "surrogatepass"), self.but, deep=self.deep)

    def _pieces(self, leaves: list[_Leaf]) -> None:
        """Look for secrets that are cut in pieces: over all texts, and over those that have the same name."""
        by_name: dict[str, list[_Leaf]] = {}
        for leaf in leaves:
            by_name.setdefault(leaf.name, []).append(leaf)
        texts = [leaf for leaf in leaves if leaf.name != _KEY]
        for group in (*by_name.values(), texts):
            if self.places or len(group) == 1:
                continue
            joined = "".join(leaf.text for leaf in group)
            for sighting in self._find(joined):
                pieces = _holding(group, joined, sighting) or self._needed(group, sighting)
                for leaf in pieces:
                    leaf.masked = _mask(sighting.name)
                where = f"{pieces[0].path} to {pieces[-1].path}" if len(pieces) > 1 else pieces[0].path
                self.places.append(Place(Sighting(sighting.name, sighting.kind, _cut(sighting, pieces)), where))

    def _needed(self, group: list[_Leaf], sighting: Sighting) -> list[_Leaf]:
        """The texts without which the secret would not be there; all of them when no single one is."""
        if len(group) > _MOST_PIECES:
            return group
        needed = []
        for left_out in group:
            rest = "".join(leaf.text if leaf is not left_out else "\x01" for leaf in group)
            if sighting.name not in [one.name for one in self._find(rest)]:
                needed.append(left_out)
        return needed or group


def _holding(group: list[_Leaf], joined: str, sighting: Sighting) -> list[_Leaf]:
    """The texts that a secret in clear reaches over."""
    begin = joined.find(sighting.text) if sighting.text else -1
    if begin < 0:
        return []
    end, at, found = begin + len(sighting.text), 0, []
    for leaf in group:
        if at < end and at + len(leaf.text) > begin:
            found.append(leaf)
        at += len(leaf.text)
    return found


def _cut(sighting: Sighting, pieces: list[_Leaf]) -> str:
    cut = f"in {len(pieces)} pieces"
    return cut if sighting.how in ("in clear", "in pieces") else f"{sighting.how}, {cut}"


def _mask(name: str) -> str:
    return f"<secret:{name}>"


def _marked(found: list[Sighting], text: str) -> str:
    return "".join(_mask(one.name) for one in found) or text


def _leaves(value: Any, path: str, name: str) -> Iterator[_Leaf]:
    if isinstance(value, str):
        yield _Leaf(path, name, value)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield _Leaf(f"{path}.{key}{_KEY}", _KEY, str(key))
            yield from _leaves(item, f"{path}.{key}", str(key))
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            yield from _leaves(item, f"{path}[{number}]", name)


def _rebuilt(value: Any, path: str, masked: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return masked.get(path, value)
    if isinstance(value, Mapping):
        return {
            masked.get(f"{path}.{key}{_KEY}", key): _rebuilt(item, f"{path}.{key}", masked)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_rebuilt(item, f"{path}[{number}]", masked) for number, item in enumerate(value)]
    return value
