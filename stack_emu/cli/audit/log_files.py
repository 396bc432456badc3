"""Reading the files the actions are given, and writing what they make."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from stack_emu.cli.main import UsageError

if TYPE_CHECKING:
    from stack_emu.audit_log.canonical_file import CanonicalFile
    from stack_emu.audit_log.raw_rows import RawFile

DIFFERENT = 1
"""The exit code when a log is broken or two logs differ."""


def read_bytes(path: Path) -> bytes:
    """The bytes of a file.

    Raises:
        UsageError: when it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from None


def read_log(path: Path) -> CanonicalFile | RawFile:
    """An audit log of either kind.

    Raises:
        UsageError: when the file cannot be read or is no audit log.
    """
    from stack_emu.audit_log.verification import read

    try:
        return read(read_bytes(path))
    except ValueError as error:
        raise UsageError(f"{path}: {error}.") from None


def read_whole_canonical(path: Path) -> bytes:
    """The bytes of a canonical log that ends with its head.

    Raises:
        UsageError: when it is none.
    """
    from stack_emu.audit_log.canonical_file import head_sha256

    data = read_bytes(path)
    try:
        head_sha256(data)
    except ValueError as error:
        raise UsageError(f"{path}: {error}.") from None
    return data


def require_holds(path: Path, log: CanonicalFile | RawFile) -> None:
    """Refuse a log that is broken already.

    Raises:
        UsageError: with the first break.
    """
    from stack_emu.audit_log.verification import verify

    broken = verify(log).broken
    if broken is not None:
        raise UsageError(f"{path} does not hold, so it cannot be taken as it stands; {broken}.")


def write(path: Path | None, data: bytes) -> None:
    """Write to a file, or to the standard output when none was named.

    Raises:
        OSError: when the file cannot be written.
    """
    if path is not None:
        path.write_bytes(data)
        return
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
