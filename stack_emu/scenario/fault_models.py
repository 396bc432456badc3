"""The faults injected into calls: which calls they hit, and what happens to those."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Strict, model_validator

from stack_emu.scenario.upstream_models import Method, Path, RequestMatch
from stack_emu.scenario.values import Count, Duration, Flag, Headers, Host, Json, Model, SinceStart, Status

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
    r"|rate_limit_exceeded|insufficient_quota|invalid_api_key|model_not_found|context_length_exceeded"
    r"|invalid_(request|client|grant|scope|target|redirect_uri|client_metadata)|unauthorized_client"
    r"|unsupported_(grant|response)_type|access_denied|authorization_pending|slow_down|expired_token"
    r"|temporarily_unavailable)$"
)
"""STACK's codes, and the words of the Messages API, of the OpenAI API and of OAuth, which may be in lower case."""
Transport = Literal[
    "connection_reset_by_peer",
    "empty_response",
    "malformed_response_chunk",
    "random_data_then_close",
    "truncated_body",
    "garbage_body",
]
Share = Annotated[float, Field(gt=0, le=1)]
Spread = Annotated[float, Field(gt=0, le=10)]


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
    host: Host | None = Field(
        None,
        description="A real host name that clients reach through the gateway; the fault hits before anything behind it.",
    )
    model: str | None = Field(
        None, description="The requested model, for operations of the model; exact or with a final * for the rest."
    )
    turn: Position | None = Field(
        None,
        description="How many turns the model has taken since the anchor, for operations of the model; 0 right after it.",
    )
    user: str | None = Field(
        None, description="Text contained in the anchor, for operations of the model: which conversation it is."
    )
    where: RequestMatch | None = Field(
        None, description="What the request must look like besides, as in a route: query, headers and body, regex too."
    )
    chance: Share | None = Field(
        None, description="How likely it is that a matching call is hit, 0 to 1; drawn from the seed and the call."
    )
    nth: Count | None = Field(None, description="Only the nth matching call, counted from 1.")
    every: Count | None = Field(None, description="Every nth matching call.")
    times: Count | None = Field(None, description="At most this many times; without limit when left out.")
    after: SinceStart | None = Field(None, description="Only calls made at least this long after the world's start.")
    until: SinceStart | None = Field(None, description="Only calls made before this long after the world's start.")
    per: Literal["lane", "world"] = Field(
        "lane",
        description="Where nth, every and times count: per lane (repeatable) or in the whole world (order-dependent).",
    )


class Normal(Model):
    """Delays around a mean."""

    mean: Duration = Field(description="The mean.")
    sd: Duration = Field(description="The standard deviation; below zero there is no delay.")


class Lognormal(Model):
    """Delays with a long tail, as most services have."""

    median: Annotated[Duration, Field(gt=0)] = Field(description="Half of the delays are shorter.")
    sigma: Spread | None = Field(None, description="Standard deviation of the logarithm, such as 0.4.")
    p95: Duration | None = Field(None, description="Nineteen of twenty delays are shorter; instead of sigma.")

    @model_validator(mode="after")
    def _one_spread(self) -> Lognormal:
        if (self.sigma is None) == (self.p95 is None):
            raise ValueError("a lognormal delay has a sigma or a p95; give one of them")
        if self.p95 is not None and self.p95 <= self.median:
            raise ValueError("p95 must be longer than the median")
        return self


class Exponential(Model):
    """Delays as of independent arrivals."""

    mean: Duration = Field(description="The mean.")


class Latency(Model):
    """A delay: a time, or one drawn from a distribution, by the seed and the call: the same on every run, in any order."""

    fixed: Duration | None = Field(None, description="This long; delay: 200ms is short for it.")
    uniform: tuple[Duration, Duration] | None = Field(None, description="Anything between the two, equally likely.")
    normal: Normal | None = Field(None, description="Around a mean.")
    lognormal: Lognormal | None = Field(None, description="With a long tail.")
    exponential: Exponential | None = Field(None, description="Mostly short, now and then long.")
    max: Duration | None = Field(None, description="Where it is cut off; 30s when left out.")

    @model_validator(mode="before")
    @classmethod
    def _accept_time(cls, value: object) -> object:
        """`delay: 200ms` is short for the object form."""
        return {"fixed": value} if isinstance(value, (str, int, float)) else value

    @model_validator(mode="after")
    def _one_shape(self) -> Latency:
        shapes = [self.fixed, self.uniform, self.normal, self.lognormal, self.exponential]
        if sum(shape is not None for shape in shapes) != 1:
            raise ValueError("a delay has one shape: fixed, uniform, normal, lognormal or exponential")
        if self.uniform is not None and self.uniform[0] > self.uniform[1]:
            raise ValueError("uniform is [least, most]; put the shorter time first")
        return self


class Dribble(Model):
    """A body that comes in pieces, slowly, behind a head that came at once."""

    chunks: Count = Field(description="How many pieces.")
    over: Duration = Field(description="How long it takes until the last of them.")


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
    delay: Latency | None = Field(
        None,
        description="How long to wait first: a time, or a distribution to draw from; alone, the call then goes on as usual.",
    )
    drop: Literal["request", "reply"] | None = Field(
        None, description="Close the connection: request before the call takes effect, reply after it has."
    )
    transport: Transport | None = Field(
        None,
        description="How the connection breaks under the answer; the call has taken effect, unless it is injected.",
    )
    dribble: Dribble | None = Field(None, description="Sends the body of the answer slowly.")
    content_type: str | None = Field(None, description="Content-Type to send instead of the right one.")
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
