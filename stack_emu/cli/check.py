"""``stack-emu check``: read scenarios and list their mistakes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stack_emu.cli.main import USAGE_ERROR
from stack_emu.cli.serving import add_choices, choices_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("scenarios", nargs="+", type=Path, metavar="SCENARIO", help="files or folders")
    add_choices(parser)
    parser.add_argument("--resolved", action="store_true", help="print each scenario as it is when put together")


def run(options: argparse.Namespace) -> int:
    """Print every problem as ``file:line:column: …``; returns 2 when one is an error."""
    from stack_emu.scenario.check import reports
    from stack_emu.scenario.resolved import resolved_text
    from stack_emu.vocabulary import vocabulary

    found = reports(options.scenarios, vocabulary(), choices_of(options))
    for report in found:
        for problem in report.problems:
            print(problem, file=sys.stderr)
        if options.resolved and report.root is not None:
            print(resolved_text(report.root), end="")
        print(report.summary, file=sys.stderr if options.resolved else sys.stdout)
    return 0 if all(report.ok for report in found) else USAGE_ERROR
