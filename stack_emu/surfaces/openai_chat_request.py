"""Validation of chat completion requests: a body becomes a request the script can answer, or one sentence says what is wrong.

Source of the rules: openai 3.57.0 `types/chat/completion_create_params.py` and the message parameters; the wording is ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stack_emu.model_script.openai_chat import ChatInvalid, read_chat
from stack_emu.surfaces import openai_fields as fields
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

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MOST_STOPS = 4
_FUNCTION = frozenset({"name", "description", "parameters", "strict"})


@dataclass(frozen=True)
class ChatCall:
    """A valid request.

    Args:
        model: the requested model, any name.
        messages: the conversation as content blocks of the Messages API.
        tools: names of the functions on offer.
        choice: which calls are allowed and demanded.
        wanted: the JSON asked for, if any.
        stream: whether the reply is streamed.
        with_usage: whether a stream ends with the tokens used.
        max_tokens: where a turn that stops at `max_tokens` is cut.
        stop: where text is cut.
        body: everything, as sent.
    """

    model: str
    messages: Sequence[Mapping[str, Any]]
    tools: tuple[str, ...]
    choice: Choice
    wanted: JsonWanted | None
    stream: bool
    with_usage: bool
    max_tokens: int | None
    stop: tuple[str, ...]
    body: Mapping[str, Any]


def read_chat_call(body: Any) -> ChatCall:
    """Validate a body.

    Raises:
        OpenAiError: 400, for the first thing that is wrong.
    """
    if not isinstance(body, dict):
        raise invalid(None, "The body must be a JSON object with model and messages.", "invalid_type")
    check_known(body, fields.CHAT, "")
    check_served({**body, "modalities": body.get("modalities") not in (None, ["text"])}, fields.CHAT_NOT_SERVED)
    for name in ("messages", "model"):
        if body.get(name) is None:
            raise missing(name)
    stream = read_bool(body, "stream")
    options = read_object(body, "stream_options")
    if options and not stream:
        raise invalid("stream_options", "is allowed only with stream: true.")
    check_known(options, {"include_usage", "include_obfuscation"}, "stream_options")
    if body.get("n") not in (None, 1):
        raise invalid("n", "a script makes one choice; use 1.", "unsupported_value")
    check_limit(body, "max_completion_tokens", "max_tokens")
    _check_tools(body.get("tools"))
    _check_messages(body["messages"])
    try:
        chat = read_chat(body)
    except ChatInvalid as error:
        where, _, message = str(error).partition(": ")
        raise invalid(where, message) from None
    return ChatCall(
        chat.model,
        chat.messages,
        chat.tools,
        read_choice(body.get("tool_choice"), chat.tools, body.get("parallel_tool_calls"), _named),
        read_format(body.get("response_format"), "response_format"),
        stream,
        options.get("include_usage") is True,
        body.get("max_completion_tokens") or body.get("max_tokens"),
        _stop(body.get("stop")),
        body,
    )


def _stop(value: Any) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else [] if value is None else value
    if not isinstance(texts, list) or len(texts) > _MOST_STOPS or not all(isinstance(text, str) for text in texts):
        raise invalid("stop", f"must be text, or a list of at most {_MOST_STOPS} texts.", "invalid_type")
    return tuple(text for text in texts if text)


def _named(value: Any) -> str | None:
    function = value.get("function") if isinstance(value, Mapping) else None
    return function.get("name") if isinstance(function, Mapping) else None


def _check_tools(tools: Any) -> None:
    if tools is None:
        return
    if not isinstance(tools, list):
        raise invalid("tools", "must be a list of tool definitions.", "invalid_type")
    for index, tool in enumerate(tools):
        path = f"tools[{index}]"
        kind = tool.get("type") if isinstance(tool, Mapping) else None
        if kind == "custom":
            raise invalid(f"{path}.type", "custom tools are not served here; use function.")
        if kind != "function":
            raise invalid(f"{path}.type", "must be function; MCP servers are dialled for /v1/responses only.")
        check_known(tool, {"type", "function"}, path)
        check_function(tool.get("function"), f"{path}.function", _FUNCTION)


def check_function(function: Any, path: str, known: frozenset[str]) -> None:
    """Check the definition of a function.

    Args:
        function: the definition.
        path: where it stands.
        known: the fields it may have.

    Raises:
        OpenAiError: 400, for the first thing that is wrong.
    """
    if not isinstance(function, Mapping):
        raise missing(path)
    check_known(function, known, path)
    name = function.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise invalid(f"{path}.name", "must be 1 to 64 letters, digits, underscores or hyphens.")
    parameters = function.get("parameters")
    if parameters is not None and (not isinstance(parameters, Mapping) or parameters.get("type", "object") != "object"):
        raise invalid(
            f"{path}.parameters", 'must be a JSON Schema with "type": "object".', "invalid_function_parameters"
        )


def _check_messages(messages: Any) -> None:
    if not isinstance(messages, list) or not messages:
        raise invalid("messages", "must be a list with at least one message.", "empty_array")
    waiting: list[str] = []
    for index, message in enumerate(messages):
        path = f"messages[{index}]"
        role = message.get("role") if isinstance(message, Mapping) else None
        if not isinstance(role, str) or role not in fields.CHAT_MESSAGE:
            raise invalid(f"{path}.role", f"must be one of {', '.join(fields.CHAT_MESSAGE)}.")
        check_known(message, fields.CHAT_MESSAGE[role], path)
        _check_content(message.get("content"), f"{path}.content")
        if role == "tool":
            if message.get("tool_call_id") not in waiting:
                raise invalid(
                    f"{path}.tool_call_id",
                    "must name a call of the assistant message before it that has no answer yet.",
                )
            waiting.remove(message["tool_call_id"])
            continue
        _check_answered(waiting, path)
        if role == "assistant":
            waiting = _calls(message, path)
        elif not message.get("content"):
            raise invalid(f"{path}.content", "must be text or a list of content parts.", "invalid_type")
    _check_answered(waiting, "messages")


def _check_content(content: Any, path: str) -> None:
    if content is None or isinstance(content, str):
        return
    if not isinstance(content, list) or not all(
        isinstance(part, Mapping) and isinstance(part.get("type"), str) for part in content
    ):
        raise invalid(path, "must be text or a list of content parts with a type.", "invalid_type")


def _check_answered(waiting: Sequence[str], path: str) -> None:
    if waiting:
        calls = ", ".join(waiting)
        raise invalid(path, f"the calls {calls} have no answer; send a tool message for each right after the call.")


def _calls(message: Mapping[str, Any], path: str) -> list[str]:
    calls = message.get("tool_calls") or []
    if not calls and message.get("content") is None and message.get("refusal") is None:
        raise invalid(f"{path}.content", "an assistant message needs content or tool_calls.", "invalid_type")
    found = []
    for number, call in enumerate(calls if isinstance(calls, list) else [None]):
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(call.get("id"), str):
            raise invalid(f"{path}.tool_calls[{number}]", "must have id, type: function and function.")
        found.append(call["id"])
    return found
