"""Governance: changes that loosen a control wait for a human when they are asked for without one.

A call made with anything but a dashboard session is refused with GOVERNANCE_APPROVAL_REQUIRED and leaves an approval
behind; the same call with that approval's id in ``X-Governance-Approval`` goes through once the approval is decided
(SDK 4.0.0 agents.unblock and others). Who decides is the scenario's ``approvals`` or the control API.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from stack_emu.domain import faults, notifications
from stack_emu.domain.authentication import SESSION
from stack_emu.domain.state import Agent
from stack_emu.kernel.acts import Act, RowDraft
from stack_emu.kernel.canonical import digest
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context, Refused
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import on_timer
from stack_emu.kernel.store import replace
from stack_emu.kernel.world import Timer, World

HEADER = "X-Governance-Approval"
LIFETIME_MS = 86_400_000
_DECISIONS = {"approve": "approved", "reject": "rejected", "expire": "expired"}
_TIMER = "governance.decide"


@dataclass(frozen=True)
class GovernanceApproval:
    """A change that waits for a human. ``status`` is pending, approved, rejected, expired or used.

    ``subject`` says what of (for example an agent id): an approval is good for one operation on one subject, once.
    """

    TABLE: ClassVar[str] = "governance_approvals"
    INDEXES: ClassVar[tuple[str, ...]] = ("operator_id",)
    id: str
    operator_id: str
    operation: str
    subject: str
    change: str
    lane: str
    created_at: int
    expires_at: int
    agent_id: str | None = None
    status: str = "pending"
    decided_at: int | None = None
    notes: str | None = None


def gate(
    ctx: Context, *, subject: str, change: str, approval_id: str | None, agent_id: str | None = None
) -> Refused | None:
    """Let a loosening change through, or say what it waits for.

    Args:
        ctx: the call's context; it must be an act.
        subject: what is changed, for example an agent id.
        change: the change as the beginning of a sentence, for example ``Unblocking agent agt_1``.
        approval_id: what the caller sent in ``X-Governance-Approval``.
        agent_id: the agent concerned, for the scenario's rules.

    Returns:
        None when the change may be made (an approval that was presented is used up by it), else the refusal to return.
    """
    if ctx.caller.kind == SESSION:
        return None
    if approval_id is None:
        return _waiting(_requested(ctx, subject, change, agent_id))
    approval = ctx.world.store.get(GovernanceApproval, approval_id)
    ctx.row.set(approval=approval_id)
    if approval is None or approval.operator_id != ctx.operator_id:
        return _unusable(approval_id, change, "unknown", "is not known in this account")
    if (approval.operation, approval.subject) != (ctx.operation.name, subject):
        return _unusable(approval_id, change, approval.status, f"is for {approval.operation} of {approval.subject}")
    status = status_at(approval, ctx.now_ms)
    if status == "pending":
        return _waiting(approval)
    if status != "approved":
        return _unusable(approval_id, change, status, "has expired" if status == "expired" else f"was {status}")
    ctx.world.store.put(replace(approval, status="used"))
    return None


def described(what: str, name: str, changes: Mapping[str, Any]) -> tuple[str, str]:
    """Subject and sentence of a change of settings: the approval is good for exactly these values.

    Args:
        what: key of the settings.
        name: the settings, for people.
        changes: the new values, JSON data.
    """
    told = ", ".join(f"{field} to {json.dumps(changes[field])}" for field in sorted(changes))
    return f"{what}#{digest(changes)[:16]}", f"Setting {told[:200]} for {name}"


def status_at(approval: GovernanceApproval, now_ms: int) -> str:
    """The status of an approval at an instant: what is not used within 24 hours expires."""
    overdue = approval.status in ("pending", "approved") and approval.expires_at <= now_ms
    return "expired" if overdue else approval.status


def approvals(world: World, status: str | None = None) -> Iterator[GovernanceApproval]:
    """Every approval asked for, oldest first; only those of one status when it is named."""
    now = world.now_ms()
    return (item for item in world.store.all(GovernanceApproval) if status in (None, status_at(item, now)))


def as_json(approval: GovernanceApproval) -> dict[str, Any]:
    """An approval as JSON data."""
    return {
        "id": approval.id,
        "operation": approval.operation,
        "subject": approval.subject,
        "agent_id": approval.agent_id,
        "change": approval.change,
        "status": approval.status,
        "created_at": iso(approval.created_at),
        "expires_at": iso(approval.expires_at),
        "decided_at": None if approval.decided_at is None else iso(approval.decided_at),
        "notes": approval.notes,
    }


def decide(world: World, approval_id: str, approve: bool, *, notes: str | None = None) -> GovernanceApproval:
    """Decide an approval as the human at the dashboard would; a control step, an act of its own.

    Args:
        world: the world.
        approval_id: ``gvr_…``.
        approve: True to approve, False to reject.
        notes: what the human writes.

    Raises:
        Fault: NOT_FOUND, or CONFLICT when it was decided or has expired before.
    """
    approval = world.store.get(GovernanceApproval, approval_id)
    if approval is None:
        raise Fault(faults.NOT_FOUND, what="Governance approval", id=approval_id)
    status = status_at(approval, world.now_ms())
    if status != "pending":
        problem = f"Governance approval {approval_id} is {status}; only a pending one can be decided"
        raise Fault(faults.CONFLICT, problem=problem)
    decision = "approved" if approve else "rejected"
    row = RowDraft(_TIMER, "system", agent_id=approval.agent_id)
    given = {"approval_id": approval_id, "decision": decision, "notes": notes}
    act = world.begin_act("control.governance.decide", approval.operator_id, "control", given, row)
    with world.transaction(act):
        return _decided(world, approval, decision, act.now_ms, notes, row)


@on_timer(_TIMER)
def decide_due(world: World, act: Act, timer: Timer) -> None:
    """A scenario's decision takes effect, unless somebody else decided first."""
    approval = world.store.get(GovernanceApproval, timer.payload["approval_id"])
    if approval is None or approval.status != "pending":
        act.row.set(approval=timer.payload["approval_id"], decision="none")
        return
    act.row.agent_id = approval.agent_id
    _decided(world, approval, timer.payload["decision"], act.now_ms, timer.payload.get("notes"), act.row)


