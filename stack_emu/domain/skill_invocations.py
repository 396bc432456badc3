"""Invoking skills: open ones wait for the publisher's agent, the steps of sealed and source ones run at once.

An open invocation is pending until the publisher claims it, and ends completed, failed or, after ten minutes, expired
(docs/concepts/skills names the flow, not the time). The publisher of a sealed skill never sees what it was invoked with.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from stack_emu.domain import faults, meters
from stack_emu.domain.authentication import ANY_BEARER
from stack_emu.domain.idempotency import HEADER as IDEMPOTENCY
from stack_emu.domain.idempotency import once
from stack_emu.domain.json_schemas import check_value
from stack_emu.domain.sealed_skills import run_steps
from stack_emu.domain.skill_access import (
    Buyer,
    buyer_of,
    check_access,
    check_credentials,
    require_intent_approval,
)
from stack_emu.domain.skill_payments import charge, pay_out, refund
from stack_emu.domain.skill_records import COMPLETED, FAILED, OPEN, PENDING, SUSPENDED, Invocation, Skill
from stack_emu.domain.skill_views import InvocationReply, may_see, reply_for, require_invocation
from stack_emu.domain.skills import LAYER, READ, SkillById, visible_skill
from stack_emu.domain.state import Agent, Passport
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import VOLATILE, Audit, Auth, Command, Rest, Tool, operation
from stack_emu.kernel.store import replace
from stack_emu.kernel.world import Timer, World

INVOKE = "skills:invoke"
TTL_MS = 600_000
"""How long an open invocation waits for its output."""
EXPIRE = "skill.expire"


class InvokeSkill(SkillById):
    """A skill, its input, and for whom it is invoked."""

    input: dict[str, Any] = Field(description="Input, checked against the skill's input_schema")
    agent_id: str | None = Field(
        None, description="Agent that invokes it; not needed with an agent's own credential or a passport"
    )
    passport_id: str | None = Field(None, description="Jti of the agent's passport the invocation counts under")
    intent_approval_id: str | None = Field(
        None, max_length=256, description="Approval of the intent, needed by agents in enforced mode"
    )
    authority_request_id: Annotated[str | None, VOLATILE] = Field(
        None,
        pattern=r"^[A-Za-z0-9_-]{22,256}$",
        description="Id under which an unchanged retry gets the first reply instead of a second invocation",
    )
    idempotency_key: str | None = Field(
        None, min_length=1, max_length=256, description="The same, for keys of any form; it wins when both are sent"
    )


def _presented(world: World, command: InvokeSkill) -> tuple[str, str] | None:
    passport = world.store.get(Passport, command.passport_id) if command.passport_id is not None else None
    return (passport.agent_id, passport.id) if passport is not None else None


@operation(
    "skills.invoke",
    rest=Rest(
        "POST",
        "/v1/skills/{skill_id}/invoke",
        status=201,
        headers={
            "X-Intent-Approval-Id": "intent_approval_id",
            "X-STACK-Authority-Request-Id": "authority_request_id",
            IDEMPOTENCY: "idempotency_key",
        },
    ),
    tool=Tool("stack_invoke_skill", hidden=("authority_request_id",)),
    auth=Auth(bearers=ANY_BEARER, scope=INVOKE, role="standard"),
    audit=Audit("skill.invoke", layer=LAYER),
    subject=lambda world, command: command.agent_id,
    presents=_presented,
    source="sdk 4.0.0 skills.invoke; docs/api/skills; docs/guides/invoking-skills",
    grade="documented",
)
def invoke_skill(ctx: Context, command: InvokeSkill) -> InvocationReply:
    """Invoke a skill. An open one is answered as pending; the steps of a sealed or source one have run when this answers.

    The price is taken from the wallet at once and comes back when the invocation fails or expires.

    Raises:
        Fault: SKILL_NOT_FOUND, NOT_FOUND, INVALID_REQUEST, PASSPORT_EXPIRED, PASSPORT_REVOKED, PASSPORT_BLOCKED,
            MISSION_ENDED, UNAUTHORIZED_SKILL_ACCESS, TRUST_LEVEL_INSUFFICIENT, INTENT_APPROVAL_REQUIRED,
            SCHEMA_VALIDATION_FAILED, FORBIDDEN without the credentials the skill needs, INSUFFICIENT_CREDITS, CONFLICT,
            IDEMPOTENCY_CONFLICT.
    """
    ctx.row.set(skill=command.skill_id, approval=command.intent_approval_id)
    ctx.row.set(authority_request=command.authority_request_id)
    buyer = buyer_of(ctx, command.agent_id, command.passport_id)
    key = command.idempotency_key or command.authority_request_id
    place = f"{buyer.agent.id}/{key}" if key is not None else None
    return once(ctx, command, place, InvocationReply, lambda: _invoke(ctx, command, buyer))


def _invoke(ctx: Context, command: InvokeSkill, buyer: Buyer) -> InvocationReply:
    skill = visible_skill(ctx.world, ctx.operator_id, command.skill_id)
    ctx.row.set(name=skill.name, skill_version=skill.version, execution_mode=skill.execution_mode)
    _check_offered(ctx, skill)
    check_access(ctx, skill, buyer)
    require_intent_approval(ctx, skill, buyer, command.intent_approval_id, command.input)
    check_value("input", skill.input_schema, command.input)
    check_credentials(ctx, skill, buyer)
    meters.check(ctx, meters.SKILL_INVOCATIONS)
    meters.count(ctx, meters.SKILL_INVOCATIONS)
    invocation = Invocation(
        id=ctx.act.new_id("skill_invocation", "sinv_"),
        operator_id=ctx.operator_id,
        publisher_id=skill.operator_id,
        skill_id=skill.id,
        skill_version=skill.version,
        execution_mode=skill.execution_mode,
        agent_id=buyer.agent.id,
        passport_id=buyer.passport.id if buyer.passport is not None else None,
        input=command.input,
        output_schema=skill.output_schema,
        price=skill.price_per_invocation,
        created_at=ctx.stamp_ms,
        expires_at=ctx.now_ms + TTL_MS,
    )
    ctx.row.set(invocation=invocation.id, price_cents=invocation.price or None)
    charge(ctx, invocation)
    ctx.world.store.put(replace(skill, invocation_count=skill.invocation_count + 1))
    if skill.execution_mode == OPEN:
        ctx.world.arm(_expiry(ctx, invocation))
    else:
        invocation = _run(ctx, skill, invocation)
    return reply_for(ctx, ctx.world.store.put(invocation))


def _check_offered(ctx: Context, skill: Skill) -> None:
    if skill.status == SUSPENDED:
        raise Fault(faults.CONFLICT, problem=f"Skill {skill.id} is suspended; activate it before it is invoked")
    agent = ctx.world.store.get(Agent, skill.agent_id) if skill.agent_id is not None else None
    if skill.execution_mode == OPEN and (agent is None or agent.deleted):
        problem = f"No agent serves skill {skill.id} any more; its publisher has to name another"
        raise Fault(faults.CONFLICT, problem=problem)


def _expiry(ctx: Context, invocation: Invocation) -> Timer:
    payload = {"invocation_id": invocation.id}
    return Timer(f"{EXPIRE}/{invocation.id}", invocation.expires_at, EXPIRE, ctx.lane, ctx.operator_id, payload)


def _run(ctx: Context, skill: Skill, invocation: Invocation) -> Invocation:
    """Run the steps; a run that fails is an invocation that failed, not a refused call."""
    outcome = run_steps(ctx.world, skill, invocation.input)
    done = replace(
        invocation,
        status=COMPLETED if outcome.error is None else FAILED,
        started_at=ctx.stamp_ms,
        completed_at=ctx.stamp_ms,
        output=outcome.output,
        error=outcome.error,
        llm_tokens_input=outcome.tokens_in,
        llm_tokens_output=outcome.tokens_out,
        execution_duration_ms=outcome.duration_ms,
    )
    ctx.row.set(status=done.status)
    if outcome.error is None:
        pay_out(ctx, done)
    else:
        ctx.row.outcome, ctx.row.error_code = "failure", str(outcome.error["code"])
        refund(ctx, done)
    return done


class InvocationById(Command):
    """Names an invocation."""

    invocation_id: str = Field(description="Invocation id (sinv_…)")


@operation(
    "skills.get_invocation",
    rest=Rest("GET", "/v1/skills/invocations/{invocation_id}"),
    tool=Tool("stack_get_invocation"),
    auth=Auth(bearers=ANY_BEARER, scope=READ),
    source="sdk 4.0.0 skills.get_invocation, poll; docs/api/skills",
    grade="documented",
)
def get_invocation(ctx: Context, command: InvocationById) -> InvocationReply:
    """Read an invocation: the buyer its own, the publisher those of its open skills.

    Raises:
        Fault: INVOCATION_NOT_FOUND.
    """
    return reply_for(ctx, require_invocation(ctx, command.invocation_id))


@operation(
    "skills.list_invocations",
    rest=Rest("GET", "/v1/skills/invocations/mine"),
    tool=Tool("stack_list_invocations"),
    auth=Auth(bearers=ANY_BEARER, scope=READ),
    source="sdk 4.0.0 skills.list_invocations; docs/api/skills",
    grade="documented",
)
def list_invocations(ctx: Context, command: Command) -> list[InvocationReply]:
    """List the invocations the account made, oldest first; an agent's credential sees those of the agent."""
    made = ctx.world.store.find(Invocation, operator_id=ctx.operator_id)
    return [reply_for(ctx, item) for item in made if may_see(ctx, item, buying=True)]


class ListPending(Command):
    """Of which skill to list what waits."""

    skill_id: str | None = Field(None, description="Skill id (skl_…); all of the account's skills when left out")


@operation(
    "skills.list_pending_invocations",
    rest=Rest("GET", "/v1/skills/invocations/pending"),
    tool=Tool("stack_list_pending_invocations"),
    auth=Auth(bearers=ANY_BEARER, scope=READ),
    source="sdk 4.0.0 skills.list_pending_invocations; docs/concepts/skills",
    grade="documented",
)
def list_pending_invocations(ctx: Context, command: ListPending) -> list[InvocationReply]:
    """List what waits to be claimed, oldest first, with its input; an agent's credential sees what the agent serves."""
    waiting = ctx.world.store.find(Invocation, publisher_id=ctx.operator_id, status=PENDING)
    return [
        reply_for(ctx, item)
        for item in waiting
        if command.skill_id in (None, item.skill_id)
        and item.expires_at > ctx.now_ms
        and may_see(ctx, item, buying=False)
    ]
