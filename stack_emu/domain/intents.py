"""Intents a human decides on: simulated, submitted, approved, rejected (sdk 4.0.0 intents).

Who decides is a caller of the account, the control API, or the scenario's ``approvals``. A rejection revokes the passport.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, model_validator

from stack_emu.domain import faults, intent_approvals
from stack_emu.domain.authentication import ACCOUNT, ANY_BEARER, passport_record
from stack_emu.domain.intent_approvals import IntentApproval, IntentClaim, holder, status_at
from stack_emu.domain.intent_simulation import Simulation, simulate
from stack_emu.domain.issuance import is_visible, presented, require_holder
from stack_emu.domain.missions import require_live_mission
from stack_emu.domain.revocation import revoke
from stack_emu.domain.state import Agent, Passport
from stack_emu.kernel.acts import Act, RowDraft
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import TOKEN, VOLATILE, Audit, Auth, Command, Reply, Rest, Tool, on_timer, operation
from stack_emu.kernel.store import replace
from stack_emu.kernel.world import Timer, World

DEFAULT_LIFETIME_SECONDS = 900
MAX_LIFETIME_SECONDS = 86_400
DECIDE, EXPIRE = "intent.decide", "intent.expire"
_HEADERS = {"X-Passport-Token": "passport_token"}
_DECISIONS = {"approve": "approved", "reject": "rejected", "expire": "expired"}


class _WithPassport(Command):
    submitted_at: Annotated[Any, VOLATILE] = Field(
        None, description="The client's own instant, taken out of the intent"
    )
    passport_token: Annotated[str | None, TOKEN] = Field(
        None, description="Passport the intent is for; needed unless it is the bearer"
    )

    @model_validator(mode="before")
    @classmethod
    def _instant_apart(cls, data: Any) -> Any:
        """The instant a client writes into an intent differs on every run, so it does not count in ids."""
        intent = data.get("intent") if isinstance(data, Mapping) else None
        if not isinstance(intent, Mapping) or "submitted_at" not in intent:
            return data
        kept = {name: value for name, value in intent.items() if name != "submitted_at"}
        return {**data, "intent": kept, "submitted_at": intent["submitted_at"]}


class SimulateIntent(_WithPassport):
    """An intent to try."""

    intent: dict[str, Any] = Field(
        description="What would be done: service, method, url, headers, body and query of a proxied call, as far as known"
    )
    intent_claim_ref: str | None = Field(None, max_length=256, description="Claim id of an intent this is about")
    persist: bool = Field(True, description="Whether to keep the simulation as a claim")


class SubmitIntent(_WithPassport):
    """An intent for a human to decide on."""

    intent: dict[str, Any] = Field(description="What shall be done; the call must be it, in every field it names")
    expires_in_seconds: int = Field(
        DEFAULT_LIFETIME_SECONDS, ge=1, le=MAX_LIFETIME_SECONDS, description="How long it waits and can be used: 900"
    )
    skip_simulation: bool = Field(False, description="Do not simulate it first")


class ApprovalById(Command):
    """Names a submitted intent."""

    approval_id: str = Field(description="Approval id (iap_…)")


class DecideIntent(ApprovalById):
    """A decision."""

    notes: str | None = Field(None, max_length=1000, description="Why")


class RejectIntent(DecideIntent):
    """A rejection."""

    block_future: bool = Field(False, description="Also suspend the agent")


class ListPending(Command):
    """Which page of waiting intents."""

    page: int = Field(1, ge=1, description="Page, from 1")
    limit: int = Field(20, ge=1, le=100, description="Intents on a page, at most 100")


class SimulationReply(Simulation):
    """A simulation, and the claim it was kept as."""

    claim_id: str | None = Field(description="Claim id of the simulation, when it was kept")
    intent_claim_ref: str | None


class Submitted(Reply):
    """An intent that waits."""

    approval_id: str
    intent_claim_id: str
    simulated_claim_id: str | None
    status: str
    expires_at: str
    simulation: Simulation | None


class ApprovalReply(Reply):
    """A submitted intent and what was decided."""

    approval_id: str
    id: str
    status: str = Field(description="pending, approved, rejected or expired")
    agent_id: str
    passport_jti: str
    mission_id: str | None
    intent: dict[str, Any]
    intent_claim_id: str
    simulated_claim_id: str | None
    created_at: str
    expires_at: str
    decided_at: str | None
    decided_by: str | None
    notes: str | None
    used_at: str | None


class PendingPage(Reply):
    """Waiting intents, oldest first."""

    items: list[ApprovalReply]
    total: int
    page: int
    limit: int


class Rejected(ApprovalReply):
    """A rejection and what followed."""

    passport_revoked: bool
    agent_suspended: bool


def _subject(world: World, command: Any) -> str | None:
    approval = world.store.get(IntentApproval, command.approval_id)
    return approval.agent_id if approval is not None else None


@operation(
    "intents.simulate",
    rest=Rest("POST", "/v1/intents/simulate", headers=_HEADERS),
    tool=Tool("stack_simulate_intent", hidden=("submitted_at",)),
    auth=Auth(bearers=ANY_BEARER, scope="proxy:read", role="standard"),
    audit=Audit("intent.simulate"),
    presents=presented("passport_token"),
    source="sdk 4.0.0 intents.simulate; fields of the reply that its docstring names, and our checks",
    grade="sdk-implied",
)
def simulate_intent(ctx: Context, command: SimulateIntent) -> SimulationReply:
    """Try an intent: the proxy's checks on the call it describes, each with its verdict, without the call.

    Raises:
        Fault: UNAUTHORIZED for a token that is no passport, FORBIDDEN for one of somebody else.
    """
    passport = _passport(ctx, command.passport_token)
    outcome = simulate(ctx, passport, command.intent)
    claim_id = _keep(ctx, passport, command.intent, outcome, command.intent_claim_ref) if command.persist else None
    ctx.row.set(verdict=_verdict(outcome), claim=claim_id, service=intent_approvals.service_of(command.intent))
    return SimulationReply(**outcome.model_dump(), claim_id=claim_id, intent_claim_ref=command.intent_claim_ref)


@operation(
    "intents.submit",
    rest=Rest("POST", "/v1/intents/submit", status=201, headers=_HEADERS),
    tool=Tool("stack_submit_intent", hidden=("submitted_at",)),
    auth=Auth(bearers=ANY_BEARER, scope="proxy:write", role="standard"),
    audit=Audit("intent.submit"),
    presents=presented("passport_token"),
    source="sdk 4.0.0 intents.submit",
    grade="documented",
)
def submit_intent(ctx: Context, command: SubmitIntent) -> Submitted:
    """Submit an intent for a human to decide on. An approved one lets the passport make the call it describes, once.

    Raises:
        Fault: UNAUTHORIZED, PASSPORT_EXPIRED, PASSPORT_REVOKED, PASSPORT_BLOCKED or the mission-ended wording for a passport
            that cannot be used, FORBIDDEN for one of somebody else.
    """
    from stack_emu.domain.authentication import require_live

    passport = require_live(ctx.world, _passport(ctx, command.passport_token))
    _require_usable(ctx, passport)
    outcome = None if command.skip_simulation else simulate(ctx, passport, command.intent)
    expires = ctx.now_ms + command.expires_in_seconds * 1000
    approval = IntentApproval(
        id=ctx.act.new_id("intent-approval", "iap_"),
        operator_id=passport.operator_id,
        passport_id=passport.id,
        agent_id=passport.agent_id,
        mission_id=passport.mission_id,
        intent=command.intent,
        intent_claim_id=ctx.act.new_id("claim", "pc_"),
        simulated_claim_id=None if outcome is None else _keep(ctx, passport, command.intent, outcome, None),
        simulation=None if outcome is None else outcome.model_dump(mode="json"),
        lane=ctx.lane,
        created_at=ctx.stamp_ms,
        expires_at=expires,
    )
    ctx.world.store.put(approval)
    ctx.row.set(approval=approval.id, service=intent_approvals.service_of(command.intent))
    ctx.row.set(verdict=_verdict(outcome))
    payload = {"approval_id": approval.id}
    ctx.world.arm(Timer(f"{EXPIRE}/{approval.id}", expires, EXPIRE, ctx.lane, approval.operator_id, payload))
    _foreseen(ctx, approval)
    return Submitted(
        approval_id=approval.id,
        intent_claim_id=approval.intent_claim_id,
        simulated_claim_id=approval.simulated_claim_id,
        status="pending",
        expires_at=iso(approval.expires_at),
        simulation=outcome,
    )


@operation(
    "intents.list_pending",
    rest=Rest("GET", "/v1/intents/pending"),
    tool=Tool("stack_list_pending_intents"),
    auth=Auth(bearers=ANY_BEARER, scope="proxy:read"),
    source="sdk 4.0.0 intents.list_pending; sdk 0.5.0 polls it until a decided intent is gone",
    grade="sdk-implied",
)
def list_pending(ctx: Context, command: ListPending) -> PendingPage:
    """List the intents that wait for a decision, oldest first."""
    found = [
        approval
        for approval in ctx.world.store.find(IntentApproval, operator_id=ctx.operator_id)
        if status_at(approval, ctx.now_ms) == "pending" and _may_see(ctx, approval)
    ]
    start = (command.page - 1) * command.limit
    items = [_reply(ctx, approval) for approval in found[start : start + command.limit]]
    return PendingPage(items=items, total=len(found), page=command.page, limit=command.limit)


@operation(
    "intents.get",
    rest=Rest("GET", "/v1/intents/{approval_id}"),
    tool=Tool("stack_get_intent"),
    auth=Auth(bearers=ANY_BEARER, scope="proxy:read"),
    source="sdk 4.0.0 intents.get, submit_and_wait",
    grade="documented",
)
def get_intent(ctx: Context, command: ApprovalById) -> ApprovalReply:
    """Read a submitted intent and what was decided.

    Raises:
        Fault: NOT_FOUND.
    """
    return _reply(ctx, _require(ctx, command.approval_id))


@operation(
    "intents.approve",
    rest=Rest("POST", "/v1/intents/{approval_id}/approve"),
    tool=Tool("stack_approve_intent"),
    auth=Auth(bearers=ACCOUNT, scope="proxy:write", role="standard"),
    audit=Audit("intent.approve"),
    subject=_subject,
    source="sdk 4.0.0 intents.approve",
    grade="documented",
)
def approve_intent(ctx: Context, command: DecideIntent) -> ApprovalReply:
    """Approve an intent: its passport may make the call it describes, once, before it expires.

    Raises:
        Fault: NOT_FOUND, CONFLICT when it was decided or has expired before.
    """
    ctx.row.set(approval=command.approval_id)
    approval = _require_pending(ctx, command.approval_id)
    decided = _decided(ctx.world, ctx.act, approval, "approved", ctx.row, by=_name(ctx), notes=command.notes)
    return _reply(ctx, decided)


@operation(
    "intents.reject",
    rest=Rest("POST", "/v1/intents/{approval_id}/reject"),
    tool=Tool("stack_reject_intent", destructive=True),
    auth=Auth(bearers=ACCOUNT, scope="proxy:write", role="standard"),
    audit=Audit("intent.reject"),
    subject=_subject,
    source="sdk 4.0.0 intents.reject; docs/concepts/revocation",
    grade="documented",
)
def reject_intent(ctx: Context, command: RejectIntent) -> Rejected:
    """Reject an intent. The passport is revoked with what was delegated from it; ``block_future`` suspends the agent.

    Raises:
        Fault: NOT_FOUND, CONFLICT when it was decided or has expired before.
    """
    ctx.row.set(approval=command.approval_id, block_future=command.block_future or None)
    approval = _require_pending(ctx, command.approval_id)
    decided = _decided(ctx.world, ctx.act, approval, "rejected", ctx.row, by=_name(ctx), notes=command.notes)
    if command.block_future:
        _suspend(ctx, approval.agent_id)
    passport, agent = holder(ctx.world, decided)
    return Rejected(
        **_reply(ctx, decided).model_dump(),
        passport_revoked=passport is not None and passport.revoked_at is not None,
        agent_suspended=agent is not None and agent.status == "suspended",
    )


def decide(world: World, approval_id: str, approve: bool, *, notes: str | None = None) -> IntentApproval:
    """Decide an intent as the human at the dashboard would; a control step, an act of its own.

    Args:
        world: the world.
        approval_id: ``iap_…``.
        approve: True to approve, False to reject.
        notes: what the human writes.

    Raises:
        Fault: NOT_FOUND, or CONFLICT when it was decided or has expired before.
    """
    approval = world.store.get(IntentApproval, approval_id)
    if approval is None:
        raise Fault(faults.NOT_FOUND, what="Intent approval", id=approval_id)
    _check_pending(world, approval)
    decision = "approved" if approve else "rejected"
    row = RowDraft(DECIDE, "system", agent_id=approval.agent_id, passport_jti=approval.passport_id)
    given = {"approval_id": approval_id, "decision": decision, "notes": notes}
    act = world.begin_act("control.intents.decide", approval.operator_id, "control", given, row)
    with world.transaction(act):
        return _decided(world, act, approval, decision, row, by="control", notes=notes)


@on_timer(DECIDE)
def decide_due(world: World, act: Act, timer: Timer) -> None:
    """A scenario's decision takes effect, unless somebody else decided first."""
    approval = world.store.get(IntentApproval, timer.payload["approval_id"])
    act.row.set(approval=timer.payload["approval_id"])
    if approval is None or approval.status != "pending":
        act.row.set(decision="none")
        return
    decision, notes = timer.payload["decision"], timer.payload.get("notes")
    _decided(world, act, approval, decision, act.row, by="scenario", notes=notes)


