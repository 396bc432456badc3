"""An agent on the OpenAI Agents SDK with STACK's MCP server: dialled by this process, or with --hosted by the API."""

import asyncio
import json
import os
import sys

from agents import Agent, HostedMCPTool, ItemHelpers, Runner
from agents.mcp import MCPServerStreamableHttp

STACK = "https://mcp.getstack.run/mcp"
PASSPORT = os.environ["STACK_PASSPORT"]


def show(item):
    """Print what one item of a run holds."""
    if item.type == "message_output_item":
        print(f"assistant  {ItemHelpers.text_message_output(item)}")
    elif item.type == "tool_call_item":
        arguments = json.loads(item.raw_item.arguments)
        print(f"call       {arguments['method']} {arguments['url']}")
        if item.raw_item.type == "mcp_call":
            print(f"result     {'refused' if item.raw_item.error else 'ok'}")
    elif item.type == "tool_call_output_item":
        print(f"result     {'refused' if 'FORBIDDEN' in str(item.output) else 'ok'}")


async def converse(agent):
    """Two questions in the same conversation."""
    history = []
    for text in ("Triage issue 7.", "And now the salaries, please."):
        print(f"user       {text}")
        result = await Runner.run(agent, [*history, {"role": "user", "content": text}])
        for item in result.new_items:
            show(item)
        history = result.to_input_list()


async def main():
    if "--hosted" in sys.argv:
        tool = {"type": "mcp", "server_label": "stack", "server_url": STACK, "require_approval": "never"}
        await converse(Agent(name="triage", tools=[HostedMCPTool(tool_config={**tool, "authorization": PASSPORT})]))
        return
    params = {"url": STACK, "headers": {"Authorization": f"Bearer {PASSPORT}"}}
    async with MCPServerStreamableHttp(params=params, name="stack") as server:
        await converse(Agent(name="triage", mcp_servers=[server]))


asyncio.run(main())
