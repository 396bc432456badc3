"""What the messages of a request say about the past: the anchor, the turns already taken, the results of calls."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

CALL_BLOCKS = frozenset({"tool_use", "mcp_tool_use"})
RESULT_BLOCKS = frozenset({"tool_result", "mcp_tool_result"})
LISTING_BLOCK = "mcp_tool_listing"

Message = Mapping[str, Any]
Block = Mapping[str, Any]


@dataclass(frozen=True)
class Conversation:
    """A conversation as the script sees it.

    Args:
        anchor: text of the last user message that has text and no tool result; empty when there is none.
        turns_done: how many scripted turns stand after the anchor.
        results: what the calls after the anchor returned, in the order they were made (see `read_result`).
        system: the system prompt, with system messages in the conversation appended.
    """

    anchor: str
    turns_done: int
    results: tuple[Any, ...]
    system: str


def read_conversation(messages: Sequence[Message], system: str | Sequence[Block] | None = None) -> Conversation:
    """Read the messages of a Messages API request.

    Args:
        messages: the request's `messages`, validated.
        system: the request's `system`.
    """
    anchor_index = _anchor_index(messages)
    after = messages[anchor_index + 1 :]
    parts = [block_text(system or "")]
    parts += [block_text(message.get("content") or "") for message in messages if message["role"] == "system"]
    return Conversation(
        anchor=block_text(messages[anchor_index]["content"]) if anchor_index >= 0 else "",
        turns_done=_count_turns(after),
        results=_collect_results(after),
        system="\n".join(part for part in parts if part),
    )


def blocks(message: Message) -> Sequence[Block]:
    """A message's content as blocks; text stands for one text block."""
    content = message.get("content") or ()
    return ({"type": "text", "text": content},) if isinstance(content, str) else content


def block_text(content: str | Iterable[Block]) -> str:
    """The text of a content value: its text blocks, one per line."""
    if isinstance(content, str):
        return content
    return "\n".join(str(block.get("text", "")) for block in content if block.get("type") == "text")


def read_result(text: str, is_error: bool) -> Any:
    """What a template sees of a call's text: the parsed JSON, else the text.

    An error that says nothing about itself becomes `{"error": {"code": None, "message": text}}`, so that
    `result.error` can be tested whatever the tool.
    """
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    return as_error(value, text) if is_error else value


def as_error(value: Any, text: str) -> Any:
    """`value` when it has an `error`, else an object that has one with `text` as its message."""
    if isinstance(value, Mapping) and "error" in value:
        return value
    return {"error": {"code": None, "message": text}}


def _anchor_index(messages: Sequence[Message]) -> int:
    for index in range(len(messages) - 1, -1, -1):
        message = messages[index]
        if message["role"] != "user":
            continue
        if any(block.get("type") in RESULT_BLOCKS for block in blocks(message)):
            continue
        if block_text(message["content"]).strip():
            return index
    return -1


def _count_turns(messages: Sequence[Message]) -> int:
    """Each maximal run of call blocks closes a turn; so does text an assistant's part ends with."""
    done = 0
    in_run = ends_in_text = False
    for message in messages:
        if message["role"] == "user":
            done += ends_in_text
            in_run = ends_in_text = False
        if message["role"] != "assistant":
            continue
        for block in blocks(message):
            if block.get("type") == LISTING_BLOCK:
                continue
            is_call = block.get("type") in CALL_BLOCKS
            done += is_call and not in_run
            in_run = is_call
            ends_in_text = block.get("type") == "text"
    return done + ends_in_text


def _collect_results(messages: Sequence[Message]) -> tuple[Any, ...]:
    order: list[str] = []
    found: dict[str, Any] = {}
    for message in messages:
        for block in blocks(message):
            if block.get("type") in CALL_BLOCKS:
                order.append(block["id"])
            elif block.get("type") in RESULT_BLOCKS:
                text = block_text(block.get("content") or "")
                found[block["tool_use_id"]] = read_result(text, bool(block.get("is_error")))
    return tuple(found[call_id] for call_id in order if call_id in found)
