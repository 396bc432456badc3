"""Signals on demand: the rules a scenario has under ``detectors``, and those raised over the control API.

A rule counts the acts it fits in each lane, and raises its signal as if a detector had noticed the act: the event, its
row, and what follows from its severity. What the account has set of its detectors does not matter here. A call that is
refused counts for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from stack_emu.domain import faults, signals
from stack_emu.domain.state import Agent, Passport, SecurityEvent
from stack_emu.kernel.acts import RowDraft
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.world import World


@dataclass(frozen=True)
class RuleCount:
    """How many acts of a lane a rule has fitted. ``id`` is ``<number of the rule>/<lane>``."""

    TABLE: ClassVar[str] = "detector_rule_counts"
    INDEXES: ClassVar[tuple[str, ...]] = ()
    id: str
    seen: int = 0


def watch(ctx: Context) -> None:
    """Hold an act whose handler has done its work against the scenario's rules."""
    for number, rule in enumerate(ctx.world.settings.get("detectors", ())):
        agent_id = ctx.row.agent_id
        if agent_id is None or not _fits(ctx, rule.when, agent_id):
            continue
        place = f"{number}/{ctx.act.lane}"
        seen = (ctx.world.store.get(RuleCount, place) or RuleCount(place)).seen + 1
        ctx.world.store.put(RuleCount(place, seen))
        if rule.when.nth in (None, seen):
            _raise(ctx, rule, agent_id)


def _fits(ctx: Context, when: Any, agent_id: str) -> bool:
    if when.operation not in (None, ctx.operation.name):
        return False
    known = ctx.row.metadata
    if when.service is not None and when.service not in (known.get("service"), known.get("connection")):
        return False
    return when.agent is None or when.agent in ctx.world.names_of(agent_id)


def _raise(ctx: Context, rule: Any, agent_id: str) -> None:
    jti = ctx.row.passport_jti
    passport = ctx.world.store.get(Passport, jti) if jti is not None else None
    signals.note(
        ctx.world,
        ctx.act,
        agent_id=agent_id,
        passport=passport,
        signal_type=rule.signal,
        severity=rule.severity,
        message=rule.message or f"{rule.signal} was raised by the scenario",
        metadata=rule.metadata,
        forced=True,
    )


def raise_on_demand(
    world: World,
    *,
    agent: str,
    signal: str,
    severity: str = signals.WARNING,
    passport_jti: str | None = None,
    message: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> SecurityEvent:
    """Raise a signal as a detector would; a control step, an act of its own.

    Args:
        world: the world.
        agent: id or name of the agent it is about.
        signal: its type.
        severity: info, warning or critical.
        passport_jti: the passport it is about; one of the agent's.
        message: a sentence for people.
        metadata: what the detector saw.

    Raises:
        Fault: NOT_FOUND for an unknown agent or passport, CONFLICT when the passport is another agent's.
    """
    found = next((one for one in world.store.all(Agent) if not one.deleted and agent in (one.id, one.name)), None)
    if found is None:
        raise Fault(faults.NOT_FOUND, what="Agent", id=agent)
    passport = world.store.get(Passport, passport_jti) if passport_jti is not None else None
    if passport_jti is not None and passport is None:
        raise Fault(faults.NOT_FOUND, what="Passport", id=passport_jti)
    if passport is not None and passport.agent_id != found.id:
        raise Fault(faults.CONFLICT, problem=f"Passport {passport.id} is agent {passport.agent_id}'s, not {found.id}'s")
    row = RowDraft("security.signal", "system", agent_id=found.id)
    given: dict[str, Any] = {"agent": found.id, "signal": signal, "severity": severity, "passport": passport_jti}
    given |= {"message": message, "metadata": dict(metadata or {})}
    act = world.begin_act("control.signals.raise", found.operator_id, "control", given, row)
    with world.transaction(act):
        event = signals.note(
            world,
            act,
            agent_id=found.id,
            passport=passport,
            signal_type=signal,
            severity=severity,
            message=message or f"{signal} was raised on demand",
            metadata=metadata or {},
            row=row,
            forced=True,
        )
    assert event is not None  # what is forced is never passed over
    return event
