"""The records of the core families. Each is frozen; times are epoch milliseconds unless a name says otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

JsonObject = Mapping[str, Any]


@dataclass(frozen=True)
class Operator:
    """An account."""

    TABLE: ClassVar[str] = "operators"
    INDEXES: ClassVar[tuple[str, ...]] = ()
    id: str
    tier: str = "studio"
    email: str = ""


@dataclass(frozen=True)
class ApiKey:
    """An API key of an operator or a member. ``id`` is the SHA-256 of the key: the text itself is not kept.

    ``position`` numbers the keys of the scenario from 0 and names the key's lane; keys made later have a ``label`` for it.
    """

    TABLE: ClassVar[str] = "api_keys"
    INDEXES: ClassVar[tuple[str, ...]] = ("operator_id",)
    id: str
    operator_id: str
    position: int
    role: str = "operator"
    member_id: str | None = None
    allowed_connections: tuple[str, ...] | None = None
    revoked: bool = False
    label: str = ""


@dataclass(frozen=True)
class Agent:
    """An agent. ``public_key`` is the ``x`` of its Ed25519 JWK once enrolled, ``made_by`` the partner's grant it came by.

    ``skill_access_mode`` is any, own or none; ``allowed_skills`` are the skills it may invoke, None for no further limit.
    """

    TABLE: ClassVar[str] = "agents"
    INDEXES: ClassVar[tuple[str, ...]] = ("operator_id",)
    id: str
    operator_id: str
    name: str
    created_at: int
    updated_at: int
    description: str | None = None
    status: str = "active"
    accountability_mode: str = "enforced"
    on_warning: str = "notify"
    on_critical: str = "notify"
    credential_access: str = "proxy_only"
    key_mode: str = "stack_managed"
    profile: str | None = None
    icon_url: str | None = None
    passport_blocked: bool = False
    passport_blocked_reason: str | None = None
    passport_blocked_at: int | None = None
    llm_inject_system_prompt: bool = True
    llm_redact_pii: bool = True
    skill_access_mode: str = "any"
    allowed_skills: tuple[str, ...] | None = None
    public_key: str | None = None
    enrolled_at: int | None = None
    deleted: bool = False
    made_by: str | None = None


@dataclass(frozen=True)
class EnrollmentChallenge:
    """A single-use challenge an agent signs to enroll its key."""

    TABLE: ClassVar[str] = "enrollment_challenges"
    INDEXES: ClassVar[tuple[str, ...]] = ("agent_id",)
    id: str
    agent_id: str
    challenge: str
    expires_at: int
    used: bool = False


@dataclass(frozen=True)
class EnrollmentTicket:
    """A single-use ticket to enroll one agent's key. ``id`` is the SHA-256 of the ticket, whose text is not kept."""

    TABLE: ClassVar[str] = "enrollment_tickets"
    INDEXES: ClassVar[tuple[str, ...]] = ("agent_id",)
    id: str
    operator_id: str
    agent_id: str
    expires_at: int


@dataclass(frozen=True)
class AgentTokenUse:
    """A ``jti`` of an agent JWT that was seen; a second use is a replay. ``id`` is ``<agent id>/<jti>``."""

    TABLE: ClassVar[str] = "agent_token_uses"
    INDEXES: ClassVar[tuple[str, ...]] = ()
    id: str
    expires_at: int


@dataclass(frozen=True)
class Constraint:
    """A condition on a proxied request: ``path`` compared by ``op`` with ``value``."""

    path: str
    op: str
    value: Any


