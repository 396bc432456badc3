"""What a program on mcp 1.x does: lists the tools, calls some, prints what it saw as JSON."""

import asyncio
import json
import sys

from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client
from mcp.shared.exceptions import McpError


async def call(session: ClientSession, tool: str, arguments: dict) -> dict:
    try:
        result = await session.call_tool(tool, arguments)
    except McpError as error:
        return {"error": error.error.code, "shown": error.error.message}
    return {"error": result.isError, "shown": result.content[0].text, "structured": result.structuredContent}


async def main(url: str, bearer: str, calls: list) -> dict:
    headers = {"Authorization": f"Bearer {bearer}"}
    async with streamablehttp_client(url, headers=headers) as (read, write, session_id):  # noqa: SIM117
        async with ClientSession(read, write) as session:
            hello = await session.initialize()
            tools, cursor = [], None
            while True:
                page = await session.list_tools(cursor)
                tools += [tool.name for tool in page.tools]
                cursor = page.nextCursor
                if cursor is None:
                    break
            return {
                "protocol": hello.protocolVersion,
                "session": session_id() is not None,
                "tools": tools,
                "answers": [await call(session, *each) for each in calls],
            }


try:
    seen = asyncio.run(main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3])))
except BaseException as error:  # task groups wrap what went wrong in groups
    while hasattr(error, "exceptions"):
        error = error.exceptions[0]
    seen = {"failed": f"{type(error).__name__}: {error}"}
print(json.dumps(seen))
