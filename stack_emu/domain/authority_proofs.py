"""Authority proofs: evidence of what a principal may do, imported or collected (sdk 4.0.0 authority).

How a proof is collected from a person is not published: here a session is pending in the reply to its creation
and completed from then on, with a proof of the kind it asks for.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from stack_emu.domain.authority_records import (
    ERASED,
    HEADERS,
    READS,
    WRITES,
    OpenWrite,
    Principal,
    Proof,
    ProofSession,
    Shown,
    Write,
    base,
    change,
    conflict,
    entry_fields,
    erase,
    known,
    named,
    once,
    own,
    shown_at,
)
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.operations import Audit, Command, Reply, Rest, Tool, operation
from stack_emu.kernel.store import replace
from stack_emu.kernel.world import World

_KIND = r"^[a-z][a-z0-9_]{0,63}$"


class ImportProof(OpenWrite):
    """A proof that exists; whatever else is sent is kept with it."""

    principal_id: str = Field(description="Whose authority it proves (prn_…)")
    proof_kind: str = Field(pattern=_KIND, description="What it is, for example mandate")


class CreateSession(OpenWrite):
    """A proof to collect; whatever else is sent is kept with the session."""

    principal_id: str = Field(description="From whom (prn_…)")
    proof_kind: str = Field("collected", pattern=_KIND, description="What the proof is to be")


class SessionById(Command):
    """Names a proof collection session."""

    session_id: str = Field(description="Session id (pcs_…)")


class ProofById(Command):
    """Names a proof, or a version of it."""

    proof_id: str = Field(description="Proof id (prf_…)")
    version: int | None = Field(None, ge=1, description="Version; the latest when left out")


class EraseProof(Write):
    """Names the proof to erase."""

    proof_id: str = Field(description="Proof id (prf_…)")


class RevokeProof(EraseProof):
    """Names the proof to revoke."""

    reason_code: str = Field(min_length=1, max_length=100, description="Why, as a code")


class ProofReply(Reply):
    """A proof."""

    proof: Shown


class ProofList(Reply):
    """Proofs, oldest first."""

    proofs: list[Shown]


class SessionReply(Reply):
    """A proof collection session."""

    session: Shown


def view(world: World, proof: Proof) -> dict[str, Any]:
    """A proof as it is shown."""
    shown = {**base(proof), "principal_id": proof.principal_id, "proof_kind": proof.proof_kind}
    return shown if proof.session_id is None else {**shown, "session_id": proof.session_id}


def session_view(world: World, session: ProofSession) -> dict[str, Any]:
    """A proof collection session as it is shown."""
    named_by = {"principal_id": session.principal_id, "proof_kind": session.proof_kind, "proof_id": session.proof_id}
    return {**base(session), **named_by}


def erase_one(ctx: Context, proof: Proof) -> Proof:
    """Erase a proof's data."""
    return erase(ctx, proof, view)


def require_principal(ctx: Context, principal_id: str) -> Principal:
    """The account's principal, when it is active.

    Raises:
        Fault: NOT_FOUND, CONFLICT.
    """
    principal = own(ctx, Principal, principal_id)
    if principal.status != "active":
        raise conflict(f"{principal.id} is {principal.status}; use an active principal, or create one")
    return principal


def _reply(ctx: Context, proof: Proof) -> ProofReply:
    return ProofReply(proof=Shown.model_validate(view(ctx.world, proof)))


@operation(
    "authority.import_proof",
    rest=Rest("POST", "/v1/authority/proofs/import", status=201, headers=HEADERS),
    tool=Tool("stack_import_authority_proof"),
    auth=WRITES,
    audit=Audit("authority.import_proof"),
    source="sdk 4.0.0 authority.import_proof",
    grade="sdk-implied",
)
def import_proof(ctx: Context, command: ImportProof) -> ProofReply:
    """Import a proof of a principal's authority; it is taken as valid.

    Raises:
        Fault: NOT_FOUND, CONFLICT for a principal that is not active, IDEMPOTENCY_CONFLICT.
    """

    def make() -> ProofReply:
        principal = require_principal(ctx, command.principal_id)
        proof = Proof(
            id=ctx.act.new_id("authority-proof", "prf_"),
            principal_id=principal.id,
            proof_kind=command.proof_kind,
            status="valid",
            **entry_fields(ctx, command.model_extra),
        )
        ctx.world.store.put(proof)
        ctx.row.set(**named(proof), **named(principal))
        return _reply(ctx, proof)

    return once(ctx, command, ProofReply, make)


