"""The credential proxy: a call to a service with a credential the caller never sees.

``POST /v1/proxy`` answers HTTP 200 with an envelope of the upstream's status, headers and body whatever the upstream
said (sdk 4.0.0 ``proxy.request``). The URL's host chooses the upstream, ``service`` chooses the credential; when they
do not belong together the call goes out all the same, and the row and the journal say where the credential went.

A revocation is seen here after the world's propagation time, unless the passport itself is the bearer: then it is
refused at the door, like everywhere else.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from stack_emu.domain import faults, injection, proxy_checks, proxy_operations, scope_drift
from stack_emu.domain.authentication import ANY_BEARER
from stack_emu.domain.intent_approvals import PROXY, require_approval
from stack_emu.domain.issuance import presented
from stack_emu.domain.proxy_checks import Access, Principal
from stack_emu.domain.proxy_injection import (
    Draft,
    Scrubber,
    callers_headers,
    envelope,
    fill_placeholders,
    inject,
    target_of,
)
from stack_emu.domain.state import Passport
from stack_emu.kernel.canonical import digest
from stack_emu.kernel.dispatch import Context, Pending, Refused
from stack_emu.kernel.errors import Fault, FaultSpec
from stack_emu.kernel.faults import Names
from stack_emu.kernel.near_words import close_matches
from stack_emu.kernel.operations import TOKEN, VOLATILE, Audit, Auth, Command, Reply, Rest, Tool, operation, written_as
from stack_emu.upstreams.errors import (
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamTooLarge,
    UpstreamUnreachable,
)
from stack_emu.upstreams.requests import UpstreamReply, UpstreamRequest

TIMEOUT_S = 30
MAX_REPLY_BYTES = 10 * 1024 * 1024
WITH_BODY = ("POST", "PUT", "PATCH")

_log = logging.getLogger("stack_emu")

QueryValue = str | int | float | bool


class ProxyRequest(Command):
    """The call to make."""

    service: str = Field(
        min_length=1,
        description="Whose credential to use: a provider such as slack, or a connection id when several share one",
    )
    url: str = Field(
        min_length=1,
        max_length=8192,
        json_schema_extra=written_as(pattern=r"^https?://[a-z0-9-]+(\.[a-z0-9-]+)*(:[1-9][0-9]{0,3})?(/[!-~]*)?$"),
        description="Absolute URL; {{instance_url}} and {{account_id}} stand for what the connection knows",
    )
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = Field("GET", description="HTTP method")
    headers: dict[str, str] | None = Field(None, description="Further headers; authentication headers are dropped")
    body: Any = Field(None, description="Body for POST, PUT and PATCH: JSON data, or text that is sent as it is")
    query: dict[str, QueryValue | list[QueryValue]] | None = Field(
        None, description="Query parameters added to those of the URL"
    )
    passport_token: Annotated[str | None, TOKEN] = Field(
        None, description="Passport to act under; needed with an agent's own credential, optional with an account's"
    )
    intent_approval_id: str | None = Field(
        None, max_length=256, description="Approved intent (iap_…); an enforced passport's write needs one"
    )
    authority_request_id: Annotated[str | None, VOLATILE] = Field(
        None,
        pattern=r"^[A-Za-z0-9_-]{22,256}$",
        description="Id under which an unchanged retry gets the recorded response instead of a second call",
    )

    @field_validator("url")
    @classmethod
    def _absolute(cls, url: str) -> str:
        if not url.lower().startswith(("http://", "https://", "{{")):
            raise ValueError("must be an absolute http or https URL")
        return url


class ProxyEnvelope(Reply):
    """What the upstream answered."""

    status: int = Field(description="The upstream's HTTP status")
    headers: dict[str, str] = Field(description="Its headers, names in lower case")
    body: Any = Field(None, description="Its body: JSON data, text, or {base64, content_type} for other bytes")


@dataclass(frozen=True)
class _Planned:
    """A call that passed the checks, ready to go out."""

    operation_id: str
    upstream: str
    request: UpstreamRequest
    scrubber: Scrubber
    found: Access


@operation(
    "proxy.request",
    rest=Rest(
        "POST",
        "/v1/proxy",
        headers={
            "X-Passport-Token": "passport_token",
            "X-Intent-Approval-Id": "intent_approval_id",
            "X-STACK-Authority-Request-Id": "authority_request_id",
        },
    ),
    tool=Tool("stack_proxy_request", hidden=("authority_request_id",)),
    auth=Auth(bearers=ANY_BEARER, scope="proxy:write", role="standard"),
    audit=Audit("credential.proxy", layer="vault"),
    presents=presented("passport_token"),
    source="sdk 4.0.0 proxy.request; docs/concepts/proxy (checks, limits); docs/api/proxy",
    grade="documented",
)
def proxy_request(ctx: Context, command: ProxyRequest) -> ProxyEnvelope | Pending[UpstreamReply] | Refused:
    """Call a service through the credential proxy; the upstream's status, headers and body come back in an envelope.

    A write under an enforced passport needs an approved intent, which it uses up.

    Raises:
        Fault: UNAUTHORIZED, PASSPORT_EXPIRED, PASSPORT_REVOKED, PASSPORT_BLOCKED, MISSION_ENDED, TIER_LIMIT_EXCEEDED,
            INTENT_APPROVAL_REQUIRED,
            MISSION_LIMIT_EXCEEDED, FORBIDDEN for a service outside the passport or a constraint that fails, CONFLICT,
            INVALID_REQUEST; UPSTREAM_TIMEOUT, UPSTREAM_UNREACHABLE or RESPONSE_TOO_LARGE when no answer came.
    """
    _check_body(command)
    ctx.row.set(service=command.service, method=command.method, approval=command.intent_approval_id)
    ctx.row.set(authority_request=command.authority_request_id)
    who = proxy_checks.principal(ctx, command.passport_token)
    if isinstance(who, Refused):
        return who
    fingerprint = _fingerprint(command)
    earlier = proxy_operations.previous(ctx, who, command.authority_request_id)
    if earlier is None:
        proxy_checks.check_room(ctx)
        proxy_checks.check_caps(ctx, who.mission, command.service)
    found = proxy_checks.access(ctx, who, command.service)
    if isinstance(found, Refused):
        return found
    draft = _checked_draft(ctx, command, found)
    if earlier is not None:
        recorded = proxy_operations.replay(ctx, earlier, fingerprint)
        if recorded is not None:
            return _replayed(ctx, recorded)
        proxy_checks.check_room(ctx)
        proxy_checks.check_caps(ctx, who.mission, command.service)
    _require_intent(ctx, command, who, found, draft)
    return _send(ctx, command, who, found, draft, fingerprint)


def _check_body(command: ProxyRequest) -> None:
    if command.body is not None and command.method not in WITH_BODY:
        problem = f"body: {command.method} sends no body; use {', '.join(WITH_BODY)}, or put the values into query"
        raise Fault(faults.INVALID_REQUEST, problem=problem, details={"fields": {"body": problem}})


def _fingerprint(command: ProxyRequest) -> str:
    asked = command.model_dump(mode="json", include={"service", "url", "method", "headers", "body", "query"})
    return digest(asked)


def _checked_draft(ctx: Context, command: ProxyRequest, found: Access) -> Draft:
    """Checks 4 to 6. Constraints see the URL with its placeholders filled in, where the connection can fill them."""
    missing: Fault | None = None
    url = command.url
    try:
        url = fill_placeholders(command.url, found.connection)
    except Fault as fault:
        missing = fault
    headers = callers_headers(command.headers)
    if missing is not None:
        proxy_checks.check_credential(ctx, found.connection)
        raise missing
    draft = Draft(command.method, target_of(url, command.query), headers, command.body)
    proxy_checks.check_constraints(found, draft.constrained())
    proxy_checks.check_credential(ctx, found.connection)
    return draft


def _require_intent(ctx: Context, command: ProxyRequest, who: Principal, found: Access, draft: Draft) -> None:
    """The last check: an enforced passport's write is one that a human approved."""
    if command.method == "GET":
        return
    call = {
        "service": (found.connection.provider, found.connection.id),
        "method": command.method,
        "url": draft.target.url,
        "body": command.body,
        "query": command.query,
    }
    require_approval(ctx, who.passport, command.intent_approval_id, kind=PROXY, call=call)


