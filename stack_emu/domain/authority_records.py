"""What the authority families keep, and what their operations have in common.

The SDK hands callers' fields on as they are and names none of them (sdk 4.0.0 authority): those that mean something here
are checked, all others are kept and shown. Fields may be about people, so neither rows nor journals hold their values,
and erasing takes them out of the record, its earlier versions and every remembered reply.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import ConfigDict, Field

from stack_emu.domain import faults, idempotency
from stack_emu.domain.authentication import MEMBER, OPERATOR, SESSION
from stack_emu.domain.state import JsonObject
from stack_emu.kernel.clock import iso, parse_iso
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import VOLATILE, Auth, Command, PersonalCommand, Reply
from stack_emu.kernel.store import replace
from stack_emu.kernel.world import World

HEADERS = {idempotency.HEADER: "idempotency_key"}
_WHO = frozenset({OPERATOR, MEMBER, SESSION})
READS = Auth(bearers=_WHO)
WRITES = Auth(bearers=_WHO, role="admin")
ERASED = "erased"

Key = Annotated[str, VOLATILE]


class Write(Command):
    """A write under an idempotency key."""

    idempotency_key: Key = Field(
        min_length=1, max_length=255, description="Idempotency-Key of the request; every write needs one"
    )


class OpenWrite(PersonalCommand):
    """A write under an idempotency key that keeps fields of any name."""

    idempotency_key: Key = Field(
        min_length=1, max_length=255, description="Idempotency-Key of the request; every write needs one"
    )


class Shown(Reply):
    """A record: its own fields and those its caller gave it."""

    model_config = ConfigDict(extra="allow")

    id: str
    status: str


class Tombstone(Reply):
    """What is left of something erased."""

    id: str
    kind: str
    status: str
    erased_at: str


class TombstoneReply(Reply):
    """An erasure."""

    tombstone: Tombstone


@dataclass(frozen=True)
class Entry:
    """A record of this family. ``given`` is what its caller gave; ``history`` its earlier versions as they were shown."""

    INDEXES: ClassVar[tuple[str, ...]] = ("operator_id",)
    TABLE: ClassVar[str] = ""
    KIND: ClassVar[str] = ""
    id: str
    operator_id: str
    created_at: int
    updated_at: int
    status: str = "active"
    version: int = 1
    given: JsonObject = field(default_factory=dict)
    history: tuple[JsonObject, ...] = ()
    reason_code: str | None = None
    erased_at: int | None = None


@dataclass(frozen=True)
class Principal(Entry):
    """Somebody on whose authority agents act: active, archived or erased."""

    TABLE: ClassVar[str] = "authority_principals"
    KIND: ClassVar[str] = "principal"
    principal_kind: str = ""


@dataclass(frozen=True)
class Proof(Entry):
    """Evidence of a principal's authority: valid, revoked or erased."""

    TABLE: ClassVar[str] = "authority_proofs"
    INDEXES: ClassVar[tuple[str, ...]] = ("operator_id", "principal_id")
    KIND: ClassVar[str] = "proof"
    principal_id: str = ""
    proof_kind: str = ""
    session_id: str | None = None


@dataclass(frozen=True)
class ProofSession(Entry):
    """The collection of a proof from a principal: pending, completed or erased."""

    TABLE: ClassVar[str] = "authority_proof_sessions"
    INDEXES: ClassVar[tuple[str, ...]] = ("operator_id", "principal_id")
    KIND: ClassVar[str] = "session"
    principal_id: str = ""
    proof_kind: str = ""
    proof_id: str | None = None


@dataclass(frozen=True)
class Binding(Entry):
    """A principal's authority in the hands of an agent: draft, active, revoked or erased."""

    TABLE: ClassVar[str] = "authority_bindings"
    INDEXES: ClassVar[tuple[str, ...]] = ("operator_id", "principal_id", "parent_binding_id")
    KIND: ClassVar[str] = "binding"
    principal_id: str = ""
    agent_id: str = ""
    claim_id: str = ""
    proof_ids: tuple[str, ...] = ()
    receiver_id: str | None = None
    profile_id: str | None = None
    parent_binding_id: str | None = None
    expires_at: int = 0
    limits: JsonObject = field(default_factory=dict)


@dataclass(frozen=True)
class ApprovalRequest(Entry):
    """A human's approval that is asked for, of a binding or (without one) of an enterprise request."""

    TABLE: ClassVar[str] = "authority_approval_requests"
    INDEXES: ClassVar[tuple[str, ...]] = ("operator_id", "binding_id")
    KIND: ClassVar[str] = "approval_request"
    binding_id: str | None = None
    agent_id: str | None = None
    approver_id: str | None = None
    decided_at: int | None = None


@dataclass(frozen=True)
class Receiver(Entry):
    """Who authority is shown to: unverified or verified."""

    TABLE: ClassVar[str] = "authority_receivers"
    KIND: ClassVar[str] = "receiver"
    challenge_id: str | None = None
    verified_at: int | None = None


@dataclass(frozen=True)
class ReceiverKey(Entry):
    """A public key of a receiver: active or revoked."""

    TABLE: ClassVar[str] = "authority_receiver_keys"
    INDEXES: ClassVar[tuple[str, ...]] = ("operator_id", "receiver_id")
    KIND: ClassVar[str] = "key"
    receiver_id: str = ""


@dataclass(frozen=True)
class Profile(Entry):
    """A version of a profile: draft, active or superseded; one of a kind is active."""

    TABLE: ClassVar[str] = "authority_profiles"
    KIND: ClassVar[str] = "profile"
    profile_kind: str = ""
    number: int = 1


