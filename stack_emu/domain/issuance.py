"""Making passports: what they may hold, how long they live, and the token that carries them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stack_emu.domain import authority_use, faults, meters
from stack_emu.domain.constraints import as_json
from stack_emu.domain.identity_records import counting, require_met, token_claims
from stack_emu.domain.state import Agent, Connection, JsonObject, Mission, Passport, ServiceScope
from stack_emu.domain.tokens import ISSUER, PASSPORT_AUDIENCE, TokenError, signer
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.ids import text_id
from stack_emu.kernel.operations import Caller, Reply
from stack_emu.kernel.world import Timer, World

DEFAULT_TTL_SECONDS = 900
DEFAULT_INTERVAL_SECONDS = 300
SILENCE = "checkpoint.silence"
"""Kind of the timer that fires when an enforced passport reaches its deadline without a checkpoint."""
MODE_RANK = {"standard": 0, "logged": 1, "enforced": 2}


class PassportReply(Reply):
    """A passport as it is handed out."""

    token: str
    jti: str
    id: str
    expires_at: str
    accountability: str
    agent_id: str
    session_id: str
    mission_id: str | None
    parent_passport_id: str | None


@dataclass(frozen=True)
class Draft:
    """What a new passport shall be.

    Args:
        agent: who holds it.
        accountability: mode it is in.
        services: what it may use.
        mission: the mission it is bound to, or None.
        intent: ``summary``, ``services``, ``will_delegate``; None without an intent.
        ttl_seconds: life asked for; an enforced passport lives no longer than its checkpoint interval.
        interval_seconds: checkpoint interval, or None.
        not_after_ms: an instant it must not outlive, besides its mission's end.
        parent: the passport it is delegated from, or None.
        refreshed_from: the passport it replaces, or None; session and parent are that one's.
        authority_binding_ids: bindings the token refers to; they were checked before.
        identity_claim_ids: the identity claims it carries; those that ended are left out.
    """

    agent: Agent
    accountability: str
    services: tuple[ServiceScope, ...]
    mission: Mission | None
    intent: JsonObject | None
    ttl_seconds: int = DEFAULT_TTL_SECONDS
    interval_seconds: int | None = None
    not_after_ms: int | None = None
    parent: Passport | None = None
    refreshed_from: Passport | None = None
    session_id: str | None = None
    authority_binding_ids: tuple[str, ...] = ()
    identity_claim_ids: tuple[str, ...] = ()


def whole_seconds(ms: int) -> int:
    """``ms`` cut to a whole second: ``iat`` and ``exp`` are integers, and ``iat`` is never in the future."""
    return ms // 1000 * 1000


def mint(ctx: Context, draft: Draft) -> Passport:
    """Make a passport, count and keep it, and arm what happens when an enforced one falls silent.

    Raises:
        Fault: TIER_LIMIT_EXCEEDED when the month has none left, MISSION_ENDED when the mission expires within this second,
            IDENTITY_REQUIREMENTS_NOT_MET when a service asks for claims it would not carry.
    """
    issued = whole_seconds(ctx.now_ms)
    enforced = draft.accountability == "enforced"
    interval = draft.interval_seconds or (DEFAULT_INTERVAL_SECONDS if enforced else None)
    ttl = min(draft.ttl_seconds, interval) if enforced and interval is not None else draft.ttl_seconds
    expires = min(issued + ttl * 1000, *(whole_seconds(limit) for limit in _limits(draft)))
    if expires <= issued:
        raise Fault(faults.MISSION_EXPIRED, mission_id=draft.mission.id if draft.mission else "")
    claim_ids = tuple(claim.id for claim in counting(ctx.world, draft.identity_claim_ids))
    services = {scope.connection_id: _catalogue_id(ctx.world, scope) for scope in draft.services}
    require_met(ctx.world, draft.agent.operator_id, services, claim_ids, "The passport")
    meters.check(ctx, meters.PASSPORTS)
    meters.count(ctx, meters.PASSPORTS)
    kin = draft.parent or draft.refreshed_from
    previous = draft.refreshed_from
    passport = Passport(
        id=ctx.act.new_id("passport", "pp_"),
        operator_id=draft.agent.operator_id,
        agent_id=draft.agent.id,
        session_id=draft.session_id or (kin.session_id if kin else ctx.act.new_id("session", "ses_")),
        services=draft.services,
        accountability=draft.accountability,
        issued_at=issued,
        expires_at=expires,
        ttl_seconds=(expires - issued) // 1000,
        mission_id=draft.mission.id if draft.mission else None,
        parent_id=draft.parent.id if draft.parent else (previous.parent_id if previous else None),
        depth=draft.parent.depth + 1 if draft.parent else (previous.depth if previous else 0),
        intent=draft.intent,
        checkpoint_interval_seconds=interval,
        will_delegate=bool(draft.intent and draft.intent.get("will_delegate")),
        authority_binding_ids=draft.authority_binding_ids,
        identity_claim_ids=claim_ids,
        refreshed_from=previous.id if previous else None,
    )
    ctx.world.store.put(passport)
    authority_use.present(ctx, passport)
    arm_silence(ctx.world, passport, ctx.act.lane)
    return passport


def _limits(draft: Draft) -> list[int]:
    limits = [draft.mission.expires_at] if draft.mission is not None else []
    if draft.not_after_ms is not None:
        limits.append(draft.not_after_ms)
    # A passport that nothing bounds is bounded by its own life, which min() needs a second value for.
    return limits or [2**62]


def arm_silence(world: World, passport: Passport, lane: str) -> None:
    """Arm (or move) the timer that raises ``checkpoint_silence`` at the passport's deadline.

    Only enforced passports have one, and only when it is a missed checkpoint that ends them, not their mission.

    Args:
        world: the world.
        passport: the passport, with the deadline in ``expires_at``.
        lane: lane of the rows the timer leaves.
    """
    if passport.accountability != "enforced":
        return
    mission = world.store.get(Mission, passport.mission_id) if passport.mission_id else None
    if mission is not None and whole_seconds(mission.expires_at) <= passport.expires_at:
        world.disarm(f"{SILENCE}/{passport.id}")
        return
    payload = {"jti": passport.id}
    world.arm(Timer(f"{SILENCE}/{passport.id}", passport.expires_at, SILENCE, lane, passport.operator_id, payload))


def token_for(world: World, passport: Passport) -> str:
    """The passport's token: a JWT that expires when the passport does as it stands now."""
    return signer(world).sign(claims(world, passport))


