"""Who is behind a bearer: operator key, member key, agent JWT, passport, ticket, session or OAuth token.

Kinds of bearer are told apart by their form, as docs/api/authentication describes: ``sk_`` keys by lookup, JWTs by their
audience.
"""

from __future__ import annotations

import hashlib
from typing import Any

from stack_emu.domain import faults
from stack_emu.domain.fleet_records import FleetSession
from stack_emu.domain.state import Agent, AgentTokenUse, ApiKey, Connection, EnrollmentTicket, Passport
from stack_emu.domain.tokens import AGENT_AUDIENCE, TokenError, decode_agent_token, signer, unverified_claims
from stack_emu.kernel.clock import iso
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import ANONYMOUS, Auth, Caller
from stack_emu.kernel.world import World

OPERATOR, MEMBER, AGENT, PASSPORT = "operator", "member", "agent", "passport"
OAUTH, SESSION, TICKET, FLEET = "oauth", "session", "ticket", "fleet"
ACCOUNT = frozenset({OPERATOR, MEMBER, OAUTH, SESSION})
ACCOUNT_AND_AGENT = ACCOUNT | {AGENT}
ANY_BEARER = ACCOUNT_AND_AGENT | {PASSPORT}
PUBLIC = Auth(bearers=frozenset())

AGENT_JWT_SECONDS = 60
FLEET_SESSION_PREFIX = "fls_"
ACCESS_TOKEN_PREFIX = "oat_"  # noqa: S105
_LEEWAY_SECONDS = 5


def key_digest(key: str) -> str:
    """How a key is stored: its SHA-256 in hex."""
    return hashlib.sha256(key.encode("utf-8")).hexdigest()


def authenticate(world: World, bearer: str | None, *, single_use: bool = True) -> Caller:
    """Resolve a bearer to its caller.

    Args:
        world: the world asked.
        bearer: the text after ``Bearer``, or None.
        single_use: whether presenting an agent JWT spends it; one that is spent already is refused either way.

    Returns:
        The caller; ``ANONYMOUS`` when there is no bearer.

    Raises:
        Fault: INVALID_API_KEY, UNAUTHORIZED, PASSPORT_EXPIRED or PASSPORT_REVOKED, with what would have worked.
    """
    if not bearer:
        return ANONYMOUS
    if bearer.count(".") == 2 and not bearer.startswith("sk_"):
        return _token_caller(world, bearer, single_use)
    if bearer.startswith("tkt_"):
        return _ticket_caller(world, bearer)
    if bearer.startswith(FLEET_SESSION_PREFIX):
        return _fleet_caller(world, bearer)
    if bearer.startswith(ACCESS_TOKEN_PREFIX):
        return _oauth_caller(world, bearer)
    if bearer.startswith("sk_grant_"):
        return _grant_caller(world, bearer)
    # The lookup is by digest: how long it takes says nothing about the characters of a key.
    key = world.store.get(ApiKey, key_digest(bearer))
    if key is None or key.revoked:
        raise Fault(faults.INVALID_API_KEY, hint="Use a key of the scenario's operator, as `stack-emu env` prints it.")
    return Caller(
        kind=OPERATOR if key.role == "operator" else MEMBER,
        operator_id=key.operator_id,
        lane=f"key:{key.label or key.position}",
        member_id=key.member_id,
        role=key.role,
        allowed_connections=None if key.allowed_connections is None else frozenset(key.allowed_connections),
    )


def _ticket_caller(world: World, bearer: str) -> Caller:
    ticket = world.store.get(EnrollmentTicket, key_digest(bearer))
    if ticket is None or ticket.expires_at <= world.now_ms():
        hint = "The enrollment ticket is unknown, used or older than 5 min; have the enrollment approved again."
        raise Fault(faults.UNAUTHORIZED, hint=hint)
    return Caller(TICKET, ticket.operator_id, f"agent:{ticket.agent_id}", agent_id=ticket.agent_id, role="standard")


