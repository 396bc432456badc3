"""Validation of Messages requests: a body becomes a request the script can answer, or one sentence says what is wrong.

Source of the rules: anthropic 2.12.0 parameter types and Anthropic's Messages, tool use and connector pages; the
wording is ours.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stack_emu.surfaces import messages_fields as fields
from stack_emu.surfaces.messages_cache import check_markers
from stack_emu.surfaces.messages_conversation import check_messages
from stack_emu.surfaces.messages_errors import ApiError, check_known, invalid
from stack_emu.surfaces.messages_listings import listings_of
from stack_emu.surfaces.messages_parameters import check_parameters
from stack_emu.surfaces.messages_servers import McpServer, read_servers
from stack_emu.surfaces.messages_tool_changes import fold_tool_changes

_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
_TYPED_TOOL = re.compile(r"[a-z][a-z0-9_]*_\d{8}|tool_search_tool_(?:bm25|regex)")
_PROPERTY = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_CHOICES = ("auto", "any", "tool", "none")


@dataclass(frozen=True)
class MessagesRequest:
    """A valid request.

    Args:
        model: the requested model, any name.
        messages: the conversation, as sent.
        system: the system prompt, as sent.
        stream: whether the reply is streamed.
        max_tokens: 0 asks for no reply at all.
        client_tools: names of the client's tools, as they are at the end of the conversation.
        deferred_tools: whether the client finds further tools by searching.
        servers: the MCP servers to dial.
        stop_sequences: as sent.
        output_schema: the JSON Schema asked for in `output_config.format`, if any.
        body: everything, as sent.
        thinking: `summarized` or `omitted`, as thinking is to be shown; None where none is asked for.
    """

    model: str
    messages: Sequence[Mapping[str, Any]]
    system: str | Sequence[Mapping[str, Any]] | None
    stream: bool
    max_tokens: int
    client_tools: tuple[str, ...]
    deferred_tools: bool
    servers: tuple[McpServer, ...]
    stop_sequences: tuple[str, ...]
    output_schema: Mapping[str, Any] | None
    body: Mapping[str, Any]
    thinking: str | None = None


def read_request(body: Any, betas: Collection[str], *, counting: bool = False) -> MessagesRequest:
    """Validate a body.

    Args:
        body: parsed JSON.
        betas: names in the `anthropic-beta` header.
        counting: whether it is for `count_tokens`, which has fewer fields and needs no `max_tokens`.

    Raises:
        ApiError: 400, for the first thing that is wrong.
    """
    if not isinstance(body, dict):
        raise invalid("The body must be a JSON object with model, max_tokens and messages.")
    _check_fields(body, counting)
    body = {name: value for name, value in body.items() if value is not None}
    for name in ("model", "messages") if counting else ("model", "max_tokens", "messages"):
        if name not in body:
            raise invalid(f"{name}: this field is required.")
    if not isinstance(body["model"], str) or not body["model"]:
        raise invalid("model: must be the name of a model, such as claude-opus-5-5.")
    check_messages(body["messages"])
    _check_system(body.get("system"))
    tools = _read_tools(body.get("tools", []))
    effect = fold_tool_changes(tools, body["messages"], betas, _check_tool)
    client_tools = tuple(tool["name"] for tool in effect.offered if "name" in tool)
    _check_choice(body.get("tool_choice"), client_tools, offered=bool(effect.offered or body.get("mcp_servers")))
    check_parameters(body, betas)
    servers = read_servers(body.get("mcp_servers", []), effect, listings_of(body["messages"], betas), betas)
    check_markers(body)
    return MessagesRequest(
        model=body["model"],
        messages=body["messages"],
        system=body.get("system"),
        stream=_boolean(body, "stream"),
        max_tokens=body.get("max_tokens", 1),
        client_tools=client_tools,
        deferred_tools=any(map(_defers, effect.offered)),
        servers=servers,
        stop_sequences=_stop_sequences(body.get("stop_sequences", [])),
        output_schema=_output_schema(body),
        body=body,
        thinking=_thinking(body.get("thinking")),
    )


def read_batched(body: Any, betas: Collection[str]) -> MessagesRequest:
    """Validate a request that came in a batch.

    Args:
        body: its `params`.
        betas: names in the `anthropic-beta` header of the batch.

    Raises:
        ApiError: 400, for the first thing that is wrong; streams, threads and a `max_tokens` of 0 are none for batches.
    """
    if isinstance(body, Mapping) and body.get("stream"):
        raise invalid("stream: a request of a batch is not streamed; leave it out.")
    if isinstance(body, Mapping) and body.get("thread") is not None:
        raise invalid("thread: a request of a batch belongs to no thread; send the whole conversation.")
    request = read_request(body, betas)
    if request.max_tokens == 0:
        raise invalid("max_tokens: must be at least 1 in a batch.")
    return request


def _check_fields(body: Mapping[str, Any], counting: bool) -> None:
    for name in body:
        if name in fields.NOT_SERVED:
            raise ApiError(
                400,
                f"{name}: the Messages API has this field, this emulator does not serve it; {fields.NOT_SERVED[name]}.",
                problem="unknown_field",
                unread=(name,),
            )
    check_known(body, fields.COUNT_TOKENS if counting else fields.CREATE, "")


def _check_system(system: Any) -> None:
    if system is None or isinstance(system, str):
        return
    if not isinstance(system, list):
        raise invalid("system: must be text or a list of text blocks.")
    for index, block in enumerate(system):
        if not isinstance(block, dict) or block.get("type") != "text" or not isinstance(block.get("text"), str):
            raise invalid(f'system.{index}: must be a text block such as {{"type": "text", "text": "…"}}.')
        check_known(block, fields.BLOCK["text"], f"system.{index}")


def _read_tools(tools: Any) -> list[dict[str, Any]]:
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise invalid("tools: must be a list of tool definitions.")
    seen: set[str] = set()
    for index, tool in enumerate(tools):
        _check_tool(tool, f"tools.{index}")
        name = tool.get("name")
        if name is None:
            continue
        if name in seen:
            raise invalid(f"tools.{index}.name: {name} is defined twice; tool names must be unique.")
        seen.add(name)
    return tools


def _check_tool(tool: Mapping[str, Any], path: str) -> None:
    kind = tool.get("type") or "custom"
    if kind == "mcp_toolset":
        return
    if kind != "custom":
        if not isinstance(kind, str) or not _TYPED_TOOL.fullmatch(kind):
            raise invalid(f"{path}.type: {kind!r} is no tool type; use custom, mcp_toolset or a dated Anthropic tool.")
        return
    check_known(tool, fields.TOOL, path)
    name = tool.get("name")
    if not isinstance(name, str) or not _TOOL_NAME.fullmatch(name):
        raise invalid(f"{path}.name: must be 1 to 128 letters, digits, underscores or hyphens.")
    schema = tool.get("input_schema")
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise invalid(f'{path}.input_schema: must be a JSON Schema with "type": "object".')
    _check_schema(schema, f"{path}.input_schema")
    if not isinstance(tool.get("description") or "", str):
        raise invalid(f"{path}.description: must be text.")


def _check_schema(schema: Mapping[str, Any], path: str) -> None:
    """What Anthropic asks of the outermost level of a tool's schema."""
    for name in ("oneOf", "anyOf", "allOf"):
        if name in schema:
            raise invalid(f"{path}.{name}: cannot stand at the top of a tool's schema; move it into a property.")
    properties, required = schema.get("properties"), schema.get("required")
    if properties is not None and not isinstance(properties, dict):
        raise invalid(f"{path}.properties: must be an object with one schema for each property.")
    for name, value in (properties or {}).items():
        if not _PROPERTY.fullmatch(name):
            raise invalid(f"{path}.properties: {name!r} must be 1 to 64 letters, digits, underscores, dots or hyphens.")
        if not isinstance(value, (dict, bool)):
            raise invalid(f"{path}.properties.{name}: must be a JSON Schema.")
    if required is not None and not (isinstance(required, list) and all(isinstance(name, str) for name in required)):
        raise invalid(f"{path}.required: must be a list of property names.")


