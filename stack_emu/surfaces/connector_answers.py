"""What an MCP server answers the connector: its tools as a listing holds them, and results as text blocks.

Source: anthropic 2.14.0 `types/beta/beta_mcp_tool_param.py` (a listed tool: name, description and input schema as the
server has them) and `beta_mcp_tool_result_block.py` (results hold text only).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stack_emu.model_script.conversation import as_error, read_result

if TYPE_CHECKING:
    from mcp_types import CallToolResult

_PAGE_LIMIT = 100
_TOLD_BYTES, _TOLD_CHARACTERS = 65_536, 300

Tool = dict[str, Any]
"""A listed tool: `name` and `input_schema`, and `description` and `annotations` where the server has them."""


@dataclass(frozen=True)
class CallOutcome:
    """What a tool call returned.

    Args:
        content: text blocks, as `mcp_tool_result` carries them.
        is_error: whether the tool reported an error, or could not be reached.
        value: what templates see: structured content, else parsed JSON text, else the text.
        protocol_code: the MCP error code, when the server answered with one instead of a result.
    """

    content: tuple[dict[str, str], ...]
    is_error: bool
    value: Any
    protocol_code: int | None = None


async def list_tools(client: Any) -> tuple[Tool, ...]:
    """All tools of a server, page by page, in its order.

    Args:
        client: an open `mcp.Client`.
    """
    if client.server_capabilities.tools is None:
        return ()
    tools: list[Tool] = []
    cursor: str | None = None
    for _ in range(_PAGE_LIMIT):
        page = await client.list_tools(cursor=cursor)
        tools += map(_listed, page.tools)
        cursor = page.next_cursor
        if cursor is None:
            break
    return tuple(tools)


def remember_tools(client: Any, tools: Sequence[Tool]) -> None:
    """Tell a client what a server lists, so that it does not ask.

    Args:
        client: an open `mcp.Client`; left to itself it lists a server's tools to check the first result of each.
        tools: the listing.
    """
    from mcp_types import ListToolsResult

    entries = [{"name": tool["name"], "inputSchema": tool["input_schema"]} for tool in tools]
    listing = ListToolsResult.model_validate({"tools": entries, "ttlMs": 0, "cacheScope": "private"})
    client.session._absorb_tool_listing(listing, complete=True)


async def told_by(response: Any) -> str | None:
    """What a server says about its refusal, where that is a JSON-RPC error of known length; without a final full stop.

    Args:
        response: an HTTP response of `httpx2` whose body has not been read.
    """
    length = response.headers.get("content-length", "")
    if not length.isdecimal() or int(length) > _TOLD_BYTES:
        return None
    try:
        message = json.loads(await response.aread())["error"]["message"]
    except (ValueError, KeyError, TypeError):
        return None
    return message[:_TOLD_CHARACTERS].rstrip(". ") or None if isinstance(message, str) else None


def _listed(tool: Any) -> Tool:
    described = {} if tool.description is None else {"description": tool.description}
    hints = tool.annotations
    noted = {} if hints is None else {"annotations": hints.model_dump(by_alias=True, exclude_none=True)}
    return {"name": tool.name, **described, "input_schema": tool.input_schema, **noted}


def read_outcome(result: CallToolResult) -> CallOutcome:
    """What a tool returned, as text blocks and as templates see it."""
    content = tuple({"type": "text", "text": _block_text(block)} for block in result.content)
    text = "\n".join(block["text"] for block in content)
    structured = result.structured_content
    read = read_result(text, result.is_error)
    if structured is None or structured == {"result": read}:  # what is no object is wrapped in one; the text is bare
        return CallOutcome(content, result.is_error, read)
    content = content or ({"type": "text", "text": json.dumps(structured, ensure_ascii=False)},)
    return CallOutcome(content, result.is_error, as_error(structured, text) if result.is_error else structured)


def _block_text(block: Any) -> str:
    """A content block as text, the only kind `mcp_tool_result` carries; other kinds are named."""
    if block.type == "text":
        return str(block.text)
    if block.type == "resource" and isinstance(getattr(block.resource, "text", None), str):
        return str(block.resource.text)
    if block.type == "resource_link":
        return f"{block.name}: {block.uri}"
    return f"[{block.type} content left out: tool results carry text only]"


def failed_call(server: str, reason: str) -> CallOutcome:
    """The result of a call that did not reach its tool, or whose answer did not come back.

    Args:
        server: the server's name in the request.
        reason: why, as a clause.
    """
    text = f"The MCP server {server} could not run the call: {reason}."
    return CallOutcome(({"type": "text", "text": text},), True, read_result(text, True))
