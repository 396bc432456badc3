"""A fake Linear: one GraphQL endpoint over a workspace of teams, issues, projects and comments."""

from __future__ import annotations

from stack_emu.upstreams.linear.pack import LinearPack

PACK = LinearPack()
