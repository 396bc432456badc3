"""Replies of the Messages API: the message object, its token estimate, and its form as server-sent events.

Source: anthropic 2.12.0 `types/beta/beta_message.py` and `beta_raw_message_stream_event.py`, `lib/streaming`. Every
event carries an `event:` line, because the SDK skips frames without one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

CHARACTERS_PER_TOKEN = 4
_PIECE = 32
_COUNTED = ("system", "messages", "tools", "mcp_servers")

Event = Mapping[str, Any]


def estimate_tokens(value: Any) -> int:
    """A rough token count: a quarter of the characters of every text in `value`, rounded up.

    Names of JSON keys count too. It is an estimate that repeats, no tokenizer.
    """
    return -(-_characters(value) // CHARACTERS_PER_TOKEN)


def input_tokens(body: Mapping[str, Any]) -> int:
    """The estimate for a request: its system prompt, messages, tools and MCP servers (without their tokens)."""
    counted = {name: body[name] for name in _COUNTED if name in body}
    if isinstance(counted.get("mcp_servers"), list):
        counted["mcp_servers"] = [server["name"] for server in counted["mcp_servers"]]
    return max(1, estimate_tokens(list(counted.values())))


def output_tokens(content: Sequence[Mapping[str, Any]]) -> int:
    """The estimate for what the model wrote: text, calls and thinking, not results."""
    own = [block for block in content if block["type"] != "mcp_tool_result"]
    written = [block.get("text", block.get("input", block.get("thinking"))) for block in own]
    return max(1, estimate_tokens(written))


def usage(tokens_in: int, tokens_out: int) -> dict[str, Any]:
    """The `usage` object."""
    return {
        "input_tokens": tokens_in,
        "output_tokens": tokens_out,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "service_tier": "standard",
    }


def message(
    message_id: str, model: str, content: Sequence[Mapping[str, Any]], used: Mapping[str, Any]
) -> dict[str, Any]:
    """A message that has not stopped yet; `stop` is filled in by whoever ends it."""
    return {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": list(content),
        "stop_reason": None,
        "stop_sequence": None,
        "usage": dict(used),
    }


def start_events(message_id: str, model: str, tokens_in: int) -> Iterator[Event]:
    """The events a stream opens with."""
    yield {"type": "message_start", "message": message(message_id, model, (), usage(tokens_in, 1))}
    yield {"type": "ping"}


def block_events(index: int, block: Mapping[str, Any]) -> Iterator[Event]:
    """The events of one content block: results arrive whole, text and calls in pieces."""
    started, deltas = _pieces(block)
    yield {"type": "content_block_start", "index": index, "content_block": started}
    for delta in deltas:
        yield {"type": "content_block_delta", "index": index, "delta": delta}
    yield {"type": "content_block_stop", "index": index}


def stop_events(
    stop_reason: str, stop_sequence: str | None, tokens_out: int, stop_details: Mapping[str, Any] | None = None
) -> Iterator[Event]:
    """The events a stream ends with; `stop_details` is about a refusal."""
    delta: dict[str, Any] = {"stop_reason": stop_reason, "stop_sequence": stop_sequence}
    if stop_details is not None:
        delta["stop_details"] = dict(stop_details)
    yield {"type": "message_delta", "delta": delta, "usage": {"output_tokens": tokens_out}}
    yield {"type": "message_stop"}


def encode(events: Iterator[Event]) -> bytes:
    """Events in the form they travel in."""
    frames = (f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n" for event in events)
    return "".join(frames).encode("utf-8", "surrogatepass")


def _pieces(block: Mapping[str, Any]) -> tuple[Mapping[str, Any], Iterator[dict[str, str]]]:
    if block["type"] == "text":
        return {**block, "text": ""}, ({"type": "text_delta", "text": piece} for piece in _cut(block["text"]))
    if block["type"] == "thinking":
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in _cut(block["thinking"])]
        deltas.append({"type": "signature_delta", "signature": block["signature"]})
        return {**block, "thinking": "", "signature": ""}, iter(deltas)
    if "input" in block:
        # The first, empty piece is what the real stream opens every call with.
        pieces = ["", *_cut(json.dumps(block["input"], ensure_ascii=False))]
        return {**block, "input": {}}, ({"type": "input_json_delta", "partial_json": piece} for piece in pieces)
    return block, iter(())


def _cut(text: str) -> Iterator[str]:
    for start in range(0, len(text), _PIECE):
        yield text[start : start + _PIECE]


def _characters(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(len(str(key)) + _characters(item) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return sum(map(_characters, value))
    return 0 if value is None else len(str(value))
