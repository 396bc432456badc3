"""Signals: what a detector noticed, kept as a security event, and what follows from it.

Severities and reactions are those of docs/concepts/detectors: in enforced mode a critical signal always revokes the
passport, and so does ``scope_drift``, which is a warning (docs/guides/enforced-mode). An agent whose ``on_warning`` or
``on_critical`` is ``block`` may hold no passports afterwards. A detector the account has switched off raises nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stack_emu.domain import detectors, notifications
from stack_emu.domain.revocation import revoke
from stack_emu.domain.state import Agent, Passport, SecurityEvent
from stack_emu.kernel.acts import Act, RowDraft
from stack_emu.kernel.store import replace
from stack_emu.kernel.world import World

CRITICAL, WARNING, INFO = "critical", "warning", "info"
REVOKING_WARNINGS = frozenset({"scope_drift"})


def note(
    world: World,
    act: Act,
    *,
    agent_id: str,
    passport: Passport | None,
    signal_type: str,
    severity: str,
    message: str,
    metadata: Mapping[str, Any],
    row: RowDraft | None = None,
    forced: bool = False,
) -> SecurityEvent | None:
    """Keep a signal as a security event with a ``security.signal`` row, and react as the agent's settings say.

    In a handler that refuses the call as well, return ``Refused``: a raised ``Fault`` would undo the event.

    Args:
        world: the world.
        act: the act that was noticed.
        agent_id: the agent it is about.
        passport: the passport it is about, or None.
        signal_type: the detector's name, such as ``credential_outside_scope``.
        severity: ``info``, ``warning`` or ``critical``.
        message: one sentence for people.
        metadata: what the detector saw, JSON data.
        row: row to use instead of adding one (a timer whose own row is the signal).
        forced: whether it is raised on demand, whatever the account has set of its detector.

    Returns:
        The stored event, or None when the account has switched the detector off.
    """
    agent = world.store.get(Agent, agent_id)
    operator_id = passport.operator_id if passport is not None else act.operator_id
    settings = detectors.settings_of(world, operator_id, signal_type)
    if not forced:
        if not settings.enabled:
            return None
        severity = settings.severity_overrides.get(signal_type, severity)
    event = SecurityEvent(
        id=act.new_id("security_event", "sev_"),
        operator_id=operator_id,
        agent_id=agent_id,
        passport_id=passport.id if passport is not None else None,
        signal_type=signal_type,
        severity=severity,
        message=message,
        created_at=act.stamp_ms,
        metadata=dict(metadata),
    )
    world.store.put(event)
    draft = row if row is not None else act.also("security.signal", "system")
    draft.action = "security.signal"
    draft.set(agent_id=agent_id, passport_jti=event.passport_id, mission=passport.mission_id if passport else None)
    draft.set(event_id=event.id, signal_type=signal_type, severity=severity, message=message)
    notifications.emit(world, act, event.operator_id, "security.signal", severity, _told(event))
    if agent is not None:
        _block(world, act, agent, event)
    _revoke(world, act, passport, event)
    return event


def _told(event: SecurityEvent) -> dict[str, Any]:
    return {
        "message": event.message,
        "event_id": event.id,
        "signal_type": event.signal_type,
        "agent_id": event.agent_id,
        "passport_jti": event.passport_id,
    }


def _block(world: World, act: Act, agent: Agent, event: SecurityEvent) -> None:
    reaction = {WARNING: agent.on_warning, CRITICAL: agent.on_critical}.get(event.severity)
    if reaction != "block" or agent.passport_blocked:
        return
    world.store.put(
        replace(
            agent,
            passport_blocked=True,
            passport_blocked_reason=f"{event.severity} signal {event.signal_type}: {event.message}",
            passport_blocked_at=act.stamp_ms,
            updated_at=act.stamp_ms,
        )
    )


def _revoke(world: World, act: Act, passport: Passport | None, event: SecurityEvent) -> None:
    if passport is None or passport.accountability != "enforced":
        return
    if event.severity != CRITICAL and event.signal_type not in REVOKING_WARNINGS:
        return
    current = world.store.get(Passport, passport.id) or passport
    reason = f"{event.signal_type}_fire: {event.message}"
    revoke(world, act, [current], revocation="detector", reason=reason, cascade=True)
