"""The faults injected into calls: which calls they hit, and what happens to those."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Strict

from stack_emu.scenario.upstream_models import Method, Path
from stack_emu.scenario.values import Count, Duration, Flag, Headers, Json, Model, Status

MessagesError = Literal[
    "overloaded_error",
    "api_error",
    "rate_limit_error",
    "timeout_error",
    "invalid_request_error",
    "authentication_error",
    "permission_error",
    "not_found_error",
    "billing_error",
]
OpenAiCode = Literal["server_error", "rate_limit_exceeded", "insufficient_quota"]
StreamError = Literal[MessagesError, OpenAiCode]
Position = Annotated[int, Strict(), Field(ge=0)]
CODE_PATTERN = (
    r"^([A-Z][A-Z0-9_]*|[a-z_]+_error|request_too_large"
    r"|rate_limit_exceeded|insufficient_quota|invalid_api_key|model_not_found|context_length_exceeded)$"
)
"""STACK's codes, and the words of the Messages API and of the OpenAI API, which may be in lower case."""


class FaultTarget(Model):
    """Which calls a fault hits. Every part that is given must match."""

    upstream: str | None = Field(None, description="Name of an upstream; the fault hits calls that reach it.")
    operation: str | None = Field(
        None, description="Name of an operation, such as proxy.request; the fault hits calls of it."
    )
    agent: str | None = Field(None, description="Id or name of the agent the call is made for.")
    service: str | None = Field(None, description="Id or provider of the service whose credential the call uses.")
    method: Method | None = Field(None, description="HTTP method.")
    path: Path | None = Field(None, description="Path, exact or with a final * for the rest.")
    tool: str | None = Field(None, description="Name of the MCP tool, when the call came as one.")
    nth: Count | None = Field(None, description="Only the nth matching call, counted from 1.")
    every: Count | None = Field(None, description="Every nth matching call.")
    times: Count | None = Field(None, description="At most this many times; without limit when left out.")
    after: Duration | None = Field(None, description="Only calls made at least this long after the world's start.")
    until: Duration | None = Field(None, description="Only calls made before this long after the world's start.")
    per: Literal["lane", "world"] = Field(
        "lane",
        description="Where nth, every and times count: per lane (repeatable) or in the whole world (order-dependent).",
    )


class StreamFault(Model):
    """What happens in the middle of a streamed reply of the model."""

    first_token: Duration | None = Field(
        None, description="How long the stream says nothing but ping, once it has begun."
    )
    pace: Duration | None = Field(None, description="How long to wait before every further piece.")
    error: StreamError | None = Field(
        None, description="The error the stream ends with, in the words of the API that answers."
    )
    message: str | None = Field(None, description="The message that goes with error.")
    cut: Literal["end", "connection"] | None = Field(
        None, description="end: the stream ends as if all had been said; connection: it breaks off."
    )
    after: Position | None = Field(
        None,
        description="Pieces (deltas) sent before error or cut, 1 when left out; a shorter reply breaks off at its end.",
    )
    after_blocks: Position | None = Field(
        None, description="How many whole content blocks are sent before error or cut, instead of after."
    )


class FaultInjection(Model):
    """What happens to a call a fault hits."""

    status: Status | None = Field(None, description="HTTP status to answer with.")
    headers: Headers = Field(default_factory=dict, description="Response headers.")
    json_: Json = Field(None, alias="json", description="The body as JSON.")
    body: str | None = Field(None, description="The body as text.")
    error: Annotated[str, Field(pattern=CODE_PATTERN)] | None = Field(
        None,
        description="A STACK error code, such as TIER_LIMIT_EXCEEDED, answered as STACK answers it.",
    )
    message: str | None = Field(None, description="The message that goes with error; the code's own when left out.")
    delay: Duration | None = Field(None, description="How long to wait first; alone, the call then goes on as usual.")
    drop: Literal["request", "reply"] | None = Field(
        None, description="Close the connection: request before the call takes effect, reply after it has."
    )
    stream: StreamFault | None = Field(
        None,
        description="What happens to a streamed reply of the model; one that is not streamed fails or waits as a whole.",
    )
    malformed: Flag | None = Field(
        None,
        description="true spoils an MCP tool's result: text that breaks off, content its schema forbids. Not with strict: true.",
    )
    hide: Flag | None = Field(
        None, description="true takes an MCP tool away: it is not listed and not known, for as long as the rule stands."
    )


class FaultRule(Model):
    """A deterministic failure: which calls it hits and what happens to them."""

    on: FaultTarget = Field(description="Which calls are hit.")
    inject: FaultInjection = Field(description="What happens to them.")
