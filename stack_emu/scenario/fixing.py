"""Keys that are misspelt or called otherwise elsewhere, put right in the text without touching anything else.

A key is only changed when there is one thing it can mean and that is not there yet. Values are never changed.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stack_emu.scenario.composition import Choices
from stack_emu.scenario.explain import known_keys
from stack_emu.scenario.loader import FILE_NAME, inspect_text
from stack_emu.scenario.models import Scenario
from stack_emu.scenario.positions import Mark, Node, find
from stack_emu.scenario.problems import Location

RENAMES: dict[str, tuple[str, ...]] = {
    "response": ("reply",),
    "respond": ("reply",),
    "request": ("when",),
    "match": ("when",),
    "matcher": ("when",),
    "statusCode": ("status",),
    "status_code": ("status",),
    "latency": ("delay",),
    "mocks": ("routes",),
    "stubs": ("routes",),
    "agent_id": ("agent",),
    "mission_id": ("mission",),
    "vars": ("variables",),
    "profiles": ("overlays",),
    "include": ("extends",),
    "inherits": ("extends",),
}
"""What other mock servers, compose files and STACK's API call a key, and what a scenario calls it."""

_CLOSE = 0.75
_CLEARLY = 0.1
_PASSES = 16
_MARK = "\ufeff"


def fixed(path: Path, choices: Choices | None = None) -> tuple[Path, str, str] | None:
    """The text of a scenario's own file as it is, and with its keys put right.

    Args:
        path: the file or folder; files it extends are left alone.
        choices: the overlays and variables chosen.

    Returns:
        the file, its text and the text put right, which are equal when there is nothing to do; None when the file
        cannot be read.
    """
    file = path / FILE_NAME if path.is_dir() else path
    try:
        before = file.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    text = before.removeprefix(_MARK)
    for _ in range(_PASSES):  # the keys inside of one are known only when it is known itself
        once = _once(text, file, choices)
        if once == text:
            break
        text = once
    return file, before, (_MARK if before.startswith(_MARK) else "") + text


def _once(text: str, file: Path, choices: Choices | None) -> str:
    inspection = inspect_text(text, str(file), None, choices, file)
    if inspection.root is None:
        return text
    changes = {mark: change for mark, *change in _changes(inspection.root, str(file))}
    lines = text.split("\n")
    for mark in sorted(changes, key=lambda one: (one.line, one.column), reverse=True):
        old, new = changes[mark]
        if mark.line <= len(lines):
            lines[mark.line - 1] = _replaced(lines[mark.line - 1], mark.column - 1, old, new)
    return "\n".join(lines)


def diff(file: Path, before: str, after: str) -> Iterator[str]:
    """The lines that change, as `file:line: -old` and `+new` would be read in a diff."""
    yield from difflib.unified_diff(before.splitlines(), after.splitlines(), str(file), str(file), n=0, lineterm="")


def _changes(root: Node, file: str) -> Iterator[tuple[Mark, str, str]]:
    """Every key to change: its place, what it is and what it becomes."""
    try:
        Scenario.model_validate(root.plain())
        return
    except ValidationError as error:
        unknown = [tuple(one["loc"]) for one in error.errors(include_url=False) if one["type"] == "extra_forbidden"]
    taken: dict[tuple[Location, str], list[tuple[Mark, str]]] = {}
    for location in unknown:
        found = find(root, location)
        key = str(location[-1])
        target = _meant(key, known_keys(location[:-1]))
        if target is not None and found.complete and found.key_mark.file == file:
            taken.setdefault((location[:-1], target), []).append((found.key_mark, key))
    for (location, target), keys in taken.items():
        if len(keys) == 1 and not _there(root, location, target):
            yield keys[0][0], keys[0][1], target


def _there(root: Node, location: Location, target: str) -> bool:
    """Whether the mapping has the key already, or the short or long form of it."""
    other = target[:-1] if target.endswith("s") else f"{target}s"
    return any(_has(root, (*location, key)) for key in (target, other))


def _has(root: Node, location: Location) -> bool:
    node: Any = root
    for part in location:
        if isinstance(node.value, dict) and part in node.value:
            node = node.value[part]
        elif isinstance(node.value, dict) and isinstance(part, str) and part[:-1] in node.value and part.endswith("s"):
            node = Node([node.value[part[:-1]]], node.mark)
        elif isinstance(node.value, list) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
        else:
            return False
    return True


def _meant(key: str, known: list[str]) -> str | None:
    """The one key this can mean, if there is one."""
    for renamed in RENAMES.get(key, ()):
        if renamed in known:
            return renamed
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key).replace("-", "_").lower()
    if plain in known:
        return plain
    ranked = sorted(((difflib.SequenceMatcher(None, plain[:256], one).ratio(), one) for one in known), reverse=True)
    if not ranked or ranked[0][0] < _CLOSE:
        return None
    second = ranked[1][0] if len(ranked) > 1 else 0.0
    return ranked[0][1] if ranked[0][0] - second >= _CLEARLY else None


def _replaced(line: str, column: int, old: str, new: str) -> str:
    """The line with its key changed; as it is when the key is not written there as it reads."""
    start = column + (line[column : column + 1] in ("'", '"'))
    return line[:start] + new + line[start + len(old) :] if line.startswith(old, start) else line
