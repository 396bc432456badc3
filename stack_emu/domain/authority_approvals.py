"""Approvals of authority: of bindings, and of enterprise requests that a human confirms (sdk 4.0.0 authority).

Who decides is the scenario's ``approvals`` or the control API; the enterprise's OIDC provider is not emulated.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field

from stack_emu.domain import faults, governance
from stack_emu.domain.agents import require_agent
from stack_emu.domain.authority_records import (
    HEADERS,
    READS,
    WRITES,
    ApprovalRequest,
    Binding,
    OpenWrite,
    Shown,
    base,
    conflict,
    entry_fields,
    named,
    once,
    own,
    status_of,
)
from stack_emu.kernel.acts import Act, RowDraft
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import SECRET, Audit, Command, Reply, Rest, Tool, on_timer, operation
from stack_emu.kernel.store import replace
from stack_emu.kernel.world import Timer, World

PREFIX = "aor_"
_DECIDE = "authority.decide"


class CreateRequests(OpenWrite):
    """Approvals to ask for; whatever else is sent is kept with each of them."""

    binding_id: str = Field(description="Binding id (abn_…)")
    approver_ids: Annotated[list[str] | None, SECRET] = Field(
        None, min_length=1, max_length=50, description="Who is to approve, each of them; anybody when left out"
    )


class RequestsOf(Command):
    """Names a binding."""

    binding_id: str = Field(description="Binding id (abn_…)")


class CreateEnterpriseRequest(OpenWrite):
    """An enterprise's confirmation to ask for; whatever else is sent is kept with it."""

    agent_id: str = Field(description="The agent that is to act (agt_…)")
    organisation_name: Annotated[str | None, SECRET] = Field(None, max_length=256, description="The enterprise")
    role_name: Annotated[str | None, SECRET] = Field(
        None, max_length=256, description="The role in whose name the agent acts"
    )


class EnterpriseRequestById(Command):
    """Names an enterprise request."""

    request_id: str = Field(description="Request id (aor_…)")


class RequestList(Reply):
    """Approval requests of a binding, oldest first."""

    approval_requests: list[Shown]


def view(world: World, request: ApprovalRequest) -> dict[str, Any]:
    """An approval request as it is shown."""
    shown = {**base(request), "agent_id": request.agent_id}
    if request.binding_id is not None:
        shown |= {"binding_id": request.binding_id, "approver_id": request.approver_id}
    shown["decided_at"] = iso(request.decided_at) if request.decided_at is not None else None
    return shown


@operation(
    "authority.create_approval_requests",
    rest=Rest("POST", "/v1/authority/bindings/{binding_id}/approval-requests", status=201, headers=HEADERS),
    tool=Tool("stack_create_authority_approval_requests"),
    auth=WRITES,
    audit=Audit("authority.create_approval_requests"),
    source="sdk 4.0.0 authority.create_approval_requests",
    grade="sdk-implied",
)
def create_approval_requests(ctx: Context, command: CreateRequests) -> RequestList:
    """Ask for approvals of a draft, one of each approver; it can be activated once all are given.

    Raises:
        Fault: NOT_FOUND, CONFLICT when the binding is no draft, IDEMPOTENCY_CONFLICT.
    """

    def make() -> RequestList:
        binding = own(ctx, Binding, command.binding_id)
        ctx.row.set(agent_id=binding.agent_id, **named(binding))
        status = status_of(binding, ctx.now_ms)
        if status != "draft":
            raise conflict(f"{binding.id} is {status}; approvals are asked for while it is a draft")
        approvers: list[str | None] = [*dict.fromkeys(command.approver_ids or ())] or [None]
        made = [_asked(ctx, command, binding.agent_id, binding.id, one) for one in approvers]
        return _list(ctx.world, made)

    return once(ctx, command, RequestList, make)


def _list(world: World, requests: list[ApprovalRequest]) -> RequestList:
    return RequestList(approval_requests=[Shown.model_validate(view(world, one)) for one in requests])


def _asked(
    ctx: Context, command: OpenWrite, agent_id: str, binding_id: str | None, approver_id: str | None, **given: Any
) -> ApprovalRequest:
    request = ApprovalRequest(
        id=ctx.act.new_id("authority-approval", PREFIX),
        status="pending",
        agent_id=agent_id,
        binding_id=binding_id,
        approver_id=approver_id,
        **entry_fields(ctx, {**(command.model_extra or {}), **given}),
    )
    ctx.world.store.put(request)
    foreseen = governance.scripted(ctx, agent_id=agent_id)
    if foreseen is None:
        return request
    decision, after = foreseen
    if after == 0:
        row = ctx.act.also(_DECIDE, "system", agent_id=agent_id)
        return _decided(ctx.world, request, decision, ctx.now_ms, row)
    payload = {"request_id": request.id, "decision": decision}
    due = ctx.now_ms + after
    ctx.world.arm(Timer(f"{_DECIDE}/{request.id}", due, _DECIDE, ctx.act.lane, ctx.operator_id, payload))
    return request


@operation(
    "authority.list_approval_requests",
    rest=Rest("GET", "/v1/authority/bindings/{binding_id}/approval-requests"),
    tool=Tool("stack_list_authority_approval_requests"),
    auth=READS,
    source="sdk 4.0.0 authority.list_approval_requests",
    grade="sdk-implied",
)
def list_approval_requests(ctx: Context, command: RequestsOf) -> RequestList:
    """List the approvals asked for of a binding, oldest first.

    Raises:
        Fault: NOT_FOUND.
    """
    binding = own(ctx, Binding, command.binding_id)
    return _list(ctx.world, list(ctx.world.store.find(ApprovalRequest, binding_id=binding.id)))


