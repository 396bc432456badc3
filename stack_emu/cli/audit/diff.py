"""``stack-emu audit diff``: what happened differently in two canonical logs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stack_emu.cli.audit.log_files import DIFFERENT, read_whole_canonical


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the action's arguments."""
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)


def run(options: argparse.Namespace) -> int:
    """Compare the logs; returns 0, or 1 when they differ.

    Raises:
        UsageError: when a file is no whole canonical log.
    """
    from stack_emu.domain.canonical_audit import diff

    text = diff(read_whole_canonical(options.old), read_whole_canonical(options.new))
    sys.stdout.write(text)
    return DIFFERENT if text else 0
