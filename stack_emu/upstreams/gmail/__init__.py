"""A stateful fake Gmail."""

from __future__ import annotations

from stack_emu.upstreams.gmail.pack import GmailPack

PACK = GmailPack()
"""The pack ``gmail``."""

__all__ = ["PACK", "GmailPack"]
