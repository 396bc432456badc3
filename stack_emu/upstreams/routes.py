"""Canned answers: routes with a request pattern and a reply whose strings are templates."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from multidict import CIMultiDict

from stack_emu.kernel.acts import Act
from stack_emu.kernel.clock import iso
from stack_emu.kernel.matching import Pattern
from stack_emu.upstreams.errors import UpstreamSettingsError
from stack_emu.upstreams.requests import UpstreamReply, UpstreamRequest

if TYPE_CHECKING:
    from stack_emu.scenario.upstream_models import Reply, Route

Render = Callable[[Any, Mapping[str, Any]], Any]
"""Renders the templates in a JSON value with variables."""

_COUNTER_START = 10_000_000
_COUNTER_SPAN = 90_000_000


@dataclass(frozen=True)
class RouteRule:
    """A compiled route."""

    pattern: Pattern
    reply: Reply


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
        rules.append(RouteRule(pattern, route.reply))
    return tuple(rules)


def find_route(rules: Sequence[RouteRule], request: UpstreamRequest) -> RouteRule | None:
    """The first rule that matches."""
    return next((rule for rule in rules if not rule.pattern.difference(request)), None)


def render_reply(
    rule: RouteRule, request: UpstreamRequest, act: Act, state: Mapping[str, Any], render: Render
) -> UpstreamReply:
    """Render a rule's reply.

    Templates know ``request`` (method, path, url, query, headers with lower-case names, json, form, text, params),
    ``now`` (ISO 8601), ``counter(name)``, ``id(prefix)`` and ``state``.

    Args:
        rule: the rule that matched.
        request: what it matched.
        act: source of ``counter`` and ``id`` and of the instant.
        state: what the scenario put under the upstream's ``seed``.
        render: renders the templates in a JSON value with the given variables.
    """
    reply = rule.reply
    minted = Minted(act)
    variables = _variables(rule, request, act, state, minted) if reply.template else {}

    def fill(value: Any) -> Any:
        return render(value, variables) if reply.template else value

    headers = CIMultiDict((name, str(fill(value))) for name, value in reply.headers.items())
    if reply.text is not None:
        return UpstreamReply.of_text(str(fill(reply.text)), reply.status, headers)
    if reply.base64 is not None:
        return UpstreamReply(reply.status, headers, base64.b64decode(reply.base64))
    if "json_" not in reply.model_fields_set:
        return UpstreamReply(reply.status, headers)
    data = fill(reply.json_)
    minted.note(data)
    return UpstreamReply.of_json(data, reply.status, headers)


def _variables(
    rule: RouteRule, request: UpstreamRequest, act: Act, state: Mapping[str, Any], minted: Minted
) -> dict[str, Any]:
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
        "now": iso(act.now_ms),
        "counter": minted.counter,
        "id": minted.id,
        "state": state,
    }
