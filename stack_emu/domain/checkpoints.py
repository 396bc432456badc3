"""Checkpoints and checkouts: an agent reports what its passport was used for, and somebody looks at it."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from stack_emu.domain import detectors, faults, notifications, review_flags
from stack_emu.domain.authentication import ANY_BEARER, require_live
from stack_emu.domain.issuance import (
    DEFAULT_INTERVAL_SECONDS,
    SILENCE,
    arm_silence,
    describe,
    require_visible,
    subject_passport,
    whole_seconds,
)
from stack_emu.domain.missions import require_live_mission
from stack_emu.domain.passports import ActivePassport, active_reply, refuse_checked_out
from stack_emu.domain.review_flags import Told
from stack_emu.domain.signals import WARNING, note
from stack_emu.domain.state import Mission, Passport, Report, Review
from stack_emu.kernel.acts import Act
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import Audit, Auth, Command, Reply, Rest, Tool, on_timer, operation
from stack_emu.kernel.store import replace
from stack_emu.kernel.world import Timer, World

CHECKPOINT, CHECKOUT = "checkpoint", "checkout"
OUTSIDE_SCOPE = detectors.OUTSIDE_SCOPE


class ToolCall(Command):
    """One action of an agent."""

    service: str = Field(description="Service")
    method: str = Field(description="What was done")
    target: str | None = Field(None, description="What it was done to")


class Activity(Command):
    """What a passport was used for."""

    passport_jti: str = Field(description="Passport id (pp_…)")
    services_used: list[str] = Field([], description="Services used so far")
    actions_count: int = Field(0, ge=0, description="How many actions")
    tool_calls: list[ToolCall] = Field([], description="The actions one by one")
    summary: str | None = Field(None, max_length=1000, description="What was done, in words")
    delegated_to: list[str] = Field([], description="Agents that were delegated to")


class CheckpointReply(Reply):
    """A recorded checkpoint. An enforced passport now lives until ``new_expires_at``."""

    checkpoint_id: str
    passport_jti: str
    new_expires_at: str | None
    flags: list[str] = Field(description="Types of what was noticed")


class CheckoutReply(Reply):
    """A recorded checkout."""

    checkout_id: str
    passport_jti: str
    review_status: str = Field(description="clean, flagged or blocked")
    flags: list[dict[str, Any]] = Field(description="type, severity and message of what was noticed")


class PassportNamed(Command):
    """Names a passport."""

    passport_jti: str = Field(description="Passport id (pp_…)")


class ReportReply(Reply):
    """A passport's whole story; exactly these five keys, because the SDK's dataclass takes no others."""

    passport: ActivePassport | dict[str, Any]
    intent: dict[str, Any] | None
    checkpoints: list[dict[str, Any]]
    checkout: dict[str, Any] | None
    review: dict[str, Any] | None


@operation(
    "passports.checkpoint",
    rest=Rest("POST", "/v1/passports/{passport_jti}/checkpoint"),
    tool=Tool("stack_checkpoint"),
    auth=Auth(bearers=ANY_BEARER, scope="passports:write", role="standard"),
    audit=Audit("passport.checkpoint", layer="vault"),
    subject=subject_passport("passport_jti"),
    source="sdk 4.0.0 passports.checkpoint; docs/concepts/checkpoints; docs/reference/errors",
    grade="documented",
)
def checkpoint_passport(ctx: Context, command: Activity) -> CheckpointReply:
    """Report what a passport was used for so far.

    An enforced passport lives on for another interval, but no longer than its mission.

    Raises:
        Fault: NOT_FOUND, CHECKPOINT_NOT_AVAILABLE in standard mode, PASSPORT_EXPIRED when it comes too late,
            PASSPORT_REVOKED.
    """
    passport = _reporting(ctx, command)
    if passport.accountability == "standard":
        raise Fault(faults.CHECKPOINT_NOT_AVAILABLE, jti=passport.id)
    require_live(ctx.world, passport)
    refuse_checked_out(passport)
    mission = require_live_mission(ctx.world, ctx.operator_id, passport.mission_id) if passport.mission_id else None
    flags = review_flags.of_report(ctx.world, passport, _told(command))
    _signal(ctx, passport, command, flags)
    current = ctx.world.store.get(Passport, passport.id) or passport
    lives_on = passport.accountability == "enforced" and current.revoked_at is None
    extended = _extend(ctx, passport, mission) if lives_on else None
    report = _report(ctx, CHECKPOINT, "ckp_", passport, command, flags)
    ctx.world.store.put(replace(report, new_expires_at=extended))
    ctx.row.set(checkpoint=report.id, flags=[flag["type"] for flag in flags] or None)
    return CheckpointReply(
        checkpoint_id=report.id,
        passport_jti=passport.id,
        new_expires_at=None if extended is None else iso(extended),
        flags=[flag["type"] for flag in flags],
    )


@operation(
    "passports.checkout",
    rest=Rest("POST", "/v1/passports/{passport_jti}/checkout"),
    tool=Tool("stack_checkout"),
    auth=Auth(bearers=ANY_BEARER, scope="passports:write", role="standard"),
    audit=Audit("passport.checkout", layer="vault"),
    subject=subject_passport("passport_jti"),
    source="sdk 4.0.0 passports.checkout; docs/guides/passport-lifecycle",
    grade="documented",
)
def checkout_passport(ctx: Context, command: Activity) -> CheckoutReply:
    """Report what a passport was used for in all, and end its work. What is noticed puts it into the review queue.

    A passport that expired meanwhile can still be checked out.

    Raises:
        Fault: NOT_FOUND, PASSPORT_REVOKED, CONFLICT when it was checked out before.
    """
    passport = _reporting(ctx, command)
    if passport.revoked_at is not None:
        raise Fault(faults.PASSPORT_REVOKED, jti=passport.id, reason=passport.revoked_reason or passport.revocation)
    if passport.checked_out_at is not None:
        raise Fault(faults.CONFLICT, problem=f"{passport.id} was checked out before, at {iso(passport.checked_out_at)}")
    noticed = review_flags.of_report(ctx.world, passport, _told(command))
    flags = [*noticed, *review_flags.of_checkout(ctx.world, passport, _told(command))]
    status = "flagged" if flags else "clean"
    report = replace(_report(ctx, CHECKOUT, "co_", passport, command, flags), review_status=status)
    ctx.world.store.put(report)
    ctx.world.store.put(replace(passport, checked_out_at=ctx.now_ms))
    ctx.world.disarm(f"{SILENCE}/{passport.id}")
    _signal(ctx, passport, command, noticed)
    _tell(ctx, report)
    ctx.row.set(checkout=report.id, review_status=status, flags=[flag["type"] for flag in flags] or None)
    return CheckoutReply(
        checkout_id=report.id,
        passport_jti=passport.id,
        review_status=status,
        flags=[dict(flag) for flag in flags],
    )


def _tell(ctx: Context, report: Report) -> None:
    if report.review_status != "flagged":
        return
    data = {
        "message": f"Checkout {report.id} was flagged: {report.flags[0]['message']}",
        "checkout_id": report.id,
        "agent_id": report.agent_id,
        "passport_jti": report.passport_id,
        "flags": [flag["type"] for flag in report.flags],
    }
    severity = report.flags[0]["severity"]
    notifications.emit(ctx.world, ctx.act, report.operator_id, "review.flagged", severity, data)


def _reporting(ctx: Context, command: Activity) -> Passport:
    passport = require_visible(ctx, command.passport_jti)
    ctx.row.set(agent_id=passport.agent_id, passport_jti=passport.id, **describe(passport))
    ctx.row.set(services_used=sorted(command.services_used) or None, actions=command.actions_count)
    return passport


def _extend(ctx: Context, passport: Passport, mission: Mission | None) -> int:
    """Move an enforced passport's deadline to one interval from now, never beyond its mission."""
    interval = passport.checkpoint_interval_seconds or DEFAULT_INTERVAL_SECONDS
    deadline = whole_seconds(ctx.now_ms) + interval * 1000
    if mission is not None:
        deadline = min(deadline, whole_seconds(mission.expires_at))
    extended = ctx.world.store.put(replace(passport, expires_at=deadline))
    arm_silence(ctx.world, extended, ctx.act.lane)
    return deadline