@on_timer(EXPIRE)
def expire_due(world: World, act: Act, timer: Timer) -> None:
    """An intent nobody decided, or nobody used, is over."""
    approval = world.store.get(IntentApproval, timer.payload["approval_id"])
    act.row.set(approval=timer.payload["approval_id"])
    if approval is None or approval.used_at is not None or approval.status not in ("pending", "approved"):
        act.row.set(decision="none")
        return
    act.row.set(agent_id=approval.agent_id, passport_jti=approval.passport_id, decision="expired")
    world.store.put(replace(approval, status="expired"))


def _foreseen(ctx: Context, approval: IntentApproval) -> None:
    """Let the first of the scenario's rules that matches decide, at once or after its delay."""
    rules = ctx.world.settings.get("approvals", ())
    rule = next((rule for rule in rules if _matches(ctx.world, rule.when, approval)), None)
    if rule is None or rule.decide == "never":
        return
    decision = _DECISIONS[rule.decide]
    if rule.after == 0:
        row = ctx.act.also(DECIDE, "system", agent_id=approval.agent_id, passport_jti=approval.passport_id)
        _decided(ctx.world, ctx.act, approval, decision, row, by="scenario", notes=rule.notes)
        return
    payload = {"approval_id": approval.id, "decision": decision, "notes": rule.notes}
    due = ctx.now_ms + rule.after
    ctx.world.arm(Timer(f"{DECIDE}/{approval.id}", due, DECIDE, ctx.lane, approval.operator_id, payload))


