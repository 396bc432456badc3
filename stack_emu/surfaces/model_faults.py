"""Injected faults on the model's APIs: what a rule's `inject` means, in the dialect of the API that answers."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from aiohttp import web

from stack_emu.kernel.faults import CallView, Injection
from stack_emu.surfaces.broken_replies import RESET, WIRE_KEY, reset
from stack_emu.surfaces.model_exchange import ModelExchange
from stack_emu.surfaces.model_turns import ASKED, standing_of

ANSWERS = frozenset({"status", "headers", "json", "body", "error"})
"""What a rule injects in place of an answer."""

_RETRIED = frozenset({408, 409, 429})


class Refusal(Protocol):
    """A refusal in some dialect."""

    status: int
    headers: dict[str, str]


MakeRefusal = Callable[[int, str, "str | None", "dict[str, str]"], Any]
"""Makes a refusal of a status, a message, the word of the rule's `error` in lower case, and headers."""


def take_fault(
    exchange: ModelExchange, operation: str, body: Any = None, *, streams: bool = False, **call: str
) -> Injection | None:
    """What the world's fault rules inject into this call, if anything.

    Args:
        exchange: the exchange.
        operation: `messages.create`, `responses.create` and so on, see `vocabulary.MODEL_OPERATIONS`.
        body: the request's, where it has one.
        streams: whether the reply would be a stream, which a rule breaks off instead of spoiling it as a whole.
        **call: further fields a rule may ask for, such as the model.
    """
    world, request = exchange.world, exchange.request
    if not len(world.faults):
        return None
    elapsed = world.now_ms() - world.clock.start_ms
    method, path = request.method, exchange.path
    view = CallView(method, path, tuple(request.query.items()), request.headers, body)
    call = {**call, "operation": operation, "method": method, "path": path}
    if world.faults.asks(ASKED):
        call.update(standing_of(operation, body))
    injection = world.faults.take("model", elapsed, request=view, identity=identity_of(operation, path, body), **call)
    if injection is not None:
        exchange.entry.injected = injection.rule
        if injection.wire is not None and not (streams and ANSWERS.isdisjoint(injection)):
            request[WIRE_KEY] = injection.wire
    return injection


def identity_of(operation: str, path: str, body: Any) -> str:
    """What a call of the model is, whenever it comes, for draws."""
    said = json.dumps([operation, path, body], sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()


async def answer_fault(
    exchange: ModelExchange,
    inject: Mapping[str, Any],
    refusal: Refusal | None,
    *,
    refuse: Callable[[Any], web.Response],
    note: Callable[[Any], None],
    headers: Callable[[], Mapping[str, str]],
) -> web.StreamResponse | None:
    """Do what a rule says before the call runs; None when the call goes on.

    Args:
        exchange: the exchange.
        inject: what the rule says.
        refusal: what it refuses with, see `refusal_of`.
        refuse: renders a refusal.
        note: writes a refusal down.
        headers: headers of every answer.
    """
    if inject.get("delay"):
        await asyncio.sleep(inject["delay"] / 1000)
    if inject.get("drop") in (True, "request"):
        exchange.finish(0, dropped="request")
        return reset(exchange.request) if inject.get("transport") == RESET else exchange.drop()
    if refusal is None:
        return None
    if inject.get("json") is None and inject.get("body") is None:
        return refuse(refusal)
    note(refusal)
    sent = {**headers(), **refusal.headers}
    if inject.get("json") is not None:
        return web.json_response(inject["json"], status=refusal.status, headers=sent)
    return web.Response(text=inject["body"], status=refusal.status, headers=sent)


def drops_reply(inject: Mapping[str, Any] | None) -> bool:
    """Whether the connection breaks after the call took effect."""
    return inject is not None and inject.get("drop") == "reply"


def refusal_of(inject: Mapping[str, Any], statuses: Mapping[str, int], make: MakeRefusal) -> Any:
    """The refusal a rule answers with, or None when it has no answer.

    `error` may be written in any letter case and implies a status, `status` alone the error. A failure that clients
    retry tells them to do so at once (`retry-after-ms`), unless the rule has its own `Retry-After`.

    Args:
        inject: what the rule says.
        statuses: the status of each word the API has for errors.
        make: makes the refusal.
    """
    word = str(inject["error"]).lower() if inject.get("error") else None
    status = inject.get("status") or (statuses.get(word, 500) if word else None)
    if status is None:
        answered = inject.get("json") is not None or inject.get("body") is not None
        return make(200, "injected", None, {}) if answered else None
    headers = {str(name): str(value) for name, value in (inject.get("headers") or {}).items()}
    retried = status in _RETRIED or status >= 500
    if retried and not any(name.lower().startswith("retry-after") for name in headers):
        headers["retry-after-ms"] = "1"
    message = inject.get("message") or f"A fault rule of the scenario answers this call with HTTP {status}."
    return make(status, message, word, headers)
