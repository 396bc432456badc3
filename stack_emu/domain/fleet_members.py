"""Members of fleets: who enrolled under a policy, and taking them out again."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from stack_emu.domain import faults
from stack_emu.domain.agents import AgentById, own_agent_only, require_agent, subject_agent
from stack_emu.domain.authentication import ACCOUNT, ACCOUNT_AND_AGENT
from stack_emu.domain.fleet_definitions import access_of
from stack_emu.domain.fleet_records import ACTIVE, REVOKED, FleetMember, FleetPolicy
from stack_emu.domain.missions import end_with_fleet, status_of
from stack_emu.domain.revocation import revoke, standing
from stack_emu.domain.state import Agent, Connection, JsonObject, Mission
from stack_emu.kernel.acts import Act, RowDraft
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import Audit, Auth, Command, Reply, Rest, Tool, operation
from stack_emu.kernel.store import replace
from stack_emu.kernel.world import World


class PolicyById(Command):
    """Names a fleet policy."""

    policy_id: str = Field(description="Fleet policy id (flp_…)")


class ListMembers(PolicyById):
    """Which members to list."""

    page: int | None = Field(None, ge=1, description="Page from 1; with it or limit the reply is an object")
    limit: int | None = Field(None, ge=1, le=100, description="Members on a page, at most 100; 20 when left out")


class MemberReply(Reply):
    """A member of a fleet."""

    agent_id: str
    fleet_policy_id: str
    name: str
    status: str = Field(description="active or revoked")
    enrollment: str = Field(description="operator or workload: the way it enrolled")
    enrolled_at: str
    revoked_at: str | None


class MembershipReply(MemberReply):
    """A membership, with what it is a membership of."""

    policy_name: str
    policy_status: str
    revision: int
    active_missions: list[str]


class MemberPage(Reply):
    """Members, in the order they enrolled."""

    items: list[MemberReply]
    page: int
    limit: int
    total: int


class MemberById(PolicyById):
    """Names a member of a fleet."""

    agent_id: str = Field(description="Agent id of the member (agt_…)")


class RevokedMember(MemberReply):
    """What taking a member out did."""

    already_revoked: bool
    revoked_missions: list[str]
    revoked_passports: list[str]


def require_policy(ctx: Context, policy_id: str) -> FleetPolicy:
    """The policy a caller names, when its limits let it see it.

    Raises:
        Fault: NOT_FOUND.
    """
    policy = ctx.world.store.get(FleetPolicy, policy_id)
    if policy is None or policy.operator_id != ctx.operator_id or not is_visible_policy(ctx, policy):
        raise Fault(faults.NOT_FOUND, what="Fleet policy", id=policy_id)
    return policy


def require_open_policy(ctx: Context, policy_id: str) -> FleetPolicy:
    """The policy a caller names, when it was not revoked.

    Raises:
        Fault: NOT_FOUND or FLEET_REVOKED.
    """
    policy = require_policy(ctx, policy_id)
    if policy.status != ACTIVE:
        raise Fault(faults.FLEET_REVOKED, policy_id=policy.id, revoked_at=iso(policy.revoked_at or 0))
    return policy


def is_visible_policy(ctx: Context, policy: FleetPolicy) -> bool:
    """Whether a caller may see a policy of its account.

    An agent sees the one it is a member of; a key limited to connections those that allow no others; a fleet session
    the one it is for; a partner's grant those activated with it.
    """
    caller = ctx.caller
    if caller.agent_id is not None:
        member = ctx.world.store.get(FleetMember, caller.agent_id)
        return member is not None and member.policy_id == policy.id
    if caller.bound_to not in (None, policy.id) or caller.grant_id not in (None, policy.made_by):
        return False
    allowed = caller.allowed_connections
    named = connection_ids(ctx.world, policy.operator_id, policy.definition)
    return allowed is None or all(one in allowed for one in named)


def connection_ids(world: World, operator_id: str, definition: JsonObject) -> list[str]:
    """Ids of the connections a definition allows; what it names and is not connected any more stands for itself."""
    found = list(world.store.find(Connection, operator_id=operator_id))
    ids: list[str] = []
    for entry in access_of(definition):
        reference = entry.reference or ""
        ids += [one.id for one in found if reference in (one.id, one.provider)] or [reference]
    return ids


def named_twice(world: World, operator_id: str, definition: JsonObject) -> str | None:
    """What is wrong with a definition that allows one connection in two entries; None when none does."""
    ids = connection_ids(world, operator_id, definition)
    twice = [one for one in ids if ids.count(one) > 1]
    return f"{twice[0]} is named twice; give each connection one entry" if twice else None


def members_of(world: World, policy_id: str) -> list[FleetMember]:
    """Everybody who enrolled under a policy and was not deleted since, in the order they enrolled."""
    return [member for member in world.store.find(FleetMember, policy_id=policy_id) if not is_gone(world, member)]


def is_gone(world: World, member: FleetMember) -> bool:
    """Whether a member's agent was deleted."""
    agent = world.store.get(Agent, member.id)
    return agent is None or agent.deleted