def _fleet_caller(world: World, bearer: str) -> Caller:
    session = world.store.get(FleetSession, key_digest(bearer))
    if session is None or session.expires_at <= world.now_ms():
        hint = "The fleet session is unknown or has expired; make another one with POST /v1/fleets/session."
        raise Fault(faults.UNAUTHORIZED, hint=hint)
    lane = f"fleet:{session.policy_id}" if session.policy_id is not None else "fleet"
    return Caller(FLEET, session.operator_id, lane, role="standard", bound_to=session.policy_id)


def _oauth_caller(world: World, bearer: str) -> Caller:
    """The account that agreed, as far as the token's scopes reach."""
    from stack_emu.domain.oauth_records import AccessToken, OAuthGrant

    token = world.store.get(AccessToken, key_digest(bearer))
    if token is None:
        hint = "The access token is unknown here, was revoked, or expired long ago; refresh it, or sign in again."
        raise Fault(faults.UNAUTHORIZED, hint=hint)
    grant = world.store.get(OAuthGrant, token.grant_id)
    if grant is None or grant.revoked_at is not None:
        raise Fault(faults.UNAUTHORIZED, hint="The access token's authorization was revoked; sign in again.")
    if token.expires_at <= world.now_ms():
        hint = f"The access token expired at {iso(token.expires_at)}; refresh it at /oauth/token."
        raise Fault(faults.UNAUTHORIZED, hint=hint)
    return Caller(OAUTH, grant.operator_id, f"oauth:{grant.client_id}", scopes=frozenset(token.scopes))


def _grant_caller(world: World, bearer: str) -> Caller:
    """The holder of a partner's grant token: the customer's account, as far as the grant's scopes and makings reach."""
    from stack_emu.domain.partners import ConnectGrant

    grant = next(world.store.find(ConnectGrant, token=key_digest(bearer)), None)
    if grant is None:
        raise Fault(faults.INVALID_API_KEY, hint="The grant token is unknown, or was rotated; use the newest one.")
    if grant.status != "active":
        what = "waits for the account's consent" if grant.status == "pending_consent" else f"was {grant.status}"
        raise Fault(faults.UNAUTHORIZED, hint=f"Grant {grant.id} {what}; its token lets nobody in.")
    made = world.store.find(Connection, operator_id=grant.operator_id)
    return Caller(
        kind=OAUTH,
        operator_id=grant.operator_id,
        lane=f"grant:{grant.id}",
        role="standard",
        scopes=frozenset(grant.scopes),
        allowed_connections=frozenset(one.id for one in made if one.connected_by == grant.id),
        grant_id=grant.id,
    )


def _token_caller(world: World, token: str, single_use: bool) -> Caller:
    if signer(world).verified(token) is None:
        try:
            claims = unverified_claims(token)
        except TokenError as error:
            raise Fault(faults.UNAUTHORIZED, hint=f"The bearer looks like a JWT but is not one: {error}.") from None
        audience = claims.get("aud")
        if audience == AGENT_AUDIENCE or (isinstance(audience, list) and AGENT_AUDIENCE in audience):
            return _agent_caller(world, token, claims, single_use)
    passport = live_passport(world, token)
    return Caller(
        kind=PASSPORT,
        operator_id=passport.operator_id,
        lane=f"agent:{passport.agent_id}/passport:{passport.id}",
        agent_id=passport.agent_id,
        passport_jti=passport.id,
        role="standard",
        allowed_connections=frozenset(scope.connection_id for scope in passport.services),
    )


