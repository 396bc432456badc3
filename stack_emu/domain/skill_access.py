"""Who may invoke a skill: the trust level, the agent's limits, the passport, the approval and the buyer's credentials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from stack_emu.domain import faults, intent_approvals, proxy_checks
from stack_emu.domain.agents import require_agent
from stack_emu.domain.authentication import ANY_BEARER
from stack_emu.domain.identity_records import held_claims, trust_level
from stack_emu.domain.issuance import require_holder, require_visible
from stack_emu.domain.json_schemas import refuse_field
from stack_emu.domain.skill_records import LEVELS, Skill
from stack_emu.domain.skills import READ, SkillById, visible_skill
from stack_emu.domain.state import Agent, Connection, Grant, Passport
from stack_emu.kernel.dispatch import Context, Refused
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import Auth, Reply, Rest, Tool, operation
from stack_emu.kernel.world import World

CLAIM_OF = {"L1": "verified_human", "L2": "verified_identity"}
"""The identity claim each trust level asks for (docs/guides/invoking-skills)."""


@dataclass(frozen=True)
class Buyer:
    """For whom a skill is invoked: an agent, and the passport it acts under, if any."""

    agent: Agent
    passport: Passport | None = None

    @property
    def accountability(self) -> str:
        """The mode the invocation is held to."""
        return self.passport.accountability if self.passport is not None else self.agent.accountability_mode


def claim_types(world: World, operator_id: str, passport: Passport | None) -> frozenset[str]:
    """Types of the identity claims that count for an account, or for a passport of it."""
    return frozenset(claim.claim_type for claim in held_claims(world, operator_id, passport))


def require_intent_approval(
    ctx: Context, skill: Skill, buyer: Buyer, approval_id: str | None, given: Mapping[str, Any]
) -> None:
    """Hold an enforced agent to an approved intent (sdk 4.0.0 skills.invoke).

    Raises:
        Fault: INTENT_APPROVAL_REQUIRED; FORBIDDEN for an enforced agent without a passport, which no intent can be for.
    """
    if buyer.passport is None and buyer.accountability == "enforced" and intent_approvals.required(ctx.world):
        reason = (
            f"Agent {buyer.agent.id} is in enforced mode: invoke the skill under a passport, with an approved intent"
        )
        raise Fault(faults.FORBIDDEN, reason=reason)
    call = {"skill_id": skill.id, "agent_id": buyer.agent.id, "input": given}
    intent_approvals.require_approval(ctx, buyer.passport, approval_id, kind=intent_approvals.SKILL, call=call)


class CheckTrust(SkillById):
    """A skill, and for whom to check it."""

    passport_id: str | None = Field(None, description="Passport jti to check instead of the account's own claims")


class TrustReply(Reply):
    """What a skill asks for and what the caller has."""

    skill_id: str
    trust_level_required: str
    trust_level: str
    meets_requirement: bool
    claims: list[str]
    missing_claim: str | None
    problem: str | None


@operation(
    "skills.check_trust",
    rest=Rest("POST", "/v1/skills/{skill_id}/check-trust"),
    tool=Tool("stack_check_trust_level", read_only=True),
    auth=Auth(bearers=ANY_BEARER, scope=READ),
    source="sdk 4.0.0 skills.check_trust; docs/guides/invoking-skills",
    grade="sdk-implied",
)
def check_trust(ctx: Context, command: CheckTrust) -> TrustReply:
    """Say whether the caller's identity claims, as they are kept here, suffice for a skill.

    Raises:
        Fault: SKILL_NOT_FOUND, NOT_FOUND for the passport.
    """
    skill = visible_skill(ctx.world, ctx.operator_id, command.skill_id)
    passport = _passport(ctx, command.passport_id)
    level = trust_level(ctx.world, ctx.operator_id, passport)
    suffices = LEVELS.index(level) >= LEVELS.index(skill.trust_level_required)
    missing = None if suffices else CLAIM_OF[skill.trust_level_required]
    return TrustReply(
        skill_id=skill.id,
        trust_level_required=skill.trust_level_required,
        trust_level=level,
        meets_requirement=suffices,
        claims=sorted(claim_types(ctx.world, ctx.operator_id, passport)),
        missing_claim=missing,
        problem=f"{skill.trust_level_required} needs the claim {missing}; verify for it first" if missing else None,
    )


def _passport(ctx: Context, passport_id: str | None) -> Passport | None:
    """The passport a call is made under: the bearer, or the one it names."""
    if ctx.caller.passport_jti is None:
        return require_visible(ctx, passport_id) if passport_id is not None else None
    if passport_id not in (None, ctx.caller.passport_jti):
        raise Fault(faults.NOT_FOUND, what="Passport", id=passport_id)
    return ctx.world.store.get(Passport, ctx.caller.passport_jti)


def buyer_of(ctx: Context, agent_id: str | None, passport_id: str | None) -> Buyer:
    """For whom the skill is invoked, noted in the row.

    Args:
        ctx: the call.
        agent_id: the agent named; not needed when the credential or the passport is an agent's own.
        passport_id: the passport named.

    Raises:
        Fault: INVALID_REQUEST without an agent, NOT_FOUND, PASSPORT_EXPIRED, PASSPORT_REVOKED, PASSPORT_BLOCKED,
            MISSION_ENDED or FORBIDDEN.
    """
    if ctx.caller.agent_id is not None:
        ctx.row.agent_id, ctx.row.passport_jti = ctx.caller.agent_id, ctx.caller.passport_jti
    passport = _passport(ctx, passport_id)
    chosen = ctx.caller.agent_id or agent_id or (passport.agent_id if passport is not None else None)
    if chosen is None:
        refuse_field("agent_id", "say which agent invokes the skill, or name its passport in passport_id")
    if agent_id not in (None, chosen):
        raise Fault(faults.NOT_FOUND, what="Agent", id=agent_id)
    agent = require_agent(ctx.world, ctx.operator_id, chosen)
    ctx.row.set(agent_id=agent.id)
    if passport is not None:
        if passport.agent_id != agent.id:
            reason = f"Passport {passport.id} is one of {passport.agent_id}, not of {agent.id}; present the agent's own"
            raise Fault(faults.FORBIDDEN, reason=reason)
        outcome = proxy_checks.acting_under(ctx, passport)
        if isinstance(outcome, Refused):
            raise outcome.fault
    else:
        require_holder(agent)
    return Buyer(agent, passport)


def check_access(ctx: Context, skill: Skill, buyer: Buyer) -> None:
    """Refuse a skill the agent's limits or the trust level keep from it.

    Raises:
        Fault: UNAUTHORIZED_SKILL_ACCESS or TRUST_LEVEL_INSUFFICIENT.
    """
    agent, details = buyer.agent, {"skill_access_mode": buyer.agent.skill_access_mode, "skill_id": skill.id}
    if agent.skill_access_mode == "none":
        reason = f"Agent {agent.id} may invoke no skills; set its skill_access_mode to own or any"
        raise Fault(faults.UNAUTHORIZED_SKILL_ACCESS, reason=reason, details=details)
    if agent.skill_access_mode == "own" and skill.operator_id != ctx.operator_id:
        reason = f"Agent {agent.id} may invoke this account's own skills only; set its skill_access_mode to any"
        raise Fault(faults.UNAUTHORIZED_SKILL_ACCESS, reason=reason, details=details)
    allowed = agent.allowed_skills
    if allowed is not None and not {skill.id, "*"} & set(allowed):
        reason = (
            f"Agent {agent.id} may invoke {', '.join(allowed) or 'no skill'} only; add {skill.id} to allowed_skills"
        )
        raise Fault(
            faults.UNAUTHORIZED_SKILL_ACCESS, reason=reason, details={**details, "allowed_skills": list(allowed)}
        )
    level = trust_level(ctx.world, ctx.operator_id, buyer.passport)
    if LEVELS.index(level) < LEVELS.index(skill.trust_level_required):
        raise Fault(
            faults.TRUST_LEVEL_INSUFFICIENT,
            skill_id=skill.id,
            needed=skill.trust_level_required,
            level=level,
            missing=CLAIM_OF[skill.trust_level_required],
            details={"required": skill.trust_level_required, "trust_level": level},
        )


def check_credentials(ctx: Context, skill: Skill, buyer: Buyer) -> None:
    """Refuse a skill whose buyer is to provide credentials and has none that fits. They are never handed to the publisher.

    Raises:
        Fault: FORBIDDEN, naming the provider and scopes that are missing.
    """
    if skill.credential_mode != "buyer_provides":
        return
    for needed in skill.required_credentials:
        if not any(_covers(scopes, needed) for scopes in _usable(ctx, buyer, str(needed["provider"]))):
            scopes = ", ".join(needed["scopes"])
            what = f"{needed['provider']}{f' with {scopes}' if scopes else ''}"
            reason = f"Skill {skill.id} needs {what} of the buyer; connect it and grant it to {buyer.agent.id}"
            raise Fault(faults.FORBIDDEN, reason=reason, details={"missing_credential": dict(needed)})


def _covers(scopes: tuple[str, ...], needed: Mapping[str, Any]) -> bool:
    return set(needed["scopes"]) <= set(scopes)


def _usable(ctx: Context, buyer: Buyer, provider: str) -> list[tuple[str, ...]]:
    """Scopes of the buyer's connections of a provider: those of the passport, else those granted to the agent."""
    if buyer.passport is not None:
        pairs = [(scope.connection_id, scope.scopes) for scope in buyer.passport.services]
    else:
        granted = ctx.world.store.find(Grant, agent_id=buyer.agent.id)
        pairs = [(grant.connection_id, grant.scopes) for grant in granted]
    allowed = ctx.caller.allowed_connections
    found = []
    for connection_id, scopes in pairs:
        connection = ctx.world.store.get(Connection, connection_id)
        fits = connection is not None and connection.provider == provider and connection.status == "active"
        if fits and (allowed is None or connection_id in allowed):
            found.append(scopes)
    return found