def claims(world: World, passport: Passport) -> dict[str, Any]:
    """The claims of a passport as SDK 4.0.0 reads and verifies them (types.py, verify_offline.py, passports.py)."""
    agent = world.store.get(Agent, passport.agent_id)
    stack: dict[str, Any] = {
        "operator_id": passport.operator_id,
        "agent_id": passport.agent_id,
        "agent_name": agent.name if agent is not None else passport.agent_id,
        "services": [_service_claim(world, scope) for scope in passport.services],
        "identity_claims": token_claims(world, passport.identity_claim_ids),
        "delegation_depth": passport.depth,
        "session_id": passport.session_id,
        "accountability": passport.accountability,
    }
    if passport.intent is not None:
        stack["intent_summary"] = passport.intent_summary or ""
        stack["intent_services"] = list(passport.intent_services)
    if passport.checkpoint_interval_seconds is not None:
        stack["checkpoint_interval"] = passport.checkpoint_interval_seconds
    if passport.parent_id is not None:
        stack["parent_passport_id"] = passport.parent_id
    if passport.authority_binding_ids:
        stack["authority_refs"] = authority_use.refs(world, passport.authority_binding_ids)
    if passport.mission_id is not None:
        stack["mission_ids"] = [passport.mission_id]
    return {
        "iss": ISSUER,
        "aud": PASSPORT_AUDIENCE,
        "sub": passport.agent_id,
        "jti": passport.id,
        "iat": passport.issued_at // 1000,
        "exp": passport.expires_at // 1000,
        "stk": stack,
    }


def _service_claim(world: World, scope: ServiceScope) -> dict[str, Any]:
    reference = text_id(world.key_bytes("credential-reference", scope.connection_id))
    claim = scope_json(scope)
    claim["service_id"] = _catalogue_id(world, scope)
    claim["credential_ref"] = f"cred_ref_{reference}"
    return claim


def _catalogue_id(world: World, scope: ServiceScope) -> str:
    connection = world.store.get(Connection, scope.connection_id)
    return connection.service_id if connection is not None else f"svc_{scope.service_name}"


