"""Tools that come and go within a conversation: `tool_addition` and `tool_removal` folded over the request's `tools`.

Source: anthropic 2.14.0 `types/beta/beta_request_tool_addition_block_param.py` and `…_removal_block_param.py` (what may
be referred to, which betas a definition in the conversation needs), `beta_tool_change_*_param.py` (the four kinds of
references), `lib/tools/_tool_dispatch.available_tool_names` (system messages, and the `tool_changes` of a compaction
block, in order), `lib/tools/_beta_runner.add_tools` (a definition replaces one of its name). Inferred: that
`inline-tools-2026-09-15` implies plain references, which its runner sends without the older beta. Ours: a reference to
nothing is refused, and adding an MCP tool takes back its removal but not `enabled: false`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stack_emu.surfaces import messages_fields as fields
from stack_emu.surfaces.messages_errors import ApiError, check_known, invalid

Tool = Mapping[str, Any]
CheckTool = Callable[[Any, str], None]

_REFERENCES = {
    "tool_reference": frozenset({"type", "name"}),
    "mcp_tool_reference": frozenset({"type", "server_name", "name"}),
    "mcp_toolset_reference": frozenset({"type", "server_name"}),
}
_DEFINITION = "tool_definition"
_TOOLSET = "mcp_toolset"


@dataclass
class Withdrawn:
    """What a conversation took away from one MCP server's toolset.

    Args:
        default: whether tools nothing is said about are offered.
        single: what is said about single tools.
    """

    default: bool = True
    single: dict[str, bool] = field(default_factory=dict)

    def offers(self, tool: str) -> bool:
        """Whether a tool is still there at the end of the conversation."""
        return self.single.get(tool, self.default)


@dataclass
class ToolSet:
    """The tools in effect at the end of a conversation.

    Args:
        tools: definitions: those of `tools` that were not replaced, and those of the conversation.
        removed: names of tools that were taken away.
        servers: what became of the toolsets, by server.
        inline: servers whose toolset stands in the conversation.
    """

    tools: list[Tool]
    removed: set[str] = field(default_factory=set)
    servers: dict[str, Withdrawn] = field(default_factory=dict)
    inline: set[str] = field(default_factory=set)

    @property
    def offered(self) -> list[Tool]:
        """Definitions of the tools that are on offer; toolsets are, whatever was taken out of them."""
        return [tool for tool in self.tools if tool.get("name") is None or tool["name"] not in self.removed]


def fold_tool_changes(
    tools: Sequence[Tool], messages: Sequence[Mapping[str, Any]], betas: Collection[str], check: CheckTool
) -> ToolSet:
    """The tools in effect at the end of a conversation.

    Args:
        tools: the request's `tools`, validated.
        messages: the conversation, validated except for its tool changes.
        betas: names in the `anthropic-beta` header.
        check: validates a definition.

    Raises:
        ApiError: 400 for a change that is wrong, names no tool, or comes without the beta it needs.
    """
    effect = ToolSet(list(tools))
    for path, block in _changes(messages):
        change = block.get("tool")
        kind = change.get("type") if isinstance(change, dict) else None
        if not isinstance(change, dict) or (kind not in _REFERENCES and kind != _DEFINITION):
            raise invalid(f"{path}.tool.type: must be one of {', '.join((*_REFERENCES, _DEFINITION))}.")
        _check_beta(kind, betas, path)
        if kind == _DEFINITION:
            _define(effect, block, change, betas, path, check)
        else:
            _refer(effect, block["type"] == "tool_addition", change, f"{path}.tool")
    return effect


def _changes(messages: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, message in enumerate(messages):
        content = message.get("content")
        for index, block in enumerate(content if isinstance(content, list) else ()):
            path = f"messages.{number}.content.{index}"
            if block["type"] in fields.TOOL_CHANGES:
                yield path, block
            if block["type"] == "compaction":
                yield from _compacted(block.get("tool_changes") or [], f"{path}.tool_changes")


def _compacted(changes: Any, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if not isinstance(changes, list):
        raise invalid(f"{path}: must be a list of tool_addition and tool_removal entries, as it was returned.")
    for index, change in enumerate(changes):
        if not isinstance(change, dict) or change.get("type") not in fields.TOOL_CHANGES:
            raise invalid(f"{path}.{index}.type: must be tool_addition or tool_removal.")
        yield f"{path}.{index}", change


def _check_beta(kind: str | None, betas: Collection[str], path: str) -> None:
    if fields.BETA_INLINE_TOOLS in betas:
        return
    if kind == _DEFINITION:
        raise _needs(f"{path}.tool: a tool_definition", fields.BETA_INLINE_TOOLS)
    if fields.BETA_TOOL_CHANGES not in betas:
        raise _needs(f"{path}: a change of tools", f"{fields.BETA_TOOL_CHANGES} (or {fields.BETA_INLINE_TOOLS})")


def _needs(what: str, beta: str) -> ApiError:
    return invalid(f"{what} needs the header anthropic-beta: {beta}.")


def _define(
    effect: ToolSet,
    block: Mapping[str, Any],
    change: Mapping[str, Any],
    betas: Collection[str],
    path: str,
    check: CheckTool,
) -> None:
    if block["type"] != "tool_addition":
        raise invalid(f"{path}.tool.type: a tool_removal refers to a tool; use one of {', '.join(_REFERENCES)}.")
    check_known(change, {"type", "definition"}, f"{path}.tool")
    definition = change.get("definition")
    if not isinstance(definition, dict):
        raise invalid(f"{path}.tool.definition: must be a tool, as an entry of tools holds it.")
    check(definition, f"{path}.tool.definition")
    if definition.get("type") != _TOOLSET:
        effect.tools = [tool for tool in effect.tools if tool.get("name") != definition.get("name")]
        effect.removed.discard(definition.get("name", ""))
    else:
        if fields.BETA_2026_09 not in betas:
            raise _needs(f"{path}.tool.definition: an mcp_toolset in the conversation", fields.BETA_2026_09)
        server = definition.get("mcp_server_name")
        effect.tools = [
            tool for tool in effect.tools if tool.get("type") != _TOOLSET or tool.get("mcp_server_name") != server
        ]
        effect.servers.pop(str(server), None)
        effect.inline.add(str(server))
    effect.tools.append(definition)


def _refer(effect: ToolSet, offered: bool, change: Mapping[str, Any], path: str) -> None:
    known = _REFERENCES[change["type"]]
    check_known(change, known, path)
    for name in sorted(known - {"type"}):
        if not isinstance(change.get(name), str) or not change[name]:
            raise invalid(f"{path}.{name}: must be text that is not empty.")
    if change["type"] == "tool_reference":
        _refer_to_tool(effect, offered, change["name"], path)
        return
    server = change["server_name"]
    toolsets = [tool.get("mcp_server_name") for tool in effect.tools if tool.get("type") == _TOOLSET]
    if server not in toolsets:
        shown = ", ".join(map(str, toolsets)) or "none"
        raise invalid(f"{path}.server_name: no mcp_toolset of the server {server} stands before it (there is {shown}).")
    withdrawn = effect.servers.setdefault(server, Withdrawn())
    if change["type"] == "mcp_toolset_reference":
        effect.servers[server] = Withdrawn(default=offered)
    else:
        withdrawn.single[change["name"]] = offered


def _refer_to_tool(effect: ToolSet, offered: bool, name: str, path: str) -> None:
    names = [tool["name"] for tool in effect.tools if "name" in tool]
    if name not in names:
        raise invalid(
            f"{path}.name: no tool {name} stands in tools or earlier in messages "
            f"(there is {', '.join(names) or 'none'}); a tool of an MCP server is named by mcp_tool_reference."
        )
    if offered:
        effect.removed.discard(name)
    else:
        effect.removed.add(name)
