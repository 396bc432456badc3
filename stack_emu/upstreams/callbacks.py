"""What a route sends to a webhook on this machine after it has answered: armed with its act, sent when the clock is there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stack_emu.kernel.acts import Act
from stack_emu.kernel.world import Timer, World
from stack_emu.upstreams.forward import require_loopback
from stack_emu.upstreams.routes import Render

if TYPE_CHECKING:
    from stack_emu.upstreams.routes import RouteRule

TIMER = "upstream.callback"
"""Kind of the timer that sends one."""


def arm_callbacks(
    world: World, upstream: str, rule: RouteRule, variables: Mapping[str, Any], act: Act, render: Render
) -> None:
    """Arm a timer for each callback of a route, its templates rendered.

    Args:
        world: the world.
        upstream: name of the upstream.
        rule: the route that answered.
        variables: what templates may name: those of replies, and ``reply`` with its status and JSON.
        act: the act, in whose lane they are sent.
        render: renders templates.

    Raises:
        TemplateError: for a template that fails.
        UpstreamSettingsError: for a URL that is not on this machine.
    """
    for callback in rule.callbacks:
        url = str(render(callback.url, variables))
        require_loopback(url)
        headers = {name: str(render(value, variables)) for name, value in callback.headers.items()}
        body = ""
        if callback.json_ is not None:
            body = json.dumps(render(callback.json_, variables), ensure_ascii=False, separators=(",", ":"))
            headers.setdefault("Content-Type", "application/json; charset=utf-8")
        elif callback.text is not None:
            body = str(render(callback.text, variables))
        payload = {"upstream": upstream, "method": callback.method, "url": url, "headers": headers, "body": body}
        timer = act.new_id("callback", "callback_")
        world.arm(Timer(timer, act.now_ms + callback.after, TIMER, act.lane, act.operator_id, payload))


def content_of(sent: Mapping[str, Any]) -> Any:
    """The body of a callback for the journal: JSON data, or text."""
    try:
        return json.loads(sent["body"])
    except ValueError:
        return sent["body"]
