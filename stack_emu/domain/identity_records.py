"""The records of identity: claims an account has verified, verifications under way, settings, services' requirements."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from stack_emu.domain import faults
from stack_emu.domain.state import Connection, Passport
from stack_emu.kernel.clock import iso
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.world import World

DAY_MS = 86_400_000
HUMANITY, IDENTITY, DELEGATION = "humanity", "identity", "delegation"
HUMAN, PERSON, DELEGATED = "verified_human", "verified_identity", "delegated_authority"
LEVEL_OF = {HUMAN: "L1", PERSON: "L2", DELEGATED: "L3"}
"""The trust level that each of the three claims stands for; without any of them it is L0 (docs/concepts/identity)."""
ASSURANCE = ("low", "substantial", "high")
TTL_DAYS = {"30d": 30, "90d": 90, "180d": 180, "1y": 365}
PENDING, APPROVED, DENIED, COMPLETED, EXPIRED = "pending", "approved", "denied", "completed", "expired"


@dataclass(frozen=True)
class IdentityClaim:
    """Something that was verified about the person behind an account; ``claim_ref`` is the provider's opaque reference.

    ``based_on`` is the claim a delegation stands on: it ends with it.
    """

    TABLE: ClassVar[str] = "identity_claims"
    INDEXES: ClassVar[tuple[str, ...]] = ("operator_id", "based_on")
    id: str
    operator_id: str
    provider_key: str
    layer: str
    claim_type: str
    claim_ref: str
    assurance_level: str
    verified_at: int
    expires_at: int
    delegated_scopes: tuple[str, ...] = ()
    based_on: str | None = None
    revoked_at: int | None = None


@dataclass(frozen=True)
class VerificationSession:
    """A verification under way; ``id`` is its ``session_ref``. ``csrf`` is what the page's form has to carry."""

    TABLE: ClassVar[str] = "identity_verifications"
    INDEXES: ClassVar[tuple[str, ...]] = ("operator_id",)
    id: str
    operator_id: str
    provider_key: str
    claim_types: tuple[str, ...]
    csrf: str
    created_at: int
    expires_at: int
    return_url: str | None = None
    status: str = PENDING
    decided_at: int | None = None
    claim_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class IdentitySettings:
    """How an account's claims live; ``id`` is the account's."""

    TABLE: ClassVar[str] = "identity_settings"
    INDEXES: ClassVar[tuple[str, ...]] = ()
    id: str
    identity_claim_ttl: str = "90d"
    identity_claim_inheritance: str = "auto"
    identity_auto_revoke: bool = True


@dataclass(frozen=True)
class ServiceRequirement:
    """What a passport must carry to use a service; ``service_id`` is ``svc_…``, or a connection for that one only."""

    TABLE: ClassVar[str] = "service_requirements"
    INDEXES: ClassVar[tuple[str, ...]] = ("operator_id", "service_id")
    id: str
    operator_id: str
    service_id: str
    layer: str
    requires_claim: str
    minimum_assurance: str
    created_at: int
    accepted_providers: tuple[str, ...] = ()
    required_scopes: tuple[str, ...] | None = None
    requires_pii: bool = False
    lawful_basis: str | None = None


def settings_of(world: World, operator_id: str) -> IdentitySettings:
    """The identity settings of an account, as they are until it changes them."""
    return world.store.get(IdentitySettings, operator_id) or IdentitySettings(operator_id)


def is_active(claim: IdentityClaim, now_ms: int) -> bool:
    """Whether a claim counts: it was not revoked and has not expired."""
    return claim.revoked_at is None and claim.expires_at > now_ms


def active_claims(world: World, operator_id: str) -> Iterator[IdentityClaim]:
    """The claims of an account that count now, oldest first."""
    now = world.now_ms()
    return (claim for claim in world.store.find(IdentityClaim, operator_id=operator_id) if is_active(claim, now))


def counting(world: World, claim_ids: Iterable[str]) -> list[IdentityClaim]:
    """Those of some claims that count now."""
    found = (world.store.get(IdentityClaim, claim_id) for claim_id in claim_ids)
    now = world.now_ms()
    return [claim for claim in found if claim is not None and is_active(claim, now)]


def claims_for_passport(world: World, operator_id: str, wanted: Iterable[str] | None) -> tuple[str, ...]:
    """Ids of the claims a new passport carries.

    Args:
        world: the world.
        operator_id: whose passport.
        wanted: the claims asked for; None takes all active ones, unless the account's settings say opt_in.

    Raises:
        Fault: NOT_FOUND for a claim the account does not have, CONFLICT for one that does not count any more.
    """
    if wanted is None:
        if settings_of(world, operator_id).identity_claim_inheritance == "opt_in":
            return ()
        return tuple(claim.id for claim in active_claims(world, operator_id))
    chosen = [require_claim(world, operator_id, claim_id) for claim_id in dict.fromkeys(wanted)]
    for claim in chosen:
        if not is_active(claim, world.now_ms()):
            ended = "was revoked" if claim.revoked_at is not None else f"expired at {iso(claim.expires_at)}"
            raise Fault(
                faults.CONFLICT, problem=f"Identity claim {claim.id} {ended}; verify again and name the new one"
            )
    return tuple(claim.id for claim in chosen)


