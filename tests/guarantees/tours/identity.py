"""Identity: verified, delegated, required of a service nobody uses, revoked. Settings keep passports out of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.guarantees.step import Step, fixed, of

_HUMAN = {"layer": "humanity", "requires_claim": "verified_human", "minimum_assurance": "low"}


def _claim(replies: Mapping[str, Any]) -> dict[str, Any]:
    return {"claim_id": replies["verified"]["claims"][1]["id"]}


STEPS = (
    Step("identity.list_providers", fixed()),
    Step("identity.update_settings", fixed(identity_claim_ttl="1y", identity_claim_inheritance="opt_in")),
    Step("identity.get_settings", fixed()),
    Step("identity.initiate_verification", fixed(provider_key="persona"), "verification"),
    Step(
        "identity.complete_verification",
        of("verification", provider_key="provider_key", session_ref="session_ref"),
        "verified",
    ),
    Step("identity.grant_delegation", fixed(delegated_scopes=["tax:file"])),
    Step("identity.list_claims", fixed()),
    Step("identity.revoke_claim", _claim),
    Step("identity.set_service_requirement", fixed(service_id="github", **_HUMAN), "requirement"),
    Step("identity.get_service_requirements", fixed(service_id="github")),
    Step("identity.delete_service_requirement", of("requirement", service_id="service_id", requirement_id="id")),
    Step("identity.replace_service_requirement", fixed(service_id="scon_slack", requirement=_HUMAN)),
    Step("identity.replace_service_requirement", fixed(service_id="scon_slack"), "requirement removed"),
)
