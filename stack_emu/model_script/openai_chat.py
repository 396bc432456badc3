"""OpenAI's chat completions: a request read as a conversation of the script, and replies in that shape.

OpenRouter speaks the same language. Source: openai 1.x `types/chat/chat_completion.py`, `chat_completion_chunk.py` and
the parameter types beside them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_FINISH = {
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}
_PIECE = 32


class ChatInvalid(Exception):
    """A body that is no chat completion request; the message says what is wrong with it."""


@dataclass(frozen=True)
class ChatRequest:
    """A request, its messages in the form the script reads.

    Args:
        model: the requested model.
        messages: the conversation as content blocks of the Messages API.
        tools: names of the functions on offer.
    """

    model: str
    messages: tuple[dict[str, Any], ...]
    tools: tuple[str, ...]


def read_chat(body: Mapping[str, Any]) -> ChatRequest:
    """Read a request.

    Raises:
        ChatInvalid: for the first thing that is wrong.
    """
    model, messages = body.get("model"), body.get("messages")
    if not isinstance(model, str) or not model:
        raise ChatInvalid("model: must be the name of a model, such as gpt-5.")
    if not isinstance(messages, list) or not messages:
        raise ChatInvalid("messages: must be a list with at least one message.")
    read = tuple(_message(message, f"messages.{index}") for index, message in enumerate(messages))
    return ChatRequest(model, read, _tools(body.get("tools")))


def _tools(tools: Any) -> tuple[str, ...]:
    if tools is None:
        return ()
    if not isinstance(tools, list):
        raise ChatInvalid("tools: must be a list of tool definitions.")
    names = []
    for index, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, Mapping) else None
        name = function.get("name") if isinstance(function, Mapping) else None
        if not isinstance(name, str) or not name:
            raise ChatInvalid(f'tools.{index}: must be {{"type": "function", "function": {{"name": …}}}}.')
        names.append(name)
    return tuple(names)


def _message(message: Any, path: str) -> dict[str, Any]:
    role = message.get("role") if isinstance(message, Mapping) else None
    if role not in _ROLES:
        raise ChatInvalid(f"{path}.role: must be one of {', '.join(_ROLES)}.")
    content = _content(message.get("content"), path)
    if role in ("tool", "function"):
        call_id = message.get("tool_call_id")
        if role == "tool" and not isinstance(call_id, str):
            raise ChatInvalid(f"{path}.tool_call_id: must name the call this is the result of.")
        result = {"type": "tool_result", "tool_use_id": call_id or str(message.get("name")), "content": content}
        return {"role": "user", "content": [result]}
    calls = _calls(message.get("tool_calls"), path)
    if role == "assistant":
        return {"role": "assistant", "content": [*content, *calls]}
    return {"role": "system" if role in ("system", "developer") else "user", "content": content}


def _content(content: Any, path: str) -> list[dict[str, Any]]:
    if content is None:
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list) or not all(isinstance(part, Mapping) for part in content):
        raise ChatInvalid(f"{path}.content: must be text or a list of content parts.")
    return [{"type": "text", "text": str(part["text"])} if "text" in part else dict(part) for part in content]


def _calls(calls: Any, path: str) -> list[dict[str, Any]]:
    if calls is None:
        return []
    if not isinstance(calls, list) or not all(isinstance(call, Mapping) and "id" in call for call in calls):
        raise ChatInvalid(f"{path}.tool_calls: must be a list of calls with an id.")
    return [{"type": "tool_use", "id": str(call["id"]), "name": _name_of(call), "input": {}} for call in calls]


def _name_of(call: Mapping[str, Any]) -> str:
    function = call.get("function")
    return str(function.get("name")) if isinstance(function, Mapping) else ""


def completion(
    reply_id: str,
    created: int,
    model: str,
    blocks: Sequence[Mapping[str, Any]],
    stop_reason: str,
    tokens: tuple[int, int],
) -> dict[str, Any]:
    """A completion.

    Args:
        reply_id: its id.
        created: when it was made, in seconds since 1970.
        model: the requested model.
        blocks: what the model said and called, as content blocks of the Messages API.
        stop_reason: why it stopped, as the Messages API says it.
        tokens: how many in, and how many out.
    """
    text = "".join(str(block["text"]) for block in blocks if block["type"] == "text")
    calls = [_tool_call(block) for block in blocks if block["type"] == "tool_use"]
    message: dict[str, Any] = {"role": "assistant", "content": text or None, "refusal": None}
    if calls:
        message["tool_calls"] = calls
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _FINISH.get(stop_reason, "stop")}
    return {
        "id": reply_id,
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [choice],
        "usage": {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)},
    }


def _tool_call(block: Mapping[str, Any]) -> dict[str, Any]:
    arguments = json.dumps(block["input"], ensure_ascii=False)
    call_id = "call_" + str(block["id"]).partition("_")[2]
    return {"id": call_id, "type": "function", "function": {"name": block["name"], "arguments": arguments}}


def chunks(reply: Mapping[str, Any], with_usage: bool) -> Iterator[dict[str, Any]]:
    """A completion in the pieces it is streamed in.

    Args:
        reply: the completion.
        with_usage: whether the client asked for a last chunk with the tokens used.
    """
    choice = reply["choices"][0]
    message = choice["message"]
    yield _chunk(reply, {"role": "assistant", "content": "", "refusal": None})
    for piece in _cut(message["content"] or ""):
        yield _chunk(reply, {"content": piece})
    for index, call in enumerate(message.get("tool_calls", ())):
        function = call["function"]
        yield _chunk(
            reply, {"tool_calls": [{"index": index, **call, "function": {"name": function["name"], "arguments": ""}}]}
        )
        for piece in _cut(function["arguments"]):
            yield _chunk(reply, {"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield _chunk(reply, {}, choice["finish_reason"])
    if with_usage:
        yield {**_chunk(reply, {}), "choices": [], "usage": dict(reply["usage"])}


END_MARK = b"data: [DONE]\n\n"
"""What a stream ends with."""


def encode(chunk: Mapping[str, Any]) -> bytes:
    """A chunk in the form it travels in."""
    return f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n".encode("utf-8", "surrogatepass")


def _chunk(reply: Mapping[str, Any], delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    kept = {name: reply[name] for name in ("id", "created", "model")}
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {**kept, "object": "chat.completion.chunk", "choices": [choice]}


def _cut(text: str) -> Iterator[str]:
    for start in range(0, len(text), _PIECE):
        yield text[start : start + _PIECE]