def require_claim(world: World, operator_id: str, claim_id: str) -> IdentityClaim:
    """The account's claim, whatever became of it.

    Raises:
        Fault: NOT_FOUND.
    """
    claim = world.store.get(IdentityClaim, claim_id)
    if claim is None or claim.operator_id != operator_id:
        raise Fault(faults.NOT_FOUND, what="Identity claim", id=claim_id)
    return claim


def token_claims(world: World, claim_ids: Iterable[str]) -> list[dict[str, Any]]:
    """``stk.identity_claims`` of a passport's token: references and levels, no personal data (docs/concepts/passports)."""
    found = (world.store.get(IdentityClaim, claim_id) for claim_id in claim_ids)
    return [_token_claim(claim) for claim in found if claim is not None]


def _token_claim(claim: IdentityClaim) -> dict[str, Any]:
    told: dict[str, Any] = {
        "claim_id": claim.id,
        "provider": claim.provider_key,
        "layer": claim.layer,
        "claim_type": claim.claim_type,
        "assurance_level": claim.assurance_level,
        "verified_at": iso(claim.verified_at),
        "expires_at": iso(claim.expires_at),
    }
    if claim.delegated_scopes:
        told["delegated_scopes"] = list(claim.delegated_scopes)
    return told


def require_met(
    world: World, operator_id: str, services: Mapping[str, str], claim_ids: Iterable[str], who: str
) -> None:
    """Refuse the use of services whose identity requirements the claims do not meet.

    Args:
        world: the world.
        operator_id: the account whose services they are.
        services: connection id → catalogue id (``svc_…``) of each service to be used.
        claim_ids: the claims presented; those that ended do not count.
        who: who presents them, as the beginning of a sentence.

    Raises:
        Fault: IDENTITY_REQUIREMENTS_NOT_MET naming the service and what is missing.
    """
    held = None
    for requirement in world.store.find(ServiceRequirement, operator_id=operator_id):
        named = [one for one, catalogued in services.items() if requirement.service_id in (one, catalogued)]
        if not named:
            continue
        held = counting(world, claim_ids) if held is None else held
        if any(_meets(claim, requirement) for claim in held):
            continue
        missing = _missing(requirement)
        details = {"service_id": requirement.service_id, "requirement_id": requirement.id, "missing": missing}
        raise Fault(
            faults.IDENTITY_REQUIREMENTS_NOT_MET,
            who=who,
            service=requirement.service_id,
            missing=_in_words(missing),
            details=details,
        )


def _meets(claim: IdentityClaim, requirement: ServiceRequirement) -> bool:
    return (
        claim.layer == requirement.layer
        and claim.claim_type == requirement.requires_claim
        and ASSURANCE.index(claim.assurance_level) >= ASSURANCE.index(requirement.minimum_assurance)
        and (not requirement.accepted_providers or claim.provider_key in requirement.accepted_providers)
        and set(requirement.required_scopes or ()) <= set(claim.delegated_scopes)
    )


def _missing(requirement: ServiceRequirement) -> dict[str, Any]:
    missing: dict[str, Any] = {
        "layer": requirement.layer,
        "claim_type": requirement.requires_claim,
        "minimum_assurance": requirement.minimum_assurance,
    }
    if requirement.accepted_providers:
        missing["accepted_providers"] = list(requirement.accepted_providers)
    if requirement.required_scopes:
        missing["required_scopes"] = list(requirement.required_scopes)
    return missing


def _in_words(missing: Mapping[str, Any]) -> str:
    text = f"it takes {missing['claim_type']} in layer {missing['layer']} with assurance {missing['minimum_assurance']}"
    if "accepted_providers" in missing:
        text += f", verified by {' or '.join(missing['accepted_providers'])}"
    if "required_scopes" in missing:
        text += f", delegated for {', '.join(missing['required_scopes'])}"
    return text


def require_met_by(world: World, operator_id: str, passport: Passport | None, connection: Connection) -> None:
    """Refuse the use of a connection whose identity requirements a passport, or without one the account, does not meet.

    Raises:
        Fault: IDENTITY_REQUIREMENTS_NOT_MET.
    """
    services = {connection.id: connection.service_id}
    if passport is not None:
        require_met(world, operator_id, services, passport.identity_claim_ids, f"Passport {passport.id}")
    else:
        ids = [claim.id for claim in active_claims(world, operator_id)]
        require_met(world, operator_id, services, ids, "This account")


def trust_level(world: World, operator_id: str, passport: Passport | None) -> str:
    """The trust level of an account, or of a passport of it: L0 to L3, by the highest claim that counts."""
    held = held_claims(world, operator_id, passport)
    return max((LEVEL_OF.get(claim.claim_type, "L0") for claim in held), default="L0")


def held_claims(world: World, operator_id: str, passport: Passport | None) -> list[IdentityClaim]:
    """The claims that count for an account, or for a passport of it."""
    if passport is None:
        return list(active_claims(world, operator_id))
    return counting(world, passport.identity_claim_ids)
