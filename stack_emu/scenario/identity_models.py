"""Identity at the world's start: who decides verifications, and claims that are verified already."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stack_emu.scenario.values import Model, SinceStart

CLAIM_ID_PATTERN = r"^clm_[A-Za-z0-9_-]+$"
ORIGIN_PATTERN = r"^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?$"


class IdentityClaim(Model):
    """One claim an account has verified."""

    id: Annotated[str, Field(pattern=CLAIM_ID_PATTERN, max_length=128)] | None = Field(
        None, description="The claim's id, starting with clm_; derived from the seed when left out."
    )
    operator: str | None = Field(None, description="Id of the operator whose claim it is; the first one when left out.")
    provider: Literal["bankid_se", "persona", "stripe_identity", "idnow", "oidc", "cloudflare_turnstile"] = Field(
        "persona", description="Key of the provider that verified it."
    )
    claim: Literal["verified_human", "verified_identity", "age_over_18", "verified_email", "delegated_authority"] = (
        Field(
            "verified_identity",
            description="What was verified; delegated_authority needs a verified_identity before it.",
        )
    )
    assurance: Literal["low", "substantial", "high"] | None = Field(
        None, description="How surely; the provider's own assurance when left out."
    )
    delegated_scopes: tuple[str, ...] = Field((), description="With delegated_authority: what agents may do.")
    expires: SinceStart | None = Field(
        None, description="How long the claim lives from the world's start; 90 days when left out."
    )


class Identity(Model):
    """How identity verification goes, and what is verified when the world starts."""

    verification: Literal["auto", "page", "deny"] = Field(
        "auto", description="auto approves at once, page shows the provider's page, deny refuses at once."
    )
    return_origins: tuple[Annotated[str, Field(pattern=ORIGIN_PATTERN)], ...] = Field(
        (), description="Origins such as https://app.test to which the page may lead back; loopback ones always may."
    )
    claims: tuple[IdentityClaim, ...] = Field((), description="Claims that are verified already.")
