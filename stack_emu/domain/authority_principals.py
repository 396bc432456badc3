"""Authority principals: the people and organisations on whose authority agents act (sdk 4.0.0 authority)."""

from __future__ import annotations

from pydantic import Field

from stack_emu.domain import authority_endings, authority_proofs
from stack_emu.domain.authority_records import (
    HEADERS,
    READS,
    WRITES,
    Binding,
    OpenWrite,
    Principal,
    Proof,
    ProofSession,
    Shown,
    TombstoneReply,
    Write,
    base,
    change,
    conflict,
    entry_fields,
    erase,
    ids,
    known,
    named,
    once,
    own,
    status_of,
    tombstone,
)
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.operations import Audit, Command, Reply, Rest, Tool, operation
from stack_emu.kernel.world import World


class CreatePrincipal(OpenWrite):
    """A new principal; whatever else is sent is kept with it."""

    principal_kind: str = Field(
        pattern=r"^[a-z][a-z0-9_]{0,63}$", description="What it is, for example individual or organisation"
    )


class PrincipalById(Command):
    """Names a principal."""

    principal_id: str = Field(description="Principal id (prn_…)")


class ErasePrincipal(Write):
    """Names the principal to erase."""

    principal_id: str = Field(description="Principal id (prn_…)")


class ArchivePrincipal(ErasePrincipal):
    """Names the principal to archive."""

    reason_code: str = Field(min_length=1, max_length=100, description="Why, as a code")


class PrincipalReply(Reply):
    """A principal."""

    principal: Shown


class PrincipalList(Reply):
    """Principals, oldest first."""

    principals: list[Shown]


def view(world: World, principal: Principal) -> dict[str, object]:
    """A principal as it is shown."""
    return {**base(principal), "principal_kind": principal.principal_kind}


def _reply(ctx: Context, principal: Principal) -> PrincipalReply:
    return PrincipalReply(principal=Shown.model_validate(view(ctx.world, principal)))


@operation(
    "authority.create_principal",
    rest=Rest("POST", "/v1/authority/principals", status=201, headers=HEADERS),
    tool=Tool("stack_create_authority_principal"),
    auth=WRITES,
    audit=Audit("authority.create_principal"),
    source="sdk 4.0.0 authority.create_principal",
    grade="sdk-implied",
)
def create_principal(ctx: Context, command: CreatePrincipal) -> PrincipalReply:
    """Make a principal. Its fields may be about a person: they are shown to the account and kept nowhere else.

    Raises:
        Fault: INVALID_REQUEST, IDEMPOTENCY_CONFLICT.
    """

    def make() -> PrincipalReply:
        principal = Principal(
            id=ctx.act.new_id("authority-principal", "prn_"),
            principal_kind=command.principal_kind,
            **entry_fields(ctx, command.model_extra),
        )
        ctx.world.store.put(principal)
        ctx.row.set(**named(principal))
        return _reply(ctx, principal)

    return once(ctx, command, PrincipalReply, make)


@operation(
    "authority.list_principals",
    rest=Rest("GET", "/v1/authority/principals"),
    tool=Tool("stack_list_authority_principals"),
    auth=READS,
    source="sdk 4.0.0 authority.list_principals",
    grade="sdk-implied",
)
def list_principals(ctx: Context, command: Command) -> PrincipalList:
    """List the account's principals, oldest first, those archived and erased included."""
    return PrincipalList(principals=[Shown.model_validate(view(ctx.world, one)) for one in known(ctx, Principal)])


@operation(
    "authority.get_principal",
    rest=Rest("GET", "/v1/authority/principals/{principal_id}"),
    tool=Tool("stack_get_authority_principal"),
    auth=READS,
    source="sdk 4.0.0 authority.get_principal",
    grade="sdk-implied",
)
def get_principal(ctx: Context, command: PrincipalById) -> PrincipalReply:
    """Show a principal; of an erased one no data is left.

    Raises:
        Fault: NOT_FOUND.
    """
    return _reply(ctx, own(ctx, Principal, command.principal_id))


@operation(
    "authority.archive_principal",
    rest=Rest("POST", "/v1/authority/principals/{principal_id}/archive", headers=HEADERS),
    tool=Tool("stack_archive_authority_principal", destructive=True),
    auth=WRITES,
    audit=Audit("authority.archive_principal"),
    source="sdk 4.0.0 authority.archive_principal",
    grade="sdk-implied",
)
def archive_principal(ctx: Context, command: ArchivePrincipal) -> PrincipalReply:
    """Archive a principal: it is bound no more; bindings it has stay as they are.

    Raises:
        Fault: NOT_FOUND, CONFLICT when it is not active, IDEMPOTENCY_CONFLICT.
    """

    def make() -> PrincipalReply:
        principal = own(ctx, Principal, command.principal_id)
        ctx.row.set(**named(principal))
        if principal.status != "active":
            raise conflict(f"{principal.id} is {principal.status}; only an active principal can be archived")
        return _reply(ctx, change(ctx, principal, view, status="archived", reason_code=command.reason_code))

    return once(ctx, command, PrincipalReply, make)


@operation(
    "authority.erase_principal",
    rest=Rest("POST", "/v1/authority/principals/{principal_id}/erase", headers=HEADERS),
    tool=Tool("stack_erase_authority_principal", destructive=True),
    auth=WRITES,
    audit=Audit("authority.erase_principal"),
    source="sdk 4.0.0 authority.erase_principal",
    grade="sdk-implied",
)
def erase_principal(ctx: Context, command: ErasePrincipal) -> TombstoneReply:
    """Erase a principal's data, with that of its proofs, of its proof collections and of its bindings; ids stay.

    Raises:
        Fault: NOT_FOUND, CONFLICT while one of its bindings is active (revoke it first), IDEMPOTENCY_CONFLICT.
    """

    def make() -> TombstoneReply:
        principal = own(ctx, Principal, command.principal_id)
        ctx.row.set(**named(principal))
        mine = list(ctx.world.store.find(Binding, principal_id=principal.id))
        standing = [one for one in mine if status_of(one, ctx.now_ms) == "active"]
        if standing:
            listed = ", ".join(ids(standing))
            raise conflict(f"{principal.id} is bound by {listed}; revoke that first", binding_ids=ids(standing))
        for binding in mine:
            authority_endings.erase_one(ctx, binding)
        for proof in list(ctx.world.store.find(Proof, principal_id=principal.id)):
            authority_proofs.erase_one(ctx, proof)
        for session in list(ctx.world.store.find(ProofSession, principal_id=principal.id)):
            erase(ctx, session, authority_proofs.session_view)
        return tombstone(erase(ctx, principal, view))

    return once(ctx, command, TombstoneReply, make)
