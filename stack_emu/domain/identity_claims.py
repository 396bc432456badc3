"""Identity claims: listing, delegating and revoking what was verified about the person behind an account."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from stack_emu.domain import faults, revocation
from stack_emu.domain.authentication import ACCOUNT
from stack_emu.domain.identity_records import (
    DAY_MS,
    DELEGATED,
    DELEGATION,
    PERSON,
    TTL_DAYS,
    IdentityClaim,
    active_claims,
    held_claims,
    is_active,
    require_claim,
    settings_of,
    trust_level,
)
from stack_emu.kernel.acts import Act
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.ids import text_id
from stack_emu.kernel.operations import Audit, Auth, Command, Reply, Rest, Tool, on_timer, operation
from stack_emu.kernel.store import replace
from stack_emu.kernel.world import Timer, World

__all__ = ["held_claims", "trust_level"]

READ, WRITE = "identity:read", "identity:write"
_EXPIRY = "identity.claim_expire"
ScopeName = Annotated[str, StringConstraints(min_length=1, max_length=128)]


class ClaimReply(Reply):
    """An identity claim: references and levels, no personal data."""

    id: str
    operator_id: str
    provider_key: str
    layer: str
    claim_type: str
    claim_ref: str
    assurance_level: str
    verified_at: str
    expires_at: str
    delegated_scopes: list[str]


class ClaimById(Command):
    """Names a claim."""

    claim_id: str = Field(description="Identity claim id (clm_…)")


class RevokedClaim(Reply):
    """What revoking a claim took away."""

    id: str
    revoked: bool
    revoked_claims: list[str] = Field(description="The claim, and the delegations that stood on it")
    revoked_passports: int = Field(description="Passports that carried one of them, with what was delegated from them")
    revoked_at: str


class GrantDelegation(Command):
    """What to delegate."""

    delegated_scopes: Annotated[list[ScopeName], Field(min_length=1, max_length=64)] = Field(
        description="What agents may do in the person's name, such as tax:file"
    )


def claim_reply(claim: IdentityClaim) -> ClaimReply:
    """A claim as the API shows it."""
    return ClaimReply(
        id=claim.id,
        operator_id=claim.operator_id,
        provider_key=claim.provider_key,
        layer=claim.layer,
        claim_type=claim.claim_type,
        claim_ref=claim.claim_ref,
        assurance_level=claim.assurance_level,
        verified_at=iso(claim.verified_at),
        expires_at=iso(claim.expires_at),
        delegated_scopes=list(claim.delegated_scopes),
    )


def keep(ctx: Context, claim: IdentityClaim) -> IdentityClaim:
    """Store a claim and arm its end."""
    ctx.world.store.put(claim)
    arm_expiry(ctx.world, claim, ctx.act.lane)
    return claim


def arm_expiry(world: World, claim: IdentityClaim, lane: str) -> None:
    """Arm the timer that ends a claim."""
    payload = {"claim_id": claim.id}
    world.arm(Timer(f"{_EXPIRY}/{claim.id}", claim.expires_at, _EXPIRY, lane, claim.operator_id, payload))


def life_ms(world: World, operator_id: str) -> int:
    """How long claims of an account live from their verification."""
    return TTL_DAYS[settings_of(world, operator_id).identity_claim_ttl] * DAY_MS


def reference(ctx: Context) -> str:
    """An opaque reference, as the provider would know the verification by."""
    return "ref_" + text_id(ctx.act.new_bytes("claim-reference"))


@operation(
    "identity.list_claims",
    rest=Rest("GET", "/v1/identity/claims"),
    tool=Tool("stack_list_identity_claims"),
    auth=Auth(bearers=ACCOUNT, scope=READ),
    source="sdk 4.0.0 identity.list_claims; docs/api/identity",
    grade="documented",
)
def list_claims(ctx: Context, command: Command) -> list[ClaimReply]:
    """List the account's claims that count now, oldest first; expired and revoked ones are left out."""
    return [claim_reply(claim) for claim in active_claims(ctx.world, ctx.operator_id)]


