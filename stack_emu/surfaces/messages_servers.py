"""The MCP servers of a request and which of their tools it enables, in the three generations of the connector.

Source: anthropic 2.14.0 `types/beta/beta_request_mcp_server_*_param.py` (2025-04-04: `tool_configuration`) and
`beta_mcp_toolset_param.py` (since 2025-11-20); Anthropic's connector page
(platform.claude.com/docs/en/agents-and-tools/mcp-connector), section on validation: a toolset's server must exist, each
server is referenced by exactly one toolset, a tool named in `configs` that the server lacks is no error; and on
configuration: `configs` goes before `default_config`. That 2026-09-15 keeps those rules is inferred from its types,
which are the same. Ours: two connector betas at once are refused. A disabled tool is the client's wish, no error.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from stack_emu.surfaces import messages_fields as fields
from stack_emu.surfaces.messages_errors import ApiError, check_known, invalid
from stack_emu.surfaces.messages_listings import Listing, read_listing
from stack_emu.surfaces.messages_tool_changes import ToolSet, Withdrawn


@dataclass(frozen=True)
class McpServer:
    """A server of the request.

    Args:
        name: as the client calls it.
        url: as sent.
        token: its `authorization_token`.
        default_enabled: whether a tool nothing is said about may be called.
        enabled: what is said about single tools.
        withdrawn: what the conversation took away.
        listing: its tools, where the request brings them along.
    """

    name: str
    url: str
    token: str | None = field(repr=False)
    default_enabled: bool = True
    enabled: Mapping[str, bool] = field(default_factory=dict)
    withdrawn: Withdrawn = field(default_factory=Withdrawn)
    listing: Listing | None = None

    def allows(self, tool: str) -> bool:
        """Whether the request lets the model call a tool."""
        return self.enabled.get(tool, self.default_enabled) and self.withdrawn.offers(tool)


def read_servers(
    servers: Any, effect: ToolSet, listings: Mapping[str, Listing], betas: Collection[str]
) -> tuple[McpServer, ...]:
    """Validate `mcp_servers` and the toolsets that refer to them.

    Args:
        servers: the request's `mcp_servers`.
        effect: the tools in effect, toolsets among them.
        listings: the listings that stand in the conversation, by server.
        betas: names in the `anthropic-beta` header.

    Raises:
        ApiError: 400, for the first thing that is wrong.
    """
    toolsets = [tool for tool in effect.tools if tool.get("type") == "mcp_toolset"]
    _check_betas(servers, toolsets, betas)
    if not isinstance(servers, list):
        raise invalid("mcp_servers: must be a list of servers.")
    seen: set[str] = set()
    for index, server in enumerate(servers):
        _check_server(server, f"mcp_servers.{index}")
        if server["name"] in seen:
            raise invalid(f"mcp_servers.{index}.name: {server['name']} is used twice; names must be unique.")
        seen.add(server["name"])
    if set(fields.TOOLSET_BETAS) & set(betas):
        pins = fields.BETA_2026_09 in betas
        return tuple(
            _with_toolset(server, toolset, effect, listings)
            for server, toolset in _paired(servers, toolsets, pins=pins)
        )
    return tuple(_with_configuration(server, f"mcp_servers.{index}") for index, server in enumerate(servers))


def _check_betas(servers: Any, toolsets: Sequence[Mapping[str, Any]], betas: Collection[str]) -> None:
    for beta, instead in fields.REFUSED_BETAS.items():
        if beta in betas:
            raise invalid(f"anthropic-beta: {beta} is not served here; {instead}.")
    if not servers and not toolsets:
        return
    sent = [beta for beta in fields.CONNECTOR_BETAS if beta in betas]
    if servers and not sent:
        others = " or ".join(beta for beta in reversed(fields.CONNECTOR_BETAS) if beta != fields.BETA_2025_11)
        raise ApiError(
            400,
            f"mcp_servers: needs the header anthropic-beta: {fields.BETA_2025_11} (or {others}).",
            problem="unknown_field",
            unread=("mcp_servers",),
        )
    if len(sent) > 1:
        raise invalid(
            f"anthropic-beta: {' and '.join(sent)} are generations of one feature that read a request differently; "
            f"send one of them, for example {sent[-1] if toolsets else sent[0]}, which this request is written for."
        )
    if toolsets and not set(fields.TOOLSET_BETAS) & set(sent):
        raise invalid(
            f"tools: mcp_toolset needs the header anthropic-beta: {fields.BETA_2025_11} (or {fields.BETA_2026_09})."
        )


def _check_server(server: Any, path: str) -> None:
    if not isinstance(server, dict):
        raise invalid(f"{path}: must be an object with type, url and name.")
    check_known(server, fields.SERVER, path)
    if server.get("type") != "url":
        raise invalid(f'{path}.type: must be "url".')
    for name in ("name", "url"):
        if not isinstance(server.get(name), str) or not server[name]:
            raise invalid(f"{path}.{name}: must be text that is not empty.")
    token = server.get("authorization_token")
    if token is not None and not (isinstance(token, str) and token and token.isascii() and token.isprintable()):
        raise invalid(f"{path}.authorization_token: must be text that fits into a header, or be left out.")


def _with_configuration(server: Mapping[str, Any], path: str) -> McpServer:
    """`tool_configuration`, the 2025-04-04 way."""
    configuration = server.get("tool_configuration") or {}
    if not isinstance(configuration, dict):
        raise invalid(f"{path}.tool_configuration: must be an object with enabled and allowed_tools.")
    check_known(configuration, fields.TOOL_CONFIGURATION, f"{path}.tool_configuration")
    allowed = configuration.get("allowed_tools")
    if allowed is not None and not (isinstance(allowed, list) and all(isinstance(name, str) for name in allowed)):
        raise invalid(f"{path}.tool_configuration.allowed_tools: must be a list of tool names.")
    on = _flag(configuration, f"{path}.tool_configuration")
    if allowed is None or not on:
        return _server(server, on, {})
    return _server(server, False, dict.fromkeys(allowed, True))


def _paired(
    servers: Sequence[Mapping[str, Any]], toolsets: Sequence[Mapping[str, Any]], *, pins: bool
) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Each server with its toolset, the way since 2025-11-20.

    Args:
        servers: the request's servers.
        toolsets: its toolsets, those of the conversation among them.
        pins: whether a toolset may pin its listing.
    """
    names = [server["name"] for server in servers]
    referring: dict[str, Mapping[str, Any]] = {}
    for toolset in toolsets:
        name = toolset.get("mcp_server_name")
        if not isinstance(name, str) or name not in names:
            raise invalid(
                f"tools: an mcp_toolset names the server {name!r}, which is not in mcp_servers "
                f"({', '.join(names) or 'empty'})."
            )
        if name in referring:
            raise invalid(f"tools: two mcp_toolset entries name the server {name}; each server needs exactly one.")
        _check_toolset(toolset, f"tools.mcp_toolset({name})", pins=pins)
        referring[name] = toolset
    for index, server in enumerate(servers):
        if server.get("tool_configuration") is not None:
            raise invalid(
                f"mcp_servers.{index}.tool_configuration: belongs to {fields.BETA_2025_04}; "
                f"since {fields.BETA_2025_11} use default_config and configs of the mcp_toolset."
            )
        if server["name"] not in referring:
            raise invalid(
                f"mcp_servers.{index}: the server {server['name']} is named by no mcp_toolset; "
                f'add {{"type": "mcp_toolset", "mcp_server_name": "{server["name"]}"}} to tools.'
            )
    return [(server, referring[server["name"]]) for server in servers]


