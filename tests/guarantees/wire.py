"""Calling operations as they are declared: over REST, and over MCP by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx

from stack_emu.kernel.operations import Operation

ACCEPT = "application/json, text/event-stream"
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}


@dataclass(frozen=True)
class Answer:
    """What a call was answered with, whichever surface it came over; ``status`` is HTTP's or what it would be there."""

    status: int
    body: Any

    @property
    def ok(self) -> bool:
        return self.status < 400

    @property
    def error(self) -> dict[str, Any]:
        return in_envelope(self.body)

    @property
    def code(self) -> str:
        return str(self.error.get("code", ""))


OAUTH_CODES = {"server_error": "INTERNAL_ERROR", "invalid_request": "INVALID_REQUEST"}


def in_envelope(body: Any) -> dict[str, Any]:
    """The error in a body; one in the words of RFC 6749 or of JSON-RPC as STACK's envelope would have it."""
    error = body.get("error", {}) if isinstance(body, dict) else {}
    if not isinstance(error, str):
        return {"message": error["message"], **error["data"]} if "data" in error else dict(error)
    details = {name: value for name, value in body.items() if name not in ("error", "error_description", "code")}
    return {"code": OAUTH_CODES.get(error, error), "message": body["error_description"], "details": details}


def rest_parts(declared: Operation, raw: Mapping[str, Any]) -> tuple[str, str, dict[str, str], Any, Any]:
    """(method, path, headers, query, body) of a call with this raw input."""
    rest = declared.rest
    assert rest is not None, f"{declared.name} has no route"
    given = dict(raw)
    path = rest.path
    for name in rest.params:
        path = path.replace(f"{{{name}}}", quote(str(given[name]), safe="")).replace(
            f"{{{name}+}}", quote(str(given[name]))
        )
        given.pop(name)
    headers = {}
    for header, name in rest.headers.items():
        if given.get(name) is not None:
            headers[header] = str(given.pop(name))
    if rest.method in ("GET", "DELETE"):
        return rest.method, path, headers, given, None
    return rest.method, path, headers, None, given


class RestClient:
    """Calls operations over REST.

    Args:
        base_url: of the world.
    """

    def __init__(self, base_url: str) -> None:
        self.http = httpx.Client(base_url=base_url, timeout=20, trust_env=False)

    def call(self, declared: Operation, raw: Mapping[str, Any], bearer: str | None) -> Answer:
        method, path, headers, query, body = rest_parts(declared, raw)
        if bearer is not None:
            headers["Authorization"] = f"Bearer {bearer}"
        response = self.http.request(method, path, headers=headers, params=query, json=body)
        return Answer(response.status_code, _json(response))

    def close(self) -> None:
        self.http.close()


@dataclass
class McpClient:
    """Calls operations as tools, in sessions of the handshake era, one for each bearer."""

    base_url: str
    sessions: dict[str, str] = field(default_factory=dict)
    number: int = 0

    def __post_init__(self) -> None:
        self.http = httpx.Client(timeout=20, trust_env=False)

    def call(self, declared: Operation, raw: Mapping[str, Any], bearer: str | None) -> Answer:
        assert declared.tool is not None, f"{declared.name} is no tool"
        refused = self._open(bearer)
        if refused is not None:
            return refused
        arguments = {name: value for name, value in raw.items() if name not in declared.tool.hidden}
        if declared.tool.confirm:
            arguments["confirm"] = True
        return self._answer(self.post("tools/call", {"name": declared.tool.name, "arguments": arguments}, bearer))

    def tools(self, bearer: str) -> set[str]:
        """Names of the tools a bearer sees."""
        refused = self._open(bearer)
        assert refused is None, refused
        return {tool["name"] for tool in self.post("tools/list", {}, bearer).json()["result"]["tools"]}

    def _open(self, bearer: str | None) -> Answer | None:
        if bearer is not None and bearer in self.sessions:
            return None
        response = self.post("initialize", HELLO, bearer)
        if response.status_code != 200:
            return Answer(response.status_code, _json(response))
        assert bearer is not None
        self.sessions[bearer] = response.headers["Mcp-Session-Id"]
        self.post("notifications/initialized", None, bearer)
        return None

    def post(self, method: str, params: Any, bearer: str | None) -> httpx.Response:
        headers = {"Accept": ACCEPT}
        if bearer is not None:
            headers["Authorization"] = f"Bearer {bearer}"
            if bearer in self.sessions:
                headers["Mcp-Session-Id"] = self.sessions[bearer]
        self.number += 1
        message: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
        if params is not None:
            message |= {"id": self.number, "params": params}
        return self.http.post(f"{self.base_url}/mcp", json=message, headers=headers)

    def _answer(self, response: httpx.Response) -> Answer:
        body = _json(response)
        if response.status_code != 200 or "error" in body:
            return Answer(response.status_code if response.status_code != 200 else 400, body)
        result = body["result"]
        text = _text(result["content"][0]) if result["content"] else ""
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        return Answer(599 if result.get("isError") else 200, value)

    def close(self) -> None:
        self.http.close()


def _text(block: dict[str, Any]) -> str:
    """The text of a content block; of a file that is no text, its base64."""
    return block["text"] if block["type"] == "text" else block["resource"]["blob"]


def _json(response: httpx.Response) -> Any:
    if response.is_redirect:
        return {"location": response.headers["Location"]}
    try:
        return response.json()
    except ValueError:
        return response.text
