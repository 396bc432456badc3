"""Fleets: policies under which agents enroll by themselves and start missions within ceilings.

The routes, the headers and what is sent are those of SDK 4.0.0 ``fleets``; what a definition holds and what the replies
look like is published nowhere (see ``fleet_definitions`` and docs/fidelity.md).
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from stack_emu.domain import faults, governance, idempotency
from stack_emu.domain.authentication import ACCOUNT, ACCOUNT_AND_AGENT
from stack_emu.domain.constraints import accepted
from stack_emu.domain.fleet_definitions import FleetDefinition, access_of, widenings
from stack_emu.domain.fleet_members import (
    PolicyById,
    active_members,
    active_missions,
    expel,
    is_visible_policy,
    named_twice,
    require_open_policy,
    require_policy,
)
from stack_emu.domain.fleet_records import REVOKED, FleetPolicy
from stack_emu.domain.narrowing import require_named
from stack_emu.domain.state import JsonObject, Mission
from stack_emu.kernel.canonical import digest
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context, Refused
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import VOLATILE, Audit, Auth, Command, Reply, Rest, Tool, operation
from stack_emu.kernel.store import replace
from stack_emu.kernel.world import World

_KEY = "Key of the caller's own: repeated with it, the call has its effect once"
_APPROVAL = "Approval id (gvr_…) a refused call was answered with"
Key = Annotated[str, Field(min_length=1, max_length=255), VOLATILE]


def _plain_revision(value: Any) -> Any:
    """``If-Match`` as the SDK sends it is a bare number; an entity tag in quotes means the same."""
    return value.strip().removeprefix("W/").strip('"') if isinstance(value, str) else value


class ActivateFleet(FleetDefinition):
    """The definition of a new policy."""

    idempotency_key: Key = Field(description=_KEY)
    governance_approval_id: str | None = Field(None, description="Approval id; recorded, activating needs none")


class ReviseFleet(FleetDefinition):
    """The definition that takes the place of a policy's present one."""

    policy_id: str = Field(description="Fleet policy id (flp_…)")
    expected_revision: Annotated[int | None, BeforeValidator(_plain_revision)] = Field(
        None, description="Revision the change is made to; needed"
    )
    idempotency_key: Key = Field(description=_KEY)
    governance_approval_id: str | None = Field(None, description=_APPROVAL)


class FleetUsage(Reply):
    """What a fleet has used of its limits."""

    members: int
    active_missions: int
    actions: int
    actions_under_way: int


class FleetReply(Reply):
    """A fleet policy as the API shows it."""

    id: str
    fleet_policy_id: str
    operator_id: str
    name: str
    status: str = Field(description="active or revoked")
    revision: int
    definition: dict[str, Any]
    usage: FleetUsage
    created_at: str
    updated_at: str
    revoked_at: str | None


class FleetDetails(FleetReply):
    """A fleet policy with every revision it had."""

    revisions: list[dict[str, Any]]


class FleetPage(Reply):
    """Fleet policies, newest first."""

    items: list[FleetReply]
    page: int
    limit: int
    total: int


class RevokedFleet(FleetReply):
    """What revoking a policy did."""

    already_revoked: bool
    revoked_members: list[str]
    revoked_missions: list[str]
    revoked_passports: list[str]


def usage_of(world: World, policy: FleetPolicy) -> FleetUsage:
    """What a fleet has used so far, in all its missions."""
    missions = list(world.store.find(Mission, fleet_policy_id=policy.id))
    return FleetUsage(
        members=len(active_members(world, policy.id)),
        active_missions=len(active_missions(world, fleet_policy_id=policy.id)),
        actions=sum(mission.actions for mission in missions),
        actions_under_way=sum(mission.reserved for mission in missions),
    )


def _shown(world: World, policy: FleetPolicy) -> dict[str, Any]:
    return {
        "id": policy.id,
        "fleet_policy_id": policy.id,
        "operator_id": policy.operator_id,
        "name": policy.definition["name"],
        "status": policy.status,
        "revision": policy.revision,
        "definition": dict(policy.definition),
        "usage": usage_of(world, policy),
        "created_at": iso(policy.created_at),
        "updated_at": iso(policy.updated_at),
        "revoked_at": None if policy.revoked_at is None else iso(policy.revoked_at),
    }


def first_revision(definition: JsonObject, policy_id: str, operator_id: str, at_ms: int) -> FleetPolicy:
    """A policy as it is when it was just activated."""
    return FleetPolicy(
        id=policy_id,
        operator_id=operator_id,
        definition=definition,
        created_at=at_ms,
        updated_at=at_ms,
        revisions=(_revision(1, definition, at_ms),),
    )