def _check_toolset(toolset: Mapping[str, Any], path: str, *, pins: bool) -> None:
    if toolset.get("tools") is not None and not pins:
        raise invalid(f"{path}.tools: a pinned listing needs the header anthropic-beta: {fields.BETA_2026_09}.")
    check_known(toolset, fields.TOOLSET, path)
    configs = toolset.get("configs") or {}
    if not isinstance(configs, dict):
        raise invalid(f"{path}.configs: must be an object with one entry for each tool.")
    for name, config in [("default_config", toolset.get("default_config") or {}), *configs.items()]:
        if not isinstance(config, dict):
            raise invalid(f"{path}: the configuration of {name} must be an object with enabled or defer_loading.")
        check_known(config, fields.TOOLSET_CONFIG, f"{path}.{name}")
        if not isinstance(config.get("defer_loading"), (bool, type(None))):
            raise invalid(f"{path}: defer_loading of {name} must be true or false.")


def _with_toolset(
    server: Mapping[str, Any], toolset: Mapping[str, Any], effect: ToolSet, listings: Mapping[str, Listing]
) -> McpServer:
    path = f"tools.mcp_toolset({server['name']})"
    configs = toolset.get("configs") or {}
    default = _flag(toolset.get("default_config") or {}, f"{path}.default_config")
    single = {name: _flag(config, f"{path}.configs.{name}", default) for name, config in configs.items()}
    listing = listings.get(server["name"])
    if toolset.get("tools") is not None:
        listing = read_listing(toolset["tools"], f"{path}.tools")
    withdrawn = effect.servers.get(server["name"], Withdrawn())
    return replace(_server(server, default, single), withdrawn=withdrawn, listing=listing)


def _server(server: Mapping[str, Any], default: bool, enabled: Mapping[str, bool]) -> McpServer:
    return McpServer(server["name"], server["url"], server.get("authorization_token"), default, enabled)


def _flag(config: Mapping[str, Any], path: str, default: bool = True) -> bool:
    value = config.get("enabled")
    if value is None:
        return default
    if not isinstance(value, bool):
        raise invalid(f"{path}.enabled: must be true or false.")
    return value
