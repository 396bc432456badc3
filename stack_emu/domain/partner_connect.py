"""Connect with STACK: a partner works in an account its user owns, through a grant the user can take back.

``connect`` makes the account when nobody has the address yet; else the grant waits for the account's consent (sdk 4.0.0
partner_connect). A grant token is a bearer like any other, but reaches only what was made with it. How an account gives
its consent is not published: here by an operation of its own, or by a scenario's ``approvals`` rule.
"""

from __future__ import annotations

import re
from typing import Any

from pydantic import Field, field_validator

from stack_emu.domain import faults, governance, revocation
from stack_emu.domain.authentication import key_digest
from stack_emu.domain.connections import take_away
from stack_emu.domain.destinations import MAIL_ADDRESS
from stack_emu.domain.partner_tenants import DIRECT, MANAGES, READS, revoke_webhooks
from stack_emu.domain.partners import (
    GRANT_SCOPES,
    ConnectGrant,
    grant_names,
    new_token,
    operator_by_email,
    require_partner,
)
from stack_emu.domain.state import Agent, Connection, Operator
from stack_emu.kernel.acts import Act
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import Audit, Auth, Command, Reply, Rest, Tool, on_timer, operation, written_as
from stack_emu.kernel.store import replace
from stack_emu.kernel.world import Timer, World

_ADDRESS = re.compile(MAIL_ADDRESS)
_CONSENT = "partner.consent"
_DECIDED = {"approved": "active", "rejected": "denied", "expired": "denied"}


class Connect(Command):
    """Whose account to work in, and how far."""

    email: str = Field(
        max_length=320, description="The customer's own address", json_schema_extra=written_as(pattern=MAIL_ADDRESS)
    )
    external_customer_id: str | None = Field(None, max_length=256, description="Your own id of the customer")
    scopes: list[str] | None = Field(
        None,
        description="OAuth scopes of the grant; all that can be given when left out",
        json_schema_extra=written_as(items={"type": "string", "enum": list(GRANT_SCOPES)}),
    )
    providers: list[str] | None = Field(None, description="Providers you may connect; any when left out")

    @field_validator("email")
    @classmethod
    def _is_an_address(cls, email: str) -> str:
        if not _ADDRESS.fullmatch(email):
            raise ValueError("must be an e-mail address, such as customer@example.com")
        return email

    @field_validator("scopes")
    @classmethod
    def _are_known(cls, scopes: list[str]) -> list[str]:
        unknown = sorted(set(scopes) - set(GRANT_SCOPES))
        if unknown:
            raise ValueError(f"{', '.join(unknown)} cannot be granted; there are {', '.join(GRANT_SCOPES)}")
        return scopes


class GrantById(Command):
    """Names a grant."""

    grant_id: str = Field(description="Grant id (grt_…)")


class GrantReply(Reply):
    """A grant."""

    grant_id: str
    id: str
    operator_id: str | None = Field(description="The customer's account, once the grant is active")
    email: str
    external_customer_id: str | None
    status: str = Field(description="pending_consent, active, denied or revoked")
    scopes: list[str]
    providers: list[str] | None
    account_created: bool
    created_at: str
    updated_at: str


class IssuedGrant(GrantReply):
    """A grant with its token, which is shown this once."""

    grant_token: str


class GrantList(Reply):
    """Grants, oldest first."""

    connections: list[GrantReply]


class RevokedGrant(GrantReply):
    """A grant that was revoked, and what went with it."""

    transitioned: bool
    passports_revoked: int
    webhooks_revoked: int
    connections_disconnected: int


@operation(
    "partner_connect.connect",
    rest=Rest("POST", "/v1/partner/connect", status=201),
    tool=Tool("stack_connect_customer"),
    auth=MANAGES,
    audit=Audit("partner.connect"),
    source="sdk 4.0.0 partner_connect.connect",
    grade="documented",
)
def connect(ctx: Context, command: Connect) -> IssuedGrant:
    """Make an account for an address, or ask the account that has it for consent. The grant token is shown this once.

    Raises:
        Fault: FORBIDDEN for an account that is no partner, CONFLICT when this partner has a grant for the address.
    """
    require_partner(ctx)
    account = operator_by_email(ctx.world, command.email)
    if account is not None and account.id == ctx.operator_id:
        raise Fault(faults.CONFLICT, problem="This is your own address; connect a customer's")
    _check_new(ctx, command.email)
    fresh = account is None
    if account is None:
        account = Operator(ctx.act.new_id("operator", "op_"), "free", command.email)
        ctx.world.store.put(account)
    grant_id = ctx.act.new_id("grant", "grt_")
    token = new_token(ctx.world, ctx.act, "sk_grant_", grant_id)
    grant = ConnectGrant(
        id=grant_id,
        partner_id=ctx.operator_id,
        operator_id=account.id,
        email=command.email,
        token=key_digest(token),
        status="active" if fresh else "pending_consent",
        scopes=tuple(command.scopes if command.scopes is not None else GRANT_SCOPES),
        created_at=ctx.stamp_ms,
        updated_at=ctx.stamp_ms,
        external_customer_id=command.external_customer_id,
        providers=tuple(command.providers) if command.providers is not None else None,
        created_account=fresh,
    )
    ctx.world.store.put(grant)
    ctx.row.set(grant=grant.id, status=grant.status, scopes=list(grant.scopes))
    if not fresh:
        _arm_consent(ctx, grant)
    return IssuedGrant(**_fields(grant), grant_token=token)


