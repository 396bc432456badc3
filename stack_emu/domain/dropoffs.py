"""Drop-offs: one agent leaves data for another, checked against a schema, collected once (docs/api/dropoffs).

A drop-off goes ``created`` → ``deposited`` → ``collected``, or ends as ``expired``; there is no way back. What was
deposited is kept until it is collected or expires, and stands in no row and no journal: those have its hash and size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AliasChoices, Field, model_validator

from stack_emu.domain import faults, meters
from stack_emu.domain.agents import require_agent
from stack_emu.domain.authentication import ANY_BEARER, passport_record, require_live
from stack_emu.domain.issuance import presented
from stack_emu.domain.json_schemas import check_schema, mismatches
from stack_emu.domain.missions import require_live_mission
from stack_emu.domain.partners import made_with_grant
from stack_emu.domain.state import Mission, Passport
from stack_emu.kernel.acts import Act
from stack_emu.kernel.canonical import canonical_json
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault, FaultSpec
from stack_emu.kernel.operations import (
    SECRET,
    TOKEN,
    Audit,
    Auth,
    Caller,
    Command,
    Reply,
    Rest,
    Tool,
    on_timer,
    operation,
)
from stack_emu.kernel.store import replace
from stack_emu.kernel.world import Timer, World

DEFAULT_TTL_SECONDS = 1800
MAX_TTL_SECONDS = 86_400
EXPIRE = "dropoff.expire"
_PASSPORT_HEADER = {"X-Passport-Token": "passport_token"}
_OPEN = ("created", "deposited")


@dataclass(frozen=True)
class Dropoff:
    """A drop-off. ``payload`` is the canonical JSON of what was deposited, gone once collected or expired."""

    TABLE: ClassVar[str] = "dropoffs"
    INDEXES: ClassVar[tuple[str, ...]] = ("operator_id", "from_agent_id", "to_agent_id", "mission_id")
    id: str
    operator_id: str
    from_agent_id: str
    to_agent_id: str
    schema: Mapping[str, Any]
    created_at: int
    expires_at: int
    on_expire: str = "notify"
    status: str = "created"
    payload: str | None = None
    payload_hash: str | None = None
    deposited_bytes: int | None = None
    deposited_at: int | None = None
    collected_at: int | None = None
    ended_at: int | None = None
    mission_id: str | None = None


class CreateDropoff(Command):
    """Who leaves what for whom."""

    from_agent: str = Field(
        validation_alias=AliasChoices("from_agent", "from_agent_id"), description="Agent that deposits (agt_…)"
    )
    to_agent: str = Field(
        validation_alias=AliasChoices("to_agent", "to_agent_id"), description="Agent that collects (agt_…)"
    )
    schema_: dict[str, Any] = Field(alias="schema", description="JSON Schema that what is deposited must meet")
    ttl_seconds: int = Field(
        DEFAULT_TTL_SECONDS, ge=1, le=MAX_TTL_SECONDS, description="Life in seconds: 1800 when left out, 86400 at most"
    )
    on_expire: Literal["notify", "delete"] = Field(
        "notify", description="What happens when it expires: notify or delete"
    )
    passport_token: Annotated[str | None, TOKEN] = Field(None, description="Passport of the depositing agent")


class DepositDropoff(Command):
    """What is left."""

    dropoff_id: str = Field(description="Drop-off id (drp_…)")
    payload: Annotated[Any, SECRET] = Field(description="The data, null too; it must meet the drop-off's schema")
    agent_id: str | None = Field(None, description="Agent that deposits; the one the drop-off is from when left out")
    passport_jti: str | None = Field(None, description="Passport it is done under; must be the agent's")
    mission_id: str | None = Field(None, description="Mission it belongs to; the passport's when left out")
    passport_token: Annotated[str | None, TOKEN] = Field(None, description="Passport of the depositing agent")

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: Any) -> Any:
        """A null may be what is left; anywhere else it is absent."""
        if isinstance(data, Mapping):
            return {key: value for key, value in data.items() if value is not None or key == "payload"}
        return data


class CollectDropoff(Command):
    """Who collects."""

    dropoff_id: str = Field(description="Drop-off id (drp_…)")
    agent_id: str | None = Field(None, description="Agent that collects; the one the drop-off is for when left out")
    passport_token: Annotated[str | None, TOKEN] = Field(None, description="Passport of the collecting agent")


class DropoffById(Command):
    """Names a drop-off."""

    dropoff_id: str = Field(description="Drop-off id (drp_…)")


class DropoffReply(Reply):
    """A drop-off without what was deposited."""

    id: str
    operator_id: str
    from_agent_id: str
    to_agent_id: str
    from_agent: str
    to_agent: str
    status: str = Field(description="created, deposited, collected or expired")
    schema_: dict[str, Any] = Field(alias="schema", description="JSON Schema of what is deposited")
    on_expire: str
    created_at: str
    expires_at: str
    deposited_at: str | None
    collected_at: str | None
    deposited_bytes: int | None
    mission_id: str | None


class CollectedDropoff(DropoffReply):
    """A drop-off with what was deposited: the only time it is handed out."""

    payload: Any


def _depositor(world: World, command: Any) -> str | None:
    if isinstance(command, CreateDropoff):
        return command.from_agent
    dropoff = world.store.get(Dropoff, command.dropoff_id)
    return dropoff.from_agent_id if dropoff is not None else None


def _collector(world: World, command: Any) -> str | None:
    dropoff = world.store.get(Dropoff, command.dropoff_id)
    return dropoff.to_agent_id if dropoff is not None else None


@operation(
    "dropoffs.create",
    rest=Rest("POST", "/v1/dropoffs", status=201, headers=_PASSPORT_HEADER),
    tool=Tool("stack_create_dropoff"),
    auth=Auth(bearers=ANY_BEARER, scope="passports:write", role="standard"),
    audit=Audit("dropoff.create", layer="dropoff"),
    subject=_depositor,
    presents=presented("passport_token"),
    source="sdk 4.0.0 dropoffs.create; docs/api/dropoffs",
    grade="documented",
)
def create_dropoff(ctx: Context, command: CreateDropoff) -> DropoffReply:
    """Create a drop-off from one agent of the account to another.

    Raises:
        Fault: NOT_FOUND for an agent, INVALID_REQUEST for a schema that is none, FORBIDDEN for another agent's credential.
    """
    ctx.row.set(to_agent=command.to_agent)
    sender = require_agent(ctx.world, ctx.operator_id, command.from_agent)
    receiver = require_agent(ctx.world, ctx.operator_id, command.to_agent)
    passport = _acting(ctx, sender.id, command.passport_token, "from_agent")
    check_schema("schema", command.schema_)
    dropoff = Dropoff(
        id=ctx.act.new_id("dropoff", "drp_"),
        operator_id=ctx.operator_id,
        from_agent_id=sender.id,
        to_agent_id=receiver.id,
        schema=command.schema_,
        created_at=ctx.stamp_ms,
        expires_at=ctx.now_ms + command.ttl_seconds * 1000,
        on_expire=command.on_expire,
        mission_id=passport.mission_id if passport is not None else None,
    )
    ctx.world.store.put(dropoff)
    meters.count(ctx, meters.DROPOFFS)
    ctx.world.arm(
        Timer(
            f"{EXPIRE}/{dropoff.id}", dropoff.expires_at, EXPIRE, ctx.lane, ctx.operator_id, {"dropoff_id": dropoff.id}
        )
    )
    ctx.row.set(agent_id=sender.id, dropoff=dropoff.id, mission=dropoff.mission_id)
    return _reply(dropoff)


@operation(
    "dropoffs.deposit",
    rest=Rest("POST", "/v1/dropoffs/{dropoff_id}/deposit", headers=_PASSPORT_HEADER),
    tool=Tool("stack_deposit_dropoff"),
    auth=Auth(bearers=ANY_BEARER, scope="passports:write", role="standard"),
    audit=Audit("dropoff.deposit", layer="dropoff"),
    subject=_depositor,
    presents=presented("passport_token"),
    source="sdk 4.0.0 dropoffs.deposit; docs/api/dropoffs",
    grade="documented",
)
def deposit_dropoff(ctx: Context, command: DepositDropoff) -> DropoffReply:
    """Leave data in a drop-off, once. It must meet the schema, and fit what the mission may still leave.

    Raises:
        Fault: NOT_FOUND, SCHEMA_VALIDATION_FAILED, CONFLICT unless it waits for a deposit, FORBIDDEN for another agent than
            the one it is from, MISSION_LIMIT_EXCEEDED, or the mission-ended wording.
    """
    ctx.row.set(dropoff=command.dropoff_id)
    dropoff = _require(ctx, command.dropoff_id)
    _require_part(dropoff.from_agent_id, command.agent_id, dropoff, "from")
    passport = _acting(ctx, dropoff.from_agent_id, command.passport_token, "agent_id") or _named(ctx, dropoff, command)
    if dropoff.status != "created":
        problem = f"Drop-off {dropoff.id} is {dropoff.status}; a deposit is made once, create another one"
        raise Fault(faults.CONFLICT, problem=problem, details={"status": dropoff.status})
    text = canonical_json(command.payload)
    ctx.row.payload_hash = hashlib.sha256(text).hexdigest()
    _check_payload(ctx, dropoff, command.payload)
    mission = _mission(ctx, dropoff, command, passport)
    _check_cap(ctx, mission, len(text))
    dropoff = ctx.world.store.put(
        replace(
            dropoff,
            status="deposited",
            payload=text.decode("utf-8"),
            payload_hash=ctx.row.payload_hash,
            deposited_bytes=len(text),
            deposited_at=ctx.stamp_ms,
            mission_id=mission.id if mission is not None else dropoff.mission_id,
        )
    )
    ctx.row.set(agent_id=dropoff.from_agent_id, mission=dropoff.mission_id, bytes=len(text))
    return _reply(dropoff)


@operation(
    "dropoffs.collect",
    rest=Rest("POST", "/v1/dropoffs/{dropoff_id}/collect", headers=_PASSPORT_HEADER),
    tool=Tool("stack_collect_dropoff"),
    auth=Auth(bearers=ANY_BEARER, scope="passports:write", role="standard"),
    audit=Audit("dropoff.collect", layer="dropoff"),
    subject=_collector,
    presents=presented("passport_token"),
    source="sdk 4.0.0 dropoffs.collect; docs/guides/multi-agent-handoff",
    grade="documented",
)
def collect_dropoff(ctx: Context, command: CollectDropoff) -> CollectedDropoff:
    """Collect what was deposited. It is handed out once and deleted with it.

    Raises:
        Fault: NOT_FOUND, DROPOFF_ALREADY_COLLECTED, CONFLICT when nothing was deposited or it expired, FORBIDDEN for another
            agent than the one it is for.
    """
    import json

    ctx.row.set(dropoff=command.dropoff_id)
    dropoff = _require(ctx, command.dropoff_id)
    _require_part(dropoff.to_agent_id, command.agent_id, dropoff, "for")
    _acting(ctx, dropoff.to_agent_id, command.passport_token, "agent_id")
    if dropoff.status == "collected":
        raise Fault(faults.DROPOFF_ALREADY_COLLECTED, dropoff_id=dropoff.id)
    if dropoff.status != "deposited" or dropoff.payload is None:
        waits = "nothing was deposited in it yet" if dropoff.status == "created" else f"it is {dropoff.status}"
        raise Fault(faults.CONFLICT, problem=f"Drop-off {dropoff.id} cannot be collected: {waits}")
    payload = json.loads(dropoff.payload)
    ctx.row.payload_hash = dropoff.payload_hash
    ctx.row.set(agent_id=dropoff.to_agent_id, mission=dropoff.mission_id, bytes=dropoff.deposited_bytes)
    ctx.world.disarm(f"{EXPIRE}/{dropoff.id}")
    dropoff = ctx.world.store.put(replace(dropoff, status="collected", payload=None, collected_at=ctx.stamp_ms))
    return CollectedDropoff(**_fields(dropoff), payload=payload)


@operation(
    "dropoffs.get",
    rest=Rest("GET", "/v1/dropoffs/{dropoff_id}"),
    tool=Tool("stack_get_dropoff"),
    auth=Auth(bearers=ANY_BEARER, scope="passports:read"),
    source="sdk 4.0.0 dropoffs.get",
    grade="documented",
)
def get_dropoff(ctx: Context, command: DropoffById) -> DropoffReply:
    """Read one drop-off, never with what was deposited. An agent sees those it is a part of.

    Raises:
        Fault: NOT_FOUND.
    """
    return _reply(_require(ctx, command.dropoff_id))


@operation(
    "dropoffs.list",
    rest=Rest("GET", "/v1/dropoffs"),
    tool=Tool("stack_list_dropoffs"),
    auth=Auth(bearers=ANY_BEARER, scope="passports:read"),
    source="sdk 4.0.0 dropoffs.list",
    grade="documented",
)
def list_dropoffs(ctx: Context, command: Command) -> list[DropoffReply]:
    """List drop-offs, oldest first. An agent sees those it is a part of."""
    found = ctx.world.store.find(Dropoff, operator_id=ctx.operator_id)
    return [_reply(dropoff) for dropoff in found if _may_see(ctx, dropoff)]


@operation(
    "dropoffs.expire",
    rest=Rest("POST", "/v1/dropoffs/{dropoff_id}/expire"),
    tool=Tool("stack_expire_dropoff", destructive=True, idempotent=True),
    auth=Auth(bearers=ANY_BEARER, scope="passports:write", role="standard"),
    audit=Audit("dropoff.expire", layer="dropoff"),
    subject=_depositor,
    source="sdk 4.0.0 dropoffs.expire",
    grade="documented",
)
def expire_dropoff(ctx: Context, command: DropoffById) -> DropoffReply:
    """End a drop-off before its time; what was deposited is deleted. Expiring it again changes nothing.

    Raises:
        Fault: NOT_FOUND, CONFLICT when it was collected, FORBIDDEN for an agent it is not from.
    """
    ctx.row.set(dropoff=command.dropoff_id)
    dropoff = _require(ctx, command.dropoff_id)
    _require_part(dropoff.from_agent_id, ctx.caller.agent_id, dropoff, "from")
    if dropoff.status == "collected":
        raise Fault(faults.DROPOFF_ALREADY_COLLECTED, dropoff_id=dropoff.id)
    ctx.row.set(agent_id=dropoff.from_agent_id, mission=dropoff.mission_id)
    if dropoff.status == "expired":
        ctx.row.set(repeated=True)
        return _reply(dropoff)
    ctx.world.disarm(f"{EXPIRE}/{dropoff.id}")
    return _reply(_ended(ctx.world, dropoff, ctx.stamp_ms))


@on_timer(EXPIRE)
def expire_due(world: World, act: Act, timer: Timer) -> None:
    """A drop-off reaches the end of its life; what was deposited is deleted."""
    dropoff = world.store.get(Dropoff, timer.payload["dropoff_id"])
    act.row.layer = "dropoff"
    act.row.set(dropoff=timer.payload["dropoff_id"])
    if dropoff is None or dropoff.status not in _OPEN:
        return
    act.row.set(agent_id=dropoff.from_agent_id, mission=dropoff.mission_id)
    _ended(world, dropoff, act.now_ms)


def _ended(world: World, dropoff: Dropoff, at_ms: int) -> Dropoff:
    return world.store.put(replace(dropoff, status="expired", payload=None, ended_at=at_ms))


def _may_see(ctx: Context, dropoff: Dropoff) -> bool:
    own = ctx.caller.agent_id
    parts = (dropoff.from_agent_id, dropoff.to_agent_id)
    if own is not None and own not in parts:
        return False
    return any(made_with_grant(ctx.world, ctx.caller, part) for part in parts)


def _require(ctx: Context, dropoff_id: str) -> Dropoff:
    dropoff = ctx.world.store.get(Dropoff, dropoff_id)
    if dropoff is None or dropoff.operator_id != ctx.operator_id or not _may_see(ctx, dropoff):
        raise Fault(faults.NOT_FOUND, what="Drop-off", id=dropoff_id)
    return dropoff


def _require_part(expected: str, agent_id: str | None, dropoff: Dropoff, how: str) -> None:
    if agent_id not in (None, expected):
        raise Fault(faults.FORBIDDEN, reason=f"Drop-off {dropoff.id} is {how} agent {expected}, not {agent_id}")


def _acting(ctx: Context, agent_id: str, token: str | None, field: str) -> Passport | None:
    """The passport a call is made under, when there is one: the agent's own, and usable."""
    caller: Caller = ctx.caller
    if caller.agent_id not in (None, agent_id):
        reason = f"Agent {caller.agent_id} acts for itself only; {field} has to be {caller.agent_id}, not {agent_id}"
        raise Fault(faults.FORBIDDEN, reason=reason)
    passport = ctx.world.store.get(Passport, caller.passport_jti) if caller.passport_jti is not None else None
    if token is not None:
        passport = passport_record(ctx.world, token)
    if passport is None:
        return None
    if passport.operator_id != ctx.operator_id or passport.agent_id != agent_id:
        raise Fault(faults.FORBIDDEN, reason=f"Passport {passport.id} is not one of agent {agent_id}; present its own")
    require_live(ctx.world, passport)
    if passport.checked_out_at is not None:
        at = iso(passport.checked_out_at)
        raise Fault(faults.PASSPORT_CHECKED_OUT, jti=passport.id, checked_out_at=at)
    ctx.row.set(passport_jti=passport.id)
    return passport