def active_members(world: World, policy_id: str) -> list[FleetMember]:
    """The members that were not taken out."""
    return [member for member in members_of(world, policy_id) if member.status == ACTIVE]


def active_missions(world: World, **equals: str) -> list[Mission]:
    """Missions that run, by fields such as ``fleet_policy_id`` or ``agent_id``."""
    return [mission for mission in world.store.find(Mission, **equals) if status_of(world, mission) == "active"]


def member_reply(member: FleetMember) -> MemberReply:
    """The public form of a member."""
    return MemberReply(
        agent_id=member.id,
        fleet_policy_id=member.policy_id,
        name=member.name,
        status=member.status,
        enrollment=member.mode,
        enrolled_at=iso(member.enrolled_at),
        revoked_at=None if member.revoked_at is None else iso(member.revoked_at),
    )


def expel(world: World, act: Act, member: FleetMember, row: RowDraft) -> tuple[list[str], list[str]]:
    """Take a member out: its fleet missions end, its passports are revoked, and it gets no more of them.

    Args:
        world: the world; a transaction is open.
        act: the act that causes it.
        member: who.
        row: the row about it, to be filled in.

    Returns:
        Ids of the missions that ended, and of the passports revoked with them or besides.
    """
    why = f"The membership of {member.id} in fleet {member.policy_id} was revoked"
    world.store.put(replace(member, status=REVOKED, revoked_at=act.stamp_ms))
    row.set(agent_id=member.id, fleet=member.policy_id, name=member.name, subject=member.id)
    missions = sorted(active_missions(world, agent_id=member.id), key=lambda mission: mission.id)
    ended = [mission for mission in missions if mission.fleet_policy_id == member.policy_id]
    passports = [jti for mission in ended for jti in end_with_fleet(world, act, mission, why)]
    left = standing(world, member.operator_id, agent_id=member.id)
    done = revoke(world, act, left, revocation="fleet", reason=why, cascade=True)
    passports += [passport.id for group in done for passport in group]
    _block(world, act, member, why)
    row.set(revoked_missions=len(ended), revoked_passports=len(passports))
    return [mission.id for mission in ended], passports


def _block(world: World, act: Act, member: FleetMember, why: str) -> None:
    agent = world.store.get(Agent, member.id)
    if agent is None or agent.passport_blocked:
        return
    blocked = {"passport_blocked": True, "passport_blocked_reason": why, "passport_blocked_at": act.stamp_ms}
    world.store.put(replace(agent, **blocked, updated_at=act.stamp_ms))


