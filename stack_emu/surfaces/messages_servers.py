"""The MCP servers of a request and which of their tools it enables, in both generations of the connector.

Source: anthropic 2.12.0 `beta_request_mcp_server_*_param.py` and `beta_mcp_toolset_param.py`, Anthropic's connector
page (each server referenced by exactly one toolset since 2025-11-20). A disabled tool is the client's wish, no error.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stack_emu.surfaces import messages_fields as fields
from stack_emu.surfaces.messages_errors import ApiError, check_known, invalid


@dataclass(frozen=True)
class McpServer:
    """A server of the request.

    Args:
        name: as the client calls it.
        url: as sent.
        token: its `authorization_token`.
        default_enabled: whether a tool nothing is said about may be called.
        enabled: what is said about single tools.
    """

    name: str
    url: str
    token: str | None = field(repr=False)
    default_enabled: bool = True
    enabled: Mapping[str, bool] = field(default_factory=dict)

    def allows(self, tool: str) -> bool:
        """Whether the request lets the model call a tool."""
        return self.enabled.get(tool, self.default_enabled)


def read_servers(servers: Any, toolsets: Sequence[Mapping[str, Any]], betas: Collection[str]) -> tuple[McpServer, ...]:
    """Validate `mcp_servers` and the toolsets that refer to them.

    Args:
        servers: the request's `mcp_servers`.
        toolsets: the entries of `tools` with type `mcp_toolset`.
        betas: names in the `anthropic-beta` header.

    Raises:
        ApiError: 400, for the first thing that is wrong.
    """
    _check_betas(servers, toolsets, betas)
    if not isinstance(servers, list):
        raise invalid("mcp_servers: must be a list of servers.")
    seen: set[str] = set()
    for index, server in enumerate(servers):
        _check_server(server, f"mcp_servers.{index}")
        if server["name"] in seen:
            raise invalid(f"mcp_servers.{index}.name: {server['name']} is used twice; names must be unique.")
        seen.add(server["name"])
    if fields.BETA_2025_11 in betas:
        return _with_toolsets(servers, toolsets)
    return tuple(_with_configuration(server, f"mcp_servers.{index}") for index, server in enumerate(servers))


def _check_betas(servers: Any, toolsets: Sequence[Mapping[str, Any]], betas: Collection[str]) -> None:
    for beta in sorted(fields.REFUSED_BETAS & set(betas)):
        raise invalid(f"anthropic-beta: {beta} is not served here; use {fields.BETA_2025_11}.")
    if servers and not set(fields.CONNECTOR_BETAS) & set(betas):
        raise ApiError(
            400,
            f"mcp_servers: needs the header anthropic-beta: {fields.BETA_2025_11} (or {fields.BETA_2025_04}).",
            problem="unknown_field",
            unread=("mcp_servers",),
        )
    if toolsets and fields.BETA_2025_11 not in betas:
        raise invalid(f"tools: mcp_toolset needs the header anthropic-beta: {fields.BETA_2025_11}.")


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


def _with_toolsets(
    servers: Sequence[Mapping[str, Any]], toolsets: Sequence[Mapping[str, Any]]
) -> tuple[McpServer, ...]:
    """`mcp_toolset` entries, the 2025-11-20 way."""
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
        _check_toolset(toolset, f"tools.mcp_toolset({name})")
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
    return tuple(_with_toolset(server, referring[server["name"]]) for server in servers)


def _check_toolset(toolset: Mapping[str, Any], path: str) -> None:
    if toolset.get("tools") is not None:
        raise invalid(
            f"{path}.tools: a pinned listing belongs to beta mcp-client-2026-09-15, which is not served here."
        )
    check_known(toolset, fields.TOOLSET | {"tools"}, path)
    configs = toolset.get("configs") or {}
    if not isinstance(configs, dict):
        raise invalid(f"{path}.configs: must be an object with one entry for each tool.")
    for name, config in [("default_config", toolset.get("default_config") or {}), *configs.items()]:
        if not isinstance(config, dict):
            raise invalid(f"{path}: the configuration of {name} must be an object with enabled or defer_loading.")
        check_known(config, fields.TOOLSET_CONFIG, f"{path}.{name}")


def _with_toolset(server: Mapping[str, Any], toolset: Mapping[str, Any]) -> McpServer:
    path = f"tools.mcp_toolset({server['name']})"
    configs = toolset.get("configs") or {}
    default = _flag(toolset.get("default_config") or {}, f"{path}.default_config")
    single = {name: _flag(config, f"{path}.configs.{name}", default) for name, config in configs.items()}
    return _server(server, default, single)


def _server(server: Mapping[str, Any], default: bool, enabled: Mapping[str, bool]) -> McpServer:
    return McpServer(server["name"], server["url"], server.get("authorization_token"), default, enabled)


def _flag(config: Mapping[str, Any], path: str, default: bool = True) -> bool:
    value = config.get("enabled")
    if value is None:
        return default
    if not isinstance(value, bool):
        raise invalid(f"{path}.enabled: must be true or false.")
    return value
