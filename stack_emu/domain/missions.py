"""Missions: opening and ending them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field

from stack_emu.domain import authority_use, faults
from stack_emu.domain.agents import require_agent
from stack_emu.domain.authentication import ACCOUNT_AND_AGENT
from stack_emu.domain.partners import made_with_grant
from stack_emu.domain.revocation import revoke
from stack_emu.domain.state import Agent, Mission, Passport
from stack_emu.kernel.acts import Act, RowDraft
from stack_emu.kernel.canonical import digest
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import Audit, Auth, Caller, Command, Reply, Rest, Tool, on_timer, operation
from stack_emu.kernel.store import replace
from stack_emu.kernel.world import Timer, World

DEFAULT_LIFETIME_SECONDS = 900
MAX_LIFETIME_SECONDS = 86_400
EXPIRE = "mission.expire"
_LIMITS = (
    "max_actions",
    "max_dropoff_bytes",
    "coverage_cap_cents",
    "max_duration_seconds",
    "max_concurrent_intents",
    "max_actions_per_service",
)
DETAILS = (
    "expected_counterparties",
    "baseline_profile",
    "expected_output_shape",
    "cap_behavior",
    "parent_passport_services",
    "requested_access",
    "requested_operations",
    "authority_binding_ids",
)
_ENDED = {"completed": faults.MISSION_COMPLETED, "revoked": faults.MISSION_REVOKED, "expired": faults.MISSION_EXPIRED}


class MissionTerms(Command):
    """What a mission is for and how far it may go."""

    intent_summary: str = Field(min_length=1, max_length=2000, description="What the mission is for, in words")
    agent_id: str | None = Field(
        None, description="Agent the mission is assigned to; any agent may use it when left out"
    )
    intent_services: list[str] = Field([], description="Services it is expected to use")
    expected_counterparties: list[str] | None = Field(None, description="Who it is expected to deal with")
    baseline_profile: dict[str, Any] | None = Field(None, description="Expected behaviour, for comparison")
    expected_output_shape: dict[str, Any] | None = Field(None, description="JSON Schema of the expected output")
    max_actions: int | None = Field(None, ge=1, description="Most actions")
    max_dropoff_bytes: int | None = Field(None, ge=0, description="Most bytes deposited in drop-offs")
    coverage_cap_cents: int | None = Field(None, ge=0, description="Most money at stake, in cents")
    max_duration_seconds: int | None = Field(
        None, ge=1, description="Longest life in seconds; bounds expires_in_seconds"
    )
    max_concurrent_intents: int | None = Field(None, ge=1, description="Most intents awaiting approval at once")
    max_actions_per_service: dict[str, int] | None = Field(None, description="Most actions for each service")
    cap_behavior: dict[str, str] | None = Field(None, description="What happens when a cap is reached")
    expires_in_seconds: int | None = Field(
        None, ge=1, le=MAX_LIFETIME_SECONDS, description="Life in seconds: 900 when left out, at most 86400"
    )
    parent_passport_services: list[str] | None = Field(None, description="Services of the passport it is opened under")
    fleet_policy_id: str | None = Field(
        None, description="Fleet policy (flp_…) the agent is a member of; bounds what the mission may ask for"
    )
    idempotency_key: str | None = Field(None, max_length=255, description="The same key and body open one mission only")
    requested_access: list[dict[str, Any]] | None = Field(None, description="Access asked for, for each connection")
    requested_operations: list[dict[str, Any]] | None = Field(None, description="Operations asked for")
    limits: dict[str, Any] | None = Field(None, description="Further limits by name")
    authority_binding_ids: list[str] | None = Field(
        None, description="Active authority bindings (abn_…) its passports may carry"
    )


class MissionById(Command):
    """Names a mission."""

    mission_id: str = Field(description="Mission id (ms_…)")


class OpenedMission(Reply):
    """A mission that was opened."""

    mission_id: str
    claim_id: str
    expires_at: str
    agent_id: str | None
    status: str


class EndedMission(Reply):
    """A mission that has ended."""

    mission_id: str
    claim_id: str
    status: str
    terminal_state: str
    transitioned: bool = Field(description="Whether this call ended it")
    completed_at: str | None = None
    revoked_at: str | None = None
    reason: str | None = None
    revoked_passports: list[str] = Field(description="Passports that ended with it in this call")


def status_of(world: World, mission: Mission) -> str:
    """The mission's status now: one whose time is up is expired even before its timer ran."""
    return "expired" if mission.status == "active" and mission.expires_at <= world.now_ms() else mission.status


