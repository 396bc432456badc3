"""What a program on fastmcp does: lists the tools, calls some, prints what it saw as JSON."""

import asyncio
import json
import sys

from fastmcp import Client
from fastmcp.client.auth import BearerAuth
from fastmcp.exceptions import ToolError


async def call(client: Client, tool: str, arguments: dict) -> dict:
    try:
        result = await client.call_tool(tool, arguments)
    except ToolError as error:
        return {"error": True, "shown": str(error)}
    except Exception as error:  # protocol errors have the class of the mcp package beneath
        return {"error": getattr(getattr(error, "error", None), "code", None), "shown": str(error)}
    return {"error": False, "shown": result.content[0].text, "structured": result.structured_content}


async def main(url: str, bearer: str, calls: list) -> dict:
    async with Client(url, auth=BearerAuth(bearer)) as client:
        return {
            "tools": [tool.name for tool in await client.list_tools()],
            "answers": [await call(client, *each) for each in calls],
        }


try:
    seen = asyncio.run(main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3])))
except BaseException as error:
    seen = {"failed": f"{type(error).__name__}: {error}"}
print(json.dumps(seen))
