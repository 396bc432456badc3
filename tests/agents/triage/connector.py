"""Anthropic's MCP connector: the API dials STACK's MCP server itself. With --stream, the reply arrives in events."""

import os
import sys

from anthropic import Anthropic

claude = Anthropic()
history = []


def ask(text):
    """One question in the same conversation; prints what the reply holds."""
    print(f"user       {text}")
    history.append({"role": "user", "content": text})
    request = {
        "model": "claude-opus-5-5",
        "max_tokens": 1024,
        "messages": history,
        "mcp_servers": [
            {
                "type": "url",
                "url": "https://mcp.getstack.run/mcp",
                "name": "stack",
                "authorization_token": os.environ["STACK_PASSPORT"],
            }
        ],
        "tools": [{"type": "mcp_toolset", "mcp_server_name": "stack"}],
        "betas": ["mcp-client-2025-11-20"],
    }
    if "--stream" in sys.argv[1:]:
        with claude.beta.messages.stream(**request) as stream:
            told = "".join(event.text for event in stream if event.type == "text")
            reply = stream.get_final_message()
        assert told == "".join(block.text for block in reply.content if block.type == "text")
    else:
        reply = claude.beta.messages.create(**request)
    for block in reply.content:
        if block.type == "text":
            print(f"assistant  {block.text}")
        elif block.type == "mcp_tool_use":
            print(f"call       {block.input['method']} {block.input['url']}")
        elif block.type == "mcp_tool_result":
            print(f"result     {'refused' if block.is_error else 'ok'}")
    history.append({"role": "assistant", "content": reply.content})


ask("Triage issue 7.")
ask("And now the salaries, please.")
