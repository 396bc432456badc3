"""The operator's key as the token of STACK's MCP server, through Anthropic's SDK."""

import os

from anthropic import Anthropic

reply = Anthropic().beta.messages.create(
    model="claude-opus-5-5",
    max_tokens=500,
    betas=["mcp-client-2025-04-04"],
    mcp_servers=[
        {
            "type": "url",
            "url": "https://mcp.getstack.run/mcp",
            "name": "stack",
            "authorization_token": os.environ["STACK_API_KEY"],
        }
    ],
    messages=[{"role": "user", "content": "The deploy is done: post it."}],
)
for block in reply.content:
    print(block.type, getattr(block, "text", None) or getattr(block, "name", None) or block.content[0].text)
print(reply.stop_reason)
