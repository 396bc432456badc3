"""``stack-emu audit diff``: explain what happened differently in two canonical logs."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from stack_emu.cli.audit.log_files import DIFFERENT, read_whole_canonical
from stack_emu.cli.main import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the action's arguments."""
    parser.add_argument("old", type=Path, help="called A in what is said")
    parser.add_argument("new", type=Path, help="called B in what is said")
    parser.add_argument("--lines", action="store_true", help="show the rows themselves, as a difference of lines")
    parser.add_argument("--json", action="store_true", help="print the differences as JSON")


def run(options: argparse.Namespace) -> int:
    """Compare the logs; returns 0, or 1 when they differ.

    Raises:
        UsageError: when a file is no whole canonical log.
    """
    from stack_emu.audit_log.canonical_file import read_canonical
    from stack_emu.audit_log.comparison import Difference, compare
    from stack_emu.domain.canonical_audit import diff

    if options.lines and options.json:
        raise UsageError("--lines prints rows and --json prints differences; choose one.")
    old, new = read_whole_canonical(options.old), read_whole_canonical(options.new)
    if options.lines:
        sys.stdout.write(text := diff(old, new))
        return DIFFERENT if text else 0
    before, after = read_canonical(old), read_canonical(new)
    found = compare(before.rows, after.rows)
    orders = (before.head.get("order"), after.head.get("order"))
    if orders[0] != orders[1]:
        found.insert(0, Difference("log", "", f"B is in {orders[1]} order where A is in {orders[0]} order"))
    if not found and diff(old, new):
        found.append(Difference("log", "", "the same acts, in rows that are numbered otherwise"))
    if options.json:
        data = {"a": str(options.old), "b": str(options.new), "equal": not found}
        print(json.dumps({**data, "differences": [one.as_data() for one in found]}, ensure_ascii=False))
    elif found:
        print(f"A is {options.old}, B is {options.new}")
        for one in found:
            print(one.sentence)
    return DIFFERENT if found else 0