@dataclass(frozen=True)
class Presentation(Entry):
    """Bindings shown in a passport."""

    TABLE: ClassVar[str] = "authority_presentations"
    INDEXES: ClassVar[tuple[str, ...]] = ("operator_id", "passport_id")
    KIND: ClassVar[str] = "presentation"
    passport_id: str = ""
    agent_id: str = ""
    refs: tuple[JsonObject, ...] = ()


@dataclass(frozen=True)
class Use(Entry):
    """A write that was made under a binding."""

    TABLE: ClassVar[str] = "authority_uses"
    KIND: ClassVar[str] = "use"
    binding_id: str = ""
    passport_id: str = ""
    agent_id: str = ""
    operation_id: str = ""
    service: str = ""
    method: str = ""


E = TypeVar("E", bound=Entry)
R = TypeVar("R", bound=Reply)
View = Callable[[World, Any], dict[str, Any]]


def own(ctx: Context, kind: type[E], record_id: str) -> E:
    """The account's record.

    Raises:
        Fault: NOT_FOUND.
    """
    found = ctx.world.store.get(kind, record_id)
    if found is None or found.operator_id != ctx.operator_id:
        what = kind.KIND.replace("_", " ")
        raise Fault(faults.NOT_FOUND, what=f"Authority {what}", id=record_id)
    return found


def known(ctx: Context, kind: type[E]) -> list[E]:
    """The account's records of a kind, oldest first."""
    return list(ctx.world.store.find(kind, operator_id=ctx.operator_id))


def named(record: Entry) -> dict[str, str]:
    """What an audit row says of a record: its id, which is of no person."""
    return {f"authority_{record.KIND}": record.id}


def base(record: Entry) -> dict[str, Any]:
    """The fields every record shows, after those its caller gave it; of an erased one nothing else is left."""
    shown = {
        **record.given,
        "id": record.id,
        "status": record.status,
        "version": record.version,
        "created_at": iso(record.created_at),
        "updated_at": iso(record.updated_at),
    }
    if record.reason_code is not None:
        shown["reason_code"] = record.reason_code
    if record.erased_at is not None:
        shown["erased_at"] = iso(record.erased_at)
    return shown


def entry_fields(ctx: Context, given: JsonObject | None = None) -> dict[str, Any]:
    """The fields of a new record that come from the call."""
    return {
        "operator_id": ctx.operator_id,
        "created_at": ctx.stamp_ms,
        "updated_at": ctx.stamp_ms,
        "given": dict(given or {}),
    }


def change(ctx: Context, record: E, view: View, **changes: Any) -> E:
    """A record's next version; the one before stays readable."""
    before = view(ctx.world, record)
    made = replace(
        record,
        **changes,
        version=record.version + 1,
        updated_at=ctx.stamp_ms,
        history=(*record.history, before),
    )
    return ctx.world.store.put(made)


def shown_at(ctx: Context, record: Entry, view: View, version: int | None) -> dict[str, Any]:
    """A record as it is, or as one of its versions was.

    Raises:
        Fault: NOT_FOUND for a version there is none of, or whose data was erased.
    """
    if version is None or version == record.version:
        return view(ctx.world, record)
    found = next((item for item in record.history if item["version"] == version), None)
    if found is None:
        what = f"Version {version} of authority {record.KIND}"
        raise Fault(faults.NOT_FOUND, what=what, id=f"{record.id} (now at version {record.version})")
    return dict(found)


def erase(ctx: Context, record: E, view: View, **cleared: Any) -> E:
    """Take everything its caller gave out of a record, of its versions and of remembered replies; once is enough.

    Args:
        ctx: the call.
        record: what to erase.
        view: how it is shown.
        **cleared: further fields to empty.
    """
    if record.status == ERASED:
        return record
    gone: E = replace(
        record,
        **cleared,
        given={},
        history=(),
        reason_code=None,
        status=ERASED,
        version=record.version + 1,
        updated_at=ctx.stamp_ms,
        erased_at=ctx.stamp_ms,
    )
    ctx.world.store.put(gone)
    left = view(ctx.world, gone)
    for name in (record.KIND, f"{record.KIND}s"):
        idempotency.rewrite(ctx, name, record.id, left)
    return gone


def tombstone(record: Entry) -> TombstoneReply:
    """What an erasure is answered with."""
    erased_at = iso(record.erased_at or record.updated_at)
    return TombstoneReply(tombstone=Tombstone(id=record.id, kind=record.KIND, status=ERASED, erased_at=erased_at))


def once(ctx: Context, command: Write | OpenWrite, model: type[R], make: Callable[[], R]) -> R:
    """Make a reply under the command's idempotency key."""
    return idempotency.once(ctx, command, command.idempotency_key, model, make)


def invalid(name: str, problem: str) -> Fault:
    """A refusal that names the field."""
    return Fault(faults.INVALID_REQUEST, problem=f"{name}: {problem}", details={"fields": {name: problem}})


def conflict(problem: str, **details: Any) -> Fault:
    """A refusal for the state something is in."""
    return Fault(faults.CONFLICT, problem=problem, details=details)


def instant(name: str, text: str) -> int:
    """The milliseconds of a caller's instant.

    Raises:
        Fault: INVALID_REQUEST.
    """
    try:
        return parse_iso(text)
    except ValueError:
        raise invalid(name, "must be an ISO-8601 instant, such as 2030-01-01T00:00:00Z") from None


def status_of(binding: Binding, now_ms: int) -> str:
    """The status of a binding at an instant: what has passed its end is expired."""
    over = binding.status in ("draft", "active") and binding.expires_at <= now_ms
    return "expired" if over else binding.status


def ids(records: Iterable[Entry]) -> list[str]:
    """The ids of records."""
    return [record.id for record in records]
