"""What happens while a world runs, and what is expected of it afterwards."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from stack_emu.scenario.upstream_models import SIGNAL_PATTERN, Matcher, Method, Path
from stack_emu.scenario.values import Count, Duration, Flag, Host, Identifier, Instant, Int, Json, Model, Offset

DEFAULT_START = 1_767_225_600_000
"""Where a virtual clock starts when the scenario does not say: 2026-01-01T00:00:00Z."""

Times = Annotated[Int, Field(ge=0)]


class ClockSettings(Model):
    """The world's clock."""

    mode: Literal["real", "virtual"] = Field(
        "real", description="real follows the wall clock; virtual moves only when told."
    )
    start: Instant | None = Field(None, description="Where a virtual clock starts; 2026-01-01T00:00:00Z when left out.")
    tick: Duration = Field(
        0, description="Spaces the time stamps of one lane under a virtual clock; moves no deadline."
    )

    @property
    def start_ms(self) -> int:
        """Where a virtual clock starts, in milliseconds since 1970."""
        return DEFAULT_START if self.start is None else self.start

    @model_validator(mode="after")
    def _only_virtual_starts(self) -> ClockSettings:
        if self.mode == "real" and (self.start is not None or self.tick):
            raise ValueError("start and tick belong to a virtual clock; add mode: virtual or remove them")
        return self


class ApprovalMatch(Model):
    """Which requests for approval a rule decides."""

    operation: str | None = Field(None, description="Name of the operation that asks, such as proxy.request.")
    agent: str | None = Field(None, description="Id or name of the agent.")
    service: str | None = Field(None, description="Id or provider of the service.")
    nth: Count | None = Field(None, description="Only the nth matching request in its lane, counted from 1.")


class ApprovalRule(Model):
    """A human's decision, made by the scenario."""

    when: ApprovalMatch = Field(
        ApprovalMatch.model_construct(), description="Which requests it decides; all when left out."
    )
    decide: Literal["approve", "reject", "expire", "never"] = Field(
        description="approve, reject, let it expire, or never answer."
    )
    after: Duration = Field(0, description="How long the decision takes.")
    notes: str | None = Field(None, description="What the human writes.")


class DetectorMatch(Model):
    """Which calls raise a signal."""

    operation: str | None = Field(None, description="Name of the operation, such as proxy.request.")
    agent: str | None = Field(None, description="Id or name of the agent.")
    service: str | None = Field(None, description="Id or provider of the service.")
    nth: Count | None = Field(None, description="Only the nth matching call in its lane, counted from 1.")


class DetectorRule(Model):
    """A detector's signal, raised on demand."""

    when: DetectorMatch = Field(DetectorMatch.model_construct(), description="Which calls raise it; all when left out.")
    signal: Annotated[str, Field(pattern=SIGNAL_PATTERN)] = Field(description="The signal type, such as scope_drift.")
    severity: Literal["info", "warning", "critical"] = Field("warning", description="info, warning or critical.")
    message: str | None = Field(None, description="The event's message.")
    metadata: dict[str, Json] = Field(default_factory=dict, description="The event's metadata.")


REDIRECT_PATTERN = (
    r"^(https://[^\s/?#@]+[^\s#\"'<>;\\]*"
    r"|http://(127\.[0-9.]+|localhost|\[::1\])(:[0-9]{1,5})?(/[^\s#\"'<>;\\]*)?"
    r"|[a-z][a-z0-9+-]*\.[a-z0-9+.-]+:/[^\s#\"'<>;\\]*)$"
)
RedirectUri = Annotated[str, Field(max_length=2048), AfterValidator(lambda uri: _redirect(uri))]


def _redirect(uri: str) -> str:
    if not re.fullmatch(REDIRECT_PATTERN, uri):
        raise ValueError(
            "must be https, http on loopback such as http://127.0.0.1/callback, or an application's own scheme such as "
            "com.example.app:/callback, without a fragment"
        )
    return uri


SCOPE_PATTERN = r"^[a-z_]+:[a-z_]+$"


