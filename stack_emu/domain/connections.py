"""Connections: connecting a service with a credential, verifying and disconnecting it. No reply holds a credential."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from stack_emu.domain import faults, service_catalogue, tiers
from stack_emu.domain.authentication import ACCOUNT
from stack_emu.domain.secret_kinds import learn
from stack_emu.domain.service_catalogue import Provider
from stack_emu.domain.services import ConnectionReply, connection_reply, providers, require_connection
from stack_emu.domain.state import Connection, Grant, NamedIntent
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import SECRET, VOLATILE, Audit, Auth, Command, Reply, Rest, Tool, operation
from stack_emu.kernel.store import replace
from stack_emu.kernel.world import World

SecretText = Annotated[str, StringConstraints(min_length=1, max_length=100_000)]
SecretFields = Annotated[dict[str, SecretText], Field(min_length=1)]
ScopeName = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class ConnectService(Command):
    """A service of the catalogue and the credential it is connected with."""

    service_id: str | None = Field(None, description="Catalogue id, such as svc_slack")
    provider: str | None = Field(None, description="Provider key, such as slack, instead of service_id")
    oauth_token: Annotated[SecretText | None, VOLATILE, SECRET] = Field(None, description="OAuth access token")
    credential: Annotated[SecretText | SecretFields | None, VOLATILE, SECRET] = Field(
        None, description="Credential entered by hand, text or an object of fields, instead of oauth_token"
    )
    scopes: Annotated[tuple[ScopeName, ...], Field(min_length=1)] | None = Field(
        None, description="At least one scope; needed with oauth_token"
    )
    name: str | None = Field(None, max_length=128, description="Display name")
    description: str | None = Field(None, max_length=256, description="What the connection is for")
    instance_url: str | None = Field(None, max_length=2048, description="Host of the customer's own instance")
    account_id: str | None = Field(None, max_length=256, description="Account at the provider")


@operation(
    "services.connect",
    rest=Rest("POST", "/v1/services/connect", status=201),
    tool=Tool("stack_connect_service"),
    auth=Auth(bearers=ACCOUNT, scope="services:connect", role="standard"),
    audit=Audit("service.connect"),
    source="sdk 4.0.0 services.connect; provider and credential in sdk 0.14.0 to 3.0.0; docs/api/services",
    grade="documented",
)
def connect_service(ctx: Context, command: ConnectService) -> ConnectionReply:
    """Connect a service with an OAuth token, or with a credential entered by hand.

    Raises:
        Fault: NOT_FOUND for a service that is not in the catalogue, INVALID_REQUEST without service, credential or
            scopes, FORBIDDEN for a member limited to connections, TIER_LIMIT_EXCEEDED.
    """
    provider = _wanted_provider(ctx.world, command)
    ctx.row.set(service=provider.slug, scopes=list(command.scopes or ()))
    if command.oauth_token is not None and command.credential is not None:
        raise _invalid("credential", "send oauth_token or credential, not both")
    credential = command.oauth_token if command.oauth_token is not None else command.credential
    if credential is None:
        hint = "send oauth_token, or credential; the providers' own consent pages are not emulated"
        raise _invalid("oauth_token", hint)
    if command.oauth_token is not None and command.scopes is None:
        raise _invalid("scopes", "name at least one scope of the token")
    connection = replace(
        _new_connection(ctx, provider.slug, credential, command.scopes),
        name=command.name or provider.name,
        description=command.description,
        instance_url=command.instance_url,
        account_id=command.account_id,
    )
    return connection_reply(ctx.world, ctx.world.store.put(connection))


class ConnectCustomService(Command):
    """A service of your own and its credential."""

    name: str = Field(min_length=1, max_length=128, description="Name; Internal CRM becomes custom_internal_crm")
    credential: Annotated[SecretText | SecretFields, VOLATILE, SECRET] = Field(
        description="The credential: text, or an object of fields"
    )
    description: str | None = Field(None, max_length=256, description="What the connection is for")
    scopes: tuple[ScopeName, ...] | None = Field(None, description="Scopes that can be granted; any when left out")


@operation(
    "services.connect_custom",
    rest=Rest("POST", "/v1/services/custom", status=201),
    tool=Tool("stack_connect_custom_service"),
    auth=Auth(bearers=ACCOUNT, scope="services:connect", role="standard"),
    audit=Audit("service.connect"),
    source="sdk 4.0.0 services.connect_custom; docs/api/services",
    grade="documented",
)
def connect_custom_service(ctx: Context, command: ConnectCustomService) -> ConnectionReply:
    """Connect a service that is not in the catalogue, under the provider key custom_<name>.

    Raises:
        Fault: FORBIDDEN for a member limited to connections, TIER_LIMIT_EXCEEDED.
    """
    slug = service_catalogue.custom_slug(command.name)
    ctx.row.set(service=slug, scopes=list(command.scopes or ()))
    connection = replace(
        _new_connection(ctx, slug, command.credential, command.scopes),
        name=command.name,
        description=command.description,
    )
    return connection_reply(ctx.world, ctx.world.store.put(connection))


def _new_connection(
    ctx: Context, slug: str, credential: str | dict[str, str], scopes: tuple[str, ...] | None
) -> Connection:
    """A connection, not yet stored; from here on its credential is masked wherever something is kept."""
    if ctx.caller.allowed_connections is not None and ctx.caller.grant_id is None:
        reason = "This key is limited to its allowed_connections and cannot add one; use a key without that limit"
        raise Fault(faults.FORBIDDEN, reason=reason)
    used = sum(1 for _ in ctx.world.store.find(Connection, operator_id=ctx.operator_id, status="active"))
    tiers.check(ctx.world, ctx.operator_id, tiers.SERVICES, used)
    connection_id = ctx.act.new_id("connection", "scon_")
    ctx.row.set(connection=connection_id)
    learn(ctx.world, connection_id, credential)
    return Connection(
        id=connection_id,
        operator_id=ctx.operator_id,
        provider=slug,
        service_id=service_catalogue.SERVICE_PREFIX + slug,
        name=slug,
        credential=credential,
        created_at=ctx.stamp_ms,
        scopes=tuple(dict.fromkeys(scopes or ())),
        upstream=_upstream(ctx.world, slug),
        connected_by=ctx.caller.grant_id or ctx.caller.member_id or ctx.operator_id,
        verified_at=ctx.stamp_ms,
    )


def _upstream(world: World, slug: str) -> str | None:
    names = world.settings.get("upstream_names", ())
    plain = slug.removeprefix(service_catalogue.CUSTOM_PREFIX)
    return next((name for name in (slug, plain) if name in names), None)


def _wanted_provider(world: World, command: ConnectService) -> Provider:
    if command.service_id is None and command.provider is None:
        raise _invalid("service_id", "send service_id, such as svc_slack, or provider, such as slack")
    slug = command.provider
    if command.service_id is not None:
        named = command.service_id.removeprefix(service_catalogue.SERVICE_PREFIX)
        if slug not in (None, named):
            raise _invalid("provider", f"{slug} is not the provider of {command.service_id}; send one of the two")
        slug = named
    found = next((entry for entry in providers(world) if entry.slug == slug), None)
    if found is None:
        message = f"{command.service_id or slug} is not in the catalogue; connect it as a custom service"
        raise Fault(faults.NOT_FOUND, message, details={"what": "Service", "id": command.service_id or slug})
    return found


class ConnectionById(Command):
    """Names a connection."""

    connection_id: str = Field(description="Connection id (scon_…)")


class Verification(Reply):
    """Whether a connection's credential works."""

    id: str
    provider: str
    verified: bool
    status: str
    verified_at: str | None
    message: str


