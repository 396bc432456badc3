"""Services: the catalogue of what can be connected, and finding what is connected as far as a caller's limits reach."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from stack_emu.domain import faults, service_catalogue
from stack_emu.domain.authentication import ACCOUNT_AND_AGENT
from stack_emu.domain.service_catalogue import PROVIDERS, Provider
from stack_emu.domain.state import Connection, Grant, NamedIntent
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import Auth, Caller, Command, Reply, Rest, Tool, operation
from stack_emu.kernel.world import World


class CatalogueEntry(Reply):
    """A service that can be connected."""

    id: str
    provider: str
    name: str
    auth_type: str
    hosts: list[str]
    credential_fields: list[str]
    connected: bool


class TemplateField(Reply):
    """A field of a credential entered by hand."""

    name: str
    secret: bool
    required: bool


class Template(Reply):
    """What a manual connection of a service asks for."""

    service_id: str
    provider: str
    name: str
    fields: list[TemplateField]


class ConnectionReply(Reply):
    """A connection as the API shows it: never with its credential."""

    id: str
    service_id: str
    provider: str
    name: str
    description: str | None
    status: str
    scopes: list[str]
    intents: list[str]
    verified: bool
    verified_at: str | None
    connected_by: str | None
    instance_url: str | None
    account_id: str | None
    credential_expires_at: str | None
    created_at: str


def connection_reply(world: World, connection: Connection) -> ConnectionReply:
    """The public form of a connection."""
    expires = connection.credential_expires_at
    return ConnectionReply(
        id=connection.id,
        service_id=connection.service_id,
        provider=connection.provider,
        name=connection.name,
        description=connection.description,
        status=connection.status,
        scopes=list(connection.scopes),
        intents=[intent.name for intent in world.store.find(NamedIntent, connection_id=connection.id)],
        verified=connection.verified_at is not None and connection.status == "active",
        verified_at=None if connection.verified_at is None else iso(connection.verified_at),
        connected_by=connection.connected_by,
        instance_url=connection.instance_url,
        account_id=connection.account_id,
        credential_expires_at=None if expires is None else iso(expires),
        created_at=iso(connection.created_at),
    )


def visible_connections(world: World, caller: Caller) -> Iterator[Connection]:
    """The connections a caller's limits let it see, oldest first: a member's allowed ones, an agent's granted ones."""
    mine = world.store.find(Connection, operator_id=caller.operator_id)
    return (one for one in mine if _reaches(world, caller, one.id))


def _reaches(world: World, caller: Caller, connection_id: str) -> bool:
    if caller.allowed_connections is not None and connection_id not in caller.allowed_connections:
        return False
    return caller.agent_id is None or world.store.get(Grant, f"{caller.agent_id}/{connection_id}") is not None


def require_connection(world: World, caller: Caller, connection_id: str) -> Connection:
    """The connection, when the caller may use it.

    Raises:
        Fault: NOT_FOUND when the account has none of that id, FORBIDDEN when the caller's limits leave it out.
    """
    connection = world.store.get(Connection, connection_id)
    if connection is None or connection.operator_id != caller.operator_id:
        raise Fault(faults.NOT_FOUND, what="Connection", id=connection_id)
    if not _reaches(world, caller, connection_id):
        raise Fault(faults.FORBIDDEN, reason=_out_of_reach(caller, connection_id))
    return connection


def _out_of_reach(caller: Caller, reference: str) -> str:
    if caller.agent_id is not None:
        return f"Agent {caller.agent_id} has no grant for {reference}; grant it access first"
    allowed = ", ".join(sorted(caller.allowed_connections or ())) or "no connection"
    return f"This key may not use {reference}; its allowed_connections are: {allowed}"


def find_connection(world: World, operator_id: str, provider_or_id: str) -> Connection:
    """The connection of that id, or the only one of that provider.

    Raises:
        Fault: NOT_FOUND, or CONFLICT naming the ids when several connections share the provider.
    """
    return _only(provider_or_id, _named(world, operator_id, provider_or_id))


