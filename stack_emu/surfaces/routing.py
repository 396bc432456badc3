"""Finding the operation a method and a raw path name, segment by segment, so that an encoded slash stays in its segment."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from urllib.parse import unquote

from stack_emu.kernel.operations import Operation, Registry


@dataclass
class _Node:
    fixed: dict[str, _Node] = field(default_factory=dict)
    param: _Node | None = None
    tails: dict[str, tuple[Operation, tuple[str, ...]]] = field(default_factory=dict)
    methods: dict[str, tuple[Operation, tuple[str, ...]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Match:
    """An operation and the path parameters, decoded."""

    operation: Operation
    params: dict[str, str]


class Router:
    """Routes of a registry. A fixed segment wins over a parameter, a parameter over a tail.

    Args:
        registry: whose operations to route.
    """

    def __init__(self, registry: Registry) -> None:
        self._root = _Node()
        self._templates: list[tuple[str, str, Operation]] = []
        for declared in registry:
            if declared.rest is not None:
                for path in (declared.rest.path, *declared.rest.aliases):
                    self._add(declared.rest.method, path, declared)

    def _add(self, method: str, path: str, declared: Operation) -> None:
        node, names = self._root, []
        self._templates.append((method, path, declared))
        for segment in path.strip("/").split("/"):
            if segment.endswith("+}"):
                node.tails[method] = (declared, (*names, segment[1:-2]))
                return
            if segment.startswith("{"):
                names.append(segment[1:-1])
                node.param = node.param or _Node()
                node = node.param
            else:
                node = node.fixed.setdefault(segment, _Node())
        node.methods[method] = (declared, tuple(names))

    def match(self, method: str, raw_path: str) -> Match | None:
        """The operation at a raw (still percent-encoded) path, or None."""
        segments = raw_path.strip("/").split("/")
        return self._walk(self._root, method, segments, 0, ())

    def _walk(
        self, node: _Node, method: str, segments: list[str], position: int, values: tuple[str, ...]
    ) -> Match | None:
        if position == len(segments):
            found = node.methods.get(method)
            return Match(found[0], dict(zip(found[1], values, strict=True))) if found else None
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
            return Match(found[0], dict(zip(found[1], (*values, rest), strict=True)))
        return None

    def methods_at(self, raw_path: str) -> list[str]:
        """Methods that would be served at a path."""
        methods = {method for method, _, _ in self._templates}
        return sorted(method for method in methods if self.match(method, raw_path) is not None)

    def nearest(self, method: str, raw_path: str) -> str:
        """The served method and template most like a request that matched nothing."""
        wanted = f"{method} {raw_path}"
        candidates = [f"{verb} {template}" for verb, template, _ in self._templates]
        close = difflib.get_close_matches(wanted, candidates, n=1, cutoff=0.0)
        return close[0] if close else "none"
