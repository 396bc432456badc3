"""Enrolling under a fleet policy: an agent comes into being together with the key it proves to hold.

The exchange and the fields are those of SDK 4.0.0 ``fleets.enroll_local`` and ``enroll_workload_local``: ask for a
challenge, sign its UTF-8 bytes, send name, key and signature with an idempotency key. There are two ways in. ``enroll``
takes an account's credential. ``workload/enroll`` also takes a fleet session, which lets a workload enroll itself and
do nothing else; what a session is good for is published nowhere (``fleets.session`` only says what is sent).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from stack_emu.domain import faults
from stack_emu.domain.agents import AgentName, check_name, check_tier
from stack_emu.domain.authentication import ACCOUNT, FLEET, FLEET_SESSION_PREFIX, key_digest
from stack_emu.domain.enrollment import PublicKey, public_bytes, signed
from stack_emu.domain.fleet_definitions import modes_of
from stack_emu.domain.fleet_members import PolicyById, active_members, is_gone, require_open_policy
from stack_emu.domain.fleet_records import (
    OPERATOR_MODE,
    REVOKED,
    WORKLOAD_MODE,
    FleetChallenge,
    FleetMember,
    FleetPolicy,
    FleetSession,
)
from stack_emu.domain.secret_kinds import FLEET_SESSION
from stack_emu.domain.state import Agent
from stack_emu.domain.tokens import base64url
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import VOLATILE, Audit, Auth, Command, Reply, Rest, Tool, operation
from stack_emu.kernel.store import replace

CHALLENGE_MS = 5 * 60 * 1000
SESSION_MS = 60 * 60 * 1000
_OPERATOR = Auth(bearers=ACCOUNT, scope="agents:write", role="standard")
_WORKLOAD = Auth(bearers=ACCOUNT | {FLEET}, scope="agents:write", role="standard")
_ROUTES = {OPERATOR_MODE: "enroll", WORKLOAD_MODE: "workload/enroll"}


class OpenSession(Command):
    """Which policy a session is for."""

    fleet_policy_id: str | None = Field(
        None, description="The one policy workloads may enroll under (flp_…); every one of the account when left out"
    )


class SessionReply(Reply):
    """A credential to enroll workloads with."""

    session_token: str = Field(description="Bearer for the two workload enrollment routes; shown once")
    token_type: str
    fleet_policy_id: str | None
    expires_at: str
    expires_in: int


@operation(
    "fleets.session",
    rest=Rest("POST", "/v1/fleets/session", status=201),
    tool=Tool("stack_create_fleet_session"),
    auth=_OPERATOR,
    audit=Audit("fleet.session"),
    source="sdk 4.0.0 fleets.session (what is sent); what a session is good for and its shape are not published",
    grade="sdk-implied",
)
def open_session(ctx: Context, command: OpenSession) -> SessionReply:
    """Make a credential with which workloads enroll themselves, and which is good for nothing else, for an hour.

    Raises:
        Fault: NOT_FOUND or FLEET_REVOKED for the policy, FORBIDDEN for one that closes this way in.
    """
    ctx.row.set(fleet=command.fleet_policy_id)
    if command.fleet_policy_id is not None:
        _require_open_way(require_open_policy(ctx, command.fleet_policy_id), WORKLOAD_MODE)
    elif ctx.caller.allowed_connections is not None:  # a grant's token has such limits too
        reason = "A key limited to connections makes sessions for one fleet policy at a time; name it: fleet_policy_id"
        raise Fault(faults.FORBIDDEN, reason=reason)
    token = FLEET_SESSION_PREFIX + base64url(ctx.act.new_bytes("fleet-session"))
    name = f"fleet-session:{command.fleet_policy_id or ctx.operator_id}"
    ctx.world.redactor.add(token, name, FLEET_SESSION)
    expires = ctx.now_ms + SESSION_MS
    ctx.world.store.put(FleetSession(key_digest(token), ctx.operator_id, command.fleet_policy_id, expires))
    return SessionReply(
        session_token=token,
        token_type="Bearer",  # noqa: S106 - the kind of token, not one
        fleet_policy_id=command.fleet_policy_id,
        expires_at=iso(expires),
        expires_in=SESSION_MS // 1000,
    )


def _require_open_way(policy: FleetPolicy, mode: str) -> None:
    modes = modes_of(policy.definition)
    if mode not in modes:
        left = " or ".join(f"POST /v1/fleets/{policy.id}/{_ROUTES[one]}" for one in modes) or "no way; revise it"
        reason = f"Fleet policy {policy.id} does not take {mode} enrollments; it leaves open: {left}"
        raise Fault(faults.FORBIDDEN, reason=reason)


class FleetChallengeReply(Reply):
    """A challenge to sign."""

    challenge_id: str
    challenge: str
    fleet_policy_id: str
    expires_at: str


def _challenge(ctx: Context, command: PolicyById, mode: str) -> FleetChallengeReply:
    ctx.row.set(fleet=command.policy_id)
    policy = require_open_policy(ctx, command.policy_id)
    _require_open_way(policy, mode)
    made = FleetChallenge(
        id=ctx.act.new_id("fleet-challenge", "fch_"),
        operator_id=ctx.operator_id,
        policy_id=policy.id,
        mode=mode,
        challenge="stack-fleet-enroll:" + base64url(ctx.act.new_bytes("challenge")),
        expires_at=ctx.now_ms + CHALLENGE_MS,
    )
    ctx.world.store.put(made)
    return FleetChallengeReply(
        challenge_id=made.id, challenge=made.challenge, fleet_policy_id=policy.id, expires_at=iso(made.expires_at)
    )


@operation(
    "fleets.enrollment_challenge",
    rest=Rest("POST", "/v1/fleets/{policy_id}/enrollment-challenges"),
    tool=Tool("stack_create_fleet_enrollment_challenge"),
    auth=_OPERATOR,
    audit=Audit("fleet.enrollment_challenge"),
    source="sdk 4.0.0 fleets.enrollment_challenge, enroll_local",
    grade="sdk-implied",
)
def create_challenge(ctx: Context, command: PolicyById) -> FleetChallengeReply:
    """Ask for a challenge to enroll an agent under a policy with the account's credential. It is good once, for 5 min.

    Raises:
        Fault: NOT_FOUND, FLEET_REVOKED, FORBIDDEN for a policy that closes this way in.
    """
    return _challenge(ctx, command, OPERATOR_MODE)


@operation(
    "fleets.workload_enrollment_challenge",
    rest=Rest("POST", "/v1/fleets/{policy_id}/workload/enrollment-challenges"),
    tool=Tool("stack_create_workload_enrollment_challenge"),
    auth=_WORKLOAD,
    audit=Audit("fleet.enrollment_challenge"),
    source="sdk 4.0.0 fleets.workload_enrollment_challenge, enroll_workload_local",
    grade="sdk-implied",
)
def create_workload_challenge(ctx: Context, command: PolicyById) -> FleetChallengeReply:
    """Ask for a challenge to enroll a workload under a policy. It is good once, for 5 min.

    Raises:
        Fault: NOT_FOUND, FLEET_REVOKED, FORBIDDEN for a policy that closes this way in.
    """
    return _challenge(ctx, command, WORKLOAD_MODE)


class EnrollInFleet(PolicyById):
    """Who enrolls, and the proof that it holds its key."""

    name: AgentName = Field(description="Unique name of the agent: lower-case letters, digits and hyphens")
    idempotency_key: Annotated[str, VOLATILE] = Field(
        min_length=1, max_length=255, description="The same key with the same public key is the same agent"
    )
    public_key: Annotated[PublicKey, VOLATILE] = Field(description="The agent's public key as a JWK")
    challenge_id: Annotated[str, VOLATILE] = Field(description="Id of the challenge that was signed")
    proof: Annotated[str, VOLATILE] = Field(
        description="Ed25519 signature over the UTF-8 bytes of the challenge, base64url"
    )


class EnrolledMember(Reply):
    """The agent that enrolled."""

    agent_id: str
    fleet_policy_id: str
    name: str
    revision: int
    enrolled: bool
    already_enrolled: bool = Field(description="Whether it was enrolled with this idempotency key before")
    enrolled_at: str
    public_key: dict[str, str]


@operation(
    "fleets.enroll",
    rest=Rest("POST", "/v1/fleets/{policy_id}/enroll"),
    tool=Tool("stack_enroll_fleet_agent"),
    auth=_OPERATOR,
    audit=Audit("fleet.enroll"),
    creates=lambda reply: reply.agent_id,
    source="sdk 4.0.0 fleets.enroll, enroll_local; the reply's shape but for agent_id is not published",
    grade="sdk-implied",
)
def enroll(ctx: Context, command: EnrollInFleet) -> EnrolledMember:
    """Enroll an agent under a policy with the account's credential: it is registered, and its key signs at once.

    Raises:
        Fault: NOT_FOUND for the policy or the challenge, FLEET_REVOKED, FLEET_LIMIT_EXCEEDED, TIER_LIMIT_EXCEEDED,
            CONFLICT for a name, a key or an idempotency key in use, FORBIDDEN for a member that was taken out,
            INVALID_REQUEST for a used or expired challenge, a key that is none, or a proof that key did not make.
    """
    return _enroll(ctx, command, OPERATOR_MODE)


@operation(
    "fleets.enroll_workload",
    rest=Rest("POST", "/v1/fleets/{policy_id}/workload/enroll"),
    tool=Tool("stack_enroll_workload"),
    auth=_WORKLOAD,
    audit=Audit("fleet.enroll"),
    creates=lambda reply: reply.agent_id,
    source="sdk 4.0.0 fleets.enroll_workload, enroll_workload_local; the reply's shape but for agent_id is not published",
    grade="sdk-implied",
)
def enroll_workload(ctx: Context, command: EnrollInFleet) -> EnrolledMember:
    """Enroll a workload under a policy, with a fleet session or the account's credential.

    Raises:
        Fault: as enrolling an agent.
    """
    return _enroll(ctx, command, WORKLOAD_MODE)


def _enroll(ctx: Context, command: EnrollInFleet, mode: str) -> EnrolledMember:
    ctx.row.set(fleet=command.policy_id, name=command.name, enrollment=mode)
    policy = require_open_policy(ctx, command.policy_id)
    _require_open_way(policy, mode)
    x = base64url(public_bytes(command.public_key))
    known = _known(ctx, policy, command.idempotency_key)
    challenge = _open_challenge(ctx, policy, mode, command.challenge_id, known)
    if not signed(public_bytes(command.public_key), challenge.challenge, command.proof):
        raise _invalid("proof", "it was not made by this key over the UTF-8 bytes of the challenge")
    if known is not None:
        member = _again(ctx, policy, known, x)
    else:
        member = _admit(ctx, policy, command, mode, x)
    ctx.world.store.put(replace(challenge, used_by=member.id))
    ctx.row.set(repeated=known is not None or None)
    return EnrolledMember(
        agent_id=member.id,
        fleet_policy_id=policy.id,
        name=member.name,
        revision=policy.revision,
        enrolled=True,
        already_enrolled=known is not None,
        enrolled_at=iso(member.enrolled_at),
        public_key={"kty": "OKP", "crv": "Ed25519", "x": x},
    )


def _known(ctx: Context, policy: FleetPolicy, idempotency_key: str) -> FleetMember | None:
    found = ctx.world.store.find(FleetMember, policy_id=policy.id, idempotency_key=idempotency_key)
    return next(found, None)


def _open_challenge(
    ctx: Context, policy: FleetPolicy, mode: str, challenge_id: str, known: FleetMember | None
) -> FleetChallenge:
    found = ctx.world.store.get(FleetChallenge, challenge_id)
    if found is None or found.policy_id != policy.id:
        raise Fault(faults.NOT_FOUND, what="Enrollment challenge", id=challenge_id)
    if found.mode != mode:
        raise _invalid("challenge_id", f"this challenge is for POST /v1/fleets/{policy.id}/{_ROUTES[found.mode]}")
    # Whoever repeats an enrollment whose answer was lost sends the challenge it used up.
    if found.used_by is not None and (known is None or found.used_by != known.id):
        raise _invalid("challenge_id", "this challenge was used before; ask for a fresh one")
    if found.expires_at <= ctx.now_ms:
        raise _invalid("challenge_id", f"this challenge expired at {iso(found.expires_at)}; ask for a fresh one")
    return found


def _again(ctx: Context, policy: FleetPolicy, member: FleetMember, x: str) -> FleetMember:
    if member.public_key != x:
        problem = "This idempotency_key enrolled another public key before; use a key of its own for each agent"
        raise Fault(faults.CONFLICT, problem=problem)
    _refuse_revoked(policy, member)
    if is_gone(ctx.world, member):
        problem = f"Agent {member.id}, which this idempotency_key enrolled, was deleted; enroll with another one"
        raise Fault(faults.CONFLICT, problem=problem)
    ctx.row.set(agent_id=member.id)
    return member


def _refuse_revoked(policy: FleetPolicy, member: FleetMember) -> None:
    if member.status == REVOKED:
        reason = f"The membership of {member.id} was revoked; it does not enroll again, under {policy.id} or any other"
        raise Fault(faults.FORBIDDEN, reason=reason)


def _admit(ctx: Context, policy: FleetPolicy, command: EnrollInFleet, mode: str, x: str) -> FleetMember:
    for other in ctx.world.store.find(FleetMember, public_key=x, operator_id=ctx.operator_id):
        _refuse_revoked(policy, other)
        if not is_gone(ctx.world, other):
            raise Fault(faults.CONFLICT, problem=f"This public key is the key of {other.id}; give each agent its own")
    check_name(ctx, command.name)
    used = len(active_members(ctx.world, policy.id))
    limit = (policy.definition.get("limits") or {}).get("max_members")
    if limit is not None and used >= limit:
        raise Fault(faults.FLEET_LIMIT_EXCEEDED, policy_id=policy.id, limit=limit, what="members", used=used)
    check_tier(ctx)
    agent = Agent(
        id=ctx.act.new_id("agent", "agt_"),
        operator_id=ctx.operator_id,
        name=command.name,
        accountability_mode=policy.definition.get("accountability_mode") or "enforced",
        public_key=x,
        enrolled_at=ctx.stamp_ms,
        created_at=ctx.stamp_ms,
        updated_at=ctx.stamp_ms,
        made_by=policy.made_by,
    )
    ctx.world.store.put(agent)
    ctx.row.set(agent_id=agent.id)
    member = FleetMember(
        id=agent.id,
        operator_id=ctx.operator_id,
        policy_id=policy.id,
        name=command.name,
        mode=mode,
        idempotency_key=command.idempotency_key,
        public_key=x,
        enrolled_at=ctx.stamp_ms,
    )
    return ctx.world.store.put(member)


def _invalid(field: str, problem: str) -> Fault:
    return Fault(faults.INVALID_REQUEST, details={"fields": {field: problem}}, problem=f"{field}: {problem}")
