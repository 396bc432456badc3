"""A fake of Anthropic's API as an upstream: the scripted model behind STACK's proxy."""

from __future__ import annotations

from stack_emu.upstreams.anthropic.pack import AnthropicPack

PACK = AnthropicPack()
