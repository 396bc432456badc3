"""The records of fleets: policies, what may enroll under them, and who has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from stack_emu.domain.state import JsonObject

OPERATOR_MODE, WORKLOAD_MODE = "operator", "workload"
ACTIVE, REVOKED = "active", "revoked"


@dataclass(frozen=True)
class FleetPolicy:
    """What the members of a fleet may do. ``definition`` is kept as it was given.

    ``revisions`` holds every revision there was, the present one last, each as ``{revision, definition, activated_at}``.
    ``made_by`` is the partner's grant it was activated with, and its agents belong to.
    """

    TABLE: ClassVar[str] = "fleet_policies"
    INDEXES: ClassVar[tuple[str, ...]] = ("operator_id",)
    id: str
    operator_id: str
    definition: JsonObject
    created_at: int
    updated_at: int
    revision: int = 1
    status: str = ACTIVE
    revoked_at: int | None = None
    revisions: tuple[JsonObject, ...] = ()
    made_by: str | None = None


@dataclass(frozen=True)
class FleetMember:
    """An agent that enrolled under a policy. ``id`` is the agent's: it belongs to one fleet for good."""

    TABLE: ClassVar[str] = "fleet_members"
    INDEXES: ClassVar[tuple[str, ...]] = ("policy_id", "operator_id", "public_key")
    id: str
    operator_id: str
    policy_id: str
    name: str
    mode: str
    idempotency_key: str
    public_key: str
    enrolled_at: int
    status: str = ACTIVE
    revoked_at: int | None = None


@dataclass(frozen=True)
class FleetChallenge:
    """A single-use challenge to enroll under a policy, by one of the two ways. ``used_by`` is the agent it enrolled."""

    TABLE: ClassVar[str] = "fleet_challenges"
    INDEXES: ClassVar[tuple[str, ...]] = ("policy_id",)
    id: str
    operator_id: str
    policy_id: str
    mode: str
    challenge: str
    expires_at: int
    used_by: str | None = None


@dataclass(frozen=True)
class FleetSession:
    """A credential to enroll workloads with. ``id`` is the SHA-256 of its text, which is not kept.

    ``policy_id`` is the one policy it is good for; None is every policy of the account.
    """

    TABLE: ClassVar[str] = "fleet_sessions"
    INDEXES: ClassVar[tuple[str, ...]] = ("operator_id",)
    id: str
    operator_id: str
    policy_id: str | None
    expires_at: int
