"""Validation of Responses requests: a body becomes a request the script can answer, or one sentence says what is wrong.

Source of the rules: openai 3.57.0 `types/responses/response_create_params.py` and `response_input_item_param.py`; the
wording is ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stack_emu.kernel.near_words import close_matches
from stack_emu.surfaces import openai_fields as fields
from stack_emu.surfaces.openai_chat_request import check_function
from stack_emu.surfaces.openai_choice import (
    Choice,
    JsonWanted,
    check_limit,
    read_bool,
    read_choice,
    read_format,
    read_object,
)
from stack_emu.surfaces.openai_errors import check_known, check_served, invalid, missing
from stack_emu.surfaces.openai_mcp import HostedServer, read_server, shown_server

_ROLES = ("user", "assistant", "system", "developer")


@dataclass(frozen=True)
class ResponsesRequest:
    """A valid request.

    Args:
        model: the requested model, any name.
        items: the request's own input items.
        instructions: the system prompt.
        functions: names of the client's functions.
        servers: the MCP servers to dial.
        choice: which calls are allowed and demanded.
        wanted: the JSON asked for, if any.
        stream: whether the reply is streamed.
        store: whether the response can be asked for again.
        previous: id of the response this one goes on from.
        body: everything, as sent.
    """

    model: str
    items: tuple[Mapping[str, Any], ...]
    instructions: str
    functions: tuple[str, ...]
    servers: tuple[HostedServer, ...]
    choice: Choice
    wanted: JsonWanted | None
    stream: bool
    store: bool
    previous: str | None
    body: Mapping[str, Any]

    @property
    def summary(self) -> bool:
        """Whether a summary of the model's reasoning is asked for."""
        asked = self.body.get("reasoning") or {}
        return bool(asked.get("summary") or asked.get("generate_summary"))

    def shown_tools(self) -> list[dict[str, Any]]:
        """The tools as a response shows them again."""
        tools = self.body.get("tools") or ()
        return [
            shown_server(tool) if tool["type"] == "mcp" else {"description": None, "strict": True, **tool}
            for tool in tools
        ]


def read_responses_request(body: Any) -> ResponsesRequest:
    """Validate a body.

    Raises:
        OpenAiError: 400, for the first thing that is wrong.
    """
    if not isinstance(body, dict):
        raise invalid(None, "The body must be a JSON object with model and input.", "invalid_type")
    check_known(body, fields.RESPONSES, "")
    check_served(body, fields.RESPONSES_NOT_SERVED)
    if not isinstance(body.get("model"), str) or not body["model"]:
        raise missing("model")
    for name in ("instructions", "previous_response_id"):
        if body.get(name) is not None and not isinstance(body[name], str):
            raise invalid(name, "must be text.", "invalid_type")
    if body.get("input") is None and body.get("previous_response_id") is None:
        raise missing("input")
    stream = read_bool(body, "stream")
    options = read_object(body, "stream_options")
    if options and not stream:
        raise invalid("stream_options", "is allowed only with stream: true.")
    check_known(options, {"include_obfuscation"}, "stream_options")
    check_limit(body, "max_output_tokens", "max_tool_calls")
    for name in ("metadata", "reasoning"):
        read_object(body, name)
    text = read_object(body, "text")
    check_known(text, {"format", "verbosity"}, "text")
    functions, servers = _read_tools(body.get("tools") or [])
    offered = (*functions, *(server.label for server in servers))
    choice = read_choice(body.get("tool_choice"), offered, body.get("parallel_tool_calls"), _named)
    return ResponsesRequest(
        body["model"],
        read_input(body.get("input") or []),
        body.get("instructions") or "",
        functions,
        servers,
        choice,
        read_format(text.get("format"), "text.format"),
        stream,
        read_bool(body, "store", True),
        body.get("previous_response_id"),
        body,
    )


def _named(value: Any) -> str | None:
    if not isinstance(value, Mapping):
        return None
    return value.get("server_label") if value.get("type") == "mcp" else value.get("name")


