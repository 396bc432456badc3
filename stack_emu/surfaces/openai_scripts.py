"""What the OpenAI surface knows of the worlds it serves: scripts, MCP addresses, who stands behind a bearer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stack_emu.kernel.world import World
from stack_emu.surfaces.connector import Connector
from stack_emu.surfaces.messages_errors import ApiError
from stack_emu.surfaces.openai_errors import OpenAiError

if TYPE_CHECKING:
    from stack_emu.scenario.model_rules import ModelRule
    from stack_emu.scenario.templates import Templates


@dataclass
class Scripts:
    """The scripted model of every world.

    Args:
        script_for: the rules of a world for a request body: the scenario's `model`, and what a test added.
        resolve_mcp: the URL to dial for a server's URL, or None for one that is not reachable from here.
        principal: who stands behind an MCP bearer: the agent's id, or its id and name, or None.
        connector: dials MCP servers.
    """

    script_for: Callable[[World, Mapping[str, Any]], Sequence[ModelRule]]
    resolve_mcp: Callable[[World, str], str | None]
    principal: Callable[[World, str], str | tuple[str, ...] | None]
    connector: Connector
    _templates: Templates | None = None

    def rules(self, world: World, body: Mapping[str, Any]) -> Sequence[ModelRule]:
        """The rules for a request, as a script's function sees it.

        Raises:
            OpenAiError: 400 when a test's own function fails.
        """
        try:
            return self.script_for(world, body)
        except ApiError as error:
            raise OpenAiError(error.status, error.message, code="script_failed", problem=error.problem) from error

    def templates(self) -> Templates:
        """Renders and remembers templates."""
        if self._templates is None:
            from stack_emu.scenario.templates import Templates

            self._templates = Templates()
        return self._templates

    def agents(self, world: World, tokens: Sequence[str]) -> tuple[str, ...]:
        """Ids and names of the agents behind MCP bearers."""
        found: list[str] = []
        for token in tokens:
            one = self.principal(world, token)
            found += [one] if isinstance(one, str) else one or ()
        return tuple(dict.fromkeys(found))
