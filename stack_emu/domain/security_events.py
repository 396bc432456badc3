"""Security events: what the detectors noticed, read and settled by the account's operator.

Only the operator may look: member keys are refused (docs/api/security-events).
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from stack_emu.domain import faults
from stack_emu.domain.authentication import OPERATOR, SESSION
from stack_emu.domain.state import SecurityEvent
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import Audit, Auth, Command, Reply, Rest, Tool, operation
from stack_emu.kernel.store import replace
from stack_emu.kernel.world import World

_AUTH = Auth(bearers=frozenset({OPERATOR, SESSION}))


class ListSecurityEvents(Command):
    """Which events to list."""

    agent_id: str | None = Field(None, description="Only those about this agent (agt_…)")
    page: int = Field(1, ge=1, description="Page, from 1")
    limit: int = Field(50, ge=1, le=100, description="Events on a page, at most 100")


class SecurityEventById(Command):
    """Names an event."""

    event_id: str = Field(description="Event id (sev_…)")


class EventReply(Reply):
    """An event."""

    id: str
    operator_id: str
    agent_id: str
    passport_jti: str | None
    signal_type: str
    severity: str
    message: str
    metadata: dict[str, Any]
    resolved: bool
    resolved_at: str | None
    created_at: str


class EventPage(Reply):
    """Unresolved events, newest first."""

    events: list[EventReply]
    unresolved_count: int = Field(description="How many there are on all pages")
    page: int
    limit: int


@operation(
    "security_events.list",
    rest=Rest("GET", "/v1/security-events"),
    tool=Tool("stack_list_security_events"),
    auth=_AUTH,
    source="docs/api/security-events; sdk 4.0.0 security_events.list",
    grade="documented",
)
def list_security_events(ctx: Context, command: ListSecurityEvents) -> EventPage:
    """List unresolved security events, newest first; resolved ones are read by their id."""
    wanted = {"operator_id": ctx.operator_id, **({"agent_id": command.agent_id} if command.agent_id else {})}
    events = [event for event in ctx.world.store.find(SecurityEvent, **wanted) if event.resolved_at is None]
    start = (command.page - 1) * command.limit
    return EventPage(
        events=[_reply(event) for event in events[::-1][start : start + command.limit]],
        unresolved_count=len(events),
        page=command.page,
        limit=command.limit,
    )


@operation(
    "security_events.get",
    rest=Rest("GET", "/v1/security-events/{event_id}"),
    tool=Tool("stack_get_security_event"),
    auth=_AUTH,
    source="docs/api/security-events; sdk 4.0.0 security_events.get",
    grade="documented",
)
def get_security_event(ctx: Context, command: SecurityEventById) -> EventReply:
    """Read a security event, resolved or not.

    Raises:
        Fault: NOT_FOUND.
    """
    return _reply(_require(ctx, command.event_id))


def _agent_of(world: World, command: Any) -> str | None:
    event = world.store.get(SecurityEvent, command.event_id)
    return event.agent_id if event is not None else None


@operation(
    "security_events.resolve",
    rest=Rest("POST", "/v1/security-events/{event_id}/resolve"),
    tool=Tool("stack_resolve_security_event", idempotent=True),
    auth=_AUTH,
    audit=Audit("security.resolve"),
    subject=_agent_of,
    source="docs/api/security-events; sdk 4.0.0 security_events.resolve",
    grade="documented",
)
def resolve_security_event(ctx: Context, command: SecurityEventById) -> EventReply:
    """Settle a security event, so that it is not listed any more; what it caused stays. Doing so again changes nothing.

    Raises:
        Fault: NOT_FOUND.
    """
    ctx.row.set(event_id=command.event_id)
    event = _require(ctx, command.event_id)
    ctx.row.set(agent_id=event.agent_id, passport_jti=event.passport_id)
    ctx.row.set(signal_type=event.signal_type, severity=event.severity)
    if event.resolved_at is None:
        event = ctx.world.store.put(replace(event, resolved_at=ctx.stamp_ms))
    else:
        ctx.row.set(repeated=True)
    return _reply(event)


def _require(ctx: Context, event_id: str) -> SecurityEvent:
    event = ctx.world.store.get(SecurityEvent, event_id)
    if event is None or event.operator_id != ctx.operator_id:
        raise Fault(faults.NOT_FOUND, what="Security event", id=event_id)
    return event


def _reply(event: SecurityEvent) -> EventReply:
    return EventReply.model_validate(as_json(event))


def as_json(event: SecurityEvent) -> dict[str, Any]:
    """An event as JSON data."""
    return {
        "id": event.id,
        "operator_id": event.operator_id,
        "agent_id": event.agent_id,
        "passport_jti": event.passport_id,
        "signal_type": event.signal_type,
        "severity": event.severity,
        "message": event.message,
        "metadata": dict(event.metadata),
        "resolved": event.resolved_at is not None,
        "resolved_at": None if event.resolved_at is None else iso(event.resolved_at),
        "created_at": iso(event.created_at),
    }
