"""One reply: its turns taken one after the other, each block handed on as soon as it is known."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stack_emu.kernel.ids import derive, text_id
from stack_emu.model_script.matching import Facts, Unscripted
from stack_emu.model_script.routing import Route
from stack_emu.model_script.script import PlannedTurn, render_part, template_variables
from stack_emu.surfaces.connector import Connections

if TYPE_CHECKING:
    from stack_emu.scenario.model_rules import Call, Refusal
    from stack_emu.scenario.templates import Templates

CHARACTERS_PER_TOKEN = 4
MAX_TURNS = 64
"""Turns in one reply; a script that goes on for longer goes round in circles."""

_ID_LENGTH = 24

Block = dict[str, Any]
More = Callable[[Sequence[Sequence[Any]]], Sequence[PlannedTurn]]
"""The turns that follow once the calls of the reply's turns so far have returned what they did."""


@dataclass(frozen=True)
class TakenTurn:
    """A turn as it was taken.

    Args:
        turn: its parts as in a scenario, templates rendered.
        results: what its calls through the connector returned.
    """

    turn: dict[str, Any]
    results: tuple[Any, ...]


def new_id(seed: bytes, prefix: str, digest: str, index: int = 0) -> str:
    """An id that depends on the world's seed and the request's content only, so that a retry sees the same one."""
    return prefix + text_id(derive(seed, f"messages.{prefix}", digest, 0, index), _ID_LENGTH)