def _revision(number: int, definition: JsonObject, at_ms: int) -> JsonObject:
    return {"revision": number, "definition": definition, "activated_at": iso(at_ms)}


@operation(
    "fleets.activate",
    rest=Rest(
        "POST",
        "/v1/fleets",
        status=201,
        headers={idempotency.HEADER: "idempotency_key", governance.HEADER: "governance_approval_id"},
    ),
    tool=Tool("stack_activate_fleet", idempotent=True),
    auth=Auth(bearers=ACCOUNT, scope="agents:write", role="standard"),
    audit=Audit("fleet.activate"),
    source="sdk 4.0.0 fleets.activate; what a definition holds and the reply's shape are not published",
    grade="sdk-implied",
)
def activate_fleet(ctx: Context, command: ActivateFleet) -> FleetReply:
    """Activate a fleet policy: agents may enroll under it and start missions within what it allows.

    A policy allows what it names and nothing else. It takes effect at once and waits for nobody; it is revising that
    waits for a human when it widens what enrolled agents may do.

    Raises:
        Fault: NOT_FOUND for a connection, FORBIDDEN for one beyond the key's own, INVALID_REQUEST, IDEMPOTENCY_CONFLICT.
    """
    ctx.row.set(name=command.name, approval=command.governance_approval_id)

    def make() -> FleetReply:
        definition = command.definition()
        _check(ctx, definition)
        policy = first_revision(definition, ctx.act.new_id("fleet-policy", "flp_"), ctx.operator_id, ctx.stamp_ms)
        ctx.world.store.put(replace(policy, made_by=ctx.caller.grant_id))
        return FleetReply(**_shown(ctx.world, policy))

    reply = idempotency.once(ctx, command, command.idempotency_key, FleetReply, make)
    ctx.row.set(fleet=reply.id, revision=reply.revision)
    return reply


def _check(ctx: Context, definition: JsonObject) -> None:
    """Refuse access to connections there are none of, or that the caller may not use itself."""
    for entry in access_of(definition):
        require_named(ctx, entry.reference or "")
        accepted(entry.constraints)
    problem = named_twice(ctx.world, ctx.operator_id, definition)
    if problem is not None:
        raise Fault(faults.INVALID_REQUEST, problem=f"access: {problem}", details={"fields": {"access": problem}})


@operation(
    "fleets.revise",
    rest=Rest(
        "PUT",
        "/v1/fleets/{policy_id}",
        headers={
            "If-Match": "expected_revision",
            idempotency.HEADER: "idempotency_key",
            governance.HEADER: "governance_approval_id",
        },
    ),
    tool=Tool("stack_revise_fleet", idempotent=True),
    auth=Auth(bearers=ACCOUNT, scope="agents:write", role="standard"),
    audit=Audit("fleet.revise"),
    source="sdk 4.0.0 fleets.revise (If-Match); what widens a policy and the reply's shape are not published",
    grade="sdk-implied",
)
def revise_fleet(ctx: Context, command: ReviseFleet) -> FleetReply | Refused:
    """Give a policy another definition. Missions that run keep the access and the limits they were started with.

    A revision that only narrows takes effect at once. One that allows more than before waits for a human, unless it
    is made in a dashboard session.

    Raises:
        Fault: NOT_FOUND, PRECONDITION_REQUIRED without a revision, PRECONDITION_FAILED for another than the present
            one, FLEET_REVOKED, GOVERNANCE_APPROVAL_REQUIRED, IDEMPOTENCY_CONFLICT, or what activating raises.
    """
    ctx.row.set(fleet=command.policy_id, name=command.name)
    policy = require_policy(ctx, command.policy_id)
    try:
        reply = idempotency.once(
            ctx, command, command.idempotency_key, FleetReply, lambda: _revise(ctx, command, policy)
        )
    except _Waiting as waiting:
        return waiting.refused
    ctx.row.set(revision=reply.revision)
    return reply


class _Waiting(Exception):
    """The change waits for a human; what it is waited with is kept."""

    def __init__(self, refused: Refused) -> None:
        super().__init__()
        self.refused = refused


def _revise(ctx: Context, command: ReviseFleet, policy: FleetPolicy) -> FleetReply:
    require_open_policy(ctx, policy.id)
    what, present, expected = f"Fleet policy {policy.id}", policy.revision, command.expected_revision
    if expected is None:
        raise Fault(faults.PRECONDITION_REQUIRED, what=what, current_revision=present)
    if expected != present:
        raise Fault(faults.PRECONDITION_FAILED, what=what, current_revision=present, expected_revision=expected)
    definition = command.definition()
    _check(ctx, definition)
    wider = widenings(policy.definition, definition)
    if wider:
        waiting = governance.gate(
            ctx,
            subject=f"{policy.id}@{present}:{digest(definition)[:16]}",  # an approval is for this very definition
            change=f"Revising {policy.id} ({'; '.join(wider)})",
            approval_id=command.governance_approval_id,
        )
        if waiting is not None:
            raise _Waiting(waiting)
    revised = replace(
        policy,
        definition=definition,
        revision=present + 1,
        revisions=(*policy.revisions, _revision(present + 1, definition, ctx.stamp_ms)),
        updated_at=ctx.stamp_ms,
    )
    ctx.world.store.put(revised)
    return FleetReply(**_shown(ctx.world, revised))


