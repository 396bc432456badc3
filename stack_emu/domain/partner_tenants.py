"""White-label tenants: accounts a partner makes, works for and takes away (sdk 4.0.0 partner_tenants)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

from pydantic import Field

from stack_emu.domain import faults, meters, revocation
from stack_emu.domain.agents import require_agent
from stack_emu.domain.authentication import MEMBER, OPERATOR
from stack_emu.domain.inbound_webhooks import InboundWebhook, end_webhook
from stack_emu.domain.issuance import DEFAULT_TTL_SECONDS, PassportReply, describe, passport_reply
from stack_emu.domain.missions import require_live_mission
from stack_emu.domain.narrowing import ScopeInput, granted
from stack_emu.domain.partners import (
    TENANT_TIER,
    Tenant,
    new_key,
    require_partner,
    require_tenant,
    used_by,
    within,
)
from stack_emu.domain.passport_terms import IntentInput, PassportTerms, issue
from stack_emu.domain.state import Agent, ApiKey, Mission, Operator
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import Audit, Auth, Command, Reply, Rest, Tool, operation
from stack_emu.kernel.store import replace

DIRECT = frozenset({OPERATOR, MEMBER})
"""Who acts for a partner: its own keys, not tokens others hold."""
MANAGES = Auth(bearers=DIRECT, role="admin")
READS = Auth(bearers=DIRECT)


class CreateTenant(Command):
    """A new tenant."""

    external_customer_id: str | None = Field(
        None, min_length=1, max_length=256, description="Your own id of the customer; unique among your tenants"
    )
    tier: str | None = Field(None, description="Refused: tenants have no plan of their own")


class TenantById(Command):
    """Names a tenant."""

    tenant_id: str = Field(description="The tenant's account id (op_…)")


class TenantReply(Reply):
    """A tenant."""

    operator_id: str
    id: str
    external_customer_id: str | None
    tier: str
    billing: str
    status: str = Field(description="active or revoked")
    created_at: str
    revoked_at: str | None
    usage: dict[str, Any] = Field(description="Its share of the pool in this month: period and actions")


class CreatedTenant(TenantReply):
    """A tenant with its key, which is shown this once."""

    api_key: str


class TenantList(Reply):
    """A partner's tenants, oldest first."""

    tenants: list[TenantReply]


class RevokedTenant(Reply):
    """What revoking a tenant took away."""

    operator_id: str
    status: str
    transitioned: bool
    webhooks_revoked: int
    passports_revoked: int


@operation(
    "partner_tenants.create",
    rest=Rest("POST", "/v1/partner/tenants", status=201),
    tool=Tool("stack_create_tenant"),
    auth=MANAGES,
    audit=Audit("tenant.create"),
    source="sdk 4.0.0 partner_tenants.create",
    grade="documented",
)
def create_tenant(ctx: Context, command: CreateTenant) -> CreatedTenant:
    """Create a white-label tenant: an account of its own that draws from your allowance. Its key is shown this once.

    Raises:
        Fault: FORBIDDEN for an account that is no partner, TENANT_TIER_NOT_ALLOWED when a tier is sent,
            TENANT_LIMIT_REACHED, CONFLICT for an external_customer_id in use.
    """
    terms = require_partner(ctx)
    if command.tier is not None:
        raise Fault(faults.TENANT_TIER_NOT_ALLOWED)
    standing = [tenant for tenant in _tenants(ctx) if tenant.revoked_at is None]
    if terms.tenants is not None and len(standing) >= terms.tenants:
        raise Fault(faults.TENANT_LIMIT_REACHED, limit=terms.tenants, used=len(standing))
    external = command.external_customer_id
    if external is not None and any(tenant.external_customer_id == external for tenant in standing):
        raise Fault(faults.CONFLICT, problem=f"Tenant with external_customer_id {external} exists; use or revoke it")
    tenant_id = ctx.act.new_id("operator", "op_")
    ctx.world.store.put(Operator(tenant_id, TENANT_TIER))
    tenant = Tenant(tenant_id, ctx.operator_id, ctx.stamp_ms, external)
    ctx.world.store.put(tenant)
    ctx.row.set(tenant=tenant_id)
    return CreatedTenant(**_fields(ctx, tenant), api_key=new_key(ctx.world, ctx.act, tenant_id))