def require_live_mission(world: World, operator_id: str, mission_id: str) -> Mission:
    """The operator's mission, when it is still running.

    Raises:
        Fault: 403 MISSION_ENDED or 404 NOT_FOUND in the wording SDK 3.0.0 and later turn into ``MissionEndedError``.
    """
    mission = world.store.get(Mission, mission_id)
    if mission is None or mission.operator_id != operator_id:
        raise Fault(faults.MISSION_NOT_FOUND, mission_id=mission_id)
    status = status_of(world, mission)
    if status != "active":
        raise Fault(_ENDED[status], mission_id=mission_id)
    return mission


def require_visible_mission(ctx: Context, mission_id: str) -> Mission:
    """The mission a caller names, when it may see it: an agent its own, a passport the one it is bound to.

    Raises:
        Fault: NOT_FOUND.
    """
    mission = ctx.world.store.get(Mission, mission_id)
    if (
        mission is None
        or mission.operator_id != ctx.operator_id
        or not is_visible_mission(ctx.world, ctx.caller, mission)
    ):
        if ctx.maybe_act is not None and ctx.caller.agent_id is None:
            ctx.row.agent_id = None
        raise Fault(faults.MISSION_NOT_FOUND, mission_id=mission_id)
    return mission


def is_visible_mission(world: World, caller: Caller, mission: Mission) -> bool:
    """Whether a caller may see a mission of its account."""
    if caller.passport_jti is not None:
        passport = world.store.get(Passport, caller.passport_jti)
        return passport is not None and passport.mission_id == mission.id
    if not made_with_grant(world, caller, mission.agent_id):
        return False
    return caller.agent_id is None or caller.agent_id == mission.agent_id


def subject_mission(world: World, command: Any) -> str | None:
    """The agent of the mission a command names, for its lane."""
    mission = world.store.get(Mission, command.mission_id)
    return mission.agent_id if mission is not None else None


def assignee(ctx: Context, agent_id: str | None) -> Agent | None:
    """The agent a mission is to be assigned to; an agent's own credential opens missions for itself only.

    Raises:
        Fault: NOT_FOUND for an unknown agent or, with an agent's credential, any other.
    """
    chosen = agent_id or ctx.caller.agent_id
    if ctx.caller.agent_id is not None and chosen != ctx.caller.agent_id:
        raise Fault(faults.NOT_FOUND, what="Agent", id=chosen)
    return require_agent(ctx.world, ctx.operator_id, chosen) if chosen is not None else None


@dataclass(frozen=True)
class Opening:
    """The outcome of opening a mission: the mission, and whether an idempotency key found it again."""

    mission: Mission
    repeated: bool


def open_terms(ctx: Context, terms: MissionTerms, agent: Agent | None, also: object = None) -> Opening:
    """Open a mission with these terms, or find the one opened with the same idempotency key and terms.

    Args:
        ctx: the call.
        terms: what to open.
        agent: whom it is assigned to, or None.
        also: JSON data that must be equal too for a repeated call to be the same one.

    Raises:
        Fault: CONFLICT for a key used with other terms; for a fleet's mission what ``fleet_missions`` raises.
    """
    from stack_emu.domain import fleet_missions  # it reads terms, so it comes after this module

    policy_id = terms.fleet_policy_id
    policy = fleet_missions.require_membership(ctx, policy_id, agent) if policy_id is not None else None
    fingerprint = digest([agent.id if agent else None, terms.model_dump(mode="json", exclude_unset=True), also])
    earlier = _earlier(ctx, terms, agent)
    if earlier is not None:
        if earlier.details.get("fingerprint") != fingerprint:
            raise Fault(faults.CONFLICT, problem=f"{earlier.id} was opened with this idempotency_key and other terms")
        return Opening(earlier, repeated=True)
    authority_use.require(ctx, agent, terms.authority_binding_ids or ())
    granted = fleet_missions.within(ctx, policy, terms) if policy is not None else None
    limits = {**(terms.limits or {}), **{n: v for n in _LIMITS if (v := getattr(terms, n)) is not None}}
    details = {name: value for name in DETAILS if (value := getattr(terms, name)) is not None}
    services = tuple(terms.intent_services)
    if granted is not None:
        limits = {**limits, **granted.limits}
        services = services or tuple(dict.fromkeys(scope.service_name for scope in granted.access))
    mission = Mission(
        id=ctx.act.new_id("mission", "ms_"),
        claim_id=ctx.act.new_id("claim", "pc_"),
        operator_id=ctx.operator_id,
        intent_summary=terms.intent_summary,
        intent_services=services,
        agent_id=agent.id if agent is not None else None,
        created_at=ctx.stamp_ms,
        expires_at=ctx.now_ms + _lifetime_seconds(terms, limits) * 1000,
        limits=limits,
        details={**details, "fingerprint": fingerprint},
        idempotency_key=terms.idempotency_key,
        fleet_policy_id=policy_id,
        fleet_revision=granted.policy.revision if granted is not None else None,
        access=granted.access if granted is not None else None,
    )
    ctx.world.store.put(mission)
    payload = {"mission_id": mission.id}
    timer_id = f"{EXPIRE}/{mission.id}"
    ctx.world.arm(Timer(timer_id, mission.expires_at, EXPIRE, ctx.act.lane, mission.operator_id, payload))
    return Opening(mission, repeated=False)


