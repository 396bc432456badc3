"""Grants: which agent may use which connection, how far and under which conditions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from pydantic import Field

from stack_emu.domain import constraints, faults
from stack_emu.domain.agents import AgentById, own_agent_only, require_agent, revoke_passports_of, subject_agent
from stack_emu.domain.authentication import ACCOUNT, ACCOUNT_AND_AGENT, ANY_BEARER
from stack_emu.domain.connections import ScopeName
from stack_emu.domain.constraints import ConstraintInput
from stack_emu.domain.services import require_connection, visible_connections
from stack_emu.domain.state import Connection, Constraint, Grant, NamedIntent
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import Audit, Auth, Caller, Command, Reply, Rest, Tool, operation
from stack_emu.kernel.world import World


class IntentUse(Command):
    """A named intent with its parameters."""

    name: str = Field(description="Intent name, such as slack.post_to_channel")
    params: dict[str, Any] = Field(default_factory=dict, description="A value for each of the intent's parameters")


class GrantAccess(Command):
    """What an agent may do with a connection."""

    agent_id: str = Field(description="Agent id (agt_…)")
    service_connection_id: str = Field(description="Connection id (scon_…), not the catalogue's service id")
    scopes: Annotated[tuple[ScopeName, ...], Field(min_length=1)] | None = Field(
        None, description="At least one of the connection's scopes; all of them when left out"
    )
    constraints: list[ConstraintInput] = Field([], description="Conditions every proxied request must meet")
    intents: list[IntentUse] = Field([], description="Named intents, expanded to constraints now")
    allow_data_from: list[str] | None = Field(
        None, description="Services whose content may flow into this one; any when left out"
    )


class GrantReply(Reply):
    """A grant as the API shows it."""

    id: str
    agent_id: str
    service_connection_id: str
    connection_id: str
    provider: str
    name: str
    scopes: list[str]
    constraints: list[dict[str, Any]]
    intents: list[str]
    allow_data_from: list[str] | None
    created_at: str


def grant_reply(grant: Grant, connection: Connection) -> GrantReply:
    """The public form of a grant."""
    return GrantReply(
        id=grant.id,
        agent_id=grant.agent_id,
        service_connection_id=connection.id,
        connection_id=connection.id,
        provider=connection.provider,
        name=connection.name,
        scopes=list(grant.scopes),
        constraints=[constraints.as_json(constraint) for constraint in grant.constraints],
        intents=list(grant.intents),
        allow_data_from=None if grant.allow_data_from is None else list(grant.allow_data_from),
        created_at=iso(grant.created_at),
    )


@operation(
    "services.grant",
    rest=Rest("POST", "/v1/services/grant", status=201),
    tool=Tool("stack_grant_agent_access", idempotent=True),
    auth=Auth(bearers=ACCOUNT, scope="services:connect", role="standard"),
    audit=Audit("service.grant"),
    subject=subject_agent,
    source="sdk 4.0.0 services.grant_agent_access; docs/api/services; docs/concepts/constraints",
    grade="documented",
)
def grant_access(ctx: Context, command: GrantAccess) -> GrantReply:
    """Let an agent use a connection. A grant for the same pair is replaced; passports issued before stay as they are.

    Raises:
        Fault: NOT_FOUND for the agent or connection, SCOPE_ESCALATION for scopes the connection does not have,
            INVALID_REQUEST for constraints or intents that cannot work, FORBIDDEN for a member who may not use it.
    """
    agent = require_agent(ctx.world, ctx.operator_id, command.agent_id)
    connection = require_connection(ctx.world, ctx.caller, command.service_connection_id)
    scopes = _scopes(connection, command.scopes)
    ctx.row.set(agent_id=agent.id, service=connection.provider, connection=connection.id, scopes=list(scopes))
    own = constraints.accepted(command.constraints)
    named = tuple(item for use in command.intents for item in expand(ctx.world, connection, use.name, use.params))
    constraints.check_all((*own, *named))
    grant = Grant(
        id=f"{agent.id}/{connection.id}",
        operator_id=ctx.operator_id,
        agent_id=agent.id,
        connection_id=connection.id,
        scopes=scopes,
        created_at=ctx.stamp_ms,
        constraints=(*own, *named),
        intents=tuple(dict.fromkeys(use.name for use in command.intents)),
        allow_data_from=None if command.allow_data_from is None else tuple(dict.fromkeys(command.allow_data_from)),
    )
    ctx.row.set(intents=list(grant.intents) or None, constraints=len(grant.constraints) or None)
    return grant_reply(ctx.world.store.put(grant), connection)


def _scopes(connection: Connection, wanted: Sequence[str] | None) -> tuple[str, ...]:
    """The scopes to grant. A connection without declared scopes limits nothing."""
    if wanted is None:
        return connection.scopes
    extra = [scope for scope in wanted if scope not in connection.scopes]
    if extra and connection.scopes:
        raise Fault(
            faults.SCOPE_ESCALATION,
            what=f"scope {', '.join(extra)}",
            parent=f"connection {connection.id}",
            allowed=", ".join(connection.scopes),
        )
    return tuple(dict.fromkeys(wanted))


def expand(world: World, connection: Connection, name: str, params: dict[str, Any]) -> tuple[Constraint, ...]:
    """The constraints a named intent stands for (docs/concepts/intents).

    Args:
        world: the world.
        connection: the connection that offers it.
        name: the intent's name.
        params: a value for each of its parameters.

    Raises:
        Fault: INVALID_REQUEST for an unknown intent or parameters that are not the intent's.
    """
    intent = world.store.get(NamedIntent, f"{connection.id}/{name}")
    if intent is None:
        known = ", ".join(one.name for one in world.store.find(NamedIntent, connection_id=connection.id)) or "none"
        raise _invalid("intents", f"{connection.provider} offers no intent {name}; it offers: {known}")
    if set(params) != set(intent.params):
        raise _invalid("intents", f"{name} takes the parameters: {', '.join(intent.params) or 'none'}")
    from stack_emu.scenario.templates import TemplateError, render

    try:
        values = [render(item.value, {"params": params}) for item in intent.constraints]
    except TemplateError as error:
        raise _invalid("intents", f"{name} cannot be expanded: {error}") from None
    return tuple(Constraint(item.path, item.op, value) for item, value in zip(intent.constraints, values, strict=True))


class RevokedAccess(Reply):
    """What was taken from an agent."""

    agent_id: str
    revoked_grants: int
    revoked_passports: int


@operation(
    "services.revoke_agent",
    rest=Rest("DELETE", "/v1/services/agents/{agent_id}/revoke"),
    tool=Tool("stack_revoke_agent_access", destructive=True, idempotent=True),
    auth=Auth(bearers=ACCOUNT, scope="services:connect", role="standard"),
    audit=Audit("service.revoke"),
    subject=subject_agent,
    source="sdk 4.0.0 services.revoke_agent_access; docs/api/services",
    grade="documented",
)
def revoke_access(ctx: Context, command: AgentById) -> RevokedAccess:
    """Take every grant from an agent and revoke its live passports with everything delegated from them.

    Raises:
        Fault: NOT_FOUND, FORBIDDEN for a member who may not use all of the connections concerned.
    """
    agent = require_agent(ctx.world, ctx.operator_id, command.agent_id)
    ctx.row.set(agent_id=agent.id)
    grants = list(ctx.world.store.find(Grant, agent_id=agent.id))
    for grant in grants:
        require_connection(ctx.world, ctx.caller, grant.connection_id)
        ctx.world.store.delete(Grant, grant.id)
    revoked = revoke_passports_of(ctx, agent.id, "Agent access revoked")
    ctx.row.set(revoked_grants=len(grants), revoked_passports=revoked)
    return RevokedAccess(agent_id=agent.id, revoked_grants=len(grants), revoked_passports=revoked)


class PermissionsReply(Reply):
    """What an agent may do."""

    agent_id: str
    agent: dict[str, Any]
    grants: list[GrantReply]


@operation(
    "agents.permissions",
    rest=Rest("GET", "/v1/agents/{agent_id}/permissions"),
    tool=Tool("stack_get_agent_permissions"),
    auth=Auth(bearers=ANY_BEARER, scope="agents:read", narrow=own_agent_only),
    source="sdk 4.0.0 services.get_agent_permissions; the reply is not published",
    grade="sdk-implied",
)
def get_permissions(ctx: Context, command: AgentById) -> PermissionsReply:
    """Read the grants of an agent, as far as the caller's limits reach.

    Raises:
        Fault: NOT_FOUND.
    """
    agent = require_agent(ctx.world, ctx.operator_id, command.agent_id)
    shown = ("id", "name", "status", "accountability_mode", "credential_access", "passport_blocked")
    return PermissionsReply(
        agent_id=agent.id,
        agent={name: getattr(agent, name) for name in shown},
        grants=[grant_reply(grant, connection) for grant, connection in grants_of(ctx.world, ctx.caller, agent.id)],
    )


def grants_of(world: World, caller: Caller, agent_id: str) -> Iterator[tuple[Grant, Connection]]:
    """An agent's grants with their connections, as far as the caller's limits reach."""
    for grant in world.store.find(Grant, agent_id=agent_id):
        connection = world.store.get(Connection, grant.connection_id)
        allowed = caller.allowed_connections
        if connection is not None and (allowed is None or connection.id in allowed):
            yield grant, connection


class ListIntents(Command):
    """Which intents to list."""

    service: str | None = Field(None, description="Provider or connection id; all services when left out")


class IntentReply(Reply):
    """A named intent that grants can use."""

    name: str
    description: str | None
    provider: str
    connection_id: str
    params: list[str]
    constraints: list[dict[str, Any]]


@operation(
    "services.list_intents",
    tool=Tool("stack_list_intents", read_only=True),
    auth=Auth(bearers=ACCOUNT_AND_AGENT, scope="services:read"),
    source="docs/concepts/intents names the tool; no REST path is published",
    grade="documented",
)
def list_intents(ctx: Context, command: ListIntents) -> list[IntentReply]:
    """List the named intents of the connected services."""
    found: list[IntentReply] = []
    for connection in visible_connections(ctx.world, ctx.caller):
        if command.service in (None, connection.id, connection.provider):
            intents = ctx.world.store.find(NamedIntent, connection_id=connection.id)
            found.extend(_intent_reply(intent) for intent in intents)
    return found


def _intent_reply(intent: NamedIntent) -> IntentReply:
    return IntentReply(
        name=intent.name,
        description=intent.description,
        provider=intent.provider,
        connection_id=intent.connection_id,
        params=list(intent.params),
        constraints=[constraints.as_json(constraint) for constraint in intent.constraints],
    )


def _invalid(field: str, problem: str) -> Fault:
    return Fault(faults.INVALID_REQUEST, details={"fields": {field: problem}}, problem=f"{field}: {problem}")
