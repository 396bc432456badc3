"""What a passport is asked to be, and making a root passport from it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from stack_emu.domain import authority_use, faults
from stack_emu.domain.grants import IntentUse
from stack_emu.domain.identity_records import claims_for_passport
from stack_emu.domain.issuance import DEFAULT_TTL_SECONDS, MODE_RANK, Draft, mint, require_holder
from stack_emu.domain.narrowing import ScopeInput, choose, granted, held, offers, with_intents
from stack_emu.domain.state import Agent, JsonObject, Mission, Passport, ServiceScope
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import Command


class IntentInput(Command):
    """What a passport is for."""

    summary: str = Field("", max_length=500, description="What the agent is going to do, in words")
    services: list[str] = Field([], description="Services it is going to use")
    will_delegate: bool = Field(False, description="Whether it is going to delegate")
    estimated_duration_seconds: int | None = Field(None, ge=0, description="How long it is expected to take")


class PassportTerms(Command):
    """What a passport shall be."""

    ttl_seconds: int = Field(
        DEFAULT_TTL_SECONDS, ge=60, le=3600, description="Life in seconds: 60 to 3600, 900 when left out"
    )
    scopes: list[ScopeInput] | None = Field(
        None, description="What it may use of each connection; all grants when left out"
    )
    services: list[ScopeInput | str] | None = Field(None, description="The same, as providers or connection ids")
    intents: list[IntentUse | str] | None = Field(None, description="Named intents, for the services that offer them")
    identity_claim_ids: list[str] | None = Field(
        None, description="Identity claims to carry (clm_…); all active ones when left out, unless settings say opt_in"
    )
    intent: IntentInput | str | None = Field(None, description="What it is for; enforced and logged agents need one")
    checkpoint_interval_seconds: int | None = Field(
        None, ge=60, le=3600, description="Seconds between checkpoints: 60 to 3600; 300 in enforced mode when left out"
    )
    accountability_mode: Literal["enforced", "logged", "standard"] | None = Field(
        None, description="Stricter mode than the agent's own"
    )
    authority_binding_ids: list[str] | None = Field(None, description="Active authority bindings of the agent (abn_…)")


def issue(ctx: Context, agent: Agent, mission: Mission | None, terms: PassportTerms) -> Passport:
    """Make a root passport for an agent.

    Args:
        ctx: the call; its row is filled in.
        agent: who gets it.
        mission: a live mission, or None where the world's ``compat`` allows that.
        terms: what it shall be.

    Raises:
        Fault: PASSPORT_BLOCKED, FORBIDDEN, ACCOUNTABILITY_REQUIRED, SCOPE_ESCALATION, NOT_FOUND, CONFLICT,
            IDENTITY_REQUIREMENTS_NOT_MET or INVALID_REQUEST.
    """
    intent = intent_of(terms)
    ctx.row.set(
        agent_id=agent.id,
        mission=mission.id if mission else None,
        intent=intent["summary"] if intent else None,
        services=list(intent["services"]) if intent else None,
    )
    require_holder(agent)
    if mission is not None and mission.agent_id not in (None, agent.id):
        reason = f"{mission.id} is assigned to agent {mission.agent_id}; open a mission for {agent.id} or unassigned"
        raise Fault(faults.FORBIDDEN, reason=reason)
    mode = _mode(agent, terms.accountability_mode)
    if mode != "standard" and not (intent and intent["summary"]):
        raise Fault(faults.ACCOUNTABILITY_REQUIRED, agent_id=agent.id, mode=mode)
    bindings = authority_use.require(ctx, agent, terms.authority_binding_ids or ())
    draft = Draft(
        agent=agent,
        accountability=mode,
        services=_services(ctx, agent, mission, terms),
        mission=mission,
        intent=intent,
        ttl_seconds=terms.ttl_seconds,
        interval_seconds=terms.checkpoint_interval_seconds,
        not_after_ms=min((one.expires_at for one in bindings), default=None),
        authority_binding_ids=tuple(one.id for one in bindings),
        identity_claim_ids=claims_for_passport(ctx.world, agent.operator_id, terms.identity_claim_ids),
    )
    return mint(ctx, draft)


def intent_of(terms: PassportTerms) -> JsonObject | None:
    """The intent of a request as it is kept; a bare string (raw HTTP) is its summary."""
    given = IntentInput(summary=terms.intent) if isinstance(terms.intent, str) else terms.intent
    if given is None:
        return None
    kept: dict[str, Any] = {
        "summary": given.summary,
        "services": list(given.services),
        "will_delegate": given.will_delegate,
    }
    if given.estimated_duration_seconds is not None:
        kept["estimated_duration_seconds"] = given.estimated_duration_seconds
    return kept


def _mode(agent: Agent, asked: str | None) -> str:
    if asked is None or asked == agent.accountability_mode:
        return agent.accountability_mode
    if MODE_RANK[asked] < MODE_RANK[agent.accountability_mode]:
        problem = (
            f"accountability_mode: {asked} is weaker than {agent.accountability_mode}, the mode of agent {agent.id}"
        )
        raise Fault(faults.INVALID_REQUEST, problem=problem, details={"fields": {"accountability_mode": "is weaker"}})
    return asked


def _services(ctx: Context, agent: Agent, mission: Mission | None, terms: PassportTerms) -> tuple[ServiceScope, ...]:
    wanted = terms.scopes if terms.scopes is not None else terms.services
    # A fleet's mission brings its own access; its agents need no grants.
    if mission is not None and mission.access is not None:
        basis = held(ctx, mission.access, f"mission {mission.id}")
    else:
        basis = granted(ctx, agent)
    chosen = choose(ctx, basis, wanted)
    for entry in terms.intents or ():
        name = entry if isinstance(entry, str) else entry.name
        if not any(offers(ctx, scope, name) for scope in chosen):
            problem = f"intents: no service of the passport offers {name}; stack_list_intents names those there are"
            raise Fault(faults.INVALID_REQUEST, problem=problem, details={"fields": {"intents": problem}})
        chosen = tuple(with_intents(ctx, scope, [entry]) if offers(ctx, scope, name) else scope for scope in chosen)
    return chosen