def scope_json(scope: ServiceScope) -> dict[str, Any]:
    """What a passport may do with one connection, as JSON; empty parts are left out."""
    data: dict[str, Any] = {
        "service_name": scope.service_name,
        "connection_id": scope.connection_id,
        "scopes": list(scope.scopes),
    }
    if scope.constraints:
        data["constraints"] = [as_json(constraint) for constraint in scope.constraints]
    if scope.intents:
        data["intents"] = list(scope.intents)
    if scope.allow_data_from is not None:
        data["allow_data_from"] = list(scope.allow_data_from)
    return data


def passport_reply(world: World, passport: Passport) -> PassportReply:
    """A passport with its token, as ``issue``, ``refresh`` and ``delegate`` answer.

    ``id`` repeats the jti for readers of the vendor's page, which names it so.
    """
    return PassportReply(
        token=token_for(world, passport),
        jti=passport.id,
        id=passport.id,
        expires_at=iso(passport.expires_at),
        accountability=passport.accountability,
        agent_id=passport.agent_id,
        session_id=passport.session_id,
        mission_id=passport.mission_id,
        parent_passport_id=passport.parent_id,
    )


def describe(passport: Passport) -> dict[str, Any]:
    """What an audit row says of a passport: mission, intent summary, services and their scopes."""
    return {
        "mission": passport.mission_id,
        "intent": passport.intent_summary,
        "services": list(dict.fromkeys(scope.service_name for scope in passport.services)),
        "scopes": [f"{scope.service_name}:{name}" for scope in passport.services for name in scope.scopes],
    }


def require_holder(agent: Agent) -> None:
    """Refuse agents that may hold no passports.

    Raises:
        Fault: PASSPORT_BLOCKED after a review or a signal blocked the agent, FORBIDDEN when it is not active.
    """
    if agent.passport_blocked:
        raise Fault(faults.PASSPORT_BLOCKED, agent_id=agent.id, reason=agent.passport_blocked_reason or "blocked")
    if agent.status != "active":
        raise Fault(
            faults.FORBIDDEN, reason=f"Agent {agent.id} is {agent.status}; activate it before it gets passports"
        )


def require_passport(world: World, operator_id: str, jti: str) -> Passport:
    """The operator's passport, whatever its state.

    Raises:
        Fault: NOT_FOUND when there is none, or it is another operator's.
    """
    passport = world.store.get(Passport, jti)
    if passport is None or passport.operator_id != operator_id:
        raise Fault(faults.NOT_FOUND, what="Passport", id=jti)
    return passport


def is_visible(caller: Caller, passport: Passport) -> bool:
    """Whether a caller's limits let it see a passport of its account.

    A passport sees itself, an agent its own; a member limited to connections sees passports that use no others.
    """
    if caller.passport_jti is not None:
        return passport.id == caller.passport_jti
    if caller.agent_id is not None:
        return passport.agent_id == caller.agent_id
    allowed = caller.allowed_connections
    return allowed is None or all(scope.connection_id in allowed for scope in passport.services)


def require_visible(ctx: Context, jti: str) -> Passport:
    """The passport a caller names, when its limits let it see it.

    Raises:
        Fault: NOT_FOUND.
    """
    passport = ctx.world.store.get(Passport, jti)
    if passport is None or passport.operator_id != ctx.operator_id or not is_visible(ctx.caller, passport):
        if ctx.maybe_act is not None and ctx.caller.agent_id is None:
            ctx.row.agent_id = None  # the row must not say whose a passport is that the caller may not see
        raise Fault(faults.NOT_FOUND, what="Passport", id=jti)
    return passport


def subject_passport(field: str = "jti") -> Callable[[World, Any], str | None]:
    """For ``subject=``: finds the agent of the passport named in a command field."""

    def subject(world: World, command: Any) -> str | None:
        passport = world.store.get(Passport, getattr(command, field) or "")
        return passport.agent_id if passport is not None else None

    return subject


def presented(*fields: str) -> Callable[[World, Any], tuple[str, str] | None]:
    """For ``presents=``: finds (agent id, jti) of the passport whose token a command carries.

    Args:
        *fields: command fields that may hold it, the first one set counts; ``passport_token`` when none is named.
    """

    def presents(world: World, command: Any) -> tuple[str, str] | None:
        token = next(
            (getattr(command, field) for field in fields or ("passport_token",) if getattr(command, field)), None
        )
        if token is None:
            return None
        try:
            found = world.store.get(Passport, str(signer(world).verify(token)["jti"]))
        except TokenError:
            return None
        return (found.agent_id, found.id) if found is not None else None

    return presents