@operation(
    "partner_tenants.list",
    rest=Rest("GET", "/v1/partner/tenants"),
    tool=Tool("stack_list_tenants"),
    auth=READS,
    source="sdk 4.0.0 partner_tenants.list",
    grade="documented",
)
def list_tenants(ctx: Context, command: Command) -> TenantList:
    """List your tenants, oldest first, each with its share of this month's actions; an account that is no partner has none."""
    return TenantList(tenants=[TenantReply(**_fields(ctx, tenant)) for tenant in _tenants(ctx)])


@operation(
    "partner_tenants.get",
    rest=Rest("GET", "/v1/partner/tenants/{tenant_id}"),
    tool=Tool("stack_get_tenant"),
    auth=READS,
    source="sdk 4.0.0 partner_tenants.get",
    grade="documented",
)
def get_tenant(ctx: Context, command: TenantById) -> TenantReply:
    """Read one tenant.

    Raises:
        Fault: NOT_FOUND for an id that is no tenant of yours, FORBIDDEN for an account that is no partner.
    """
    return TenantReply(**_fields(ctx, require_tenant(ctx, command.tenant_id)))


@operation(
    "partner_tenants.revoke",
    rest=Rest("DELETE", "/v1/partner/tenants/{tenant_id}"),
    tool=Tool("stack_revoke_tenant", destructive=True, idempotent=True),
    auth=MANAGES,
    audit=Audit("tenant.revoke"),
    source="sdk 4.0.0 partner_tenants.revoke",
    grade="documented",
)
def revoke_tenant(ctx: Context, command: TenantById) -> RevokedTenant:
    """Revoke a tenant: its keys, passports and inbound webhooks end with it. Doing it again changes nothing.

    Raises:
        Fault: NOT_FOUND for an id that is no tenant of yours.
    """
    ctx.row.set(tenant=command.tenant_id)
    tenant = require_tenant(ctx, command.tenant_id)
    first = tenant.revoked_at is None
    if first:
        ctx.world.store.put(replace(tenant, revoked_at=ctx.stamp_ms))
    for key in list(ctx.world.store.find(ApiKey, operator_id=tenant.id)):
        ctx.world.store.put(replace(key, revoked=True))
    passports = revoke_account_passports(ctx, tenant.id, "tenant", "Tenant revoked")
    webhooks = revoke_webhooks(ctx, tenant.id)
    ctx.row.set(revoked_passports=passports, revoked_webhooks=webhooks)
    return RevokedTenant(
        operator_id=tenant.id,
        status="revoked",
        transitioned=first,
        webhooks_revoked=webhooks,
        passports_revoked=passports,
    )


class IssueForTenant(Command):
    """A passport for an agent of a tenant."""

    tenant_id: str = Field(description="The tenant's account id (op_…)")
    agent_id: str = Field(description="The tenant's agent (agt_…)")
    mission_ids: list[str] | None = Field(None, description="Exactly one id of a live mission of the tenant (ms_…)")
    ttl_seconds: int = Field(DEFAULT_TTL_SECONDS, ge=60, le=3600, description="Life in seconds: 60 to 3600")
    services: list[ScopeInput | str] | None = Field(
        None, description="What it may use; an entry with scopes alone narrows every connection that has them"
    )
    named_intents: list[str] | None = Field(None, description="Named intents, for the services that offer them")
    accountability_mode: Literal["enforced", "logged", "standard"] | None = Field(
        None, description="Stricter mode than the agent's own"
    )


class TenantPassport(PassportReply):
    """A passport of a tenant, with the names the partner helpers of the SDK read."""

    passport_id: str
    tenant_id: str


