"""What ties the model's APIs to worlds: the script of a world, where MCP URLs lead, and whose bearer it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from stack_emu.domain.authentication import authenticate, key_digest
from stack_emu.domain.state import Agent, ApiKey
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.world import World
from stack_emu.model_script.asking import asked_of
from stack_emu.model_script.recording import literal
from stack_emu.scenario.models import ModelRule
from stack_emu.surfaces.connector import Connector
from stack_emu.surfaces.llm_model import GatewayModel
from stack_emu.surfaces.messages import MessagesSurface
from stack_emu.surfaces.messages_errors import invalid
from stack_emu.surfaces.model_exchange import model_leaks
from stack_emu.surfaces.openai import OpenAiSurface
from stack_emu.surfaces.openai_scripts import Scripts

if TYPE_CHECKING:
    from stack_emu.surfaces.server import Server

STACK_MCP = "https://mcp.getstack.run/mcp"


def script_of(server: Server) -> Callable[[World, Mapping[str, Any]], Sequence[ModelRule]]:
    """Finds the script of a world for a request body: the scenario's `model`, and what a test added."""

    def script_for(world: World, body: Mapping[str, Any]) -> Sequence[ModelRule]:
        hosted = server.hosting.get(world.name)
        if hosted is None:
            return ()
        return [*scripted_by(hosted.model_function, body), *hosted.model_rules]

    return script_for


def messages_surface(server: Server) -> MessagesSurface:
    """The Messages API over the worlds of a server."""
    return MessagesSurface(script_of(server), mcp_address(server), principal_agent, leaks=model_leaks)


def openai_surface(server: Server) -> OpenAiSurface:
    """The OpenAI API over the worlds of a server."""
    scripts = Scripts(script_of(server), mcp_address(server), principal_agent, Connector())
    return OpenAiSurface(scripts, model_leaks)


def gateway_model(server: Server) -> GatewayModel:
    """The model behind the LLM gateway of every world."""
    return GatewayModel(script_of(server), model_leaks)


def mcp_address(server: Server) -> Callable[[World, str], str | None]:
    """Finds the URL to dial for an MCP server's URL: STACK's own means the world's, others must be on this machine."""

    def resolve_mcp(world: World, url: str) -> str | None:
        if url.rstrip("/") == STACK_MCP:
            return f"{server.world_url(world.name)}/mcp"
        host = (urlsplit(url).hostname or "").lower()
        return url if host in ("127.0.0.1", "localhost", "::1") else None

    return resolve_mcp


def scripted_by(function: Callable[..., Any] | None, body: Mapping[str, Any]) -> list[ModelRule]:
    """The rule a test's function makes of a request.

    The function gets the request (`Asked`) and returns the model's next turn, a text to say, the list of all its turns
    since the last user text, or None to decline.

    Raises:
        ApiError: when the function fails or returns something else, with what it should return.
    """
    asked = asked_of(body)
    if function is None or asked.side:
        return []
    try:
        turns = function(asked)
        if turns is None:
            return []
        if isinstance(turns, (list, tuple)):
            return [ScriptOfFunction.model_validate({"turns": [_turn(turn) for turn in turns]})]
        return [TurnOfFunction.model_validate({"turns": [_turn(turns)]})]
    except Exception as error:
        raise invalid(
            f"The function given to model.script failed with {type(error).__name__}: {error}. It gets the request and "
            'returns a turn such as {"say": "Hello"}, a text, a list of turns, or None.'
        ) from error


class ScriptOfFunction(ModelRule):
    """All the turns since the last user text, as a function gave them."""

    label: ClassVar[str] = "model.script"


class TurnOfFunction(ScriptOfFunction):
    """The turn a function gave for the point where the conversation stands."""

    answers_now: ClassVar[bool] = True


def _turn(value: Any) -> Any:
    """A turn as the function gave it. A text is said as it stands, whatever templates it seems to hold."""
    return {"say": literal(value)} if isinstance(value, str) else value


def principal_agent(world: World, bearer: str) -> tuple[str, str] | None:
    """Id and name of the agent behind an MCP bearer, or None for an operator or an unknown credential."""
    if world.store.get(ApiKey, key_digest(bearer)) is not None:
        return None
    try:
        agent_id = authenticate(world, bearer, single_use=False).agent_id
    except Fault:
        return None
    agent = world.store.get(Agent, agent_id) if agent_id is not None else None
    return (agent.id, agent.name) if agent is not None else None