def _report(
    ctx: Context, kind: str, prefix: str, passport: Passport, command: Activity, flags: list[dict[str, str]]
) -> Report:
    return Report(
        id=ctx.act.new_id(kind, prefix),
        kind=kind,
        operator_id=passport.operator_id,
        agent_id=passport.agent_id,
        passport_id=passport.id,
        created_at=ctx.stamp_ms,
        services_used=tuple(sorted(set(command.services_used))),
        actions_count=command.actions_count,
        tool_calls=tuple(call.model_dump(mode="json", exclude_none=True) for call in command.tool_calls),
        summary=command.summary,
        delegated_to=tuple(command.delegated_to),
        flags=tuple(flags),
    )


def _told(command: Activity) -> Told:
    given = command.model_fields_set
    return Told(
        services_used=tuple(command.services_used) if "services_used" in given else None,
        actions_count=command.actions_count if "actions_count" in given else None,
        tool_services=tuple(call.service for call in command.tool_calls),
        delegated_to=tuple(command.delegated_to),
    )


def _signal(ctx: Context, passport: Passport, command: Activity, flags: list[dict[str, str]]) -> None:
    """Raise one signal for everything noticed in a report."""
    if not flags:
        return
    undeclared = review_flags.undeclared(passport, command.services_used)
    note(
        ctx.world,
        ctx.act,
        agent_id=passport.agent_id,
        passport=ctx.world.store.get(Passport, passport.id),
        signal_type=OUTSIDE_SCOPE,
        severity=review_flags.severity(ctx.world, passport),
        message=f"Reported services outside the declared scope: {', '.join(undeclared)}",
        metadata={
            "services_used": undeclared,
            "intent_services": list(passport.intent_services),
            "granted_providers": list(dict.fromkeys(scope.service_name for scope in passport.services)),
        },
    )


