"""What buyer and publisher see of a skill and of an invocation."""

from __future__ import annotations

from typing import Any

from stack_emu.domain import faults
from stack_emu.domain.issuance import is_visible
from stack_emu.domain.skill_records import OPEN, SOURCE, Invocation, Skill
from stack_emu.domain.state import Passport
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import Reply


class SkillReply(Reply):
    """A skill as the caller may see it: ``agent_id`` and ``execution_steps`` are its publisher's, unless it is source."""

    id: str
    operator_id: str
    name: str
    description: str
    version: str
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    tags: list[str]
    trust_level_required: str
    status: str
    execution_mode: str
    credential_mode: str
    required_credentials: list[dict[str, Any]]
    price_per_invocation: int
    invocation_count: int
    average_rating: float | None
    agent_id: str | None
    execution_steps: list[dict[str, Any]] | None
    created_at: str
    updated_at: str


def skill_reply(skill: Skill, operator_id: str) -> SkillReply:
    """A skill as an account sees it. Nobody can rate skills, so there is no rating."""
    own = skill.operator_id == operator_id
    return SkillReply(
        id=skill.id,
        operator_id=skill.operator_id,
        name=skill.name,
        description=skill.description,
        version=skill.version,
        input_schema=dict(skill.input_schema),
        output_schema=dict(skill.output_schema),
        tags=list(skill.tags),
        trust_level_required=skill.trust_level_required,
        status=skill.status,
        execution_mode=skill.execution_mode,
        credential_mode=skill.credential_mode,
        required_credentials=[dict(item) for item in skill.required_credentials],
        price_per_invocation=skill.price_per_invocation,
        invocation_count=skill.invocation_count,
        average_rating=None,
        agent_id=skill.agent_id if own else None,
        execution_steps=[dict(step) for step in skill.execution_steps]
        if own or skill.execution_mode == SOURCE
        else None,
        created_at=iso(skill.created_at),
        updated_at=iso(skill.updated_at),
    )


class InvocationReply(Reply):
    """An invocation; agent and passport are the buyer's and shown to its account only."""

    id: str
    skill_id: str
    skill_version: str
    status: str
    execution_mode: str
    agent_id: str | None
    passport_id: str | None
    input: dict[str, Any]
    output: Any
    error: dict[str, Any] | None
    price_cents: int
    expires_at: str
    created_at: str
    started_at: str | None
    completed_at: str | None
    llm_tokens_input: int | None
    llm_tokens_output: int | None
    execution_duration_ms: int | None


def reply_for(ctx: Context, invocation: Invocation) -> InvocationReply:
    """An invocation as the caller's account sees it."""
    bought = invocation.operator_id == ctx.operator_id
    return InvocationReply(
        id=invocation.id,
        skill_id=invocation.skill_id,
        skill_version=invocation.skill_version,
        status=invocation.status,
        execution_mode=invocation.execution_mode,
        agent_id=invocation.agent_id if bought else None,
        passport_id=invocation.passport_id if bought else None,
        input=dict(invocation.input),
        output=invocation.output,
        error=dict(invocation.error) if invocation.error is not None else None,
        price_cents=invocation.price,
        expires_at=iso(invocation.expires_at),
        created_at=iso(invocation.created_at),
        started_at=_instant(invocation.started_at),
        completed_at=_instant(invocation.completed_at),
        llm_tokens_input=invocation.llm_tokens_input,
        llm_tokens_output=invocation.llm_tokens_output,
        execution_duration_ms=invocation.execution_duration_ms,
    )


def _instant(at_ms: int | None) -> str | None:
    return None if at_ms is None else iso(at_ms)


def may_see(ctx: Context, invocation: Invocation, *, buying: bool) -> bool:
    """Whether the caller may see an invocation as its buyer, or else as its publisher.

    A key limited to connections does not see what was invoked under a passport it may not see.
    """
    own = ctx.caller.agent_id
    if not buying:
        skill = ctx.world.store.get(Skill, invocation.skill_id)
        served = invocation.publisher_id == ctx.operator_id and invocation.execution_mode == OPEN
        return served and (own is None or (skill is not None and skill.agent_id == own))
    if invocation.operator_id != ctx.operator_id:
        return False
    if own is not None:
        return invocation.agent_id == own
    passport = ctx.world.store.get(Passport, invocation.passport_id) if invocation.passport_id is not None else None
    return passport is None or is_visible(ctx.caller, passport)


def require_invocation(ctx: Context, invocation_id: str, *, serving: bool = False) -> Invocation:
    """An invocation the caller may see.

    Args:
        ctx: the call.
        invocation_id: ``sinv_…``.
        serving: only as its publisher.

    Raises:
        Fault: INVOCATION_NOT_FOUND.
    """
    found = ctx.world.store.get(Invocation, invocation_id)
    sides = (False,) if serving else (True, False)
    if found is None or not any(may_see(ctx, found, buying=side) for side in sides):
        if ctx.maybe_act is not None:
            ctx.row.agent_id = ctx.caller.agent_id  # the row must not say who serves what the caller may not see
        raise Fault(faults.INVOCATION_NOT_FOUND, id=invocation_id)
    return found
