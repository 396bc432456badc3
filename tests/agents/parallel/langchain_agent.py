"""LangChain's agent runs the calls of one turn at the same time."""

import asyncio
import os

from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_mcp_adapters.client import MultiServerMCPClient


async def main():
    server = {
        "transport": "streamable_http",
        "url": "https://mcp.getstack.run/mcp",
        "headers": {"Authorization": f"Bearer {os.environ['STACK_PASSPORT']}"},
    }
    agent = create_agent(
        ChatAnthropic(model="claude-opus-5-5", max_tokens=1024),
        await MultiServerMCPClient({"stack": server}).get_tools(),
    )
    state = await agent.ainvoke({"messages": [{"role": "user", "content": "Look around."}]})
    print(state["messages"][-1].text)


asyncio.run(main())
