"""What is noticed in a report: services outside the intent, and at checkout what does not fit what the proxy saw.

The page of detectors says that a checkout is looked at afterwards; of its flags only ``credential_outside_scope`` has a
published name. The others are named here. Standard mode is not looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from stack_emu.domain import detectors
from stack_emu.domain.signals import CRITICAL, INFO, WARNING
from stack_emu.domain.state import Agent, Passport, ProxyOperation, SecurityEvent
from stack_emu.kernel.world import World

Flag = dict[str, str]
_RANK = {INFO: 0, WARNING: 1, CRITICAL: 2}


@dataclass(frozen=True)
class Told:
    """What an agent reported; None for what it left out.

    Args:
        services_used: services it says it used.
        actions_count: how many actions it counts.
        tool_services: services its single actions name.
        delegated_to: agents it says it delegated to.
    """

    services_used: tuple[str, ...] | None
    actions_count: int | None
    tool_services: tuple[str, ...]
    delegated_to: tuple[str, ...]


def undeclared(passport: Passport, services_used: Collection[str]) -> list[str]:
    """Services reported that are not the intent's; with an intent that names none, not the passport's."""
    granted = {name for scope in passport.services for name in (scope.service_name, scope.connection_id)}
    return sorted(set(services_used) - (set(passport.intent_services) or granted))


def severity(world: World, passport: Passport) -> str:
    """Out-of-scope reports are critical in enforced mode and a warning in logged mode (docs/concepts/checkpoints)."""
    default = CRITICAL if passport.accountability == "enforced" else WARNING
    settings = detectors.settings_of(world, passport.operator_id, detectors.OUTSIDE_SCOPE)
    return settings.severity_overrides.get(detectors.OUTSIDE_SCOPE, default)


def of_report(world: World, passport: Passport, told: Told) -> list[Flag]:
    """The flags of any report: services outside the declared scope."""
    if passport.accountability == "standard":
        return []
    if not detectors.settings_of(world, passport.operator_id, detectors.OUTSIDE_SCOPE).enabled:
        return []
    grade = severity(world, passport)
    return [
        _flag(detectors.OUTSIDE_SCOPE, grade, f"{service} was used, which the passport does not declare")
        for service in undeclared(passport, told.services_used or ())
    ]


def of_checkout(world: World, passport: Passport, told: Told) -> list[Flag]:
    """The flags of a checkout besides: what the report says against what the emulator saw of the passport."""
    if passport.accountability == "standard":
        return []
    return [*_calls(world, passport, told), *_delegation(world, passport, told), *_history(world, passport)]


def _flag(kind: str, grade: str, message: str) -> Flag:
    return {"type": kind, "severity": grade, "message": message}


def _calls(world: World, passport: Passport, told: Told) -> Iterator[Flag]:
    calls = [
        made
        for made in world.store.find(ProxyOperation, passport_id=passport.id)
        if made.accounting_state == "committed"
    ]
    used = {made.provider: {made.provider, made.connection_id} for made in calls}
    for service in sorted(used):
        if passport.intent_services and not used[service] & set(passport.intent_services):
            yield _flag("undeclared_service_proxied", WARNING, f"{service} was called, which the intent does not name")
        if told.services_used is not None and not used[service] & set(told.services_used):
            yield _flag("unreported_service", WARNING, f"{service} was called and is not among services_used")
    if told.actions_count is not None and told.actions_count < len(calls):
        message = f"{told.actions_count} actions were reported; the proxy made {len(calls)} calls"
        yield _flag("action_count_mismatch", WARNING, message)
    agent = world.store.get(Agent, passport.agent_id)
    if agent is not None and agent.credential_access == "proxy_only":
        known = {name for names in used.values() for name in names}
        reachable = {name for scope in passport.services for name in (scope.service_name, scope.connection_id)}
        for service in sorted((set(told.tool_services) & reachable) - known):
            message = f"tool_calls name {service}, which the proxy never called for this passport"
            yield _flag("unproxied_tool_call", WARNING, message)


def _delegation(world: World, passport: Passport, told: Told) -> Iterator[Flag]:
    if passport.will_delegate:
        return
    children = {child.agent_id for child in world.store.find(Passport, parent_id=passport.id)}
    for agent_id in sorted(children | set(told.delegated_to)):
        yield _flag(
            "undeclared_delegation", WARNING, f"it was delegated to {agent_id}; the intent says it would not be"
        )


def _history(world: World, passport: Passport) -> Iterator[Flag]:
    if passport.silence_noted:
        yield _flag("checkpoint_missed", WARNING, "an enforced passport expired without the checkpoint that was due")
    open_events = [
        event
        for event in world.store.find(SecurityEvent, passport_id=passport.id)
        if event.resolved_at is None and event.signal_type != detectors.SILENCE
    ]
    if open_events:
        grade = max((event.severity for event in open_events), key=_RANK.__getitem__)
        kinds = ", ".join(sorted({event.signal_type for event in open_events}))
        yield _flag("unresolved_signals", grade, f"signals about it are unresolved: {kinds}")
