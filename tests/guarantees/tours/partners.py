"""Tenants and connected customers. The tour's account is a partner, and the stranger's account is asked for consent."""

from __future__ import annotations

from tests.guarantees.step import Step, fixed, of

TENANT_SECRET = "typed-for-the-tenants-webhook-0001"

STEPS = (
    Step("partner_tenants.create", fixed(external_customer_id="customer-1"), "tenant"),
    Step("partner_tenants.list", fixed()),
    Step("partner_tenants.get", of("tenant", tenant_id="operator_id")),
    Step(
        "partner_tenants.issue_passport",
        fixed(tenant_id="op_tenant", agent_id="agt_tenant", mission_ids=["ms_tenant"]),
        "tenant passport",
    ),
    Step(
        "partner_tenants.create_inbound_webhook",
        fixed(tenant_id="op_tenant", provider="generic", agent_id="agt_tenant"),
        "tenant webhook",
    ),
    Step(
        "partner_tenants.set_inbound_webhook_signing_secret",
        lambda replies: {
            "tenant_id": "op_tenant",
            "webhook_id": replies["tenant webhook"]["id"],
            "signing_secret": TENANT_SECRET,
        },
    ),
    Step("partner_tenants.revoke", of("tenant", tenant_id="operator_id")),
    Step("partner_connect.connect", fixed(email="customer@tour.test"), "customer"),
    Step("partner_connect.list_connections", fixed()),
    Step("partner_connect.get_connection", of("customer", grant_id="grant_id")),
    Step("partner_connect.rotate_token", of("customer", grant_id="grant_id"), "rotated token"),
    Step("partner_connect.revoke_connection", of("customer", grant_id="grant_id")),
    Step("partner_connect.list_grants", fixed()),
    Step("partner_connect.consent", fixed(grant_id="grt_asked", approve=True)),
    Step("partner_connect.withdraw", fixed(grant_id="grt_asked")),
)
