"""What belongs into an evidence pack: the rows and records of a mission, a session, an incident or a quarter."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from stack_emu.domain import faults
from stack_emu.domain.audit import entry_of
from stack_emu.domain.intent_approvals import IntentApproval, IntentClaim
from stack_emu.domain.mission_records import mission_reply
from stack_emu.domain.operator_reviews import OperatorReview, review_item
from stack_emu.domain.state import Mission, Passport, Report, SecurityEvent
from stack_emu.kernel.audit import GENESIS, Row
from stack_emu.kernel.canonical import digest
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault

_QUARTER = re.compile(r"(\d{4})-Q([1-4])")


@dataclass(frozen=True)
class Evidence:
    """What was gathered, each list in the order things happened. ``chain_head`` is the hash of the account's newest row."""

    chain_head: str
    rows: list[dict[str, Any]]
    missions: list[dict[str, Any]] = field(default_factory=list)
    passports: list[dict[str, Any]] = field(default_factory=list)
    checkouts: list[dict[str, Any]] = field(default_factory=list)
    operator_reviews: list[dict[str, Any]] = field(default_factory=list)
    security_events: list[dict[str, Any]] = field(default_factory=list)
    intents: list[dict[str, Any]] = field(default_factory=list)
    simulations: list[dict[str, Any]] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """How much there is of each kind."""
        return {name: len(getattr(self, name)) for name in _KINDS}

    def sections(self) -> dict[str, Any]:
        """The manifest's sections."""
        audit = {"rows": self.rows, "chain_head": self.chain_head, "count": len(self.rows)}
        return {"audit": audit, **{name: getattr(self, name) for name in _KINDS if name != "rows"}}


_KINDS = ("rows", "missions", "passports", "checkouts", "operator_reviews", "security_events", "intents", "simulations")


def gather(ctx: Context, kind: str, reference: str) -> Evidence:
    """Gather the evidence of a scope.

    Raises:
        Fault: NOT_FOUND for what the account does not have, INVALID_REQUEST for a period that is no quarter.
    """
    return SCOPES[kind](ctx, reference)


def _mission(ctx: Context, reference: str) -> Evidence:
    mission = ctx.world.store.get(Mission, reference)
    if mission is None or mission.operator_id != ctx.operator_id:
        raise Fault(faults.NOT_FOUND, what="Mission", id=reference)
    passports = list(ctx.world.store.find(Passport, mission_id=mission.id))
    ids = {passport.id for passport in passports}
    return _evidence(
        ctx, passports, [mission], lambda row: row.metadata.get("mission") == mission.id or row.passport_jti in ids
    )


def _session(ctx: Context, reference: str) -> Evidence:
    found = ctx.world.store.find(Passport, session_id=reference)
    passports = [passport for passport in found if passport.operator_id == ctx.operator_id]
    if not passports:
        raise Fault(faults.NOT_FOUND, what="Session", id=reference)
    ids = {passport.id for passport in passports}
    return _evidence(ctx, passports, _missions_of(ctx, passports), lambda row: row.passport_jti in ids)


def _incident(ctx: Context, reference: str) -> Evidence:
    event = ctx.world.store.get(SecurityEvent, reference)
    if event is None or event.operator_id != ctx.operator_id:
        raise Fault(faults.NOT_FOUND, what="Incident", id=reference)
    passport = ctx.world.store.get(Passport, event.passport_id or "")
    passports = [passport] if passport is not None else []

    def belongs(row: Row) -> bool:
        about = passport is not None and row.passport_jti == passport.id
        return about or row.metadata.get("event_id") == event.id

    return _evidence(ctx, passports, _missions_of(ctx, passports), belongs, events=[event])


def _period(ctx: Context, reference: str) -> Evidence:
    quarter = _QUARTER.fullmatch(reference)
    if quarter is None:
        problem = f"scope.ref: {reference} is no quarter; write it as 2026-Q1"
        raise Fault(faults.INVALID_REQUEST, problem=problem, details={"fields": {"scope.ref": problem}})
    start, end = _bounds(int(quarter[1]), int(quarter[2]))

    def inside(instant: int) -> bool:
        return start <= instant < end

    store, operator_id = ctx.world.store, ctx.operator_id
    passports = [item for item in store.find(Passport, operator_id=operator_id) if inside(item.issued_at)]
    missions = [item for item in store.find(Mission, operator_id=operator_id) if inside(item.created_at)]
    events = [item for item in store.find(SecurityEvent, operator_id=operator_id) if inside(item.created_at)]
    return _evidence(ctx, passports, missions, lambda row: inside(row.timestamp), events=events)


