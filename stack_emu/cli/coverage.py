"""``stack-emu coverage``: what is served, how well each part is known, and what the tests saw it do."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

EVIDENCE = Path(__file__).resolve().parent.parent / "evidence.json"
CLIENTS = {"sdk-sync": "SDK sync", "sdk-async": "SDK async", "mcp": "MCP"}
"""Clients whose calls a witness watched in the tests, with their column's name."""
_COMMON = ("UNAUTHORIZED", "INVALID_API_KEY", "INVALID_REQUEST", "FORBIDDEN", "PASSPORT_REVOKED", "PASSPORT_EXPIRED")
_SHOWN_CODES = 3


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
            rest, tool = entry["rest"] or "-", entry["tool"] or "-"
            print(f"{entry['name']:<34} {rest:<58} {tool:<34} {entry['grade']:<12} {_driven_in_words(entry)}")
        print()
        print(counts(entries, methods))
    return 0


def _driven_in_words(entry: dict[str, Any]) -> str:
    words = [f"{CLIENTS[client]}: {proof}" for client, proof in entry["driven"].items()]
    if entry["refused"]:
        words.append("refused with " + " ".join(_telling(entry["refused"])))
    return "; ".join(words) or "-"


def collect() -> tuple[list[dict[str, Any]], dict[str, list[str]]]:
    """Every operation with its evidence, and the SDK methods the tests drove."""
    from stack_emu.domain.families import registry

    evidence = json.loads(EVIDENCE.read_text("utf-8")) if EVIDENCE.exists() else {}
    driven, refused = evidence.get("driven", {}), evidence.get("refused", {})
    entries = [
        {
            "name": declared.name,
            "rest": f"{declared.rest.method} {declared.rest.path}" if declared.rest else None,
            "tool": declared.tool.name if declared.tool else None,
            "grade": declared.grade,
            "source": declared.source,
            "driven": {
                client: driven[client][declared.name] for client in CLIENTS if declared.name in driven.get(client, {})
            },
            "refused": refused.get(declared.name, []),
        }
        for declared in registry()
    ]
    return entries, evidence.get("sdk_methods", {})


def counts(entries: list[dict[str, Any]], methods: dict[str, list[str]]) -> str:
    """The figures in a few lines; kinds of evidence are never added together."""
    rest = [entry for entry in entries if entry["rest"]]
    tools = [entry for entry in entries if entry["tool"]]
    grades = Counter(entry["grade"] for entry in entries)
    driven = ", ".join(f"{sum(key in entry['driven'] for entry in entries)} by {CLIENTS[key]}" for key in CLIENTS)
    both = sum({"sync", "async"} <= set(how) for how in methods.values())
    return "\n".join(
        [
            f"{len(entries)} operations: {len(rest)} on REST, {len(tools)} as MCP tools",
            f"driven in the tests, with an effect that a second operation showed: {driven}",
            f"refused in the tests: {sum(bool(entry['refused']) for entry in entries)}",
            f"methods of the published SDK driven: {len(methods)}, of these {both} both sync and async",
            "known from: " + ", ".join(f"{count} {grade}" for grade, count in sorted(grades.items())),
        ]
    )


def page(entries: list[dict[str, Any]], methods: dict[str, list[str]]) -> str:
    """The whole of docs/coverage.md."""
    figures = "\n".join(f"- {line}" for line in counts(entries, methods).splitlines())
    return f"{_INTRODUCTION}\n{figures}\n\n{table(entries)}\n"


_INTRODUCTION = """# What is served

Made by `stack-emu coverage --markdown` (`make docs`) from the declarations of the operations and from what the tests
really drove. [fidelity.md](fidelity.md) says what the grades mean, what is our choice, and what is not served.

The columns of the clients say what showed that a call did something. *seen by X*: had the call not been made, a later call
of X would have been answered otherwise. *follows X*: the operation only reads, and had an earlier call of X not been
made, it would have answered otherwise. Both were found out by taking the earlier call's writes back and asking again, on
the exchanges of a run with the published clients; nothing here is taken from a status code. An empty cell means that the
client has no method or tool for it. The last column names refusals that the tests provoked.
"""


def table(entries: list[dict[str, Any]]) -> str:
    """The coverage as a table."""
    head = ["operation", "REST", "MCP tool", "known from", "grade", *CLIENTS.values(), "refused with"]
    lines = [_line(head), "|" + "---|" * len(head)]
    for entry in entries:
        proofs = [entry["driven"].get(client, "") for client in CLIENTS]
        codes = ", ".join(map(_code, _telling(entry["refused"])))
        known = [entry["source"], entry["grade"]]
        lines.append(_line([entry["name"], _code(entry["rest"]), _code(entry["tool"]), *known, *proofs, codes]))
    return "\n".join(lines)


def _telling(codes: list[str]) -> list[str]:
    """The codes that say most about an operation: first those that few others have."""
    return sorted(codes, key=lambda code: (code in _COMMON, code))[:_SHOWN_CODES]


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _code(text: str | None) -> str:
    return f"`{text}`" if text else ""
