"""The checks before a proxied call goes out, in the order of docs/concepts/proxy; the first that fails stops the call.

1. The passport: signature, expiry, revocation, and that its agent, mission and work are still alive.
2. The tier's monthly calls and the mission's caps.
3. The service is one the passport was granted, and the passport carries the identity claims it requires.
4. Every parameter constraint of that grant.
5. The credential is there and has not expired.

Where the page is silent: a revocation is seen after the world's propagation time, the end of a mission at once; a
service that the intent declares but no grant covers is refused without a signal, because there is no credential to use.
"""

from __future__ import annotations

from dataclasses import dataclass

from stack_emu.domain import detectors, faults, meters, services, signals
from stack_emu.domain.authentication import AGENT, passport_record, require_live
from stack_emu.domain.constraints import ConstrainedRequest, violations
from stack_emu.domain.fleet_missions import check_fleet_caps
from stack_emu.domain.identity_records import require_met_by
from stack_emu.domain.issuance import require_holder
from stack_emu.domain.missions import require_live_mission
from stack_emu.domain.partners import check_pool
from stack_emu.domain.state import (
    Agent,
    Connection,
    Mission,
    Passport,
    ProxyOperation,
    ServiceScope,
)
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context, Refused
from stack_emu.kernel.errors import Fault


@dataclass(frozen=True)
class Principal:
    """For whom a call is made: a passport and what belongs to it, or nobody but the account itself."""

    passport: Passport | None = None
    agent: Agent | None = None
    mission: Mission | None = None


