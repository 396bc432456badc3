"""Ids and keys derived from a seed and an act, so that equal programs see equal values on every run."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, field

ID_LENGTH = 20


def seed_bytes(seed: int | str | bytes) -> bytes:
    """Return the key material for a seed.

    Args:
        seed: an integer or text as written in a scenario, or raw bytes.
    """
    if isinstance(seed, bytes):
        return seed
    return hashlib.sha256(f"seed:{seed}".encode()).digest()


def derive(seed: bytes, kind: str, act_key: str, ordinal: int, index: int) -> bytes:
    """HMAC-SHA256 over (kind, act key, ordinal among equal keys, index in the act): 32 bytes.

    The parts are joined with a separator that none of them contains, so no two tuples collide.
    """
    message = "\x1f".join((kind, act_key, str(ordinal), str(index))).encode()
    return hmac.new(seed, message, hashlib.sha256).digest()


def text_id(raw: bytes, length: int = ID_LENGTH) -> str:
    """Lower-case base32 without padding, cut to ``length`` characters (5 bits each)."""
    return base64.b32encode(raw).decode("ascii").lower()[:length]


@dataclass
class Derivation:
    """Where an act's ids come from: its key, its ordinal among equal keys, and a counter that moves with each id.

    Args:
        seed: the world's seed material.
        act_key: hex SHA-256 of the act's canonical description.
        ordinal: how many acts with the same key came before.
    """

    seed: bytes
    act_key: str
    ordinal: int
    index: int = field(default=0)

    def take(self, kind: str) -> bytes:
        """Return the next 32 derived bytes for ``kind``."""
        raw = derive(self.seed, kind, self.act_key, self.ordinal, self.index)
        self.index += 1
        return raw
