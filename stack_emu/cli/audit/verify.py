"""``stack-emu audit verify``: check a log, alone or against a head or signed checkpoints kept elsewhere."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from stack_emu.cli.audit.log_files import DIFFERENT, read_bytes, read_log
from stack_emu.cli.main import UsageError

if TYPE_CHECKING:
    from stack_emu.audit_log.canonical_file import CanonicalFile
    from stack_emu.audit_log.checkpoints import Checkpoint
    from stack_emu.audit_log.raw_rows import RawFile
    from stack_emu.audit_log.verdicts import Verdict

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the action's arguments."""
    parser.add_argument("file", type=Path)
    parser.add_argument("--head", help="the hash the log is known to end with; shows that it was not cut short")
    parser.add_argument(
        "--checkpoint",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a signed checkpoint the log must continue; several, oldest first, must name each other",
    )
    parser.add_argument(
        "--jwks", metavar="FILE|URL", help="the keys that may have signed it: a file, or a loopback URL"
    )
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON")


def run(options: argparse.Namespace) -> int:
    """Verify the log; returns 0, or 1 when it is broken.

    Raises:
        UsageError: when a file cannot be read or a checkpoint proves nothing.
    """
    from stack_emu.audit_log.verification import head_break, verify

    log = read_log(options.file)
    verdict = verify(log)
    if verdict.broken is None:
        verdict = replace(verdict, broken=head_break(log, options.head))
    if options.checkpoint:
        verdict = _against_checkpoints(options, log, verdict)
    elif options.jwks is not None:
        raise UsageError("--jwks holds the keys of checkpoints; give one with --checkpoint FILE.")
    _tell(options, verdict)
    return 0 if verdict.valid else DIFFERENT


def _tell(options: argparse.Namespace, verdict: Verdict) -> None:
    if options.json:
        print(json.dumps({"file": str(options.file), **verdict.as_data()}, ensure_ascii=False))
        return
    if verdict.broken is not None:
        print(f"{options.file}: {verdict.broken}.")
    elif verdict.form == "canonical":
        print(f"{options.file}: {verdict.rows} rows, head {verdict.head}")
    else:
        print(f"{options.file}: {verdict.rows} rows, the chain holds up to {verdict.head or 'nothing'}")
    for one in verdict.proved:
        print(
            f"{options.file}: the checkpoint of {one['kid']} proves {one['rows']} rows; {one['later_rows']} stand behind them"
        )
    for note in verdict.notes:
        print(f"{options.file}: {note}")


def _against_checkpoints(options: argparse.Namespace, log: CanonicalFile | RawFile, verdict: Verdict) -> Verdict:
    from stack_emu.audit_log.checkpoints import CheckpointError, checkpoint_break, require_order, signed_rows

    if options.jwks is None:
        raise UsageError(
            "a checkpoint proves nothing without the keys it may be signed with; give them with --jwks FILE or URL."
        )
    keys = _keys(options.jwks)
    checkpoints = [_checkpoint(path, keys) for path in options.checkpoint]
    try:
        require_order(checkpoints)
        for checkpoint in checkpoints:
            if verdict.broken is not None:
                break
            verdict = replace(verdict, broken=checkpoint_break(log, checkpoint))
            if verdict.broken is None:
                rows = signed_rows(checkpoint)
                proved = {"kid": checkpoint.kid, "sha256": checkpoint.sha256, "rows": rows}
                verdict = replace(verdict, proved=(*verdict.proved, {**proved, "later_rows": verdict.rows - rows}))
    except CheckpointError as error:
        raise UsageError(f"{options.checkpoint[0]}: {error}.") from None
    return verdict


def _checkpoint(path: Path, keys: Mapping[str, bytes]) -> Checkpoint:
    from stack_emu.audit_log.checkpoints import CheckpointError, verify_checkpoint

    try:
        return verify_checkpoint(read_bytes(path).decode("utf-8", "replace"), keys)
    except CheckpointError as error:
        raise UsageError(f"{path}: {error}.") from None


def _keys(source: str) -> Mapping[str, bytes]:
    from stack_emu.audit_log.checkpoints import CheckpointError, read_keys

    data = _fetch(source) if source.startswith(("http://", "https://")) else read_bytes(Path(source))
    try:
        return read_keys(data)
    except CheckpointError as error:
        raise UsageError(f"{source}: {error}.") from None


def _fetch(url: str) -> bytes:
    """The body at a loopback URL; neither proxies nor redirects lead it elsewhere."""
    import urllib.error
    import urllib.request

    if urlsplit(url).hostname not in _LOOPBACK:
        raise UsageError(f"{url} is not on this machine; fetch the key set yourself and give --jwks its file.")

    class NoRedirect(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *arguments: object) -> None:
            return None

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), NoRedirect)
    try:
        with opener.open(url, timeout=30) as reply:
            data: bytes = reply.read()
    except urllib.error.HTTPError as error:
        with error:
            raise UsageError(
                f"{url} answered {error.code}; a key set is served at /v1/.well-known/jwks.json."
            ) from None
    except OSError as error:
        raise UsageError(f"{url} cannot be reached: {error}.") from None
    return data
