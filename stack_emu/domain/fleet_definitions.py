"""Definitions of fleet policies: what they may say, and what makes one wider than another.

What a definition may hold is published nowhere. The names here are those missions ask with (sdk 4.0.0 missions.open:
``requested_access``, ``requested_operations``, ``limits``); what else a definition holds is kept and not interpreted. A
policy allows what it names: without ``access`` no connection, without ``operations`` no operation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ConfigDict, Field, ValidationError, field_validator

from stack_emu.domain.agents import AccountabilityMode
from stack_emu.domain.fleet_records import OPERATOR_MODE, WORKLOAD_MODE
from stack_emu.domain.grants import IntentUse
from stack_emu.domain.issuance import MODE_RANK
from stack_emu.domain.narrowing import ScopeInput
from stack_emu.domain.state import JsonObject
from stack_emu.kernel.operations import Command

MODES = (OPERATOR_MODE, WORKLOAD_MODE)
MISSION_LIMITS = ("max_actions", "max_concurrent_actions", "max_duration_seconds")
FLEET_LIMITS = (*MISSION_LIMITS, "max_members", "max_active_missions")
PER_SERVICE = "max_actions_per_service"
OPERATION_PARTS = ("producer", "target_id", "action")
NOT_DEFINED_HERE = frozenset({"policy_id", "idempotency_key", "expected_revision", "governance_approval_id"})
"""Fields of the commands that carry a definition which are no part of it."""


class FleetDefinition(Command):
    """What a fleet policy allows. Further fields are kept and not interpreted."""

    model_config = ConfigDict(extra="allow")

    name: str = Field(min_length=1, max_length=200, description="What the fleet is called")
    description: str | None = Field(None, max_length=2000, description="What the fleet is for")
    access: list[dict[str, Any]] | None = Field(
        None,
        description="Most that missions may ask for, an entry for each connection: connection_id, scopes, intents, "
        "constraints, allow_data_from; no connection when left out",
    )
    requested_access: list[dict[str, Any]] | None = Field(None, description="access under the name missions use")
    operations: list[dict[str, Any]] | None = Field(
        None,
        description="Operations missions may ask for: producer, target_id, action; a part left out, or *, is any",
    )
    requested_operations: list[dict[str, Any]] | None = Field(
        None, description="operations under the name missions use"
    )
    limits: dict[str, Any] | None = Field(
        None,
        description="Limits of the fleet as a whole: max_members, max_active_missions, max_actions, "
        "max_concurrent_actions; and of each mission: max_duration_seconds, max_actions_per_service",
    )
    mission_limits: dict[str, Any] | None = Field(
        None, description="Limits of each mission: max_actions, max_concurrent_actions, max_duration_seconds"
    )
    authority_binding_ids: list[str] | None = Field(
        None, description="Authority bindings missions may name; any when left out"
    )
    accountability_mode: AccountabilityMode | None = Field(
        None, description="Mode its agents are registered in: enforced (default), logged or standard"
    )
    enrollment: dict[str, Any] | None = Field(
        None, description="How agents join: modes, a list of operator and workload; both when left out"
    )

    @field_validator("access", "requested_access")
    @classmethod
    def _entries_of_access(cls, entries: list[dict[str, Any]] | None) -> list[dict[str, Any]] | None:
        for number, entry in enumerate(entries or ()):
            if read_access(entry, number).reference is None:
                raise ValueError(f"entry {number} names no connection; give it a connection_id")
        return entries

    @field_validator("operations", "requested_operations")
    @classmethod
    def _entries_of_operations(cls, entries: list[dict[str, Any]] | None) -> list[dict[str, Any]] | None:
        for number, entry in enumerate(entries or ()):
            wrong = [part for part in OPERATION_PARTS if not isinstance(entry.get(part, ""), str)]
            if wrong:
                raise ValueError(f"entry {number}: {wrong[0]} must be text")
        return entries

    @field_validator("limits", "mission_limits")
    @classmethod
    def _numbers(cls, limits: dict[str, Any] | None) -> dict[str, Any] | None:
        problem = wrong_limit(limits or {})
        if problem is not None:
            raise ValueError(problem)
        return limits

    @field_validator("enrollment")
    @classmethod
    def _modes(cls, enrollment: dict[str, Any] | None) -> dict[str, Any] | None:
        modes = (enrollment or {}).get("modes")
        if modes is not None and (not isinstance(modes, list) or any(mode not in MODES for mode in modes)):
            raise ValueError(f"modes must be a list of {' and '.join(MODES)}")
        return enrollment

    def definition(self) -> dict[str, Any]:
        """The definition as it was given."""
        return self.model_dump(mode="json", exclude_unset=True, exclude=set(NOT_DEFINED_HERE))


def read_access(entry: Mapping[str, Any], number: int) -> ScopeInput:
    """An entry of a definition's access.

    Raises:
        ValueError: with what is wrong with it.
    """
    try:
        return ScopeInput.model_validate(entry)
    except ValidationError as error:
        issue = error.errors(include_url=False)[0]
        where = ".".join(map(str, issue["loc"])) or "it"
        raise ValueError(f"entry {number}: {where}: {issue['msg']}") from None


def wrong_limit(limits: Mapping[str, Any]) -> str | None:
    """What is wrong with the limits that are known, as a sentence; None when nothing is."""
    for name in FLEET_LIMITS:
        if name in limits and not is_number(limits[name]):
            return f"{name} must be a whole number of at least 1"
    per_service = limits.get(PER_SERVICE, {})
    if not isinstance(per_service, Mapping) or not all(is_number(value) for value in per_service.values()):
        return f"{PER_SERVICE} must hold a whole number of at least 1 for each service"
    return None


def is_number(value: Any) -> bool:
    """Whether a value can be a limit."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def access_of(definition: JsonObject) -> list[ScopeInput]:
    """What a definition allows of each connection."""
    entries = definition.get("access", definition.get("requested_access")) or ()
    return [read_access(entry, number) for number, entry in enumerate(entries)]


