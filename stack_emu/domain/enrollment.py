"""Enrollment: an agent proves that it holds an Ed25519 key, which then signs its requests (docs/security/agent-keys).

The exchange is that of SDK 4.0.0 ``agent_auth._enroll``: ask for a challenge, sign its UTF-8 bytes, send the public key
with the signature. The credential is the account's, or a single-use enrollment ticket that a human approved.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from stack_emu.domain import faults
from stack_emu.domain.agents import AgentById, own_agent_only, require_agent, subject_agent
from stack_emu.domain.authentication import ACCOUNT, TICKET, key_digest
from stack_emu.domain.secret_kinds import ENROLLMENT
from stack_emu.domain.state import EnrollmentChallenge, EnrollmentTicket
from stack_emu.domain.tokens import base64url, unbase64url
from stack_emu.kernel.acts import Act
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import VOLATILE, Audit, Auth, Command, Reply, Rest, Tool, operation
from stack_emu.kernel.store import replace
from stack_emu.kernel.world import World

CHALLENGE_MS = 5 * 60 * 1000
TICKET_MS = 5 * 60 * 1000
_ENROLL = Auth(bearers=ACCOUNT | {TICKET}, scope="agents:write", role="standard", narrow=own_agent_only)


class ChallengeReply(Reply):
    """A challenge to sign."""

    challenge_id: str
    challenge: str
    expires_at: str


@operation(
    "agents.create_enrollment_challenge",
    rest=Rest("POST", "/v1/agents/{agent_id}/enrollment-challenge"),
    tool=Tool("stack_create_enrollment_challenge"),
    auth=_ENROLL,
    audit=Audit("agent.enrollment_challenge"),
    subject=subject_agent,
    source="sdk 4.0.0 agent_auth._enroll; docs/security/agent-keys",
    grade="documented",
)
def create_challenge(ctx: Context, command: AgentById) -> ChallengeReply:
    """Ask for a challenge. It is good once, for five minutes, for this agent.

    Raises:
        Fault: NOT_FOUND.
    """
    agent = require_agent(ctx.world, ctx.operator_id, command.agent_id)
    challenge = EnrollmentChallenge(
        id=ctx.act.new_id("enrollment-challenge", "ech_"),
        agent_id=agent.id,
        challenge="stack-enroll:" + base64url(ctx.act.new_bytes("challenge")),
        expires_at=ctx.now_ms + CHALLENGE_MS,
    )
    ctx.world.store.put(challenge)
    ctx.row.set(agent_id=agent.id)
    return ChallengeReply(
        challenge_id=challenge.id, challenge=challenge.challenge, expires_at=iso(challenge.expires_at)
    )


class PublicKey(Command):
    """An Ed25519 public key as a JWK."""

    kty: str = Field("OKP", description="Key type: OKP")
    crv: str = Field("Ed25519", description="Curve: Ed25519")
    x: str = Field(description="The 32 bytes of the public key, base64url")
    d: str | None = Field(None, description="The private half must stay with the agent: a key that has it is refused")


class EnrollAgent(Command):
    """The proof that an agent holds a key."""

    agent_id: str = Field(description="Agent id (agt_…)")
    public_key: Annotated[PublicKey, VOLATILE] = Field(description="The agent's public key as a JWK")
    challenge_id: str = Field(description="Id of the challenge that was signed")
    signed_challenge: Annotated[str, VOLATILE] = Field(
        description="Ed25519 signature over the UTF-8 bytes of the challenge, base64url"
    )


class EnrolledReply(Reply):
    """The key an agent signs with from now on."""

    agent_id: str
    enrolled: bool
    enrolled_at: str
    public_key: dict[str, str]


@operation(
    "agents.enroll",
    rest=Rest("POST", "/v1/agents/{agent_id}/enroll"),
    tool=Tool("stack_enroll_agent"),
    auth=_ENROLL,
    audit=Audit("agent.enroll"),
    subject=subject_agent,
    source="sdk 4.0.0 agent_auth._enroll; docs/security/agent-keys",
    grade="documented",
)
def enroll(ctx: Context, command: EnrollAgent) -> EnrolledReply:
    """Enroll an agent's key. A key enrolled before stops working.

    Raises:
        Fault: NOT_FOUND for the agent or the challenge, INVALID_REQUEST for a used or expired challenge, a key that is
            no Ed25519 public key, or a signature that key did not make.
    """
    agent = require_agent(ctx.world, ctx.operator_id, command.agent_id)
    ctx.row.set(agent_id=agent.id, re_enrolled=True if agent.public_key else None)
    challenge = _open_challenge(ctx, agent.id, command.challenge_id)
    x = public_bytes(command.public_key)
    if not signed(x, challenge.challenge, command.signed_challenge):
        problem = "the signature was not made by this key over the UTF-8 bytes of the challenge"
        raise _invalid("signed_challenge", problem)
    ctx.world.store.put(replace(challenge, used=True))
    _use_up_ticket(ctx)
    ctx.world.store.put(replace(agent, public_key=base64url(x), enrolled_at=ctx.stamp_ms, updated_at=ctx.stamp_ms))
    public = {"kty": "OKP", "crv": "Ed25519", "x": base64url(x)}
    return EnrolledReply(agent_id=agent.id, enrolled=True, enrolled_at=iso(ctx.stamp_ms), public_key=public)


def issue_ticket(world: World, act: Act, operator_id: str, agent_id: str) -> str:
    """A single-use ticket that may enroll one agent's key within five minutes, as a human's approval gives it.

    Args:
        world: the world; a transaction is open.
        act: the act of the approval.
        operator_id: the account.
        agent_id: the agent.

    Raises:
        Fault: NOT_FOUND for an unknown agent.
    """
    agent = require_agent(world, operator_id, agent_id)
    ticket = "tkt_" + base64url(act.new_bytes("enrollment-ticket"))
    world.redactor.add(ticket, f"enrollment-ticket:{agent.id}", ENROLLMENT)
    world.store.put(EnrollmentTicket(key_digest(ticket), operator_id, agent.id, act.now_ms + TICKET_MS))
    return ticket


def _open_challenge(ctx: Context, agent_id: str, challenge_id: str) -> EnrollmentChallenge:
    challenge = ctx.world.store.get(EnrollmentChallenge, challenge_id)
    if challenge is None or challenge.agent_id != agent_id:
        raise Fault(faults.NOT_FOUND, what="Enrollment challenge", id=challenge_id)
    if challenge.used:
        raise _invalid("challenge_id", "this challenge was used before; ask for a fresh one")
    if challenge.expires_at <= ctx.now_ms:
        raise _invalid("challenge_id", f"this challenge expired at {iso(challenge.expires_at)}; ask for a fresh one")
    return challenge


def public_bytes(key: PublicKey) -> bytes:
    """The 32 bytes of an Ed25519 public key.

    Raises:
        Fault: INVALID_REQUEST when it is none, or has its private half.
    """
    if (key.kty, key.crv) != ("OKP", "Ed25519"):
        raise _invalid("public_key", f"the key is {key.kty}/{key.crv}; an Ed25519 JWK (kty OKP) is needed")
    if key.d is not None:
        raise _invalid("public_key", "the key has its private half d; send kty, crv and x only")
    raw = _decoded(key.x)
    if raw is None or len(raw) != 32:
        raise _invalid("public_key", "x must be the 32 bytes of an Ed25519 public key in base64url")
    return raw


def signed(x: bytes, challenge: str, signature: str) -> bool:
    """Whether a base64url signature was made by the key with these bytes over the UTF-8 bytes of a challenge."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(x).verify(_decoded(signature) or b"", challenge.encode("utf-8"))
    except (InvalidSignature, ValueError):
        return False
    return True


def _decoded(text: str) -> bytes | None:
    try:
        return unbase64url(text)
    except ValueError:
        return None


def _use_up_ticket(ctx: Context) -> None:
    if ctx.caller.kind != TICKET:
        return
    for ticket in list(ctx.world.store.find(EnrollmentTicket, agent_id=ctx.caller.agent_id)):
        ctx.world.store.delete(EnrollmentTicket, ticket.id)


def _invalid(field: str, problem: str) -> Fault:
    return Fault(faults.INVALID_REQUEST, details={"fields": {field: problem}}, problem=f"{field}: {problem}")
