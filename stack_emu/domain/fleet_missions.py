"""Missions of a fleet: who may start them, what they may ask for, and the limits all of them share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stack_emu.domain import faults
from stack_emu.domain.fleet_definitions import (
    MISSION_LIMITS,
    PER_SERVICE,
    access_of,
    covers,
    intent_uses,
    mission_ceilings,
    operations_of,
    permits,
    read_access,
    wrong_limit,
)
from stack_emu.domain.fleet_members import active_missions, require_policy
from stack_emu.domain.fleet_records import ACTIVE, FleetMember, FleetPolicy
from stack_emu.domain.issuance import scope_json
from stack_emu.domain.missions import MissionTerms
from stack_emu.domain.narrowing import Basis, ScopeInput, ceilings, choose
from stack_emu.domain.state import Agent, JsonObject, Mission, ServiceScope
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault


@dataclass(frozen=True)
class Granted:
    """What a policy grants a mission that asked for no more than it allows.

    Args:
        policy: the policy.
        access: what the mission's passports may use.
        limits: the mission's limits: those asked for, else the policy's.
    """

    policy: FleetPolicy
    access: tuple[ServiceScope, ...]
    limits: dict[str, Any]


def require_membership(ctx: Context, policy_id: str, agent: Agent | None) -> FleetPolicy:
    """The policy a mission is to be started under, when the agent is a member of it.

    Raises:
        Fault: NOT_FOUND, FLEET_REVOKED, INVALID_REQUEST without an agent, FORBIDDEN for one that is no member.
    """
    if ctx.caller.agent_id is None:
        policy = require_policy(ctx, policy_id)
    else:  # an agent hears why it may not, not that there is no such policy in its account
        found = ctx.world.store.get(FleetPolicy, policy_id)
        if found is None or found.operator_id != ctx.operator_id:
            raise Fault(faults.NOT_FOUND, what="Fleet policy", id=policy_id)
        policy = found
    if policy.status != ACTIVE:
        raise Fault(faults.FLEET_REVOKED, policy_id=policy.id, revoked_at=iso(policy.revoked_at or 0))
    if agent is None:
        problem = "a fleet's mission is started with the JWT of an enrolled agent, or for the one named here"
        raise _invalid("agent_id", problem)
    member = ctx.world.store.get(FleetMember, agent.id)
    if member is None or member.policy_id != policy.id:
        way = f"POST /v1/fleets/{policy.id}/enroll"
        raise Fault(faults.FORBIDDEN, reason=f"Agent {agent.id} is no member of fleet {policy.id}; enroll with {way}")
    if member.status != ACTIVE:
        reason = f"The membership of {agent.id} in fleet {policy.id} was revoked; start it with another member"
        raise Fault(faults.FORBIDDEN, reason=reason)
    return policy


def within(ctx: Context, policy: FleetPolicy, terms: MissionTerms) -> Granted:
    """What a mission gets of what it asks for: all of it, or a refusal that names the ceiling.

    Raises:
        Fault: SCOPE_ESCALATION, INVALID_REQUEST, NOT_FOUND for a connection, FLEET_LIMIT_EXCEEDED for one mission more
            than may run at once.
    """
    most, running = _limit(policy, "max_active_missions"), active_missions(ctx.world, fleet_policy_id=policy.id)
    if most is not None and len(running) >= most:
        what = "missions at once"
        raise Fault(faults.FLEET_LIMIT_EXCEEDED, policy_id=policy.id, limit=most, what=what, used=len(running))
    _check_operations(policy, terms.requested_operations or ())
    _check_bindings(policy, terms.authority_binding_ids or ())
    return Granted(policy, _access(ctx, policy, terms.requested_access), _limits(policy, terms))


def _check_operations(policy: FleetPolicy, asked: Sequence[JsonObject]) -> None:
    allowed = operations_of(policy.definition)
    for one in asked:
        if not covers(allowed, one):
            listed = "; ".join(_operation_name(each) for each in allowed) or "none"
            raise _escalation(policy, f"requested_operations {_operation_name(one)}", listed)


def _check_bindings(policy: FleetPolicy, asked: Sequence[str]) -> None:
    allowed: Sequence[str] | None = policy.definition.get("authority_binding_ids")
    if allowed is None:
        return
    for one in asked:
        if one not in allowed:
            raise _escalation(policy, f"authority_binding_ids {one}", ", ".join(allowed) or "none")


def _operation_name(operation: JsonObject) -> str:
    return "/".join(str(operation.get(part) or "*") for part in ("producer", "target_id", "action"))


def _access(
    ctx: Context, policy: FleetPolicy, requested: Sequence[Mapping[str, Any]] | None
) -> tuple[ServiceScope, ...]:
    entries = access_of(policy.definition)
    basis = ceilings(ctx, entries, f"fleet policy {policy.id}")
    if requested is None:
        return choose(ctx, basis, [ScopeInput(connection_id=one.reference, intents=one.intents) for one in entries])
    return choose(ctx, basis, [_asked(policy, basis, entries, raw, number) for number, raw in enumerate(requested)])


def _asked(
    policy: FleetPolicy, basis: Basis, entries: Sequence[ScopeInput], raw: Mapping[str, Any], number: int
) -> ScopeInput:
    try:
        item = read_access(raw, number)
    except ValueError as error:
        raise _invalid("requested_access", str(error)) from None
    for scope in basis.scopes:
        if item.reference in (scope.connection_id, scope.service_name):
            _check_intents(policy, scope, entries, item)
    return item


def _check_intents(policy: FleetPolicy, scope: ServiceScope, entries: Sequence[ScopeInput], item: ScopeInput) -> None:
    """Where a policy names intents, access without one of them would be wider than it says."""
    named = (scope.connection_id, scope.service_name)
    allowed = [use for entry in entries if entry.reference in named for use in intent_uses(entry)]
    if not allowed:
        return
    uses = intent_uses(item)
    listed = ", ".join(f"{use.name} {use.params}" if use.params else use.name for use in allowed)
    if not uses:
        raise _escalation(policy, f"Access to {scope.service_name} without an intent", listed)
    for use in uses:
        if not permits(allowed, use):
            raise _escalation(policy, f"Intent {use.name} on {scope.service_name} as it is asked for", listed)


def _limits(policy: FleetPolicy, terms: MissionTerms) -> dict[str, Any]:
    asked: dict[str, Any] = {**(terms.limits or {})}
    for name in (*MISSION_LIMITS, PER_SERVICE):
        if (value := getattr(terms, name, None)) is not None:
            asked[name] = value
    problem = wrong_limit(asked)
    if problem is not None:
        raise _invalid("limits", problem)
    allowed = mission_ceilings(policy.definition)
    for name in MISSION_LIMITS:
        if name in asked and name in allowed and asked[name] > allowed[name]:
            raise _escalation(policy, f"limits.{name} {asked[name]}", str(allowed[name]))
    services, most = asked.get(PER_SERVICE, {}), allowed.get(PER_SERVICE, {})
    for service, value in services.items():
        if value > most.get(service, value):
            raise _escalation(policy, f"limits.{PER_SERVICE}.{service} {value}", str(most[service]))
    return {**allowed, **asked, **({PER_SERVICE: {**most, **services}} if most or services else {})}


def check_fleet_caps(ctx: Context, mission: Mission) -> None:
    """Refuse an action beyond what all missions of a fleet may take together, as its policy says now.

    Raises:
        Fault: FLEET_LIMIT_EXCEEDED.
    """
    policy = ctx.world.store.get(FleetPolicy, mission.fleet_policy_id or "")
    if policy is None:
        return
    actions, at_once = _limit(policy, "max_actions"), _limit(policy, "max_concurrent_actions")
    if actions is None and at_once is None:
        return
    missions = list(ctx.world.store.find(Mission, fleet_policy_id=policy.id))
    under_way = sum(one.reserved for one in missions)
    used = sum(one.actions for one in missions) + under_way
    for what, limit, count in (("actions", actions, used), ("actions at once", at_once, under_way)):
        if limit is not None and count >= limit:
            raise Fault(faults.FLEET_LIMIT_EXCEEDED, policy_id=policy.id, limit=limit, what=what, used=count)


def _limit(policy: FleetPolicy, name: str) -> int | None:
    limit: int | None = (policy.definition.get("limits") or {}).get(name)
    return limit


def fleet_part(ctx: Context, mission: Mission) -> dict[str, Any] | None:
    """What a mission shows of its fleet: its limits and how much of them it has used."""
    if mission.fleet_policy_id is None:
        return None
    allowed = ctx.caller.allowed_connections
    shown = [scope for scope in mission.access or () if allowed is None or scope.connection_id in allowed]
    return {
        "fleet_policy_id": mission.fleet_policy_id,
        "revision": mission.fleet_revision,
        "limits": dict(mission.limits),
        "usage": {
            "actions": mission.actions,
            "actions_under_way": mission.reserved,
            "actions_per_service": dict(mission.actions_per_service),
        },
        "access": [scope_json(scope) for scope in shown],
        "operations": [dict(one) for one in mission.details.get("requested_operations") or ()],
    }


def _escalation(policy: FleetPolicy, what: str, allowed: str) -> Fault:
    return Fault(faults.SCOPE_ESCALATION, what=what, parent=f"fleet policy {policy.id}", allowed=allowed)


def _invalid(field: str, problem: str) -> Fault:
    return Fault(faults.INVALID_REQUEST, details={"fields": {field: problem}}, problem=f"{field}: {problem}")