@operation(
    "services.verify",
    rest=Rest("POST", "/v1/services/{connection_id}/verify"),
    tool=Tool("stack_verify_connection", idempotent=True),
    auth=Auth(bearers=ACCOUNT, scope="services:connect", role="standard"),
    audit=Audit("service.verify"),
    source="sdk 4.0.0 services.verify; docs/api/services; the reply is not published",
    grade="sdk-implied",
)
def verify_connection(ctx: Context, command: ConnectionById) -> Verification:
    """Test a connection's credential. The emulated services accept every credential that has not expired.

    Raises:
        Fault: NOT_FOUND, FORBIDDEN for a member who may not use the connection.
    """
    connection = require_connection(ctx.world, ctx.caller, command.connection_id)
    ctx.row.set(service=connection.provider, connection=connection.id)
    expires = connection.credential_expires_at
    expired = expires is not None and expires <= ctx.now_ms
    checked = replace(
        connection,
        status="expired" if expired else "active",
        verified_at=None if expired else ctx.stamp_ms,
    )
    ctx.world.store.put(checked)
    ctx.row.set(verified=not expired)
    return Verification(
        id=checked.id,
        provider=checked.provider,
        verified=not expired,
        status=checked.status,
        verified_at=None if checked.verified_at is None else iso(checked.verified_at),
        message="The credential has expired; connect the service again" if expired else "The credential works",
    )


