"""What the LLM gateway asks of a model, and what it gets back; who answers is found in the world's settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from stack_emu.kernel.world import World

SETTING = "llm_model"
"""Name of the world's setting that holds the model."""

ANTHROPIC, OPENAI, OPENROUTER = "anthropic", "openai", "openrouter"
PROVIDERS = (ANTHROPIC, OPENAI, OPENROUTER)


@dataclass(frozen=True)
class ModelRequest:
    """A request as it leaves the gateway.

    Args:
        provider: one of ``PROVIDERS``; it decides the shape of the body and of the reply.
        body: the provider's body, with what the gateway added and took out.
        agent: id and name of the agent that asks.
        lane: lane of the call.
        act: name of its act.
    """

    provider: str
    body: Mapping[str, Any]
    agent: tuple[str, str]
    lane: str
    act: str | None = None


@dataclass(frozen=True)
class ModelReply:
    """An answer: the provider's JSON body, and the tokens it was charged for."""

    body: dict[str, Any]
    input_tokens: int
    output_tokens: int


@dataclass(eq=False)
class ModelRefused(Exception):
    """The model, or its provider, did not answer.

    Args:
        status: HTTP status of the provider; 0 when the connection broke.
        type: the provider's name for it, such as ``overloaded_error``; ``unscripted`` when the scenario has no turn.
        message: one sentence.
        headers: response headers a client may want, such as ``Retry-After``.
        body: the provider's body, where a fault rule gives one.
    """

    status: int
    type: str
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None

    def __str__(self) -> str:
        return self.message


class Model(Protocol):
    """Something that answers."""

    async def complete(self, world: World, request: ModelRequest) -> ModelReply:
        """Answer a request.

        Raises:
            ModelRefused: when there is no answer.
        """
        ...

    def events(self, request: ModelRequest, body: Mapping[str, Any]) -> Iterable[bytes]:
        """The body of an answer as server-sent events of the provider."""
        ...
