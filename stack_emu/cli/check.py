"""``stack-emu check``: read scenarios and list their mistakes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stack_emu.cli.main import USAGE_ERROR, UsageError
from stack_emu.cli.serving import add_choices, choices_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("scenarios", nargs="+", type=Path, metavar="SCENARIO", help="files or folders")
    add_choices(parser)
    parser.add_argument("--resolved", action="store_true", help="print each scenario as it is when put together")
    parser.add_argument("--fix", action="store_true", help="put misspelt and renamed keys right in the files named")
    parser.add_argument("--diff", action="store_true", help="with --fix: only show what would change")


def run(options: argparse.Namespace) -> int:
    """Print every problem as ``file:line:column: …``; returns 2 when one is an error.

    Raises:
        UsageError: when ``--diff`` is given without ``--fix``.
    """
    from stack_emu.scenario.check import reports
    from stack_emu.scenario.resolved import resolved_text
    from stack_emu.vocabulary import vocabulary

    if options.diff and not options.fix:
        raise UsageError("--diff shows what --fix would change; give both")
    if options.fix:
        for path in options.scenarios:
            _fix(path, options)
    found = reports(options.scenarios, vocabulary(), choices_of(options))
    for report in found:
        for problem in report.problems:
            print(problem, file=sys.stderr)
        if options.resolved and report.root is not None:
            print(resolved_text(report.root), end="")
        print(report.summary, file=sys.stderr if options.resolved else sys.stdout)
    return 0 if all(report.ok for report in found) else USAGE_ERROR


def _fix(path: Path, options: argparse.Namespace) -> None:
    """Put the keys of one file right, or show it."""
    from stack_emu.scenario.fixing import diff, fixed

    found = fixed(path, choices_of(options))
    if found is None:
        return
    file, before, after = found
    for line in diff(file, before, after):
        print(line)
    if before != after and not options.diff:
        file.write_bytes(after.encode("utf-8"))
