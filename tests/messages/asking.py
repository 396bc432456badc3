"""Requests to the connector with the real SDK, streamed or not, and the pieces they are made of."""

from __future__ import annotations

from typing import Any

OLD = "mcp-client-2025-04-04"
NEW = "mcp-client-2025-11-20"
LATEST = "mcp-client-2026-09-15"
INLINE = "inline-tools-2026-09-15"
CHANGES = "mid-conversation-tool-changes-2026-07-01"
MODEL = "claude-opus-5-5"

ECHO = "model: [{turns: [{say: Posting., call: {tool: echo, input: {n: 1}}}, {say: 'got {{ result.n }}'}]}]"


def ask(
    sdk: Any, servers: Any, *, betas: Any = (LATEST,), messages: Any = None, stream: bool = False, **more: Any
) -> Any:
    """One reply; a streamed one as the SDK accumulates it."""
    arguments = {
        "model": MODEL,
        "max_tokens": 100,
        "messages": messages or [user("deploy started")],
        "mcp_servers": servers,
        "betas": list(betas),
        **more,
    }
    if not stream:
        return sdk.beta.messages.create(**arguments)
    with sdk.beta.messages.stream(**arguments) as events:
        return events.get_final_message()


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def toolset(name: str = "stack", **more: Any) -> dict[str, Any]:
    return {"type": "mcp_toolset", "mcp_server_name": name, **more}


def listed(*names: str) -> list[dict[str, Any]]:
    """A listing with these tools."""
    return [{"name": name, "input_schema": {"type": "object", "properties": {}}} for name in names]
