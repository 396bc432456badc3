"""One reply: its turns taken one after the other, each block handed on as soon as it is known."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stack_emu.kernel.ids import derive, text_id
from stack_emu.model_script.matching import Facts
from stack_emu.model_script.routing import Route
from stack_emu.model_script.script import PlannedTurn, render_part, template_variables
from stack_emu.surfaces.connector import Connections

if TYPE_CHECKING:
    from stack_emu.scenario.model_rules import Call
    from stack_emu.scenario.templates import Templates

_ID_LENGTH = 24

Block = dict[str, Any]


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
    """

    seed: bytes
    digest: str
    facts: Facts
    results: list[Any]
    connections: Connections
    templates: Templates
    emit: Callable[[Block], None]
    blocks: list[Block] = field(default_factory=list)

    def show(self, blocks: Iterable[Block]) -> None:
        """Put blocks in front of what the model says."""
        for block in blocks:
            self._add(block)

    async def take(self, plan: Sequence[PlannedTurn]) -> str:
        """Take the planned turns and return the stop reason of the last.

        Raises:
            Unscripted: when a template names something that is not there.
        """
        for planned in plan:
            await self._take(planned)
        return plan[-1].stop_reason

    async def _take(self, planned: PlannedTurn) -> None:
        if planned.turn.say is not None:
            self._say(self._render(planned.turn.say, f"{planned.where}.say"))
        uses = [self._use(call, route, planned.where) for call, route in planned.calls]
        # All calls stand before all results: one run of calls is one turn when the conversation comes back.
        for use in uses:
            if use["type"] == "mcp_tool_use":
                await self._run(use)

    def _say(self, value: Any) -> None:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
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
