"""The LLM gateway: a provider's own request, made under a passport and answered by the scenario's scripted model.

A call passes the checks of a proxied call (docs/concepts/proxy) in their order. Which credential pays: the account's own
connection of that provider when it has one, and then the passport must include it; otherwise STACK's pooled one. That a
call is an operation of the proxy (kept, counted, replayed and read like one) is invented.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import Field

from stack_emu.domain import faults, llm_prompt, meters, proxy_checks, proxy_operations
from stack_emu.domain.authentication import ANY_BEARER
from stack_emu.domain.constraints import ConstrainedRequest
from stack_emu.domain.intent_approvals import LLM, require_approval
from stack_emu.domain.issuance import presented
from stack_emu.domain.llm_calls import ERROR, SUCCESS, LlmCall, cost_cents
from stack_emu.domain.llm_model import (
    ANTHROPIC,
    OPENAI,
    OPENROUTER,
    SETTING,
    Model,
    ModelRefused,
    ModelReply,
    ModelRequest,
)
from stack_emu.domain.proxy_checks import Access, Principal
from stack_emu.domain.state import Connection, Grant
from stack_emu.kernel.canonical import digest
from stack_emu.kernel.dispatch import Context, Pending, Refused
from stack_emu.kernel.errors import Fault, FaultSpec
from stack_emu.kernel.faults import Injected
from stack_emu.kernel.operations import (
    SECRET,
    TOKEN,
    VOLATILE,
    Audit,
    Auth,
    OpenCommand,
    Rest,
    Stream,
    Tool,
    operation,
)

EVENT_STREAM = "text/event-stream; charset=utf-8"
URLS: Mapping[str, str] = {
    ANTHROPIC: "https://api.anthropic.com/v1/messages",
    OPENAI: "https://api.openai.com/v1/chat/completions",
    OPENROUTER: "https://openrouter.ai/api/v1/chat/completions",
}
"""What constraints see as the URL of a call."""

_HEADERS = {
    "X-Passport-Token": "passport_token",
    "X-Intent-Approval-Id": "intent_approval_id",
    "X-STACK-Authority-Request-Id": "authority_request_id",
}
_AUTH = Auth(bearers=ANY_BEARER, scope="proxy:write", role="standard")
_HIDDEN = ("stream", "authority_request_id")
_PRESENTS = presented("passport_token")
_SOURCE = "sdk 4.0.0 llm.{0}.create; body and reply are the provider's"

_log = logging.getLogger("stack_emu")


class LlmRequest(OpenCommand):
    """A request in the provider's own form, taken as it comes."""

    BESIDE: ClassVar[frozenset[str]] = frozenset(_HEADERS.values())

    model: str = Field(min_length=1, max_length=256, description="The provider's name of the model")
    messages: Annotated[list[Any], SECRET] = Field(description="The conversation, in the provider's form")
    stream: bool = Field(False, description="Whether the reply is sent as server-sent events")
    passport_token: Annotated[str | None, TOKEN] = Field(
        None, description="Passport to act under; needed unless a passport is the bearer"
    )
    intent_approval_id: str | None = Field(
        None, max_length=256, description="Approval of the intent, where one is needed"
    )
    authority_request_id: Annotated[str | None, VOLATILE] = Field(
        None,
        pattern=r"^[A-Za-z0-9_-]{22,256}$",
        description="Id under which an unchanged retry gets the recorded reply instead of a second call",
    )


class AnthropicRequest(LlmRequest):
    """A request of Anthropic's Messages API, taken as it comes."""

    system: Annotated[Any, SECRET] = Field(None, description="The system prompt: text, or text blocks")


LlmReply = dict[str, Any]


@operation(
    "llm.anthropic_messages",
    rest=Rest("POST", "/v1/llm/anthropic/messages", headers=_HEADERS),
    tool=Tool("stack_create_anthropic_message", hidden=_HIDDEN),
    auth=_AUTH,
    audit=Audit("llm.call", layer="vault"),
    presents=_PRESENTS,
    source=_SOURCE.format("anthropic.messages"),
    grade="sdk-implied",
)
def anthropic_messages(ctx: Context, command: AnthropicRequest) -> LlmReply | Stream | Pending[ModelReply] | Refused:
    """Ask a model over Anthropic's Messages API; the reply, streamed or not, has Anthropic's shape.

    Raises:
        Fault: UNAUTHORIZED, PASSPORT_EXPIRED, PASSPORT_REVOKED, PASSPORT_BLOCKED, MISSION_ENDED, TIER_LIMIT_EXCEEDED,
            MISSION_LIMIT_EXCEEDED, FORBIDDEN, CONFLICT; LLM_PROVIDER_ERROR with the provider's status, LLM_UNSCRIPTED
            when the scenario has no turn for the conversation.
    """
    return _call(ctx, command, ANTHROPIC)


