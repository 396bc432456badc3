"""What a program on mcp 1.x does: list the tools, call some; prints what it saw as JSON."""

import asyncio
import json
import sys

from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client
from mcp.shared.exceptions import McpError


async def main(url: str, bearer: str) -> None:
    headers = {"Authorization": f"Bearer {bearer}"}
    async with streamablehttp_client(url, headers=headers) as (read, write, session_id):  # noqa: SIM117
        async with ClientSession(read, write) as session:
            hello = await session.initialize()
            tools = await session.list_tools()
            made = await session.call_tool("stack_register_agent", {"name": "from-mcp-one"})
            refused = await session.call_tool("stack_register_agent", {"name": "from-mcp-one"})
            try:
                await session.call_tool("stack_no_such_tool", {})
                unknown = None
            except McpError as error:
                unknown = [error.error.code, error.error.message]
            seen = {
                "protocol": hello.protocolVersion,
                "session": session_id() is not None,
                "tools": [tool.name for tool in tools.tools],
                "made": made.structuredContent,
                "refused": [refused.isError, json.loads(refused.content[0].text)],
                "unknown": unknown,
            }
    print(json.dumps(seen))


asyncio.run(main(sys.argv[1], sys.argv[2]))
