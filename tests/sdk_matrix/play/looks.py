"""What is looked at right after a step: the second operation that shows what the first one did.

``LOOKS`` is found by a step's name; a look is left out when the step it follows did not succeed in this version.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import urllib.request

from play import Step, aside, call, ids
from play.settings import code_sent

THINGS = "http://things.test/things"
MORE = "http://more.test/things"


def _shown(label, step, check, **arguments):
    """A read made after ``step``."""
    return call(label, f"after {step}", check, applies=lambda s: step in s, **arguments)


def _by_id(listed, item_id):
    return next(one for one in listed if one["id"] == item_id)


def _after(step, act):
    """Something done outside the SDK after ``step``."""
    return aside(lambda s: act(s) if step in s else None)


def _agent(step, name, check):
    return _shown("agents.get", step, check, agent_id=lambda s: s[name]["id"] if name in s else name)


def _post_signed(stage, url, secret):
    """What a provider sends: a body and its signature."""
    body = json.dumps({"event": "ping", "to": url[-8:]}).encode()
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    stage.request("POST", url, body, X_Sig=signature)


def _call_in_scope(stage, token):
    """A call with a grant's newest token: it lets in, as far as the grant's scopes reach."""
    try:
        stage.request("GET", stage.config["base_url"] + "/v1/missions", Authorization=f"Bearer {token}")
    except RuntimeError as error:
        if "needs the OAuth scope" not in str(error):
            raise


def _challenge_in_session(stage, token):
    """What a machine that only has the session asks for."""
    path = f"/v1/fleets/{stage['fleet']['id']}/workload/enrollment-challenges"
    stage.request("POST", stage.config["base_url"] + path, {}, Authorization=f"Bearer {token}")


def _call_upstream(stage, url, credential):
    """A call of the service itself with what was retrieved, past STACK's proxy."""
    if not stage.config["gateway"]:
        return
    through = urllib.request.ProxyHandler({"http": stage.config["gateway"]})
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {credential}"})
    with urllib.request.build_opener(through).open(request, timeout=20) as response:
        assert json.loads(response.read()) == {"did": "GET"}


def _principal(step, status):
    return _shown(
        "authority.get_principal",
        step,
        lambda r, s: r["status"] == status,
        principal_id=lambda s: s["principal"]["id"],
    )


def _enroll(stage):
    """The SDK's own client of an agent makes a key and enrolls it, then calls with a JWT."""
    reads = next((one for one in ("missions.list", "passports.list_active") if stage.client.method(one)), None)
    if reads is not None and stage.client.takes_agents():
        stage.client.as_agent(stage["guarded"]["id"], stage.config["api_key"], reads)


def _verify_offline(stage):
    """The SDK's own check of a passport against the published keys, which it fetches."""
    import getstack

    verify = getattr(getstack, "verify_passport_offline", None)
    if verify is not None:
        keys = stage.config["base_url"] + "/v1/.well-known/jwks.json"
        claims = verify(stage["worker passport"]["token"], jwks_url=keys)
        assert claims["sub"] == stage["worker"]["id"], claims


