"""Authority: principals, proofs, bindings, receivers, profiles, uses and presentations."""

from __future__ import annotations

import itertools

from play import aside, call, ids

JWK = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
_numbers = itertools.count()


def of(name):
    """The id of what an earlier step kept under a name."""
    return lambda s: s[name]["id"]


def write(verb, keep="", check=None, free=None, **arguments):
    """A write, which always carries an idempotency key of its own."""
    key = f"idem-key-play-{next(_numbers):04}"
    return call(f"authority.{verb}", keep, check, idempotency_key=key, free=free or {}, **arguments)


def read(verb, check, **arguments):
    """A read that shows what the writes before it did."""
    return call(f"authority.{verb}", "", check, **arguments)


def _used(stage):
    """A passport under the binding, and a write with it."""
    body = {
        "agent_id": "agt_play",
        "intent": {"summary": "Act for somebody", "services": ["slack"]},
        "authority_binding_ids": [stage["binding"]["id"]],
    }
    if stage.config["binds"]:
        body["mission_ids"] = ["ms_play"]
    token = stage.api("POST", "/v1/passports/issue", body)["token"]
    sent = {
        "service": "slack",
        "method": "POST",
        "url": "https://slack.com/api/chat.postMessage",
        "body": {"channel": "#engineering", "text": "on authority"},
    }
    url = stage.config["base_url"] + "/v1/proxy"
    key = f"Bearer {stage.config['api_key']}"
    stage.request("POST", url, sent, Authorization=key, X_Passport_Token=token)


STEPS = (
    write("create_principal", "principal", lambda r, s: r["id"].startswith("prn_"), {"principal_kind": "individual"}),
    read("list_principals", lambda r, s: s["principal"]["id"] in ids(r)),
    read("get_principal", lambda r, s: r["status"] == "active", principal_id=of("principal")),
    write("import_proof", "proof", None, lambda s: {"principal_id": s["principal"]["id"], "proof_kind": "mandate"}),
    read("list_proofs", lambda r, s: s["proof"]["id"] in ids(r)),
    read("get_proof", lambda r, s: r["status"] == "valid", proof_id=of("proof")),
    write(
        "create_proof_collection_session", "session of proof", None, lambda s: {"principal_id": s["principal"]["id"]}
    ),
    read("get_proof_collection_session", lambda r, s: r["status"] == "completed", session_id=of("session of proof")),
    write("create_receiver", "receiver", None, {"name": "Tax office"}),
    read("list_receivers", lambda r, s: s["receiver"]["id"] in ids(r)),
    write("add_receiver_key", "receiver key", None, {"public_key": JWK}, receiver_id=of("receiver")),
    write("create_receiver_verification_challenge", "", None, receiver_id=of("receiver")),
    write("verify_receiver", "", None, receiver_id=of("receiver")),
    read("get_receiver", lambda r, s: r["status"] == "verified", receiver_id=of("receiver")),
    write("create_profile_version", "profile", None, {"profile_kind": "receiver"}),
    write(
        "activate_profile_version",
        "",
        lambda r, s: r["status"] == "active",
        profile_id=of("profile"),
        profile_kind="receiver",
    ),
    write("create_binding", "binding", None, lambda s: {"principal_id": s["principal"]["id"], "agent_id": "agt_play"}),
    read("list_bindings", lambda r, s: s["binding"]["id"] in ids(r)),
    write(
        "create_approval_requests", "", lambda r, s: len(r) == 1, {"approver_ids": ["usr_1"]}, binding_id=of("binding")
    ),
    read("list_approval_requests", lambda r, s: [one["status"] for one in r] == ["approved"], binding_id=of("binding")),
    write("activate_binding", "", lambda r, s: r["status"] == "active", binding_id=of("binding")),
    read("get_binding", lambda r, s: r["status"] == "active", binding_id=of("binding")),
    write("delegate_binding", "delegated", None, {"agent_id": "agt_peer"}, binding_id=of("binding")),
    aside(lambda s: _used(s) if "binding" in s else None, "authority"),
    read("list_uses", lambda r, s: s.kept.update(use=r[0]) or len(r) == 1),
    read("get_use", lambda r, s: r["id"] == s["use"]["id"], use_id=of("use")),
    read("list_presentations", lambda r, s: s.kept.update(presentation=r[0]) or len(r) == 1),
    read("get_presentation", lambda r, s: r["id"] == s["presentation"]["id"], presentation_id=of("presentation")),
    write("erase_presentation", "", None, presentation_id=of("presentation")),
    write(
        "create_enterprise_oidc_request",
        "enterprise",
        None,
        {"agent_id": "agt_play", "organisation_name": "Ex AB", "role_name": "CFO"},
    ),
    read("get_enterprise_oidc_request", lambda r, s: r["id"] == s["enterprise"]["id"], request_id=of("enterprise")),
    write("revoke_binding", "", lambda r, s: r["status"] == "revoked", binding_id=of("binding"), reason_code="over"),
    write("erase_binding", "", None, binding_id=of("binding")),
    write("revoke_receiver_key", "", None, receiver_id=of("receiver"), key_id=of("receiver key"), reason_code="lost"),
    write("revoke_proof", "", lambda r, s: r["status"] == "revoked", proof_id=of("proof"), reason_code="over"),
    write("erase_proof", "", None, proof_id=of("proof")),
    write(
        "archive_principal",
        "",
        lambda r, s: r["status"] == "archived",
        principal_id=of("principal"),
        reason_code="left",
    ),
    write("erase_principal", "", None, principal_id=of("principal")),
    call("authority.get_principal", "erased", lambda r, s: r["status"] == "erased", principal_id=of("principal")),
)