@operation(
    "authority.create_proof_collection_session",
    rest=Rest("POST", "/v1/authority/proof-collection-sessions", status=201, headers=HEADERS),
    tool=Tool("stack_create_authority_proof_session"),
    auth=WRITES,
    audit=Audit("authority.create_proof_collection_session"),
    source="sdk 4.0.0 authority.create_proof_collection_session",
    grade="sdk-implied",
)
def create_session(ctx: Context, command: CreateSession) -> SessionReply:
    """Begin to collect a proof from a principal. The session is pending, and completed when it is next looked at.

    Raises:
        Fault: NOT_FOUND, CONFLICT for a principal that is not active, IDEMPOTENCY_CONFLICT.
    """

    def make() -> SessionReply:
        principal = require_principal(ctx, command.principal_id)
        session = ProofSession(
            id=ctx.act.new_id("authority-session", "pcs_"),
            principal_id=principal.id,
            proof_kind=command.proof_kind,
            status="pending",
            **entry_fields(ctx, command.model_extra),
        )
        ctx.world.store.put(session)
        ctx.row.set(**named(session), **named(principal))
        _collect(ctx, session)
        return SessionReply(session=Shown.model_validate(session_view(ctx.world, session)))

    return once(ctx, command, SessionReply, make)


def _collect(ctx: Context, session: ProofSession) -> None:
    """Collect a session's proof. The reply to its creation still shows it pending: it is seen done when next read."""
    proof = Proof(
        id=ctx.act.new_id("authority-proof", "prf_"),
        principal_id=session.principal_id,
        proof_kind=session.proof_kind,
        status="valid",
        session_id=session.id,
        **entry_fields(ctx),
    )
    ctx.world.store.put(proof)
    ctx.world.store.put(replace(session, status="completed", proof_id=proof.id, version=session.version + 1))
    ctx.row.set(**named(proof))


@operation(
    "authority.get_proof_collection_session",
    rest=Rest("GET", "/v1/authority/proof-collection-sessions/{session_id}"),
    tool=Tool("stack_get_authority_proof_session"),
    auth=READS,
    source="sdk 4.0.0 authority.get_proof_collection_session",
    grade="sdk-implied",
)
def get_session(ctx: Context, command: SessionById) -> SessionReply:
    """Show a proof collection session, with the id of its proof once that is collected.

    Raises:
        Fault: NOT_FOUND.
    """
    session = own(ctx, ProofSession, command.session_id)
    return SessionReply(session=Shown.model_validate(session_view(ctx.world, session)))


@operation(
    "authority.list_proofs",
    rest=Rest("GET", "/v1/authority/proofs"),
    tool=Tool("stack_list_authority_proofs"),
    auth=READS,
    source="sdk 4.0.0 authority.list_proofs",
    grade="sdk-implied",
)
def list_proofs(ctx: Context, command: Command) -> ProofList:
    """List the account's proofs, oldest first, those revoked and erased included."""
    return ProofList(proofs=[Shown.model_validate(view(ctx.world, one)) for one in known(ctx, Proof)])


@operation(
    "authority.get_proof",
    rest=Rest("GET", "/v1/authority/proofs/{proof_id}"),
    tool=Tool("stack_get_authority_proof"),
    auth=READS,
    source="sdk 4.0.0 authority.get_proof",
    grade="sdk-implied",
)
def get_proof(ctx: Context, command: ProofById) -> ProofReply:
    """Show a proof, or an earlier version of it; of an erased one no data is left.

    Raises:
        Fault: NOT_FOUND, also for a version there is none of.
    """
    proof = own(ctx, Proof, command.proof_id)
    return ProofReply(proof=Shown.model_validate(shown_at(ctx, proof, view, command.version)))


@operation(
    "authority.revoke_proof",
    rest=Rest("POST", "/v1/authority/proofs/{proof_id}/revoke", headers=HEADERS),
    tool=Tool("stack_revoke_authority_proof", destructive=True),
    auth=WRITES,
    audit=Audit("authority.revoke_proof"),
    source="sdk 4.0.0 authority.revoke_proof",
    grade="sdk-implied",
)
def revoke_proof(ctx: Context, command: RevokeProof) -> ProofReply:
    """Revoke a proof: no binding is made or activated with it any more.

    Raises:
        Fault: NOT_FOUND, CONFLICT when it is not valid, IDEMPOTENCY_CONFLICT.
    """

    def make() -> ProofReply:
        proof = own(ctx, Proof, command.proof_id)
        ctx.row.set(**named(proof))
        if proof.status != "valid":
            raise conflict(f"{proof.id} is {proof.status}; only a valid proof can be revoked")
        return _reply(ctx, change(ctx, proof, view, status="revoked", reason_code=command.reason_code))

    return once(ctx, command, ProofReply, make)


@operation(
    "authority.erase_proof",
    rest=Rest("POST", "/v1/authority/proofs/{proof_id}/erase", headers=HEADERS),
    tool=Tool("stack_erase_authority_proof", destructive=True),
    auth=WRITES,
    audit=Audit("authority.erase_proof"),
    source="sdk 4.0.0 authority.erase_proof",
    grade="sdk-implied",
)
def erase_proof(ctx: Context, command: EraseProof) -> ProofReply:
    """Erase a proof's data in all its versions; unlike the other erasures this one answers with the proof.

    Raises:
        Fault: NOT_FOUND, IDEMPOTENCY_CONFLICT.
    """

    def make() -> ProofReply:
        proof = own(ctx, Proof, command.proof_id)
        ctx.row.set(**named(proof))
        return _reply(ctx, erase_one(ctx, proof) if proof.status != ERASED else proof)

    return once(ctx, command, ProofReply, make)