def _named(ctx: Context, dropoff: Dropoff, command: DepositDropoff) -> Passport | None:
    if command.passport_jti is None:
        return None
    passport = ctx.world.store.get(Passport, command.passport_jti)
    if passport is None or passport.operator_id != ctx.operator_id:
        raise Fault(faults.NOT_FOUND, what="Passport", id=command.passport_jti)
    if passport.agent_id != dropoff.from_agent_id:
        reason = f"Passport {passport.id} is not one of agent {dropoff.from_agent_id}; name one of its own"
        raise Fault(faults.FORBIDDEN, reason=reason)
    return require_live(ctx.world, passport)


def _mission(ctx: Context, dropoff: Dropoff, command: DepositDropoff, passport: Passport | None) -> Mission | None:
    bound = passport.mission_id if passport is not None else None
    wanted = command.mission_id or bound or dropoff.mission_id
    if wanted is None:
        return None
    if bound is not None and wanted != bound:
        raise Fault(
            faults.FORBIDDEN, reason=f"Passport {passport.id if passport else ''} is bound to {bound}, not {wanted}"
        )
    mission = require_live_mission(ctx.world, ctx.operator_id, wanted)
    if mission.agent_id not in (None, dropoff.from_agent_id):
        reason = f"{mission.id} is assigned to agent {mission.agent_id}, not to {dropoff.from_agent_id}"
        raise Fault(faults.FORBIDDEN, reason=reason)
    return mission


