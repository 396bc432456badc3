"""What in the source has to do with deadlines: names that say so, and places that reckon with the instant."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2] / "stack_emu"
SAYS_SO = re.compile(
    r"(^|_)(ms|ttl|seconds|minutes|hours|days|expires?|expiry|deadline|life|lifetime|until|grace|due|window|backoff"
    r"|retention|interval|timeout)(_|$)",
    re.IGNORECASE,
)
NOW = {"now", "now_ms", "now_s", "instant_ms", "stamp_ms", "elapsed", "elapsed_ms"}
ELSEWHERE = {"cli", "docs_client", "recording"}
"""Rooms that have no world: the command line, and what looks at real services."""


def names() -> dict[str, str]:
    """Everything there is a case or a reason to be had for, with where it stands."""
    found: dict[str, str] = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[0] in ELSEWHERE:
            continue
        tree = ast.parse(path.read_text("utf-8"))
        module = ".".join(parts)
        for name, line in (*_named(tree), *_reckoning(tree)):
            found.setdefault(f"{module}.{name}", f"{path}:{line}")
    return found


def _named(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Constants of the module and fields of its classes that are named for a time. What a reply shows is kept elsewhere."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            if any(ast.unparse(base).endswith("Reply") for base in node.bases):
                continue
            for part in node.body:
                name = part.target.id if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name) else ""
                if SAYS_SO.search(name):
                    yield f"{node.name}.{name}", part.lineno
            continue
        for target in _targets(node):
            if SAYS_SO.search(target) and not _is_text(node):
                yield target, node.lineno


def _targets(node: ast.stmt) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _is_text(node: ast.stmt) -> bool:
    value = getattr(node, "value", None)
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def _reckoning(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Functions that compare the instant, or add to it or take from it."""

    def visit(node: ast.AST, within: tuple[str, ...]) -> Iterator[tuple[str, int]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                yield from visit(child, (*within, child.name))
                continue
            if _reckons(child):
                yield ".".join(within), child.lineno  # type: ignore[attr-defined]
            yield from visit(child, within)

    return visit(tree, ())


def _reckons(node: ast.AST) -> bool:
    if isinstance(node, ast.Compare):
        ordering = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)
        return any(isinstance(op, ordering) for op in node.ops) and _names_now(node)
    return isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub)) and _names_now(node)


def _names_now(node: ast.AST) -> bool:
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and part.id in NOW:
            return True
        if isinstance(part, ast.Attribute) and part.attr in NOW:
            return True
    return False