def _earlier(ctx: Context, terms: MissionTerms, agent: Agent | None) -> Mission | None:
    """The mission an idempotency key opened before: in the account, or for a fleet's mission by the same member."""
    if terms.idempotency_key is None:
        return None
    same = {"operator_id": ctx.operator_id, "fleet_policy_id": terms.fleet_policy_id}
    if terms.fleet_policy_id is not None and agent is not None:
        same["agent_id"] = agent.id
    return next(ctx.world.store.find(Mission, idempotency_key=terms.idempotency_key, **same), None)


def _lifetime_seconds(terms: MissionTerms, limits: Mapping[str, Any]) -> int:
    longest = limits.get("max_duration_seconds")
    if terms.fleet_policy_id is None:
        longest = terms.max_duration_seconds  # a limit of this name is only interpreted for fleets
    asked = terms.expires_in_seconds or terms.max_duration_seconds
    if asked is None and terms.limits is not None and terms.fleet_policy_id is not None:
        asked = terms.limits.get("max_duration_seconds")
    asked = asked or DEFAULT_LIFETIME_SECONDS
    return min(asked, longest or asked, MAX_LIFETIME_SECONDS)


@operation(
    "missions.open",
    rest=Rest("POST", "/v1/missions", status=201),
    tool=Tool("stack_open_mission"),
    auth=Auth(bearers=ACCOUNT_AND_AGENT, scope="passports:write", role="standard"),
    audit=Audit("mission.open", layer="vault"),
    subject=lambda world, command: command.agent_id,
    source="sdk 4.0.0 missions.open",
    grade="documented",
)
def open_mission(ctx: Context, command: MissionTerms) -> OpenedMission:
    """Open a mission. Passports are then issued for it, and none outlives it.

    With fleet_policy_id it is a fleet's mission: for a member of that fleet, within what its policy allows, and its
    passports get the access it asked for instead of the agent's grants.

    Raises:
        Fault: NOT_FOUND for an unknown agent, CONFLICT for an idempotency key used with another body; for a fleet's
            mission FORBIDDEN, FLEET_REVOKED, FLEET_LIMIT_EXCEEDED or SCOPE_ESCALATION.
    """
    ctx.row.set(intent=command.intent_summary, services=command.intent_services or None)
    ctx.row.set(fleet=command.fleet_policy_id)
    opening = open_terms(ctx, command, assignee(ctx, command.agent_id))
    mission = opening.mission
    ctx.row.set(agent_id=mission.agent_id, mission=mission.id, repeated=opening.repeated or None)
    return OpenedMission(
        mission_id=mission.id,
        claim_id=mission.claim_id,
        expires_at=iso(mission.expires_at),
        agent_id=mission.agent_id,
        status=status_of(ctx.world, mission),
    )


class CompleteMission(MissionById):
    """Ends a mission well."""

    output: dict[str, Any] | None = Field(None, description="What the mission produced")


class RevokeMission(MissionById):
    """Ends a mission before its work is done."""

    reason: Literal["adversarial", "operator_initiated_clean"] = Field(
        description="adversarial when something went wrong, operator_initiated_clean when it is only stopped"
    )
    notes: str | None = Field(None, max_length=1000, description="More about the reason")


@dataclass(frozen=True)
class _Ending:
    status: str
    terminal_state: str
    sentence: str
    changes: Mapping[str, Any] = field(default_factory=dict)


def _end(
    world: World, act: Act, mission: Mission, ending: _Ending, row: RowDraft | None = None
) -> tuple[Mission, list[str]]:
    """End a mission, and with it every passport bound to it that still lives; ``row`` is the act's own when None."""
    now = act.now_ms
    details = {**mission.details, "terminal_state": ending.terminal_state, "end_claim_id": act.new_id("claim", "pc_")}
    ended = replace(mission, status=ending.status, ended_at=now, details=details, **ending.changes)
    world.store.put(ended)
    world.disarm(f"{EXPIRE}/{mission.id}")
    bound = [
        passport
        for passport in world.store.find(Passport, mission_id=mission.id)
        if passport.revoked_at is None and passport.expires_at > now
    ]
    done = revoke(world, act, bound, revocation="mission", reason=ending.sentence, cascade=True)
    row = row or act.row
    row.set(agent_id=mission.agent_id, mission=mission.id, intent=mission.intent_summary)
    row.set(terminal_state=ending.terminal_state, revoked_passports=sum(map(len, done)))
    return ended, [passport.id for group in done for passport in group]


