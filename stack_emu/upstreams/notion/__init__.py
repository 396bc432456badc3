"""A stateful fake of Notion's API."""

from __future__ import annotations

from stack_emu.upstreams.notion.pack import NotionPack

__all__ = ["PACK", "NotionPack"]

PACK = NotionPack()
