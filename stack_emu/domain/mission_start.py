"""Starting a mission together with its passport, and a further passport for a mission that runs."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from stack_emu.domain import authority_use, faults
from stack_emu.domain.agents import require_agent
from stack_emu.domain.authentication import ACCOUNT_AND_AGENT
from stack_emu.domain.issuance import Draft, PassportReply, describe, is_visible, mint, passport_reply, require_holder
from stack_emu.domain.missions import (
    MAX_LIFETIME_SECONDS,
    MissionById,
    MissionTerms,
    assignee,
    open_terms,
    require_live_mission,
    require_visible_mission,
    subject_mission,
)
from stack_emu.domain.passport_terms import IntentInput, PassportTerms, intent_of, issue
from stack_emu.domain.state import Agent, Mission, Passport
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import Audit, Auth, Command, Reply, Rest, Tool, operation
from stack_emu.kernel.store import replace


class StartMission(Command):
    """An agent, the mission to open for it, and what its passport shall be."""

    agent_id: str | None = Field(None, description="Agent that gets the mission and the passport (agt_…)")
    mission: MissionTerms | None = Field(None, description="What to open, as for stack_open_mission")
    passport: PassportTerms | None = Field(
        None, description="What to issue, as for stack_issue_passport; the intent is the mission's when left out"
    )
    fleet_policy_id: str | None = Field(
        None, description="Starts a fleet's mission (flp_…): what to open stands beside it instead of in mission"
    )
    idempotency_key: str | None = Field(
        None, max_length=255, description="Fleet form: the same key and body start one mission only"
    )
    intent_summary: str | None = Field(
        None, min_length=1, max_length=2000, description="Fleet form: what the mission is for, in words"
    )
    intent_services: list[str] | None = Field(None, description="Fleet form: services it is expected to use")
    requested_access: list[dict[str, Any]] | None = Field(
        None,
        description="Fleet form: access asked for, an entry for each connection: connection_id, scopes, intents, "
        "allow_data_from; all the policy allows when left out",
    )
    requested_operations: list[dict[str, Any]] | None = Field(
        None, description="Fleet form: operations asked for: producer, target_id, action"
    )
    limits: dict[str, Any] | None = Field(
        None, description="Fleet form: max_actions, max_concurrent_actions, max_duration_seconds …; else the policy's"
    )
    authority_binding_ids: list[str] | None = Field(None, description="Fleet form: authority bindings; kept")
    expected_output_shape: dict[str, Any] | None = Field(None, description="Fleet form: JSON Schema of the output")
    expires_in_seconds: int | None = Field(
        None, ge=1, le=MAX_LIFETIME_SECONDS, description="Fleet form: life in seconds; 900 when left out"
    )


class StartedMission(Reply):
    """A mission with a passport for it."""

    mission_id: str
    claim_id: str
    expires_at: str
    agent_id: str | None
    status: str
    passport: PassportReply


@operation(
    "missions.start",
    rest=Rest("POST", "/v1/missions/start", status=201),
    tool=Tool("stack_start_mission"),
    auth=Auth(bearers=ACCOUNT_AND_AGENT, scope="passports:write", role="standard"),
    audit=Audit("mission.start", layer="vault"),
    subject=lambda world, command: command.agent_id,
    source="sdk 4.0.0 missions.start (both forms), passports.mission",
    grade="documented",
)
def start_mission(ctx: Context, command: StartMission) -> StartedMission:
    """Open a mission for an agent and issue its passport in one call; when the passport is refused, nothing is opened.

    In the fleet form, with fleet_policy_id, an agent that is a member of the fleet starts it for itself (or an account's
    key for the member it names), and the passport gets exactly the access that is asked for.

    Raises:
        Fault: what opening or issuing raises.
    """
    ctx.row.set(fleet=command.fleet_policy_id)
    terms = _require_terms(command)
    ctx.row.set(intent=terms.intent_summary)
    agent = assignee(ctx, command.agent_id)
    if agent is None or terms.agent_id not in (None, agent.id):
        raise _invalid("agent_id", "name the agent that gets the mission and the passport, once")
    asked = command.passport or PassportTerms()
    if command.fleet_policy_id is not None and asked.authority_binding_ids is None:
        asked = asked.model_copy(update={"authority_binding_ids": terms.authority_binding_ids})
    opening = open_terms(ctx, terms, agent, asked.model_dump(mode="json", exclude_unset=True))
    mission = opening.mission
    ctx.row.set(mission=mission.id, repeated=opening.repeated or None)
    passport = _first_passport(ctx, mission) if opening.repeated else None
    if passport is None:
        require_live_mission(ctx.world, ctx.operator_id, mission.id)
        passport = issue(ctx, agent, mission, _with_intent(asked, mission))
        _issue_row(ctx, passport)
        ctx.world.store.put(replace(mission, details={**mission.details, "started_passport": passport.id}))
    ctx.row.set(passport_jti=passport.id, **describe(passport))
    return StartedMission(
        mission_id=mission.id,
        claim_id=mission.claim_id,
        expires_at=iso(mission.expires_at),
        agent_id=mission.agent_id,
        status=mission.status,
        passport=passport_reply(ctx.world, passport),
    )


def _require_terms(command: StartMission) -> MissionTerms:
    if command.fleet_policy_id is not None:
        return _fleet_terms(command)
    if command.mission is None:
        raise _invalid("mission", "send an object with intent_summary")
    return command.mission


def _fleet_terms(command: StartMission) -> MissionTerms:
    if command.mission is not None:
        raise _invalid("mission", "with fleet_policy_id its fields stand beside it; send no mission")
    if command.intent_summary is None:
        raise _invalid("intent_summary", "say what the mission is for")
    given = command.model_dump(exclude_unset=True, exclude={"agent_id", "mission", "passport"})
    return MissionTerms(**given)


def _first_passport(ctx: Context, mission: Mission) -> Passport | None:
    jti = mission.details.get("started_passport")
    return _lendable(ctx, ctx.world.store.get(Passport, jti)) if jti is not None else None


def _lendable(ctx: Context, passport: Passport | None) -> Passport | None:
    """A passport to hand out again, or to make another like.

    Raises:
        Fault: FORBIDDEN when it reaches further than the caller does.
    """
    if passport is not None and not is_visible(ctx.caller, passport):
        reason = f"The passport of {passport.mission_id} reaches further than this key; issue one with narrower scopes"
        raise Fault(faults.FORBIDDEN, reason=reason)
    return passport


def _with_intent(terms: PassportTerms, mission: Mission) -> PassportTerms:
    if intent_of(terms) is not None:
        return terms
    intent = IntentInput(summary=mission.intent_summary[:500], services=list(mission.intent_services))
    return terms.model_copy(update={"intent": intent})


def _issue_row(ctx: Context, passport: Passport) -> None:
    """The ``passport.issue`` row of a passport that came with something else."""
    row = ctx.act.also("passport.issue", agent_id=passport.agent_id, passport_jti=passport.id)
    row.set(session=passport.session_id, **describe(passport))


class RenewedMission(Reply):
    """A running mission with a further passport."""

    mission_id: str
    expires_at: str
    status: str
    passport: PassportReply


@operation(
    "missions.renew",
    rest=Rest("POST", "/v1/missions/{mission_id}/renew"),
    tool=Tool("stack_renew_mission"),
    auth=Auth(bearers=ACCOUNT_AND_AGENT, scope="passports:write", role="standard"),
    audit=Audit("mission.renew", layer="vault"),
    subject=subject_mission,
    source="sdk 4.0.0 missions.renew",
    grade="documented",
)
def renew_mission(ctx: Context, command: MissionById) -> RenewedMission:
    """Issue a further passport for a running mission; its limits, its usage and its end stay as they are.

    The new passport is like the last one issued for the mission.

    Raises:
        Fault: NOT_FOUND, MISSION_ENDED, CONFLICT for a mission without an agent, PASSPORT_BLOCKED,
            FORBIDDEN when the last passport reaches further than the caller.
    """
    ctx.row.set(mission=command.mission_id)
    require_visible_mission(ctx, command.mission_id)
    mission = require_live_mission(ctx.world, ctx.operator_id, command.mission_id)
    last = _last_root(ctx, mission)
    agent_id = last.agent_id if last is not None else mission.agent_id
    if agent_id is None:
        raise Fault(faults.CONFLICT, problem=f"{mission.id} has no agent and no passport yet; issue its first passport")
    agent = require_agent(ctx.world, ctx.operator_id, agent_id)
    passport = _again(ctx, agent, mission, last) if last is not None else issue(ctx, agent, mission, _plain(mission))
    _issue_row(ctx, passport)
    ctx.row.set(agent_id=agent.id, passport_jti=passport.id, **describe(passport))
    return RenewedMission(
        mission_id=mission.id,
        expires_at=iso(mission.expires_at),
        status=mission.status,
        passport=passport_reply(ctx.world, passport),
    )


def _last_root(ctx: Context, mission: Mission) -> Passport | None:
    roots = [found for found in ctx.world.store.find(Passport, mission_id=mission.id) if found.parent_id is None]
    return _lendable(ctx, roots[-1]) if roots else None


def _plain(mission: Mission) -> PassportTerms:
    return _with_intent(PassportTerms(), mission)


def _again(ctx: Context, agent: Agent, mission: Mission, last: Passport) -> Passport:
    require_holder(agent)
    draft = Draft(
        agent=agent,
        accountability=last.accountability,
        services=last.services,
        mission=mission,
        intent=last.intent,
        ttl_seconds=max(last.ttl_seconds, 60),
        interval_seconds=last.checkpoint_interval_seconds,
        session_id=last.session_id,
        not_after_ms=authority_use.end_of(ctx, agent, last.authority_binding_ids),
        authority_binding_ids=last.authority_binding_ids,
    )
    return mint(ctx, draft)


def _invalid(field: str, problem: str) -> Fault:
    detail: dict[str, Any] = {"fields": {field: problem}}
    return Fault(faults.INVALID_REQUEST, problem=f"{field}: {problem}", details=detail)
