"""Bindings at work: what a passport or a mission may carry, what its token says of them, and what is noted of it.

Passports repeat ids, versions, digests and ends only: nothing about a person.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from stack_emu.domain.authority_records import (
    ERASED,
    Binding,
    Presentation,
    Principal,
    Proof,
    Use,
    base,
    conflict,
    entry_fields,
    invalid,
    named,
    own,
    status_of,
)
from stack_emu.domain.state import Agent, JsonObject, Passport, ProxyOperation
from stack_emu.kernel.acts import Act
from stack_emu.kernel.canonical import digest
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.world import World

READ_METHODS = ("GET", "HEAD", "OPTIONS")


def view(world: World, binding: Binding) -> dict[str, Any]:
    """A binding as it is shown."""
    shown = {
        **base(binding),
        **binding.limits,
        "status": status_of(binding, world.now_ms()),
        "principal_id": binding.principal_id,
        "agent_id": binding.agent_id,
        "claim_id": binding.claim_id,
        "proof_ids": list(binding.proof_ids),
        "receiver_id": binding.receiver_id,
        "receiver_profile_version_id": binding.profile_id,
        "parent_binding_id": binding.parent_binding_id,
        "expires_at": iso(binding.expires_at),
    }
    return shown if binding.status == ERASED else {**shown, "digest": digest_of(binding)}


def digest_of(binding: Binding) -> str:
    """Hex SHA-256 of the canonical JSON of a binding's terms at its version."""
    terms = {
        **binding.given,
        **binding.limits,
        "id": binding.id,
        "version": binding.version,
        "principal_id": binding.principal_id,
        "agent_id": binding.agent_id,
        "claim_id": binding.claim_id,
        "proof_ids": list(binding.proof_ids),
        "receiver_id": binding.receiver_id,
        "receiver_profile_version_id": binding.profile_id,
        "parent_binding_id": binding.parent_binding_id,
        "expires_at": binding.expires_at // 1000,
    }
    return digest(terms)


def require(ctx: Context, agent: Agent | None, binding_ids: Iterable[str]) -> list[Binding]:
    """The bindings a passport or a mission is to carry.

    Args:
        ctx: the call.
        agent: who is to act under them; None for a mission of no particular agent.
        binding_ids: which.

    Raises:
        Fault: NOT_FOUND, CONFLICT for one that is not active, INVALID_REQUEST for another agent's.
    """
    found = []
    for binding_id in dict.fromkeys(binding_ids):
        binding = own(ctx, Binding, binding_id)
        status = status_of(binding, ctx.now_ms)
        if status != "active":
            raise conflict(f"{binding.id} is {status}; name an active binding, or activate this one if it is a draft")
        _require_ground(ctx, binding)
        if agent is not None and binding.agent_id != agent.id:
            problem = f"{binding.id} is of {binding.agent_id}; delegate it to {agent.id} and name that binding"
            raise invalid("authority_binding_ids", problem)
        found.append(binding)
    return found


def _require_ground(ctx: Context, binding: Binding) -> None:
    """Refuse a binding whose principal or proofs do not hold any more, though nobody revoked it."""
    principal = ctx.world.store.get(Principal, binding.principal_id)
    if principal is not None and principal.status != "active":
        raise conflict(f"{binding.id} stands for {principal.id}, which is {principal.status}; draft a new binding")
    for proof_id in binding.proof_ids:
        proof = ctx.world.store.get(Proof, proof_id)
        if proof is not None and proof.status != "valid":
            raise conflict(f"{binding.id} rests on {proof.id}, which is {proof.status}; draft a new binding")


def end_of(ctx: Context, agent: Agent, binding_ids: Iterable[str]) -> int | None:
    """The end of what a passport carries on from another one, or None; the bindings must still be good.

    Raises:
        Fault: as ``require`` does.
    """
    return min((one.expires_at for one in require(ctx, agent, binding_ids)), default=None)


def covering(world: World, agent: Agent, binding_ids: Iterable[str]) -> tuple[str, ...]:
    """Those of some bindings that are an agent's own: what a delegated passport carries on."""
    found = (world.store.get(Binding, binding_id) for binding_id in binding_ids)
    return tuple(one.id for one in found if one is not None and one.agent_id == agent.id)


def refs(world: World, binding_ids: Sequence[str]) -> list[JsonObject]:
    """What a token says of its bindings (sdk 4.0.0 types.py); where a binding names no receiver, the text is empty."""
    found = (world.store.get(Binding, binding_id) for binding_id in binding_ids)
    return [
        {
            "binding_id": one.id,
            "binding_version": one.version,
            "binding_claim_id": one.claim_id,
            "binding_digest": digest_of(one),
            "receiver_id": one.receiver_id or "",
            "receiver_profile_version_id": one.profile_id or "",
            "expires_at": one.expires_at // 1000,
        }
        for one in found
        if one is not None and one.status != ERASED
    ]


def present(ctx: Context, passport: Passport) -> None:
    """Note that a passport shows bindings."""
    if not passport.authority_binding_ids:
        return
    shown = Presentation(
        id=ctx.act.new_id("authority-presentation", "prs_"),
        passport_id=passport.id,
        agent_id=passport.agent_id,
        status="presented",
        refs=tuple(refs(ctx.world, passport.authority_binding_ids)),
        **entry_fields(ctx),
    )
    ctx.world.store.put(shown)
    ctx.row.set(**named(shown))


def note_use(world: World, act: Act, made: ProxyOperation) -> None:
    """Note a write that went out under a passport's bindings, for each of them that covers the service."""
    passport = world.store.get(Passport, made.passport_id) if made.passport_id else None
    if passport is None or made.method in READ_METHODS:
        return
    for binding_id in passport.authority_binding_ids:
        binding = world.store.get(Binding, binding_id)
        services = binding.limits.get("services") if binding is not None else []
        if services is not None and made.provider not in services and made.connection_id not in services:
            continue
        use = Use(
            id=act.new_id("authority-use", "use_"),
            operator_id=made.operator_id,
            created_at=act.stamp_ms,
            updated_at=act.stamp_ms,
            status="used",
            binding_id=binding_id,
            passport_id=passport.id,
            agent_id=passport.agent_id,
            operation_id=made.id,
            service=made.provider,
            method=made.method,
        )
        world.store.put(use)
