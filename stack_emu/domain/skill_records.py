"""The records of the marketplace: skills, their invocations and what is wished for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from stack_emu.domain.state import JsonObject

ACTIVE, SUSPENDED = "active", "suspended"
PENDING, CLAIMED, COMPLETED, FAILED, EXPIRED = "pending", "claimed", "completed", "failed", "expired"
OPEN, SEALED, SOURCE = "open", "sealed", "source"
LEVELS = ("L0", "L1", "L2", "L3")


@dataclass(frozen=True)
class Skill:
    """A published skill. ``execution_steps`` are the publisher's own business unless the skill is published as source.

    ``agent_id`` is the agent that serves an open skill.
    """

    TABLE: ClassVar[str] = "skills"
    INDEXES: ClassVar[tuple[str, ...]] = ("operator_id", "agent_id")
    id: str
    operator_id: str
    name: str
    description: str
    version: str
    input_schema: JsonObject
    output_schema: JsonObject
    created_at: int
    updated_at: int
    trust_level_required: str = "L0"
    tags: tuple[str, ...] = ()
    price_per_invocation: int = 0
    agent_id: str | None = None
    execution_mode: str = OPEN
    credential_mode: str = "none"
    required_credentials: tuple[JsonObject, ...] = ()
    execution_steps: tuple[JsonObject, ...] = ()
    status: str = ACTIVE
    invocation_count: int = 0


@dataclass(frozen=True)
class Invocation:
    """One use of a skill. ``operator_id`` is the buyer, ``publisher_id`` the account that published the skill.

    ``status`` is pending, claimed, completed, failed or expired; ``price`` in cents was taken when it was made.
    """

    TABLE: ClassVar[str] = "skill_invocations"
    INDEXES: ClassVar[tuple[str, ...]] = ("operator_id", "publisher_id", "skill_id")
    id: str
    operator_id: str
    publisher_id: str
    skill_id: str
    skill_version: str
    execution_mode: str
    agent_id: str
    input: JsonObject
    output_schema: JsonObject
    created_at: int
    expires_at: int
    price: int = 0
    passport_id: str | None = None
    status: str = PENDING
    started_at: int | None = None
    completed_at: int | None = None
    output: Any = None
    error: JsonObject | None = None
    llm_tokens_input: int | None = None
    llm_tokens_output: int | None = None
    execution_duration_ms: int | None = None


@dataclass(frozen=True)
class SkillRequest:
    """A wish for a skill, on the board for publishers to see."""

    TABLE: ClassVar[str] = "skill_requests"
    INDEXES: ClassVar[tuple[str, ...]] = ("operator_id", "status")
    id: str
    operator_id: str
    description: str
    created_at: int
    desired_input_schema: JsonObject | None = None
    desired_output_schema: JsonObject | None = None
    max_price_cents: int | None = None
    tags: tuple[str, ...] = ()
    status: str = "open"
