"""The tool runner of Anthropic's SDK with the tools of STACK's MCP server, called by this process."""

import asyncio
import os

import httpx2
from anthropic import AsyncAnthropic
from anthropic.lib.tools.mcp import async_mcp_tool
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client


async def ask(claude, tools, history, text):
    """One question in the same conversation; prints what each message holds."""
    print(f"user       {text}")
    history.append({"role": "user", "content": text})
    runner = claude.beta.messages.tool_runner(
        model="claude-opus-5-5", max_tokens=1024, tools=tools, messages=list(history)
    )
    async for reply in runner:
        history.append({"role": "assistant", "content": reply.content})
        for block in reply.content:
            if block.type == "text":
                print(f"assistant  {block.text}")
            elif block.type == "tool_use":
                print(f"call       {block.input['method']} {block.input['url']}")
        answered = await runner.generate_tool_call_response()
        if answered is not None:
            history.append(answered)
            for block in answered["content"]:
                print(f"result     {'refused' if block.get('is_error') else 'ok'}")


async def main():
    headers = {"Authorization": f"Bearer {os.environ['STACK_PASSPORT']}"}
    async with (
        httpx2.AsyncClient(headers=headers) as http,
        Client(streamable_http_client("https://mcp.getstack.run/mcp", http_client=http)) as stack,
        AsyncAnthropic() as claude,
    ):
        tools = [async_mcp_tool(tool, stack.session) for tool in (await stack.list_tools()).tools]
        history = []
        await ask(claude, tools, history, "Triage issue 7.")
        await ask(claude, tools, history, "And now the salaries, please.")


asyncio.run(main())
