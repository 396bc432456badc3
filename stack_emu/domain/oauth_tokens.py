"""The token endpoint: codes, refresh tokens, device codes and passports become tokens.

Access tokens live 5 minutes, refresh tokens 30 days; a refresh token is replaced on each use (docs/security/stack-auth).
Two programs may hold the same credentials file (sdk 4.0.0 CredentialsFileAuth reads it once), so a replaced refresh token
yields for another minute, each time with a successor of its own. After that its use ends everything the person agreed to:
somebody else has it. The minute is invented.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Annotated

from pydantic import Field

from stack_emu.domain import oauth_faults as faults
from stack_emu.domain.authentication import PASSPORT, key_digest, passport_record
from stack_emu.domain.oauth_authorize import require_target
from stack_emu.domain.oauth_clients import (
    CODE,
    EXCHANGE,
    FROM_HEADER,
    GRANT_TYPES,
    REFRESH,
    ClientCommand,
    SparseReply,
    asking,
    known_client,
    new_secret,
    proven_client,
    require_grant_type,
)
from stack_emu.domain.oauth_device import polled
from stack_emu.domain.oauth_records import AccessToken, AuthorizationCode, OAuthGrant, RefreshToken
from stack_emu.domain.oauth_scopes import split, unknown
from stack_emu.domain.passports import RefreshPassport, refresh_passport, require_passport
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context, Refused
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import SECRET, TOKEN, VOLATILE, Audit, Auth, Caller, Rest, operation
from stack_emu.kernel.store import replace
from stack_emu.kernel.world import World

ACCESS_MS = 5 * 60_000
REFRESH_MS = 30 * 24 * 60 * 60_000
GRACE_MS = 60_000
JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt"
_TOKEN_TYPES = (JWT_TYPE, "urn:ietf:params:oauth:token-type:access_token")


class TokenRequest(ClientCommand):
    """What is exchanged for tokens; which fields count depends on the grant type."""

    grant_type: str = Field(description="authorization_code, refresh_token, …:device_code or …:token-exchange")
    code: Annotated[str | None, SECRET] = Field(None, max_length=400, description="The code")
    redirect_uri: Annotated[str | None, VOLATILE] = Field(None, description="As it was in the authorization request")
    code_verifier: Annotated[str | None, SECRET, VOLATILE] = Field(None, description="What the challenge was made of")
    refresh_token: Annotated[str | None, SECRET] = Field(None, max_length=400, description="The refresh token")
    scope: str | None = Field(None, max_length=2000, description="Fewer scopes than were agreed to, when refreshing")
    resource: Annotated[str | None, VOLATILE] = Field(None, description="The resource, as in the authorization request")
    device_code: Annotated[str | None, SECRET] = Field(None, max_length=400, description="The device code")
    subject_token: Annotated[str | None, SECRET, TOKEN] = Field(None, description="A passport to be refreshed")
    subject_token_type: str | None = Field(None, description="urn:ietf:params:oauth:token-type:jwt")
    requested_token_type: str | None = Field(None, description="urn:ietf:params:oauth:token-type:jwt, or left out")


class TokenReply(SparseReply):
    """Tokens; ``issued_token_type`` only of an exchange, which gives no refresh token."""

    access_token: str
    token_type: str
    expires_in: int = Field(description="Seconds")
    refresh_token: str | None = None
    scope: str | None = None
    issued_token_type: str | None = None


def _requester(world: World, command: TokenRequest) -> Caller:
    """Who asks. What this world never gave out is refused here: nobody's chain is written on for it."""
    if command.grant_type not in GRANT_TYPES:
        problem = f"grant_type {command.grant_type} is not served; there are {', '.join(GRANT_TYPES)}"
        raise Fault(faults.UNSUPPORTED_GRANT_TYPE, problem=problem)
    if command.grant_type == EXCHANGE:
        return _holder(world, command)
    client = proven_client(world, command)
    require_grant_type(client, command.grant_type)
    if command.grant_type == CODE:
        code = world.store.get(AuthorizationCode, key_digest(_given(command, "code")))
        grant_id = code.grant_id if code is not None else None
    elif command.grant_type == REFRESH:
        token = world.store.get(RefreshToken, key_digest(_given(command, "refresh_token")))
        grant_id = token.grant_id if token is not None else None
    else:
        grant_id = polled(world, client.id, _given(command, "device_code")).grant_id
    grant = world.store.get(OAuthGrant, grant_id) if grant_id is not None else None
    if grant is None:
        problem = "What was sent was never given out in this world, or is gone; have the client authorized again"
        raise Fault(faults.INVALID_GRANT, problem=problem)
    return asking(world, client.id, grant.operator_id)