def _check_cap(ctx: Context, mission: Mission | None, size: int) -> None:
    limit = mission.limits.get("max_dropoff_bytes") if mission is not None else None
    if mission is None or limit is None:
        return
    used = sum(one.deposited_bytes or 0 for one in ctx.world.store.find(Dropoff, mission_id=mission.id))
    if used + size > limit:
        what = f"bytes in drop-offs, and this deposit has {size}"
        raise Fault(faults.MISSION_LIMIT_EXCEEDED, mission_id=mission.id, limit=limit, what=what, used=used)


def _check_payload(ctx: Context, dropoff: Dropoff, payload: Any) -> None:
    """The hard gate. Two pages give its status: 400 (errors), 422 (the older concept page)."""
    found = mismatches(dropoff.schema, payload)
    if not found:
        return
    spec = faults.SCHEMA_VALIDATION_FAILED
    if ctx.world.settings.get("compat") == "docs-2026-05":
        spec = FaultSpec(spec.code, 422, spec.template)
    problems = "; ".join(f"{path}: {problem}" for path, problem in found.items())
    schema = f"the schema of drop-off {dropoff.id}"
    raise Fault(spec, what="The payload", schema=schema, problems=problems, details={"fields": found})


def _fields(dropoff: Dropoff) -> dict[str, Any]:
    return {
        "id": dropoff.id,
        "operator_id": dropoff.operator_id,
        "from_agent_id": dropoff.from_agent_id,
        "to_agent_id": dropoff.to_agent_id,
        "from_agent": dropoff.from_agent_id,
        "to_agent": dropoff.to_agent_id,
        "status": dropoff.status,
        "schema": dict(dropoff.schema),
        "on_expire": dropoff.on_expire,
        "created_at": iso(dropoff.created_at),
        "expires_at": iso(dropoff.expires_at),
        "deposited_at": None if dropoff.deposited_at is None else iso(dropoff.deposited_at),
        "collected_at": None if dropoff.collected_at is None else iso(dropoff.collected_at),
        "deposited_bytes": dropoff.deposited_bytes,
        "mission_id": dropoff.mission_id,
    }


def _reply(dropoff: Dropoff) -> DropoffReply:
    return DropoffReply(**_fields(dropoff))
