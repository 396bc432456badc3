"""The hosted MCP tool of the Responses API: which servers to dial, which of their tools count, which need approval.

Source: openai 3.57.0 `types/responses/tool_param.py` (`Mcp` and its filters). That approval is needed unless the request
says otherwise, and that credentials are not shown again, is OpenAI's documentation of the tool.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from stack_emu.surfaces import openai_fields as fields
from stack_emu.surfaces.openai_errors import check_known, check_served, invalid, missing

_FILTER = frozenset({"tool_names", "read_only"})
_HIDDEN = "<redacted>"


@dataclass(frozen=True)
class ToolFilter:
    """Which tools a filter picks.

    Args:
        names: their names; None for any.
        read_only: whether the server must say that they only read; None for either.
    """

    names: frozenset[str] | None = None
    read_only: bool | None = None

    def picks(self, tool: Mapping[str, Any]) -> bool:
        """Whether it picks a listed tool."""
        if self.names is not None and tool["name"] not in self.names:
            return False
        annotations = tool.get("annotations") or {}
        return self.read_only is None or self.read_only is bool(annotations.get("readOnlyHint"))


@dataclass(frozen=True)
class HostedServer:
    """A server of the request.

    Args:
        label: as the client calls it.
        url: as sent.
        token: its bearer.
        headers: further headers of every request to it.
        allowed: the tools the model may call.
        unapproved: the tools that need no approval; all others do.
    """

    label: str
    url: str
    token: str | None = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    allowed: ToolFilter
    unapproved: ToolFilter

    def needs_approval(self, tool: Mapping[str, Any]) -> bool:
        """Whether a call of a tool waits for the client's approval."""
        return not self.unapproved.picks(tool)


_NOTHING = ToolFilter(frozenset())


def read_server(tool: Mapping[str, Any], path: str) -> HostedServer:
    """Read a tool of type `mcp`.

    Raises:
        OpenAiError: 400, for the first thing that is wrong.
    """
    check_served(tool, fields.MCP_NOT_SERVED, path)
    check_known(tool, fields.MCP_TOOL | fields.MCP_NOT_SERVED.keys(), path)
    for name in ("server_label", "server_url"):
        if not isinstance(tool.get(name), str) or not tool[name]:
            raise missing(f"{path}.{name}")
    _check_url(tool["server_url"], f"{path}.server_url")
    token, headers = _credentials(tool, path)
    return HostedServer(
        tool["server_label"],
        tool["server_url"],
        token,
        headers,
        _filter(tool.get("allowed_tools"), f"{path}.allowed_tools", ToolFilter()),
        _unapproved(tool.get("require_approval"), f"{path}.require_approval"),
    )


def shown_server(tool: Mapping[str, Any]) -> dict[str, Any]:
    """A tool of type `mcp` as a response shows it again: without credentials, and only the host of its URL."""
    url = urlsplit(tool["server_url"])
    host = url.netloc.rpartition("@")[2]
    shown = {
        "type": "mcp",
        "server_label": tool["server_label"],
        "server_url": f"{url.scheme}://{host}/{_HIDDEN}" if url.path.strip("/") else f"{url.scheme}://{host}/",
        "server_description": tool.get("server_description"),
        "allowed_tools": tool.get("allowed_tools"),
        "require_approval": tool.get("require_approval") or "always",
        "headers": dict.fromkeys(tool["headers"], _HIDDEN) if tool.get("headers") else None,
    }
    return {**shown, "authorization": _HIDDEN} if tool.get("authorization") else shown


def listed_tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    """A listed tool as an `mcp_list_tools` item has it."""
    return {name: tool.get(name) for name in ("name", "description", "input_schema", "annotations")}


def _check_url(url: str, path: str) -> None:
    try:
        usable = urlsplit(url).scheme in ("http", "https") and bool(urlsplit(url).hostname)
    except ValueError:
        usable = False
    if not usable:
        raise invalid(path, "must be an http or https URL.")


def _credentials(tool: Mapping[str, Any], path: str) -> tuple[str | None, dict[str, str]]:
    headers = tool.get("headers") or {}
    if not isinstance(headers, Mapping) or not all(map(_fits, (*headers, *headers.values()))):
        raise invalid(f"{path}.headers", "must be an object of header values that are text.", "invalid_type")
    sent = {name.lower(): value for name, value in headers.items()}
    bearer = sent.pop("authorization", None)
    token = tool.get("authorization")
    if token is None:
        scheme, _, value = (bearer or "").partition(" ")
        if bearer is not None and scheme.lower() != "bearer":
            return None, {**sent, "authorization": bearer}
        return value.strip() or None, sent
    if bearer is not None:
        raise invalid(f"{path}.authorization", "the headers have an Authorization too; send one of them.")
    if not _fits(token) or not token:
        raise invalid(f"{path}.authorization", "must be a token that fits into a header.", "invalid_type")
    return token, sent


def _fits(value: Any) -> bool:
    return isinstance(value, str) and value.isascii() and (value.isprintable() or not value)


def _unapproved(value: Any, path: str) -> ToolFilter:
    """The tools `require_approval` lets pass; those it names under `always` need approval as any other does."""
    if value is None or value == "always":
        return _NOTHING
    if value == "never":
        return ToolFilter()
    if not isinstance(value, Mapping):
        raise invalid(path, "must be always, never, or an object with filters of those names.")
    check_known(value, {"always", "never"}, path)
    _filter(value.get("always"), f"{path}.always", _NOTHING)
    return _filter(value.get("never"), f"{path}.never", _NOTHING)


def _filter(value: Any, path: str, otherwise: ToolFilter) -> ToolFilter:
    if value is None:
        return otherwise
    if isinstance(value, list):
        value = {"tool_names": value}
    if not isinstance(value, Mapping):
        raise invalid(path, "must be a list of tool names, or an object with tool_names or read_only.", "invalid_type")
    check_known(value, _FILTER, path)
    names, read_only = value.get("tool_names"), value.get("read_only")
    if names is not None and not (isinstance(names, Sequence) and all(isinstance(name, str) for name in names)):
        raise invalid(f"{path}.tool_names", "must be a list of tool names.", "invalid_type")
    if read_only not in (None, True, False):
        raise invalid(f"{path}.read_only", "must be true or false.", "invalid_type")
    if names is None and read_only is None:
        return otherwise
    return ToolFilter(None if names is None else frozenset(names), read_only)
