"""``stack-emu schema``: the JSON Schema of the scenario format, for editors."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stack_emu.cli.main import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--write", type=Path, metavar="FILE", help="write it to a file instead of printing it")


def run(options: argparse.Namespace) -> int:
    """Print or write the schema; returns 0.

    Raises:
        UsageError: when the file cannot be written.
    """
    from stack_emu.scenario.schema import schema_text

    if options.write is None:
        sys.stdout.write(schema_text())
        return 0
    try:
        options.write.write_text(schema_text(), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{options.write} cannot be written: {error.strerror}") from None
    print(f"wrote {options.write}; put this in the first line of a scenario beside it:")
    print(f"# yaml-language-server: $schema=./{options.write.name}")
    return 0
