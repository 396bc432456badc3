"""Replies of the Messages API: the message object and its form as server-sent events.

Source: anthropic 2.14.0 `types/beta/beta_message.py` and `beta_raw_message_stream_event.py`, `lib/streaming`. Every
event carries an `event:` line, because the SDK skips frames without one.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from stack_emu.surfaces.messages_usage import (
    delta_usage,
    estimate_tokens,
    input_tokens,
    output_tokens,
    thinking_tokens,
    usage,
)

__all__ = [
    "block_events",
    "encode",
    "estimate_tokens",
    "input_tokens",
    "message",
    "output_tokens",
    "pieces",
    "start_events",
    "stop_events",
    "thinking_tokens",
    "usage",
]

_PIECE = 24
_MANY = 1_000
_WORD = re.compile(rf"\s*\S{{1,{_PIECE}}}|\s+")
_JOINERS = frozenset("\u200d\ufe0e\ufe0f")

Event = Mapping[str, Any]


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


def start_events(message_id: str, model: str, used: Mapping[str, Any]) -> Iterator[Event]:
    """The events a stream opens with.

    Args:
        message_id: the message's id.
        model: as asked for.
        used: the usage so far, see `messages_usage.usage`.
    """
    yield {"type": "message_start", "message": message(message_id, model, (), used)}
    yield {"type": "ping"}


def block_events(index: int, block: Mapping[str, Any]) -> Iterator[Event]:
    """The events of one content block: text, thinking and calls in pieces, everything else whole in its start."""
    started, deltas = _opened(block)
    yield {"type": "content_block_start", "index": index, "content_block": started}
    for delta in deltas:
        yield {"type": "content_block_delta", "index": index, "delta": delta}
    yield {"type": "content_block_stop", "index": index}


def stop_events(
    stop_reason: str,
    stop_sequence: str | None,
    used: Mapping[str, Any],
    stop_details: Mapping[str, Any] | None = None,
) -> Iterator[Event]:
    """The events a stream ends with.

    Args:
        stop_reason: why it ends.
        stop_sequence: the sequence that ended it, if one did.
        used: the usage of the whole reply, see `messages_usage.usage`.
        stop_details: what there is to say about a refusal.
    """
    delta: dict[str, Any] = {"stop_reason": stop_reason, "stop_sequence": stop_sequence}
    if stop_details is not None:
        delta["stop_details"] = dict(stop_details)
    yield {"type": "message_delta", "delta": delta, "usage": delta_usage(used)}
    yield {"type": "message_stop"}


def encode(events: Iterable[Event]) -> bytes:
    """Events in the form they travel in."""
    frames = (f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n" for event in events)
    return "".join(frames).encode("utf-8", "surrogatepass")


def pieces(text: str) -> Iterator[str]:
    """A text in the pieces it is streamed in: words with the space before them, long ones cut.

    A text of more than a thousand words comes in pieces of several words, so that there are never many more than that.
    What belongs to one character as people see it (accents, joined emoji, modifiers) stays in one piece. The same text
    is always cut the same way.
    """
    words = _WORD.findall(text)
    stride = -(-len(words) // _MANY)
    held = ""
    for start in range(0, len(words), stride or 1):
        piece = "".join(words[start : start + stride])
        if held and not _continues(held, piece):
            yield held
            held = ""
        held += piece
    if held:
        yield held


def _continues(before: str, piece: str) -> bool:
    first = piece[0]
    return (
        before[-1] == "\u200d"
        or first in _JOINERS
        or unicodedata.combining(first) != 0
        or "\U0001f3fb" <= first <= "\U0001f3ff"
        or ("\U0001f1e6" <= first <= "\U0001f1ff" and "\U0001f1e6" <= before[-1] <= "\U0001f1ff")
    )


def _opened(block: Mapping[str, Any]) -> tuple[Mapping[str, Any], Iterator[dict[str, Any]]]:
    if block["type"] == "text":
        return {**block, "text": ""}, ({"type": "text_delta", "text": piece} for piece in pieces(block["text"]))
    if block["type"] == "thinking":
        return {**block, "thinking": "", "signature": ""}, _thinking(block)
    if "input" in block:
        # The first, empty piece is what the real stream opens every call with.
        written = ["", *pieces(json.dumps(block["input"], ensure_ascii=False))]
        return {**block, "input": {}}, ({"type": "input_json_delta", "partial_json": piece} for piece in written)
    return block, iter(())


def _thinking(block: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for piece in pieces(block["thinking"]):
        yield {"type": "thinking_delta", "thinking": piece}
    yield {"type": "signature_delta", "signature": block.get("signature", "")}
