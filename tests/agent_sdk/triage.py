"""A conversation of three questions with the Claude Agent SDK, in which a callback decides about every tool call."""

import asyncio
import os

from claude_agent_sdk import (
    AssistantMessage,
    ClaudeAgentOptions,
    ClaudeSDKClient,
    PermissionResultAllow,
    PermissionResultDeny,
    ResultMessage,
    SystemMessage,
    TextBlock,
    ToolResultBlock,
    ToolUseBlock,
    UserMessage,
)


async def decide(tool, arguments, context):
    """Issues are read and commented on; nothing of them is changed."""
    if arguments["method"] == "PATCH":
        print("  denied by the callback")
        return PermissionResultDeny(message="Ask Ada before you change an issue.")
    return PermissionResultAllow()


def show(message):
    """Print what a message holds."""
    if isinstance(message, SystemMessage) and message.subtype == "init":
        print(" ", [f"{found['name']}: {found['status']}" for found in message.data["mcp_servers"]])
        print(" ", sum(name.startswith("mcp__stack__") for name in message.data["tools"]), "tools")
    elif isinstance(message, ResultMessage):
        print(f"  {message.subtype}")
    elif isinstance(message, (AssistantMessage, UserMessage)) and isinstance(message.content, list):
        for block in message.content:
            if isinstance(block, TextBlock):
                print(f"  text: {block.text}")
            elif isinstance(block, ToolUseBlock):
                print(f"  call: {block.name} {block.input['method']} {block.input['url']}")
            elif isinstance(block, ToolResultBlock):
                print(f"  result: {block.content if block.is_error else 'ok'}")


async def main():
    server = {
        "type": "http",
        "url": "https://mcp.getstack.run/mcp",
        "headers": {"Authorization": f"Bearer {os.environ['STACK_PASSPORT']}"},
    }
    options = ClaudeAgentOptions(
        mcp_servers={"stack": server},
        can_use_tool=decide,
        tools=[],
        setting_sources=[],
        strict_mcp_config=True,
        cwd=os.environ["HOME"],
    )
    async with ClaudeSDKClient(options=options) as client:
        for question in ("Triage issue 7.", "And now the salaries, please.", "Close issue 7."):
            print(question)
            await client.query(question)
            async for message in client.receive_response():
                show(message)


asyncio.run(main())
