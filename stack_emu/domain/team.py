"""The team: members of an account with keys of their own, invited, limited and revoked by its operator and admins.

No call acts on the operator's own key: it belongs to no member.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StringConstraints, field_validator

from stack_emu.domain import faults, tiers
from stack_emu.domain.authentication import MEMBER, OPERATOR, SESSION, key_digest
from stack_emu.domain.destinations import MAIL_ADDRESS
from stack_emu.domain.partners import new_token
from stack_emu.domain.secret_kinds import API_KEY
from stack_emu.domain.state import ApiKey, Connection, Operator
from stack_emu.domain.team_records import ACTIVE, INVITED, REVOKED, Member, keys_of, members_of
from stack_emu.kernel.acts import Act, RowDraft
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import SECRET, Audit, Auth, Command, Reply, Rest, Tool, operation, written_as
from stack_emu.kernel.store import replace
from stack_emu.kernel.world import World

_ADDRESS = re.compile(MAIL_ADDRESS)
_MANAGES = Auth(bearers=frozenset({OPERATOR, MEMBER, SESSION}), role="admin")
EVERY = "*"
"""Stands for every connection, alone in allowed_connections: what takes a limit away again."""
Role = Annotated[
    Literal["readonly", "standard", "admin"],
    BeforeValidator(lambda role: "readonly" if role == "viewer" else role),
]
"""What a member may do; viewer is an older name of readonly."""
Name = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Connections = Annotated[list[str], Field(max_length=1000)]


class Invite(Command):
    """Who is invited, and what they may do."""

    email: Annotated[str, SECRET] = Field(
        max_length=320,
        description="The member's address; unique in the team",
        json_schema_extra=written_as(pattern=MAIL_ADDRESS),
    )
    name: Annotated[Name | None, SECRET] = Field(
        None, description="The member's name, 1 to 100 characters; SDKs before 1.0.0 send none"
    )
    role: Role = Field("standard", description="readonly (or viewer, the same), standard or admin")
    allowed_connections: Connections | None = Field(
        None, description="Connections the member is limited to (scon_…); all when left out, or with * alone"
    )

    @field_validator("email")
    @classmethod
    def _is_an_address(cls, email: str) -> str:
        if not _ADDRESS.fullmatch(email):
            raise ValueError("must be an e-mail address, such as member@example.com")
        return email


class MemberById(Command):
    """Names a member."""

    member_id: str = Field(description="Member id (mem_…)")


class UpdateMember(MemberById):
    """What to change about a member; fields left out stay as they are."""

    name: Annotated[Name | None, SECRET] = Field(None, description="The member's name, 1 to 100 characters")
    role: Role | None = Field(None, description="readonly (or viewer, the same), standard or admin")
    allowed_connections: Connections | None = Field(
        None, description="Connections the member is limited to from now on; * alone for all"
    )


class MemberReply(Reply):
    """A member, never with a key."""

    id: str
    operator_id: str
    email: str
    name: str | None
    role: str
    status: str = Field(description="invited until accepted, then active")
    allowed_connections: list[str] | None
    invited_by: str | None
    invited_at: str
    accepted_at: str | None
    created_at: str
    updated_at: str


class AcceptedMember(MemberReply):
    """A member with its key, which is shown this once."""

    api_key: str


class RevokedMember(Reply):
    """A member that is gone."""

    id: str
    revoked: bool
    status: str
    revoked_keys: int


def _shown(ctx: Context, member: Member) -> MemberReply:
    """A member as the caller may see it: whoever is limited to connections sees no others."""
    reply, allowed = member_reply(member), ctx.caller.allowed_connections
    if allowed is None or reply.allowed_connections is None:
        return reply
    return reply.model_copy(
        update={"allowed_connections": [one for one in reply.allowed_connections if one in allowed]}
    )


def member_reply(member: Member) -> MemberReply:
    """The public form of a member."""
    allowed = member.allowed_connections
    return MemberReply(
        id=member.id,
        operator_id=member.operator_id,
        email=member.email,
        name=member.name,
        role=member.role,
        status=member.status,
        allowed_connections=None if allowed is None else list(allowed),
        invited_by=member.invited_by,
        invited_at=iso(member.created_at),
        accepted_at=None if member.accepted_at is None else iso(member.accepted_at),
        created_at=iso(member.created_at),
        updated_at=iso(member.updated_at),
    )


def _wanted(connections: list[str] | None) -> tuple[str, ...] | None:
    return None if connections in (None, [EVERY]) else tuple(dict.fromkeys(connections or ()))


def _require_member(world: World, operator_id: str, member_id: str) -> Member:
    member = world.store.get(Member, member_id)
    if member is None or member.operator_id != operator_id or member.status == REVOKED:
        raise Fault(faults.NOT_FOUND, what="Member", id=member_id)
    return member


def _check_connections(ctx: Context, wanted: tuple[str, ...] | None) -> None:
    """Refuse connections the account does not have, or that the caller itself may not use.

    Raises:
        Fault: NOT_FOUND or FORBIDDEN.
    """
    allowed = ctx.caller.allowed_connections
    for connection_id in wanted or ():
        connection = ctx.world.store.get(Connection, connection_id)
        if connection is None or connection.operator_id != ctx.operator_id:
            raise Fault(faults.NOT_FOUND, what="Connection", id=connection_id)
    if allowed is not None and (wanted is None or not set(wanted) <= allowed):
        listed = ", ".join(sorted(allowed)) or "none"
        reason = f"This key is limited to connections and gives no more than it has; allowed_connections: {listed}"
        raise Fault(faults.FORBIDDEN, reason=reason)


@operation(
    "team.invite",
    rest=Rest("POST", "/v1/team/members", status=201),
    tool=Tool("stack_invite_member"),
    auth=_MANAGES,
    audit=Audit("team.invite"),
    source="sdk 4.0.0 team.invite; sdk 0.14.0 to 0.19.1 (without name); docs/api/team; the reply's shape is not published",
    grade="documented",
)
def invite_member(ctx: Context, command: Invite) -> MemberReply:
    """Invite somebody to the team. The invitation is accepted with team.accept or POST /_emu/team/{id}/accept: no mail is sent.

    Raises:
        Fault: TIER_LIMIT_EXCEEDED, CONFLICT for an address in use, NOT_FOUND for a connection, FORBIDDEN for connections
            beyond the caller's own.
    """
    wanted = _wanted(command.allowed_connections)
    ctx.row.set(role=command.role)
    _check_connections(ctx, wanted)
    _check_address(ctx, command.email)
    tiers.check(ctx.world, ctx.operator_id, tiers.MEMBERS, sum(1 for _ in members_of(ctx.world, ctx.operator_id)))
    member = Member(
        id=ctx.act.new_id("member", "mem_"),
        operator_id=ctx.operator_id,
        email=command.email,
        name=command.name,
        role=command.role,
        status=INVITED,
        created_at=ctx.stamp_ms,
        updated_at=ctx.stamp_ms,
        allowed_connections=wanted,
        invited_by=_inviter(ctx),
    )
    ctx.row.set(member=member.id)
    return member_reply(ctx.world.store.put(member))


def _inviter(ctx: Context) -> str:
    named = ctx.caller.member_id
    known = (one.id for one in members_of(ctx.world, ctx.operator_id) if named in (one.id, one.email))
    return next(known, ctx.operator_id) if named is not None else ctx.operator_id


def _check_address(ctx: Context, email: str) -> None:
    wanted = email.casefold()
    for member in members_of(ctx.world, ctx.operator_id):
        if member.email.casefold() == wanted:
            problem = f"{member.id} has this address already; update or revoke that member"
            raise Fault(faults.CONFLICT, problem=problem, details={"member_id": member.id})
    operator = ctx.world.store.get(Operator, ctx.operator_id)
    if operator is not None and operator.email.casefold() == wanted:
        raise Fault(faults.CONFLICT, problem="This is the operator's own address; invite another one")


@operation(
    "team.accept",
    rest=Rest("POST", "/v1/team/members/{member_id}/accept"),
    tool=Tool("stack_accept_invite"),
    auth=_MANAGES,
    audit=Audit("team.accept"),
    source="sdk 0.14.0 to 0.19.1 team.accept_invite; docs/api/team; the reply's shape is not published",
    grade="sdk-implied",
)
def accept_invite(ctx: Context, command: MemberById) -> AcceptedMember:
    """Accept an invitation: the member is active and gets a key of its own, which is shown this once.

    Raises:
        Fault: NOT_FOUND, CONFLICT when it was accepted before, FORBIDDEN for a member with more connections than the caller.
    """
    ctx.row.set(member=command.member_id)
    member = _require_member(ctx.world, ctx.operator_id, command.member_id)
    _check_reach(ctx, member)
    return _accepted(ctx.world, ctx.act, member)


def accept(world: World, member_id: str) -> AcceptedMember:
    """Accept an invitation as the invited person would; a control step, an act of its own.

    Raises:
        Fault: NOT_FOUND, CONFLICT when it was accepted before.
    """
    member = world.store.get(Member, member_id)
    if member is None or member.status == REVOKED:
        raise Fault(faults.NOT_FOUND, what="Member", id=member_id)
    row = RowDraft("team.accept", "system")
    act = world.begin_act("control.team.accept", member.operator_id, "control", {"member_id": member_id}, row)
    with world.transaction(act):
        row.set(member=member_id)
        return _accepted(world, act, member)


def _accepted(world: World, act: Act, member: Member) -> AcceptedMember:
    if member.status != INVITED:
        problem = f"Member {member.id} is {member.status}; only an invitation that is open can be accepted"
        raise Fault(faults.CONFLICT, problem=problem)
    key = new_token(world, act, "sk_live_", f"key:{member.id}", API_KEY)
    world.store.put(
        ApiKey(
            id=key_digest(key),
            operator_id=member.operator_id,
            position=-1,
            role=member.role,
            member_id=member.id,
            allowed_connections=member.allowed_connections,
            label=member.id,
        )
    )
    member = replace(member, status=ACTIVE, accepted_at=act.stamp_ms, updated_at=act.stamp_ms)
    act.row.set(role=member.role)
    return AcceptedMember(**member_reply(world.store.put(member)).model_dump(), api_key=key)


def _check_reach(ctx: Context, member: Member) -> None:
    """A key limited to connections manages nobody who has others.

    Raises:
        Fault: FORBIDDEN.
    """
    allowed, theirs = ctx.caller.allowed_connections, member.allowed_connections
    if allowed is not None and (theirs is None or not set(theirs) <= allowed):
        reason = f"Member {member.id} may use connections that this key may not; use a key without limits"
        raise Fault(faults.FORBIDDEN, reason=reason)


@operation(
    "team.list",
    rest=Rest("GET", "/v1/team/members"),
    tool=Tool("stack_list_members"),
    auth=_MANAGES,
    source="sdk 4.0.0 team.list; docs/api/team; the items' shape is not published",
    grade="documented",
)
def list_members(ctx: Context, command: Command) -> list[MemberReply]:
    """List the members of the team, oldest first, invited ones included; revoked ones are gone."""
    return [_shown(ctx, member) for member in members_of(ctx.world, ctx.operator_id)]


@operation(
    "team.update",
    rest=Rest("PATCH", "/v1/team/members/{member_id}"),
    tool=Tool("stack_update_member", idempotent=True),
    auth=_MANAGES,
    audit=Audit("team.update"),
    source="sdk 4.0.0 team.update; docs/api/team; the reply's shape is not published",
    grade="documented",
)
def update_member(ctx: Context, command: UpdateMember) -> MemberReply:
    """Change a member's name, role or connections; it holds from the member's next call on.

    Raises:
        Fault: NOT_FOUND for the member or a connection, FORBIDDEN for connections beyond the caller's own.
    """
    ctx.row.set(member=command.member_id)
    member = _require_member(ctx.world, ctx.operator_id, command.member_id)
    _check_reach(ctx, member)
    given = command.model_dump(exclude_unset=True, exclude={"member_id"})
    if "allowed_connections" in given:
        given["allowed_connections"] = _wanted(given["allowed_connections"])
        _check_connections(ctx, given["allowed_connections"])
    changes = {name: value for name, value in given.items() if value != getattr(member, name)}
    ctx.row.set(changed=sorted(changes), role=given.get("role"))
    if changes:
        member = ctx.world.store.put(replace(member, **changes, updated_at=ctx.stamp_ms))
        limits = {name: value for name, value in changes.items() if name != "name"}
        for key in keys_of(ctx.world, member):
            ctx.world.store.put(replace(key, **limits))
    return _shown(ctx, member)


@operation(
    "team.revoke",
    rest=Rest("DELETE", "/v1/team/members/{member_id}"),
    tool=Tool("stack_revoke_member", destructive=True),
    auth=_MANAGES,
    audit=Audit("team.revoke"),
    source="sdk 4.0.0 team.revoke; docs/api/team; the reply's shape is not published",
    grade="documented",
)
def revoke_member(ctx: Context, command: MemberById) -> RevokedMember:
    """Revoke a member or an invitation: its keys are refused from the next call on. The address can be invited again.

    Raises:
        Fault: NOT_FOUND, also when it was revoked before; FORBIDDEN for a member with more connections than the caller.
    """
    ctx.row.set(member=command.member_id)
    member = _require_member(ctx.world, ctx.operator_id, command.member_id)
    _check_reach(ctx, member)
    keys = [key for key in keys_of(ctx.world, member) if not key.revoked]
    for key in keys:
        ctx.world.store.put(replace(key, revoked=True))
    ctx.world.store.put(replace(member, status=REVOKED, updated_at=ctx.stamp_ms))
    ctx.row.set(revoked_keys=len(keys))
    return RevokedMember(id=member.id, revoked=True, status=REVOKED, revoked_keys=len(keys))