@operation(
    "fleets.members",
    rest=Rest("GET", "/v1/fleets/{policy_id}/members"),
    tool=Tool("stack_list_fleet_members"),
    auth=Auth(bearers=ACCOUNT, scope="agents:read"),
    source="sdk 4.0.0 fleets.members, members_page; the items' shape is not published",
    grade="sdk-implied",
)
def list_members(ctx: Context, command: ListMembers) -> list[MemberReply] | MemberPage:
    """List the members of a fleet in the order they enrolled: an array, or a page of it with page or limit.

    Raises:
        Fault: NOT_FOUND.
    """
    policy = require_policy(ctx, command.policy_id)
    items = [member_reply(member) for member in members_of(ctx.world, policy.id)]
    if command.page is None and command.limit is None:
        return items
    page, limit = command.page or 1, command.limit or 20
    return MemberPage(items=items[(page - 1) * limit : page * limit], page=page, limit=limit, total=len(items))


@operation(
    "fleets.membership",
    rest=Rest("GET", "/v1/fleets/membership/{agent_id}"),
    tool=Tool("stack_get_fleet_membership"),
    auth=Auth(bearers=ACCOUNT_AND_AGENT, scope="agents:read", narrow=own_agent_only),
    source="sdk 4.0.0 fleets.membership (may be null); the shape is not published",
    grade="sdk-implied",
)
def get_membership(ctx: Context, command: AgentById) -> MembershipReply | None:
    """Read which fleet an agent is a member of; null for an agent that never enrolled under a policy.

    Raises:
        Fault: NOT_FOUND for an unknown agent.
    """
    agent = require_agent(ctx.world, ctx.operator_id, command.agent_id)
    member = ctx.world.store.get(FleetMember, agent.id)
    policy = ctx.world.store.get(FleetPolicy, member.policy_id) if member is not None else None
    if member is None or policy is None or not is_visible_policy(ctx, policy):
        return None
    running = active_missions(ctx.world, agent_id=agent.id)
    return MembershipReply(
        **member_reply(member).model_dump(),
        policy_name=policy.definition["name"],
        policy_status=policy.status,
        revision=policy.revision,
        active_missions=[mission.id for mission in running if mission.fleet_policy_id == policy.id],
    )


@operation(
    "fleets.revoke_member",
    rest=Rest("POST", "/v1/fleets/{policy_id}/members/{agent_id}/revoke"),
    tool=Tool("stack_revoke_fleet_member", destructive=True, idempotent=True),
    auth=Auth(bearers=ACCOUNT, scope="agents:write", role="standard"),
    audit=Audit("fleet.member.revoke"),
    subject=subject_agent,
    source="sdk 4.0.0 fleets.revoke_member; the reply's shape is not published",
    grade="sdk-implied",
)
def revoke_member(ctx: Context, command: MemberById) -> RevokedMember:
    """Take an agent out of its fleet for good: its fleet missions end, its passports are revoked, it gets no more.

    Taking it out again changes nothing and says so.

    Raises:
        Fault: NOT_FOUND for the policy, or an agent that is no member of it.
    """
    ctx.row.set(fleet=command.policy_id)
    member = _require_member(ctx, command)
    if member.status == REVOKED:
        return _revoked(member, True, [], [])
    missions, passports = expel(ctx.world, ctx.act, member, ctx.row)
    return _revoked(ctx.world.store.get(FleetMember, member.id) or member, False, missions, passports)


def _require_member(ctx: Context, command: MemberById) -> FleetMember:
    try:
        policy = require_policy(ctx, command.policy_id)
        member = ctx.world.store.get(FleetMember, command.agent_id)
        if member is None or member.policy_id != policy.id or is_gone(ctx.world, member):
            raise Fault(faults.NOT_FOUND, what="Fleet member", id=command.agent_id)
    except Fault:
        ctx.row.agent_id = None
        raise
    return member


def _revoked(member: FleetMember, already: bool, missions: list[str], passports: list[str]) -> RevokedMember:
    shown: dict[str, Any] = member_reply(member).model_dump()
    return RevokedMember(**shown, already_revoked=already, revoked_missions=missions, revoked_passports=passports)
