"""Injected faults: rules that make a matching call misbehave, counted per lane so that runs repeat."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from stack_emu.kernel.errors import Fault, FaultSpec
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
            code), ``delay`` (ms), ``drop``; ``malformed`` spoils the answer of a tool, ``hide`` takes the tool away
            for as long as the rule stands, whatever is called.
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


class Injected(Fault):
    """A refusal by a fault rule, whose HTTP answer the rule may give in full.

    Args:
        spec: code and status.
        message: the message.
        inject: what the rule injects; ``headers``, ``json`` and ``body`` replace those of an ordinary refusal.
    """

    def __init__(self, spec: FaultSpec, message: str, inject: Mapping[str, Any]) -> None:
        super().__init__(spec, message, details={"injected": True})
        self.headers: Mapping[str, str] = inject.get("headers") or {}
        self.json: Any = inject.get("json")
        self.body: str | None = inject.get("body")


class ConnectionDropped(Exception):
    """A fault rule breaks the connection off: nobody gets an answer.

    Args:
        outcome: what the answer would have been, a ``Fault`` too, when the call took effect; None when it did not.
    """

    def __init__(self, outcome: Any = None) -> None:
        super().__init__()
        self.outcome = outcome


def refusal(inject: Mapping[str, Any], catalogue: Mapping[str, FaultSpec]) -> Injected | None:
    """What a rule answers in place of the operation; None when it only delays or drops.

    Args:
        inject: what the rule injects.
        catalogue: the specifications of known codes.
    """
    code, status = inject.get("error"), inject.get("status")
    answers = ("status", "headers", "json", "body")
    if code is None and not any(inject.get(name) is not None for name in answers):
        return None
    known = catalogue.get(str(code)) if code is not None else None
    status = status or (known.status if known else 500 if code else 200)
    spec = FaultSpec(str(code or f"HTTP_{status}"), status, "", "failure")
    message = inject.get("message") or f"Injected by a fault rule of the scenario: {spec.code}"
    return Injected(spec, message, inject)


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

    def hidden(self, elapsed_ms: int, names: Collection[str], *, noticed: bool = True) -> frozenset[str]:
        """The tools that rules have taken away for now.

        Args:
            elapsed_ms: world time since the world began.
            names: every tool there is.
            noticed: whether a client is about to notice, so that the rules have fired.
        """
        found: set[str] = set()
        for state in self._states:
            if not state.rule.inject.get("hide") or not _stands(state.rule, elapsed_ms):
                continue
            taken = [name for name in names if _fits("tool", state.rule.on["tool"], name)]
            found.update(taken)
            if taken and noticed:
                state.fired[""] = 1
        return frozenset(found)

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
            if (needs and needs.isdisjoint(state.rule.on)) or state.rule.inject.get("hide"):
                continue
            if not _matches(state.rule.on, call):
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
        return _stands(rule, elapsed_ms)

    def __len__(self) -> int:
        return len(self._states)


def _stands(rule: FaultRule, elapsed_ms: int) -> bool:
    if rule.after_ms is not None and elapsed_ms < rule.after_ms:
        return False
    return not (rule.until_ms is not None and elapsed_ms >= rule.until_ms)


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
