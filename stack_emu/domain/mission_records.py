"""Reading missions, and what they did."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from stack_emu.domain.audit import visible
from stack_emu.domain.authentication import ACCOUNT_AND_AGENT, ANY_BEARER
from stack_emu.domain.fleet_missions import fleet_part
from stack_emu.domain.missions import DETAILS, MissionById, is_visible_mission, require_visible_mission, status_of
from stack_emu.domain.state import Mission, Passport
from stack_emu.kernel.audit import Row
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.operations import Auth, Command, Reply, Rest, Tool, operation


class MissionReply(Reply):
    """A mission as the API shows it."""

    mission_id: str
    id: str
    operator_id: str
    agent_id: str | None
    claim_id: str
    status: str = Field(description="active, completed, revoked or expired")
    terminal_state: str | None
    intent_summary: str
    intent_services: list[str]
    created_at: str
    expires_at: str
    ended_at: str | None
    end_reason: str | None
    end_notes: str | None
    output: dict[str, Any] | None
    limits: dict[str, Any]
    usage: dict[str, Any]
    details: dict[str, Any]
    passports: list[str] = Field(description="Ids of the passports bound to it, oldest first")
    fleet: dict[str, Any] | None = Field(
        None, description="For a fleet's mission: fleet_policy_id, revision, limits, usage, access and operations"
    )


class MissionPage(Reply):
    """Missions, newest first."""

    items: list[MissionReply]
    total: int
    page: int
    limit: int


class ListMissions(Command):
    """Which missions to list."""

    status: Literal["active", "completed", "revoked", "expired"] | None = Field(None, description="Only this status")
    agent_id: str | None = Field(None, description="Only this agent's")
    page: int = Field(1, ge=1, description="Page, from 1")
    limit: int = Field(20, ge=1, le=100, description="Missions on a page, at most 100")


@operation(
    "missions.get",
    rest=Rest("GET", "/v1/missions/{mission_id}"),
    tool=Tool("stack_get_mission"),
    auth=Auth(bearers=ANY_BEARER, scope="passports:read"),
    source="sdk 4.0.0 missions.get",
    grade="documented",
)
def get_mission(ctx: Context, command: MissionById) -> MissionReply:
    """Read one mission with its limits, its usage and the passports bound to it.

    Raises:
        Fault: NOT_FOUND.
    """
    return mission_reply(ctx, require_visible_mission(ctx, command.mission_id))


def mission_reply(ctx: Context, mission: Mission) -> MissionReply:
    """The public form of a mission."""
    status = status_of(ctx.world, mission)
    ended = mission.ended_at if mission.ended_at is not None or status == "active" else mission.expires_at
    bound = ctx.world.store.find(Passport, mission_id=mission.id)
    # What was asked for names connections a limited key may not see.
    hidden = ("requested_access",) if ctx.caller.allowed_connections is not None else ()
    return MissionReply(
        mission_id=mission.id,
        id=mission.id,
        operator_id=mission.operator_id,
        agent_id=mission.agent_id,
        claim_id=mission.claim_id,
        status=status,
        terminal_state=None if status == "active" else mission.details.get("terminal_state", status),
        intent_summary=mission.intent_summary,
        intent_services=list(mission.intent_services),
        created_at=iso(mission.created_at),
        expires_at=iso(mission.expires_at),
        ended_at=None if ended is None else iso(ended),
        end_reason=mission.end_reason,
        end_notes=mission.end_notes,
        output=None if mission.output is None else dict(mission.output),
        limits=dict(mission.limits),
        usage={"actions": mission.actions, "actions_per_service": dict(mission.actions_per_service)},
        details={name: mission.details[name] for name in DETAILS if name in mission.details and name not in hidden},
        passports=[passport.id for passport in bound],
        fleet=fleet_part(ctx, mission),
    )


@operation(
    "missions.list",
    rest=Rest("GET", "/v1/missions"),
    tool=Tool("stack_list_missions"),
    auth=Auth(bearers=ACCOUNT_AND_AGENT, scope="passports:read"),
    source="sdk 4.0.0 missions.list",
    grade="documented",
)
def list_missions(ctx: Context, command: ListMissions) -> MissionPage:
    """List missions, newest first. An agent's own credential sees the missions assigned to it."""
    found = [
        mission
        for mission in ctx.world.store.find(Mission, operator_id=ctx.operator_id)
        if is_visible_mission(ctx.world, ctx.caller, mission)
        and command.status in (None, status_of(ctx.world, mission))
        and command.agent_id in (None, mission.agent_id)
    ]
    found.reverse()
    start = (command.page - 1) * command.limit
    items = [mission_reply(ctx, mission) for mission in found[start : start + command.limit]]
    return MissionPage(items=items, total=len(found), page=command.page, limit=command.limit)


class MissionEvent(Reply):
    """One audit row of a mission."""

    entry_id: str
    timestamp: int
    at: str
    action: str
    layer: str
    outcome: str
    agent_id: str | None
    passport_jti: str | None
    error_code: str | None
    details: dict[str, Any]


class MissionActivity(Reply):
    """What happened in a mission, oldest first."""

    mission_id: str
    status: str
    intent_summary: str
    events: list[MissionEvent]
    total: int


@operation(
    "missions.activity",
    rest=Rest("GET", "/v1/missions/{mission_id}/replay"),
    tool=Tool("stack_get_mission_activity"),
    auth=Auth(bearers=ACCOUNT_AND_AGENT, scope="audit:read"),
    source="sdk 4.0.0 missions.activity, missions.replay; the reply's shape is not published",
    grade="sdk-implied",
)
def get_mission_activity(ctx: Context, command: MissionById) -> MissionActivity:
    """Read what a mission did: every audit row that names it, refusals included, oldest first.

    Raises:
        Fault: NOT_FOUND.
    """
    mission = require_visible_mission(ctx, command.mission_id)
    may_see = visible(ctx)
    rows = [row for row in ctx.world.audit.chain(ctx.operator_id).select(mission=mission.id) if may_see(row)]
    return MissionActivity(
        mission_id=mission.id,
        status=status_of(ctx.world, mission),
        intent_summary=mission.intent_summary,
        events=[_event(row) for row in rows],
        total=len(rows),
    )


def _event(row: Row) -> MissionEvent:
    return MissionEvent(
        entry_id=row.entry_id,
        timestamp=row.timestamp,
        at=iso(row.timestamp),
        action=row.action,
        layer=row.layer,
        outcome=row.outcome,
        agent_id=row.agent_id,
        passport_jti=row.passport_jti,
        error_code=row.error_code,
        details={name: value for name, value in row.metadata.items() if name != "mission"},
    )
