"""Proxy operations: what was reserved for a proxied call, how far it got, and what is left to read of it afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from stack_emu.domain import authority_use, faults, meters, tiers
from stack_emu.domain.authentication import ACCOUNT, AGENT, ANY_BEARER, live_passport
from stack_emu.domain.issuance import presented
from stack_emu.domain.proxy_checks import Principal
from stack_emu.domain.state import Mission, Passport, ProxyOperation
from stack_emu.kernel.acts import Act, RowDraft
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import TOKEN, Auth, Command, Reply, Rest, Tool, operation
from stack_emu.kernel.store import replace
from stack_emu.kernel.world import World

ADMITTED, DISPATCHING, RECEIVED, UNKNOWN = "admitted", "dispatching", "response_received", "outcome_unknown"
RESERVED, COMMITTED, RELEASED = "reserved", "committed", "released"
REPLAY_MS = 24 * 3_600_000
"""How long a recorded response is handed out again; invented, the page gives no figure."""

INTERRUPTED = "INTERRUPTED"
"""Error code of a call whose outcome was lost because the emulator ended while it was under way."""


def reserve(
    ctx: Context,
    who: Principal,
    provider: str,
    method: str,
    *,
    connection_id: str,
    request_id: str | None,
    fingerprint: str,
    meter: str = meters.PROXY_CALLS,
) -> str:
    """Begin an operation: one call of the month and one action of the mission are set aside. Returns its id.

    Args:
        ctx: the call.
        who: for whom.
        provider: the service that is called.
        method: HTTP method of the proxied request.
        connection_id: whose credential is used; empty when it is STACK's own.
        request_id: the client's authority request id.
        fingerprint: digest of what is asked, by which an unchanged retry is known.
        meter: what the call counts as.
    """
    made = ProxyOperation(
        id=ctx.act.new_id("proxy_operation", "pxo_"),
        operator_id=ctx.operator_id,
        passport_id=who.passport.id if who.passport is not None else "",
        request_id=request_id,
        provider=provider,
        connection_id=connection_id,
        method=method,
        created_at=ctx.stamp_ms,
        dispatched_at=ctx.stamp_ms,
        begun_at=ctx.now_ms,
        delivery_state=DISPATCHING,
        accounting_state=RESERVED,
        fingerprint=fingerprint,
        agent_id=who.agent.id if who.agent is not None else None,
        mission_id=who.mission.id if who.mission is not None else None,
        lane=ctx.lane,
        meter=meter,
    )
    ctx.world.store.put(made)
    _count(ctx.world, made, 1)
    if who.mission is not None:
        ctx.world.store.put(replace(who.mission, reserved=who.mission.reserved + 1))
    return made.id


def commit(
    world: World, act: Act, operation_id: str, response: Mapping[str, Any] | None, error: str | None = None
) -> None:
    """Settle an operation whose upstream answered: the call and the action count.

    Args:
        world: the world.
        act: the settling act.
        operation_id: which.
        response: the envelope the caller gets; kept when the call had an authority request id.
        error: code of the refusal the caller gets instead.
    """
    made = _open(world, operation_id)
    world.store.put(
        replace(
            made,
            delivery_state=RECEIVED,
            accounting_state=COMMITTED,
            response_received_at=act.stamp_ms + world.now_ms() - act.now_ms,
            answered_at=world.now_ms(),
            response=response if made.request_id is not None else None,
            error_code=error,
        )
    )
    _end_action(world, made, used=1)
    authority_use.note_use(world, act, made)


def release(world: World, operation_id: str, error: str, *, sent: bool = True) -> None:
    """Settle an operation that got no answer: what was set aside is given back.

    Args:
        world: the world.
        operation_id: which.
        error: code of what happened.
        sent: whether it may have reached the upstream, so that its outcome is unknown; else it stays ``admitted``.
    """
    made = _open(world, operation_id)
    state = UNKNOWN if sent else ADMITTED
    dispatched = made.dispatched_at if sent else None
    done = replace(made, delivery_state=state, accounting_state=RELEASED, dispatched_at=dispatched, error_code=error)
    world.store.put(done)
    _count(world, made, -1)
    _end_action(world, made, used=0)


def _open(world: World, operation_id: str) -> ProxyOperation:
    made = world.store.get(ProxyOperation, operation_id)
    assert made is not None, "operations are never deleted"
    return made


def _count(world: World, made: ProxyOperation, delta: int) -> None:
    begun_at = made.created_at if made.begun_at is None else made.begun_at
    meters.add(world, made.operator_id, made.meter, begun_at, delta)


def _end_action(world: World, made: ProxyOperation, used: int) -> None:
    mission = world.store.get(Mission, made.mission_id) if made.mission_id is not None else None
    if mission is None:
        return
    per_service = dict(mission.actions_per_service)
    if used:
        per_service[made.provider] = per_service.get(made.provider, 0) + used
    reserved = max(0, mission.reserved - 1)
    done = replace(mission, reserved=reserved, actions=mission.actions + used, actions_per_service=per_service)
    world.store.put(done)


def previous(ctx: Context, who: Principal, request_id: str | None) -> ProxyOperation | None:
    """The latest operation the same agent (or the account itself) made with this authority request id."""
    if request_id is None:
        return None
    agent_id = who.agent.id if who.agent is not None else None
    mine = ctx.world.store.find(ProxyOperation, request_id=request_id, operator_id=ctx.operator_id, agent_id=agent_id)
    return next(iter(sorted(mine, key=lambda made: made.created_at)[-1:]), None)


def replay(ctx: Context, made: ProxyOperation, fingerprint: str) -> Mapping[str, Any] | None:
    """The recorded envelope for an unchanged retry; None when nothing was ever sent and the call can go out again.

    Raises:
        Fault: CONFLICT when the id was used for another request, is still under way, or its outcome is unknown.
    """
    if made.fingerprint != fingerprint:
        raise _conflict(made, "was used for another request; make a new id for each request")
    if made.delivery_state == DISPATCHING:
        raise _conflict(made, "is still under way; read it with POST /v1/proxy/operations/get")
    if made.response is not None and _replay_state(ctx, made) == "available":
        return made.response
    if made.delivery_state == ADMITTED:
        return None
    problem = "has no response on record and may have taken effect; look at the service before sending it with a new id"
    raise _conflict(made, problem)


def _conflict(made: ProxyOperation, problem: str) -> Fault:
    details = {"operation_id": made.request_id, "delivery_state": made.delivery_state}
    return Fault(faults.CONFLICT, problem=f"Operation {made.request_id} {problem}", details=details)


def _replay_state(ctx: Context, made: ProxyOperation) -> str:
    answered_at = made.response_received_at if made.answered_at is None else made.answered_at
    if made.response is None or answered_at is None:
        return "none"
    return "available" if ctx.now_ms < answered_at + REPLAY_MS else "expired"


def recover(world: World) -> int:
    """Settle what was under way when the emulator ended: outcomes are unknown, reservations are given back.

    For every such operation the row its act still owed is written. To be called once a stored world has been loaded.

    Returns:
        How many there were.
    """
    lost = sorted(world.store.find(ProxyOperation, delivery_state=DISPATCHING), key=lambda made: made.id)
    for made in lost:
        action = "llm.call" if made.meter == meters.LLM_CALLS else "credential.proxy"
        row = RowDraft(action, "vault", outcome="failure", error_code=INTERRUPTED)
        row.set(agent_id=made.agent_id, passport_jti=made.passport_id or None, mission=made.mission_id)
        row.set(service=made.provider, connection=made.connection_id or None, subject=made.id)
        row.error_message = "The emulator ended while this call was under way; its outcome is unknown"
        act = world.begin_act("proxy.recover", made.operator_id, made.lane, {"operation": made.id}, row)
        with world.transaction(act):
            release(world, made.id, INTERRUPTED)
    return len(lost)


class GetProxyOperation(Command):
    """Which operation to read."""

    operation_id: str = Field(description="Authority request id the call was sent with, or the operation's id (pxo_…)")
    include_response: bool = Field(False, description="Whether to return the recorded response as well")
    passport_token: Annotated[str | None, TOKEN] = Field(
        None, description="Passport of the agent that made the call; not needed with a passport as the bearer"
    )


class ProxyOperationReply(Reply):
    """How far a proxied call got."""

    operation_id: str
    delivery_state: str
    replay_state: str
    accounting_state: str
    provider: str
    method: str
    created_at: str
    dispatched_at: str | None
    response_received_at: str | None
    provider_outcome: str
    provider_status: str | None
    response: dict[str, Any] | None = None


@operation(
    "proxy.get_operation",
    rest=Rest("POST", "/v1/proxy/operations/get", headers={"X-Passport-Token": "passport_token"}),
    tool=Tool("stack_get_proxy_operation", read_only=True),
    auth=Auth(bearers=ANY_BEARER, scope="proxy:read"),
    presents=presented("passport_token"),
    source="sdk 4.0.0 proxy.get_operation",
    grade="sdk-implied",
)
def get_proxy_operation(ctx: Context, command: GetProxyOperation) -> ProxyOperationReply:
    """Read how far a proxied call got, and on request its recorded response.

    An agent sees its own operations. An account without a passport sees all of its own.

    Raises:
        Fault: UNAUTHORIZED without a passport where one is needed, NOT_FOUND.
    """
    agent_id = _reader(ctx, command.passport_token)
    named = (
        *ctx.world.store.find(ProxyOperation, request_id=command.operation_id),
        *filter(None, (ctx.world.store.get(ProxyOperation, command.operation_id),)),
    )
    allowed = ctx.caller.allowed_connections
    mine = [
        made
        for made in named
        if made.operator_id == ctx.operator_id
        and agent_id in (None, made.agent_id)
        and (allowed is None or made.connection_id in allowed or _is_callers(ctx, made))
    ]
    if not mine:
        raise Fault(faults.NOT_FOUND, what="Proxy operation", id=command.operation_id)
    return _operation_reply(ctx, sorted(mine, key=lambda made: made.created_at)[-1], command)


def _is_callers(ctx: Context, made: ProxyOperation) -> bool:
    """Whether a call with STACK's own credential is one the calling agent made."""
    return not made.connection_id and ctx.caller.agent_id is not None and made.agent_id == ctx.caller.agent_id