@operation(
    "partner_tenants.issue_passport",
    rest=Rest("POST", "/v1/partner/tenants/{tenant_id}/passports/issue", status=201),
    tool=Tool("stack_issue_tenant_passport"),
    auth=MANAGES,
    audit=Audit("tenant.passport.issue", layer="vault"),
    source="sdk 4.0.0 partner_tenants.issue_passport, mint_outbound_passport",
    grade="documented",
)
def issue_tenant_passport(ctx: Context, command: IssueForTenant) -> TenantPassport:
    """Issue a passport to a tenant's agent. What it is for is what its mission is for.

    Raises:
        Fault: NOT_FOUND for what is not the tenant's, FORBIDDEN for a tenant that was revoked, the mission-ended wording,
            SCOPE_ESCALATION for scopes the agent was not granted, and what ``passports.issue`` raises.
    """
    ctx.row.set(tenant=command.tenant_id)
    tenant = require_tenant(ctx, command.tenant_id)
    if tenant.revoked_at is not None:
        raise Fault(faults.FORBIDDEN, reason=f"Tenant {tenant.id} was revoked; create another one")
    inside = within(ctx, tenant.id)
    agent = require_agent(ctx.world, tenant.id, command.agent_id)
    mission = _mission(ctx, tenant.id, command.mission_ids or [])
    terms = PassportTerms(
        ttl_seconds=command.ttl_seconds,
        services=_services(inside, agent, command.services),
        intents=command.named_intents,
        accountability_mode=command.accountability_mode,
        intent=_intent(agent, mission),
    )
    passport = issue(inside, agent, mission, terms)
    ctx.row.set(passport_jti=passport.id, session=passport.session_id, **describe(passport))
    fields = passport_reply(ctx.world, passport).model_dump()
    return TenantPassport(**fields, passport_id=passport.id, tenant_id=tenant.id)


def _mission(ctx: Context, tenant_id: str, mission_ids: list[str]) -> Mission | None:
    if not mission_ids and ctx.world.settings.get("compat") == "docs-2026-05":
        return None
    if len(mission_ids) != 1:
        raise Fault(faults.MISSION_MISSING)
    return require_live_mission(ctx.world, tenant_id, mission_ids[0])


def _intent(agent: Agent, mission: Mission | None) -> IntentInput:
    if mission is None:
        return IntentInput(summary=f"Work of {agent.name}")
    return IntentInput(summary=mission.intent_summary[:500], services=list(mission.intent_services))


def _services(inside: Context, agent: Agent, wanted: list[ScopeInput | str] | None) -> list[ScopeInput | str] | None:
    """Entries that name scopes but no connection, as ``mint_outbound_passport`` sends them, spread over what has them."""
    if wanted is None:
        return None
    spread: list[ScopeInput | str] = []
    for entry in wanted:
        if isinstance(entry, str) or entry.reference is not None or entry.scopes is None:
            spread.append(entry)
            continue
        basis = granted(inside, agent)
        asked = set(entry.scopes)
        known = {name for scope in basis.scopes for name in scope.scopes}
        if asked - known:
            what = f"scope {', '.join(sorted(asked - known))}"
            allowed = ", ".join(sorted(known)) or "nothing"
            raise Fault(faults.SCOPE_ESCALATION, what=what, parent=basis.owner, allowed=allowed)
        spread += [
            ScopeInput(connection_id=scope.connection_id, scopes=[name for name in scope.scopes if name in asked])
            for scope in basis.scopes
            if asked & set(scope.scopes)
        ]
    return spread


def revoke_account_passports(ctx: Context, operator_id: str, kind: str, reason: str) -> int:
    """Revoke every passport of an account that still stands; returns how many there were."""
    standing = revocation.standing(ctx.world, operator_id)
    done = revocation.revoke(ctx.world, ctx.act, standing, revocation=kind, reason=reason, cascade=True)
    return len(done[0]) + len(done[1])


def revoke_webhooks(ctx: Context, operator_id: str, agent_ids: Collection[str] | None = None) -> int:
    """Revoke the live inbound webhooks of an account, or those of some of its agents; returns how many there were."""
    found = [
        webhook
        for webhook in ctx.world.store.find(InboundWebhook, operator_id=operator_id)
        if webhook.revoked_at is None and (agent_ids is None or webhook.agent_id in agent_ids)
    ]
    for webhook in found:
        end_webhook(ctx, webhook)
    return len(found)


def _tenants(ctx: Context) -> list[Tenant]:
    return list(ctx.world.store.find(Tenant, partner_id=ctx.operator_id))


def _fields(ctx: Context, tenant: Tenant) -> dict[str, Any]:
    return {
        "operator_id": tenant.id,
        "id": tenant.id,
        "external_customer_id": tenant.external_customer_id,
        "tier": TENANT_TIER,
        "billing": "partner",
        "status": "active" if tenant.revoked_at is None else "revoked",
        "created_at": iso(tenant.created_at),
        "revoked_at": None if tenant.revoked_at is None else iso(tenant.revoked_at),
        "usage": {"period": meters.period_of(ctx.now_ms), "actions": used_by(ctx.world, tenant.id)},
    }
