"""How a pack of a model's API reaches the world's scripted model, which lives outside of the upstreams."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from stack_emu.kernel.world import World
from stack_emu.upstreams.requests import UpstreamRequest


@dataclass(frozen=True)
class ModelAsk:
    """A question to the scripted model.

    Args:
        provider: ``anthropic`` or ``openai``; it decides the shape of body and answer.
        body: the provider's request body.
        lane: lane of the call.
    """

    provider: str
    body: Mapping[str, Any]
    lane: str


@dataclass(frozen=True)
class ModelSaid:
    """The model's answer.

    Args:
        status: HTTP status; 0 when a fault broke the connection off.
        body: the provider's reply body; for a refusal, the body a fault gives, if it gives one.
        stream: the reply as server-sent events, when the request asked for them.
        kind: the type of a refusal.
        message: the sentence of a refusal.
        headers: headers a client may want.
    """

    status: int
    body: Any = None
    stream: bytes | None = None
    kind: str = ""
    message: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


ModelDoor = Callable[[World, ModelAsk], Awaitable[ModelSaid]]
"""Asks the model of a world."""


@runtime_checkable
class ModelBacked(Protocol):
    """A pack whose answers are, for some requests, the scripted model's."""

    def asks_model(self, request: UpstreamRequest, lane: str) -> ModelAsk | None:
        """What the model is to be asked before :meth:`handle` answers; None when the request needs no model."""
        ...
