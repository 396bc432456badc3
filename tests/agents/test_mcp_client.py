"""The MCP client that a world hands out leaves nothing open behind it."""

from __future__ import annotations

import asyncio
import gc
from typing import Any


def test_it_closes_its_connections_when_it_is_left(stack_emu: Any, recwarn: Any) -> None:
    async def look() -> int:
        async with stack_emu.mcp() as client:
            return len((await client.list_tools()).tools)

    assert asyncio.run(look()) > 0
    gc.collect()
    assert [str(warning.message) for warning in recwarn if warning.category is ResourceWarning] == []
