"""What an agent on openai-agents does: lists the tools of its MCP server, calls some, prints what it saw as JSON."""

import asyncio
import json
import sys

from agents.mcp import MCPServerStreamableHttp


async def call(server: MCPServerStreamableHttp, tool: str, arguments: dict) -> dict:
    try:
        result = await server.call_tool(tool, arguments)
    except Exception as error:
        return {"error": getattr(getattr(error, "error", None), "code", None), "shown": str(error)}
    body = result.model_dump(by_alias=True)
    return {"error": body["isError"], "shown": body["content"][0]["text"], "structured": body["structuredContent"]}


async def main(url: str, bearer: str, calls: list) -> dict:
    headers = {"Authorization": f"Bearer {bearer}"}
    async with MCPServerStreamableHttp(params={"url": url, "headers": headers}, name="stack") as server:
        return {
            "tools": [tool.name for tool in await server.list_tools()],
            "answers": [await call(server, *each) for each in calls],
        }


try:
    seen = asyncio.run(main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3])))
except BaseException as error:  # task groups wrap what went wrong in groups
    while hasattr(error, "exceptions"):
        error = error.exceptions[0]
    seen = {"failed": f"{type(error).__name__}: {error}"}
print(json.dumps(seen))