def _bounds(year: int, quarter: int) -> tuple[int, int]:
    after = (year + 1, 1) if quarter == 4 else (year, 3 * quarter + 1)
    first = datetime(max(year, 1), 3 * quarter - 2, 1, tzinfo=timezone.utc)
    last = datetime(max(after[0], 1), after[1], 1, tzinfo=timezone.utc) if after[0] <= 9999 else None
    return int(first.timestamp() * 1000), int(last.timestamp() * 1000) if last is not None else 253_402_300_800_000


SCOPES: dict[str, Callable[[Context, str], Evidence]] = {
    "mission": _mission,
    "session": _session,
    "incident": _incident,
    "period": _period,
}
"""How each kind of scope is gathered."""


def _missions_of(ctx: Context, passports: Iterable[Passport]) -> list[Mission]:
    found = (ctx.world.store.get(Mission, passport.mission_id or "") for passport in passports)
    return list({mission.id: mission for mission in found if mission is not None}.values())


def _evidence(
    ctx: Context,
    passports: list[Passport],
    missions: list[Mission],
    belongs: Callable[[Row], bool],
    *,
    events: list[SecurityEvent] | None = None,
) -> Evidence:
    store, every = ctx.world.store, ctx.world.audit.rows(ctx.operator_id)
    ids = [passport.id for passport in passports]
    reports = [report for jti in ids for report in store.find(Report, passport_id=jti)]
    if events is None:
        events = [event for jti in ids for event in store.find(SecurityEvent, passport_id=jti)]
    reviews = [review for mission in missions for review in store.find(OperatorReview, mission_id=mission.id)]
    return Evidence(
        chain_head=every[-1].entry_hash if every else GENESIS,
        rows=[entry_of(row).model_dump(mode="json") for row in every if belongs(row)],
        missions=[mission_reply(ctx, mission).model_dump(mode="json") for mission in missions],
        passports=[_passport(passport) for passport in passports],
        checkouts=[_report(report) for report in reports],
        operator_reviews=[review_item(review).model_dump(mode="json") for review in reviews],
        security_events=[_event(event) for event in events],
        intents=[_intent(item) for jti in ids for item in store.find(IntentApproval, passport_id=jti)],
        simulations=[_simulation(claim) for jti in ids for claim in store.find(IntentClaim, passport_id=jti)],
    )


def _passport(passport: Passport) -> dict[str, Any]:
    return {
        "jti": passport.id,
        "agent_id": passport.agent_id,
        "session_id": passport.session_id,
        "mission_id": passport.mission_id,
        "parent_passport_id": passport.parent_id,
        "delegation_depth": passport.depth,
        "accountability": passport.accountability,
        "intent_summary": passport.intent_summary,
        "services": [
            {"service_name": scope.service_name, "connection_id": scope.connection_id, "scopes": list(scope.scopes)}
            for scope in passport.services
        ],
        "issued_at": iso(passport.issued_at),
        "expires_at": iso(passport.expires_at),
        "revoked_at": None if passport.revoked_at is None else iso(passport.revoked_at),
        "revoked_reason": passport.revoked_reason,
    }


def _report(report: Report) -> dict[str, Any]:
    return {
        "id": report.id,
        "kind": report.kind,
        "passport_jti": report.passport_id,
        "created_at": iso(report.created_at),
        "services_used": list(report.services_used),
        "actions_count": report.actions_count,
        "flags": [dict(flag) for flag in report.flags],
        "review_status": report.review_status,
    }


def _event(event: SecurityEvent) -> dict[str, Any]:
    return {
        "id": event.id,
        "agent_id": event.agent_id,
        "passport_jti": event.passport_id,
        "signal_type": event.signal_type,
        "severity": event.severity,
        "message": event.message,
        "created_at": iso(event.created_at),
        "resolved_at": None if event.resolved_at is None else iso(event.resolved_at),
    }


def _intent(approval: IntentApproval) -> dict[str, Any]:
    """A submitted intent by its hash: what it says may be anything a call can hold."""
    return {
        "approval_id": approval.id,
        "intent_claim_id": approval.intent_claim_id,
        "passport_jti": approval.passport_id,
        "intent_sha256": digest(approval.intent),
        "status": approval.status,
        "created_at": iso(approval.created_at),
        "decided_at": None if approval.decided_at is None else iso(approval.decided_at),
        "decided_by": approval.decided_by,
        "used_at": None if approval.used_at is None else iso(approval.used_at),
    }


def _simulation(claim: IntentClaim) -> dict[str, Any]:
    return {
        "claim_id": claim.id,
        "intent_claim_ref": claim.about,
        "passport_jti": claim.passport_id,
        "intent_sha256": digest(claim.intent),
        "allowed": claim.simulation["allowed"],
        "code": claim.simulation["code"],
        "created_at": iso(claim.created_at),
    }
