"""Inbound webhooks of white-label tenants, made and signed for by their partner (sdk 4.0.0 partner_tenants)."""

from __future__ import annotations

from pydantic import Field

from stack_emu.domain import faults
from stack_emu.domain.inbound_webhooks import (
    CreatedWebhook,
    SecretReply,
    SecretTerms,
    WebhookById,
    WebhookTerms,
    create_webhook,
    set_secret,
)
from stack_emu.domain.partner_tenants import MANAGES
from stack_emu.domain.partners import Tenant, require_tenant
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import Audit, Rest, Tool, operation


class TenantWebhookTerms(WebhookTerms):
    """What an inbound webhook of a tenant shall be."""

    tenant_id: str = Field(description="The tenant's account id (op_…)")


class TenantWebhookSecret(SecretTerms, WebhookById):
    """An inbound webhook of a tenant and its secrets."""

    tenant_id: str = Field(description="The tenant's account id (op_…)")


def _live_tenant(ctx: Context, tenant_id: str) -> Tenant:
    ctx.row.set(tenant=tenant_id)
    tenant = require_tenant(ctx, tenant_id)
    if tenant.revoked_at is not None:
        raise Fault(faults.FORBIDDEN, reason=f"Tenant {tenant.id} was revoked; create another one")
    return tenant


@operation(
    "partner_tenants.create_inbound_webhook",
    rest=Rest("POST", "/v1/partner/tenants/{tenant_id}/inbound-webhooks", status=201),
    tool=Tool("stack_create_tenant_inbound_webhook"),
    auth=MANAGES,
    audit=Audit("tenant.webhook.create"),
    source="sdk 4.0.0 partner_tenants.create_inbound_webhook",
    grade="documented",
)
def create_tenant_webhook(ctx: Context, command: TenantWebhookTerms) -> CreatedWebhook:
    """Make an inbound webhook for an agent of a tenant. Its secrets are shown this once.

    Raises:
        Fault: NOT_FOUND for what is not the tenant's, FORBIDDEN for a tenant that was revoked, INVALID_REQUEST.
    """
    return create_webhook(ctx, _live_tenant(ctx, command.tenant_id).id, command)


@operation(
    "partner_tenants.set_inbound_webhook_signing_secret",
    rest=Rest("PUT", "/v1/partner/tenants/{tenant_id}/inbound-webhooks/{webhook_id}/provider-signing-secret"),
    tool=Tool("stack_set_tenant_webhook_secret"),
    auth=MANAGES,
    audit=Audit("tenant.webhook.set_secret"),
    source="sdk 4.0.0 partner_tenants.set_inbound_webhook_signing_secret",
    grade="documented",
)
def set_tenant_webhook_secret(ctx: Context, command: TenantWebhookSecret) -> SecretReply:
    """Set what the provider of a tenant's webhook signs with.

    Raises:
        Fault: NOT_FOUND for what is not the tenant's, FORBIDDEN for a tenant that was revoked, CONFLICT for a revoked webhook.
    """
    tenant = _live_tenant(ctx, command.tenant_id)
    return set_secret(ctx, tenant.id, command.webhook_id, command.signing_secret, command.downstream_signing_secret)
