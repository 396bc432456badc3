"""Receivers of authority and their keys (sdk 4.0.0 authority).

How a receiver answers its challenge is not published: here one is verified when a challenge was created and it has an
active key, once.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator

from stack_emu.domain.authority_records import (
    HEADERS,
    READS,
    WRITES,
    OpenWrite,
    Receiver,
    ReceiverKey,
    Shown,
    Write,
    base,
    change,
    conflict,
    entry_fields,
    invalid,
    known,
    named,
    once,
    own,
)
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.operations import SECRET, Audit, Command, Reply, Rest, Tool, operation, written_as
from stack_emu.kernel.world import World

_PRIVATE = ("d", "p", "q", "dp", "dq", "qi", "k", "oth")
CHALLENGE_MS = 3_600_000
"""How long a receiver's challenge is good for; invented."""


class CreateReceiver(OpenWrite):
    """A new receiver; whatever else is sent is kept with it."""

    name: str = Field(min_length=1, max_length=256, description="Its name")


class ReceiverById(Command):
    """Names a receiver."""

    receiver_id: str = Field(description="Receiver id (rcv_…)")


class ReceiverWrite(Write):
    """Names a receiver to change."""

    receiver_id: str = Field(description="Receiver id (rcv_…)")


class AddKey(OpenWrite):
    """A public key of a receiver; whatever else is sent is kept with it."""

    receiver_id: str = Field(description="Receiver id (rcv_…)")
    public_key: Annotated[dict[str, Any], SECRET] = Field(
        description="The key as a public JWK",
        json_schema_extra=written_as(required=["kty"], properties={"kty": {"type": "string"}}),
    )

    @field_validator("public_key")
    @classmethod
    def _is_public(cls, key: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(key.get("kty"), str):
            raise ValueError("must be a JWK with kty")
        if any(name in key for name in _PRIVATE):
            raise ValueError("must be a public key: send it without its private parts")
        return key


class RevokeKey(ReceiverWrite):
    """Names the key to revoke."""

    key_id: str = Field(description="Key id (rky_…)")
    reason_code: str = Field(min_length=1, max_length=100, description="Why, as a code")


class ReceiverReply(Reply):
    """A receiver."""

    receiver: Shown


class ReceiverList(Reply):
    """Receivers, oldest first."""

    receivers: list[Shown]


class Challenge(Reply):
    """What a receiver is to answer."""

    id: str
    receiver_id: str
    challenge: str
    expires_at: str


class ChallengeReply(Reply):
    """A challenge."""

    challenge: Challenge


class KeyReply(Reply):
    """A receiver's key."""

    key: Shown


def view(world: World, receiver: Receiver) -> dict[str, Any]:
    """A receiver as it is shown, with its keys."""
    keys = [key_view(world, key) for key in world.store.find(ReceiverKey, receiver_id=receiver.id)]
    verified_at = iso(receiver.verified_at) if receiver.verified_at is not None else None
    return {**base(receiver), "verified_at": verified_at, "keys": keys}


def key_view(world: World, key: ReceiverKey) -> dict[str, Any]:
    """A key as it is shown."""
    return {**base(key), "receiver_id": key.receiver_id}


def _reply(ctx: Context, receiver: Receiver) -> ReceiverReply:
    return ReceiverReply(receiver=Shown.model_validate(view(ctx.world, receiver)))


@operation(
    "authority.create_receiver",
    rest=Rest("POST", "/v1/authority/receivers", status=201, headers=HEADERS),
    tool=Tool("stack_create_authority_receiver"),
    auth=WRITES,
    audit=Audit("authority.create_receiver"),
    source="sdk 4.0.0 authority.create_receiver",
    grade="sdk-implied",
)
def create_receiver(ctx: Context, command: CreateReceiver) -> ReceiverReply:
    """Make a receiver; it is unverified.

    Raises:
        Fault: INVALID_REQUEST, IDEMPOTENCY_CONFLICT.
    """

    def make() -> ReceiverReply:
        given = {**(command.model_extra or {}), "name": command.name}
        receiver = Receiver(
            id=ctx.act.new_id("authority-receiver", "rcv_"), status="unverified", **entry_fields(ctx, given)
        )
        ctx.world.store.put(receiver)
        ctx.row.set(**named(receiver))
        return _reply(ctx, receiver)

    return once(ctx, command, ReceiverReply, make)


@operation(
    "authority.list_receivers",
    rest=Rest("GET", "/v1/authority/receivers"),
    tool=Tool("stack_list_authority_receivers"),
    auth=READS,
    source="sdk 4.0.0 authority.list_receivers",
    grade="sdk-implied",
)
def list_receivers(ctx: Context, command: Command) -> ReceiverList:
    """List the account's receivers, oldest first."""
    return ReceiverList(receivers=[Shown.model_validate(view(ctx.world, one)) for one in known(ctx, Receiver)])


@operation(
    "authority.get_receiver",
    rest=Rest("GET", "/v1/authority/receivers/{receiver_id}"),
    tool=Tool("stack_get_authority_receiver"),
    auth=READS,
    source="sdk 4.0.0 authority.get_receiver",
    grade="sdk-implied",
)
def get_receiver(ctx: Context, command: ReceiverById) -> ReceiverReply:
    """Show a receiver with its keys.

    Raises:
        Fault: NOT_FOUND.
    """
    return _reply(ctx, own(ctx, Receiver, command.receiver_id))


@operation(
    "authority.create_receiver_verification_challenge",
    rest=Rest("POST", "/v1/authority/receivers/{receiver_id}/verification-challenges", status=201, headers=HEADERS),
    tool=Tool("stack_create_authority_receiver_challenge"),
    auth=WRITES,
    audit=Audit("authority.create_receiver_verification_challenge"),
    source="sdk 4.0.0 authority.create_receiver_verification_challenge",
    grade="sdk-implied",
)
def create_challenge(ctx: Context, command: ReceiverWrite) -> ChallengeReply:
    """Make the challenge a receiver is verified with; it is good for an hour and takes the place of the one before.

    Raises:
        Fault: NOT_FOUND, CONFLICT when the receiver is verified, IDEMPOTENCY_CONFLICT.
    """

    def make() -> ChallengeReply:
        receiver = own(ctx, Receiver, command.receiver_id)
        ctx.row.set(**named(receiver))
        if receiver.status == "verified":
            raise conflict(f"{receiver.id} is verified; it needs no challenge")
        challenge_id = ctx.act.new_id("authority-challenge", "rvc_")
        end = ctx.now_ms + CHALLENGE_MS
        change(ctx, receiver, view, challenge_id=f"{challenge_id}/{end}")
        text = ctx.act.new_bytes("authority-challenge-text").hex()
        challenge = Challenge(id=challenge_id, receiver_id=receiver.id, challenge=text, expires_at=iso(end))
        return ChallengeReply(challenge=challenge)

    return once(ctx, command, ChallengeReply, make)


@operation(
    "authority.verify_receiver",
    rest=Rest("POST", "/v1/authority/receivers/{receiver_id}/verify", headers=HEADERS),
    tool=Tool("stack_verify_authority_receiver"),
    auth=WRITES,
    audit=Audit("authority.verify_receiver"),
    source="sdk 4.0.0 authority.verify_receiver",
    grade="sdk-implied",
)
def verify_receiver(ctx: Context, command: ReceiverWrite) -> ReceiverReply:
    """Verify a receiver that has a live challenge and an active key.

    Raises:
        Fault: NOT_FOUND, CONFLICT with what is missing, or when it is verified, IDEMPOTENCY_CONFLICT.
    """

    def make() -> ReceiverReply:
        receiver = own(ctx, Receiver, command.receiver_id)
        ctx.row.set(**named(receiver))
        if receiver.status == "verified":
            raise conflict(f"{receiver.id} is verified already")
        missing = []
        if receiver.challenge_id is None or int(receiver.challenge_id.partition("/")[2]) <= ctx.now_ms:
            missing.append("a verification challenge that is not over")
        if not _active_keys(ctx, receiver.id):
            missing.append("an active key")
        if missing:
            raise conflict(f"{receiver.id} cannot be verified without {' and '.join(missing)}", missing=missing)
        return _reply(
            ctx,
            change(ctx, receiver, view, status="verified", challenge_id=None, verified_at=ctx.now_ms),
        )

    return once(ctx, command, ReceiverReply, make)


def _active_keys(ctx: Context, receiver_id: str) -> list[ReceiverKey]:
    return [key for key in ctx.world.store.find(ReceiverKey, receiver_id=receiver_id) if key.status == "active"]


@operation(
    "authority.add_receiver_key",
    rest=Rest("POST", "/v1/authority/receivers/{receiver_id}/keys", status=201, headers=HEADERS),
    tool=Tool("stack_add_authority_receiver_key"),
    auth=WRITES,
    audit=Audit("authority.add_receiver_key"),
    source="sdk 4.0.0 authority.add_receiver_key",
    grade="sdk-implied",
)
def add_key(ctx: Context, command: AddKey) -> KeyReply:
    """Add a public key to a receiver.

    Raises:
        Fault: NOT_FOUND, INVALID_REQUEST for a private key, IDEMPOTENCY_CONFLICT.
    """

    def make() -> KeyReply:
        receiver = own(ctx, Receiver, command.receiver_id)
        given = {**(command.model_extra or {}), "public_key": command.public_key}
        key = ReceiverKey(
            id=ctx.act.new_id("authority-key", "rky_"), receiver_id=receiver.id, **entry_fields(ctx, given)
        )
        ctx.world.store.put(key)
        ctx.row.set(**named(receiver), **named(key))
        return KeyReply(key=Shown.model_validate(key_view(ctx.world, key)))

    return once(ctx, command, KeyReply, make)


@operation(
    "authority.revoke_receiver_key",
    rest=Rest("POST", "/v1/authority/receivers/{receiver_id}/keys/{key_id}/revoke", headers=HEADERS),
    tool=Tool("stack_revoke_authority_receiver_key", destructive=True),
    auth=WRITES,
    audit=Audit("authority.revoke_receiver_key"),
    source="sdk 4.0.0 authority.revoke_receiver_key",
    grade="sdk-implied",
)
def revoke_key(ctx: Context, command: RevokeKey) -> KeyReply:
    """Revoke a receiver's key; a receiver that was verified stays so.

    Raises:
        Fault: NOT_FOUND, CONFLICT when it was revoked before, IDEMPOTENCY_CONFLICT.
    """

    def make() -> KeyReply:
        receiver = own(ctx, Receiver, command.receiver_id)
        key = own(ctx, ReceiverKey, command.key_id)
        if key.receiver_id != receiver.id:
            raise invalid("key_id", f"{key.id} is a key of {key.receiver_id}, not of {receiver.id}")
        ctx.row.set(**named(receiver), **named(key))
        if key.status != "active":
            raise conflict(f"{key.id} is {key.status}; only an active key can be revoked")
        revoked = change(ctx, key, key_view, status="revoked", reason_code=command.reason_code)
        return KeyReply(key=Shown.model_validate(key_view(ctx.world, revoked)))

    return once(ctx, command, KeyReply, make)
