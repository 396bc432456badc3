"""``stack-emu audit checkpoint``: sign how far a log has come, with a key of one's own or that of a running emulator."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from stack_emu.cli.audit.log_files import read_bytes, read_log, require_holds, write
from stack_emu.cli.env import add_world_arguments, connect
from stack_emu.cli.main import UsageError

if TYPE_CHECKING:
    from stack_emu.audit_log.checkpoints import SigningKey


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the action's arguments."""
    parser.add_argument(
        "file", type=Path, nargs="?", help="a log; the running emulator's own, signed by it, when left out"
    )
    parser.add_argument("--key", type=Path, help="the private key, Ed25519, in PEM or as a JWK; needed with a file")
    parser.add_argument(
        "--previous", type=Path, metavar="FILE", help="the checkpoint before this one, which it will name"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="FILE.checkpoint when left out")
    parser.add_argument(
        "--jwks-out", type=Path, metavar="FILE", help="also write the public key as a key set for verify"
    )
    parser.add_argument(
        "--order", choices=("commit", "content"), default="commit", help="of the emulator's canonical log"
    )
    parser.add_argument("--operator", metavar="ID", help="sign the raw chain of this account of the emulator instead")
    add_world_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Sign and write the checkpoint; returns 0.

    Raises:
        UsageError: when the log does not hold, or key or checkpoint cannot be used.
        EmulatorError: when no emulator answers, or it refuses.
    """
    previous = None
    if options.previous is not None:
        from stack_emu.audit_log.checkpoints import text_sha256

        previous = text_sha256(read_bytes(options.previous).decode("utf-8", "replace"))
    if options.file is None:
        return _of_emulator(options, previous)
    if options.key is None:
        raise UsageError("a checkpoint of a file is signed with a key of yours; give it with --key KEY.")
    text, keys = sign_file(options.file, options.key, previous)
    target = options.out or options.file.with_name(options.file.name + ".checkpoint")
    target.write_text(text + "\n", encoding="ascii")
    if options.jwks_out is not None:
        options.jwks_out.write_text(keys, encoding="utf-8")
    print(f"{target}: {options.file} as it stands, signed")
    return 0


def read_key(file: Path) -> SigningKey:
    """A private key in a file.

    Raises:
        UsageError: when it cannot be read or is none.
    """
    from stack_emu.audit_log.checkpoints import CheckpointError, read_signing_key

    try:
        return read_signing_key(read_bytes(file))
    except CheckpointError as error:
        raise UsageError(f"{file}: {error}.") from None


def sign_file(file: Path, key_file: Path, previous: str | None) -> tuple[str, str]:
    """The checkpoint of a log in a file, and the key set it is verified with.

    Raises:
        UsageError: when the log does not hold, or the key cannot be used.
    """
    from stack_emu.audit_log.checkpoints import CheckpointError, sign, statement_of

    log = read_log(file)
    require_holds(file, log)
    key = read_key(key_file)
    try:
        statement = statement_of(log, previous)
    except CheckpointError as error:
        raise UsageError(f"{file}: {error}.") from None
    return sign(statement, key.sign_bytes, key.jwk["kid"]), json.dumps({"keys": [key.jwk]}) + "\n"


def _of_emulator(options: argparse.Namespace, previous: str | None) -> int:
    if options.key is not None:
        raise UsageError("a running emulator signs with its own key; --key signs a log in a file, so name one.")
    world = connect(options)
    try:
        text = world.audit.checkpoint(order=options.order, operator=options.operator, previous=previous)
        if options.jwks_out is not None:
            options.jwks_out.write_text(json.dumps(world.audit.keys()) + "\n", encoding="utf-8")
    finally:
        world.connection.close()
    write(options.out, text.encode("ascii") + b"\n")
    return 0
