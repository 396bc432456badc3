"""A fake of OpenAI's API as an upstream: the scripted model behind STACK's proxy."""

from __future__ import annotations

from stack_emu.upstreams.openai.pack import OpenAiPack

PACK = OpenAiPack()