def _defers(tool: Mapping[str, Any]) -> bool:
    """Whether a tool shows that the client searches for further ones (the Claude CLI's is called ToolSearch)."""
    kind = str(tool.get("type", ""))
    return tool.get("name") == "ToolSearch" or kind.startswith("tool_search_tool") or tool.get("defer_loading") is True


def _check_choice(choice: Any, tools: Collection[str], *, offered: bool) -> None:
    if choice is None:
        return
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind not in _CHOICES:
        raise invalid(f"tool_choice.type: must be one of {', '.join(_CHOICES)}.")
    check_known(choice, {"type", "name", "disable_parallel_tool_use"}, "tool_choice")
    if kind == "any" and not offered:
        raise invalid("tool_choice: there are no tools to choose from; add tools, or leave it out.")
    _boolean(choice, "disable_parallel_tool_use", "tool_choice.")
    if kind == "tool" and choice.get("name") not in tools:
        raise invalid(f"tool_choice.name: {choice.get('name')!r} is not among the request's tools.")


def _boolean(body: Mapping[str, Any], name: str, path: str = "") -> bool:
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise invalid(f"{path}{name}: must be true or false.")
    return value


def _thinking(config: Mapping[str, Any] | None) -> str | None:
    if config is None or config["type"] == "disabled":
        return None
    display = config.get("display") or "summarized"
    if display not in ("summarized", "omitted", "updates"):
        raise invalid("thinking.display: must be summarized, omitted or updates.")
    return "omitted" if display == "omitted" else "summarized"


def _stop_sequences(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item.strip() for item in value):
        raise invalid("stop_sequences: must be a list of texts that are more than white space.")
    return tuple(value)


def _output_schema(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    config = body.get("output_config", {})
    if not isinstance(config, dict):
        raise invalid("output_config: must be an object with effort, format or task_budget.")
    check_known(config, fields.OUTPUT_CONFIG, "output_config")
    wanted = config.get("format") or body.get("output_format")
    if wanted is None:
        return None
    schema = wanted.get("schema") if isinstance(wanted, dict) and wanted.get("type") == "json_schema" else None
    if not isinstance(schema, dict):
        raise invalid('output_config.format: must be {"type": "json_schema", "schema": {…}}.')
    return schema