def _decided(
    world: World, approval: GovernanceApproval, decision: str, now_ms: int, notes: str | None, row: RowDraft
) -> GovernanceApproval:
    row.set(approval=approval.id, decision=decision, notes=notes)
    row.set(operation=approval.operation, subject=approval.subject)
    return world.store.put(replace(approval, status=decision, decided_at=now_ms, notes=notes))


def _requested(ctx: Context, subject: str, change: str, agent_id: str | None) -> GovernanceApproval:
    """The approval a call waits for: the one asked for already, or a new one."""
    store, now = ctx.world.store, ctx.now_ms
    wanted = {"operator_id": ctx.operator_id, "operation": ctx.operation.name, "subject": subject}
    for known in store.find(GovernanceApproval, **wanted):
        if status_at(known, now) in ("pending", "approved"):
            ctx.row.set(approval=known.id)
            return known
    approval = GovernanceApproval(
        id=ctx.act.new_id("governance-approval", "gvr_"),
        operator_id=ctx.operator_id,
        operation=ctx.operation.name,
        subject=subject,
        change=change,
        lane=ctx.lane,
        agent_id=agent_id,
        created_at=ctx.stamp_ms,
        expires_at=now + LIFETIME_MS,
    )
    ctx.row.set(approval=approval.id)
    store.put(approval)
    _tell(ctx, approval)
    return _foreseen(ctx, approval)


def _tell(ctx: Context, approval: GovernanceApproval) -> None:
    told = {"message": f"{approval.change} waits for approval", "approval_id": approval.id}
    told |= {"operation": approval.operation, "subject": approval.subject}
    data = {**told, "agent_id": approval.agent_id}
    notifications.emit(ctx.world, ctx.act, approval.operator_id, "approval.requested", notifications.WARNING, data)


def _foreseen(ctx: Context, approval: GovernanceApproval) -> GovernanceApproval:
    """Let the first of the scenario's rules that matches decide, at once or after its delay."""
    rules = ctx.world.settings.get("approvals", ())
    rule = next((rule for rule in rules if _matches(ctx.world, rule.when, approval)), None)
    if rule is None or rule.decide == "never":
        return approval
    decision = _DECISIONS[rule.decide]
    if rule.after == 0:
        row = ctx.act.also(_TIMER, "system", agent_id=approval.agent_id)
        return _decided(ctx.world, approval, decision, ctx.now_ms, rule.notes, row)
    payload = {"approval_id": approval.id, "decision": decision, "notes": rule.notes}
    due = ctx.now_ms + rule.after
    ctx.world.arm(Timer(f"{_TIMER}/{approval.id}", due, _TIMER, ctx.lane, approval.operator_id, payload))
    return approval


def scripted(ctx: Context, *, agent_id: str | None) -> tuple[str, int] | None:
    """What the scenario decides about a request of this operation, and after how long; None when nobody answers.

    Returns:
        ``approved``, ``rejected`` or ``expired``, and milliseconds.
    """
    for rule in ctx.world.settings.get("approvals", ()):
        when = rule.when
        agent_fits = when.agent is None or _is_agent(ctx.world, when.agent, agent_id)
        if when.service is None and when.operation in (None, ctx.operation.name) and agent_fits:
            return None if rule.decide == "never" else (_DECISIONS[rule.decide], rule.after)
    return None


def _matches(world: World, when: Any, approval: GovernanceApproval) -> bool:
    if not _concerns(world, when, approval):
        return False
    if when.nth is None:
        return True
    asked = world.store.find(GovernanceApproval, operator_id=approval.operator_id, lane=approval.lane)
    return bool(sum(_concerns(world, when, one) for one in asked) == when.nth)


def _concerns(world: World, when: Any, approval: GovernanceApproval) -> bool:
    if when.service is not None or when.operation not in (None, approval.operation):
        return False
    return when.agent is None or _is_agent(world, when.agent, approval.agent_id)


def _is_agent(world: World, reference: str, agent_id: str | None) -> bool:
    agent = world.store.get(Agent, agent_id) if agent_id is not None else None
    return agent is not None and reference in (agent.id, agent.name)


def _waiting(approval: GovernanceApproval) -> Refused:
    details = {"status": approval.status}
    fault = Fault(faults.GOVERNANCE_APPROVAL_REQUIRED, change=approval.change, approval_id=approval.id, details=details)
    return Refused(fault)


def _unusable(approval_id: str, change: str, status: str, problem: str) -> Refused:
    message = f"Governance approval {approval_id} {problem}; repeat the call without {HEADER} to ask for a fresh one"
    details = {"change": change, "approval_id": approval_id, "status": status}
    return Refused(Fault(faults.GOVERNANCE_APPROVAL_REQUIRED, message, details=details))