def _agent_caller(world: World, token: str, claims: Any, single_use: bool) -> Caller:
    agent = world.store.get(Agent, str(claims.get("sub")))
    if agent is None or agent.deleted or agent.public_key is None:
        raise Fault(faults.UNAUTHORIZED, hint=f"Agent {claims.get('sub')} has no enrolled key; enroll it first.")
    try:
        verified = decode_agent_token(token, agent.public_key)
    except TokenError as error:
        raise Fault(faults.UNAUTHORIZED, hint=f"The agent JWT was refused: {error}.") from None
    _check_agent_times(world, verified)
    if agent.status != "active":
        raise Fault(faults.FORBIDDEN, reason=f"Agent {agent.id} is {agent.status}; activate it first")
    use = AgentTokenUse(f"{agent.id}/{verified['jti']}", int(verified["exp"]) * 1000)
    if world.store.get(AgentTokenUse, use.id) is not None:
        raise Fault(faults.UNAUTHORIZED, hint="This agent JWT was used before; sign a fresh one for each request.")
    if single_use:
        world.store.put(use)
    return Caller(AGENT, agent.operator_id, f"agent:{agent.id}", agent_id=agent.id, role="standard")


def _check_agent_times(world: World, claims: Any) -> None:
    issued, expires = int(claims["iat"]), int(claims["exp"])
    begins = max(issued, int(claims.get("nbf", issued)))
    if begins > expires:
        raise Fault(faults.UNAUTHORIZED, hint="The agent JWT ends before it begins; exp comes after iat and nbf.")
    if expires - issued > AGENT_JWT_SECONDS + _LEEWAY_SECONDS:
        raise Fault(
            faults.UNAUTHORIZED, hint=f"An agent JWT lives {AGENT_JWT_SECONDS} s; this one has {expires - issued}."
        )
    if world.clock.virtual:
        return  # the client signs with its own wall clock, which a virtual clock says nothing about
    now = world.now_ms() / 1000
    offset = getattr(world.clock, "offset_ms", 0) / 1000
    if now - offset > expires + _LEEWAY_SECONDS or begins > now - offset + _LEEWAY_SECONDS:
        raise Fault(faults.UNAUTHORIZED, hint="The agent JWT is outside its 60 s; check the client's clock.")


def refused_holder(world: World, bearer: str | None) -> Caller | None:
    """The holder of a passport of this world that may not be used any more, so that its refusal gets a row in its lane.

    None for every other bearer: nobody's chain is written on for a credential this world never gave out.
    """
    if not bearer or bearer.count(".") != 2:
        return None
    try:
        passport = passport_record(world, bearer)
    except Fault:
        return None
    lane = f"agent:{passport.agent_id}/passport:{passport.id}"
    return Caller(PASSPORT, passport.operator_id, lane, agent_id=passport.agent_id, passport_jti=passport.id)


def passport_record(world: World, token: str) -> Passport:
    """The passport a token names, its signature checked; it may be expired or revoked.

    Raises:
        Fault: UNAUTHORIZED when the token is not one of this world.
    """
    try:
        claims = signer(world).verify(token)
    except TokenError as error:
        raise Fault(faults.PASSPORT_INVALID, problem=str(error)) from None
    passport = world.store.get(Passport, str(claims["jti"]))
    if passport is None:
        raise Fault(faults.PASSPORT_INVALID, problem=f"{claims['jti']} was never issued in this world")
    return passport


def live_passport(world: World, token: str) -> Passport:
    """The passport a token names, when it may be used now.

    Raises:
        Fault: UNAUTHORIZED, PASSPORT_REVOKED or PASSPORT_EXPIRED.
    """
    return require_live(world, passport_record(world, token))


def require_live(world: World, passport: Passport, *, propagation_ms: int = 0) -> Passport:
    """Return ``passport`` when it is neither revoked nor expired.

    Args:
        world: the world.
        passport: the record.
        propagation_ms: how long a revocation takes to be seen here.

    Raises:
        Fault: PASSPORT_REVOKED or PASSPORT_EXPIRED.
    """
    now = world.now_ms()
    if passport.revoked_at is not None and passport.revoked_at + propagation_ms <= now:
        raise Fault(faults.PASSPORT_REVOKED, jti=passport.id, reason=passport.revoked_reason or passport.revocation)
    if passport.expires_at <= now:
        raise Fault(
            faults.PASSPORT_EXPIRED,
            jti=passport.id,
            expired_at=iso(passport.expires_at),
            hint="Refresh it within 24 h, or issue a new one.",
        )
    return passport
