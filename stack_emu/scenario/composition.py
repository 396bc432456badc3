"""One scenario out of several texts: what it extends, the overlays chosen, and its variables.

The order is: what `extends` names, from left to right; the file itself; each overlay chosen, in the order chosen. What
comes later wins. Variables are put in last, when all of them are known. Every value keeps the place where it was
written, also the file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stack_emu.scenario.merging import Merge, drop
from stack_emu.scenario.pack_paths import resolve_paths
from stack_emu.scenario.positions import NOWHERE, Mark, Node, find
from stack_emu.scenario.problems import Location, Problem, path_text, suggestion
from stack_emu.scenario.yaml_reader import compose, resolve

KEYS = ("extends", "overlays", "variables", "replace", "drop")
"""The keys by which a scenario is composed; they are gone when it is."""

MAX_EXTENDS = 16
"""How many files may extend one another in a row."""

MAX_FILES = 64
"""How many files may be read for one scenario, each time one is read."""

_OWN = ("name", "description")
_VARIABLE = re.compile(r"\$(\$?)\{([^{}\n]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class Choices:
    """What is chosen for a scenario from outside of it.

    Args:
        overlays: the overlays to lay over it, in order.
        variables: values of its variables, as text that is read like a plain YAML value, or as a value.
    """

    overlays: tuple[str, ...] = ()
    variables: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Composition:
    """What became of composing.

    Args:
        root: the whole scenario.
        problems: what is wrong, each with its file.
        files: every file that was read or looked for.
    """

    root: Node
    problems: list[Problem]
    files: tuple[Path, ...] = ()


Reader = Callable[[Path], "str | Problem"]
"""Reads the text of a file, or says why it cannot."""


def assemble(root: Node, source: str, file: Path | None, choices: Choices, read: Reader) -> Composition:
    """Make one scenario out of a text and what it names.

    Args:
        root: the text.
        source: what stands for the text in messages.
        file: its file, from where `extends` counts; None when it has none.
        choices: overlays and variables chosen from outside.
        read: reads further files.
    """
    return _Assembly(source, choices, read).run(root, file)


class _Assembly:
    def __init__(self, source: str, choices: Choices, read: Reader) -> None:
        self.source = source
        self.choices = choices
        self.read = read
        self.problems: list[Problem] = []
        self.files: list[Path] = []

    def run(self, root: Node, file: Path | None) -> Composition:
        if file is not None:
            self.files.append(file)
        whole = self._extended(root, self.source, file, ())
        whole = self._overlaid(whole)
        if any(key in whole.value for key in KEYS) or self.choices.variables:
            values = self._variables(whole)
            whole = _without_keys(whole)
        else:
            values = {}
        whole = self._filled(whole, values, ())
        return Composition(whole, self.problems, tuple(dict.fromkeys(self.files)))

    # --- extends ----------------------------------------------------------------------------------------------------

    def _extended(self, root: Node, source: str, file: Path | None, chain: tuple[Path, ...]) -> Node:
        """The text laid over everything it extends."""
        if file is not None:
            chain = (*chain, file.resolve())
        lower: Node | None = None
        for entry, location in _entries(root, "extends"):
            found = self._base(entry, location, source, file, chain)
            if found is not None:
                lower = found if lower is None else self._laid(lower, found, source)
        if lower is None:
            return root
        for key in _OWN:
            lower.value.pop(key, None)
        return self._laid(lower, root, source)

    def _base(
        self, entry: Node, location: Location, source: str, file: Path | None, chain: tuple[Path, ...]
    ) -> Node | None:
        path, sentence = entry.value, None
        if not isinstance(path, str) or not path:
            sentence = "extends names a file, or a list of files, such as ../base.yaml"
        elif file is None:
            sentence = "only a scenario in a file can extend another; save it, or write the parts into it"
        elif "://" in path or path.startswith(("/", "\\", "~")) or Path(path).is_absolute():
            sentence = f"{path} is not beside this file; name it relative to this file, such as ../base.yaml"
        elif len(chain) > MAX_EXTENDS:
            sentence = f"more than {MAX_EXTENDS} files extend one another; make the chain shorter"
        elif len(self.files) >= MAX_FILES:
            sentence = f"the scenario needs more than {MAX_FILES} files; put some of them together"
        if sentence is not None or file is None:
            self._problem(entry.mark, source, location, sentence or "")
            return None
        target = Path(os.path.normpath(file.parent / path))
        if target.is_dir():
            target = target / "scenario.yaml"
        if target.resolve() in chain:
            circle = [*chain[chain.index(target.resolve()) :], target.resolve()]
            sentence = f"the files extend one another in a circle ({' → '.join(one.name for one in circle)}); end it"
            self._problem(entry.mark, source, location, sentence)
            return None
        self.files.append(target)
        text = self.read(target)
        if isinstance(text, Problem):
            self._problem(entry.mark, source, location, f"{path} cannot be used: {text.sentence}")
            return None
        return self._composed(text, str(target), target, chain)

    def _composed(self, text: str, source: str, target: Path, chain: tuple[Path, ...]) -> Node | None:
        composed = compose(text.removeprefix("\ufeff"), source=source)
        for found in composed.problems:
            self._problem(found.mark, source, found.location, found.sentence)
        if composed.root is None or not isinstance(composed.root.value, dict):
            if not composed.problems:
                self._problem(Mark(1, 1), source, (), "a scenario is a mapping; begin with stack_emu: 1")
            return None
        for location, sentence in resolve_paths(composed.root, target.parent):
            self._problem(find(composed.root, location).value_mark, source, location, sentence)
        return self._extended(composed.root, source, target, chain)

    # --- overlays ---------------------------------------------------------------------------------------------------

    def _overlaid(self, whole: Node) -> Node:
        overlays = whole.value.get("overlays")
        known: dict[str, Node] = {}
        if overlays is not None and isinstance(overlays.value, dict):
            known = overlays.value
            for name, overlay in known.items():
                self._check_overlay(name, overlay)
        elif overlays is not None:
            sentence = "overlays are a mapping of names to parts of a scenario, such as ci: {strict: true}"
            self._problem(overlays.mark, self.source, ("overlays",), sentence)
        for name in self.choices.overlays:
            if name not in known:
                sentence = f"there is no overlay {name}; {suggestion(name, known, 'overlays in it')}"
                self._problem(overlays.mark if overlays else Mark(1, 1), self.source, (), sentence)
            elif isinstance(known[name].value, dict):
                whole = self._laid(whole, known[name], self.source)
        return whole

    def _check_overlay(self, name: str, overlay: Node) -> None:
        location: Location = ("overlays", name)
        if not isinstance(overlay.value, dict):
            sentence = "an overlay is a mapping with parts of a scenario, such as {clock: {mode: virtual}}"
            self._problem(overlay.mark, self.source, location, sentence)
            return
        for key in ("extends", "overlays"):
            if key in overlay.value:
                sentence = f"an overlay has no {key} of its own; move it to the top of the file"
                self._problem(overlay.keys[key], self.source, (*location, key), sentence)

    # --- merging ----------------------------------------------------------------------------------------------------

    def _laid(self, lower: Node, upper: Node, source: str) -> Node:
        """One text over another, after the upper one's `drop` and with its `replace`."""
        for entry, location in _entries(upper, "drop"):
            if isinstance(entry.value, str):
                lower, sentence = drop(lower, entry.value)
            else:
                sentence = "drop names what is not wanted, such as faults or agents.scribe"
            if sentence:
                self._problem(entry.mark, source, location, sentence)
        wanted: dict[str, tuple[Node, Location]] = {}
        for entry, location in _entries(upper, "replace"):
            if isinstance(entry.value, str):
                wanted[entry.value] = (entry, location)
            else:
                sentence = "replace names what is taken as a whole, such as faults or upstreams.slack.routes"
                self._problem(entry.mark, source, location, sentence)
        merge = Merge(frozenset(wanted))
        lower, upper = (_omit(node, ("extends", "replace", "drop")) for node in (lower, upper))
        merged = merge.nodes(lower, upper)
        for path, (entry, location) in wanted.items():
            if path not in merge.used:
                sentence = f"there is no {path} here to put in its place; write it too, or name it under drop"
                self._problem(entry.mark, source, location, sentence)
        return merged

    # --- variables --------------------------------------------------------------------------------------------------

    def _variables(self, whole: Node) -> dict[str, Any]:
        values: dict[str, Any] = {}
        declared = whole.value.get("variables")
        if declared is not None and not isinstance(declared.value, dict):
            sentence = "variables are a mapping of names to values, such as channel: engineering"
            self._problem(declared.mark, self.source, ("variables",), sentence)
        elif declared is not None:
            for name, node in declared.value.items():
                location: Location = ("variables", name)
                if not _NAME.fullmatch(name):
                    sentence = "a variable is called with letters, digits, _ and -, such as channel"
                    self._problem(declared.keys[name], self.source, location, sentence)
                elif isinstance(node.value, (dict, list)):
                    sentence = "a variable is text, a number, true, false or null; use an anchor for lists and mappings"
                    self._problem(node.mark, self.source, location, sentence)
                    values[name] = None
                else:
                    values[name] = node.value
        for name, given in self.choices.variables.items():
            if name not in values:
                at = declared.mark if declared is not None else Mark(1, 1)
                sentence = f"there is no variable {name} to set; {suggestion(name, values, 'variables in it')}"
                self._problem(at, self.source, (), sentence)
            else:
                values[name] = given
        return values

    def _filled(self, node: Node, values: Mapping[str, Any], location: Location) -> Node:
        """The value with its variables put in; the same node where there are none."""
        if isinstance(node.value, dict):
            parts = {key: self._filled(part, values, (*location, key)) for key, part in node.value.items()}
            if all(parts[key] is part for key, part in node.value.items()):
                return node
            filled = Node(parts, node.mark)
            filled.keys = node.keys
            return filled
        if isinstance(node.value, list):
            items = [self._filled(part, values, (*location, index)) for index, part in enumerate(node.value)]
            return node if all(map(_is, items, node.value)) else Node(items, node.mark)
        if not isinstance(node.value, str) or "${" not in node.value:
            return node
        return self._filled_text(node, values, location)

    def _filled_text(self, node: Node, values: Mapping[str, Any], location: Location) -> Node:
        whole = _VARIABLE.fullmatch(node.value)
        if whole is not None and not whole[1] and whole[2] in values:
            value = values[whole[2]]
            return Node(value, node.mark, _text(value))
        text = _VARIABLE.sub(lambda found: self._put(found, node, values, location), node.value)
        return Node(text, node.mark, text)

    def _put(self, found: re.Match[str], node: Node, values: Mapping[str, Any], location: Location) -> str:
        name = found[2]
        if found[1]:
            return found[0][1:]
        if name in values:
            return _text(values[name])
        if name.startswith("env:"):
            sentence = (
                f"the environment is not read; declare a variable, and give its value with --set {_example(name)}"
            )
        else:
            sentence = (
                f"there is no variable {name}; {suggestion(name, values, 'variables in it')}; for the text write $"
            )
            sentence += found[0]
        self._problem(node.mark, self.source, location, sentence)
        return found[0]

    def _problem(self, mark: Mark, source: str, location: Location, sentence: str) -> None:
        self.problems.append(Problem(mark.file or source, mark.line, mark.column, path_text(location), sentence))


