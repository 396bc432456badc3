"""Authority: a principal's, bound to the tour's agent, used for a write, and erased again."""

from __future__ import annotations

from typing import Any

from tests.guarantees.step import Input, Replies, Step, fixed, of

JWK = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
CALL = {"service": "slack", "method": "POST", "url": "https://slack.com/api/chat.postMessage"}


def keyed(key: str, **more: Any) -> Input:
    return lambda replies: {"idempotency_key": f"tour-{key}", **more}


def about(key: str, field: str, name: str, part: str, **more: Any) -> Input:
    """A write about what an earlier reply shows in its envelope."""
    return lambda replies: {"idempotency_key": f"tour-{key}", field: replies[name][part]["id"], **more}


def read(field: str, name: str, part: str) -> Input:
    return lambda replies: {field: replies[name][part]["id"]}


def first(field: str, name: str, part: str, **more: Any) -> Input:
    return lambda replies: {field: replies[name][part][0]["id"], **more}


def bind(key: str) -> Input:
    return about(key, "principal_id", "principal", "principal", agent_id="agt_tour", services=["slack"])


def under_the_binding(replies: Replies) -> dict[str, Any]:
    body = {"channel": "#engineering", "text": "on somebody's authority"}
    return {**CALL, "body": body, "passport_token": replies["authorised"]["token"]}


def revoke_key(replies: Replies) -> dict[str, Any]:
    ids = {"receiver_id": replies["receiver"]["receiver"]["id"], "key_id": replies["receiver key"]["key"]["id"]}
    return {**ids, "reason_code": "lost", "idempotency_key": "tour-revoke-key"}


BY_PRINCIPAL = ("principal_id", "principal", "principal")
BY_PROOF = ("proof_id", "proof", "proof")
BY_BINDING = ("binding_id", "binding", "binding")
BY_RECEIVER = ("receiver_id", "receiver", "receiver")

STEPS = (
    Step("authority.create_principal", keyed("principal", principal_kind="individual", alias="P"), "principal"),
    Step("authority.list_principals", fixed()),
    Step("authority.get_principal", read(*BY_PRINCIPAL)),
    Step("authority.import_proof", about("proof", *BY_PRINCIPAL, proof_kind="mandate"), "proof"),
    Step("authority.list_proofs", fixed()),
    Step("authority.get_proof", read(*BY_PROOF)),
    Step("authority.create_proof_collection_session", about("session", *BY_PRINCIPAL), "session"),
    Step("authority.get_proof_collection_session", read("session_id", "session", "session")),
    Step("authority.create_receiver", keyed("receiver", name="Tax office"), "receiver"),
    Step("authority.list_receivers", fixed()),
    Step("authority.get_receiver", read(*BY_RECEIVER)),
    Step("authority.add_receiver_key", about("key", *BY_RECEIVER, public_key=JWK), "receiver key"),
    Step("authority.create_receiver_verification_challenge", about("challenge", *BY_RECEIVER)),
    Step("authority.verify_receiver", about("verify", *BY_RECEIVER)),
    Step("authority.create_profile_version", keyed("profile", profile_kind="receiver"), "profile"),
    Step(
        "authority.activate_profile_version",
        about("activate-profile", "profile_id", "profile", "profile", profile_kind="receiver"),
    ),
    Step("authority.create_binding", bind("binding"), "binding"),
    Step("authority.list_bindings", fixed()),
    Step("authority.get_binding", read(*BY_BINDING)),
    Step("authority.create_approval_requests", about("approvals", *BY_BINDING)),
    Step("authority.list_approval_requests", read(*BY_BINDING)),
    Step("authority.activate_binding", about("activate", *BY_BINDING), "active binding"),
    Step("authority.delegate_binding", about("delegate", *BY_BINDING, agent_id="agt_tour")),
    Step(
        "passports.issue",
        lambda replies: {
            "agent_id": "agt_tour",
            "mission_ids": ["ms_tour"],
            "intent": {"summary": "Act for somebody", "services": ["slack"]},
            "authority_binding_ids": [replies["binding"]["binding"]["id"]],
        },
        "authorised",
    ),
    Step("proxy.request", under_the_binding, "authorised call"),
    Step("authority.list_uses", fixed(), "uses"),
    Step("authority.get_use", first("use_id", "uses", "uses")),
    Step("authority.list_presentations", fixed(), "presentations"),
    Step("authority.get_presentation", first("presentation_id", "presentations", "presentations")),
    Step(
        "authority.erase_presentation",
        first("presentation_id", "presentations", "presentations", idempotency_key="tour-erase-presentation"),
    ),
    Step(
        "authority.create_enterprise_oidc_request",
        keyed("enterprise", agent_id="agt_tour", organisation_name="Ex AB", role_name="CFO"),
        "enterprise",
    ),
    Step("authority.get_enterprise_oidc_request", of("enterprise", request_id="id")),
    Step("authority.revoke_binding", about("revoke", *BY_BINDING, reason_code="over")),
    Step("authority.erase_binding", about("erase-binding", *BY_BINDING)),
    Step("authority.revoke_receiver_key", revoke_key),
    Step("authority.revoke_proof", about("revoke-proof", *BY_PROOF, reason_code="over")),
    Step("authority.erase_proof", about("erase-proof", *BY_PROOF)),
    Step("authority.archive_principal", about("archive", *BY_PRINCIPAL, reason_code="left")),
    Step("authority.erase_principal", about("erase", *BY_PRINCIPAL)),
)