@operation(
    "llm.openai_chat_completions",
    rest=Rest("POST", "/v1/llm/openai/chat/completions", headers=_HEADERS),
    tool=Tool("stack_create_openai_chat_completion", hidden=_HIDDEN),
    auth=_AUTH,
    audit=Audit("llm.call", layer="vault"),
    presents=_PRESENTS,
    source=_SOURCE.format("openai.chat.completions"),
    grade="sdk-implied",
)
def openai_chat_completions(ctx: Context, command: LlmRequest) -> LlmReply | Stream | Pending[ModelReply] | Refused:
    """Ask a model over OpenAI's chat completions; the reply, streamed or not, has OpenAI's shape.

    Raises:
        Fault: as ``llm.anthropic_messages``.
    """
    return _call(ctx, command, OPENAI)


@operation(
    "llm.openrouter_chat_completions",
    rest=Rest("POST", "/v1/llm/openrouter/chat/completions", headers=_HEADERS),
    tool=Tool("stack_create_openrouter_chat_completion", hidden=_HIDDEN),
    auth=_AUTH,
    audit=Audit("llm.call", layer="vault"),
    presents=_PRESENTS,
    source=_SOURCE.format("openrouter.chat.completions"),
    grade="sdk-implied",
)
def openrouter_chat_completions(ctx: Context, command: LlmRequest) -> LlmReply | Stream | Pending[ModelReply] | Refused:
    """Ask a model over OpenRouter's chat completions; the reply, streamed or not, has the shape of OpenAI's.

    Raises:
        Fault: as ``llm.anthropic_messages``.
    """
    return _call(ctx, command, OPENROUTER)


@dataclass(frozen=True)
class _Planned:
    """A call that passed the checks."""

    operation_id: str
    provider: str
    model: str
    who: Principal
    connection_id: str
    streamed: bool
    request: ModelRequest


def _call(ctx: Context, command: LlmRequest, provider: str) -> LlmReply | Stream | Pending[ModelReply] | Refused:
    ctx.row.set(service=provider, provider=provider, model=command.model, streamed=command.stream or None)
    ctx.row.set(approval=command.intent_approval_id, authority_request=command.authority_request_id)
    who = proxy_checks.principal(ctx, command.passport_token)
    if isinstance(who, Refused):
        return who
    if who.passport is None:
        raise Fault(
            faults.UNAUTHORIZED, hint="An LLM call is made under a passport; send its token in X-Passport-Token."
        )
    body = command.verbatim()
    fingerprint = digest({"provider": provider, "body": body})
    earlier = proxy_operations.previous(ctx, who, command.authority_request_id)
    if earlier is None:
        _check_room(ctx, who, provider)
    found = _payer(ctx, who, provider)
    if found is not None:
        asked = ConstrainedRequest("POST", URLS[provider], body=body)
        proxy_checks.check_constraints(found, asked)
        proxy_checks.check_credential(ctx, found.connection)
    if earlier is not None:
        recorded = proxy_operations.replay(ctx, earlier, fingerprint)
        if recorded is not None:
            ctx.row.set(replayed=True)
            return _rendered(ctx, _request(ctx, who, provider, body), recorded["body"], command.stream)
        _check_room(ctx, who, provider)
    asked_for = {"provider": provider, "model": command.model}
    require_approval(ctx, who.passport, command.intent_approval_id, kind=LLM, call=asked_for)
    return _send(ctx, command, provider, who, found, fingerprint)


def _check_room(ctx: Context, who: Principal, provider: str) -> None:
    meters.check(ctx, meters.LLM_CALLS)
    proxy_checks.check_caps(ctx, who.mission, provider)


def _payer(ctx: Context, who: Principal, provider: str) -> Access | None:
    """Whose credential pays: the passport's connection of the provider, or STACK's own (None) when there is none.

    Raises:
        Fault: FORBIDDEN when the account has such a connection and the passport does not include it.
    """
    passport = who.passport
    assert passport is not None
    if any(scope.service_name == provider for scope in passport.services):
        found = proxy_checks.access(ctx, who, provider)
        assert not isinstance(found, Refused), "the passport has the provider in its scopes"
        return found
    connections = ctx.world.store.find(Connection, operator_id=ctx.operator_id, provider=provider, status="active")
    connection = next(connections, None)
    if connection is None:
        return None
    ctx.row.set(connection=connection.id)
    grant = ctx.world.store.get(Grant, f"{passport.agent_id}/{connection.id}")
    missing = {"agent_id": passport.agent_id, "service": provider, "connection_id": connection.id}
    if grant is None:
        reason = (
            f"Agent {passport.agent_id} has no grant on {connection.id} ({provider}): grant it, then issue a passport"
        )
    else:
        reason = f"Passport {passport.id} leaves out {connection.id} ({provider}): issue one that includes it"
    raise Fault(faults.FORBIDDEN, reason=reason, details={"service": provider, "missing_grant": missing})


