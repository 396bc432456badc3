"""Identity requirements of services: which claims a passport must carry to use one. The checks are in identity_records."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from stack_emu.domain import faults
from stack_emu.domain.authentication import ACCOUNT
from stack_emu.domain.identity_claims import READ, WRITE
from stack_emu.domain.identity_providers import PROVIDERS
from stack_emu.domain.identity_records import IDENTITY, ServiceRequirement
from stack_emu.domain.service_catalogue import SERVICE_PREFIX
from stack_emu.domain.services import providers, visible_connections
from stack_emu.domain.state import Connection
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import Audit, Auth, Command, Reply, Rest, Tool, operation

ClaimType = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]
ScopeName = Annotated[str, StringConstraints(min_length=1, max_length=128)]
_READS = Auth(bearers=ACCOUNT, scope=READ)
_WRITES = Auth(bearers=ACCOUNT, scope=WRITE, role="admin")


class RequirementTerms(Command):
    """What a passport must carry."""

    layer: Literal["humanity", "identity", "delegation"] = Field(description="humanity, identity or delegation")
    requires_claim: ClaimType = Field(description="Type of the claim, such as verified_identity")
    minimum_assurance: Literal["low", "substantial", "high"] = Field(description="Least assurance of the claim")
    accepted_providers: list[str] | None = Field(None, description="Providers whose claims count; any when left out")
    required_scopes: list[ScopeName] | None = Field(
        None, description="Scopes the claim must be delegated for; goes with the layer delegation"
    )
    requires_pii: bool | None = Field(
        None, description="Must be true with the layer identity: it handles personal data"
    )
    lawful_basis: Annotated[str, StringConstraints(min_length=1, max_length=256)] | None = Field(
        None, description="On what lawful basis; needed with the layer identity"
    )


class ServiceById(Command):
    """Names a service."""

    service_id: str = Field(description="Service: svc_slack, a provider such as slack, or a connection (scon_…)")


class SetRequirement(ServiceById, RequirementTerms):
    """A requirement, and the service it is for."""


class ReplaceRequirement(ServiceById):
    """The one requirement a service shall have."""

    requirement: RequirementTerms | None = Field(None, description="The requirement; null or absent for none")


class RequirementById(ServiceById):
    """Names a requirement of a service."""

    requirement_id: str = Field(description="Requirement id (irq_…)")


class RequirementReply(Reply):
    """A requirement of a service."""

    id: str
    operator_id: str
    service_id: str
    layer: str
    requires_claim: str
    minimum_assurance: str
    accepted_providers: list[str]
    required_scopes: list[str] | None
    requires_pii: bool
    lawful_basis: str | None


class RequirementList(Reply):
    """The requirements of a service after a change."""

    requirements: list[RequirementReply]


class DeletedRequirement(Reply):
    """A requirement that is gone."""

    id: str
    deleted: bool


def _reply(requirement: ServiceRequirement) -> RequirementReply:
    scopes = requirement.required_scopes
    return RequirementReply(
        id=requirement.id,
        operator_id=requirement.operator_id,
        service_id=requirement.service_id,
        layer=requirement.layer,
        requires_claim=requirement.requires_claim,
        minimum_assurance=requirement.minimum_assurance,
        accepted_providers=list(requirement.accepted_providers),
        required_scopes=None if scopes is None else list(scopes),
        requires_pii=requirement.requires_pii,
        lawful_basis=requirement.lawful_basis,
    )


def _target(ctx: Context, reference: str) -> str:
    """The service meant: a connection of the account, or the catalogue id of a service that it has or could connect.

    Raises:
        Fault: NOT_FOUND.
    """
    visible = list(visible_connections(ctx.world, ctx.caller))
    if any(one.id == reference for one in visible):
        return reference
    slug = reference.removeprefix(SERVICE_PREFIX)
    known = {one.provider for one in visible}
    if ctx.caller.allowed_connections is None:
        known |= {one.slug for one in providers(ctx.world)}
    if slug in known:
        return SERVICE_PREFIX + slug
    raise Fault(faults.NOT_FOUND, what="Service", id=reference)


def _target_to_change(ctx: Context, reference: str) -> str:
    """As ``_target``; who is limited to connections changes nothing that holds beyond them.

    Raises:
        Fault: NOT_FOUND or FORBIDDEN.
    """
    target = _target(ctx, reference)  # before the row says anything: it must not name what the caller may not see
    connection = ctx.world.store.get(Connection, target)
    if connection is not None:
        ctx.row.set(service=connection.provider, connection=connection.id)
    else:
        ctx.row.set(service=target)
    allowed = ctx.caller.allowed_connections
    if allowed is not None and target not in allowed:
        mine = ctx.world.store.find(Connection, operator_id=ctx.operator_id)
        named = ", ".join(one.id for one in mine if one.id in allowed and one.service_id == target)
        reason = f"This key may not change what holds for every connection of {target}; name one of its own: {named}"
        raise Fault(faults.FORBIDDEN, reason=reason)
    return target


def _of(ctx: Context, target: str) -> list[ServiceRequirement]:
    return list(ctx.world.store.find(ServiceRequirement, service_id=target, operator_id=ctx.operator_id))


@operation(
    "identity.get_service_requirements",
    rest=Rest("GET", "/v1/services/{service_id}/requirements"),
    tool=Tool("stack_get_service_requirements"),
    auth=_READS,
    source="sdk 4.0.0 identity.get_service_requirements",
    grade="documented",
)
def get_service_requirements(ctx: Context, command: ServiceById) -> list[RequirementReply]:
    """List the requirements set for a service, or for one connection of it, oldest first.

    Raises:
        Fault: NOT_FOUND.
    """
    return [_reply(one) for one in _of(ctx, _target(ctx, command.service_id))]


@operation(
    "identity.set_service_requirement",
    rest=Rest("POST", "/v1/services/{service_id}/requirements", status=201),
    tool=Tool("stack_set_service_requirement"),
    auth=_WRITES,
    audit=Audit("identity.requirement_set"),
    source="sdk 4.0.0 identity.set_service_requirement; docs/api/identity",
    grade="documented",
)
def set_service_requirement(ctx: Context, command: SetRequirement) -> RequirementReply:
    """Require a claim of whoever uses a service. A requirement of the same layer and claim is replaced.

    It holds for passports from their issue on, for the proxy and for credentials from the next call on.

    Raises:
        Fault: NOT_FOUND, FORBIDDEN for a key limited to some connections of the service, INVALID_REQUEST.
    """
    target = _target_to_change(ctx, command.service_id)
    made = _made(ctx, target, command)
    for known in _of(ctx, target):
        if (known.layer, known.requires_claim) == (made.layer, made.requires_claim):
            ctx.world.store.delete(ServiceRequirement, known.id)
    return _reply(ctx.world.store.put(made))


def _made(ctx: Context, target: str, terms: RequirementTerms) -> ServiceRequirement:
    ctx.row.set(claim_layer=terms.layer, requires_claim=terms.requires_claim, minimum_assurance=terms.minimum_assurance)
    _check(terms)
    requirement = ServiceRequirement(
        id=ctx.act.new_id("service-requirement", "irq_"),
        operator_id=ctx.operator_id,
        service_id=target,
        layer=terms.layer,
        requires_claim=terms.requires_claim,
        minimum_assurance=terms.minimum_assurance,
        created_at=ctx.stamp_ms,
        accepted_providers=tuple(dict.fromkeys(terms.accepted_providers or ())),
        required_scopes=None if terms.required_scopes is None else tuple(dict.fromkeys(terms.required_scopes)),
        requires_pii=bool(terms.requires_pii),
        lawful_basis=terms.lawful_basis,
    )
    ctx.row.set(requirement=requirement.id)
    return requirement


def _check(terms: RequirementTerms) -> None:
    keys = [provider.key for provider in PROVIDERS]
    unknown = sorted(set(terms.accepted_providers or ()) - set(keys))
    if unknown:
        raise _invalid("accepted_providers", f"there is no identity provider {unknown[0]}; there are {', '.join(keys)}")
    if terms.layer == IDENTITY and terms.requires_pii is not True:
        raise _invalid("requires_pii", "a requirement of the layer identity handles personal data; send true")
    if terms.layer == IDENTITY and terms.lawful_basis is None:
        raise _invalid("lawful_basis", "a requirement of the layer identity names one, such as contract")
    if terms.required_scopes and terms.layer != "delegation":
        raise _invalid("required_scopes", f"they go with the layer delegation, not with {terms.layer}")


def _invalid(field: str, problem: str) -> Fault:
    return Fault(faults.INVALID_REQUEST, problem=f"{field}: {problem}", details={"fields": {field: problem}})


@operation(
    "identity.replace_service_requirement",
    rest=Rest("PUT", "/v1/services/{service_id}/requirements"),
    tool=Tool("stack_replace_service_requirement", idempotent=True),
    auth=_WRITES,
    audit=Audit("identity.requirement_replace"),
    source="sdk 4.0.0 identity.replace_service_requirement",
    grade="documented",
)
def replace_service_requirement(ctx: Context, command: ReplaceRequirement) -> RequirementList:
    """Put one requirement in the place of all that a service has; null takes them all away.

    Raises:
        Fault: NOT_FOUND, FORBIDDEN for a key limited to some connections of the service, INVALID_REQUEST.
    """
    target = _target_to_change(ctx, command.service_id)
    made = _made(ctx, target, command.requirement) if command.requirement is not None else None
    for known in _of(ctx, target):
        ctx.world.store.delete(ServiceRequirement, known.id)
    if made is not None:
        ctx.world.store.put(made)
    return RequirementList(requirements=[_reply(one) for one in _of(ctx, target)])


@operation(
    "identity.delete_service_requirement",
    rest=Rest("DELETE", "/v1/services/{service_id}/requirements/{requirement_id}"),
    tool=Tool("stack_delete_service_requirement", destructive=True),
    auth=_WRITES,
    audit=Audit("identity.requirement_delete"),
    source="sdk 4.0.0 identity.delete_service_requirement; the reply's shape is not published",
    grade="documented",
)
def delete_service_requirement(ctx: Context, command: RequirementById) -> DeletedRequirement:
    """Take a requirement of a service away.

    Raises:
        Fault: NOT_FOUND, FORBIDDEN for a key limited to some connections of the service.
    """
    ctx.row.set(requirement=command.requirement_id)
    target = _target_to_change(ctx, command.service_id)
    requirement = ctx.world.store.get(ServiceRequirement, command.requirement_id)
    mine = requirement is not None and requirement.operator_id == ctx.operator_id
    if requirement is None or not mine or requirement.service_id != target:
        raise Fault(faults.NOT_FOUND, what="Requirement", id=command.requirement_id)
    ctx.world.store.delete(ServiceRequirement, requirement.id)
    return DeletedRequirement(id=requirement.id, deleted=True)
