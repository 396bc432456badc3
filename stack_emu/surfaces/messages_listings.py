"""Tool listings a request brings along, so that an MCP server is not asked for its tools again.

Source: anthropic 2.14.0 `types/beta/beta_mcp_toolset_param.py` (`tools`: the server is not asked before sampling, and
exactly these entries, with `default_config` and `configs` applied, are the toolset's tools),
`beta_mcp_tool_listing_block_param.py` (a block that an earlier reply carried stands in for asking the server of the
matching toolset) and `beta_mcp_tool_param_param.py` (an entry). That a pinned listing comes before one in the
conversation, and the last of several blocks before the others, is inferred.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from stack_emu.surfaces import messages_fields as fields
from stack_emu.surfaces.messages_errors import check_known, invalid

Listing = tuple[dict[str, Any], ...]

_KIND = "mcp_tool_listing"


def read_listing(tools: Any, path: str) -> Listing:
    """Validate a listing.

    Args:
        tools: the entries.
        path: where they stand.

    Raises:
        ApiError: 400, for the first entry that is wrong.
    """
    if not isinstance(tools, list):
        raise invalid(f"{path}: must be a list of tools with name and input_schema, as the server lists them.")
    seen: set[str] = set()
    for index, tool in enumerate(tools):
        where = f"{path}.{index}"
        if not isinstance(tool, dict):
            raise invalid(f"{where}: must be an object with name and input_schema.")
        check_known(tool, fields.LISTED_TOOL, where)
        name = tool.get("name")
        if not isinstance(name, str) or not name:
            raise invalid(f"{where}.name: must be the tool's name on its server.")
        if name in seen:
            raise invalid(f"{where}.name: {name} is listed twice; a server lists a tool once.")
        seen.add(name)
        if not isinstance(tool.get("input_schema"), dict):
            raise invalid(f"{where}.input_schema: must be the JSON Schema the server lists.")
        if not isinstance(tool.get("description"), (str, type(None))):
            raise invalid(f"{where}.description: must be text, or be left out.")
    return tuple(tools)


def listings_of(messages: Sequence[Mapping[str, Any]], betas: Collection[str]) -> dict[str, Listing]:
    """The listings that stand in a conversation, by server; the last one of a server counts.

    Args:
        messages: the conversation, validated except for the tools in its listings.
        betas: names in the `anthropic-beta` header.

    Raises:
        ApiError: 400 for a listing that is wrong, or comes without the beta it belongs to.
    """
    found: dict[str, Listing] = {}
    for number, message in enumerate(messages):
        content = message.get("content")
        for index, block in enumerate(content if isinstance(content, list) else ()):
            if block["type"] != _KIND:
                continue
            path = f"messages.{number}.content.{index}"
            if fields.BETA_2026_09 not in betas:
                raise invalid(f"{path}.type: {_KIND} needs the header anthropic-beta: {fields.BETA_2026_09}.")
            found[block["mcp_server_name"]] = read_listing(block.get("tools"), f"{path}.tools")
    return found


def listing_block(server: str, listing: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The block of a reply that carries a listing which was asked for."""
    return {"type": _KIND, "mcp_server_name": server, "tools": list(listing)}
