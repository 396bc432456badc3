"""``POST /v1/responses``: asked of the script as a chat, answered as a response."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stack_emu.upstreams.openai.dialect import refusal, said_by_model
from stack_emu.upstreams.pack_calls import RestCall
from stack_emu.upstreams.requests import UpstreamReply, json_bytes

_TEXTS = ("input_text", "output_text", "text")
_SAME = ("temperature", "top_p", "parallel_tool_calls")


class NotAChat(ValueError):
    """What is asked cannot be asked of a chat.

    Args:
        param: which field is the reason.
        message: what would have worked.
    """

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param


def chat_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """The chat that asks the same.

    Raises:
        NotAChat: when there is none.
    """
    if body.get("previous_response_id") is not None:
        raise NotAChat("previous_response_id", "responses are not held here; send the whole input again.")
    messages: list[dict[str, Any]] = []
    if body.get("instructions"):
        messages.append({"role": "system", "content": body["instructions"]})
    given = body.get("input")
    for item in [{"role": "user", "content": given}] if isinstance(given, str) else _listed(given):
        _add(messages, item)
    chat = {"model": body.get("model"), "messages": messages, **{name: body[name] for name in _SAME if name in body}}
    if body.get("max_output_tokens") is not None:
        chat["max_completion_tokens"] = body["max_output_tokens"]
    if body.get("tools"):
        chat["tools"] = [_tool(one) for one in body["tools"]]
    choice = body.get("tool_choice")
    if choice is not None and body.get("tools"):
        chat["tool_choice"] = _named(choice) if isinstance(choice, dict) else choice
    return chat


def _listed(given: Any) -> list[Any]:
    if not isinstance(given, list) or not given:
        raise NotAChat("input", "'input' must be a text or a list of items.")
    return given


def _add(messages: list[dict[str, Any]], item: Any) -> None:
    kind = item.get("type", "message") if isinstance(item, dict) else None
    if kind == "message":
        messages.append({"role": item.get("role"), "content": _text(item.get("content"))})
    elif kind == "function_call":
        function = {"name": item.get("name"), "arguments": item.get("arguments")}
        call = {"id": item.get("call_id"), "type": "function", "function": function}
        if not messages or messages[-1]["role"] != "assistant":
            messages.append({"role": "assistant", "content": None})
        messages[-1].setdefault("tool_calls", []).append(call)
    elif kind == "function_call_output":
        messages.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": _text(item.get("output"))})
    elif kind != "reasoning":
        raise NotAChat("input", f"items of the type {kind} are not served; messages and function calls are.")


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts: list[Any] = content if isinstance(content, list) else [None]
    if not all(isinstance(one, dict) and one.get("type") in _TEXTS for one in parts):
        raise NotAChat("input", "content that is not text is not served.")
    return "".join(one["text"] for one in parts)


def _tool(tool: Any) -> dict[str, Any]:
    if not isinstance(tool, dict) or tool.get("type") != "function":
        raise NotAChat("tools", "tools other than functions are not served; use the emulator's own Responses API.")
    return {"type": "function", "function": {key: value for key, value in tool.items() if key != "type"}}


def _named(choice: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {"name": choice.get("name")}}


def respond(call: RestCall) -> Any:
    """Answer with a response by the scenario's script; a stream comes as a whole."""
    used = ("model", "input", "instructions", "tools", "tool_choice", "max_output_tokens", "stream", "metadata", *_SAME)
    call.ignore(*used, "previous_response_id", "store", "include", "user", "truncation")
    if call.fields.get("text") in ({"format": {"type": "text"}}, {}):
        call.ignore("text")
    try:
        chat_of(call.fields)
    except NotAChat as error:
        raise refusal(400, str(error), param=error.param) from None
    said = said_by_model(call).body
    response = _response(call, said)
    if call.fields.get("stream") is not True:
        return response
    frames = b"".join(
        f"event: {one['type']}\ndata: ".encode() + json_bytes({**one, "sequence_number": number}) + b"\n\n"
        for number, one in enumerate(_events(response))
    )
    return UpstreamReply(200, {"Content-Type": "text/event-stream; charset=utf-8"}, frames)


def _response(call: RestCall, said: Mapping[str, Any]) -> dict[str, Any]:
    choice, usage = said["choices"][0], said["usage"]
    message, fields = choice["message"], call.fields
    output: list[dict[str, Any]] = []
    if message.get("content"):
        part = {"type": "output_text", "text": message["content"], "annotations": [], "logprobs": []}
        key = call.act.new_id("message", "msg_", 24)
        output.append({"type": "message", "id": key, "role": "assistant", "status": "completed", "content": [part]})
    for one in message.get("tool_calls") or ():
        key = call.act.new_id("function_call", "fc_", 24)
        function = {"name": one["function"]["name"], "arguments": one["function"]["arguments"]}
        output.append({"type": "function_call", "id": key, "call_id": one["id"], "status": "completed", **function})
    cut = choice["finish_reason"] == "length"
    return {
        "id": call.mint(call.act.new_id("response", "resp_", 24)),
        "object": "response",
        "created_at": call.now_ms // 1000,
        "status": "incomplete" if cut else "completed",
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "instructions": fields.get("instructions"),
        "metadata": fields.get("metadata") or {},
        "model": said["model"],
        "output": output,
        "parallel_tool_calls": fields.get("parallel_tool_calls", True),
        "previous_response_id": None,
        "temperature": fields.get("temperature", 1.0),
        "tool_choice": fields.get("tool_choice", "auto"),
        "tools": fields.get("tools") or [],
        "top_p": fields.get("top_p", 1.0),
        "usage": {
            "input_tokens": usage["prompt_tokens"],
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": usage["completion_tokens"],
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage["total_tokens"],
        },
    }


def _events(response: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    begun = {**response, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for index, item in enumerate(response["output"]):
        place = {"output_index": index}
        content: dict[str, Any] = {"content": []} if item["type"] == "message" else {"arguments": ""}
        yield {"type": "response.output_item.added", **place, "item": {**item, "status": "in_progress", **content}}
        yield from _parts(item, {"item_id": item["id"], **place})
        yield {"type": "response.output_item.done", **place, "item": item}
    yield {"type": f"response.{response['status']}", "response": response}


def _parts(item: Mapping[str, Any], place: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if item["type"] == "function_call":
        yield {"type": "response.function_call_arguments.delta", **place, "delta": item["arguments"]}
        done = {"arguments": item["arguments"], "name": item["name"]}
        yield {"type": "response.function_call_arguments.done", **place, **done}
        return
    [part] = item["content"]
    spot = {**place, "content_index": 0}
    yield {"type": "response.content_part.added", **spot, "part": {**part, "text": ""}}
    yield {"type": "response.output_text.delta", **spot, "delta": part["text"], "logprobs": []}
    yield {"type": "response.output_text.done", **spot, "text": part["text"], "logprobs": []}
    yield {"type": "response.content_part.done", **spot, "part": part}
