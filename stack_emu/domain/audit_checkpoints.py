"""Checkpoints of a world's own logs, signed with the key its passports are signed with.

That key derives from the seed: the same run gives the same bytes, and whoever has the scenario can sign as the world does.
"""

from __future__ import annotations

from typing import Any

from stack_emu.audit_log.canonical_file import read_canonical
from stack_emu.audit_log.checkpoints import canonical_statement, raw_statement, sign
from stack_emu.domain.canonical_audit import canonical_log
from stack_emu.domain.tokens import signer
from stack_emu.kernel.audit import GENESIS
from stack_emu.kernel.world import World


def canonical_checkpoint(world: World, order: str = "commit", previous: str | None = None) -> str:
    """A checkpoint of the world's canonical log.

    Args:
        world: the world.
        order: order inside a lane.
        previous: SHA-256 of the checkpoint before, in hex.
    """
    return _signed(world, canonical_statement(read_canonical(canonical_log(world, order)), previous))


def raw_checkpoint(world: World, operator_id: str, previous: str | None = None) -> str:
    """A checkpoint of an account's raw chain, whole, whatever its tier still shows.

    Args:
        world: the world.
        operator_id: the account.
        previous: SHA-256 of the checkpoint before, in hex.
    """
    rows = world.audit.rows(operator_id)
    return _signed(world, raw_statement(operator_id, rows[-1].entry_hash if rows else GENESIS, len(rows), previous))


def checkpoint_keys(world: World) -> dict[str, Any]:
    """The key set (JWKS) the world's checkpoints are verified with."""
    return signer(world).jwks()


def _signed(world: World, statement: dict[str, Any]) -> str:
    key = signer(world)
    return sign(statement, key.sign_bytes, key.kid)
