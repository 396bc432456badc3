"""What an agent on langchain-mcp-adapters does: loads the tools, invokes some, prints what it saw as JSON."""

import asyncio
import json
import sys

from langchain_core.tools import ToolException
from langchain_mcp_adapters.client import MultiServerMCPClient


def text(content: object) -> str:
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


async def call(tools: dict, name: str, arguments: dict) -> dict:
    if name not in tools:
        return {"error": None, "shown": "no such tool was loaded"}
    message = {"type": "tool_call", "id": "call_1", "name": name, "args": arguments}
    try:
        result = await tools[name].ainvoke(message)
    except ToolException as error:
        return {"error": True, "shown": str(error)}
    artifact = result.artifact or {}
    structured = artifact.get("structured_content")
    return {"error": result.status == "error", "shown": text(result.content), "structured": structured}


async def main(url: str, bearer: str, calls: list) -> dict:
    headers = {"Authorization": f"Bearer {bearer}"}
    server = {"transport": "streamable_http", "url": url, "headers": headers}
    loaded = await MultiServerMCPClient({"stack": server}).get_tools()
    tools = {tool.name: tool for tool in loaded}
    return {"tools": [tool.name for tool in loaded], "answers": [await call(tools, *each) for each in calls]}


try:
    seen = asyncio.run(main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3])))
except BaseException as error:  # task groups wrap what went wrong in groups
    while hasattr(error, "exceptions"):
        error = error.exceptions[0]
    seen = {"failed": f"{type(error).__name__}: {error}"}
print(json.dumps(seen))
