"""The end of authority bindings: revoked with everything that hangs on them, and erased (sdk 4.0.0 authority)."""

from __future__ import annotations

from pydantic import Field

from stack_emu.domain import authority_approvals, revocation
from stack_emu.domain.authority_bindings import BindingReply, BindingWrite, reply_of
from stack_emu.domain.authority_records import (
    HEADERS,
    WRITES,
    ApprovalRequest,
    Binding,
    TombstoneReply,
    change,
    conflict,
    erase,
    named,
    once,
    own,
    status_of,
    tombstone,
)
from stack_emu.domain.authority_use import view
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.operations import Audit, Rest, Tool, operation


class RevokeBinding(BindingWrite):
    """Names the binding to revoke."""

    reason_code: str = Field(min_length=1, max_length=100, description="Why, as a code")


def erase_one(ctx: Context, binding: Binding) -> Binding:
    """Erase a binding's data, and that of its approval requests."""
    for request in list(ctx.world.store.find(ApprovalRequest, binding_id=binding.id)):
        erase(ctx, request, authority_approvals.view, approver_id=None)
    return erase(ctx, binding, view, limits={})


@operation(
    "authority.revoke_binding",
    rest=Rest("POST", "/v1/authority/bindings/{binding_id}/revoke", headers=HEADERS),
    tool=Tool("stack_revoke_authority_binding", destructive=True),
    auth=WRITES,
    audit=Audit("authority.revoke_binding"),
    source="sdk 4.0.0 authority.revoke_binding",
    grade="sdk-implied",
)
def revoke_binding(ctx: Context, command: RevokeBinding) -> BindingReply:
    """Revoke a binding, those delegated from it, and every passport that carries one of them.

    Raises:
        Fault: NOT_FOUND, CONFLICT when it is revoked or erased before, IDEMPOTENCY_CONFLICT.
    """

    def make() -> BindingReply:
        binding = own(ctx, Binding, command.binding_id)
        ctx.row.set(agent_id=binding.agent_id, **named(binding))
        if binding.status not in ("draft", "active"):
            raise conflict(f"{binding.id} is {binding.status}; only a draft or an active binding can be revoked")
        revoked = [
            change(ctx, one, view, status="revoked", reason_code=command.reason_code) for one in _tree(ctx, binding)
        ]
        gone = {one.id for one in revoked}
        carrying = [
            passport
            for passport in revocation.standing(ctx.world, ctx.operator_id)
            if gone.intersection(passport.authority_binding_ids)
        ]
        reason = f"authority binding {binding.id} was revoked"
        done, below = revocation.revoke(
            ctx.world, ctx.act, carrying, revocation="authority", reason=reason, cascade=True
        )
        ctx.row.set(revoked_bindings=sorted(gone), revoked_passports=[one.id for one in (*done, *below)] or None)
        return reply_of(ctx, revoked[0])

    return once(ctx, command, BindingReply, make)


def _tree(ctx: Context, binding: Binding) -> list[Binding]:
    """A binding and everything delegated from it that still stands, from the top."""
    found, level = [binding], [binding]
    while level:
        children = [one for top in level for one in ctx.world.store.find(Binding, parent_binding_id=top.id)]
        level = [one for one in children if one.status in ("draft", "active")]
        found.extend(level)
    return found


@operation(
    "authority.erase_binding",
    rest=Rest("POST", "/v1/authority/bindings/{binding_id}/erase", headers=HEADERS),
    tool=Tool("stack_erase_authority_binding", destructive=True),
    auth=WRITES,
    audit=Audit("authority.erase_binding"),
    source="sdk 4.0.0 authority.erase_binding",
    grade="sdk-implied",
)
def erase_binding(ctx: Context, command: BindingWrite) -> TombstoneReply:
    """Erase a binding's data in all its versions, and that of its approval requests.

    Raises:
        Fault: NOT_FOUND, CONFLICT while it is active (revoke it first), IDEMPOTENCY_CONFLICT.
    """

    def make() -> TombstoneReply:
        binding = own(ctx, Binding, command.binding_id)
        ctx.row.set(agent_id=binding.agent_id, **named(binding))
        if status_of(binding, ctx.now_ms) == "active":
            raise conflict(f"{binding.id} is active; revoke it first")
        return tombstone(erase_one(ctx, binding))

    return once(ctx, command, TombstoneReply, make)