class ListFleets(Command):
    """Which policies to list."""

    page: int | None = Field(None, ge=1, description="Page from 1; with it or limit the reply is an object")
    limit: int | None = Field(None, ge=1, le=100, description="Policies on a page, at most 100; 20 when left out")


@operation(
    "fleets.list",
    rest=Rest("GET", "/v1/fleets"),
    tool=Tool("stack_list_fleets"),
    auth=Auth(bearers=ACCOUNT_AND_AGENT, scope="agents:read"),
    source="sdk 4.0.0 fleets.list, list_page; the items' shape is not published",
    grade="sdk-implied",
)
def list_fleets(ctx: Context, command: ListFleets) -> list[FleetReply] | FleetPage:
    """List fleet policies, newest first: an array, or a page of it with page or limit. An agent sees its own."""
    found = list(ctx.world.store.find(FleetPolicy, operator_id=ctx.operator_id))
    shown = [policy for policy in reversed(found) if is_visible_policy(ctx, policy)]
    if command.page is None and command.limit is None:
        return [FleetReply(**_shown(ctx.world, policy)) for policy in shown]
    page, limit = command.page or 1, command.limit or 20
    items = [FleetReply(**_shown(ctx.world, policy)) for policy in shown[(page - 1) * limit : page * limit]]
    return FleetPage(items=items, page=page, limit=limit, total=len(shown))


@operation(
    "fleets.get",
    rest=Rest("GET", "/v1/fleets/{policy_id}"),
    tool=Tool("stack_get_fleet"),
    auth=Auth(bearers=ACCOUNT_AND_AGENT, scope="agents:read"),
    source="sdk 4.0.0 fleets.get; the shape is not published",
    grade="sdk-implied",
)
def get_fleet(ctx: Context, command: PolicyById) -> FleetDetails:
    """Read a fleet policy with its revisions and what the fleet has used. An agent reads the one it is a member of.

    Raises:
        Fault: NOT_FOUND.
    """
    policy = require_policy(ctx, command.policy_id)
    return FleetDetails(**_shown(ctx.world, policy), revisions=[dict(one) for one in policy.revisions])


@operation(
    "fleets.revoke",
    rest=Rest("POST", "/v1/fleets/{policy_id}/revoke"),
    tool=Tool("stack_revoke_fleet", destructive=True, idempotent=True),
    auth=Auth(bearers=ACCOUNT, scope="agents:write", role="standard"),
    audit=Audit("fleet.revoke"),
    source="sdk 4.0.0 fleets.revoke; the reply's shape is not published",
    grade="sdk-implied",
)
def revoke_fleet(ctx: Context, command: PolicyById) -> RevokedFleet:
    """Revoke a policy: nobody enrolls under it any more, and every member is taken out of the fleet.

    Revoking it again changes nothing and says so.

    Raises:
        Fault: NOT_FOUND.
    """
    ctx.row.set(fleet=command.policy_id)
    policy = require_policy(ctx, command.policy_id)
    ctx.row.set(name=policy.definition["name"])
    if policy.status == REVOKED:
        return _revoked(ctx.world, policy, True, [], [], [])
    done = ctx.world.store.put(replace(policy, status=REVOKED, revoked_at=ctx.stamp_ms, updated_at=ctx.stamp_ms))
    members = sorted(active_members(ctx.world, policy.id), key=lambda member: member.id)
    missions: list[str] = []
    passports: list[str] = []
    for member in members:
        ended, revoked = expel(ctx.world, ctx.act, member, ctx.act.also("fleet.member.revoke"))
        missions += ended
        passports += revoked
    ctx.row.set(revoked_members=len(members), revoked_missions=len(missions), revoked_passports=len(passports))
    return _revoked(ctx.world, done, False, [member.id for member in members], missions, passports)


def _revoked(
    world: World, policy: FleetPolicy, already: bool, members: list[str], missions: list[str], passports: list[str]
) -> RevokedFleet:
    return RevokedFleet(
        **_shown(world, policy),
        already_revoked=already,
        revoked_members=members,
        revoked_missions=missions,
        revoked_passports=passports,
    )
