"""Ids and keys derived from a seed and an act, so that equal programs see equal values on every run."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field

ID_LENGTH = 20
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
# Two characters at a time: the standard library's base32 costs more than the HMAC it encodes.
_PAIRS = tuple(first + second for first in _ALPHABET for second in _ALPHABET)


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
    return hmac.digest(seed, message, "sha256")


def text_id(raw: bytes, length: int = ID_LENGTH) -> str:
    """Lower-case base32 without padding, cut to ``length`` characters (5 bits each).

    Args:
        raw: at least 5/8 of ``length`` bytes.
        length: how many characters.
    """
    if length % 2:
        return text_id(raw, length + 1)[:-1]
    bits = int.from_bytes(raw, "big") >> (8 * len(raw) - 5 * length)
    return "".join([_PAIRS[bits >> shift & 1023] for shift in range(5 * length - 10, -1, -10)])


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
