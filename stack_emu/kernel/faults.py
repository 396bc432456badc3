"""Injected faults: rules that make a matching call misbehave, counted per lane so that runs repeat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stack_emu.kernel.matching import PathTemplate

Names = str | tuple[str, ...]
"""A field of a call: one value, or the names one thing goes by, of which a rule may use any."""


@dataclass(frozen=True)
class FaultRule:
    """One rule: where it applies, when in the sequence of matching calls, and what it does.

    Args:
        on: fields a call must have, for example ``{"operation": "proxy.request"}`` or ``{"upstream": …, "path": …}``; a
            trailing ``*`` in a value matches any rest, and ``path`` is a path template.
        inject: what to answer: ``status``, ``headers``, ``json``, ``body``, ``error`` (a fault
            code), ``delay`` (ms), ``drop``.
        nth: only the nth matching call (1-based).
        every: every nth matching call.
        times: at most so many injections.
        after_ms: only once this much world time has passed since the world began.
        until_ms: only before this much world time has passed.
        per: ``lane`` counts in each lane, ``world`` across all (order-dependent).
    """

    on: Mapping[str, str]
    inject: Mapping[str, Any]
    nth: int | None = None
    every: int | None = None
    times: int | None = None
    after_ms: int | None = None
    until_ms: int | None = None
    per: str = "lane"


@dataclass
class _State:
    rule: FaultRule
    seen: dict[str, int] = field(default_factory=dict)
    fired: dict[str, int] = field(default_factory=dict)


class FaultRules:
    """The fault rules of a world, in the order they were added; the first that applies wins."""

    def __init__(self) -> None:
        self._states: list[_State] = []

    def add(self, rule: FaultRule) -> None:
        """Add a rule behind the others."""
        self._states.append(_State(rule))

    def clear(self) -> None:
        """Drop all rules."""
        self._states.clear()

    def rewind(self) -> None:
        """Forget how often each rule matched and fired."""
        for state in self._states:
            state.seen.clear()
            state.fired.clear()

    def unfired(self) -> list[FaultRule]:
        """Rules that never injected anything."""
        return [state.rule for state in self._states if not any(state.fired.values())]

    def take(
        self, lane: str, elapsed_ms: int, needs: frozenset[str] = frozenset(), /, **call: Names
    ) -> Mapping[str, Any] | None:
        """Count a call against every rule and return what the first applicable one injects.

        Args:
            lane: lane of the call.
            elapsed_ms: world time since the world began.
            needs: only rules that name one of these fields count; the others have seen this call before.
            **call: the call's fields (``operation``, ``upstream``, ``path``, ``method``, ``agent``, ``tool`` …); what
                goes by several names, such as an agent's id and name, as a tuple of them.
        """
        chosen: Mapping[str, Any] | None = None
        for state in self._states:
            if (needs and needs.isdisjoint(state.rule.on)) or not _matches(state.rule.on, call):
                continue
            counter = "" if state.rule.per == "world" else lane
            seen = state.seen[counter] = state.seen.get(counter, 0) + 1
            if chosen is None and self._applies(state, seen, counter, elapsed_ms):
                state.fired[counter] = state.fired.get(counter, 0) + 1
                chosen = state.rule.inject
        return chosen

    @staticmethod
    def _applies(state: _State, seen: int, counter: str, elapsed_ms: int) -> bool:
        rule = state.rule
        if rule.nth is not None and seen != rule.nth:
            return False
        if rule.every is not None and seen % rule.every:
            return False
        if rule.times is not None and state.fired.get(counter, 0) >= rule.times:
            return False
        if rule.after_ms is not None and elapsed_ms < rule.after_ms:
            return False
        return not (rule.until_ms is not None and elapsed_ms >= rule.until_ms)

    def __len__(self) -> int:
        return len(self._states)


def _matches(pattern: Mapping[str, str], call: Mapping[str, Names]) -> bool:
    for name, wanted in pattern.items():
        got = call.get(name, ())
        if not any(_fits(name, wanted, value) for value in ((got,) if isinstance(got, str) else got)):
            return False
    return True


def _fits(name: str, wanted: str, got: str) -> bool:
    if name == "path":
        return PathTemplate(wanted).match(got) is not None
    return got.startswith(wanted[:-1]) if wanted.endswith("*") else got == wanted
