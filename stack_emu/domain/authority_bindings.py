"""Authority bindings: a principal's authority in the hands of an agent (sdk 4.0.0 authority).

A binding is a draft until it is activated, which waits for its approval requests, its proofs and its receiver. The terms
that count for delegation are ``services``, ``scopes``, ``operations`` and the end: a delegated binding has no more of them.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from stack_emu.domain import faults
from stack_emu.domain.agents import require_agent
from stack_emu.domain.authority_proofs import require_principal
from stack_emu.domain.authority_records import (
    HEADERS,
    READS,
    WRITES,
    ApprovalRequest,
    Binding,
    OpenWrite,
    Principal,
    Profile,
    Proof,
    Receiver,
    Shown,
    Write,
    change,
    conflict,
    entry_fields,
    instant,
    invalid,
    known,
    named,
    once,
    own,
    shown_at,
    status_of,
)
from stack_emu.domain.authority_use import view
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import Audit, Command, Reply, Rest, Tool, operation

LIFETIME_MS = 30 * 86_400_000
"""Life of a binding whose caller names no end; invented."""
_LIMITS = ("services", "scopes", "operations")


class Terms(OpenWrite):
    """What a binding allows; whatever else is sent is kept with it."""

    agent_id: str = Field(description="The agent that acts (agt_…)")
    services: list[str] | None = Field(None, description="Services it is limited to; any when left out")
    scopes: list[str] | None = Field(None, description="Scopes it is limited to; any when left out")
    operations: list[str] | None = Field(None, description="Operations it is limited to; any when left out")
    expires_at: str | None = Field(None, description="Its end as an ISO-8601 instant; 30 days from now when left out")


class CreateBinding(Terms):
    """A new binding."""

    principal_id: str = Field(description="On whose authority (prn_…)")
    proof_ids: list[str] = Field([], description="Proofs of that authority (prf_…)")
    receiver_id: str | None = Field(None, description="Who it is shown to (rcv_…)")
    receiver_profile_version_id: str | None = Field(
        None, description="Version of the receiver's profile (apv_…); the active one when left out"
    )


class BindingById(Command):
    """Names a binding, or a version of it."""

    binding_id: str = Field(description="Binding id (abn_…)")
    version: int | None = Field(None, ge=1, description="Version; the latest when left out")


class BindingWrite(Write):
    """Names the binding to change."""

    binding_id: str = Field(description="Binding id (abn_…)")


class ActivateBinding(BindingWrite):
    """Names the binding to activate."""

    version: int | None = Field(None, ge=1, description="The version that was approved; the latest when left out")


class DelegateBinding(Terms):
    """A narrower binding for another agent."""

    binding_id: str = Field(description="The binding to delegate from (abn_…)")


class BindingReply(Reply):
    """A binding."""

    binding: Shown


class BindingList(Reply):
    """Bindings, oldest first."""

    bindings: list[Shown]


def reply_of(ctx: Context, binding: Binding) -> BindingReply:
    """A binding as a reply."""
    return BindingReply(binding=Shown.model_validate(view(ctx.world, binding)))


def _end(ctx: Context, expires_at: str | None, latest: int) -> int:
    end = latest if expires_at is None else instant("expires_at", expires_at)
    if end <= ctx.now_ms:
        raise invalid("expires_at", f"must be after now, {iso(ctx.now_ms)}")
    return end


def _limits(command: Terms) -> dict[str, list[str]]:
    return {name: list(given) for name in _LIMITS if (given := getattr(command, name)) is not None}


@operation(
    "authority.create_binding",
    rest=Rest("POST", "/v1/authority/bindings", status=201, headers=HEADERS),
    tool=Tool("stack_create_authority_binding"),
    auth=WRITES,
    audit=Audit("authority.create_binding"),
    source="sdk 4.0.0 authority.create_binding",
    grade="sdk-implied",
)
def create_binding(ctx: Context, command: CreateBinding) -> BindingReply:
    """Draft a binding of a principal's authority to an agent.

    Raises:
        Fault: NOT_FOUND for what is not there, CONFLICT for a principal that is not active or a proof that is not valid,
            INVALID_REQUEST for a proof of somebody else or an end that is over, IDEMPOTENCY_CONFLICT.
    """

    def make() -> BindingReply:
        agent = require_agent(ctx.world, ctx.operator_id, command.agent_id)
        principal = require_principal(ctx, command.principal_id)
        ctx.row.set(agent_id=agent.id, **named(principal))
        for proof_id in command.proof_ids:
            _check_proof(ctx, proof_id, principal.id)
        if command.receiver_id is not None:
            own(ctx, Receiver, command.receiver_id)
        if command.receiver_profile_version_id is not None:
            own(ctx, Profile, command.receiver_profile_version_id)
        return _drafted(
            ctx,
            command,
            principal_id=principal.id,
            agent_id=agent.id,
            proof_ids=tuple(command.proof_ids),
            receiver_id=command.receiver_id,
            profile_id=command.receiver_profile_version_id,
            expires_at=_end(ctx, command.expires_at, ctx.now_ms + LIFETIME_MS),
            limits=_limits(command),
        )

    return once(ctx, command, BindingReply, make)


def _check_proof(ctx: Context, proof_id: str, principal_id: str) -> None:
    proof = own(ctx, Proof, proof_id)
    if proof.principal_id != principal_id:
        raise invalid("proof_ids", f"{proof_id} proves the authority of {proof.principal_id}, not of {principal_id}")
    if proof.status != "valid":
        raise conflict(f"{proof_id} is {proof.status}; import or collect another proof")


def _drafted(ctx: Context, command: Terms, **fields: Any) -> BindingReply:
    binding = Binding(
        id=ctx.act.new_id("authority-binding", "abn_"),
        claim_id=ctx.act.new_id("claim", "pc_"),
        status="draft",
        **fields,
        **entry_fields(ctx, command.model_extra),
    )
    ctx.world.store.put(binding)
    ctx.row.set(**named(binding))
    return reply_of(ctx, binding)


@operation(
    "authority.list_bindings",
    rest=Rest("GET", "/v1/authority/bindings"),
    tool=Tool("stack_list_authority_bindings"),
    auth=READS,
    source="sdk 4.0.0 authority.list_bindings",
    grade="sdk-implied",
)
def list_bindings(ctx: Context, command: Command) -> BindingList:
    """List the account's bindings, oldest first, those revoked and erased included."""
    return BindingList(bindings=[Shown.model_validate(view(ctx.world, one)) for one in known(ctx, Binding)])


