"""Any REST service whose resources are created, read, listed, changed and deleted."""

from __future__ import annotations

from stack_emu.upstreams.resources.pack import ResourcesPack

__all__ = ["PACK", "ResourcesPack"]

PACK = ResourcesPack()