def _reader(ctx: Context, token: str | None) -> str | None:
    """The agent whose operations may be read; None is the whole account's."""
    passport: Passport | None = live_passport(ctx.world, token) if token is not None else None
    if passport is not None:
        if passport.operator_id != ctx.operator_id or ctx.caller.agent_id not in (None, passport.agent_id):
            raise Fault(faults.FORBIDDEN, reason=f"Passport {passport.id} is not one of this caller; present its own")
        return passport.agent_id
    if ctx.caller.kind == AGENT:
        raise Fault(faults.UNAUTHORIZED, hint="An agent JWT reads operations with a passport in X-Passport-Token.")
    return ctx.caller.agent_id


def _operation_reply(ctx: Context, made: ProxyOperation, command: GetProxyOperation) -> ProxyOperationReply:
    replay_state = _replay_state(ctx, made)
    shown = command.include_response and replay_state == "available" and made.response is not None
    return ProxyOperationReply(
        operation_id=made.request_id or made.id,
        delivery_state=made.delivery_state,
        replay_state=replay_state,
        accounting_state=made.accounting_state,
        provider=made.provider,
        method=made.method,
        created_at=iso(made.created_at),
        dispatched_at=_iso(made.dispatched_at),
        response_received_at=_iso(made.response_received_at),
        provider_outcome="not_required",
        provider_status=None,
        response=dict(made.response) if shown and made.response is not None else None,
    )


def _iso(at_ms: int | None) -> str | None:
    return None if at_ms is None else iso(at_ms)


class ProxyUsageReply(Reply):
    """Proxied calls of this month. ``limit`` and ``remaining`` are null where the tier has no limit."""

    tier: str
    limit: int | None
    used: int
    remaining: int | None
    period: str


@operation(
    "proxy.usage",
    rest=Rest("GET", "/v1/proxy/usage"),
    tool=Tool("stack_get_proxy_usage", read_only=True),
    auth=Auth(bearers=ACCOUNT, scope="proxy:read"),
    source="sdk 4.0.0 proxy.usage; limits of free and studio from the product page, developer invented",
    grade="documented",
)
def proxy_usage(ctx: Context, command: Command) -> ProxyUsageReply:
    """Read how many proxied calls the account made this month and how many are left."""
    limit = meters.limit_of(ctx.world, ctx.operator_id, meters.PROXY_CALLS)
    used = meters.used(ctx.world, ctx.operator_id, meters.PROXY_CALLS)
    return ProxyUsageReply(
        tier=tiers.tier_of(ctx.world, ctx.operator_id),
        limit=limit,
        used=used,
        remaining=None if limit is None else max(0, limit - used),
        period=meters.period_of(ctx.now_ms),
    )