class OAuthClient(Model):
    """A client that is already registered."""

    id: Identifier = Field(description="The client_id.")
    name: str | None = Field(None, description="The client_name, shown to the person who is asked.")
    secret: Annotated[str, Field(min_length=8)] | None = Field(
        None, description="Its secret; a public client when left out."
    )
    redirect_uris: tuple[RedirectUri, ...] = Field(
        (), description="Where codes may be sent; on loopback any port matches."
    )
    scopes: tuple[Annotated[str, Field(pattern=SCOPE_PATTERN)], ...] | None = Field(
        None, description="Scopes the client may ask for, such as passports:read; all when left out."
    )


class OAuthSettings(Model):
    """How sign-in over OAuth goes."""

    consent: Literal["auto", "page", "deny"] = Field(
        "auto", description="auto agrees at once, page shows the consent screen, deny refuses."
    )
    operator: str | None = Field(
        None, description="Id of the operator who is asked; chosen on the page when left out and there are several."
    )
    clients: tuple[OAuthClient, ...] = Field((), description="Clients that are already registered.")


class McpSettings(Model):
    """How the MCP endpoint answers."""

    answers: Literal["json", "streams"] = Field(
        "json",
        description="json: one JSON document; streams: events, which can be resumed and carry progress.",
    )
    page_size: Annotated[Int, Field(ge=1, le=1000)] = Field(
        500,
        description="Tools on one page of tools/list; all are on one by default, because many clients read no second.",
    )


class Revocation(Model):
    """How revocation spreads."""

    propagation: Duration = Field(
        0, description="How long a revoked passport still passes the proxy, at most 60s at STACK."
    )


class TimelineStep(Model):
    """An operation the scenario runs by itself at a given moment."""

    at: Offset = Field(description="When, as an offset from the world's start, such as +10m.")
    as_: str | None = Field(
        None, alias="as", description="The API key it is done with; the first operator's key when left out."
    )
    operation: str = Field(description="Name of the operation, such as passports.revoke_agent.")
    input: dict[str, Json] = Field(default_factory=dict, description="The operation's fields.")


class GatewaySettings(Model):
    """What the gateway lets through."""

    allow: tuple[Host, ...] = Field(
        (), description="Hosts tunnelled untouched to the real network; never an emulated one."
    )


class CountRange(Model):
    """How often, as bounds."""

    at_least: Times | None = Field(None, description="This often or more.")
    at_most: Times | None = Field(None, description="This often or less.")

    @model_validator(mode="after")
    def _has_a_bound(self) -> CountRange:
        if self.at_least is None and self.at_most is None:
            raise ValueError("how often is not said; write at_least: 1, at_most: 3, or both")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError(f"at_least {self.at_least} is more than at_most {self.at_most}; nothing can hold both")
        return self


class Within(Model):
    """When, on the world's clock."""

    after: Offset | None = Field(None, description="This long after the world's start or later, such as +1m.")
    before: Offset | None = Field(None, description="Sooner than this long after the world's start.")


class Expected(Model):
    """What every expectation may say besides what it is about."""

    times: Times | CountRange | None = Field(
        None, description="Exactly how often, or {at_least, at_most}; at least once when left out."
    )
    never: Flag = Field(False, description="true: not once.")
    within: Within | None = Field(None, description="Only what happened in this time counts.")
    lane: Json = Field(None, description="Lane it happened in, or a [matcher](#matchers).")

    @model_validator(mode="after")
    def _says_how_often_once(self) -> Expected:
        if self.never and self.times is not None:
            raise ValueError("never and times both say how often; remove one of them")
        return self


