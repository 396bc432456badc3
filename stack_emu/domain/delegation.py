"""Delegation: a passport for another agent, made from one's own and never more than that."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from stack_emu.domain import authority_use, faults
from stack_emu.domain.agents import require_agent
from stack_emu.domain.authentication import ANY_BEARER, live_passport
from stack_emu.domain.issuance import (
    DEFAULT_TTL_SECONDS,
    MODE_RANK,
    Draft,
    PassportReply,
    mint,
    passport_reply,
    presented,
    require_holder,
)
from stack_emu.domain.missions import require_live_mission
from stack_emu.domain.narrowing import Basis, ScopeInput, choose
from stack_emu.domain.passports import own_passport_only, refuse_checked_out, require_presented
from stack_emu.domain.state import Agent, JsonObject, Mission, Passport, ServiceScope
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import TOKEN, Audit, Auth, Command, Rest, Tool, operation

MAX_DEPTH = 4


class DelegatePassport(Command):
    """Which passport is delegated to whom, and how far."""

    parent_passport_token: Annotated[str | None, TOKEN] = Field(
        None, description="Token of the passport to delegate from"
    )
    parent_token: Annotated[str | None, TOKEN] = Field(
        None, description="The same under the name SDKs before 1.4.0 send"
    )
    child_agent_id: str = Field(description="Agent that gets the new passport (agt_…)")
    scopes: list[ScopeInput | str] | None = Field(
        None, description="Services to pass on, as providers or as objects that narrow them; all when left out"
    )
    ttl_seconds: int | None = Field(
        None, ge=60, le=3600, description="Life in seconds: 900 when left out; never beyond the parent's own end"
    )


@operation(
    "passports.delegate",
    rest=Rest("POST", "/v1/passports/delegate", status=201),
    tool=Tool("stack_delegate_passport"),
    auth=Auth(bearers=ANY_BEARER, scope="passports:write", role="standard", narrow=own_passport_only),
    audit=Audit("passport.delegate", layer="vault"),
    presents=presented("parent_passport_token", "parent_token"),
    source="sdk 4.0.0 passports.delegate; sdk 0.14.0 to 1.3.0 (parent_token); docs/reference/errors",
    grade="documented",
)
def delegate_passport(ctx: Context, command: DelegatePassport) -> PassportReply:
    """Delegate a passport to another agent, over at most four hops.

    The child keeps the session and the mission. It can only narrow: no more services or scopes, all constraints and
    possibly further ones, no longer life, and no weaker accountability mode.

    Raises:
        Fault: DELEGATION_DEPTH_EXCEEDED, SCOPE_ESCALATION, DELEGATION_ACCOUNTABILITY_VIOLATION, PASSPORT_BLOCKED,
            PASSPORT_EXPIRED, PASSPORT_REVOKED, NOT_FOUND for an unknown agent.
    """
    token = command.parent_passport_token or command.parent_token
    if token is None:
        problem = "parent_passport_token: send the token of the passport to delegate from"
        raise Fault(
            faults.INVALID_REQUEST, problem=problem, details={"fields": {"parent_passport_token": "is missing"}}
        )
    parent = require_presented(ctx, live_passport(ctx.world, token))
    ctx.row.set(child_agent_id=command.child_agent_id)
    refuse_checked_out(parent)
    mission = require_live_mission(ctx.world, ctx.operator_id, parent.mission_id) if parent.mission_id else None
    if parent.depth >= MAX_DEPTH:
        raise Fault(faults.DELEGATION_DEPTH_EXCEEDED, jti=parent.id, depth=parent.depth)
    child = require_agent(ctx.world, ctx.operator_id, command.child_agent_id)
    require_holder(child)
    _check_mode(parent, child)
    services = choose(ctx, Basis(parent.services, f"passport {parent.id}"), command.scopes)
    passport = mint(
        ctx,
        Draft(
            agent=child,
            accountability=child.accountability_mode,
            services=services,
            mission=mission,
            intent=_intent(parent, mission, child, services),
            ttl_seconds=command.ttl_seconds or DEFAULT_TTL_SECONDS,
            interval_seconds=parent.checkpoint_interval_seconds,
            not_after_ms=parent.expires_at,
            parent=parent,
            authority_binding_ids=authority_use.covering(ctx.world, child, parent.authority_binding_ids),
            identity_claim_ids=parent.identity_claim_ids,
        ),
    )
    scopes = [f"{scope.service_name}:{name}" for scope in services for name in scope.scopes]
    ctx.row.set(subject=passport.id, depth=passport.depth, scopes=scopes)
    ctx.row.set(services=list(dict.fromkeys(scope.service_name for scope in services)))
    return passport_reply(ctx.world, passport)


def _check_mode(parent: Passport, child: Agent) -> None:
    if MODE_RANK[child.accountability_mode] < MODE_RANK[parent.accountability]:
        raise Fault(
            faults.DELEGATION_ACCOUNTABILITY_VIOLATION,
            child=child.id,
            child_mode=child.accountability_mode,
            parent_mode=parent.accountability,
        )


def _intent(
    parent: Passport, mission: Mission | None, child: Agent, services: tuple[ServiceScope, ...]
) -> JsonObject | None:
    """The parent's intent as far as the services passed on; a stricter child falls back on the mission's.

    Raises:
        Fault: ACCOUNTABILITY_REQUIRED when the child's mode needs an intent and there is none.
    """
    names = [scope.service_name for scope in services]
    if parent.intent is not None:
        declared = [name for name in parent.intent_services if name in names]
        return {**parent.intent, "services": declared}
    if child.accountability_mode == "standard":
        return None
    if mission is None:
        raise Fault(faults.ACCOUNTABILITY_REQUIRED, agent_id=child.id, mode=child.accountability_mode)
    kept: dict[str, Any] = {
        "summary": mission.intent_summary,
        "services": list(dict.fromkeys(names)),
        "will_delegate": False,
    }
    return kept
