"""An agent on the OpenAI Agents SDK that announces a deploy. Nothing in it knows of an emulator."""

import asyncio
import json
import os
import sys

import httpx2
from agents import (
    Agent,
    HostedMCPTool,
    MCPToolApprovalFunctionResult,
    OpenAIChatCompletionsModel,
    Runner,
    function_tool,
)
from agents.mcp import MCPServerStreamableHttp
from openai import AsyncOpenAI

STACK = "https://mcp.getstack.run/mcp"
PASSPORT = os.environ["STACK_PASSPORT"]
asked = []


@function_tool
def post(text: str) -> str:
    """Post a text to Slack through STACK."""
    target = {"service": "slack", "method": "POST", "url": "https://slack.com/api/chat.postMessage"}
    reply = httpx2.post(
        "https://api.getstack.run/v1/proxy",
        json={**target, "body": {"channel": "#engineering", "text": text}},
        headers={"Authorization": f"Bearer {PASSPORT}", "X-Passport-Token": PASSPORT},
    )
    return json.dumps(reply.json()["body"])


@function_tool
def count(words: int) -> int:
    """Count the words."""
    return words


def approve(request):
    asked.append(request.data.name)
    return MCPToolApprovalFunctionResult(approve=True)


def hosted(approval: str) -> HostedMCPTool:
    tool = {"type": "mcp", "server_label": "stack", "server_url": STACK, "require_approval": approval}
    return HostedMCPTool(tool_config={**tool, "authorization": PASSPORT}, on_approval_request=approve)


async def ask(agent: Agent, streamed: bool = False):
    text = "The deploy started: tell #engineering."
    if not streamed:
        return await Runner.run(agent, text)
    result = Runner.run_streamed(agent, text)
    async for _ in result.stream_events():
        pass
    return result


async def main(way: str):
    model = OpenAIChatCompletionsModel("gpt-5", AsyncOpenAI()) if way.endswith("chat") else "gpt-5"
    if way.startswith("server"):
        headers = {"Authorization": f"Bearer {PASSPORT}"}
        async with MCPServerStreamableHttp(params={"url": STACK, "headers": headers}, name="stack") as server:
            return await ask(Agent(name="bot", model=model, mcp_servers=[server]), way == "server-streamed")
    if way.startswith("functions"):
        return await ask(Agent(name="bot", model=model, tools=[post, count]))
    approval = "always" if way == "hosted-approved" else "never"
    return await ask(Agent(name="bot", model=model, tools=[hosted(approval)]), way == "hosted-streamed")


result = asyncio.run(main(sys.argv[1]))
print(json.dumps({"said": result.final_output, "items": [item.type for item in result.new_items], "asked": asked}))