def find_reachable(world: World, caller: Caller, provider_or_id: str, prefer: Collection[str] = ()) -> Connection:
    """The connection of that id or provider among those the caller may use.

    Args:
        world: the world.
        caller: who asks.
        provider_or_id: provider key or connection id.
        prefer: ids that win when several connections share the provider, for example those of a passport.

    Raises:
        Fault: NOT_FOUND, FORBIDDEN when the caller's limits leave it out, CONFLICT naming the ids when several fit.
    """
    named = _named(world, caller.operator_id, provider_or_id)
    reached = [one for one in named if _reaches(world, caller, one.id)]
    if named and not reached:
        raise Fault(faults.FORBIDDEN, reason=_out_of_reach(caller, provider_or_id))
    return _only(provider_or_id, [one for one in reached if one.id in prefer] or reached)


def _named(world: World, operator_id: str, reference: str) -> list[Connection]:
    exact = world.store.get(Connection, reference)
    if exact is not None and exact.operator_id == operator_id:
        return [exact]
    return list(world.store.find(Connection, provider=reference, operator_id=operator_id))


def _only(reference: str, found: list[Connection]) -> Connection:
    if not found:
        raise Fault(faults.NOT_FOUND, what="Service", id=reference)
    if len(found) > 1:
        ids = [one.id for one in found]
        problem = f"{len(found)} connections share the provider {reference}; name one by its id: {', '.join(ids)}"
        raise Fault(faults.CONFLICT, problem=problem, details={"connection_ids": ids})
    return found[0]


@operation(
    "services.list_available",
    rest=Rest("GET", "/v1/services"),
    tool=Tool("stack_list_available_services"),
    auth=Auth(bearers=ACCOUNT_AND_AGENT, scope="services:read"),
    source="sdk 4.0.0 services.list_available; docs/api/services; the fields are not published",
    grade="sdk-implied",
)
def list_available(ctx: Context, command: Command) -> list[CatalogueEntry]:
    """List the services that can be connected."""
    connected = {one.provider for one in visible_connections(ctx.world, ctx.caller)}
    return [_catalogue_entry(entry, connected) for entry in providers(ctx.world)]


def _catalogue_entry(entry: Provider, connected: set[str]) -> CatalogueEntry:
    return CatalogueEntry(
        id=entry.service_id,
        provider=entry.slug,
        name=entry.name,
        auth_type=entry.auth,
        hosts=list(entry.hosts),
        credential_fields=list(entry.fields),
        connected=entry.slug in connected,
    )


def providers(world: World) -> list[Provider]:
    """The providers that can be connected: the catalogue's, and the world's own upstreams under their names."""
    own = (name for name in world.settings.get("upstream_names", ()) if service_catalogue.provider(name) is None)
    return [*PROVIDERS, *(Provider(name, name, "credential", ()) for name in own)]


@operation(
    "services.list_templates",
    rest=Rest("GET", "/v1/services/templates"),
    tool=Tool("stack_list_credential_templates"),
    auth=Auth(bearers=ACCOUNT_AND_AGENT, scope="services:read"),
    source="sdk 4.0.0 services.list_templates; the fields are not published",
    grade="sdk-implied",
)
def list_templates(ctx: Context, command: Command) -> list[Template]:
    """List what a manual connection of each credential service asks for."""
    return [
        Template(
            service_id=entry.service_id,
            provider=entry.slug,
            name=entry.name,
            fields=[
                TemplateField(name=name, secret=name not in ("email", "account_sid"), required=True)
                for name in entry.fields or ("credential",)
            ],
        )
        for entry in PROVIDERS
        if entry.auth == "credential"
    ]


@operation(
    "services.list",
    rest=Rest("GET", "/v1/services/connected", aliases=("/v1/services/connections",)),
    tool=Tool("stack_list_services"),
    auth=Auth(bearers=ACCOUNT_AND_AGENT, scope="services:read"),
    source="sdk 4.0.0 services.list; docs/api/services; /connections in sdk 0.1.0 to 0.13.1",
    grade="documented",
)
def list_connected(ctx: Context, command: Command) -> list[ConnectionReply]:
    """List the connected services with their scopes, never with their credentials."""
    return [connection_reply(ctx.world, one) for one in visible_connections(ctx.world, ctx.caller)]