@on_timer(SILENCE)
def note_silence(world: World, act: Act, timer: Timer) -> None:
    """An enforced passport reached its deadline without a checkpoint, a checkout or a refresh.

    It is dead by then; the signal is raised once (docs/concepts/checkpoints).
    """
    passport = world.store.get(Passport, timer.payload["jti"])
    if passport is None:
        return
    world.store.put(replace(passport, silence_noted=True))
    interval = passport.checkpoint_interval_seconds or DEFAULT_INTERVAL_SECONDS
    note(
        world,
        act,
        agent_id=passport.agent_id,
        passport=passport,
        signal_type=detectors.SILENCE,
        severity=WARNING,
        message=f"No checkpoint came within {interval} s: the passport has expired",
        metadata={"checkpoint_interval_seconds": interval},
        row=act.row,
    )
    act.row.set(**describe(passport))


@operation(
    "passports.report",
    rest=Rest("GET", "/v1/passports/{passport_jti}/report"),
    tool=Tool("stack_get_passport_report"),
    auth=Auth(bearers=ANY_BEARER, scope="passports:read"),
    source="sdk 4.0.0 passports.report",
    grade="documented",
)
def report_passport(ctx: Context, command: PassportNamed) -> ReportReply:
    """Read a passport's whole story: what it is, its intent, its checkpoints, its checkout and the review of it.

    Raises:
        Fault: NOT_FOUND.
    """
    passport = require_visible(ctx, command.passport_jti)
    reports = list(ctx.world.store.find(Report, passport_id=passport.id))
    checkout = next((report for report in reports if report.kind == CHECKOUT), None)
    reviews = list(ctx.world.store.find(Review, checkout_id=checkout.id)) if checkout is not None else []
    return ReportReply(
        passport=_passport_json(passport),
        intent=dict(passport.intent) if passport.intent is not None else None,
        checkpoints=[_report_json(report) for report in reports if report.kind == CHECKPOINT],
        checkout=_report_json(checkout) if checkout is not None else None,
        review=_review_json(reviews[-1]) if reviews else None,
    )


def _passport_json(passport: Passport) -> dict[str, Any]:
    return {
        **active_reply(passport).model_dump(mode="json"),
        "checked_out_at": _when(passport.checked_out_at),
        "revoked_at": _when(passport.revoked_at),
        "revoked_reason": passport.revoked_reason,
        "revocation": passport.revocation,
        "refreshed_from": passport.refreshed_from,
    }


def _report_json(report: Report) -> dict[str, Any]:
    shared: dict[str, Any] = {
        f"{report.kind}_id": report.id,
        "submitted_at": iso(report.created_at),
        "services_used": list(report.services_used),
        "actions_count": report.actions_count,
        "tool_calls": [dict(call) for call in report.tool_calls],
        "summary": report.summary,
        "delegated_to": list(report.delegated_to),
        "flags": [dict(flag) for flag in report.flags],
    }
    last = {"review_status": report.review_status} if report.kind == CHECKOUT else {}
    return {**shared, **(last or {"new_expires_at": _when(report.new_expires_at)})}


def _review_json(review: Review) -> dict[str, Any]:
    return {
        "review_id": review.id,
        "checkout_id": review.checkout_id,
        "decision": review.decision,
        "notes": review.notes,
        "block_future": review.block_future,
        "decided_at": iso(review.decided_at),
    }


def _when(ms: int | None) -> str | None:
    return None if ms is None else iso(ms)
