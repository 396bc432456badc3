"""``stack-emu audit tamper``: spoil a canonical log or an export of raw rows on purpose."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

from stack_emu.cli.audit.log_files import read_log, require_holds
from stack_emu.cli.main import UsageError

WAYS = ("edit", "delete", "insert", "swap", "truncate", "fork", "rehash")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the action's arguments."""
    parser.add_argument("file", type=Path)
    parser.add_argument("--how", choices=WAYS, default="edit", help="what to do to the row; edit when left out")
    parser.add_argument("--line", type=int, help="which row, by its line in the file; the first when left out")
    parser.add_argument(
        "--set", dest="change", metavar="NAME=VALUE", help="the field to set; the outcome is turned when left out"
    )
    parser.add_argument(
        "--rehash", action="store_true", help="make all hashes right again afterwards; only a checkpoint notices then"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write here instead of changing the file itself")


def run(options: argparse.Namespace) -> int:
    """Spoil the log and say what was done; returns 0.

    Raises:
        UsageError: when the file is no log that holds, or has no such row.
    """
    from stack_emu.audit_log.raw_rows import RawFile
    from stack_emu.audit_log.tampering import spoil

    change: tuple[str, str] | None = None
    if options.change is not None:
        name, separator, value = options.change.partition("=")
        if not separator or not name:
            raise UsageError(f"--set wants NAME=VALUE, such as outcome=success, not {options.change}.")
        change = (name, value)
    log = read_log(options.file)
    require_holds(options.file, log)
    first = log.lines[0] if isinstance(log, RawFile) and log.lines else 1
    line = options.line if options.line is not None else int(str(first))
    try:
        spoiled = spoil(log, options.how, line, change, options.rehash)
    except ValueError as error:
        raise UsageError(f"{options.file}: {error}.") from None
    target = options.out or options.file
    target.write_bytes(spoiled.data)
    print(f"{target}: {spoiled.sentence}; sha256 {hashlib.sha256(spoiled.data).hexdigest()}")
    return 0
