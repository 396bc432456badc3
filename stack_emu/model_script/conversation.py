"""What the messages of a request say about the past: the anchor, the turns already taken, the results of calls."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

THINKING_BLOCKS = frozenset({"thinking", "redacted_thinking"})
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
        history: for each scripted turn after the anchor what its calls returned; as long as `turns_done`.
        seams: the turns of `history` whose text and calls stand in messages of their own, so that they may be two: one
            that paused after its text, and one that went on with calls.
    """

    anchor: str
    turns_done: int
    results: tuple[Any, ...]
    system: str
    history: tuple[tuple[Any, ...], ...] = ()
    seams: frozenset[int] = frozenset()

    def followed_by(self, turns: Sequence[Sequence[Any]]) -> Conversation:
        """The conversation after further turns.

        Args:
            turns: for each of them what its calls returned.
        """
        history = (*self.history, *map(tuple, turns))
        results = (*self.results, *(result for turn in turns for result in turn))
        return replace(self, turns_done=len(history), results=results, history=history)


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
    history, seams = _read_history(after)
    return Conversation(
        anchor=block_text(messages[anchor_index]["content"]) if anchor_index >= 0 else "",
        turns_done=len(history),
        results=tuple(result for turn in history for result in turn),
        system="\n".join(part for part in parts if part),
        history=history,
        seams=seams,
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


def _read_history(messages: Sequence[Message]) -> tuple[tuple[tuple[Any, ...], ...], frozenset[int]]:
    """What the calls of each turn returned, and the turns with a seam.

    Each maximal run of call blocks closes a turn; so does text that an assistant's part ends with, or that is followed
    by further text, as when a paused reply goes on. Thinking belongs to what comes after it.
    """
    turns: list[list[str]] = []
    found: dict[str, Any] = {}
    seams: set[int] = set()
    in_run = open_text = False
    for message in messages:
        if message["role"] == "user" and open_text:
            turns.append([])
            open_text = False
        in_run = in_run and message["role"] == "assistant"
        before = open_text
        for block in blocks(message):
            kind = block.get("type")
            if kind == LISTING_BLOCK:
                continue
            if kind in RESULT_BLOCKS:
                text = block_text(block.get("content") or "")
                found[block["tool_use_id"]] = read_result(text, bool(block.get("is_error")))
            if message["role"] != "assistant":
                continue
            if kind in CALL_BLOCKS:
                if not in_run:
                    seams.update({len(turns)} if before else ())
                    turns.append([])
                turns[-1].append(block["id"])
            elif kind == "text" and open_text:
                turns.append([])
            before = before and kind in THINKING_BLOCKS
            in_run = kind in CALL_BLOCKS
            open_text = kind == "text" or (open_text and kind in THINKING_BLOCKS)
    if open_text:
        turns.append([])
    history = tuple(tuple(found[call_id] for call_id in turn if call_id in found) for turn in turns)
    return history, frozenset(seams)