@operation(
    "authority.get_binding",
    rest=Rest("GET", "/v1/authority/bindings/{binding_id}"),
    tool=Tool("stack_get_authority_binding"),
    auth=READS,
    source="sdk 4.0.0 authority.get_binding",
    grade="sdk-implied",
)
def get_binding(ctx: Context, command: BindingById) -> BindingReply:
    """Show a binding, or an earlier version of it; of an erased one no data is left.

    Raises:
        Fault: NOT_FOUND, also for a version there is none of.
    """
    binding = own(ctx, Binding, command.binding_id)
    return BindingReply(binding=Shown.model_validate(shown_at(ctx, binding, view, command.version)))


@operation(
    "authority.activate_binding",
    rest=Rest("POST", "/v1/authority/bindings/{binding_id}/activate", headers=HEADERS),
    tool=Tool("stack_activate_authority_binding"),
    auth=WRITES,
    audit=Audit("authority.activate_binding"),
    source="sdk 4.0.0 authority.activate_binding",
    grade="sdk-implied",
)
def activate_binding(ctx: Context, command: ActivateBinding) -> BindingReply:
    """Activate a draft once everything it waits for is there; without approval requests it waits for none.

    Raises:
        Fault: NOT_FOUND, CONFLICT with ``details.missing`` while something is missing, or when the binding is no draft or
            of another version, IDEMPOTENCY_CONFLICT.
    """

    def make() -> BindingReply:
        binding = own(ctx, Binding, command.binding_id)
        ctx.row.set(agent_id=binding.agent_id, **named(binding))
        status = status_of(binding, ctx.now_ms)
        if status != "draft":
            raise conflict(f"{binding.id} is {status}; only a draft can be activated")
        if command.version not in (None, binding.version):
            raise conflict(f"{binding.id} is at version {binding.version}, not {command.version}; activate that one")
        missing = _missing(ctx, binding)
        if missing:
            raise conflict(f"{binding.id} cannot be activated yet: {'; '.join(missing)}", missing=missing)
        profile_id = binding.profile_id or _active_profile(ctx)
        return reply_of(ctx, change(ctx, binding, view, status="active", profile_id=profile_id))

    return once(ctx, command, BindingReply, make)


