"""Values that remember where they were written, so that every message can point at its line and column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stack_emu.scenario.problems import Location, Part


@dataclass(frozen=True)
class Mark:
    """A place in a text; line and column are counted from 1, and the file is empty where there is only one text."""

    line: int
    column: int
    file: str = ""


NOWHERE = Mark(0, 0)
"""The place of data that was never text."""


class Node:
    """One YAML value with its place.

    Args:
        value: a scalar's Python value, a list of nodes, or a dict of nodes by key.
        mark: where the value begins.
        text: a scalar as it was written, without quotes; None for lists and mappings.
    """

    __slots__ = ("keys", "mark", "text", "value", "weight")

    def __init__(self, value: Any, mark: Mark, text: str | None = None) -> None:
        self.value = value
        self.mark = mark
        self.text = text
        self.weight = 1
        self.keys: dict[str, Mark] = {}

    def plain(self) -> Any:
        """The value without its places: fresh lists and dicts at every call, also where an alias shares a node."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value


@dataclass(frozen=True)
class Found:
    """Where a location leads: as far as the text goes.

    Args:
        location: the location as the text spells it, for example with `operator` where the model says `operators[0]`.
        value_mark: where the value begins.
        key_mark: where the last key stands, or where the value begins when it has none.
        complete: whether the whole location is there.
    """

    location: Location
    value_mark: Mark
    key_mark: Mark
    complete: bool


def find(root: Node, location: Location) -> Found:
    """Follow a location from the root, through the short forms that stand for a list of one."""
    node, key_mark, spelt = root, root.mark, list[Part]()
    index = 0
    while index < len(location):
        key = _spelling(node, location, index)
        if key is None:
            return Found(tuple(spelt), node.mark, key_mark, complete=False)
        if isinstance(key, str) and key != location[index]:
            index += 1  # the short form swallows the list position after it
        key_mark = node.keys[key] if isinstance(key, str) else node.value[key].mark
        node = node.value[key]
        spelt.append(key)
        index += 1
    return Found(tuple(spelt), node.mark, key_mark, complete=True)


def from_data(value: Any) -> Node:
    """Nodes for data that has no text, so that the same checks run on it."""
    node = Node(value, NOWHERE, value if isinstance(value, str) else None)
    if isinstance(value, dict):
        node.value = {str(key): from_data(part) for key, part in value.items()}
        node.keys = dict.fromkeys(node.value, NOWHERE)
    elif isinstance(value, (list, tuple)):
        node.value = [from_data(part) for part in value]
    return node


def _spelling(node: Node, location: Location, index: int) -> Part | None:
    """The key under which the text has this part of the location, or None when it does not have it."""
    part = location[index]
    if isinstance(part, int):
        return part if isinstance(node.value, list) and part < len(node.value) else None
    if not isinstance(node.value, dict):
        return None
    if part in node.value:
        return part
    singular = part[:-1]
    followed_by_first = location[index + 1 : index + 2] == (0,)
    return singular if part.endswith("s") and followed_by_first and singular in node.value else None