class EnterpriseRequest(Shown):
    """An enterprise request, with the page a human confirms it on."""

    agent_id: str
    approval_url: str
    decided_at: str | None


def _enterprise(ctx: Context, request: ApprovalRequest) -> EnterpriseRequest:
    url = f"{ctx.origin}/authority/approve/{request.id}"
    return EnterpriseRequest.model_validate({**view(ctx.world, request), "approval_url": url})


@operation(
    "authority.create_enterprise_oidc_request",
    rest=Rest("POST", "/v1/authority/enterprise-oidc/requests", status=201, headers=HEADERS),
    tool=Tool("stack_create_enterprise_oidc_request"),
    auth=WRITES,
    audit=Audit("authority.create_enterprise_oidc_request"),
    source="sdk 4.0.0 authority.create_enterprise_oidc_request",
    grade="sdk-implied",
)
def create_enterprise_request(ctx: Context, command: CreateEnterpriseRequest) -> EnterpriseRequest:
    """Ask an enterprise to confirm a role. The request is pending and gives no authority; a human decides about it.

    Raises:
        Fault: NOT_FOUND for an agent that is not there, IDEMPOTENCY_CONFLICT.
    """

    def make() -> EnterpriseRequest:
        agent = require_agent(ctx.world, ctx.operator_id, command.agent_id)
        ctx.row.set(agent_id=agent.id)
        names = {"organisation_name": command.organisation_name, "role_name": command.role_name}
        given = {name: value for name, value in names.items() if value is not None}
        request = _asked(ctx, command, agent.id, None, None, **given)
        ctx.row.set(**named(request))
        return _enterprise(ctx, request)

    return once(ctx, command, EnterpriseRequest, make)


@operation(
    "authority.get_enterprise_oidc_request",
    rest=Rest("GET", "/v1/authority/enterprise-oidc/requests/{request_id}"),
    tool=Tool("stack_get_enterprise_oidc_request"),
    auth=READS,
    source="sdk 4.0.0 authority.get_enterprise_oidc_request",
    grade="sdk-implied",
)
def get_enterprise_request(ctx: Context, command: EnterpriseRequestById) -> EnterpriseRequest:
    """Show an enterprise request and what was decided about it.

    Raises:
        Fault: NOT_FOUND.
    """
    request = own(ctx, ApprovalRequest, command.request_id)
    if request.binding_id is not None:
        raise Fault(faults.NOT_FOUND, what="Enterprise request", id=request.id)
    return _enterprise(ctx, request)


def approvals(world: World) -> Iterator[ApprovalRequest]:
    """Every approval asked for, oldest first."""
    return world.store.all(ApprovalRequest)


def as_json(request: ApprovalRequest) -> dict[str, Any]:
    """An approval as JSON data, in the form the control API shows governance approvals in as well."""
    enterprise = request.binding_id is None
    name = "create_enterprise_oidc_request" if enterprise else "create_approval_requests"
    return {
        "id": request.id,
        "operation": f"authority.{name}",
        "subject": request.id if enterprise else request.binding_id,
        "agent_id": request.agent_id,
        "change": "An enterprise's confirmation" if enterprise else f"Activating {request.binding_id}",
        "status": request.status,
        "created_at": iso(request.created_at),
        "expires_at": None,
        "decided_at": iso(request.decided_at) if request.decided_at is not None else None,
        "notes": None,
    }


def decide(world: World, request_id: str, approve: bool) -> ApprovalRequest:
    """Decide an approval request as the human who is asked would; a control step, an act of its own.

    Args:
        world: the world.
        request_id: ``aor_…``.
        approve: True to approve, False to reject.

    Raises:
        Fault: NOT_FOUND, or CONFLICT when it is pending no more.
    """
    request = world.store.get(ApprovalRequest, request_id)
    if request is None:
        raise Fault(faults.NOT_FOUND, what="Authority approval request", id=request_id)
    if request.status != "pending":
        raise conflict(f"{request.id} is {request.status}; only a pending request can be decided")
    decision = "approved" if approve else "rejected"
    row = RowDraft(_DECIDE, "system", agent_id=request.agent_id)
    given = {"approval_id": request_id, "decision": decision}
    act = world.begin_act("control.authority.decide", request.operator_id, "control", given, row)
    with world.transaction(act):
        return _decided(world, request, decision, act.now_ms, row)


@on_timer(_DECIDE)
def decide_due(world: World, act: Act, timer: Timer) -> None:
    """A scenario's decision takes effect, unless somebody else decided first."""
    request = world.store.get(ApprovalRequest, timer.payload["request_id"])
    if request is None or request.status != "pending":
        act.row.set(approval=timer.payload["request_id"], decision="none")
        return
    act.row.agent_id = request.agent_id
    _decided(world, request, timer.payload["decision"], act.now_ms, act.row)


def _decided(world: World, request: ApprovalRequest, decision: str, now_ms: int, row: RowDraft) -> ApprovalRequest:
    row.set(approval=request.id, decision=decision, subject=request.binding_id)
    return world.store.put(
        replace(request, status=decision, decided_at=now_ms, updated_at=now_ms, version=request.version + 1)
    )