@dataclass(frozen=True)
class Access:
    """What a call may use: a connection, and within which scope. No scope is the account's own, unlimited use."""

    connection: Connection
    scope: ServiceScope | None = None

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes used."""
        return self.connection.scopes if self.scope is None else self.scope.scopes

    @property
    def effective(self) -> tuple[str, ...] | None:
        """Scopes the upstream is to allow; None, which is everything, when neither connection nor grant names any."""
        if self.scope is None or not (self.scope.scopes or self.connection.scopes):
            return None
        return self.scope.scopes


def principal(ctx: Context, token: str | None) -> Principal | Refused:
    """Check 1: who is calling.

    Args:
        ctx: the call.
        token: the passport token presented beside the bearer, if any.

    Returns:
        The principal, or a refusal that leaves a security event behind: the passport was checked out.

    Raises:
        Fault: UNAUTHORIZED, PASSPORT_EXPIRED, PASSPORT_REVOKED, PASSPORT_BLOCKED, MISSION_ENDED or FORBIDDEN.
    """
    passport = _passport(ctx, token)
    return Principal() if passport is None else acting_under(ctx, passport)


def acting_under(ctx: Context, passport: Passport) -> Principal | Refused:
    """A passport that is to be used now, with its agent and mission, noted in the row.

    Returns:
        The principal, or a refusal that leaves a security event behind: the passport was checked out.

    Raises:
        Fault: PASSPORT_EXPIRED, PASSPORT_REVOKED, PASSPORT_BLOCKED, MISSION_ENDED or FORBIDDEN.
    """
    ctx.row.set(agent_id=passport.agent_id, passport_jti=passport.id)
    ctx.row.set(mission=passport.mission_id, intent=passport.intent_summary)
    require_live(ctx.world, passport, propagation_ms=ctx.world.settings.get("propagation_ms", 0))
    if passport.checked_out_at is not None:
        return post_checkout(ctx, passport, passport.checked_out_at, ctx.row.metadata.get("service"))
    agent = ctx.world.store.get(Agent, passport.agent_id)
    if agent is None or agent.deleted:
        raise Fault(faults.FORBIDDEN, reason=f"Agent {passport.agent_id} was deleted; register it again")
    require_holder(agent)
    mission = None
    if passport.mission_id is not None:
        mission = require_live_mission(ctx.world, ctx.operator_id, passport.mission_id)
        ctx.row.set(intent=passport.intent_summary or mission.intent_summary)
    return Principal(passport, agent, mission)


def post_checkout(ctx: Context, passport: Passport, checked_out_at: int, service: str | None) -> Refused:
    """The refusal of a passport that was checked out; that it was used all the same is noted as a signal."""
    signals.note(
        ctx.world,
        ctx.act,
        agent_id=passport.agent_id,
        passport=passport,
        signal_type=detectors.POST_CHECKOUT,
        severity=signals.WARNING if passport.accountability == "logged" else signals.CRITICAL,
        message=f"Passport used for {service} after it was checked out",
        metadata={"service": service, "checked_out_at": iso(checked_out_at)},
    )
    return Refused(Fault(faults.PASSPORT_CHECKED_OUT, jti=passport.id, checked_out_at=iso(checked_out_at)))


def _passport(ctx: Context, token: str | None) -> Passport | None:
    caller = ctx.caller
    presented = passport_record(ctx.world, token) if token is not None else None
    if caller.passport_jti is not None:
        if presented is not None and presented.id != caller.passport_jti:
            reason = f"Bearer and X-Passport-Token are different passports; present {caller.passport_jti} only"
            raise Fault(faults.FORBIDDEN, reason=reason)
        return ctx.world.store.get(Passport, caller.passport_jti)
    if presented is None:
        if caller.kind == AGENT:
            hint = "An agent JWT calls the proxy with a passport of the agent in X-Passport-Token."
            raise Fault(faults.UNAUTHORIZED, hint=hint)
        return None
    if presented.operator_id != ctx.operator_id or caller.agent_id not in (None, presented.agent_id):
        ctx.row.agent_id = caller.agent_id
        ctx.row.passport_jti = None
        whose = f"agent {caller.agent_id}" if caller.agent_id is not None else "this account"
        raise Fault(faults.FORBIDDEN, reason=f"Passport {presented.id} is not one of {whose}; present its own")
    return presented


def check_room(ctx: Context) -> None:
    """Check 2, the account: calls left in this month, and in the pool when a partner pays.

    Raises:
        Fault: TIER_LIMIT_EXCEEDED; ALLOWANCE_EXHAUSTED or BILLING_ACCOUNT_INACTIVE when a partner pays.
    """
    check_pool(ctx.world, ctx.operator_id)
    meters.check(ctx, meters.PROXY_CALLS)


def check_caps(ctx: Context, mission: Mission | None, service: str) -> None:
    """Check 2, the mission: actions left, in all, for the service, and at once.

    Enforced are ``max_actions``, ``max_actions_per_service`` and ``max_concurrent_actions``; ``cap_behavior`` is kept
    but not interpreted, because its values are published nowhere.

    Raises:
        Fault: MISSION_LIMIT_EXCEEDED, FLEET_LIMIT_EXCEEDED for what the missions of a fleet may take together.
    """
    if mission is None:
        return
    _check_own_caps(ctx, mission, service)
    if mission.fleet_policy_id is not None:
        check_fleet_caps(ctx, mission)


def _check_own_caps(ctx: Context, mission: Mission, service: str) -> None:
    per_service = mission.limits.get("max_actions_per_service") or {}
    caps = (
        ("actions", mission.limits.get("max_actions"), mission.actions + mission.reserved),
        ("actions at once", mission.limits.get("max_concurrent_actions"), mission.reserved),
        (f"actions on {service}", per_service.get(service), _on_service(ctx, mission, service)),
    )
    for what, limit, used in caps:
        if isinstance(limit, int) and used >= limit:
            raise Fault(faults.MISSION_LIMIT_EXCEEDED, mission_id=mission.id, limit=limit, what=what, used=used)


def _on_service(ctx: Context, mission: Mission, service: str) -> int:
    under_way = ctx.world.store.find(
        ProxyOperation, delivery_state="dispatching", mission_id=mission.id, provider=service
    )
    done: int = mission.actions_per_service.get(service, 0)
    return done + sum(1 for _ in under_way)


def access(ctx: Context, who: Principal, service: str) -> Access | Refused:
    """Check 3: the connection the service stands for, when the caller may use it.

    Args:
        ctx: the call.
        who: for whom.
        service: provider key, or a connection id where several connections share the provider.

    Returns:
        The access, or a refusal that leaves a security event behind.

    Raises:
        Fault: FORBIDDEN for a declared service without a grant or a connection outside the key's limits, NOT_FOUND or
            CONFLICT when an account's own call names no or several connections, IDENTITY_REQUIREMENTS_NOT_MET.
    """
    if who.passport is None:
        connection = services.find_reachable(ctx.world, ctx.caller, service)
        own = _noted(ctx, Access(connection))
        require_met_by(ctx.world, ctx.operator_id, None, connection)
        return own
    scope = scope_of(who.passport, service)
    if scope is None:
        ctx.row.set(service=service)
        return _outside(ctx, who.passport, service)
    connection_or_none = ctx.world.store.get(Connection, scope.connection_id)
    if connection_or_none is None or connection_or_none.status != "active":
        ctx.row.set(service=scope.service_name, connection=scope.connection_id)
        raise Fault(
            faults.FORBIDDEN, reason=f"{scope.connection_id} is not connected any more; connect {service} again"
        )
    found = _noted(ctx, Access(connection_or_none, scope))
    allowed = ctx.caller.allowed_connections
    if allowed is not None and scope.connection_id not in allowed:
        listed = ", ".join(sorted(allowed)) or "no connection"
        reason = f"This key may not use {scope.connection_id}; its allowed_connections are: {listed}"
        raise Fault(faults.FORBIDDEN, reason=reason)
    require_met_by(ctx.world, ctx.operator_id, who.passport, connection_or_none)
    return found


def scope_of(passport: Passport, service: str) -> ServiceScope | None:
    """What a passport may do with a service, or None.

    Raises:
        Fault: CONFLICT when the passport has several connections of it.
    """
    fitting = [scope for scope in passport.services if service in (scope.connection_id, scope.service_name)]
    if len(fitting) > 1:
        ids = [scope.connection_id for scope in fitting]
        problem = f"Passport {passport.id} has {len(ids)} connections of {service}; name one of {', '.join(ids)}"
        raise Fault(faults.CONFLICT, problem=problem, details={"connection_ids": ids})
    return fitting[0] if fitting else None


def _noted(ctx: Context, found: Access) -> Access:
    connection = found.connection
    scopes = [f"{connection.provider}:{scope}" for scope in found.scopes]
    ctx.row.set(service=connection.provider, connection=connection.id, scopes=scopes)
    return found


def _outside(ctx: Context, passport: Passport, service: str) -> Refused:
    granted = sorted({scope.service_name for scope in passport.services})
    details = {
        "service": service,
        "missing_grant": {"agent_id": passport.agent_id, "service": service},
        "intent_services": list(passport.intent_services),
        "granted_providers": granted,
    }
    listed = ", ".join(granted) or "no service"
    if service in passport.intent_services:
        reason = (
            f"The intent declares {service}, but passport {passport.id} is granted {listed}; grant agent access to it"
        )
        raise Fault(faults.FORBIDDEN, reason=reason, details=details)
    message = f"Proxy request for {service} not in passport scope"
    signals.note(
        ctx.world,
        ctx.act,
        agent_id=passport.agent_id,
        passport=passport,
        signal_type=detectors.OUTSIDE_SCOPE,
        severity=signals.WARNING if passport.accountability == "logged" else signals.CRITICAL,
        message=message,
        metadata={"intent_services": list(passport.intent_services), "granted_providers": granted},
    )
    reason = f"{message}; passport {passport.id} is granted {listed}"
    return Refused(Fault(faults.FORBIDDEN, reason=reason, details=details))


def check_constraints(found: Access, request: ConstrainedRequest) -> None:
    """Check 4: every constraint of the scope.

    Raises:
        Fault: FORBIDDEN naming path, operator, expected and actual value of the first that fails.
    """
    if found.scope is None:
        return
    failed = violations(found.scope.constraints, request)
    if failed:
        details = {"constraint": failed[0].as_json(), "service": found.scope.service_name, "failed": len(failed)}
        raise Fault(faults.FORBIDDEN, reason=f"Constraint on {found.scope.service_name}: {failed[0]}", details=details)


def check_credential(ctx: Context, connection: Connection) -> None:
    """Check 5: the credential may still be used.

    Raises:
        Fault: CONFLICT when it has expired or the connection is not active.
    """
    if connection.status != "active":
        problem = f"{connection.id} is {connection.status}; connect {connection.provider} again"
        raise Fault(faults.CONFLICT, problem=problem)
    expires = connection.credential_expires_at
    if expires is not None and expires <= ctx.now_ms:
        problem = f"The credential of {connection.id} expired at {iso(expires)}; connect {connection.provider} again"
        raise Fault(faults.CONFLICT, problem=problem)