def _given(command: TokenRequest, field: str) -> str:
    value: str | None = getattr(command, field)
    if not value:
        raise Fault(faults.INVALID_REQUEST, problem=f"{field} is missing; grant_type {command.grant_type} needs it")
    return value


@operation(
    "oauth.token",
    rest=Rest("POST", "/oauth/token", aliases=("/v1/oauth/token",), headers=FROM_HEADER, errors="oauth"),
    auth=Auth(bearers=frozenset(), identify=_requester),
    audit=Audit("oauth.token"),
    source="sdk 4.0.0 browser_bootstrap, CredentialsFileAuth, OAuthAuth; docs/security/stack-auth; RFC 6749, 8628, 8693",
    grade="documented",
)
def token(ctx: Context, command: TokenRequest) -> TokenReply | Refused:
    """Exchange a code, a refresh token, a device code or a passport for tokens.

    Raises:
        Fault: invalid_grant, invalid_scope or invalid_target; a passport's own refusals for an exchange.
    """
    ctx.row.set(grant_type=command.grant_type.rpartition(":")[2])
    if command.grant_type == EXCHANGE:
        return _exchange(ctx, command)
    ctx.row.set(oauth_client=proven_client(ctx.world, command).id)
    require_target(ctx, command.resource)
    if command.grant_type == CODE:
        return _from_code(ctx, command)
    if command.grant_type == REFRESH:
        return _from_refresh(ctx, command)
    return _from_device(ctx, command)


def _live_grant(ctx: Context, grant_id: str) -> OAuthGrant:
    grant = ctx.world.store.get(OAuthGrant, grant_id)
    assert grant is not None, "codes and tokens do not outlive the record of their grant"
    ctx.row.set(oauth_grant=grant.id)
    client_id = ctx.row.metadata["oauth_client"]
    if grant.client_id != client_id:
        raise Fault(faults.INVALID_GRANT, problem="This was given to another client; have this one authorized")
    if grant.revoked_at is not None:
        problem = f"This authorization was revoked ({grant.revoked_because}); have the client authorized again"
        raise Fault(faults.INVALID_GRANT, problem=problem)
    return grant


def _from_code(ctx: Context, command: TokenRequest) -> TokenReply | Refused:
    code = ctx.world.store.get(AuthorizationCode, key_digest(_given(command, "code")))
    assert code is not None, "the requester was found by it"
    grant = _live_grant(ctx, code.grant_id)
    if code.used:
        revoke_grant(ctx, grant, "code_reuse")
        ctx.act.also("oauth.code_reuse", outcome="blocked", oauth_grant=grant.id, oauth_client=grant.client_id)
        problem = "This code was used before; what it gave is revoked, have the client authorized again"
        return Refused(Fault(faults.INVALID_GRANT, problem=problem))
    if code.expires_at <= ctx.now_ms:
        raise Fault(faults.INVALID_GRANT, problem=f"This code expired at {iso(code.expires_at)}; it lives 5 minutes")
    if command.redirect_uri != code.redirect_uri and (code.redirect_given or command.redirect_uri is not None):
        raise Fault(
            faults.INVALID_GRANT, problem="redirect_uri is not that of the authorization request, to the letter"
        )
    if not _verifies(command.code_verifier, code.challenge):
        problem = "code_verifier does not belong to the code_challenge of the authorization request"
        raise Fault(faults.INVALID_GRANT, problem=problem)
    ctx.world.store.put(replace(code, used=True))
    return issue(ctx, grant, grant.scopes)


def _verifies(verifier: str | None, challenge: str) -> bool:
    if verifier is None or not 43 <= len(verifier) <= 128:
        return False
    made = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode("utf-8")).digest()).rstrip(b"=")
    return hmac.compare_digest(made, challenge.encode("ascii"))


def _from_refresh(ctx: Context, command: TokenRequest) -> TokenReply | Refused:
    presented = ctx.world.store.get(RefreshToken, key_digest(_given(command, "refresh_token")))
    assert presented is not None, "the requester was found by it"
    grant = _live_grant(ctx, presented.grant_id)
    if presented.expires_at <= ctx.now_ms:
        problem = f"This refresh token expired at {iso(presented.expires_at)}; have the client authorized again"
        raise Fault(faults.INVALID_GRANT, problem=problem)
    if presented.rotated_at is not None and ctx.now_ms - presented.rotated_at >= GRACE_MS:
        revoke_grant(ctx, grant, "refresh_reuse")
        ctx.act.also("oauth.refresh_reuse", outcome="blocked", oauth_grant=grant.id, oauth_client=grant.client_id)
        problem = "This refresh token was replaced over a minute ago; all tokens of its authorization are revoked"
        return Refused(Fault(faults.INVALID_GRANT, problem=problem))
    scopes = split(command.scope) or grant.scopes
    strange = unknown(scopes, grant.scopes)
    if strange:
        raise Fault(
            faults.INVALID_SCOPE, problem=f"The person did not agree to {', '.join(strange)}; ask anew for that"
        )
    if presented.rotated_at is None:
        ctx.world.store.put(replace(presented, rotated_at=ctx.now_ms))
    else:
        ctx.row.set(repeated=True)
    return issue(ctx, grant, scopes)


