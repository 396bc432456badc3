"""The fake services behind the proxy, and the faults injected into any call."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Strict

from stack_emu.scenario.values import Count, Duration, Flag, Headers, Host, Json, Model, Status

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
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
PATH_PATTERN = r"^/"
CODE_PATTERN = (
    r"^([A-Z][A-Z0-9_]*|[a-z_]+_error|request_too_large"
    r"|rate_limit_exceeded|insufficient_quota|invalid_api_key|model_not_found|context_length_exceeded)$"
)
"""STACK's codes, and the words of the Messages API and of the OpenAI API, which may be in lower case."""
BASE64_PATTERN = r"^[A-Za-z0-9+/]*={0,2}$"
SIGNAL_PATTERN = r"^[a-z][a-z0-9_]*$"

PACK_PATTERN = r"^([A-Za-z0-9][A-Za-z0-9_.-]*|(\.{1,2}/|/|[A-Za-z]:\\)[^\x00]*)$"
PackName = Annotated[str, Field(pattern=PACK_PATTERN, max_length=2048)]
Path = Annotated[str, Field(pattern=PATH_PATTERN, max_length=2048)]


Matcher = dict[str, Json]


class RequestMatch(Model):
    """Which request a route answers. Every part that is given must match; parts left out match anything."""

    method: Method | tuple[Method, ...] | None = Field(None, description="HTTP method, or a list of them.")
    host: Host | Matcher | None = Field(
        None, description="Host name, for an upstream that answers for several; or a [matcher](#matchers)."
    )
    path: Path | Matcher | None = Field(
        None,
        description="Path, exact, or with {name} for one segment and a final * for the rest; or a [matcher](#matchers).",
    )
    query: dict[str, Json] | None = Field(
        None, description="Query parameters that must be there with these values or [matchers](#matchers)."
    )
    headers: dict[str, Json] | None = Field(
        None, description="Headers that must be there with these values or [matchers](#matchers); names in any case."
    )
    body: Json = Field(
        None,
        description=(
            "What the body must contain: for an object, at least these fields; otherwise the whole value. "
            "Anywhere inside may stand a [matcher](#matchers)."
        ),
    )
    jsonpath: dict[str, Json] | None = Field(
        None,
        description="JSONPath queries (RFC 9535) of the body, each with a value or matcher that one of its results must meet.",
    )


class Reply(Model):
    """What a route answers. Text containing {{ is rendered as a template."""

    status: Status = Field(200, description="HTTP status.")
    headers: Headers = Field(default_factory=dict, description="Response headers.")
    json_: Json = Field(None, alias="json", description="The body as JSON.")
    text: str | None = Field(None, description="The body as text.")
    base64: Annotated[str, Field(pattern=BASE64_PATTERN)] | None = Field(
        None, description="The body as base64-encoded bytes."
    )
    template: Flag = Field(True, description="Whether {{ ... }} in the reply is rendered; false sends it as written.")
    delay: Duration = Field(0, description="How long to wait before answering.")


class Callback(Model):
    """A request that a route sends to a webhook on this machine after it has answered. Text is rendered as a template."""

    url: str = Field(description="Where to, on this machine, such as http://127.0.0.1:9000/hook.")
    after: Duration = Field(0, description="How long after the answer, on the world's clock.")
    method: Literal["POST", "PUT", "PATCH"] = Field("POST", description="HTTP method.")
    headers: Headers = Field(default_factory=dict, description="Headers.")
    json_: Json = Field(None, alias="json", description="The body as JSON.")
    text: str | None = Field(None, description="The body as text.")


class Route(Model):
    """A request pattern and its answer. The first route that matches, in its state and not used up, answers."""

    when: RequestMatch = Field(
        RequestMatch.model_construct(), description="Which requests the route answers; all when left out."
    )
    reply: Reply | None = Field(None, description="What it answers.")
    replies: tuple[Reply, ...] = Field((), description="What it answers instead: one after the other.")
    repeat: Literal["last", "all", "none"] = Field(
        "last",
        description="After the last of replies: last repeats it, all begins again, none leaves further calls to others.",
    )
    times: Count | None = Field(
        None, description="Answers at most this often; further calls are left to what comes after it."
    )
    per: Literal["lane", "world"] = Field(
        "lane",
        description="Where replies and times count: per lane (repeatable) or in the whole world (order-dependent).",
    )
    requires: dict[str, Json] = Field(
        default_factory=dict,
        description="States of the upstream in which it answers, as values or [matchers](#matchers); names may be templates.",
    )
    sets: dict[str, Json] = Field(
        default_factory=dict, description="States of the upstream it brings about; names and values may be templates."
    )
    callbacks: tuple[Callback, ...] = Field((), description="What it sends to webhooks on this machine afterwards.")


class Upstream(Model):
    """One fake service: the hosts it answers for and how it answers."""

    hosts: tuple[Host, ...] = Field(
        (), description="Host names it answers for, such as slack.com or *.slack.com; a pack's own when left out."
    )
    pack: PackName | None = Field(
        None,
        description="A stateful fake: a bundled or installed one such as slack, or the folder of your own: ./packs/crm.",
    )
    seed: dict[str, Json] = Field(
        default_factory=dict, description="What the pack's state starts with; the pack says which keys it knows."
    )
    routes: tuple[Route, ...] = Field((), description="Canned answers, tried in order before the pack or the forward.")
    forward: str | None = Field(
        None,
        description="URL of a server on this machine that gets every other request, such as http://127.0.0.1:9000.",
    )
    state: dict[str, Json] = Field(default_factory=dict, description="The states its routes begin with, by name.")


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
