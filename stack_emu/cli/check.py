"""``stack-emu check``: read scenarios and list their mistakes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stack_emu.cli.main import USAGE_ERROR


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("scenarios", nargs="+", type=Path, metavar="SCENARIO", help="files or folders")


def run(options: argparse.Namespace) -> int:
    """Print every problem as ``file:line:column: …``; returns 2 when one is an error."""
    from stack_emu.scenario.check import reports
    from stack_emu.vocabulary import vocabulary

    found = reports(options.scenarios, vocabulary())
    for report in found:
        for problem in report.problems:
            print(problem, file=sys.stderr)
        print(report.summary)
    return 0 if all(report.ok for report in found) else USAGE_ERROR