def _matches(world: World, when: Any, approval: IntentApproval) -> bool:
    if not _concerns(world, when, approval):
        return False
    if when.nth is None:
        return True
    asked = world.store.find(IntentApproval, operator_id=approval.operator_id, lane=approval.lane)
    return bool(sum(_concerns(world, when, one) for one in asked) == when.nth)


def _concerns(world: World, when: Any, approval: IntentApproval) -> bool:
    operation_name = intent_approvals.OPERATIONS[intent_approvals.kind_of(approval.intent)]
    if when.operation not in (None, "intents.submit", operation_name):
        return False
    if when.agent is not None and when.agent not in world.names_of(approval.agent_id):
        return False
    return when.service in (None, intent_approvals.service_of(approval.intent))


def _decided(
    world: World,
    act: Act,
    approval: IntentApproval,
    decision: str,
    row: RowDraft,
    *,
    by: str,
    notes: str | None,
) -> IntentApproval:
    row.set(agent_id=approval.agent_id, passport_jti=approval.passport_id)
    row.set(approval=approval.id, decision=decision, notes=notes)
    world.disarm(f"{DECIDE}/{approval.id}")
    decided = world.store.put(replace(approval, status=decision, decided_at=act.now_ms, decided_by=by, notes=notes))
    if decision == "rejected":
        passport = world.store.get(Passport, approval.passport_id)
        if passport is not None and passport.revoked_at is None:
            reason = f"Intent {approval.id} was rejected" + (f": {notes}" if notes else "")
            revoke(world, act, [passport], revocation="intent", reason=reason, cascade=True)
    return decided