def _replayed(ctx: Context, recorded: Mapping[str, Any]) -> ProxyEnvelope:
    ctx.row.set(replayed=True, upstream_status=recorded["status"])
    _judge(ctx, int(recorded["status"]))
    return ProxyEnvelope(**recorded)


def _send(
    ctx: Context, command: ProxyRequest, who: Principal, found: Access, draft: Draft, fingerprint: str
) -> ProxyEnvelope | Pending[UpstreamReply]:
    operation_id = proxy_operations.reserve(
        ctx,
        who,
        found.connection.provider,
        command.method,
        connection_id=found.connection.id,
        request_id=command.authority_request_id,
        fingerprint=fingerprint,
    )
    upstreams: Any = ctx.world.settings.get("upstreams")
    owner = upstreams.host_owner(draft.target.host, draft.target.port) if upstreams is not None else None
    ctx.row.set(host=draft.target.host, upstream=owner)
    if owner is None:
        return _not_emulated(ctx, operation_id, draft, upstreams.hosts if upstreams is not None else [])
    if who.passport is not None:
        at_home = owner == found.connection.upstream
        scope_drift.watch(ctx, who.passport, found.connection, command.method, draft.target.host, at_home=at_home)
        _look_for_injection(ctx, who.passport, command)
    if owner != found.connection.upstream:
        ctx.row.set(leak=f"credential of {found.connection.id} sent to {draft.target.host}")
    request, scrubber = inject(draft, found.connection)
    planned = _Planned(operation_id, owner, request, scrubber, found)
    connection = found.connection
    about: dict[str, Names] = {"operation": "proxy.request", "service": (connection.provider, connection.id)}
    if who.agent is not None:
        about["agent"] = (who.agent.id, who.agent.name)

    async def exchange() -> UpstreamReply:
        reply: UpstreamReply = await upstreams.call(
            ctx.world, ctx.act, owner, request, lane=ctx.lane, about=about, scopes=found.effective
        )
        return reply

    return Pending(io=exchange, settle=lambda context, result: _settle(context, planned, result))