def _read_tools(tools: Any) -> tuple[tuple[str, ...], tuple[HostedServer, ...]]:
    if not isinstance(tools, list):
        raise invalid("tools", "must be a list of tools.", "invalid_type")
    functions: list[str] = []
    servers: list[HostedServer] = []
    for index, tool in enumerate(tools):
        path = f"tools[{index}]"
        kind = tool.get("type") if isinstance(tool, Mapping) else None
        if kind == "function":
            check_function(tool, path, fields.FUNCTION_TOOL)
            functions.append(tool["name"])
        elif kind == "mcp":
            server = read_server(tool, path)
            if server.label in [other.label for other in servers]:
                raise invalid(f"{path}.server_label", f"{server.label} is used twice; labels must be unique.")
            servers.append(server)
        else:
            raise invalid(f"{path}.type", f"{kind!r} is not served here; there are function and mcp.")
    return tuple(functions), tuple(servers)


def read_input(value: Any) -> tuple[Mapping[str, Any], ...]:
    """Read `input`: text stands for one message of the user.

    Raises:
        OpenAiError: 400, naming the item that is wrong.
    """
    if isinstance(value, str):
        return ({"type": "message", "role": "user", "content": value},)
    if not isinstance(value, list):
        raise invalid("input", "must be text or a list of items.", "invalid_type")
    for index, item in enumerate(value):
        _check_item(item, f"input[{index}]")
    return tuple(value)


def _check_item(item: Any, path: str) -> None:
    if not isinstance(item, Mapping):
        raise invalid(path, "must be an object.", "invalid_type")
    kind = item.get("type") or ("message" if "role" in item else "item_reference")
    needed = fields.ITEM_NEEDS.get(kind) if isinstance(kind, str) else None
    if needed is None:
        near = close_matches(str(kind), fields.ITEM_NEEDS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(fields.ITEM_NEEDS)}."
        raise invalid(f"{path}.type", f"items of type {kind!r} are not served here; {hint}")
    for name in needed:
        if item.get(name) is None:
            raise missing(f"{path}.{name}")
        if name in ("id", "call_id", "name", "server_label", "arguments", "approval_request_id"):
            _check_text(item[name], f"{path}.{name}")
    if item.get("approval_request_id") is not None:
        _check_text(item["approval_request_id"], f"{path}.approval_request_id")
    if kind == "function_call_output" and not isinstance(item["output"], (str, list)):
        raise invalid(f"{path}.output", "must be text or a list of content parts.", "invalid_type")
    if kind == "message":
        _check_message(item, path)
    if kind == "mcp_approval_response" and not isinstance(item["approve"], bool):
        raise invalid(f"{path}.approve", "must be true or false.", "invalid_type")


def _check_text(value: Any, path: str) -> None:
    if not isinstance(value, str) or not value:
        raise invalid(path, "must be text that is not empty.", "invalid_type")


def _check_message(item: Mapping[str, Any], path: str) -> None:
    if item["role"] not in _ROLES:
        raise invalid(f"{path}.role", f"must be one of {', '.join(_ROLES)}.")
    content = item["content"]
    if isinstance(content, str):
        return
    if not isinstance(content, list) or not all(isinstance(part, Mapping) and "type" in part for part in content):
        raise invalid(f"{path}.content", "must be text or a list of content parts with a type.", "invalid_type")


def check_pairs(items: Sequence[Mapping[str, Any]]) -> None:
    """Check that calls and their outputs, approval requests and their answers, belong together.

    Args:
        items: the whole conversation.

    Raises:
        OpenAiError: 400, naming the id that has no partner.
    """
    calls = [item["call_id"] for item in items if item.get("type") == "function_call"]
    outputs = [item["call_id"] for item in items if item.get("type") == "function_call_output"]
    for call in outputs:
        if call not in calls:
            raise invalid("input", f"the output for {call} has no function_call; send the call too.", None)
    for call in calls:
        if call not in outputs:
            raise invalid("input", f"the function_call {call} has no output; send a function_call_output for it.", None)
    requests = [item["id"] for item in items if item.get("type") == "mcp_approval_request"]
    for item in items:
        if item.get("type") == "mcp_approval_response" and item["approval_request_id"] not in requests:
            raise invalid(
                "input",
                f"there is no mcp_approval_request {item['approval_request_id']}; go on from the response that has it.",
                None,
            )