def read_setting(text: str) -> tuple[str, Any]:
    """A variable and its value from `name=value`, the value read like a plain one in YAML.

    Raises:
        ValueError: when there is no name or no `=`.
    """
    name, equals, value = text.partition("=")
    if not equals or not _NAME.fullmatch(name):
        raise ValueError("write name=value, such as channel=random")
    return name, resolve(value)[0]


def _example(name: str) -> str:
    plain = name.removeprefix("env:").partition(":")[0].lower()
    return f"{plain if _NAME.fullmatch(plain) else 'name'}=…"


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is(one: Node, other: Node) -> bool:
    return one is other


def _entries(root: Node, key: str) -> list[tuple[Node, Location]]:
    """The entries of a list, or the one value that stands for a list of one."""
    node = root.value.get(key)
    if node is None:
        return []
    if isinstance(node.value, list):
        return [(entry, (key, index)) for index, entry in enumerate(node.value)]
    return [(node, (key,))]


def _omit(node: Node, keys: Sequence[str]) -> Node:
    kept = Node({key: value for key, value in node.value.items() if key not in keys}, node.mark)
    kept.keys = {key: node.keys.get(key, NOWHERE) for key in kept.value}
    return kept


def _without_keys(root: Node) -> Node:
    return _omit(root, KEYS)
