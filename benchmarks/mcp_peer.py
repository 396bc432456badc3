"""The peer of the MCP figures: the same number of tools on the same ``mcp`` server, under uvicorn, answering JSON."""

from __future__ import annotations

import json
import socket
import sys
from typing import Any

import mcp_types as types
import uvicorn
from mcp.server.lowlevel import Server


def main(definitions: list[dict[str, Any]]) -> None:
    tools = [types.Tool.model_validate(item) for item in definitions]

    async def list_tools(ctx: Any, params: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=tools)

    async def call_tool(ctx: Any, params: Any) -> types.CallToolResult:
        agent = {"id": params.arguments["agent_id"], "name": "peer", "status": "active"}
        text = json.dumps(agent)
        return types.CallToolResult(content=[types.TextContent(type="text", text=text)])

    schemas = {item["name"]: item["inputSchema"] for item in definitions}
    # Without a lookup each call of the 2026 era would list every tool first.
    server = Server("peer", on_list_tools=list_tools, on_call_tool=call_tool, get_tool_input_schema=schemas.get)
    app = server.streamable_http_app(json_response=True)
    # asyncio sets TCP_NODELAY only on sockets that say they are TCP; without it every answer waits 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    print(json.dumps({"base_url": f"http://127.0.0.1:{listener.getsockname()[1]}"}), flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False)).run([listener])


main(json.loads(sys.stdin.readline()))
