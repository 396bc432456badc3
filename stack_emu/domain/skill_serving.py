"""Serving invocations of open skills: claiming, completing and failing them, and what happens when nobody does."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from stack_emu.domain import faults
from stack_emu.domain.authentication import ANY_BEARER
from stack_emu.domain.json_schemas import check_value
from stack_emu.domain.skill_invocations import EXPIRE, InvocationById, invoke_skill
from stack_emu.domain.skill_payments import pay_out, refund
from stack_emu.domain.skill_records import CLAIMED, COMPLETED, EXPIRED, FAILED, PENDING, Invocation, Skill
from stack_emu.domain.skill_views import InvocationReply, reply_for, require_invocation
from stack_emu.domain.skills import LAYER
from stack_emu.kernel.acts import Act
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import ANONYMOUS, Audit, Auth, Command, Rest, Tool, on_timer, operation
from stack_emu.kernel.store import replace
from stack_emu.kernel.world import Timer, World

SERVE = "skills:write"


def _serving_agent(world: World, command: Any) -> str | None:
    """The agent that serves the invocation's skill, for the lane."""
    invocation = world.store.get(Invocation, command.invocation_id)
    skill = world.store.get(Skill, invocation.skill_id) if invocation is not None else None
    return skill.agent_id if skill is not None else None


def _served(ctx: Context, invocation_id: str, *statuses: str) -> Invocation:
    """An invocation the caller serves and that is in one of these states.

    Raises:
        Fault: INVOCATION_NOT_FOUND or CONFLICT.
    """
    ctx.row.set(invocation=invocation_id)
    found = require_invocation(ctx, invocation_id, serving=True)
    ctx.row.set(skill=found.skill_id, skill_version=found.skill_version, price_cents=found.price or None)
    status = EXPIRED if found.status in (PENDING, CLAIMED) and found.expires_at <= ctx.now_ms else found.status
    if status not in statuses:
        problem = f"Invocation {found.id} is {status}; this needs one that is {' or '.join(statuses)}"
        raise Fault(faults.CONFLICT, problem=problem, details={"status": status})
    return found


@operation(
    "skills.claim_invocation",
    rest=Rest("POST", "/v1/skills/invocations/{invocation_id}/claim"),
    tool=Tool("stack_claim_invocation"),
    auth=Auth(bearers=ANY_BEARER, scope=SERVE, role="standard"),
    audit=Audit("skill.claim", layer=LAYER),
    subject=_serving_agent,
    source="sdk 4.0.0 skills.claim_invocation; docs/api/skills",
    grade="sdk-implied",
)
def claim_invocation(ctx: Context, command: InvocationById) -> InvocationReply:
    """Take a pending invocation of one's own skill, so that nobody else does it as well. It can be claimed once.

    Raises:
        Fault: INVOCATION_NOT_FOUND, CONFLICT when it is not pending any more.
    """
    found = _served(ctx, command.invocation_id, PENDING)
    claimed = replace(found, status=CLAIMED, started_at=ctx.stamp_ms)
    return reply_for(ctx, ctx.world.store.put(claimed))


class CompleteInvocation(InvocationById):
    """The output of an invocation."""

    output: dict[str, Any] | list[Any] | str | int | float | bool = Field(
        description="Output, checked against the skill's output_schema"
    )


@operation(
    "skills.complete_invocation",
    rest=Rest("POST", "/v1/skills/invocations/{invocation_id}/complete"),
    tool=Tool("stack_complete_invocation"),
    auth=Auth(bearers=ANY_BEARER, scope=SERVE, role="standard"),
    audit=Audit("skill.complete", layer=LAYER),
    subject=_serving_agent,
    source="sdk 4.0.0 skills.complete_invocation; docs/api/skills; docs/concepts/skills",
    grade="sdk-implied",
)
def complete_invocation(ctx: Context, command: CompleteInvocation) -> InvocationReply:
    """Answer an invocation of one's own skill, claimed or not; its price is then earned.

    Raises:
        Fault: INVOCATION_NOT_FOUND, CONFLICT when it has ended, SCHEMA_VALIDATION_FAILED when the output does not fit.
    """
    found = _served(ctx, command.invocation_id, PENDING, CLAIMED)
    check_value("output", found.output_schema, command.output)
    done = _ended(ctx, found, COMPLETED, output=command.output)
    pay_out(ctx, done)
    return reply_for(ctx, done)


class FailureReport(Command):
    """Why an invocation could not be done."""

    code: str = Field(min_length=1, max_length=64, description="Code for programs")
    message: str = Field(min_length=1, max_length=1000, description="One sentence for people; the buyer reads it")


class FailInvocation(InvocationById):
    """An invocation that could not be done, and why."""

    error: FailureReport = Field(description="Code and message")


@operation(
    "skills.fail_invocation",
    rest=Rest("POST", "/v1/skills/invocations/{invocation_id}/fail"),
    tool=Tool("stack_fail_invocation"),
    auth=Auth(bearers=ANY_BEARER, scope=SERVE, role="standard"),
    audit=Audit("skill.fail", layer=LAYER),
    subject=_serving_agent,
    source="sdk 4.0.0 skills.fail_invocation",
    grade="sdk-implied",
)
def fail_invocation(ctx: Context, command: FailInvocation) -> InvocationReply:
    """Give an invocation of one's own skill up, claimed or not; the buyer gets the price back.

    Raises:
        Fault: INVOCATION_NOT_FOUND, CONFLICT when it has ended.
    """
    found = _served(ctx, command.invocation_id, PENDING, CLAIMED)
    ctx.row.set(reason=command.error.code)
    done = _ended(ctx, found, FAILED, error=command.error.model_dump())
    refund(ctx, done)
    return reply_for(ctx, done)


def _ended(ctx: Context, invocation: Invocation, status: str, **result: Any) -> Invocation:
    started = invocation.started_at if invocation.started_at is not None else ctx.stamp_ms
    ctx.world.disarm(f"{EXPIRE}/{invocation.id}")
    return ctx.world.store.put(
        replace(
            invocation,
            status=status,
            started_at=started,
            completed_at=ctx.stamp_ms,
            execution_duration_ms=ctx.stamp_ms - started,
            **result,
        )
    )


@on_timer(EXPIRE)
def expire(world: World, act: Act, timer: Timer) -> None:
    """An invocation nobody answered in time ends, and the buyer gets the price back."""
    act.row.layer = LAYER
    invocation = world.store.get(Invocation, timer.payload["invocation_id"])
    if invocation is None or invocation.status not in (PENDING, CLAIMED):
        return
    act.row.set(agent_id=invocation.agent_id, passport_jti=invocation.passport_id)
    act.row.set(skill=invocation.skill_id, invocation=invocation.id, price_cents=invocation.price or None)
    error = {"code": "INVOCATION_EXPIRED", "message": "The publisher did not answer in time"}
    expired = world.store.put(replace(invocation, status=EXPIRED, completed_at=act.stamp_ms, error=error))
    declared = invoke_skill.operation  # type: ignore[attr-defined]
    refund(Context(world, ANONYMOUS, declared, act.lane, act), expired)