def operations_of(definition: JsonObject) -> Sequence[JsonObject]:
    """The operations a definition allows."""
    return definition.get("operations", definition.get("requested_operations")) or ()


def modes_of(definition: JsonObject) -> tuple[str, ...]:
    """The ways to join a definition leaves open."""
    modes = (definition.get("enrollment") or {}).get("modes")
    return MODES if modes is None else tuple(modes)


def mission_ceilings(definition: JsonObject) -> dict[str, Any]:
    """The most a mission may be limited to, by limit: what one mission may use is bounded by what all may."""
    fleet, each = definition.get("limits") or {}, definition.get("mission_limits") or {}
    ceilings: dict[str, Any] = {}
    for name in MISSION_LIMITS:
        known = [limits[name] for limits in (fleet, each) if name in limits]
        if known:
            ceilings[name] = min(known)
    per_service = {**fleet.get(PER_SERVICE, {})}
    for service, most in each.get(PER_SERVICE, {}).items():
        per_service[service] = min(most, per_service.get(service, most))
    return {**ceilings, **({PER_SERVICE: per_service} if per_service else {})}


def covers(allowed: Sequence[JsonObject], asked: JsonObject) -> bool:
    """Whether one of the allowed operations takes in an operation that is asked for."""
    return any(
        all(one.get(part) in (None, "*") or one.get(part) == asked.get(part) for part in OPERATION_PARTS)
        for one in allowed
    )


def intent_uses(entry: ScopeInput) -> list[IntentUse]:
    """The named intents of an entry, as uses."""
    return [IntentUse(name=use) if isinstance(use, str) else use for use in entry.intents or ()]


def permits(allowed: Sequence[IntentUse], use: IntentUse) -> bool:
    """Whether a use of an intent is one of those allowed: parameters an allowed one fixes must be the same."""
    return any(one.name == use.name and one.params.items() <= use.params.items() for one in allowed)


def widenings(old: JsonObject, new: JsonObject) -> list[str]:
    """What a new definition allows that the old one did not, as ends of a sentence; empty when it only narrows."""
    found = [*_wider_access(old, new), *_wider_limits(old, new)]
    if any(not covers(operations_of(old), one) for one in operations_of(new)):
        found.append("allows further operations")
    if set(modes_of(new)) - set(modes_of(old)):
        found.append("opens a further way to enroll")
    before, after = old.get("authority_binding_ids"), new.get("authority_binding_ids")
    if before is not None and (after is None or set(after) - set(before)):
        found.append("allows further authority bindings")
    if MODE_RANK[_mode(new)] < MODE_RANK[_mode(old)]:
        found.append(f"registers agents in {_mode(new)} mode")
    return found


def _mode(definition: JsonObject) -> str:
    mode: str = definition.get("accountability_mode") or "enforced"
    return mode


def _wider_access(old: JsonObject, new: JsonObject) -> Iterator[str]:
    before = {entry.reference: entry for entry in access_of(old)}
    for entry in access_of(new):
        known = before.get(entry.reference)
        if known is None:
            yield f"adds {entry.reference}"
        elif _is_wider(known, entry):
            yield f"allows more of {entry.reference}"


def _is_wider(old: ScopeInput, new: ScopeInput) -> bool:
    if _beyond(old.scopes, new.scopes) or _beyond(old.allow_data_from, new.allow_data_from):
        return True
    kept = [constraint.model_dump() for constraint in new.constraints]
    if any(constraint.model_dump() not in kept for constraint in old.constraints):
        return True
    allowed, asked = intent_uses(old), intent_uses(new)
    return bool(allowed) and (not asked or any(not permits(allowed, use) for use in asked))


def _beyond(old: Sequence[str] | None, new: Sequence[str] | None) -> bool:
    return old is not None and (new is None or bool(set(new) - set(old)))


def _wider_limits(old: JsonObject, new: JsonObject) -> Iterator[str]:
    for section in ("limits", "mission_limits"):
        before, after = _flat(old.get(section) or {}), _flat(new.get(section) or {})
        for name, value in before.items():
            if name not in after:
                yield f"takes {section}.{name} away"
            elif after[name] > value:
                yield f"raises {section}.{name}"


def _flat(limits: Mapping[str, Any]) -> dict[str, int]:
    flat = {name: limits[name] for name in FLEET_LIMITS if name in limits}
    return {**flat, **{f"{PER_SERVICE}.{service}": most for service, most in limits.get(PER_SERVICE, {}).items()}}
