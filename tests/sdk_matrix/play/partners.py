"""Partner tenants, connected customers, inbound webhooks, evidence packs."""

from __future__ import annotations

from play import aside, call, ids

SECRET = "s" * 32
TENANT = "op_play_tenant"

STEPS = (
    call(
        "partner_tenants.create",
        "tenant",
        lambda r, s: r["api_key"].startswith("sk_live_"),
        external_customer_id="cust-play",
    ),
    call(
        "partner_tenants.create",
        "with a tier",
        refusal="tier is not accepted",
        tier="pro",
        applies=lambda s: s.config["tenant_tier"],
    ),
    call("partner_tenants.list", "", lambda r, s: s["tenant"]["operator_id"] in [one["operator_id"] for one in r]),
    call(
        "partner_tenants.get",
        "",
        lambda r, s: r["external_customer_id"] == "cust-play",
        tenant_id=lambda s: s["tenant"]["operator_id"],
    ),
    call(
        "partner_tenants.issue_passport",
        "tenant passport",
        lambda r, s: r["token"].count(".") == 2,
        tenant_id=TENANT,
        agent_id="agt_tenant",
        mission_ids=lambda s: ["ms_tenant"] if s.config["binds"] else None,
        ttl_seconds=120,
    ),
    call(
        "partner_tenants.mint_outbound_passport",
        "",
        lambda r, s: r["header_value"] == r["token"],
        tenant_id=TENANT,
        agent_id="agt_tenant",
        mission_id="ms_tenant",
        ttl_seconds=120,
    ),
    call(
        "partner_tenants.create_inbound_webhook",
        "tenant hook",
        lambda r, s: r["id"] is not None,
        tenant_id=TENANT,
        provider="generic",
        agent_id="agt_tenant",
        generic_config={"signature_header": "X-Sig"},
    ),
    call(
        "partner_tenants.set_inbound_webhook_signing_secret",
        "",
        None,
        tenant_id=TENANT,
        webhook_id=lambda s: s["tenant hook"]["id"],
        signing_secret=SECRET,
    ),
    call(
        "partner_tenants.revoke",
        "",
        lambda r, s: r["transitioned"] is True,
        tenant_id=lambda s: s["tenant"]["operator_id"],
    ),
    call(
        "partner_tenants.get",
        "revoked",
        lambda r, s: r["status"] == "revoked",
        tenant_id=lambda s: s["tenant"]["operator_id"],
    ),
    call(
        "partner_connect.connect",
        "customer",
        lambda r, s: r["grant_token"].startswith("sk_grant_"),
        email="customer@play.test",
        external_customer_id="cust",
        scopes=["proxy:write"],
        providers=["slack"],
    ),
    call(
        "partner_connect.list_connections", "", lambda r, s: s["customer"]["grant_id"] in [one["grant_id"] for one in r]
    ),
    call(
        "partner_connect.get_connection",
        "",
        lambda r, s: r["status"] == "active",
        grant_id=lambda s: s["customer"]["grant_id"],
    ),
    call(
        "partner_connect.rotate_token",
        "",
        lambda r, s: r["grant_token"] != s["customer"]["grant_token"],
        grant_id=lambda s: s["customer"]["grant_id"],
    ),
    call(
        "partner_connect.revoke_connection",
        "",
        lambda r, s: r["status"] == "revoked",
        grant_id=lambda s: s["customer"]["grant_id"],
    ),
    call(
        "inbound_webhooks.create",
        "hook in",
        lambda r, s: r["id"] is not None,
        provider="generic",
        agent_id="agt_play",
        generic_config={"signature_header": "X-Sig"},
    ),
    call("inbound_webhooks.list", "", lambda r, s: s["hook in"]["id"] in ids(r)),
    call(
        "inbound_webhooks.set_provider_signing_secret",
        "",
        None,
        webhook_id=lambda s: s["hook in"]["id"],
        signing_secret=SECRET,
        downstream_signing_secret="d" * 32,
    ),
    call("inbound_webhooks.get", "", lambda r, s: SECRET not in str(r), webhook_id=lambda s: s["hook in"]["id"]),
    call("inbound_webhooks.revoke", "", None, webhook_id=lambda s: s["hook in"]["id"]),
    call(
        "inbound_webhooks.get", "gone", lambda r, s: r["status"] == "revoked", webhook_id=lambda s: s["hook in"]["id"]
    ),
    call(
        "evidence_packs.export",
        "pack",
        lambda r, s: r["manifest"]["scope"]["ref"] == "ms_play",
        scope_kind="mission",
        scope_ref="ms_play",
    ),
    call(
        "evidence_packs.get",
        "",
        lambda r, s: r["pack_id"] == s["pack"]["pack_id"],
        pack_id=lambda s: s["pack"]["pack_id"],
    ),
    call(
        "evidence_packs.download",
        "",
        lambda r, s: r["bytes"] == s["pack"]["manifest_bytes"],
        pack_id=lambda s: s["pack"]["pack_id"],
    ),
    call("evidence_packs.list", "", lambda r, s: s["pack"]["pack_id"] in str(r), scope="mission:ms_play"),
    aside(lambda s: None),
)
