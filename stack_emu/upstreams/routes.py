"""Canned answers: routes with a request pattern and a reply whose strings are templates."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from multidict import CIMultiDict

from stack_emu.kernel.acts import Act
from stack_emu.kernel.clock import iso
from stack_emu.kernel.matching import Pattern
from stack_emu.upstreams.errors import UpstreamSettingsError
from stack_emu.upstreams.requests import UpstreamReply, UpstreamRequest

if TYPE_CHECKING:
    from stack_emu.scenario.upstream_models import Callback, Reply, Route

Render = Callable[[Any, Mapping[str, Any]], Any]
"""Renders the templates in a JSON value with variables."""

_NO_HEADER_TEXT = re.compile("[\\x00-\\x08\\x0a-\\x1f\\x7f]")
_COUNTER_START = 10_000_000
_COUNTER_SPAN = 90_000_000


@dataclass(frozen=True)
class RouteRule:
    """A compiled route.

    Args:
        number: its place among the routes of its upstream, counted from 1.
        pattern: which requests it answers.
        replies: what it answers, one after the other.
        repeat: what comes after the last reply: ``last``, ``all`` or ``none``.
        times: how often it answers at most.
        per: where replies are counted: ``lane`` or ``world``.
        requires: the states in which it answers.
        sets: the states it brings about.
        callbacks: what it sends afterwards.
    """

    number: int
    pattern: Pattern
    replies: tuple[Reply, ...]
    repeat: str = "last"
    times: int | None = None
    per: str = "lane"
    requires: Mapping[str, Any] = field(default_factory=dict)
    sets: Mapping[str, Any] = field(default_factory=dict)
    callbacks: tuple[Callback, ...] = ()

    @property
    def counts(self) -> bool:
        """Whether it matters how often it has answered."""
        return len(self.replies) > 1 or self.repeat == "none" or self.times is not None


@dataclass
class Minted:
    """The values a template derives from the act, collected so that the ids they became part of can be named later.

    Nothing here counts arrivals, so calls that race for a route see what they would see alone.

    Args:
        act: where the values come from.
    """

    act: Act
    values: list[str] = field(default_factory=list)

    def counter(self, name: str = "counter") -> int:
        """A number of eight digits, derived from the act and the name: unique in practice, the same on every run."""
        number = _COUNTER_START + self.act.new_number(f"counter:{name}", _COUNTER_SPAN)
        self.values.append(str(number))
        return number

    def id(self, prefix: str = "") -> str:
        """A new id: the prefix and twenty derived characters."""
        value = self.act.new_id(f"upstream:{prefix}", prefix)
        self.values.append(value)
        return value

    def note(self, data: Any) -> None:
        """Register every string in ``data`` that contains a derived value as an id this act made."""
        if isinstance(data, str):
            if any(value in data for value in self.values) and data not in self.act.minted:
                self.act.minted.append(data)
        elif isinstance(data, Mapping):
            for item in data.values():
                self.note(item)
        elif isinstance(data, (list, tuple)):
            for item in data:
                self.note(item)


def compile_routes(upstream: str, routes: Sequence[Route]) -> tuple[RouteRule, ...]:
    """Routes ready to match.

    Raises:
        UpstreamSettingsError: for a pattern that cannot work, naming the upstream and the route.
    """
    rules: list[RouteRule] = []
    for number, route in enumerate(routes, start=1):
        try:
            pattern = Pattern.from_dict(route.when.model_dump(exclude_unset=True))
        except ValueError as error:
            raise UpstreamSettingsError(f"route {number} of upstream {upstream}: {error}") from None
        replies = route.replies or ((route.reply,) if route.reply is not None else ())
        rules.append(
            RouteRule(
                number,
                pattern,
                replies,
                route.repeat,
                route.times,
                route.per,
                route.requires,
                route.sets,
                route.callbacks,
            )
        )
    return tuple(rules)


def render_reply(
    rule: RouteRule,
    reply: Reply,
    request: UpstreamRequest,
    act: Act,
    state: Callable[[], Mapping[str, Any]],
    render: Render,
) -> UpstreamReply:
    """Render a rule's reply.

    Templates know ``request`` (method, path, url, query, headers with lower-case names, json, form, text, params),
    ``now`` (ISO 8601), ``at(offset)``, ``counter(name)``, ``id(prefix)`` and ``state``.

    Args:
        rule: the rule that matched.
        reply: which of its replies it is.
        request: what it matched.
        act: source of ``counter`` and ``id`` and of the instant.
        state: gives the upstream's states, and what the scenario put under its ``seed``.
        render: renders the templates in a JSON value with the given variables.
    """
    minted = Minted(act)
    variables: dict[str, Any] = {}

    def fill(value: Any) -> Any:
        if not reply.template or not _may_hold_templates(value):
            return value
        if not variables:
            functions = {"counter": minted.counter, "id": minted.id, "at": partial(_later, act.now_ms)}
            variables.update(variables_of(rule, request, iso(act.now_ms), state()), **functions)
        return render(value, variables)

    headers = CIMultiDict((name, _header(name, str(fill(value)))) for name, value in reply.headers.items())
    if reply.text is not None:
        return UpstreamReply.of_text(str(fill(reply.text)), reply.status, headers)
    if reply.base64 is not None:
        return UpstreamReply(reply.status, headers, base64.b64decode(reply.base64))
    if "json_" not in reply.model_fields_set:
        return UpstreamReply(reply.status, headers)
    data = fill(reply.json_)
    minted.note(data)
    return UpstreamReply.of_json(data, reply.status, headers)


def _may_hold_templates(value: Any) -> bool:
    if isinstance(value, str):
        return "{{" in value
    if isinstance(value, dict):
        return any(map(_may_hold_templates, value.values()))
    return isinstance(value, (list, tuple)) and any(map(_may_hold_templates, value))


def _header(name: str, value: str) -> str:
    if _NO_HEADER_TEXT.search(value):
        raise UpstreamSettingsError(
            f"the value of its header {name} has a line break or another control character in it"
        )
    return value


def variables_of(rule: RouteRule, request: UpstreamRequest, now: str, state: Mapping[str, Any]) -> dict[str, Any]:
    """What every template of a route knows: ``request``, ``now`` and ``state``."""
    content = request.content
    return {
        "request": {
            "method": request.method,
            "path": request.path,
            "url": request.full_url,
            "query": dict(request.query),
            "headers": {name.lower(): value for name, value in request.headers.items()},
            "json": content if isinstance(content, (dict, list)) else {},
            "form": request.form,
            "text": request.text,
            "params": rule.pattern.params(request),
        },
        "now": now,
        "state": state,
    }


def _later(now_ms: int, offset: str) -> str:
    """``at('+15m')``: an instant before or after the call, in ISO 8601."""
    from stack_emu.scenario.values import parse_duration

    sign = -1 if offset.startswith("-") else 1
    return iso(now_ms + sign * parse_duration(offset.lstrip("+-")))