def _verdict(outcome: Simulation | None) -> str | None:
    if outcome is None:
        return None
    return "allowed" if outcome.allowed else "denied"


def _passport(ctx: Context, token: str | None) -> Passport:
    caller = ctx.caller
    found = passport_record(ctx.world, token) if token is not None else None
    if found is None and caller.passport_jti is not None:
        found = ctx.world.store.get(Passport, caller.passport_jti)
    if found is None:
        hint = "Present the passport the intent is for in X-Passport-Token."
        raise Fault(faults.UNAUTHORIZED, hint=hint)
    mine = found.operator_id == ctx.operator_id and is_visible(caller, found)
    if not mine:
        ctx.row.agent_id = caller.agent_id
        ctx.row.passport_jti = caller.passport_jti
        raise Fault(
            faults.FORBIDDEN, reason=f"Passport {found.id} is not one this credential acts for; present its own"
        )
    ctx.row.set(agent_id=found.agent_id, passport_jti=found.id)
    return found


def _require_usable(ctx: Context, passport: Passport) -> None:
    if passport.checked_out_at is not None:
        at = iso(passport.checked_out_at)
        raise Fault(faults.PASSPORT_CHECKED_OUT, jti=passport.id, checked_out_at=at)
    agent = ctx.world.store.get(Agent, passport.agent_id)
    if agent is not None:
        require_holder(agent)
    if passport.mission_id is not None:
        require_live_mission(ctx.world, ctx.operator_id, passport.mission_id)


