"""Taking tokens back (RFC 7009), and asking about them (RFC 7662). That STACK has either is not published."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from stack_emu.domain.authentication import authenticate, key_digest
from stack_emu.domain.oauth_clients import FROM_HEADER, ClientCommand, SparseReply, asking, proven_client
from stack_emu.domain.oauth_faults import INVALID_CLIENT
from stack_emu.domain.oauth_records import AccessToken, OAuthGrant, RefreshToken
from stack_emu.domain.oauth_tokens import revoke_grant
from stack_emu.domain.oauth_urls import issuer_of
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import SECRET, Audit, Auth, Caller, Rest, operation
from stack_emu.kernel.world import World


class TokenQuery(ClientCommand):
    """A token, and who asks about it."""

    token: Annotated[str, SECRET] = Field(max_length=8000, description="An access token or a refresh token")
    token_type_hint: str | None = Field(None, description="access_token or refresh_token; needed for nothing")


class Nothing(SparseReply):
    """An empty object."""


def _found(world: World, text: str) -> tuple[AccessToken | RefreshToken, OAuthGrant] | None:
    digest = key_digest(text)
    token = world.store.get(AccessToken, digest) or world.store.get(RefreshToken, digest)
    grant = world.store.get(OAuthGrant, token.grant_id) if token is not None else None
    return (token, grant) if token is not None and grant is not None else None


def _revokes(world: World, command: TokenQuery) -> Caller:
    client = proven_client(world, command)
    found = _found(world, command.token)
    return asking(world, client.id, found[1].operator_id if found is not None else None)


@operation(
    "oauth.revoke",
    rest=Rest("POST", "/oauth/revoke", headers=FROM_HEADER, errors="oauth"),
    auth=Auth(bearers=frozenset(), identify=_revokes),
    audit=Audit("oauth.revoke"),
    source="invented; RFC 7009",
    grade="invented",
)
def revoke(ctx: Context, command: TokenQuery) -> Nothing:
    """Take a token back. With a refresh token goes all that was agreed to; an access token goes alone.

    A token that is not the client's, or is none, is no error: it does not work for it, which is what was wanted.
    """
    client = proven_client(ctx.world, command)
    ctx.row.set(oauth_client=client.id)
    found = _found(ctx.world, command.token)
    if found is None or found[1].client_id != client.id:
        ctx.row.set(changed=False)
        return Nothing()
    token, grant = found
    ctx.row.set(oauth_grant=grant.id)
    if isinstance(token, AccessToken):
        ctx.world.store.delete(AccessToken, token.id)
        ctx.row.set(revocation="access_token")
    elif grant.revoked_at is None:
        revoke_grant(ctx, grant, "revoked")
    return Nothing()


class Introspection(SparseReply):
    """What is known of a token; of one that does not work only that."""

    active: bool
    scope: str | None = None
    client_id: str | None = None
    username: str | None = Field(None, description="Id of the account that agreed")
    token_type: str | None = None
    exp: int | None = None
    iat: int | None = None
    sub: str | None = None
    aud: str | None = None
    iss: str | None = None


def _introspects(world: World, command: TokenQuery) -> Caller:
    header = command.authorization or ""
    if command.client_id is None and header.lower().startswith("bearer "):
        caller = authenticate(world, header[7:].strip())
        if caller.kind != "operator":
            raise Fault(INVALID_CLIENT, problem="Ask with an operator key, or as the client the token was given to")
        return caller
    client = proven_client(world, command)
    return asking(world, client.id)


@operation(
    "oauth.introspect",
    rest=Rest("POST", "/oauth/introspect", headers=FROM_HEADER, errors="oauth"),
    auth=Auth(bearers=frozenset(), identify=_introspects),
    source="invented; RFC 7662",
    grade="invented",
)
def introspect(ctx: Context, command: TokenQuery) -> Introspection:
    """Say whether a token works, and for what. A client learns of its own tokens, an operator key of its account's."""
    found = _found(ctx.world, command.token)
    if found is None:
        return Introspection(active=False)
    token, grant = found
    by_key = ctx.caller.kind == "operator"
    theirs = ctx.operator_id == grant.operator_id if by_key else proven_client(ctx.world, command).id == grant.client_id
    spent = isinstance(token, RefreshToken) and token.rotated_at is not None
    if not theirs or spent or grant.revoked_at is not None or token.expires_at <= ctx.now_ms:
        return Introspection(active=False)
    scopes = token.scopes if isinstance(token, AccessToken) else grant.scopes
    return Introspection(
        active=True,
        scope=" ".join(scopes),
        client_id=grant.client_id,
        username=grant.operator_id,
        token_type="Bearer" if isinstance(token, AccessToken) else "refresh_token",
        exp=token.expires_at // 1000,
        iat=token.issued_at // 1000,
        sub=grant.operator_id,
        aud=grant.resource,
        iss=issuer_of(ctx.origin),
    )