def _check_new(ctx: Context, email: str) -> None:
    standing = ("active", "pending_consent")
    for grant in ctx.world.store.find(ConnectGrant, partner_id=ctx.operator_id):
        if grant.status in standing and grant.email.casefold() == email.casefold():
            problem = f"Grant {grant.id} for this address is {grant.status}; use it, rotate its token, or revoke it"
            raise Fault(faults.CONFLICT, problem=problem, details={"grant_id": grant.id})


def _arm_consent(ctx: Context, grant: ConnectGrant) -> None:
    decided = governance.scripted(ctx, agent_id=None)
    if decided is not None:
        decision, after_ms = decided
        payload = {"grant_id": grant.id, "decision": decision}
        ctx.world.arm(
            Timer(f"{_CONSENT}/{grant.id}", ctx.now_ms + after_ms, _CONSENT, ctx.act.lane, ctx.operator_id, payload)
        )


@on_timer(_CONSENT)
def consent_due(world: World, act: Act, timer: Timer) -> None:
    """A scenario's decision about a grant takes effect, unless the account decided first."""
    grant = world.store.get(ConnectGrant, timer.payload["grant_id"])
    act.row.set(grant=timer.payload["grant_id"])
    if grant is None or grant.status != "pending_consent":
        act.row.set(decision="none")
        return
    decided = replace(grant, status=_DECIDED[timer.payload["decision"]], updated_at=act.now_ms)
    act.row.set(**grant_names(world.store.put(decided)))


@operation(
    "partner_connect.list_connections",
    rest=Rest("GET", "/v1/partner/connections"),
    tool=Tool("stack_list_customer_connections"),
    auth=READS,
    source="sdk 4.0.0 partner_connect.list_connections",
    grade="documented",
)
def list_connections(ctx: Context, command: Command) -> GrantList:
    """List your grants, oldest first; an account that is no partner has none."""
    found = ctx.world.store.find(ConnectGrant, partner_id=ctx.operator_id)
    return GrantList(connections=[GrantReply(**_fields(grant)) for grant in found])


@operation(
    "partner_connect.get_connection",
    rest=Rest("GET", "/v1/partner/connections/{grant_id}"),
    tool=Tool("stack_get_customer_connection"),
    auth=READS,
    source="sdk 4.0.0 partner_connect.get_connection",
    grade="documented",
)
def get_connection(ctx: Context, command: GrantById) -> GrantReply:
    """Read one grant.

    Raises:
        Fault: NOT_FOUND.
    """
    return GrantReply(**_fields(_require_own(ctx, command.grant_id)))


@operation(
    "partner_connect.revoke_connection",
    rest=Rest("DELETE", "/v1/partner/connections/{grant_id}"),
    tool=Tool("stack_revoke_customer_connection", destructive=True, idempotent=True),
    auth=MANAGES,
    audit=Audit("partner.revoke"),
    source="sdk 4.0.0 partner_connect.revoke_connection",
    grade="documented",
)
def revoke_connection(ctx: Context, command: GrantById) -> RevokedGrant:
    """Revoke a grant, as the partner: its token dies, and what was made with it: passports, webhooks and connections.

    Raises:
        Fault: NOT_FOUND.
    """
    ctx.row.set(grant=command.grant_id)
    return _revoke(ctx, _require_own(ctx, command.grant_id))


@operation(
    "partner_connect.rotate_token",
    rest=Rest("POST", "/v1/partner/connections/{grant_id}/rotate-token"),
    tool=Tool("stack_rotate_grant_token"),
    auth=MANAGES,
    audit=Audit("partner.rotate_token"),
    source="sdk 4.0.0 partner_connect.rotate_token",
    grade="documented",
)
def rotate_token(ctx: Context, command: GrantById) -> IssuedGrant:
    """Replace a grant's token; the one before is refused from now on.

    Raises:
        Fault: NOT_FOUND, CONFLICT for a grant that was denied or revoked.
    """
    ctx.row.set(grant=command.grant_id)
    grant = _require_own(ctx, command.grant_id)
    if grant.status not in ("active", "pending_consent"):
        raise Fault(faults.CONFLICT, problem=f"Grant {grant.id} is {grant.status}; connect the customer again")
    token = new_token(ctx.world, ctx.act, "sk_grant_", grant.id)
    grant = ctx.world.store.put(replace(grant, token=key_digest(token), updated_at=ctx.stamp_ms))
    return IssuedGrant(**_fields(grant), grant_token=token)


class Consent(Command):
    """An account's answer to a partner that wants to work in it."""

    grant_id: str = Field(description="Grant id (grt_…)")
    approve: bool = Field(True, description="true lets the partner in, false keeps it out")