@dataclass
class ReplyWriter:
    """Takes the turns of one reply.

    Args:
        seed: the world's seed.
        digest: hex digest of the request.
        facts: what the script was matched with, also named by templates.
        results: what the calls before this reply returned.
        connections: the MCP servers that were dialled.
        templates: renders and remembers templates.
        emit: is given every block once it is complete.
        thinking: how thinking is shown, `summarized` or `omitted`; None where the request asks for none.
        max_tokens: the request's; a turn with `stop: max_tokens` is cut there.
        stop_sequences: the request's; text is cut before the first of them that occurs.
        check_output: refuses text that is not what `output_config.format` asks for; it is also told where it stands.
    """

    seed: bytes
    digest: str
    facts: Facts
    results: list[Any]
    connections: Connections
    templates: Templates
    emit: Callable[[Block], None]
    thinking: str | None = None
    max_tokens: int | None = None
    stop_sequences: Sequence[str] = ()
    check_output: Callable[[str, str], None] | None = None
    blocks: list[Block] = field(default_factory=list)
    taken: list[TakenTurn] = field(default_factory=list)
    plan: list[PlannedTurn] = field(default_factory=list)
    stop_sequence: str | None = None
    stop_details: dict[str, Any] | None = None

    def show(self, blocks: Iterable[Block]) -> None:
        """Put blocks in front of what the model says."""
        for block in blocks:
            self._add(block)

    async def take(self, plan: Sequence[PlannedTurn], more: More | None = None) -> str:
        """Take the planned turns, and those that follow from their results, and return the stop reason of the last.

        Args:
            plan: the turns.
            more: plans on where the last of them made connector calls and the script goes on.

        Raises:
            Unscripted: when a template names something that is not there, a reply that must be JSON of a certain form
                is not, or the script never ends.
        """
        while True:
            for planned in plan:
                if len(self.plan) == MAX_TURNS:
                    raise Unscripted(
                        f"{planned.where} would be turn {MAX_TURNS + 1} of one reply; the script goes round in circles, "
                        "so give it a turn that only says something."
                    )
                self.plan.append(planned)
                await self._take(planned)
                if self.stop_sequence is not None:
                    return "stop_sequence"
            if plan[-1].ends_reply or more is None:
                return self._stop(plan[-1])
            plan = more([taken.results for taken in self.taken])

    def _stop(self, last: PlannedTurn) -> str:
        if last.stop_reason == "refusal":
            self.stop_details = self._details(last.turn.refusal, last.where)
        if last.stop_reason == "stop_sequence":
            if not self.stop_sequences:
                raise Unscripted(
                    f"{last.where} stops at a stop sequence and the request has none; send stop_sequences, or leave "
                    "stop: stop_sequence out."
                )
            self.stop_sequence = self.stop_sequences[0]
        return last.stop_reason

    def _details(self, refusal: Refusal | None, where: str) -> dict[str, Any]:
        explanation = refusal.explanation if refusal else None
        return {
            "type": "refusal",
            "category": refusal.category if refusal else None,
            "explanation": self._render(explanation, f"{where}.refusal") if explanation is not None else None,
        }

    async def _take(self, planned: PlannedTurn) -> None:
        turn, where = planned.turn, planned.where
        known = len(self.results)
        told: dict[str, Any] = {}
        if turn.think is not None:
            told["think"] = self._think(self._render(turn.think, f"{where}.think"), redacted=turn.redacted)
        if turn.redacted:
            told["redacted"] = True
        if turn.json_ is not None:
            told["json"] = self._render(turn.json_, f"{where}.json")
            self._say(json.dumps(told["json"], ensure_ascii=False), planned)
        if turn.say is not None:
            said = self._render(turn.say, f"{where}.say")
            told["say"] = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
            self._say(told["say"], planned)
        uses: list[Block] = []
        if self.stop_sequence is None:
            uses = [self._use(call, route, where) for call, route in planned.calls]
            # All calls stand before all results: one run of calls is one turn when the conversation comes back.
            for use in uses:
                if use["type"] == "mcp_tool_use":
                    await self._run(use)
        if uses:
            told["calls"] = [
                {"tool": call.tool, "input": use["input"], **({"server": call.server} if call.server else {})}
                for (call, _), use in zip(planned.calls, uses, strict=True)
            ]
        if turn.stop is not None:
            told["stop"] = turn.stop
        if turn.refusal is not None:
            told["refusal"] = turn.refusal.model_dump(exclude_none=True)
        self.taken.append(TakenTurn(told, tuple(self.results[known:])))

    def _think(self, value: Any, *, redacted: bool) -> str:
        """Think, where the request asks for it. The signature follows from the seed and the thought alone."""
        thought = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if self.thinking is None:
            return thought
        sealed = base64.b64encode(_bytes(self.seed, thought)).decode()
        if redacted:
            self._add({"type": "redacted_thinking", "data": sealed})
        else:
            shown = "" if self.thinking == "omitted" else thought
            self._add({"type": "thinking", "thinking": shown, "signature": sealed})
        return thought

    def _say(self, text: str, planned: PlannedTurn) -> None:
        if planned.stop_reason == "max_tokens" and self.max_tokens and not planned.calls:
            text = text[: self.max_tokens * CHARACTERS_PER_TOKEN]
        found = [(text.index(mark), mark) for mark in self.stop_sequences if mark in text]
        if found:
            at, self.stop_sequence = min(found)
            text = text[:at]
        if self.check_output is not None and not planned.calls and planned.stop_reason == "end_turn" and not found:
            self.check_output(text, planned.where)
        if text:
            self._add({"type": "text", "text": text})

    def _use(self, call: Call, route: Route, where: str) -> Block:
        arguments = self._render(dict(call.input), f"{where} input of {call.tool}")
        if route.server is None:
            kind, prefix, extra = "tool_use", "toolu_", {}
        else:
            kind, prefix, extra = "mcp_tool_use", "mcptoolu_", {"server_name": route.server}
        call_id = new_id(self.seed, prefix, self.digest, len(self.blocks))
        block: Block = {"type": kind, "id": call_id, "name": route.name, **extra, "input": arguments}
        self._add(block)
        return block

    async def _run(self, use: Mapping[str, Any]) -> None:
        outcome = await self.connections.call(use["server_name"], use["name"], use["input"])
        self.results.append(outcome.value)
        self._add(
            {
                "type": "mcp_tool_result",
                "tool_use_id": use["id"],
                "is_error": outcome.is_error,
                "content": list(outcome.content),
            }
        )

    def _render(self, value: Any, where: str) -> Any:
        return render_part(self.templates, value, template_variables(self.results, self.facts), where)

    def _add(self, block: Block) -> None:
        self.blocks.append(block)
        self.emit(block)


def _bytes(seed: bytes, thought: str) -> bytes:
    """Bytes that look like a signature and follow from the seed and the thought."""
    digest = hashlib.sha256(thought.encode("utf-8", "surrogatepass")).hexdigest()
    return b"".join(derive(seed, "messages.signature", digest, 0, index) for index in range(3))
