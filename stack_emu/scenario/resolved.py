"""A scenario as it is when put together, written as YAML that says from where each part came."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stack_emu.scenario.positions import Node


def resolved_text(root: Node) -> str:
    """The whole scenario as YAML, with a comment before each top-level part that names its file and line.

    Args:
        root: the scenario, put together.
    """
    import yaml

    lines: list[str] = []
    for key, node in root.value.items():
        places = sorted(set(_places(node)) - {""})
        mark = root.keys[key]
        lines.append(f"# {mark.file}:{mark.line}" + "".join(f", {one}" for one in places if one != mark.file))
        lines.append(
            yaml.safe_dump(
                {key: escaped(node.plain())}, sort_keys=False, allow_unicode=True, default_flow_style=False, width=120
            )
        )
    return "\n".join(line.rstrip("\n") for line in lines) + "\n"


def escaped(value: Any) -> Any:
    """The value with every `${` written so that reading it again gives the same."""
    if isinstance(value, dict):
        return {key: escaped(part) for key, part in value.items()}
    if isinstance(value, list):
        return [escaped(part) for part in value]
    return value.replace("${", "$${") if isinstance(value, str) else value


def _places(node: Node) -> Iterator[str]:
    yield node.mark.file
    if isinstance(node.value, dict):
        for part in node.value.values():
            yield from _places(part)
    elif isinstance(node.value, list):
        for part in node.value:
            yield from _places(part)