def end_with_fleet(world: World, act: Act, mission: Mission, why: str) -> list[str]:
    """Revoke a fleet's mission because its agent left the fleet; returns the ids of the passports that ended with it.

    Args:
        world: the world; a transaction is open.
        act: the act that causes it; a ``mission.revoke`` row is added to it.
        mission: a running mission.
        why: kept as its notes.
    """
    row = act.also("mission.revoke", "vault")
    changes = {"end_reason": "operator_initiated_clean", "end_notes": why}
    ending = _Ending("revoked", "revoked_clean", f"Mission {mission.id} is revoked", changes)
    return _end(world, act, mission, ending, row)[1]


def _ended_reply(mission: Mission, transitioned: bool, revoked: list[str]) -> EndedMission:
    ended = iso(mission.ended_at or mission.expires_at)
    return EndedMission(
        mission_id=mission.id,
        claim_id=mission.details.get("end_claim_id") or mission.claim_id,
        status=mission.status,
        terminal_state=mission.details.get("terminal_state") or "expired",
        transitioned=transitioned,
        completed_at=ended if mission.status == "completed" else None,
        revoked_at=ended if mission.status == "revoked" else None,
        reason=mission.end_reason,
        revoked_passports=revoked,
    )


@operation(
    "missions.complete",
    rest=Rest("POST", "/v1/missions/{mission_id}/complete"),
    tool=Tool("stack_complete_mission", idempotent=True),
    auth=Auth(bearers=ACCOUNT_AND_AGENT, scope="passports:write", role="standard"),
    audit=Audit("mission.complete", layer="vault"),
    subject=subject_mission,
    source="sdk 4.0.0 missions.complete",
    grade="documented",
)
def complete_mission(ctx: Context, command: CompleteMission) -> EndedMission:
    """Complete a mission and revoke its passports. Completing it again changes nothing and says so.

    Raises:
        Fault: NOT_FOUND, MISSION_ENDED when it was revoked or has expired.
    """
    ctx.row.set(mission=command.mission_id)
    mission = require_visible_mission(ctx, command.mission_id)
    if mission.status == "completed":
        return _ended_reply(mission, False, [])
    require_live_mission(ctx.world, ctx.operator_id, mission.id)
    ending = _Ending(
        "completed", "completed_successful", f"Mission {mission.id} is completed", {"output": command.output}
    )
    return _ended_reply(*_transition(ctx, mission, ending))


@operation(
    "missions.revoke",
    rest=Rest("POST", "/v1/missions/{mission_id}/revoke"),
    tool=Tool("stack_revoke_mission", destructive=True, idempotent=True),
    auth=Auth(bearers=ACCOUNT_AND_AGENT, scope="passports:write", role="standard"),
    audit=Audit("mission.revoke", layer="vault"),
    subject=subject_mission,
    source="sdk 4.0.0 missions.revoke",
    grade="documented",
)
def revoke_mission(ctx: Context, command: RevokeMission) -> EndedMission:
    """Revoke a mission and, whatever the reason, its passports. A mission that has ended already stays as it is.

    Raises:
        Fault: NOT_FOUND.
    """
    ctx.row.set(mission=command.mission_id, reason=command.reason)
    mission = require_visible_mission(ctx, command.mission_id)
    status = status_of(ctx.world, mission)
    if status != "active":
        return _ended_reply(replace(mission, status=status), False, [])
    changes = {"end_reason": command.reason, "end_notes": command.notes}
    terminal = "revoked_adversarial" if command.reason == "adversarial" else "revoked_clean"
    ending = _Ending("revoked", terminal, f"Mission {mission.id} is revoked", changes)
    return _ended_reply(*_transition(ctx, mission, ending))


def _transition(ctx: Context, mission: Mission, ending: _Ending) -> tuple[Mission, bool, list[str]]:
    ended, revoked = _end(ctx.world, ctx.act, mission, ending)
    return ended, True, revoked


@on_timer(EXPIRE)
def expire_mission(world: World, act: Act, timer: Timer) -> None:
    """A mission's time is up: it is expired, and a passport that would outlive it dies with it."""
    mission = world.store.get(Mission, timer.payload["mission_id"])
    if mission is None or mission.status != "active":
        return
    _end(world, act, mission, _Ending("expired", "expired", f"Mission {mission.id} has expired"))