def _request(ctx: Context, who: Principal, provider: str, body: Mapping[str, Any]) -> ModelRequest:
    assert who.agent is not None
    return ModelRequest(provider, body, (who.agent.id, who.agent.name), ctx.lane, ctx.act.name)


def _send(
    ctx: Context, command: LlmRequest, provider: str, who: Principal, found: Access | None, fingerprint: str
) -> Pending[ModelReply]:
    assert who.agent is not None
    assert who.passport is not None
    ready = llm_prompt.prepare(ctx.world, provider, command.verbatim(), who.agent, who.passport, who.mission)
    ctx.row.set(injected_prompt=ready.injected or None, redacted=dict(ready.redacted) or None)
    connection_id = found.connection.id if found is not None else ""
    operation_id = proxy_operations.reserve(
        ctx,
        who,
        provider,
        "POST",
        connection_id=connection_id,
        request_id=command.authority_request_id,
        fingerprint=fingerprint,
        meter=meters.LLM_CALLS,
    )
    request = _request(ctx, who, provider, ready.body)
    planned = _Planned(operation_id, provider, command.model, who, connection_id, command.stream, request)
    model: Model = ctx.world.settings[SETTING]

    async def exchange() -> ModelReply:
        return await model.complete(ctx.world, request)

    return Pending(io=exchange, settle=lambda context, result: _settle(context, planned, result))


def _settle(ctx: Context, planned: _Planned, result: ModelReply | Exception) -> LlmReply | Stream | Refused:
    ctx.row.duration_ms = ctx.world.now_ms() - ctx.act.now_ms
    if isinstance(result, Exception):
        return _failed(ctx, planned, result)
    ctx.row.set(upstream_status=200, input_tokens=result.input_tokens, output_tokens=result.output_tokens)
    _keep(ctx, planned, SUCCESS, 200, result.input_tokens, result.output_tokens)
    recorded = {"status": 200, "headers": {"content-type": "application/json"}, "body": result.body}
    proxy_operations.commit(ctx.world, ctx.act, planned.operation_id, recorded)
    return _rendered(ctx, planned.request, result.body, planned.streamed)


def _rendered(ctx: Context, request: ModelRequest, body: dict[str, Any], streamed: bool) -> LlmReply | Stream:
    if not streamed:
        return body
    model: Model = ctx.world.settings[SETTING]
    return Stream(EVENT_STREAM, model.events(request, body))


def _keep(ctx: Context, planned: _Planned, status: str, http_status: int, tokens_in: int, tokens_out: int) -> None:
    who = planned.who
    assert who.agent is not None
    assert who.passport is not None
    made = LlmCall(
        id=ctx.act.new_id("llm_call", "llm_"),
        operator_id=ctx.operator_id,
        agent_id=who.agent.id,
        passport_id=who.passport.id,
        mission_id=who.mission.id if who.mission is not None else None,
        provider=planned.provider,
        model=planned.model,
        connection_id=planned.connection_id,
        status=status,
        http_status=http_status,
        streamed=planned.streamed,
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        cost_cents=cost_cents(planned.model, tokens_in, tokens_out),
        created_at=ctx.stamp_ms,
    )
    ctx.world.store.put(made)


def _failed(ctx: Context, planned: _Planned, error: Exception) -> Refused:
    """The refusal for a call without an answer; what the provider refused counts, what never reached it does not."""
    fault = _fault(planned, error)
    if isinstance(error, ModelRefused) and error.status:
        ctx.row.set(upstream_status=error.status)
    if fault.spec.code == faults.LLM_PROVIDER_ERROR.code:
        _keep(ctx, planned, ERROR, fault.status, 0, 0)
        proxy_operations.commit(ctx.world, ctx.act, planned.operation_id, None, fault.code)
    else:
        sent = fault.code != faults.LLM_UNSCRIPTED.code
        proxy_operations.release(ctx.world, planned.operation_id, fault.code, sent=sent)
    return Refused(fault)


def _fault(planned: _Planned, error: Exception) -> Fault:
    if not isinstance(error, ModelRefused):
        _log.error("a call of the model failed with %s", type(error).__name__)
        message = "The emulator failed inside the LLM gateway after the call was sent; its outcome is unknown"
        return Fault(faults.INTERNAL_ERROR, message)
    if error.type == "unscripted":
        return Fault(faults.LLM_UNSCRIPTED, reason=error.message)
    if not error.status:
        return Fault(faults.UPSTREAM_UNREACHABLE, host=planned.provider, reason=error.message)
    spec = FaultSpec(faults.LLM_PROVIDER_ERROR.code, error.status, "", faults.LLM_PROVIDER_ERROR.outcome)
    message = faults.LLM_PROVIDER_ERROR.template.format(
        provider=planned.provider, status=error.status, reason=error.message
    )
    fault = Injected(spec, message, {"headers": error.headers})
    fault.details = {"provider": planned.provider, "provider_status": error.status, "type": error.type}
    if error.body is not None:
        fault.details["body"] = error.body
    return fault