class Disconnection(Reply):
    """What a disconnection took away."""

    id: str
    provider: str
    disconnected: bool
    revoked_grants: int
    revoked_passports: int


@operation(
    "services.disconnect",
    rest=Rest(
        "DELETE", "/v1/services/{connection_id}/disconnect", aliases=("/v1/services/connections/{connection_id}",)
    ),
    tool=Tool("stack_disconnect_service", destructive=True),
    auth=Auth(bearers=ACCOUNT, scope="services:connect", role="standard"),
    audit=Audit("service.disconnect"),
    source="sdk 4.0.0 services.disconnect; docs/api/services (cascade); /connections in sdk 0.1.0 to 0.13.1",
    grade="documented",
)
def disconnect_service(ctx: Context, command: ConnectionById) -> Disconnection:
    """Disconnect a service: its credential and grants are gone, and the passports that use it are revoked.

    Raises:
        Fault: NOT_FOUND, FORBIDDEN for a member who may not use the connection.
    """
    connection = require_connection(ctx.world, ctx.caller, command.connection_id)
    ctx.row.set(service=connection.provider, connection=connection.id)
    count, grants = take_away(ctx, connection)
    ctx.row.set(revoked_grants=grants, revoked_passports=count)
    return Disconnection(
        id=connection.id,
        provider=connection.provider,
        disconnected=True,
        revoked_grants=grants,
        revoked_passports=count,
    )


def take_away(ctx: Context, connection: Connection) -> tuple[int, int]:
    """Remove a connection with its grants and intents, and revoke the passports that use it.

    Returns:
        How many passports were revoked, and how many grants removed.
    """
    from stack_emu.domain import revocation

    users = [
        passport
        for passport in revocation.standing(ctx.world, connection.operator_id)
        if any(scope.connection_id == connection.id for scope in passport.services)
    ]
    revoked = revocation.revoke(
        ctx.world, ctx.act, users, revocation="service", reason=f"Service {connection.id} disconnected", cascade=True
    )
    grants = list(ctx.world.store.find(Grant, connection_id=connection.id))
    for grant in grants:
        ctx.world.store.delete(Grant, grant.id)
    for intent in list(ctx.world.store.find(NamedIntent, connection_id=connection.id)):
        ctx.world.store.delete(NamedIntent, intent.id)
    ctx.world.store.delete(Connection, connection.id)
    return len(revoked[0]) + len(revoked[1]), len(grants)


def _invalid(field: str, problem: str) -> Fault:
    return Fault(faults.INVALID_REQUEST, details={"fields": {field: problem}}, problem=f"{field}: {problem}")
