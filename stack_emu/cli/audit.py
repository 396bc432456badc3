"""``stack-emu audit``: verify, compare, export and tamper with audit logs. All but ``export`` need no emulator."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from stack_emu.cli.env import add_world_arguments, connect
from stack_emu.cli.main import UsageError

if TYPE_CHECKING:
    from stack_emu.client import WorldClient

FORMATS = ("canonical", "table", "json", "ndjson", "csv")
DIFFERENT = 1
_ACCEPT = {"json": "application/json", "ndjson": "application/x-ndjson", "csv": "text/csv"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    verify = actions.add_parser("verify", help="check the hash chains of a canonical log or of an export of raw rows")
    verify.add_argument("file", type=Path)
    verify.add_argument("--head", help="the head hash the log is known to have; shows that it was not cut short")
    verify.set_defaults(act=_verify)
    diff = actions.add_parser("diff", help="show what happened differently in two canonical logs, lane by lane")
    diff.add_argument("old", type=Path)
    diff.add_argument("new", type=Path)
    diff.set_defaults(act=_diff)
    export = actions.add_parser("export", help="print the log of a running emulator, or of a canonical log as a table")
    export.add_argument("file", type=Path, nargs="?", help="a canonical log to print instead of a running emulator's")
    export.add_argument("--format", choices=FORMATS, default="canonical", help="canonical when left out")
    export.add_argument("--order", choices=("commit", "content"), default="commit", help="order inside a lane")
    add_world_arguments(export)
    export.add_argument("--out", type=Path, metavar="FILE", help="write here instead of to the standard output")
    export.set_defaults(act=_export)
    tamper = actions.add_parser("tamper", help="change a line of a canonical log, to see what verify says")
    tamper.add_argument("file", type=Path)
    tamper.add_argument("--line", type=int, default=1, help="which line, from 1")
    tamper.add_argument("--set", dest="change", metavar="NAME=VALUE", default="outcome=success", help="what to change")
    tamper.add_argument("--drop", action="store_true", help="remove the line instead")
    tamper.add_argument("--rehash", action="store_true", help="make all hashes right again; only --head notices then")
    tamper.add_argument("--out", type=Path, metavar="FILE", help="write here instead of changing the file itself")
    tamper.set_defaults(act=_tamper)


def run(options: argparse.Namespace) -> int:
    """Carry out one action.

    Returns:
        0, or 1 when verify found a break or diff a difference.
    """
    code: int = options.act(options)
    return code


def _verify(options: argparse.Namespace) -> int:
    from stack_emu.domain.audit_hash import read_entries, verify_entries
    from stack_emu.domain.canonical_audit import head_sha256, parse, verify

    data = _read(options.file)
    if b'"entry_hash"' in data:
        try:
            entries = read_entries(data)
        except ValueError as error:
            raise UsageError(f"{options.file}: {error}.") from None
        problems = verify_entries(entries)
        good = f"{len(entries)} rows, the chain holds up to {entries[-1]['entry_hash'] if entries else 'nothing'}"
        found = entries[-1]["entry_hash"] if entries else ""
        if options.head is not None and found != options.head:
            problems.append(f"the last hash is {found}, not {options.head} as expected")
    else:
        problems = [str(problem) for problem in verify(data, head=options.head)]
        good = f"{len(parse(data).rows)} rows, head {head_sha256(data)}" if not problems else ""
    for problem in problems:
        print(f"{options.file}: {problem}")
    if problems:
        return DIFFERENT
    print(f"{options.file}: {good}")
    return 0


def _diff(options: argparse.Namespace) -> int:
    from stack_emu.domain.canonical_audit import diff

    old, new = _read(options.old), _read(options.new)
    for path, data in ((options.old, old), (options.new, new)):
        _require_canonical(path, data)
    text = diff(old, new)
    sys.stdout.write(text)
    return DIFFERENT if text else 0


def _export(options: argparse.Namespace) -> int:
    from stack_emu.domain.canonical_audit import table

    if options.file is not None:
        if options.format not in ("canonical", "table"):
            raise UsageError(f"a canonical log holds no raw rows; export {options.format} from a running emulator.")
        data = _read(options.file)
        _require_canonical(options.file, data)
    else:
        data = _from_emulator(options)
    if options.format == "table":
        data = table(data).encode("utf-8")
    _write(options.out, data)
    return 0


def _tamper(options: argparse.Namespace) -> int:
    from stack_emu.domain.canonical_audit import rehash
    from stack_emu.kernel.canonical import canonical_json

    data = _read(options.file)
    _require_canonical(options.file, data)
    lines = data.splitlines()
    if not 1 <= options.line < len(lines):
        raise UsageError(
            f"{options.file} has rows on lines 1 to {len(lines) - 1}; --line {options.line} is none of them."
        )
    if options.drop:
        del lines[options.line - 1]
    else:
        name, separator, value = options.change.partition("=")
        if not separator or not name:
            raise UsageError(f"--set wants NAME=VALUE, such as outcome=success, not {options.change}.")
        row = {**json.loads(lines[options.line - 1]), name: value}
        lines[options.line - 1] = canonical_json(row)
    changed = b"".join(line + b"\n" for line in lines)
    if options.rehash:
        changed = rehash(changed)
    target = options.out or options.file
    target.write_bytes(changed)
    print(f"{target}: line {options.line} {'removed' if options.drop else 'changed'}; sha256 {_sha256(changed)}")
    return 0


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _require_canonical(path: Path, data: bytes) -> None:
    from stack_emu.domain.canonical_audit import head_sha256

    try:
        head_sha256(data)
    except ValueError as error:
        raise UsageError(f"{path}: {error}.") from None


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


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from None


def _write(path: Path | None, data: bytes) -> None:
    if path is not None:
        path.write_bytes(data)
        return
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
