"""Scope drift: how far the calls of a passport move away from what its intent declares.

Every proxied call is judged in two dimensions, whose sum is its novelty. The thresholds are published (fires once per
passport when the sum over its calls reaches 2.00 or one call reaches 0.80); what the dimensions are is not, so:

- *service*: 0 for a service the intent declares, 0.50 for one that was granted but not declared, 1.00 when the
  credential goes to a host that is not the service's.
- *action*: 0 for a declared service; for another, when this passport has not used that method on that host yet, 0.10
  for reading and 0.30 for writing.

So ordinary use of declared services never adds anything. An intent that names no services declares what was granted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from stack_emu.domain import detectors, signals
from stack_emu.domain.state import Connection, Passport
from stack_emu.kernel.dispatch import Context

_UNDECLARED, _ELSEWHERE = 50, 100
_READING, _WRITING = 10, 30
_READS = ("GET", "HEAD")


@dataclass(frozen=True)
class Drift:
    """How far a passport has drifted, in hundredths. ``id`` is the passport's; ``seen`` are ``METHOD host``."""

    TABLE: ClassVar[str] = "scope_drift"
    INDEXES: ClassVar[tuple[str, ...]] = ()
    id: str
    cumulative: int = 0
    seen: tuple[str, ...] = ()
    fired: bool = False


@dataclass(frozen=True)
class Novelty:
    """What is new about a call, in hundredths."""

    service: int
    action: int

    @property
    def total(self) -> int:
        """The call's novelty."""
        return self.service + self.action


def watch(ctx: Context, passport: Passport, connection: Connection, method: str, host: str, *, at_home: bool) -> None:
    """Judge a call that is about to go out, and raise the signal when a threshold is reached.

    Args:
        ctx: the call.
        passport: the passport it is made under.
        connection: whose credential it carries.
        method: its HTTP method.
        host: where it goes.
        at_home: whether that host is the service's own.
    """
    store = ctx.world.store
    drift = store.get(Drift, passport.id) or Drift(passport.id)
    found = _novelty(passport, connection, method, host, drift, at_home)
    if not found.total:
        return
    seen = tuple(sorted({*drift.seen, f"{method} {host}"}))
    total = drift.cumulative + found.total
    settings = detectors.settings_of(ctx.world, passport.operator_id, detectors.SCOPE_DRIFT)
    reached = total >= _hundredths(settings.threshold("cumulative")) or found.total >= _hundredths(
        settings.threshold("novelty")
    )
    fires = settings.enabled and reached and not drift.fired
    store.put(Drift(passport.id, total, seen, drift.fired or fires))
    if fires:
        _signal(ctx, passport, connection, found, total)


def _hundredths(value: float) -> int:
    return round(value * 100)


def _novelty(
    passport: Passport, connection: Connection, method: str, host: str, drift: Drift, at_home: bool
) -> Novelty:
    declared = not passport.intent_services or bool(
        {connection.provider, connection.id} & set(passport.intent_services)
    )
    if declared and at_home:
        return Novelty(0, 0)
    service = _UNDECLARED if at_home else _ELSEWHERE
    if declared or f"{method} {host}" in drift.seen:
        return Novelty(service, 0)
    return Novelty(service, _READING if method in _READS else _WRITING)


def _signal(ctx: Context, passport: Passport, connection: Connection, found: Novelty, total: int) -> None:
    signals.note(
        ctx.world,
        ctx.act,
        agent_id=passport.agent_id,
        passport=passport,
        signal_type=detectors.SCOPE_DRIFT,
        severity=signals.WARNING,
        message=f"Calls drift from the intent: {connection.provider} brings the novelty to {total / 100:.2f}",
        metadata={
            "cumulative": total / 100,
            "novelty": found.total / 100,
            "dimensions": {"service": found.service / 100, "action": found.action / 100},
            "service": connection.provider,
            "intent_services": list(passport.intent_services),
        },
    )