class ExpectedCall(Expected):
    """A call some upstream must have received."""

    to: str = Field(description="Name of the upstream.")
    method: Method | tuple[Method, ...] | None = Field(None, description="HTTP method, or a list of them.")
    host: Host | Matcher | None = Field(None, description="Host name, or a [matcher](#matchers).")
    path: Path | Matcher | None = Field(
        None,
        description="Path, exact, or with {name} for one segment and a final * for the rest; or a [matcher](#matchers).",
    )
    query: dict[str, Json] | None = Field(
        None, description="Query parameters that must be there with these values or [matchers](#matchers)."
    )
    headers: dict[str, Json] | None = Field(
        None, description="Headers that must be there with these values or [matchers](#matchers)."
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
    status: Json = Field(None, description="Status it was answered with, or a [matcher](#matchers) such as {lt: 400}.")
    credential: str | None = Field(
        None, description="Id of the connection whose credential the call must have carried."
    )


class ExpectedRow(Expected):
    """A row the audit log must contain."""

    action: str = Field(description="The row's action, such as credential.proxy.")
    outcome: Literal["success", "failure", "pending", "blocked"] | None = Field(None, description="The row's outcome.")
    agent: str | None = Field(None, description="Id or name of the agent.")
    passport: str | None = Field(None, description="Id of the passport.")
    mission: str | None = Field(None, description="Id of the mission.")
    service: str | None = Field(None, description="Id or provider of the service.")
    code: str | None = Field(None, description="The error code of a refusal, such as PASSPORT_REVOKED.")
    metadata: dict[str, Json] | None = Field(
        None, description="Fields of the row's metadata, with values or [matchers](#matchers)."
    )


class ExpectedOperation(Expected):
    """A call of one of STACK's operations, over REST or as an MCP tool."""

    operation: str | None = Field(None, description="Name of the operation, such as passports.issue.")
    tool: str | None = Field(None, description="Name of the MCP tool it was called as.")
    over: Literal["rest", "mcp"] | None = Field(None, description="The way it came in.")
    request: Json = Field(
        None, description="What its fields must contain, secrets masked; inside may stand a [matcher](#matchers)."
    )
    status: Json = Field(None, description="Status it was answered with, or a [matcher](#matchers).")
    code: str | None = Field(None, description="The error code of a refusal.")
    caller: str | None = Field(None, description="Kind of the credential: operator, member, agent, passport or oauth.")

    @model_validator(mode="after")
    def _names_what(self) -> ExpectedOperation:
        if self.operation is None and self.tool is None:
            raise ValueError("what is called is not said; add operation: passports.issue, or tool: stack_get_agent")
        return self


class ExpectedModelCall(Expected):
    """A request to the model."""

    request: Json = Field(
        None,
        description="What it must be like: model, user (the last user text), turn, tools, messages, stream and so on.",
    )
    over: Literal["messages", "openai"] | None = Field(None, description="The API it came to.")
    status: Json = Field(None, description="Status it was answered with, or a [matcher](#matchers).")
    code: str | None = Field(None, description="The type of an error.")


class ExpectedSend(Expected):
    """A webhook of STACK's or a callback of a route that a receiver must have been sent."""

    over: Literal["webhook", "callback"] | None = Field(None, description="Which of the two.")
    method: Method | None = Field(None, description="HTTP method.")
    host: Host | Matcher | None = Field(None, description="Host name of the receiver, or a [matcher](#matchers).")
    path: Path | Matcher | None = Field(None, description="Path of the receiver, or a [matcher](#matchers).")
    body: Json = Field(None, description="What the body of a callback must contain.")
    status: Json = Field(None, description="Status the receiver answered with, or a [matcher](#matchers).")


class ExpectedStep(Model):
    """One step of an order: one of what can be expected."""

    upstream: ExpectedCall | None = Field(None, description="A call some upstream received.")
    audit: ExpectedRow | None = Field(None, description="A row of the audit log.")
    operations: ExpectedOperation | None = Field(None, description="A call of an operation.")
    model: ExpectedModelCall | None = Field(None, description="A request to the model.")
    sent: ExpectedSend | None = Field(None, description="A webhook or a callback.")

    @model_validator(mode="after")
    def _is_one(self) -> ExpectedStep:
        given = (self.upstream, self.audit, self.operations, self.model, self.sent)
        if sum(value is not None for value in given) != 1:
            raise ValueError("a step is one of upstream, audit, operations, model and sent")
        return self


class Expectation(Model):
    """What must hold when the run ends."""

    upstream: tuple[ExpectedCall, ...] = Field((), description="Calls upstreams must have received.")
    audit: tuple[ExpectedRow, ...] = Field((), description="Rows the audit log must contain.")
    operations: tuple[ExpectedOperation, ...] = Field((), description="Operations that must have been called.")
    model: tuple[ExpectedModelCall, ...] = Field((), description="Requests the model must have received.")
    sent: tuple[ExpectedSend, ...] = Field((), description="Webhooks and callbacks that must have been sent.")
    order: tuple[ExpectedStep, ...] = Field(
        (), description="What must have happened in this order; other things may have happened in between."
    )
    leaks: Literal["none"] | None = Field(None, description="none: no credential may have travelled towards an agent.")
