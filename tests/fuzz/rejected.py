"""What a rejected request leaves behind: nothing but its audit row, unless a refusal is meant to keep something."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

ASKED = {"llm_calls", "meter_months", "meter_tallies", "missions", "proxy_operations"}
KEPT = {
    "GOVERNANCE_APPROVAL_REQUIRED": {"governance_approvals", "outbox", "timers"},  # the approval that is now waited for
    "INVALID_VERIFICATION_CODE": {"verification_codes"},  # one of the attempts is used up, or codes could be guessed
    "FORBIDDEN": {"security_events"},  # a call beyond the passport's scope is noticed, whatever comes of it
    "LLM_UNSCRIPTED": ASKED,  # the model was asked: that is listed, metered and counted
    "LLM_PROVIDER_ERROR": ASKED,
}
"""What stays of a refusal, by its code. Everything else that a rejected request changed is a mistake."""
NO_FAILURE = {"NOT_EMULATED", "LLM_UNSCRIPTED"}
"""Codes of 501: what the document has no path for, and what the scenario has no answer to."""


@dataclass
class Watch:
    """Every request to one world's REST surface, and what the rejected ones changed.

    Args:
        world: the world.
    """

    world: Any
    answered: Counter[int] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    compared: int = 0
    changed: list[str] = field(default_factory=list)

    def tables(self) -> dict[str, dict[str, Any]]:
        """All state, by table: records are immutable, so a picture of them is their identities."""
        return {kind.TABLE: dict(table.rows) for kind, table in self.world.store._tables.items()}

    def judge(self, method: str, path: str, before: dict[str, dict[str, Any]], response: Any) -> None:
        """Compare the state after a request with the one before it."""
        self.answered[response.status] += 1
        if response.status < 400:
            return
        self.compared += 1
        code = _code(response)
        if response.status >= 500 and code not in NO_FAILURE:
            self.failed.append(f"{method} {path}: {response.status} {code}")
        after = self.tables()
        different = {name for name in before.keys() | after.keys() if before.get(name, {}) != after.get(name, {})}
        wrong = different - KEPT.get(code, set())
        if wrong:
            self.changed.append(f"{method} {path}: {response.status} {code} changed {', '.join(sorted(wrong))}")


def _code(response: Any) -> str:
    import json

    try:
        return str(json.loads(response.body)["error"]["code"])
    except (TypeError, ValueError, KeyError):
        return ""


@contextlib.contextmanager
def watching_rejections(served: Any) -> Iterator[Watch]:
    """Watch the REST surface of a served world."""
    surface, watch = served.server._rest, Watch(served.world)
    real = surface.handle

    async def handle(world: Any, request: Any, path: str, origin: str) -> Any:
        before = watch.tables()
        response = await real(world, request, path, origin)
        watch.judge(request.method, path, before, response)
        return response

    surface.handle = handle
    try:
        yield watch
    finally:
        surface.handle = real
