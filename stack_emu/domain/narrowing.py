"""Narrowing: choosing from what a grant or a parent passport allows, never more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field

from stack_emu.domain import faults
from stack_emu.domain.constraints import ConstraintInput, accepted, as_json, check_all
from stack_emu.domain.grants import IntentUse, expand
from stack_emu.domain.state import Agent, Connection, Constraint, Grant, NamedIntent, ServiceScope
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import Command
from stack_emu.kernel.store import replace


class ScopeInput(Command):
    """What a passport shall get of one connection; what is left out stays as the grant or parent has it."""

    service_connection_id: str | None = Field(None, description="Connection id (scon_…)")
    connection_id: str | None = Field(None, description="The same under its other name")
    service: str | None = Field(None, description="Provider, instead of a connection id")
    scopes: list[str] | None = Field(None, description="Subset of the scopes")
    constraints: list[ConstraintInput] = Field([], description="Conditions added to those there are")
    intents: list[IntentUse | str] | None = Field(None, description="Named intents, expanded to constraints")
    allow_data_from: list[str] | None = Field(None, description="Services whose content may flow into this one")

    @property
    def reference(self) -> str | None:
        """Connection id or provider, whichever was given."""
        return self.service_connection_id or self.connection_id or self.service


@dataclass(frozen=True)
class Basis:
    """What there is to choose from.

    Args:
        scopes: what may be used.
        owner: who has it, for sentences: ``the grants of agent …`` or ``passport …``.
    """

    scopes: tuple[ServiceScope, ...]
    owner: str


def granted(ctx: Context, agent: Agent) -> Basis:
    """What an agent's grants allow, as far as the caller's own connections reach."""
    scopes = []
    for grant in ctx.world.store.find(Grant, agent_id=agent.id):
        connection = ctx.world.store.get(Connection, grant.connection_id)
        if connection is None or connection.status != "active" or not _reaches(ctx, connection.id):
            continue
        scopes.append(
            ServiceScope(
                service_name=connection.provider,
                connection_id=connection.id,
                scopes=grant.scopes,
                constraints=grant.constraints,
                intents=grant.intents,
                allow_data_from=grant.allow_data_from,
            )
        )
    names = tuple(dict.fromkeys(scope.service_name for scope in scopes))
    return Basis(tuple(_without_wildcard(scope, names) for scope in scopes), f"the grants of agent {agent.id}")


def ceilings(ctx: Context, entries: Sequence[ScopeInput], owner: str) -> Basis:
    """What entries allow on top of nothing, as far as the caller's own connections reach.

    Args:
        ctx: the call.
        entries: what is allowed of each connection; scopes left out are all of the connection's.
        owner: who allows it, for sentences.

    Raises:
        Fault: INVALID_REQUEST for constraints that cannot work.
    """
    scopes = []
    for entry in entries:
        for connection in ctx.world.store.find(Connection, operator_id=ctx.operator_id):
            if entry.reference not in (connection.id, connection.provider):
                continue
            if connection.status != "active" or not _reaches(ctx, connection.id):
                continue
            scopes.append(
                ServiceScope(
                    service_name=connection.provider,
                    connection_id=connection.id,
                    scopes=connection.scopes if entry.scopes is None else tuple(entry.scopes),
                    constraints=accepted(entry.constraints),
                    allow_data_from=None if entry.allow_data_from is None else tuple(entry.allow_data_from),
                )
            )
    names = tuple(dict.fromkeys(scope.service_name for scope in scopes))
    return Basis(tuple(_without_wildcard(scope, names) for scope in scopes), owner)


def held(ctx: Context, scopes: Sequence[ServiceScope], owner: str) -> Basis:
    """The part of some scopes whose connections are still active and within the caller's own.

    Args:
        ctx: the call.
        scopes: the scopes.
        owner: who has them, for sentences.
    """
    kept = []
    for scope in scopes:
        connection = ctx.world.store.get(Connection, scope.connection_id)
        if connection is not None and connection.status == "active" and _reaches(ctx, connection.id):
            kept.append(scope)
    return Basis(tuple(kept), owner)


def _reaches(ctx: Context, connection_id: str) -> bool:
    allowed = ctx.caller.allowed_connections
    return allowed is None or connection_id in allowed


def _without_wildcard(scope: ServiceScope, names: tuple[str, ...]) -> ServiceScope:
    """A grant's ``*`` is resolved to exact names before signing (sdk 4.0.0 passports.issue)."""
    if scope.allow_data_from is None or "*" not in scope.allow_data_from:
        return scope
    others = tuple(name for name in names if name != scope.service_name)
    return replace(scope, allow_data_from=others)


def choose(ctx: Context, basis: Basis, wanted: Sequence[ScopeInput | str] | None) -> tuple[ServiceScope, ...]:
    """The part of ``basis`` that is asked for; all of it when nothing is asked for.

    Args:
        ctx: the call.
        basis: what there is.
        wanted: an entry for each connection: its id, its provider, or an object that narrows it.

    Raises:
        Fault: SCOPE_ESCALATION for more than there is, NOT_FOUND for an unknown connection, FORBIDDEN for one that is
            not the caller's, INVALID_REQUEST for an entry that names nothing or the same connection twice.
    """
    if wanted is None:
        return basis.scopes
    chosen: list[ServiceScope] = []
    for entry in wanted:
        item = ScopeInput(service_connection_id=entry) if isinstance(entry, str) else entry
        chosen.extend(_narrow(ctx, basis, scope, item) for scope in _named(ctx, basis, item))
    ids = [scope.connection_id for scope in chosen]
    repeated = sorted({one for one in ids if ids.count(one) > 1})
    if repeated:
        raise _invalid("scopes", f"{repeated[0]} is named twice; give each connection one entry")
    return tuple(chosen)