@operation(
    "partner_connect.list_grants",
    rest=Rest("GET", "/v1/connect/grants"),
    tool=Tool("stack_list_partner_grants"),
    auth=Auth(bearers=DIRECT, role="admin"),
    source="no public source: what an account sees under its services",
    grade="invented",
)
def list_grants(ctx: Context, command: Command) -> GrantList:
    """List the grants partners have, or ask for, in this account, oldest first."""
    found = ctx.world.store.find(ConnectGrant, operator_id=ctx.operator_id)
    return GrantList(connections=[GrantReply(**_fields(grant, own=True)) for grant in found])


@operation(
    "partner_connect.consent",
    rest=Rest("POST", "/v1/connect/grants/{grant_id}/consent"),
    tool=Tool("stack_answer_partner_grant"),
    auth=Auth(bearers=DIRECT, role="admin"),
    audit=Audit("partner.consent"),
    source="no public source: the consent page's decision",
    grade="invented",
)
def answer_grant(ctx: Context, command: Consent) -> GrantReply:
    """Answer a partner that asks to work in this account.

    Raises:
        Fault: NOT_FOUND for a grant that asks nothing of this account, CONFLICT when it was answered before.
    """
    ctx.row.set(grant=command.grant_id)
    grant = _require_asked(ctx, command.grant_id)
    if grant.status != "pending_consent":
        raise Fault(faults.CONFLICT, problem=f"Grant {grant.id} is {grant.status}; only one that waits can be answered")
    status = "active" if command.approve else "denied"
    grant = ctx.world.store.put(replace(grant, status=status, updated_at=ctx.stamp_ms))
    ctx.row.set(**grant_names(grant))
    return GrantReply(**_fields(grant, own=True))


@operation(
    "partner_connect.withdraw",
    rest=Rest("DELETE", "/v1/connect/grants/{grant_id}"),
    tool=Tool("stack_withdraw_partner_grant", destructive=True, idempotent=True),
    auth=Auth(bearers=DIRECT, role="admin"),
    audit=Audit("partner.revoke"),
    source="no public source: the account's own way to revoke a grant",
    grade="invented",
)
def withdraw_grant(ctx: Context, command: GrantById) -> RevokedGrant:
    """Take back a partner's grant, as the account: its token dies, and what was made with it.

    Raises:
        Fault: NOT_FOUND.
    """
    ctx.row.set(grant=command.grant_id)
    return _revoke(ctx, _require_asked(ctx, command.grant_id))


def _require_own(ctx: Context, grant_id: str) -> ConnectGrant:
    grant = ctx.world.store.get(ConnectGrant, grant_id)
    if grant is None or grant.partner_id != ctx.operator_id:
        raise Fault(faults.NOT_FOUND, what="Connection", id=grant_id)
    return grant


def _require_asked(ctx: Context, grant_id: str) -> ConnectGrant:
    grant = ctx.world.store.get(ConnectGrant, grant_id)
    if grant is None or grant.operator_id != ctx.operator_id:
        raise Fault(faults.NOT_FOUND, what="Grant", id=grant_id)
    return grant


def _revoke(ctx: Context, grant: ConnectGrant) -> RevokedGrant:
    first = grant.status != "revoked"
    if first:
        grant = ctx.world.store.put(replace(grant, status="revoked", updated_at=ctx.stamp_ms))
    agents = [
        agent for agent in ctx.world.store.find(Agent, operator_id=grant.operator_id) if agent.made_by == grant.id
    ]
    passports = sum(_end_passports(ctx, grant, agent) for agent in agents)
    made = [
        one
        for one in ctx.world.store.find(Connection, operator_id=grant.operator_id)
        if one.connected_by == grant.id and one.status == "active"
    ]
    for connection in made:
        passports += take_away(ctx, connection)[0]
    webhooks = revoke_webhooks(ctx, grant.operator_id, [agent.id for agent in agents])
    ctx.row.set(revoked_passports=passports, status=grant.status)
    return RevokedGrant(
        **_fields(grant),
        transitioned=first,
        passports_revoked=passports,
        webhooks_revoked=webhooks,
        connections_disconnected=len(made),
    )


def _end_passports(ctx: Context, grant: ConnectGrant, agent: Agent) -> int:
    standing = revocation.standing(ctx.world, grant.operator_id, agent_id=agent.id)
    done = revocation.revoke(
        ctx.world, ctx.act, standing, revocation="grant", reason=f"Grant {grant.id} revoked", cascade=True
    )
    return len(done[0]) + len(done[1])


def _fields(grant: ConnectGrant, *, own: bool = False) -> dict[str, Any]:
    return {
        "grant_id": grant.id,
        "id": grant.id,
        "operator_id": grant.operator_id if own or grant.status == "active" else None,
        "email": grant.email,
        "external_customer_id": grant.external_customer_id,
        "status": grant.status,
        "scopes": list(grant.scopes),
        "providers": None if grant.providers is None else list(grant.providers),
        "account_created": grant.created_account,
        "created_at": iso(grant.created_at),
        "updated_at": iso(grant.updated_at),
    }
