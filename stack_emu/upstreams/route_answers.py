"""Which route answers a request, given what the upstream's routes have been through, and with which of its replies.

How often a route answered and which states the upstream is in are kept in the world's store, so that they are reset, undone
and pictured with everything else. A choice is made, counted and rendered in one transaction without waiting in between: calls
that race get one reply each of a sequence, and never the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stack_emu.kernel.acts import Act
from stack_emu.kernel.clock import iso
from stack_emu.kernel.matching import expected_text, json_differences, value_text
from stack_emu.kernel.missing import MISSING
from stack_emu.kernel.near_miss import Candidate, nearest_of
from stack_emu.kernel.store import Store
from stack_emu.kernel.world import World
from stack_emu.upstreams.callbacks import arm_callbacks
from stack_emu.upstreams.documents import Collection
from stack_emu.upstreams.oversights import oversights
from stack_emu.upstreams.requests import UpstreamReply, UpstreamRequest
from stack_emu.upstreams.routes import Render, RouteRule, render_reply, variables_of

if TYPE_CHECKING:
    from stack_emu.scenario.upstream_models import Reply
    from stack_emu.upstreams.fakes import Fake

_STATES = "route states"
_COUNTS = "route counts"


@dataclass(frozen=True)
class RouteAnswer:
    """The answer of a route.

    Args:
        rule: the route.
        reply: the rendered reply.
        delay_ms: how long to wait before it is sent.
    """

    rule: RouteRule
    reply: UpstreamReply
    delay_ms: int


@dataclass(frozen=True)
class Routes:
    """The routes of one upstream as one request meets them.

    Args:
        world: the world.
        fake: the upstream.
        request: the request.
        act: source of ids and of the instant.
        lane: the lane in which replies of a sequence are counted.
        render: renders the templates in a JSON value with the given variables.
    """

    world: World
    fake: Fake
    request: UpstreamRequest
    act: Act
    lane: str
    render: Render

    def answer(self) -> RouteAnswer | None:
        """Let the first route answer that matches, is in the right state and is not used up; None when there is none.

        Raises:
            TemplateError: for a template that fails; nothing is counted or set.
        """
        store = self.world.store
        minted = len(self.act.minted)
        store.begin()
        try:
            answered = self._answer()
        except BaseException:
            store.rollback()
            del self.act.minted[minted:]
            raise
        store.commit()
        return answered

    def nearest(self) -> list[Candidate]:
        """The routes that came nearest to answering, each with what differs or what else is in its way."""
        return nearest_of(self._candidate(rule) for rule in self.fake.rules)

    def _answer(self) -> RouteAnswer | None:
        for rule in self.fake.rules:
            if rule.pattern.difference(self.request) or next(self._unmet(rule), None) is not None:
                continue
            key, count = self._count(rule)
            chosen = choose(rule, count)
            if chosen is None:
                continue
            if rule.counts:
                self._counts.put(key, {"count": count + 1})
            self._set(rule)
            reply = render_reply(rule, chosen, self.request, self.act, self._shown_states, self.render)
            if rule.callbacks:
                arm_callbacks(self.world, self.fake.name, rule, self._variables(rule, reply), self.act, self.render)
            return RouteAnswer(rule, reply, chosen.delay)
        return None

    def _candidate(self, rule: RouteRule) -> Candidate:
        differences = tuple(rule.pattern.difference(self.request))
        notes = list(oversights(rule.pattern, self.request, differences) if differences else self._unmet(rule))
        _, count = self._count(rule)
        if not differences and not notes and choose(rule, count) is None:
            often = f"{count} time{'s' if count != 1 else ''}"
            notes.append(f"it is used up: it answered {often} in {'this lane' if rule.per == 'lane' else 'this world'}")
        return Candidate(str(rule.pattern), differences, "; ".join(notes) or None)

    # --- states -----------------------------------------------------------------------------------------------------

    @property
    def _counts(self) -> Collection:
        return Collection(self.world.store, self.fake.name, _COUNTS)

    def _count(self, rule: RouteRule) -> tuple[str, int]:
        key = f"{rule.number}/{self.lane if rule.per == 'lane' else ''}"
        found = self._counts.get(key) if rule.counts else None
        return key, int(found["count"]) if found is not None else 0

    def _unmet(self, rule: RouteRule) -> Iterator[str]:
        """The states a route requires that are not so, as clauses."""
        for name, wanted in self._named(rule, rule.requires):
            held = states_of(self.world, self.fake).get(name)
            got = held["value"] if held is not None else MISSING
            if next(json_differences(wanted, got, "state"), None) is not None:
                by = f", set by {held['by']}" if held is not None and held.get("by") else ""
                was = "it is not set" if held is None else f"it is {value_text(got)}{by}"
                yield f"it needs the state {name} to be {expected_text(wanted)}, and {was}"

    def _set(self, rule: RouteRule) -> None:
        states = Collection(self.world.store, self.fake.name, _STATES)
        for name, value in self._named(rule, rule.sets):
            states.put(name, {"value": value, "by": f"{self.request.method} {self.request.path}"})

    def _named(self, rule: RouteRule, states: Mapping[str, Any]) -> list[tuple[str, Any]]:
        """States with the templates in their names and values rendered."""
        if not states:
            return []
        variables = self._variables(rule)
        return [(str(self.render(name, variables)), self.render(value, variables)) for name, value in states.items()]

    def _shown_states(self) -> dict[str, Any]:
        held = {name: state["value"] for name, state in states_of(self.world, self.fake).items()}
        return {**self.fake.seed, **held}

    def _variables(self, rule: RouteRule, reply: UpstreamReply | None = None) -> dict[str, Any]:
        known = variables_of(rule, self.request, iso(self.act.now_ms), self._shown_states())
        if reply is not None:
            content = reply.content
            known["reply"] = {"status": reply.status, "json": content if isinstance(content, (dict, list)) else {}}
        return known


def choose(rule: RouteRule, count: int) -> Reply | None:
    """The reply of a route that has answered ``count`` times; None when it is used up."""
    if rule.times is not None and count >= rule.times:
        return None
    last = len(rule.replies) - 1
    if rule.repeat == "all":
        return rule.replies[count % len(rule.replies)]
    if rule.repeat == "none" and count > last:
        return None
    return rule.replies[min(count, last)]


def states_of(world: World, fake: Fake) -> dict[str, Mapping[str, Any]]:
    """The states an upstream is in: name to its ``value`` and, once a route set it, ``by`` which request."""
    begun: dict[str, Mapping[str, Any]] = {name: {"value": value} for name, value in fake.states.items()}
    return {**begun, **dict(Collection(world.store, fake.name, _STATES).items())}


def carry_counts(store: Store, upstream: str, moved: Mapping[int, int]) -> None:
    """Let routes whose number changed keep their counts; counts of other routes are dropped.

    Args:
        store: a world's store.
        upstream: name of the upstream.
        moved: number of each route that stays, to its new number.
    """
    counts = Collection(store, upstream, _COUNTS)
    held = list(counts.items())
    for key, _ in held:
        counts.delete(key)
    for key, count in held:
        number, _, lane = key.partition("/")
        if (new := moved.get(int(number))) is not None:
            counts.put(f"{new}/{lane}", count)