LOOKS: dict[str, tuple[Step, ...]] = {
    "agents.update": (_agent("agents.update", "worker", lambda r, s: r["description"] == "changed"),),
    "guarded": (
        _after("guarded", _enroll),
        _agent("guarded", "guarded", lambda r, s: r["status"] == "active"),
    ),
    "agents.unblock": (_agent("agents.unblock", "worker", lambda r, s: not r.get("passport_blocked")),),
    "services.grant_agent_access": (
        _shown(
            "services.get_agent_permissions",
            "services.grant_agent_access",
            lambda r, s: "chat:write" in str(r),
            agent_id=lambda s: s["worker"]["id"],
        ),
    ),
    "services.revoke_agent_access": (
        _shown(
            "services.get_agent_permissions",
            "services.revoke_agent_access",
            lambda r, s: "scon_slack" not in str(r),
            agent_id="agt_peer",
        ),
    ),
    "credentials.get": (
        _after("credentials.get", lambda s: _call_upstream(s, THINGS, s["credentials.get"]["credential"])),
    ),
    "credentials.get_by_connection": (
        _after(
            "credentials.get_by_connection",
            lambda s: _call_upstream(s, MORE, s["credentials.get_by_connection"]["credential"]),
        ),
    ),
    "detector_config.reset": (
        call(
            "detector_config.get",
            "after the reset",
            refusal="credential_burst",
            detector_key="credential_burst",
            applies=lambda s: "detector_config.reset" in s,
        ),
    ),
    "pii_config.reset": (_shown("pii_config.get", "pii_config.reset", lambda r, s: r["threshold"] == 0.4),),
    "identity.update_settings": (
        _shown(
            "identity.get_settings",
            "identity.update_settings",
            lambda r, s: r["identity_claim_ttl"] == "30d",
        ),
    ),
    "identity.delete_service_requirement": (
        _shown(
            "identity.get_service_requirements",
            "identity.delete_service_requirement",
            lambda r, s: "humanity" not in str(r),
            service_id="scon_things",
        ),
    ),
    "team.update": (
        _shown("team.list", "team.update", lambda r, s: _by_id(r, s["member"]["id"])["role"] == "readonly"),
    ),
    "team.revoke": (_shown("team.list", "team.revoke", lambda r, s: s["member"]["id"] not in ids(r)),),
    "notifications.update": (
        _shown(
            "notifications.list",
            "notifications.update",
            lambda r, s: _by_id(r, s["channel"]["id"])["min_severity"] == "critical",
        ),
    ),
    "delivery_methods.test": (aside(lambda s: s.request("GET", s.config["control"] + "/_emu/outbox")),),
    "delivery_methods.rotate_secret": (
        _after(
            "delivery_methods.rotate_secret",
            lambda s: s.api("POST", f"/v1/notifications/destinations/{s['hook']['id']}/send-code"),
        ),
        call(
            "delivery_methods.verify",
            "hook verified",
            destination_id=lambda s: s["hook"]["id"],
            code=lambda s: code_sent(s, s.config["sink"]),
            applies=lambda s: "delivery_methods.rotate_secret" in s,
        ),
        call(
            "delivery_methods.test",
            "signed anew",
            destination_id=lambda s: s["hook"]["id"],
            applies=lambda s: "delivery_methods.rotate_secret" in s,
        ),
    ),
    "delivery_methods.delete": (
        _shown("delivery_methods.list", "delivery_methods.delete", lambda r, s: s["hook"]["id"] not in ids(r)),
    ),
    "inbound_webhooks.set_provider_signing_secret": (
        _after(
            "inbound_webhooks.set_provider_signing_secret",
            lambda s: _post_signed(s, s["hook in"]["webhook_url"], "s" * 32),
        ),
    ),
    "partner_tenants.set_inbound_webhook_signing_secret": (
        _after(
            "partner_tenants.set_inbound_webhook_signing_secret",
            lambda s: _post_signed(s, s["tenant hook"]["webhook_url"], "s" * 32),
        ),
    ),
    "worker passport": (_after("worker passport", _verify_offline),),
    "tenant passport": (
        _shown(
            "passports.verify",
            "tenant passport",
            lambda r, s: r["valid"] is True,
            token=lambda s: s["tenant passport"]["token"],
        ),
    ),
    "partner_connect.rotate_token": (
        _after(
            "partner_connect.rotate_token",
            lambda s: _call_in_scope(s, s["partner_connect.rotate_token"]["grant_token"]),
        ),
    ),
    "partner_connect.revoke_connection": (
        _shown(
            "partner_connect.get_connection",
            "partner_connect.revoke_connection",
            lambda r, s: r["status"] == "revoked",
            grant_id=lambda s: s["customer"]["grant_id"],
        ),
    ),
    "fleets.session": (
        _after("fleets.session", lambda s: _challenge_in_session(s, s["fleets.session"]["session_token"])),
    ),
    "delegated": (_shown("authority.list_bindings", "delegated", lambda r, s: s["delegated"]["id"] in ids(r)),),
    "authority.erase_presentation": (
        _shown(
            "authority.get_presentation",
            "authority.erase_presentation",
            lambda r, s: r["status"] == "erased",
            presentation_id=lambda s: s["presentation"]["id"],
        ),
    ),
    "authority.erase_binding": (
        _shown(
            "authority.get_binding",
            "authority.erase_binding",
            lambda r, s: r["status"] == "erased",
            binding_id=lambda s: s["binding"]["id"],
        ),
    ),
    "authority.revoke_receiver_key": (
        _shown(
            "authority.get_receiver",
            "authority.revoke_receiver_key",
            lambda r, s: "revoked" in str(r),
            receiver_id=lambda s: s["receiver"]["id"],
        ),
    ),
    "authority.erase_proof": (
        _shown(
            "authority.get_proof",
            "authority.erase_proof",
            lambda r, s: r["status"] == "erased",
            proof_id=lambda s: s["proof"]["id"],
        ),
    ),
    "authority.archive_principal": (_principal("authority.archive_principal", "archived"),),
}
