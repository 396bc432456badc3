"""Items of OpenAI's Responses API read as a conversation of the script: messages made of content blocks.

Source: openai 3.57.0 `types/responses/response_input_item_param.py`. An `mcp_call` holds a call and its result; which calls
belong to one turn shows in the ids this emulator gives them (`turn_mark`), because the API itself does not say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Item = Mapping[str, Any]
_MARK = re.compile(r"_t(\d+)$")


def turn_mark(turn: int) -> str:
    """What the ids of a turn's calls end with.

    Args:
        turn: its number after the anchor, from 0.
    """
    return f"_t{turn:02d}"


def turn_of(item_id: str) -> int | None:
    """The turn an id says its call belongs to, or None when it was not made here."""
    found = _MARK.search(item_id)
    return int(found[1]) if found else None


def read_items(items: Sequence[Item]) -> list[dict[str, Any]]:
    """The conversation a list of items is, as messages made of content blocks of the Messages API.

    An approval request stands for the call it led to, also where that comes later; one that was denied is a call that
    failed, one without an answer is no call.

    Args:
        items: the items, validated, oldest first.
    """
    reader = _Reader(items)
    for item in items:
        reader.take(item)
    reader.end_part()
    return reader.messages


def approved(items: Sequence[Item]) -> list[Item]:
    """The approval requests that were granted and whose call has not been made."""
    done = {item.get("approval_request_id") for item in items if item.get("type") == "mcp_call"}
    answers = _answers(items)
    return [
        item
        for item in items
        if item.get("type") == "mcp_approval_request"
        and item["id"] not in done
        and answers.get(item["id"], {}).get("approve") is True
    ]


def text_of(content: Any) -> str:
    """The text of a message's or an output's content."""
    if isinstance(content, str):
        return content
    if not isinstance(content, (list, tuple)):
        return "" if content is None else json.dumps(content, ensure_ascii=False)
    parts = [part.get("text", part.get("refusal")) for part in content if isinstance(part, Mapping)]
    return "\n".join(str(part) for part in parts if part is not None)


def _answers(items: Sequence[Item]) -> dict[str, Item]:
    return {item["approval_request_id"]: item for item in items if item.get("type") == "mcp_approval_response"}


@dataclass
class _Reader:
    items: Sequence[Item]
    messages: list[dict[str, Any]] = field(default_factory=list)
    _part: list[dict[str, Any]] | None = None
    _results: list[dict[str, Any]] = field(default_factory=list)
    _turn: int | None = None
    _in_run: bool = False

    def __post_init__(self) -> None:
        self._answered = _answers(self.items)
        requests = {item["id"] for item in self.items if item.get("type") == "mcp_approval_request"}
        calls = [item for item in self.items if item.get("type") == "mcp_call"]
        self._made = {
            call["approval_request_id"]: call for call in calls if call.get("approval_request_id") in requests
        }

    def take(self, item: Item) -> None:
        kind = item.get("type") or "message"
        if kind == "message":
            self._message(item)
        elif kind == "function_call":
            use = {"type": "tool_use", "id": item["call_id"], "name": item["name"], "input": _arguments(item)}
            self._call(use, turn_of(item["call_id"]))
        elif kind == "function_call_output":
            result = {"type": "tool_result", "tool_use_id": item["call_id"], "content": text_of(item["output"])}
            self.end_part()
            self.messages.append({"role": "user", "content": [result]})
        elif kind == "mcp_call" and item.get("approval_request_id") not in self._made:
            self._mcp(item, _outcome(item))
        elif kind == "mcp_approval_request":
            self._approval(item)

    def end_part(self) -> None:
        """End what the assistant says."""
        self._end_run()
        self._part = None

    def _message(self, item: Item) -> None:
        text = {"type": "text", "text": text_of(item["content"])}
        if item["role"] == "assistant":
            self._end_run()
            self._assistant().append(text)
            return
        self.end_part()
        role = "user" if item["role"] == "user" else "system"
        self.messages.append({"role": role, "content": [text]})

    def _approval(self, item: Item) -> None:
        answer = self._answered.get(item["id"])
        if item["id"] in self._made:
            self._mcp(self._made[item["id"]], _outcome(self._made[item["id"]]), item["id"])
        elif answer is not None and answer["approve"] is False:
            reason = answer.get("reason") or "nobody said why"
            said = {"error": {"code": "approval_denied", "message": f"The call was not approved: {reason}"}}
            self._mcp(item, (json.dumps(said), True))

    def _mcp(self, item: Item, outcome: tuple[str, bool], marked: str | None = None) -> None:
        use = {
            "type": "mcp_tool_use",
            "id": item["id"],
            "name": item["name"],
            "server_name": item["server_label"],
            "input": _arguments(item),
        }
        self._call(use, turn_of(marked or item["id"]))
        content = [{"type": "text", "text": outcome[0]}]
        self._results.append(
            {"type": "mcp_tool_result", "tool_use_id": item["id"], "is_error": outcome[1], "content": content}
        )

    def _call(self, use: dict[str, Any], turn: int | None) -> None:
        if self._in_run and turn != self._turn:
            self._end_run()
        self._in_run, self._turn = True, turn
        self._assistant().append(use)

    def _end_run(self) -> None:
        if self._results:
            self._assistant().extend(self._results)
        self._results, self._in_run = [], False

    def _assistant(self) -> list[dict[str, Any]]:
        if self._part is None:
            self._part = []
            self.messages.append({"role": "assistant", "content": self._part})
        return self._part


def _arguments(item: Item) -> dict[str, Any]:
    try:
        value = json.loads(item.get("arguments") or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _outcome(call: Item) -> tuple[str, bool]:
    """A call's text and whether it is an error."""
    error = call.get("error")
    if error is None:
        return str(call.get("output") or ""), False
    if not isinstance(error, Mapping):
        return str(error), True
    return text_of(error["content"]) if "content" in error else str(error.get("message")), True