def _from_device(ctx: Context, command: TokenRequest) -> TokenReply:
    device = polled(ctx.world, ctx.row.metadata["oauth_client"], _given(command, "device_code"))
    assert device.grant_id is not None, "who was found by it was let in"
    grant = _live_grant(ctx, device.grant_id)
    ctx.world.store.put(replace(device, used=True))
    return issue(ctx, grant, grant.scopes)


def issue(ctx: Context, grant: OAuthGrant, scopes: tuple[str, ...]) -> TokenReply:
    """Give out an access token, and a refresh token to a client that may refresh."""
    store, now = ctx.world.store, ctx.now_ms
    for old in list(store.find(AccessToken, grant_id=grant.id)):
        if old.expires_at <= now:
            store.delete(AccessToken, old.id)
    access = new_secret(ctx.world, ctx.act, "oat_", "oauth-access-token")
    store.put(AccessToken(key_digest(access), grant.id, scopes, now, now + ACCESS_MS))
    refresh = None
    if REFRESH in known_client(ctx.world, grant.client_id).grant_types:
        refresh = new_secret(ctx.world, ctx.act, "ort_", "oauth-refresh-token")
        store.put(RefreshToken(key_digest(refresh), grant.id, now, now + REFRESH_MS))
    ctx.row.set(scopes=list(scopes))
    return TokenReply(
        access_token=access,
        token_type="Bearer",  # noqa: S106
        expires_in=ACCESS_MS // 1000,
        refresh_token=refresh,
        scope=" ".join(scopes),
    )


def revoke_grant(ctx: Context, grant: OAuthGrant, because: str) -> None:
    """End an authorization: no code or token of it works any more.

    Args:
        ctx: the call that ends it.
        grant: the authorization.
        because: code_reuse, refresh_reuse or revoked.
    """
    ctx.world.store.put(replace(grant, revoked_at=ctx.stamp_ms, revoked_because=because))
    ctx.row.set(revocation=because)


# --- a passport for a passport ----------------------------------------------------------------------------------------


def _holder(world: World, command: TokenRequest) -> Caller:
    """The holder of the passport that is exchanged: presenting it is what lets them in, as when they refresh it."""
    if command.client_id is not None or (command.authorization or "").lower().startswith("basic "):
        require_grant_type(proven_client(world, command), EXCHANGE)
    if command.subject_token_type not in _TOKEN_TYPES:
        problem = f"subject_token_type: passports are {JWT_TYPE}; nothing else can be exchanged"
        raise Fault(faults.INVALID_REQUEST, problem=problem)
    if command.requested_token_type not in (None, *_TOKEN_TYPES):
        raise Fault(faults.INVALID_REQUEST, problem=f"requested_token_type: only {JWT_TYPE} can be had")
    if command.scope is not None:
        raise Fault(faults.INVALID_SCOPE, problem="A refreshed passport keeps its services; leave scope out")
    try:
        passport = passport_record(world, _given(command, "subject_token"))
    except Fault as fault:  # RFC 8693 has one word for whatever is wrong with a subject token
        raise Fault(faults.INVALID_REQUEST, problem=f"subject_token: {fault.message}") from None
    lane = f"agent:{passport.agent_id}/passport:{passport.id}"
    return Caller(PASSPORT, passport.operator_id, lane, agent_id=passport.agent_id, passport_jti=passport.id)


def _exchange(ctx: Context, command: TokenRequest) -> TokenReply:
    require_target(ctx, command.resource)
    renewed = refresh_passport(ctx, RefreshPassport(token=_given(command, "subject_token")))
    ctx.act.also("passport.refresh", "vault", subject=renewed.jti)
    passport = require_passport(ctx.world, ctx.operator_id, renewed.jti)
    return TokenReply(
        access_token=renewed.token,
        token_type="Bearer",  # noqa: S106
        expires_in=(passport.expires_at - ctx.now_ms) // 1000,
        issued_token_type=JWT_TYPE,
    )