def _named(ctx: Context, basis: Basis, item: ScopeInput) -> list[ServiceScope]:
    reference = item.reference
    if reference is None:
        raise _invalid("scopes", "an entry names no connection; give it a service_connection_id")
    found = [scope for scope in basis.scopes if reference in (scope.connection_id, scope.service_name)]
    if found:
        return found
    require_named(ctx, reference)
    have = ", ".join(scope.connection_id for scope in basis.scopes) or "no connection"
    raise Fault(faults.SCOPE_ESCALATION, what=f"Connection {reference}", parent=basis.owner, allowed=have)


def require_named(ctx: Context, reference: str) -> None:
    """Refuse an id or provider that names no connection the caller's own limits let it use.

    Raises:
        Fault: NOT_FOUND for an unknown connection, FORBIDDEN for one that is not the caller's.
    """
    connections = ctx.world.store.find(Connection, operator_id=ctx.operator_id)
    known = [one for one in connections if reference in (one.id, one.provider)]
    if not known:
        raise Fault(faults.NOT_FOUND, what="Connection", id=reference)
    if not any(_reaches(ctx, one.id) for one in known):
        raise Fault(faults.FORBIDDEN, reason=f"This key may not use {reference}; its allowed_connections leave it out")


def _narrow(ctx: Context, basis: Basis, scope: ServiceScope, item: ScopeInput) -> ServiceScope:
    scopes = scope.scopes if item.scopes is None else tuple(dict.fromkeys(item.scopes))
    if not _limits_nothing(ctx, scope):
        _within(basis, scope, "scope", scopes, scope.scopes)
    constraints = _merged(scope.constraints, accepted(item.constraints))
    flows = scope.allow_data_from
    if item.allow_data_from is not None:
        flows = tuple(dict.fromkeys(item.allow_data_from))
        if "*" in flows:
            raise _invalid("scopes.allow_data_from", "* is not accepted here; name the services")
        if scope.allow_data_from is not None:
            _within(basis, scope, "allow_data_from", flows, scope.allow_data_from)
    narrowed = replace(scope, scopes=scopes, constraints=constraints, allow_data_from=flows)
    return with_intents(ctx, narrowed, item.intents or ())


def _limits_nothing(ctx: Context, scope: ServiceScope) -> bool:
    """A connection that declares no scopes limits nothing, nor does a grant of it without scopes."""
    connection = ctx.world.store.get(Connection, scope.connection_id)
    return not scope.scopes and connection is not None and not connection.scopes


def _within(basis: Basis, scope: ServiceScope, what: str, asked: Sequence[str], allowed: Sequence[str]) -> None:
    extra = [name for name in asked if name not in allowed]
    if extra:
        raise Fault(
            faults.SCOPE_ESCALATION,
            what=f"{what} {', '.join(extra)} on {scope.service_name}",
            parent=basis.owner,
            allowed=", ".join(allowed) or "nothing",
        )


def _merged(kept: tuple[Constraint, ...], added: tuple[Constraint, ...]) -> tuple[Constraint, ...]:
    """Constraints there are and those added: they can be added to, never replaced, and all of them must hold."""
    known = [as_json(constraint) for constraint in kept]
    merged = (*kept, *(constraint for constraint in added if as_json(constraint) not in known))
    check_all(merged)
    return merged


def with_intents(ctx: Context, scope: ServiceScope, wanted: Sequence[IntentUse | str]) -> ServiceScope:
    """A scope with further named intents: their constraints are added to those there are (docs/concepts/intents).

    Raises:
        Fault: INVALID_REQUEST for an intent the connection does not offer, or parameters that are not the intent's.
    """
    names, constraints = scope.intents, scope.constraints
    for entry in wanted:
        use = IntentUse(name=entry) if isinstance(entry, str) else entry
        if use.name in scope.intents and not use.params:
            continue  # the grant has it, and its constraints stay
        connection = ctx.world.store.get(Connection, scope.connection_id)
        if connection is None:
            raise Fault(faults.NOT_FOUND, what="Connection", id=scope.connection_id)
        constraints = _merged(constraints, expand(ctx.world, connection, use.name, use.params))
        names = (*names, use.name)
    return replace(scope, intents=tuple(dict.fromkeys(names)), constraints=constraints)


def offers(ctx: Context, scope: ServiceScope, name: str) -> bool:
    """Whether a named intent can be used with a scope."""
    known = ctx.world.store.get(NamedIntent, f"{scope.connection_id}/{name}")
    return name in scope.intents or known is not None


def _invalid(field: str, problem: str) -> Fault:
    return Fault(faults.INVALID_REQUEST, problem=f"{field}: {problem}", details={"fields": {field: problem}})
