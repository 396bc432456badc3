"""Why a call was refused in terms of this world: how long ago something ended, which grant is lacking, what was meant.

Messages of faults say what STACK refuses. What is added here only an emulator can know: where the world's clock stands,
what the scenario would have to say, which id of this world is nearly the one that was sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from stack_emu.domain.state import Agent, Connection, Grant, Mission, Operator, Passport
from stack_emu.kernel.clock import iso
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.faults import Injected
from stack_emu.kernel.near_words import close_matches
from stack_emu.kernel.operations import Caller
from stack_emu.kernel.world import World
from stack_emu.scenario.values import format_duration

Details = Mapping[str, Any]
_Explainer = Callable[[World, Caller, Details], "str | None"]
_ACCOUNT = ("operator", "member")
_SECOND = 1000


def explanation(world: World, caller: Caller, fault: Fault) -> str | None:
    """One or two sentences about a refusal in terms of this world; None when its message says it all.

    Args:
        world: the world.
        caller: who was refused; ids of this world are only suggested to operators and members.
        fault: the refusal.
    """
    explain = None if isinstance(fault, Injected) else _EXPLAINERS.get(fault.code)
    return explain(world, caller, fault.details) if explain is not None else None


def ago(world: World, instant_ms: int) -> str:
    """How long ago an instant was on the world's clock, and where that clock stands."""
    kind = "virtual clock, which stands" if world.clock.virtual else "clock, which runs in real time; it was asked"
    return f"{_since(world, instant_ms)} on this world's {kind} at {iso(world.now_ms())}"


def _since(world: World, instant_ms: int) -> str:
    passed = max(world.now_ms() - instant_ms, 0)
    return "just now" if passed < _SECOND else f"{format_duration(passed // _SECOND * _SECOND)} ago"


def _passport_expired(world: World, caller: Caller, details: Details) -> str | None:
    passport = world.store.get(Passport, str(details.get("jti")))
    if passport is None:
        return None
    lived = f"It was issued for {format_duration(passport.ttl_seconds * _SECOND)} (ttl_seconds: {passport.ttl_seconds})"
    checkpoint = (
        f" and wanted a checkpoint every {format_duration(passport.checkpoint_interval_seconds * _SECOND)}"
        if passport.checkpoint_interval_seconds
        else ""
    )
    ending = _ending(world, world.store.get(Mission, passport.mission_id or ""), _since)
    return f"Passport {passport.id} expired {ago(world, passport.expires_at)}. {lived}{checkpoint}. {ending}".rstrip()


def _passport_revoked(world: World, caller: Caller, details: Details) -> str | None:
    passport = world.store.get(Passport, str(details.get("jti")))
    if passport is None or passport.revoked_at is None:
        return None
    how = f" ({passport.revocation} revocation)" if passport.revocation else ""
    ending = _ending(world, world.store.get(Mission, passport.mission_id or ""), _since)
    return f"Passport {passport.id} was revoked {ago(world, passport.revoked_at)}{how}. {ending or 'Issue a new one.'}"


def _mission_ended(world: World, caller: Caller, details: Details) -> str | None:
    mission = world.store.get(Mission, str(details.get("mission_id")))
    if mission is None or mission.operator_id != caller.operator_id:
        return None
    return _ending(world, mission, ago) or None


def _ending(world: World, mission: Mission | None, when: Callable[[World, int], str]) -> str:
    """When a mission ended and how; empty while it lasts."""
    if mission is None or (mission.status == "active" and mission.expires_at > world.now_ms()):
        return ""
    if mission.status in ("active", "expired"):
        lived = format_duration(mission.expires_at - mission.created_at)
        longer = "start another one, with a longer expires_in_seconds"
        return f"Mission {mission.id} expired {when(world, mission.expires_at)}. It was opened for {lived}; {longer}."
    because = f": {mission.end_reason}" if mission.end_reason else ""
    ended = when(world, mission.ended_at or mission.expires_at)
    return f"Mission {mission.id} was {mission.status} {ended}{because}. Start another one."


def _forbidden(world: World, caller: Caller, details: Details) -> str | None:
    missing = details.get("missing_grant")
    if not isinstance(missing, Mapping):
        return None
    agent = world.store.get(Agent, str(missing.get("agent_id")))
    service = str(missing.get("service"))
    if agent is None:
        return None
    connection = next(
        (
            found
            for found in world.store.find(Connection, operator_id=agent.operator_id)
            if service in (found.id, found.provider)
        ),
        None,
    )
    if connection is None:
        return (
            f"This world has no connection of {service}; add one under services: in the scenario, or connect it first."
        )
    grant = world.store.get(Grant, f"{agent.id}/{connection.id}")
    if grant is None:
        line = f"{{agent: {agent.name}, scopes: [{', '.join(connection.scopes)}]}}"
        return (
            f"Agent {agent.id} has no grant for {connection.id}. In the scenario that is, under its grants: - {line}; "
            "a passport issued after that has it."
        )
    return (
        f"Agent {agent.id} does have a grant for {connection.id}, but this passport was issued without it: name "
        f"{connection.provider} in its intent's services, or issue it anew if the grant came later."
    )


def _tier(world: World, caller: Caller, details: Details) -> str | None:
    operator = world.store.get(Operator, caller.operator_id)
    tier = details.get("tier") or (operator.tier if operator is not None else None)
    return f"The scenario gives this operator the tier {tier}; operator.tier sets another one." if tier else None


def _not_found(world: World, caller: Caller, details: Details) -> str | None:
    wanted = details.get("id") or details.get("mission_id")
    if caller.kind not in _ACCOUNT or not isinstance(wanted, str):
        return None
    kind = "Mission" if "mission_id" in details else str(details.get("what"))
    known = dict(_named(world, caller.operator_id, kind))
    if not known:
        return None
    meant = [key for key, name in known.items() if name == wanted]
    if meant:
        return f"{wanted} is the name of {meant[0]}; send the id."
    near = close_matches(wanted, known, 1, 0.6)
    if near:
        return f"Did you mean {near[0]}{f', which is {known[near[0]]}' if known[near[0]] else ''}?"
    shown = ", ".join(list(known)[:5])
    return f"This account has {len(known)} of that kind{': ' if len(known) <= 5 else ', first '}{shown}."


def _named(world: World, operator_id: str, kind: str) -> Iterator[tuple[str, str]]:
    """Ids of what an operator has of a kind, with the name people may have sent instead."""
    find = world.store.find
    if kind == "Agent":
        yield from ((one.id, one.name) for one in find(Agent, operator_id=operator_id) if not one.deleted)
    elif kind in ("Service", "Connection"):
        yield from ((one.id, one.provider) for one in find(Connection, operator_id=operator_id))
    elif kind == "Passport":
        yield from ((one.id, "") for one in find(Passport, operator_id=operator_id))
    elif kind == "Mission":
        yield from ((one.id, "") for one in find(Mission, operator_id=operator_id))


_EXPLAINERS: Mapping[str, _Explainer] = {
    "PASSPORT_EXPIRED": _passport_expired,
    "PASSPORT_REVOKED": _passport_revoked,
    "MISSION_ENDED": _mission_ended,
    "FORBIDDEN": _forbidden,
    "TIER_LIMIT_EXCEEDED": _tier,
    "NOT_FOUND": _not_found,
}
