"""LangChain's agent on Anthropic's model, with the tools of STACK's MCP server."""

import asyncio
import os

from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_mcp_adapters.client import MultiServerMCPClient


async def ask(agent, history, text):
    """One question in the same conversation; prints the messages it adds."""
    print(f"user       {text}")
    history.append({"role": "user", "content": text})
    state = await agent.ainvoke({"messages": history})
    for message in state["messages"][len(history) :]:
        if message.type == "ai":
            if message.text:
                print(f"assistant  {message.text}")
            for call in message.tool_calls:
                print(f"call       {call['args']['method']} {call['args']['url']}")
        elif message.type == "tool":
            print(f"result     {'refused' if message.status == 'error' else 'ok'}")
    history[:] = state["messages"]


async def main():
    server = {
        "transport": "streamable_http",
        "url": "https://mcp.getstack.run/mcp",
        "headers": {"Authorization": f"Bearer {os.environ['STACK_PASSPORT']}"},
    }
    tools = await MultiServerMCPClient({"stack": server}).get_tools()
    agent = create_agent(ChatAnthropic(model="claude-opus-5-5", max_tokens=1024), tools)
    history = []
    await ask(agent, history, "Triage issue 7.")
    await ask(agent, history, "And now the salaries, please.")


asyncio.run(main())