def _look_for_injection(ctx: Context, passport: Passport, command: ProxyRequest) -> None:
    """Hold the body against the patterns of ``/v1/scan``, as STACK's proxy does; the call goes out all the same."""
    match = injection.inspect(ctx.world, passport.operator_id, command.body) if command.body is not None else None
    if match is not None:
        injection.raise_signal(ctx, passport, match, f"a call to {command.service}", service=command.service)


def _settle(ctx: Context, planned: _Planned, result: UpstreamReply | Exception) -> ProxyEnvelope | Refused:
    ctx.row.duration_ms = ctx.world.now_ms() - ctx.act.now_ms
    if isinstance(result, Exception):
        return _failed(ctx, planned, result)
    data = envelope(result, planned.scrubber)
    ctx.row.set(upstream_status=result.status, scrubbed=True if planned.scrubber.found else None)
    _judge(ctx, result.status)
    proxy_operations.commit(ctx.world, ctx.act, planned.operation_id, data)
    return ProxyEnvelope(**data)


def _judge(ctx: Context, status: int) -> None:
    if status >= 400:
        ctx.row.outcome = "failure"


def _failed(ctx: Context, planned: _Planned, error: Exception) -> Refused:
    """The refusal for a call that got no answer; its reservation is given back unless the upstream did answer."""
    fault = _fault(ctx, planned, error)
    if isinstance(error, UpstreamTooLarge):
        proxy_operations.commit(ctx.world, ctx.act, planned.operation_id, None, fault.code)
    else:
        sent = not isinstance(error, UpstreamRefused)
        proxy_operations.release(ctx.world, planned.operation_id, fault.code, sent=sent)
    return Refused(fault)


def _fault(ctx: Context, planned: _Planned, error: Exception) -> Fault:
    host = planned.request.host
    if isinstance(error, UpstreamTimeout):
        return Fault(faults.UPSTREAM_TIMEOUT, host=host, seconds=TIMEOUT_S)
    if isinstance(error, UpstreamTooLarge):
        return Fault(faults.RESPONSE_TOO_LARGE, host=host, limit=MAX_REPLY_BYTES)
    if isinstance(error, UpstreamUnreachable):
        return Fault(faults.UPSTREAM_UNREACHABLE, host=host, reason=ctx.world.redactor.text(str(error)))
    if isinstance(error, UpstreamRefused):
        catalogue: Mapping[str, FaultSpec] = ctx.world.settings.get("fault_catalogue", {})
        known = catalogue.get(error.code)
        spec = FaultSpec(error.code, known.status if known is not None else 500, "", "failure")
        message = error.message or f"Injected by a fault rule of the scenario: {error.code}"
        return Fault(spec, message, details={"injected": True})
    # Messages of unforeseen errors may quote the request, so only the kind is kept.
    _log.error("a call to the upstream %s failed with %s", planned.upstream, type(error).__name__)
    message = "The emulator failed inside proxy.request after the call was sent; its outcome is unknown"
    return Fault(faults.INTERNAL_ERROR, message)


def _not_emulated(ctx: Context, operation_id: str, draft: Draft, hosts: list[str]) -> ProxyEnvelope:
    """The 501 envelope for a host no upstream answers for; nothing is sent, and a strict run fails."""
    host = draft.target.host
    near = close_matches(host, hosts, 1)
    listed = ", ".join(hosts) or "none"
    hint = f"the nearest is {near[0]}" if near else f"the hosts are: {listed}"
    message = f"No upstream of this scenario answers for {host}; {hint}. Add {host} to the hosts of an upstream."
    details = {"host": host, "nearest": near[0] if near else None, "hosts": hosts}
    body = {"error": {"code": faults.NOT_EMULATED.code, "message": message, "details": details}}
    world = ctx.world
    path = draft.target.url.partition("://")[2].partition("/")[2]
    entry = world.journal.add(
        world.now_ms(),
        "upstream",
        draft.method,
        f"/{path}",
        lane=ctx.lane,
        operation="proxy.request",
        request={"host": host},
    )
    entry.status = 501
    world.journal.explain(entry, message, "unmatched")
    ctx.row.set(upstream_status=501)
    ctx.row.error_code = faults.NOT_EMULATED.code
    _judge(ctx, 501)
    proxy_operations.release(world, operation_id, faults.NOT_EMULATED.code, sent=False)
    return ProxyEnvelope(status=501, headers={"content-type": "application/json"}, body=body)
