"""A response as it comes into being: its output items, and the events that tell a stream of them.

Source: openai 3.57.0 `types/responses/response.py`, `response_output_item.py`, `response_stream_event.py` and the events it
joins. Every event carries an `event:` line and a `sequence_number`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stack_emu.model_script.openai_items import turn_mark
from stack_emu.surfaces import messages_reply as reply
from stack_emu.surfaces.connector_answers import CallOutcome

_PIECE = 32
_TERMINAL = ("response.completed", "response.incomplete", "response.failed")

Event = dict[str, Any]
Item = dict[str, Any]


def is_last(event: Mapping[str, Any]) -> bool:
    """Whether an event ends its stream."""
    return event["type"] in _TERMINAL


def encode(event: Mapping[str, Any]) -> bytes:
    """An event in the form it travels in."""
    return f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n".encode("utf-8", "surrogatepass")


@dataclass
class ResponseWriter:
    """Writes one response.

    Args:
        response: the response so far: everything but output, status and usage.
        new_id: makes an id from a prefix and a number.
        push: is given every event.
    """

    response: Mapping[str, Any]
    new_id: Callable[[str, int], str]
    push: Callable[[Event], None]
    output: list[Item] = field(default_factory=list)
    began: bool = False
    _sequence: int = 0

    def begin(self) -> None:
        """Open the stream."""
        self.began = True
        shown = {**self.response, "status": "in_progress", "output": [], "usage": None}
        self._event("response.created", response=shown)
        self._event("response.in_progress", response=shown)

    def end(self, stop_reason: str, tokens_in: int) -> Mapping[str, Any]:
        """Close the response and return it.

        Args:
            stop_reason: why the model stopped, as the Messages API says it.
            tokens_in: the estimate for what the model read.
        """
        cut_short = {"max_tokens": "max_output_tokens", "refusal": "content_filter"}.get(stop_reason)
        status = "incomplete" if cut_short else "completed"
        done = {
            **self.response,
            "status": status,
            "incomplete_details": {"reason": cut_short} if cut_short else None,
            "completed_at": None if cut_short else self.response["created_at"],
            "output": list(self.output),
            "usage": self._usage(tokens_in),
        }
        self._event(f"response.{status}", response=done)
        return done

    def fail(self, message: str, code: str | None) -> None:
        """End a response that went wrong after its stream began."""
        self._event("error", code=code, message=message, param=None)
        error = {"code": "server_error", "message": message}
        self._event(
            "response.failed",
            response={**self.response, "status": "failed", "error": error, "output": list(self.output), "usage": None},
        )

    # --- items ------------------------------------------------------------------------------------------------------

    def say(self, text: str) -> None:
        """A message of the model."""
        item = {"id": self._id("msg_"), "type": "message", "status": "in_progress", "role": "assistant", "content": []}
        index = self._add(item)
        where = {"item_id": item["id"], "output_index": index, "content_index": 0}
        part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        self._event("response.content_part.added", **where, part=part)
        for piece in _cut(text):
            self._event("response.output_text.delta", **where, delta=piece, logprobs=[])
        self._event("response.output_text.done", **where, text=text, logprobs=[])
        part = {**part, "text": text}
        self._event("response.content_part.done", **where, part=part)
        self._done(index, status="completed", content=[part])

    def think(self, text: str) -> None:
        """A summary of the model's reasoning."""
        item: Item = {"id": self._id("rs_"), "type": "reasoning", "summary": [], "status": "in_progress"}
        index = self._add(item)
        where = {"item_id": item["id"], "output_index": index, "summary_index": 0}
        part = {"type": "summary_text", "text": ""}
        self._event("response.reasoning_summary_part.added", **where, part=part)
        for piece in _cut(text):
            self._event("response.reasoning_summary_text.delta", **where, delta=piece)
        self._event("response.reasoning_summary_text.done", **where, text=text)
        part = {**part, "text": text}
        self._event("response.reasoning_summary_part.done", **where, part=part)
        self._done(index, status="completed", summary=[part])

    def call_function(self, name: str, arguments: Mapping[str, Any], turn: int) -> None:
        """A call of one of the client's functions."""
        item: Item = {
            "id": self._id("fc_"),
            "type": "function_call",
            "status": "in_progress",
            "call_id": self._id("call_") + turn_mark(turn),
            "name": name,
            "arguments": "",
        }
        index = self._add(item)
        self._arguments("response.function_call_arguments", index, arguments, name=name)
        self._done(index, status="completed")

    def list_tools(self, label: str, tools: Sequence[Mapping[str, Any]]) -> None:
        """The tools an MCP server offers."""
        item: Item = {"id": self._id("mcpl_"), "type": "mcp_list_tools", "server_label": label, "tools": []}
        index = self._add(item)
        where = {"item_id": item["id"], "output_index": index}
        self._event("response.mcp_list_tools.in_progress", **where)
        self._event("response.mcp_list_tools.completed", **where)
        self._done(index, tools=list(tools), error=None)

    def ask_approval(self, label: str, name: str, arguments: Mapping[str, Any], turn: int) -> None:
        """A request to approve a call."""
        item: Item = {
            "id": self._id("mcpr_") + turn_mark(turn),
            "type": "mcp_approval_request",
            "server_label": label,
            "name": name,
            "arguments": _json(arguments),
        }
        self._done(self._add(item))

    def begin_mcp_call(
        self, label: str, name: str, arguments: Mapping[str, Any], turn: int, request_id: str | None = None
    ) -> int:
        """The start of a call of an MCP tool; returns its place in the output.

        Args:
            label: the server's label.
            name: the tool's name.
            arguments: its arguments.
            turn: the turn it belongs to.
            request_id: the approval request it was granted by, if any.
        """
        item: Item = {
            "id": self._id("mcp_") + turn_mark(turn),
            "type": "mcp_call",
            "status": "in_progress",
            "approval_request_id": request_id,
            "server_label": label,
            "name": name,
            "arguments": "",
            "output": None,
            "error": None,
        }
        index = self._add(item)
        self._event("response.mcp_call.in_progress", item_id=item["id"], output_index=index)
        self._arguments("response.mcp_call_arguments", index, arguments)
        return index

    def end_mcp_call(self, index: int, outcome: CallOutcome) -> None:
        """The end of a call of an MCP tool."""
        where = {"item_id": self.output[index]["id"], "output_index": index}
        if outcome.is_error:
            self._event("response.mcp_call.failed", **where)
            self._done(index, status="failed", error=_error(outcome))
        else:
            self._event("response.mcp_call.completed", **where)
            self._done(index, status="completed", output=_text(outcome))

    # --- parts ------------------------------------------------------------------------------------------------------

    def _id(self, prefix: str) -> str:
        return self.new_id(prefix, len(self.output))

    def _add(self, item: Item) -> int:
        self.output.append(item)
        self._event("response.output_item.added", output_index=len(self.output) - 1, item=dict(item))
        return len(self.output) - 1

    def _done(self, index: int, **changes: Any) -> None:
        self.output[index] = {**self.output[index], **changes}
        self._event("response.output_item.done", output_index=index, item=dict(self.output[index]))

    def _arguments(self, kind: str, index: int, arguments: Mapping[str, Any], **more: str) -> None:
        where = {"item_id": self.output[index]["id"], "output_index": index}
        text = _json(arguments)
        for piece in _cut(text):
            self._event(f"{kind}.delta", **where, delta=piece)
        self._event(f"{kind}.done", **where, arguments=text, **more)
        self.output[index]["arguments"] = text

    def _event(self, kind: str, **data: Any) -> None:
        self.push({"type": kind, "sequence_number": self._sequence, **data})
        self._sequence += 1

    def _usage(self, tokens_in: int) -> dict[str, Any]:
        wrote = [item.get("content", item.get("summary", item.get("arguments"))) for item in self.output]
        tokens_out = max(1, reply.estimate_tokens(wrote))
        thought = [item["summary"] for item in self.output if item["type"] == "reasoning"]
        return {
            "input_tokens": tokens_in,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": tokens_out,
            "output_tokens_details": {"reasoning_tokens": reply.estimate_tokens(thought)},
            "total_tokens": tokens_in + tokens_out,
        }


def _error(outcome: CallOutcome) -> dict[str, Any]:
    if outcome.protocol_code is not None:
        return {"type": "mcp_protocol_error", "code": outcome.protocol_code, "message": _text(outcome)}
    return {"type": "mcp_tool_execution_error", "content": list(outcome.content)}


def _text(outcome: CallOutcome) -> str:
    return "\n".join(block["text"] for block in outcome.content)


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)


def _cut(text: str) -> Iterator[str]:
    for start in range(0, len(text), _PIECE):
        yield text[start : start + _PIECE]