@dataclass(frozen=True)
class Connection:
    """A connected service. ``credential`` is text or a mapping of fields; it never leaves except by retrieval or injection.

    ``upstream`` names the fake upstream whose hosts accept it; ``retrieved`` is set once an agent was handed the credential.
    """

    TABLE: ClassVar[str] = "connections"
    INDEXES: ClassVar[tuple[str, ...]] = ("operator_id", "provider", "upstream")
    id: str
    operator_id: str
    provider: str
    service_id: str
    name: str
    credential: str | JsonObject
    created_at: int
    scopes: tuple[str, ...] = ()
    description: str | None = None
    upstream: str | None = None
    instance_url: str | None = None
    account_id: str | None = None
    intents: tuple[str, ...] = ()
    status: str = "active"
    connected_by: str | None = None
    verified_at: int | None = None
    credential_expires_at: int | None = None
    retrieved: bool = False


@dataclass(frozen=True)
class NamedIntent:
    """A named intent a connection offers, which expands to constraints. ``id`` is ``<connection id>/<name>``.

    Constraint values may hold ``{{ params.<name> }}`` for the parameters it is used with.
    """

    TABLE: ClassVar[str] = "named_intents"
    INDEXES: ClassVar[tuple[str, ...]] = ("operator_id", "connection_id")
    id: str
    operator_id: str
    connection_id: str
    provider: str
    name: str
    description: str | None = None
    params: tuple[str, ...] = ()
    constraints: tuple[Constraint, ...] = ()


@dataclass(frozen=True)
class RetrievalWindow:
    """When an agent retrieved credentials lately, for the burst detector. ``id`` is the agent's."""

    TABLE: ClassVar[str] = "retrieval_windows"
    INDEXES: ClassVar[tuple[str, ...]] = ()
    id: str
    times: tuple[int, ...] = ()


@dataclass(frozen=True)
class Grant:
    """What an agent may do with a connection. ``id`` is ``<agent id>/<connection id>``: one grant for each pair."""

    TABLE: ClassVar[str] = "grants"
    INDEXES: ClassVar[tuple[str, ...]] = ("agent_id", "connection_id", "operator_id")
    id: str
    operator_id: str
    agent_id: str
    connection_id: str
    scopes: tuple[str, ...]
    created_at: int
    constraints: tuple[Constraint, ...] = ()
    intents: tuple[str, ...] = ()
    allow_data_from: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Mission:
    """A piece of work a passport is bound to. ``status`` is active, completed, revoked or expired.

    ``limits`` holds the caps it was opened with (``max_actions``, ``max_duration_seconds`` …), ``actions`` what was used.
    A fleet's mission names the policy and its revision at the time, and holds the ``access`` its passports get.
    """

    TABLE: ClassVar[str] = "missions"
    INDEXES: ClassVar[tuple[str, ...]] = ("operator_id", "agent_id", "idempotency_key", "fleet_policy_id")
    id: str
    operator_id: str
    claim_id: str
    intent_summary: str
    created_at: int
    expires_at: int
    agent_id: str | None = None
    intent_services: tuple[str, ...] = ()
    status: str = "active"
    ended_at: int | None = None
    end_reason: str | None = None
    end_notes: str | None = None
    output: JsonObject | None = None
    limits: JsonObject = field(default_factory=dict)
    details: JsonObject = field(default_factory=dict)
    idempotency_key: str | None = None
    actions: int = 0
    reserved: int = 0
    actions_per_service: JsonObject = field(default_factory=dict)
    fleet_policy_id: str | None = None
    fleet_revision: int | None = None
    access: tuple[ServiceScope, ...] | None = None