def _missing(ctx: Context, binding: Binding) -> list[str]:
    """What a binding still waits for, as sentences."""
    store = ctx.world.store
    # Whoever was asked again is counted by the newest answer.
    newest = {one.approver_id: one for one in store.find(ApprovalRequest, binding_id=binding.id)}
    missing = [
        f"approval request {one.id} is {one.status}, not approved"
        for one in newest.values()
        if one.status != "approved"
    ]
    wanted: list[tuple[type[Any], str | None, str]] = [
        (Principal, binding.principal_id, "active"),
        *((Proof, proof_id, "valid") for proof_id in binding.proof_ids),
        (Receiver, binding.receiver_id, "verified"),
        (Profile, binding.profile_id, "active"),
        (Binding, binding.parent_binding_id, "active"),
    ]
    for kind, record_id, status in wanted:
        found = store.get(kind, record_id) if record_id is not None else None
        if found is None:
            continue
        now = status_of(found, ctx.now_ms) if isinstance(found, Binding) else found.status
        if now != status:
            missing.append(f"{kind.KIND} {found.id} is {now}, not {status}")
    return missing


def _active_profile(ctx: Context) -> str | None:
    profiles = known(ctx, Profile)
    return next((one.id for one in profiles if (one.profile_kind, one.status) == ("receiver", "active")), None)


@operation(
    "authority.delegate_binding",
    rest=Rest("POST", "/v1/authority/bindings/{binding_id}/delegate", status=201, headers=HEADERS),
    tool=Tool("stack_delegate_authority_binding"),
    auth=WRITES,
    audit=Audit("authority.delegate_binding"),
    source="sdk 4.0.0 authority.delegate_binding",
    grade="sdk-implied",
)
def delegate_binding(ctx: Context, command: DelegateBinding) -> BindingReply:
    """Draft a binding for another agent that allows no more than this one; what is left out is taken over.

    Raises:
        Fault: NOT_FOUND, CONFLICT when the binding is not active, SCOPE_ESCALATION, IDEMPOTENCY_CONFLICT.
    """

    def make() -> BindingReply:
        parent = own(ctx, Binding, command.binding_id)
        agent = require_agent(ctx.world, ctx.operator_id, command.agent_id)
        ctx.row.set(agent_id=agent.id, root=parent.id)
        status = status_of(parent, ctx.now_ms)
        if status != "active":
            raise conflict(f"{parent.id} is {status}; only an active binding can be delegated")
        require_principal(ctx, parent.principal_id)
        limits = {**parent.limits, **_limits(command)}
        for name, wanted in limits.items():
            _check_narrower(parent, name, wanted)
        end = _end(ctx, command.expires_at, parent.expires_at)
        if end > parent.expires_at:
            raise Fault(
                faults.SCOPE_ESCALATION,
                what=f"expires_at {iso(end)}",
                parent=parent.id,
                allowed=f"until {iso(parent.expires_at)}",
            )
        return _drafted(
            ctx,
            command,
            principal_id=parent.principal_id,
            agent_id=agent.id,
            proof_ids=parent.proof_ids,
            receiver_id=parent.receiver_id,
            profile_id=parent.profile_id,
            parent_binding_id=parent.id,
            expires_at=end,
            limits=limits,
        )

    return once(ctx, command, BindingReply, make)


def _check_narrower(parent: Binding, name: str, wanted: list[str]) -> None:
    allowed = parent.limits.get(name)
    beyond = sorted(set(wanted) - set(allowed)) if allowed is not None else []
    if beyond:
        what = f"{name} {', '.join(beyond)}"
        raise Fault(faults.SCOPE_ESCALATION, what=what, parent=parent.id, allowed=", ".join(allowed or ()) or "none")