@operation(
    "identity.grant_delegation",
    rest=Rest("POST", "/v1/identity/delegate", status=201),
    tool=Tool("stack_grant_identity_delegation"),
    auth=Auth(bearers=ACCOUNT, scope=WRITE, role="admin"),
    audit=Audit("identity.delegate"),
    source="sdk 4.0.0 identity.grant_delegation; docs/api/identity",
    grade="documented",
)
def grant_delegation(ctx: Context, command: GrantDelegation) -> ClaimReply:
    """Delegate: a claim of the delegation layer that says what agents may do in the verified person's name.

    It stands on the strongest verified_identity claim of the account, with its provider and assurance, and ends with it.

    Raises:
        Fault: FORBIDDEN without an active verified_identity claim.
    """
    scopes = tuple(dict.fromkeys(command.delegated_scopes))
    ctx.row.set(scopes=list(scopes))
    order = ("low", "substantial", "high")
    persons = [claim for claim in active_claims(ctx.world, ctx.operator_id) if claim.claim_type == PERSON]
    if not persons:
        reason = f"Delegation takes an active {PERSON} claim; verify with POST /v1/identity/verify/initiate first"
        raise Fault(faults.FORBIDDEN, reason=reason, details={"missing_claim": PERSON})
    base = max(persons, key=lambda claim: (order.index(claim.assurance_level), claim.expires_at))
    claim = IdentityClaim(
        id=ctx.act.new_id("identity-claim", "clm_"),
        operator_id=ctx.operator_id,
        provider_key=base.provider_key,
        layer=DELEGATION,
        claim_type=DELEGATED,
        claim_ref=reference(ctx),
        assurance_level=base.assurance_level,
        verified_at=ctx.stamp_ms,
        expires_at=min(ctx.now_ms + life_ms(ctx.world, ctx.operator_id), base.expires_at),
        delegated_scopes=scopes,
        based_on=base.id,
    )
    ctx.row.set(identity_claim=claim.id, provider=claim.provider_key)
    return claim_reply(keep(ctx, claim))


@operation(
    "identity.revoke_claim",
    rest=Rest("DELETE", "/v1/identity/claims/{claim_id}"),
    tool=Tool("stack_revoke_identity_claim", destructive=True),
    auth=Auth(bearers=ACCOUNT, scope=WRITE, role="admin"),
    audit=Audit("identity.claim_revoke"),
    source="sdk 4.0.0 identity.revoke_claim; docs/concepts/revocation (bulk_claim); the reply's shape is not published",
    grade="documented",
)
def revoke_claim(ctx: Context, command: ClaimById) -> RevokedClaim:
    """Revoke a claim, and the delegations that stand on it.

    Unless the account's identity_auto_revoke is off, every passport that carries one of them is revoked with all that was
    delegated from it.

    Raises:
        Fault: NOT_FOUND, also for a claim that was revoked before or has expired.
    """
    ctx.row.set(identity_claim=command.claim_id)
    claim = require_claim(ctx.world, ctx.operator_id, command.claim_id)
    if not is_active(claim, ctx.now_ms):
        raise Fault(faults.NOT_FOUND, what="Identity claim", id=claim.id)
    ended = [claim, *(one for one in _standing_on(ctx.world, claim) if is_active(one, ctx.now_ms))]
    for one in ended:
        ctx.world.store.put(replace(one, revoked_at=ctx.now_ms))
        ctx.world.disarm(f"{_EXPIRY}/{one.id}")
    ids = [one.id for one in ended]
    count = 0
    if settings_of(ctx.world, ctx.operator_id).identity_auto_revoke:
        count = _revoke_carriers(ctx, ids)
    ctx.row.set(provider=claim.provider_key, revoked_claims=ids, revoked_passports=count)
    return RevokedClaim(
        id=claim.id, revoked=True, revoked_claims=ids, revoked_passports=count, revoked_at=iso(ctx.now_ms)
    )


def _standing_on(world: World, claim: IdentityClaim) -> list[IdentityClaim]:
    return list(world.store.find(IdentityClaim, based_on=claim.id))


def _revoke_carriers(ctx: Context, claim_ids: list[str]) -> int:
    """Revoke the passports that carry one of some claims; returns how many were revoked in all."""
    standing = revocation.standing(ctx.world, ctx.operator_id)
    carriers = [passport for passport in standing if set(claim_ids) & set(passport.identity_claim_ids)]
    reason = f"Identity claim {claim_ids[0]} was revoked"
    done = revocation.revoke(ctx.world, ctx.act, carriers, revocation="bulk_claim", reason=reason, cascade=True)
    return len(done[0]) + len(done[1])


@on_timer(_EXPIRY)
def expire_claim(world: World, act: Act, timer: Timer) -> None:
    """A claim ends by its age. Nothing is revoked: what it was needed for is refused from here on."""
    claim_id = timer.payload["claim_id"]
    claim = world.store.get(IdentityClaim, claim_id)
    act.row.set(identity_claim=claim_id, provider=claim.provider_key if claim is not None else None)
