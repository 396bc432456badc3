"""Injected faults: rules that make a matching call misbehave, counted per lane so that runs repeat."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stack_emu.kernel.errors import Fault, FaultSpec
from stack_emu.kernel.ids import derive
from stack_emu.kernel.latency import delay_ms, unit
from stack_emu.kernel.matching import Matchable, PathTemplate, Pattern

Names = str | tuple[str, ...]
"""A field of a call: one value, or the names one thing goes by, of which a rule may use any."""


WIRE = ("transport", "dribble", "content_type")
"""What a rule injects into the bytes of an answer, whatever the answer is."""


@dataclass(frozen=True)
class CallView:
    """A call in the form a rule's ``where`` looks at."""

    method: str
    path: str
    query: Sequence[tuple[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    content: Any = None
    host: str = ""


class Injection(dict[str, Any]):
    """What a rule does to one call: its ``inject``, a delay drawn already.

    Args:
        inject: what it injects.
        rule: which rule it is, for example ``faults[2]``.
    """

    def __init__(self, inject: Mapping[str, Any], rule: str) -> None:
        super().__init__(inject)
        self.rule = rule

    @property
    def wire(self) -> Injection | None:
        """The part of it that is about the bytes of the answer; None when it has none."""
        found = {name: self[name] for name in WIRE if self.get(name) is not None}
        return Injection(found, self.rule) if found else None


@dataclass(frozen=True)
class FaultRule:
    """One rule: where it applies, when in the sequence of matching calls, and what it does.

    Args:
        on: fields a call must have, for example ``{"operation": "proxy.request"}`` or ``{"upstream": …, "path": …}``; a
            trailing ``*`` in a value matches any rest, ``path`` is a path template, and ``user`` is text that is contained.
        inject: what to answer: ``status``, ``headers``, ``json``, ``body``, ``error`` (a fault
            code), ``delay`` (ms, or a distribution, see ``latency.delay_ms``), ``drop``; ``transport``, ``dribble`` and
            ``content_type`` spoil the bytes of the answer; ``malformed`` spoils the answer of a tool, ``hide`` takes the
            tool away for as long as the rule stands, whatever is called.
        nth: only the nth matching call (1-based).
        every: every nth matching call.
        times: at most so many injections.
        after_ms: only once this much world time has passed since the world began.
        until_ms: only before this much world time has passed.
        per: ``lane`` counts in each lane, ``world`` across all (order-dependent).
        where: what the request must look like besides.
        chance: how likely it is that a call it applies to is hit, drawn from what the call is.
        origin: where it was written: ``faults`` of a scenario, or ``added`` to a running world.
    """

    on: Mapping[str, str]
    inject: Mapping[str, Any]
    nth: int | None = None
    every: int | None = None
    times: int | None = None
    after_ms: int | None = None
    until_ms: int | None = None
    per: str = "lane"
    where: Pattern | None = None
    chance: float | None = None
    origin: str = "faults"


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
        reset: whether it breaks with a TCP reset instead of an end.
    """

    def __init__(self, outcome: Any = None, *, reset: bool = False) -> None:
        super().__init__()
        self.outcome = outcome
        self.reset = reset


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
    name: str
    seen: dict[str, int] = field(default_factory=dict)
    fired: dict[str, int] = field(default_factory=dict)
    met: dict[str, int] = field(default_factory=dict)

    @property
    def draws(self) -> bool:
        return self.rule.chance is not None or isinstance(self.rule.inject.get("delay"), Mapping)


@dataclass(frozen=True)
class Tally:
    """How often a rule has met calls.

    Args:
        name: which rule it is, for example ``faults[2]``.
        rule: the rule.
        seen: how many calls matched it, in all lanes.
        fired: into how many of them it was injected.
    """

    name: str
    rule: FaultRule
    seen: int
    fired: int


class FaultRules:
    """The fault rules of a world, in the order they were added; the first that applies wins.

    Args:
        seed: the world's seed material, which draws come from.
    """

    def __init__(self, seed: bytes = b"") -> None:
        self._seed = seed
        self._states: list[_State] = []

    def add(self, rule: FaultRule) -> None:
        """Add a rule behind the others."""
        number = sum(state.rule.origin == rule.origin for state in self._states)
        self._states.append(_State(rule, f"{rule.origin}[{number}]"))

    def replace(self, origin: str, rules: Sequence[FaultRule]) -> None:
        """Put other rules in the place of those of one origin; a rule that stays keeps its counts.

        Args:
            origin: whose rules go.
            rules: what comes instead, before the rules of other origins.
        """
        old = [state for state in self._states if state.rule.origin == origin]
        rest = [state for state in self._states if state.rule.origin != origin]
        self._states = []
        for rule in rules:
            self.add(rule)
            same = next((state for state in old if state.rule == rule), None)
            if same is not None:
                old.remove(same)
                made = self._states[-1]
                made.seen, made.fired, made.met = same.seen, same.fired, same.met
        self._states += rest

    def tallies(self) -> list[Tally]:
        """Every rule, with how often it met a call."""
        return [
            Tally(state.name, state.rule, sum(state.seen.values()), sum(state.fired.values())) for state in self._states
        ]

    def clear(self) -> None:
        """Drop all rules."""
        self._states.clear()

    def rewind(self) -> None:
        """Forget how often each rule matched and fired."""
        for state in self._states:
            state.seen.clear()
            state.fired.clear()
            state.met.clear()

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

    def asks(self, names: Collection[str]) -> bool:
        """Whether a rule names one of these fields, which cost something to find out."""
        return any(not state.rule.on.keys().isdisjoint(names) for state in self._states)

    def unfired(self) -> list[FaultRule]:
        """Rules that never injected anything."""
        return [state.rule for state in self._states if not any(state.fired.values())]

    def take(
        self,
        lane: str,
        elapsed_ms: int,
        needs: frozenset[str] = frozenset(),
        /,
        *,
        request: Matchable | None = None,
        identity: str = "",
        **call: Names,
    ) -> Injection | None:
        """Count a call against every rule and return what the first applicable one injects.

        Args:
            lane: lane of the call.
            elapsed_ms: world time since the world began.
            needs: only rules that name one of these fields count; the others have seen this call before.
            request: the request, for rules with a ``where``; such rules match no call without one.
            identity: what the call is, whenever it comes: equal texts for equal calls. Draws come from it, and from how
                many calls with this identity the rule has met.
            **call: the call's fields (``operation``, ``upstream``, ``path``, ``method``, ``agent``, ``tool`` …); what
                goes by several names, such as an agent's id and name, as a tuple of them.
        """
        chosen: Injection | None = None
        for state in self._states:
            rule = state.rule
            if (needs and needs.isdisjoint(rule.on)) or rule.inject.get("hide"):
                continue
            if not _matches(rule.on, call):
                continue
            if rule.where is not None and (request is None or rule.where.difference(request)):
                continue
            counter = "" if rule.per == "world" else lane
            seen = state.seen[counter] = state.seen.get(counter, 0) + 1
            met = state.met.get(identity, 0)
            if state.draws:
                state.met[identity] = met + 1
            if chosen is None and self._applies(state, seen, counter, elapsed_ms, identity, met):
                state.fired[counter] = state.fired.get(counter, 0) + 1
                chosen = Injection(rule.inject, state.name)
                if state.draws and rule.inject.get("delay") is not None:
                    chosen["delay"] = delay_ms(rule.inject["delay"], self._draw("delay", state, identity, met))
        return chosen

    def _applies(self, state: _State, seen: int, counter: str, elapsed_ms: int, identity: str, met: int) -> bool:
        rule = state.rule
        if rule.nth is not None and seen != rule.nth:
            return False
        if rule.every is not None and seen % rule.every:
            return False
        if rule.times is not None and state.fired.get(counter, 0) >= rule.times:
            return False
        if not _stands(rule, elapsed_ms):
            return False
        return rule.chance is None or self._draw("chance", state, identity, met) < rule.chance

    def _draw(self, what: str, state: _State, identity: str, met: int) -> float:
        return unit(derive(self._seed, f"fault:{what}:{state.name}", identity, met, 0))

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
    if name == "user":
        return wanted in got
    return got.startswith(wanted[:-1]) if wanted.endswith("*") else got == wanted
