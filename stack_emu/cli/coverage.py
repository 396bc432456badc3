"""``stack-emu coverage``: what is served, how well each part is known, and where the tests drove it."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

EVIDENCE = Path(__file__).resolve().parent.parent / "evidence.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.add_argument("--markdown", action="store_true", help="print the page docs/coverage.md")


def run(options: argparse.Namespace) -> int:
    """Print the coverage; returns 0."""
    entries, methods = collect()
    if options.json:
        print(json.dumps({"operations": entries, "sdk_methods": methods}, indent=1))
    elif options.markdown:
        print(page(entries, methods), end="")
    else:
        for entry in entries:
            shown = " ".join(entry["driven"]) or "-"
            rest, tool = entry["rest"] or "-", entry["tool"] or "-"
            print(f"{entry['name']:<34} {rest:<58} {tool:<34} {entry['grade']:<12} {shown}")
        print()
        print(counts(entries, methods))
    return 0


def collect() -> tuple[list[dict[str, Any]], dict[str, list[str]]]:
    """Every operation with its evidence, and the SDK methods the tests drove."""
    from stack_emu.domain.families import registry

    evidence = json.loads(EVIDENCE.read_text("utf-8")) if EVIDENCE.exists() else {}
    driven = evidence.get("operations", {})
    entries = [
        {
            "name": declared.name,
            "rest": f"{declared.rest.method} {declared.rest.path}" if declared.rest else None,
            "tool": declared.tool.name if declared.tool else None,
            "grade": declared.grade,
            "source": declared.source,
            "driven": driven.get(declared.name, []),
        }
        for declared in registry()
    ]
    return entries, evidence.get("sdk_methods", {})


def counts(entries: list[dict[str, Any]], methods: dict[str, list[str]]) -> str:
    """The figures in a few lines; kinds of evidence are never added together."""
    rest = [entry for entry in entries if entry["rest"]]
    tools = [entry for entry in entries if entry["tool"]]
    grades = Counter(entry["grade"] for entry in entries)
    on_rest, as_tools, refused = _driven(rest, "rest"), _driven(tools, "mcp"), _driven(entries, "refused")
    both = sum({"sync", "async"} <= set(how) for how in methods.values())
    return "\n".join(
        [
            f"{len(entries)} operations: {len(rest)} on REST, {len(tools)} as MCP tools",
            f"driven over a socket in the tests, by an SDK or by plain HTTP: {on_rest} on REST, {as_tools} as tools",
            f"refused on purpose in the tests: {refused}",
            f"methods of the published SDK driven: {len(methods)}, of these {both} both sync and async",
            "known from: " + ", ".join(f"{count} {grade}" for grade, count in sorted(grades.items())),
        ]
    )


def _driven(entries: list[dict[str, Any]], how: str) -> int:
    return sum(how in entry["driven"] for entry in entries)


def page(entries: list[dict[str, Any]], methods: dict[str, list[str]]) -> str:
    """The whole of docs/coverage.md."""
    figures = "\n".join(f"- {line}" for line in counts(entries, methods).splitlines())
    return f"{_INTRODUCTION}\n{figures}\n\n{table(entries)}\n"


_INTRODUCTION = """# What is served

Made by `stack-emu coverage --markdown` (`make docs`) from the declarations of the operations and from what the tests
really drove. [fidelity.md](fidelity.md) says what the grades mean, what is our choice, and what is not served.
"""


def table(entries: list[dict[str, Any]]) -> str:
    """The coverage as a table."""
    lines = ["| operation | REST | MCP tool | known from | grade | driven in the tests |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {entry['name']} | {_code(entry['rest'])} | {_code(entry['tool'])} | {entry['source']} | {entry['grade']} "
        f"| {', '.join(entry['driven'])} |"
        for entry in entries
    ]
    return "\n".join(lines)


def _code(text: str | None) -> str:
    return f"`{text}`" if text else ""
