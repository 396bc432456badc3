"""The records of a team: its members, each with the digests of its keys in ``api_keys``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from stack_emu.domain.state import ApiKey
from stack_emu.kernel.ids import text_id
from stack_emu.kernel.world import World

INVITED, ACTIVE, REVOKED = "invited", "active", "revoked"


@dataclass(frozen=True)
class Member:
    """Somebody who works in an account with a key of their own."""

    TABLE: ClassVar[str] = "members"
    INDEXES: ClassVar[tuple[str, ...]] = ("operator_id",)
    id: str
    operator_id: str
    email: str
    name: str | None
    role: str
    status: str
    created_at: int
    updated_at: int
    allowed_connections: tuple[str, ...] | None = None
    invited_by: str | None = None
    accepted_at: int | None = None


def members_of(world: World, operator_id: str) -> Iterator[Member]:
    """The members of an account that are not revoked, oldest first."""
    return (one for one in world.store.find(Member, operator_id=operator_id) if one.status != REVOKED)


def keys_of(world: World, member: Member) -> list[ApiKey]:
    """The keys of a member: those of a scenario name it by its address, those made later by its id."""
    names = (member.id, member.email)
    return [key for key in world.store.find(ApiKey, operator_id=member.operator_id) if key.member_id in names]


def enlist(world: World, key: ApiKey) -> None:
    """Make the holder of a scenario's key a member of the team; several keys of one address are one member's."""
    if key.member_id is None or any(one.email == key.member_id for one in members_of(world, key.operator_id)):
        return
    now = world.now_ms()
    world.store.put(
        Member(
            id="mem_" + text_id(world.key_bytes("member", f"{key.operator_id}/{key.member_id}")),
            operator_id=key.operator_id,
            email=key.member_id,
            name=None,
            role=key.role,
            status=ACTIVE,
            created_at=now,
            updated_at=now,
            allowed_connections=key.allowed_connections,
            accepted_at=now,
        )
    )
