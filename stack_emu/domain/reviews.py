"""Reviews: the queue of checkouts that were noticed, and the decisions on them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from stack_emu.domain import faults, governance, operator_reviews
from stack_emu.domain.authentication import ACCOUNT
from stack_emu.domain.checkpoints import CHECKOUT
from stack_emu.domain.issuance import describe, is_visible
from stack_emu.domain.state import Agent, Mission, Passport, Report, Review
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context, Refused
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import Audit, Auth, Command, Reply, Rest, Tool, operation
from stack_emu.kernel.store import replace
from stack_emu.kernel.world import World


class ListReviews(Command):
    """Which checkouts to list."""

    status: Literal["flagged", "blocked", "clean", "all"] = Field("flagged", description="Review status, or all")
    page: int = Field(1, ge=1, description="Page, from 1")
    limit: int = Field(20, ge=1, le=100, description="Checkouts on a page, at most 100")


class ReviewItem(Reply):
    """A checkout in the queue."""

    checkout_id: str
    passport_jti: str
    agent_id: str
    agent_name: str
    intent_summary: str
    review_status: str
    flags: list[dict[str, Any]]
    submitted_at: str


class ReviewPage(Reply):
    """Checkouts, oldest first."""

    items: list[ReviewItem]
    total: int


class DecideReview(Command):
    """A decision on a checkout."""

    checkout_id: str = Field(description="Checkout id (co_…)")
    decision: Literal["approved", "blocked"] = Field(description="approved or blocked")
    notes: str | None = Field(None, max_length=1000, description="Why")
    block_future: bool = Field(False, description="With blocked: the agent gets no more passports until unblocked")
    governance_approval_id: str | None = Field(
        None, description="Approval id (gvr_…) a refused approval was answered with"
    )


class DecisionReply(Reply):
    """A decision that was recorded."""

    review_id: str
    checkout_id: str
    agent_id: str
    decision: str
    passport_blocked: bool
    review_status: str
    notes: str | None
    decided_at: str


@operation(
    "reviews.list",
    rest=Rest("GET", "/v1/passports/reviews"),
    tool=Tool("stack_list_reviews"),
    auth=Auth(bearers=ACCOUNT, scope="passports:read"),
    source="sdk 4.0.0 reviews.list",
    grade="documented",
)
def list_reviews(ctx: Context, command: ListReviews) -> ReviewPage:
    """List checkouts by review status, oldest first; those that were flagged when no status is named."""
    items = [
        _item(ctx.world, report, passport)
        for report in ctx.world.store.find(Report, operator_id=ctx.operator_id)
        if report.kind == CHECKOUT
        and command.status in ("all", report.review_status)
        and (passport := ctx.world.store.get(Passport, report.passport_id)) is not None
        and is_visible(ctx.caller, passport)
    ]
    start = (command.page - 1) * command.limit
    return ReviewPage(items=items[start : start + command.limit], total=len(items))


def _item(world: World, report: Report, passport: Passport) -> ReviewItem:
    agent = world.store.get(Agent, report.agent_id)
    return ReviewItem(
        checkout_id=report.id,
        passport_jti=report.passport_id,
        agent_id=report.agent_id,
        agent_name=agent.name if agent is not None else report.agent_id,
        intent_summary=passport.intent_summary or "",
        review_status=report.review_status or "clean",
        flags=[dict(flag) for flag in report.flags],
        submitted_at=iso(report.created_at),
    )


def _subject(world: World, command: Any) -> str | None:
    report = world.store.get(Report, command.checkout_id)
    return report.agent_id if report is not None else None


@operation(
    "reviews.decide",
    rest=Rest(
        "POST",
        "/v1/passports/reviews/{checkout_id}/decide",
        headers={governance.HEADER: "governance_approval_id"},
    ),
    tool=Tool("stack_decide_review"),
    auth=Auth(bearers=ACCOUNT, scope="passports:write", role="standard"),
    audit=Audit("review.decide"),
    subject=_subject,
    source="sdk 4.0.0 reviews.decide",
    grade="documented",
)
def decide_review(ctx: Context, command: DecideReview) -> DecisionReply | Refused:
    """Decide on a checkout. Approving with anything but a dashboard session waits for a human; blocking does not.

    Raises:
        Fault: NOT_FOUND, CONFLICT when it was decided before, INVALID_REQUEST for block_future with approved,
            GOVERNANCE_APPROVAL_REQUIRED.
    """
    ctx.row.set(checkout=command.checkout_id, decision=command.decision)
    report, passport = _require_checkout(ctx, command.checkout_id)
    ctx.row.set(agent_id=report.agent_id, passport_jti=passport.id, **describe(passport))
    decided = next(iter(ctx.world.store.find(Review, checkout_id=report.id)), None)
    if decided is not None:
        raise Fault(faults.CONFLICT, problem=f"{report.id} was decided before: {decided.decision}")
    if command.block_future and command.decision != "blocked":
        problem = "block_future: it goes with the decision blocked"
        raise Fault(faults.INVALID_REQUEST, problem=problem, details={"fields": {"block_future": problem}})
    if command.decision == "approved":
        waiting = governance.gate(
            ctx,
            subject=report.id,
            change=f"Approving {report.id}",
            approval_id=command.governance_approval_id,
            agent_id=report.agent_id,
        )
        if waiting is not None:
            return waiting
    return _decide(ctx, command, report)


def _require_checkout(ctx: Context, checkout_id: str) -> tuple[Report, Passport]:
    report = ctx.world.store.get(Report, checkout_id)
    passport = ctx.world.store.get(Passport, report.passport_id) if report is not None else None
    known = report is not None and report.kind == CHECKOUT and report.operator_id == ctx.operator_id
    if report is None or passport is None or not known or not is_visible(ctx.caller, passport):
        ctx.row.agent_id = None
        raise Fault(faults.NOT_FOUND, what="Checkout", id=checkout_id)
    return report, passport


def _decide(ctx: Context, command: DecideReview, report: Report) -> DecisionReply:
    status = "blocked" if command.decision == "blocked" else "clean"
    review = Review(
        id=ctx.act.new_id("review", "rev_"),
        operator_id=report.operator_id,
        checkout_id=report.id,
        agent_id=report.agent_id,
        decision=command.decision,
        decided_at=ctx.stamp_ms,
        notes=command.notes,
        block_future=command.block_future,
    )
    ctx.world.store.put(review)
    ctx.world.store.put(replace(report, review_status=status))
    _sign(ctx, report, review)
    blocked = _block(ctx, report, command.notes) if command.block_future else _is_blocked(ctx, report.agent_id)
    ctx.row.set(review=review.id, block_future=command.block_future or None)
    return DecisionReply(
        review_id=review.id,
        checkout_id=report.id,
        agent_id=report.agent_id,
        decision=review.decision,
        passport_blocked=blocked,
        review_status=status,
        notes=review.notes,
        decided_at=iso(review.decided_at),
    )


def _sign(ctx: Context, report: Report, review: Review) -> None:
    """What a human decided about a mission's checkout is a revision of that mission's operator reviews."""
    passport = ctx.world.store.get(Passport, report.passport_id)
    mission = ctx.world.store.get(Mission, passport.mission_id or "") if passport is not None else None
    if mission is None:
        return
    operator_reviews.record(
        ctx.world,
        ctx.act,
        mission,
        operator_reviews.CHECKOUT_REVIEW,
        {
            "checkout_id": report.id,
            "passport_jti": report.passport_id,
            "agent_id": report.agent_id,
            "decision": review.decision,
            "notes": review.notes,
            "block_future": review.block_future,
        },
    )


def _is_blocked(ctx: Context, agent_id: str) -> bool:
    agent = ctx.world.store.get(Agent, agent_id)
    return agent is not None and agent.passport_blocked


def _block(ctx: Context, report: Report, notes: str | None) -> bool:
    agent = ctx.world.store.get(Agent, report.agent_id)
    if agent is None:
        return False
    ctx.world.store.put(
        replace(
            agent,
            passport_blocked=True,
            passport_blocked_reason=notes or f"the review of {report.id} was decided: blocked",
            passport_blocked_at=ctx.stamp_ms,
            updated_at=ctx.stamp_ms,
        )
    )
    return True
