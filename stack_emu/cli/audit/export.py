"""``stack-emu audit export``: print the log of a running emulator, or a canonical log as a table."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from stack_emu.cli.audit.log_files import read_whole_canonical, write
from stack_emu.cli.env import add_world_arguments, connect
from stack_emu.cli.main import UsageError

if TYPE_CHECKING:
    from stack_emu.client import WorldClient

FORMATS = ("canonical", "table", "json", "ndjson", "csv")
_ACCEPT = {"json": "application/json", "ndjson": "application/x-ndjson", "csv": "text/csv"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the action's arguments."""
    parser.add_argument("file", type=Path, nargs="?", help="a canonical log to print instead of a running emulator's")
    parser.add_argument("--format", choices=FORMATS, default="canonical", help="canonical when left out")
    parser.add_argument("--order", choices=("commit", "content"), default="commit", help="order inside a lane")
    add_world_arguments(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", help="write here instead of to the standard output")


def run(options: argparse.Namespace) -> int:
    """Print or write the log; returns 0.

    Raises:
        UsageError: when the file is no canonical log, or the emulator refuses.
        EmulatorError: when no emulator answers.
    """
    from stack_emu.domain.canonical_audit import table

    if options.file is not None:
        if options.format not in ("canonical", "table"):
            raise UsageError(f"a canonical log holds no raw rows; export {options.format} from a running emulator.")
        data = read_whole_canonical(options.file)
    else:
        data = _from_emulator(options)
    if options.format == "table":
        data = table(data).encode("utf-8")
    write(options.out, data)
    return 0


def _from_emulator(options: argparse.Namespace) -> bytes:
    world = connect(options)
    try:
        if options.format in _ACCEPT:
            return _raw_export(options, world)
        return world.audit.canonical(options.order)
    finally:
        world.connection.close()


def _raw_export(options: argparse.Namespace, world: WorldClient) -> bytes:
    import urllib.error
    import urllib.request

    url = f"{world.base_url}/v1/audit/export"
    headers = {"Authorization": f"Bearer {world.api_key}", "Accept": _ACCEPT[options.format]}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the URL is the emulator's own
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as reply:
            data: bytes = reply.read()
    except urllib.error.HTTPError as error:
        with error:
            raise UsageError(f"{url} answered {error.code}: {error.read()[:200].decode('utf-8', 'replace')}") from None
    return data