@dataclass(frozen=True)
class ServiceScope:
    """What a passport may do with one connection: the ``stk.services[]`` entry of its token."""

    service_name: str
    connection_id: str
    scopes: tuple[str, ...]
    constraints: tuple[Constraint, ...] = ()
    intents: tuple[str, ...] = ()
    allow_data_from: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Passport:
    """A passport; ``id`` is its jti. ``expires_at`` moves with checkpoints, unlike the ``exp`` written in its token.

    ``revocation`` is the type (single, bulk_agent, bulk_session, bulk_operator, cascade, mission …) once revoked.
    """

    TABLE: ClassVar[str] = "passports"
    INDEXES: ClassVar[tuple[str, ...]] = ("operator_id", "agent_id", "session_id", "mission_id", "parent_id")
    id: str
    operator_id: str
    agent_id: str
    session_id: str
    services: tuple[ServiceScope, ...]
    accountability: str
    issued_at: int
    expires_at: int
    ttl_seconds: int
    mission_id: str | None = None
    parent_id: str | None = None
    depth: int = 0
    intent: JsonObject | None = None
    checkpoint_interval_seconds: int | None = None
    will_delegate: bool = False
    authority_binding_ids: tuple[str, ...] = ()
    identity_claim_ids: tuple[str, ...] = ()
    refreshed_from: str | None = None
    revoked_at: int | None = None
    revoked_reason: str | None = None
    revocation: str | None = None
    checked_out_at: int | None = None
    silence_noted: bool = False

    @property
    def intent_services(self) -> tuple[str, ...]:
        """Services the intent declares."""
        return tuple(self.intent.get("services", ())) if self.intent else ()

    @property
    def intent_summary(self) -> str | None:
        """What the passport is for, in words."""
        return self.intent.get("summary") if self.intent else None


@dataclass(frozen=True)
class Report:
    """A checkpoint or checkout of a passport; ``kind`` says which."""

    TABLE: ClassVar[str] = "reports"
    INDEXES: ClassVar[tuple[str, ...]] = ("passport_id", "operator_id", "review_status")
    id: str
    kind: str
    operator_id: str
    agent_id: str
    passport_id: str
    created_at: int
    services_used: tuple[str, ...]
    actions_count: int
    tool_calls: tuple[JsonObject, ...] = ()
    summary: str | None = None
    delegated_to: tuple[str, ...] = ()
    flags: tuple[JsonObject, ...] = ()
    new_expires_at: int | None = None
    review_status: str | None = None


@dataclass(frozen=True)
class Review:
    """A decision on a checkout."""

    TABLE: ClassVar[str] = "reviews"
    INDEXES: ClassVar[tuple[str, ...]] = ("checkout_id",)
    id: str
    operator_id: str
    checkout_id: str
    agent_id: str
    decision: str
    decided_at: int
    notes: str | None = None
    block_future: bool = False


@dataclass(frozen=True)
class SecurityEvent:
    """A signal a detector raised."""

    TABLE: ClassVar[str] = "security_events"
    INDEXES: ClassVar[tuple[str, ...]] = ("operator_id", "agent_id", "passport_id")
    id: str
    operator_id: str
    agent_id: str
    passport_id: str | None
    signal_type: str
    severity: str
    message: str
    created_at: int
    metadata: JsonObject = field(default_factory=dict)
    resolved_at: int | None = None


@dataclass(frozen=True)
class ProxyOperation:
    """A proxied call and how far it got.

    ``delivery_state`` is admitted, dispatching, response_received or outcome_unknown; ``accounting_state`` is reserved,
    committed or released. ``request_id`` is the client's authority request id, ``response`` the envelope it was answered
    with, kept when there is such an id; ``passport_id`` is empty for a call an operator made without one, ``connection_id``
    for a call paid with STACK's own credential. ``meter`` is what it counts as. Instants that are shown are spaced by the
    world's tick; ``begun_at`` and ``answered_at``, which windows and deadlines count from, are not.
    """

    TABLE: ClassVar[str] = "proxy_operations"
    INDEXES: ClassVar[tuple[str, ...]] = ("operator_id", "passport_id", "request_id", "delivery_state")
    id: str
    operator_id: str
    passport_id: str
    request_id: str | None
    provider: str
    connection_id: str
    method: str
    created_at: int
    delivery_state: str
    accounting_state: str
    dispatched_at: int | None = None
    response_received_at: int | None = None
    fingerprint: str = ""
    response: JsonObject | None = None
    agent_id: str | None = None
    mission_id: str | None = None
    lane: str = ""
    error_code: str | None = None
    meter: str = "proxy_calls"
    begun_at: int | None = None
    answered_at: int | None = None
