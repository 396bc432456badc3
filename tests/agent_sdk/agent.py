"""STACK's MCP server and the Claude Agent SDK: with the operator's key, and with a passport until its end."""

import asyncio
import os

from claude_agent_sdk import (
    AssistantMessage,
    ClaudeAgentOptions,
    ResultMessage,
    SystemMessage,
    TextBlock,
    ToolResultBlock,
    ToolUseBlock,
    UserMessage,
    query,
)
from getstack import Stack


async def ask(title, bearer):
    """One conversation; prints what came of it."""
    server = {
        "type": "http",
        "url": "https://mcp.getstack.run/mcp",
        "headers": {"Authorization": f"Bearer {bearer}"},
    }
    options = ClaudeAgentOptions(
        mcp_servers={"stack": server},
        allowed_tools=["mcp__stack__stack_proxy_request"],
        tools=[],
        setting_sources=[],
        strict_mcp_config=True,
        max_turns=4,
        cwd=os.environ["HOME"],
    )
    print(title)
    async for message in query(prompt="The deploy is done: post it.", options=options):
        if isinstance(message, SystemMessage) and message.subtype == "init":
            print(" ", [f"{found['name']}: {found['status']}" for found in message.data["mcp_servers"]])
        elif isinstance(message, ResultMessage):
            print(f"  {message.subtype}")
        elif isinstance(message, (AssistantMessage, UserMessage)) and isinstance(message.content, list):
            for block in message.content:
                if isinstance(block, TextBlock):
                    print(f"  text: {block.text}")
                elif isinstance(block, ToolUseBlock):
                    print(f"  call: {block.name}")
                elif isinstance(block, ToolResultBlock):
                    print(f"  result: {'error' if block.is_error else 'ok'}")


async def main():
    stack = Stack(api_key=os.environ["STACK_API_KEY"])
    await ask("operator key", os.environ["STACK_API_KEY"])
    passport = stack.missions.start(agent_id="agent_deploy_bot", mission={"intent_summary": "Announce deploys"})[
        "passport"
    ]
    await ask("passport", passport["token"])
    stack.passports.revoke(passport["jti"])
    await ask("revoked passport", passport["token"])


asyncio.run(main())
