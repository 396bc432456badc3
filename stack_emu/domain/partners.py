"""Partners: accounts that work for accounts of others, white-label tenants and user-owned ones.

Who is a partner is a mark on the account (sdk 4.0.0 partner_tenants.py); a scenario sets it with ``partner``. Tenants draw
from the partner's allowance: what they all use is one pool.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from stack_emu.domain import faults, meters
from stack_emu.domain.authentication import key_digest
from stack_emu.domain.secret_kinds import API_KEY, GRANT_TOKEN
from stack_emu.domain.state import Agent, ApiKey, Operator
from stack_emu.kernel.acts import Act
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.ids import text_id
from stack_emu.kernel.operations import Caller
from stack_emu.kernel.store import replace
from stack_emu.kernel.world import World

TENANT_TIER = "partner"
GRANT_SCOPES = (
    "passports:read",
    "passports:write",
    "agents:read",
    "agents:write",
    "services:read",
    "services:connect",
    "credentials:read",
    "proxy:read",
    "proxy:write",
    "audit:read",
)
"""What a grant may ask for; all of it when it names nothing. They are the scopes the SDK signs in with."""


@dataclass(frozen=True)
class PartnerTerms:
    """What a partner has agreed; ``id`` is the account's. ``tenants`` and ``allowance`` (proxied calls a month) None: no cap."""

    TABLE: ClassVar[str] = "partner_terms"
    INDEXES: ClassVar[tuple[str, ...]] = ()
    id: str
    tenants: int | None = None
    allowance: int | None = None
    active: bool = True


@dataclass(frozen=True)
class Tenant:
    """A white-label account of a partner; ``id`` is the account's own."""

    TABLE: ClassVar[str] = "tenants"
    INDEXES: ClassVar[tuple[str, ...]] = ("partner_id",)
    id: str
    partner_id: str
    created_at: int
    external_customer_id: str | None = None
    revoked_at: int | None = None


@dataclass(frozen=True)
class ConnectGrant:
    """What lets a partner work in an account its user owns. ``token`` is the digest of the grant token.

    ``status`` is pending_consent, active, denied or revoked. ``created_account`` says that the account came with it.
    """

    TABLE: ClassVar[str] = "connect_grants"
    INDEXES: ClassVar[tuple[str, ...]] = ("partner_id", "operator_id", "token")
    id: str
    partner_id: str
    operator_id: str
    email: str
    token: str
    status: str
    scopes: tuple[str, ...]
    created_at: int
    updated_at: int
    external_customer_id: str | None = None
    providers: tuple[str, ...] | None = None
    created_account: bool = False


def require_partner(ctx: Context) -> PartnerTerms:
    """The terms of the calling partner.

    Raises:
        Fault: FORBIDDEN for an account that is no partner, BILLING_ACCOUNT_INACTIVE for a suspended one.
    """
    terms = ctx.world.store.get(PartnerTerms, ctx.operator_id)
    if terms is None:
        reason = "This account is no partner; give its operator partner: true in the scenario"
        raise Fault(faults.FORBIDDEN, reason=reason)
    if not terms.active:
        raise Fault(faults.BILLING_ACCOUNT_INACTIVE, partner="this partner")
    return terms


def require_tenant(ctx: Context, tenant_id: str) -> Tenant:
    """The calling partner's tenant, revoked or not.

    Raises:
        Fault: as ``require_partner``, and NOT_FOUND for an id that is no tenant of this partner.
    """
    require_partner(ctx)
    tenant = ctx.world.store.get(Tenant, tenant_id)
    if tenant is None or tenant.partner_id != ctx.operator_id:
        raise Fault(faults.NOT_FOUND, what="Tenant", id=tenant_id)
    return tenant


def within(ctx: Context, operator_id: str) -> Context:
    """The same call, seen from inside another account that the caller was found to act for."""
    return replace(ctx, caller=replace(ctx.caller, operator_id=operator_id, allowed_connections=None))


def new_token(world: World, act: Act, prefix: str, name: str, kind: str = GRANT_TOKEN) -> str:
    """A secret to hand out once, masked from here on wherever something is kept."""
    token = prefix + text_id(act.new_bytes("token"), 32)
    world.redactor.add(token, name, kind)
    return token


def new_key(world: World, act: Act, operator_id: str) -> str:
    """An operator key of an account that is made while the world runs."""
    key = new_token(world, act, "sk_live_", f"key:{operator_id}", API_KEY)
    world.store.put(ApiKey(id=key_digest(key), operator_id=operator_id, position=-1, label=operator_id))
    return key


def check_pool(world: World, operator_id: str) -> None:
    """Refuse a proxied call when the partner's account is not in order, or its pool is used up.

    Args:
        world: the world.
        operator_id: the account that calls: a partner, one of its tenants, or neither.

    Raises:
        Fault: BILLING_ACCOUNT_INACTIVE or ALLOWANCE_EXHAUSTED.
    """
    tenant = world.store.get(Tenant, operator_id)
    partner_id = tenant.partner_id if tenant is not None else operator_id
    terms = world.store.get(PartnerTerms, partner_id)
    if terms is None:
        return
    if not terms.active:
        raise Fault(faults.BILLING_ACCOUNT_INACTIVE, partner="the partner of this account")
    used = pool_used(world, partner_id)
    if terms.allowance is not None and used >= terms.allowance:
        raise Fault(faults.ALLOWANCE_EXHAUSTED, limit=terms.allowance, used=used)


def pool_used(world: World, partner_id: str) -> int:
    """What a partner and all its tenants used of the pool in this month."""
    accounts = [partner_id, *(tenant.id for tenant in world.store.find(Tenant, partner_id=partner_id))]
    return sum(used_by(world, account) for account in accounts)


def used_by(world: World, operator_id: str) -> int:
    """Proxied calls one account made in this month."""
    return meters.used(world, operator_id, meters.PROXY_CALLS)


def limit_to_grant(world: World, caller: Caller, command: Any) -> None:
    """Keep a grant's token to the agents that were made with it.

    Raises:
        Fault: NOT_FOUND for any other agent, as for an unknown one.
    """
    if caller.grant_id is None:
        return
    for field in ("agent_id", "child_agent_id", "from_agent", "to_agent"):
        agent_id = getattr(command, field, None)
        agent = world.store.get(Agent, agent_id) if isinstance(agent_id, str) else None
        if agent is not None and agent.made_by != caller.grant_id:
            raise Fault(faults.NOT_FOUND, what="Agent", id=agent_id)


def made_with_grant(world: World, caller: Caller, agent_id: str | None) -> bool:
    """Whether a caller's grant, if it has one, reaches an agent's things."""
    if caller.grant_id is None:
        return True
    agent = world.store.get(Agent, agent_id) if agent_id is not None else None
    return agent is not None and agent.made_by == caller.grant_id


def operator_by_email(world: World, email: str) -> Operator | None:
    """The account of an e-mail address, upper and lower case alike."""
    wanted = email.casefold()
    return next((one for one in world.store.all(Operator) if one.email.casefold() == wanted), None)


def grant_names(grant: ConnectGrant) -> dict[str, Any]:
    """What rows say of a grant: no address of anybody."""
    return {"grant": grant.id, "account": grant.operator_id, "status": grant.status}
