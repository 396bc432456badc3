"""The identity section of a scenario: who decides verifications, and the claims accounts start with."""

from __future__ import annotations

from stack_emu.domain.identity_claims import arm_expiry
from stack_emu.domain.identity_providers import LAYER_OF, find
from stack_emu.domain.identity_records import (
    DAY_MS,
    DELEGATED,
    DELEGATION,
    PERSON,
    IdentityClaim,
)
from stack_emu.domain.identity_verification import RETURN_ORIGINS, SETTING
from stack_emu.kernel.errors import WorldError
from stack_emu.kernel.ids import text_id
from stack_emu.kernel.world import World
from stack_emu.scenario.models import IdentityClaim as DeclaredClaim
from stack_emu.scenario.models import Scenario

DEFAULT_LIFE_MS = 90 * DAY_MS
LANE = "scenario"


class IdentitySeedError(WorldError):
    """A claim of the scenario that could not be; the message says what would work."""


def provision_identity(world: World, scenario: Scenario) -> None:
    """Put the scenario's claims into the store and note who decides verifications.

    Raises:
        IdentitySeedError: for a claim its provider does not verify, or a delegation without a verified identity.
    """
    world.settings[SETTING] = scenario.identity.verification
    world.settings[RETURN_ORIGINS] = scenario.identity.return_origins
    for number, declared in enumerate(scenario.identity.claims):
        claim = _claim(world, scenario, declared, number)
        world.store.put(claim)
        arm_expiry(world, claim, LANE)


def _claim(world: World, scenario: Scenario, declared: DeclaredClaim, number: int) -> IdentityClaim:
    provider = find(declared.provider)
    if provider is None or declared.claim not in (*provider.claim_types, DELEGATED):
        can = ", ".join(provider.claim_types) if provider is not None else "nothing"
        raise IdentitySeedError(f"{declared.provider} does not verify {declared.claim}; it verifies {can}")
    operator_id = declared.operator or scenario.operators[0].id
    base = None
    if declared.claim == DELEGATED:
        known = world.store.find(IdentityClaim, operator_id=operator_id)
        base = next((one for one in known if one.claim_type == PERSON), None)
        if base is None:
            raise IdentitySeedError(f"{operator_id} delegates without a {PERSON} claim; list that one first")
    now = world.now_ms()
    expires = now + (declared.expires or DEFAULT_LIFE_MS)
    subject = f"{operator_id}/{number}"
    return IdentityClaim(
        id=declared.id or "clm_" + text_id(world.key_bytes("identity-claim", subject)),
        operator_id=operator_id,
        provider_key=provider.key,
        layer=LAYER_OF.get(declared.claim, DELEGATION),
        claim_type=declared.claim,
        claim_ref="ref_" + text_id(world.key_bytes("claim-reference", subject)),
        assurance_level=declared.assurance or provider.assurance,
        verified_at=now,
        expires_at=min(expires, base.expires_at) if base is not None else expires,
        delegated_scopes=declared.delegated_scopes,
        based_on=base.id if base is not None else None,
    )
