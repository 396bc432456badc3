"""Simulating an intent: the proxy's checks, in its order, without the call and without leaving anything behind.

A check that fails says why, in the words the call itself would be refused with; those behind it are not made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from stack_emu.domain import faults, intent_approvals, proxy_checks
from stack_emu.domain.authentication import require_live
from stack_emu.domain.constraints import violations
from stack_emu.domain.identity_records import require_met_by
from stack_emu.domain.issuance import require_holder
from stack_emu.domain.missions import require_live_mission
from stack_emu.domain.proxy_injection import Draft, callers_headers, fill_placeholders, target_of
from stack_emu.domain.state import Agent, Connection, Mission, Passport, ServiceScope
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import Reply

CHECKS = ("passport", "limits", "service", "constraints", "credential", "upstream")


class SimulatedCheck(Reply):
    """One check: what it looks at and what it says."""

    check: str
    verdict: str = Field(description="passed, failed, or skipped when the intent says nothing to check it by")
    code: str | None = Field(None, description="What the call would be refused with")
    reason: str | None = None


class Simulation(Reply):
    """What would happen to the call an intent describes."""

    allowed: bool
    denial_reasons: list[str] = Field(description="Why the call would be refused; empty when it would not")
    simulated_cost: int = Field(description="What it would cost, in cents: proxied calls cost nothing here")
    predicted_detector_fires: list[str] = Field(description="Signals the call would raise")
    simulated_at: str
    diagnostics: list[SimulatedCheck] = Field(description="Every check of the proxy, in its order")
    code: str | None = Field(description="Code the call would be refused with")
    needs_approval: bool = Field(description="Whether the call needs this intent approved")


@dataclass
class _Case:
    """The case under simulation; checks fill in what later ones need."""

    ctx: Context
    passport: Passport
    intent: Mapping[str, Any]
    mission: Mission | None = None
    scope: ServiceScope | None = None
    connection: Connection | None = None
    draft: Draft | None = None

    @property
    def service(self) -> str | None:
        return intent_approvals.service_of(self.intent)


def simulate(ctx: Context, passport: Passport, intent: Mapping[str, Any]) -> Simulation:
    """Make the proxy's checks on the call an intent describes.

    Args:
        ctx: the call that asks.
        passport: whose call it would be.
        intent: ``service``, ``method``, ``url``, ``headers``, ``body``, ``query`` as far as it says.
    """
    case = _Case(ctx, passport, intent)
    made: list[SimulatedCheck] = []
    failed: SimulatedCheck | None = None
    for name in CHECKS:
        check = _one(name, case) if failed is None else SimulatedCheck(check=name, verdict="skipped")
        failed = failed or (check if check.verdict == "failed" else None)
        made.append(check)
    kind = intent_approvals.kind_of(intent)
    writes = kind != intent_approvals.PROXY or str(intent.get("method", "GET")).upper() != "GET"
    return Simulation(
        allowed=failed is None,
        denial_reasons=[failed.reason] if failed is not None and failed.reason is not None else [],
        simulated_cost=0,
        predicted_detector_fires=_predicted(case, failed),
        simulated_at=iso(ctx.stamp_ms),
        diagnostics=made,
        code=failed.code if failed is not None else None,
        needs_approval=writes and intent_approvals.required(ctx.world) and passport.accountability == "enforced",
    )


def _predicted(case: _Case, failed: SimulatedCheck | None) -> list[str]:
    """A service outside the passport that its intent does not declare either raises a signal when it is called."""
    outside = failed is not None and failed.check == "service" and case.scope is None
    return ["credential_outside_scope"] if outside and case.service not in case.passport.intent_services else []


def _one(name: str, case: _Case) -> SimulatedCheck:
    try:
        done = _MAKE[name](case)
    except Fault as fault:
        reason = case.ctx.world.redactor.text(fault.message)
        return SimulatedCheck(check=name, verdict="failed", code=fault.code, reason=reason)
    return SimulatedCheck(check=name, verdict="passed" if done else "skipped")


def _passport(case: _Case) -> bool:
    world, passport = case.ctx.world, case.passport
    require_live(world, passport, propagation_ms=world.settings.get("propagation_ms", 0))
    if passport.checked_out_at is not None:
        at = iso(passport.checked_out_at)
        raise Fault(faults.PASSPORT_CHECKED_OUT, jti=passport.id, checked_out_at=at)
    agent = world.store.get(Agent, passport.agent_id)
    if agent is not None:
        require_holder(agent)
    if passport.mission_id is not None:
        case.mission = require_live_mission(world, passport.operator_id, passport.mission_id)
    return True


def _limits(case: _Case) -> bool:
    proxy_checks.check_room(case.ctx)
    proxy_checks.check_caps(case.ctx, case.mission, case.service or "")
    return True


def _service(case: _Case) -> bool:
    if case.service is None or intent_approvals.kind_of(case.intent) != intent_approvals.PROXY:
        return False
    scope = proxy_checks.scope_of(case.passport, case.service)
    if scope is None:
        granted = ", ".join(sorted({one.service_name for one in case.passport.services})) or "no service"
        reason = f"Passport {case.passport.id} is granted {granted}, not {case.service}; grant agent access to it"
        raise Fault(faults.FORBIDDEN, reason=reason)
    case.scope, case.connection = scope, case.ctx.world.store.get(Connection, scope.connection_id)
    if case.connection is None or case.connection.status != "active":
        reason = f"{scope.connection_id} is not connected any more; connect {case.service} again"
        raise Fault(faults.FORBIDDEN, reason=reason)
    require_met_by(case.ctx.world, case.passport.operator_id, case.passport, case.connection)
    return True


def _constraints(case: _Case) -> bool:
    url = case.intent.get("url")
    if case.scope is None or case.connection is None or not isinstance(url, str):
        return False
    query, headers = case.intent.get("query"), case.intent.get("headers")
    target = target_of(fill_placeholders(url, case.connection), query if isinstance(query, dict) else None)
    sent = callers_headers(
        {str(name): str(value) for name, value in headers.items()} if isinstance(headers, dict) else None
    )
    case.draft = Draft(str(case.intent.get("method", "GET")).upper(), target, sent, case.intent.get("body"))
    failed = violations(case.scope.constraints, case.draft.constrained())
    if failed:
        raise Fault(faults.FORBIDDEN, reason=f"Constraint on {case.scope.service_name}: {failed[0]}")
    return True


def _credential(case: _Case) -> bool:
    if case.connection is None:
        return False
    proxy_checks.check_credential(case.ctx, case.connection)
    return True


def _upstream(case: _Case) -> bool:
    if case.draft is None:
        return False
    upstreams: Any = case.ctx.world.settings.get("upstreams")
    host = case.draft.target.host
    if upstreams is None or upstreams.host_owner(host, case.draft.target.port) is None:
        raise Fault(faults.NOT_EMULATED, what=f"A call to {host}", hint=f"Add {host} to the hosts of an upstream.")
    return True


_MAKE: dict[str, Callable[[_Case], bool]] = {
    "passport": _passport,
    "limits": _limits,
    "service": _service,
    "constraints": _constraints,
    "credential": _credential,
    "upstream": _upstream,
}
