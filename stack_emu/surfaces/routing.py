"""Finding what a method and a raw path name, segment by segment, so that an encoded slash stays in its segment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar
from urllib.parse import unquote

from stack_emu.kernel.operations import Operation, Registry

T = TypeVar("T")


@dataclass
class _Node(Generic[T]):
    fixed: dict[str, _Node[T]] = field(default_factory=dict)
    param: _Node[T] | None = None
    tails: dict[str, tuple[T, tuple[str, ...]]] = field(default_factory=dict)
    methods: dict[str, tuple[T, tuple[str, ...]]] = field(default_factory=dict)


class PathTable(Generic[T]):
    """Targets by method and path template. A fixed segment wins over a parameter, a parameter over a tail ``{name+}``."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()
        self.templates: list[tuple[str, str, T]] = []

    def add(self, method: str, path: str, target: T) -> None:
        """Route ``method path`` to ``target``."""
        node: _Node[T] = self._root
        names: list[str] = []
        self.templates.append((method, path, target))
        for segment in path.strip("/").split("/"):
            if segment.endswith("+}"):
                node.tails[method] = (target, (*names, segment[1:-2]))
                return
            if segment.startswith("{"):
                names.append(segment[1:-1])
                node.param = node.param or _Node()
                node = node.param
            else:
                node = node.fixed.setdefault(segment, _Node())
        node.methods[method] = (target, tuple(names))

    def match(self, method: str, raw_path: str) -> tuple[T, dict[str, str]] | None:
        """The target at a raw (still percent-encoded) path with its parameters decoded, or None."""
        if raw_path.endswith("/") and raw_path != "/":
            return None
        return self._walk(self._root, method, raw_path[1:].split("/"), 0, ())

    def _walk(
        self, node: _Node[T], method: str, segments: list[str], position: int, values: tuple[str, ...]
    ) -> tuple[T, dict[str, str]] | None:
        if position == len(segments):
            found = node.methods.get(method)
            return (found[0], dict(zip(found[1], values, strict=True))) if found else None
        segment = segments[position]
        child = node.fixed.get(segment)
        if child is not None and (match := self._walk(child, method, segments, position + 1, values)):
            return match
        if node.param is not None and segment:
            match = self._walk(node.param, method, segments, position + 1, (*values, unquote(segment)))
            if match is not None:
                return match
        found = node.tails.get(method)
        if found is not None and segment:
            rest = unquote("/".join(segments[position:]))
            return found[0], dict(zip(found[1], (*values, rest), strict=True))
        return None

    def methods_at(self, raw_path: str) -> list[str]:
        """Methods of the resource at a path: where a fixed segment and a parameter both fit, the fixed one's."""
        methods = {method for method, _, _ in self.templates}
        found = {method: len(match[1]) for method in methods if (match := self.match(method, raw_path)) is not None}
        return sorted(method for method, given in found.items() if given == min(found.values()))


def operation_routes(registry: Registry) -> PathTable[Operation]:
    """The REST routes of a registry, aliases too."""
    table: PathTable[Operation] = PathTable()
    for declared in registry:
        if declared.rest is not None:
            for path in (declared.rest.path, *declared.rest.aliases):
                table.add(declared.rest.method, path, declared)
    return table