def _keep(ctx: Context, passport: Passport, intent: Mapping[str, Any], outcome: Simulation, about: str | None) -> str:
    claim = IntentClaim(
        id=ctx.act.new_id("claim", "pc_"),
        operator_id=passport.operator_id,
        passport_id=passport.id,
        intent=intent,
        simulation=outcome.model_dump(mode="json"),
        created_at=ctx.stamp_ms,
        about=about,
    )
    return ctx.world.store.put(claim).id


def _may_see(ctx: Context, approval: IntentApproval) -> bool:
    passport = ctx.world.store.get(Passport, approval.passport_id)
    return passport is not None and is_visible(ctx.caller, passport)


def _require(ctx: Context, approval_id: str) -> IntentApproval:
    approval = ctx.world.store.get(IntentApproval, approval_id)
    if approval is None or approval.operator_id != ctx.operator_id or not _may_see(ctx, approval):
        if ctx.maybe_act is not None and ctx.caller.agent_id is None:
            ctx.row.agent_id = None
        raise Fault(faults.NOT_FOUND, what="Intent approval", id=approval_id)
    return approval


def _require_pending(ctx: Context, approval_id: str) -> IntentApproval:
    approval = _require(ctx, approval_id)
    _check_pending(ctx.world, approval)
    return approval


def _check_pending(world: World, approval: IntentApproval) -> None:
    status = status_at(approval, world.now_ms())
    if status != "pending":
        problem = f"Intent approval {approval.id} is {status}; only a pending one can be decided"
        raise Fault(faults.CONFLICT, problem=problem)


def _suspend(ctx: Context, agent_id: str) -> None:
    agent = ctx.world.store.get(Agent, agent_id)
    if agent is not None and agent.status != "suspended":
        ctx.world.store.put(replace(agent, status="suspended", updated_at=ctx.stamp_ms))


def _name(ctx: Context) -> str:
    return ctx.caller.member_id or ctx.caller.kind


def _reply(ctx: Context, approval: IntentApproval) -> ApprovalReply:
    return ApprovalReply(
        approval_id=approval.id,
        id=approval.id,
        status=status_at(approval, ctx.now_ms),
        agent_id=approval.agent_id,
        passport_jti=approval.passport_id,
        mission_id=approval.mission_id,
        intent=dict(approval.intent),
        intent_claim_id=approval.intent_claim_id,
        simulated_claim_id=approval.simulated_claim_id,
        created_at=iso(approval.created_at),
        expires_at=iso(approval.expires_at),
        decided_at=None if approval.decided_at is None else iso(approval.decided_at),
        decided_by=approval.decided_by,
        notes=approval.notes,
        used_at=None if approval.used_at is None else iso(approval.used_at),
    )
