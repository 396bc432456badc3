"""Injected faults on the OpenAI API: what a rule's `inject` means in OpenAI's dialect."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from stack_emu.surfaces.openai_errors import CODE_OF_STATUS, STATUS_OF_CODE, OpenAiError
from stack_emu.surfaces.openai_exchange import OpenAiExchange

_RETRIED = frozenset({408, 409, 429})


def take_fault(exchange: OpenAiExchange, operation: str, **call: str) -> Mapping[str, Any] | None:
    """What the world's fault rules inject into this call, if anything.

    Args:
        exchange: the exchange.
        operation: such as `chat.completions.create` or `responses.create`.
        **call: further fields a rule may ask for, such as the model.
    """
    world = exchange.world
    elapsed = world.now_ms() - world.clock.start_ms
    method, path = exchange.request.method, exchange.path
    return world.faults.take("model", elapsed, operation=operation, method=method, path=path, **call)


async def answer_fault(exchange: OpenAiExchange, inject: Mapping[str, Any]) -> web.StreamResponse | None:
    """Do what a rule says before the call runs; None when the call goes on.

    `error` is an error code in any letter case, such as `RATE_LIMIT_EXCEEDED`; `status` alone implies one. A failure that
    clients retry tells them to do so at once (`retry-after-ms`), unless the rule has its own `Retry-After`.
    """
    if inject.get("delay"):
        await asyncio.sleep(inject["delay"] / 1000)
    if inject.get("drop") in (True, "request"):
        exchange.finish(0, dropped="request")
        return exchange.drop()
    error = _as_error(inject)
    if error is None:
        return None
    if inject.get("json") is None and inject.get("body") is None:
        return exchange.refuse(error)
    exchange.note_refusal(error)
    headers = {**exchange.headers(), **error.headers}
    if inject.get("json") is not None:
        return web.json_response(inject["json"], status=error.status, headers=headers)
    return web.Response(text=inject["body"], status=error.status, headers=headers)


def drops_reply(inject: Mapping[str, Any] | None) -> bool:
    """Whether the connection breaks after the call took effect."""
    return inject is not None and inject.get("drop") == "reply"


def _as_error(inject: Mapping[str, Any]) -> OpenAiError | None:
    code = str(inject["error"]).lower() if inject.get("error") else None
    status = inject.get("status") or (STATUS_OF_CODE.get(code, 500) if code else None)
    if status is None:
        return None if inject.get("json") is None and inject.get("body") is None else OpenAiError(200, "injected")
    headers = {str(name): str(value) for name, value in (inject.get("headers") or {}).items()}
    retried = status in _RETRIED or status >= 500
    if retried and not any(name.lower().startswith("retry-after") for name in headers):
        headers["retry-after-ms"] = "1"
    message = inject.get("message") or f"A fault rule of the scenario answers this call with HTTP {status}."
    kind = "insufficient_quota" if code == "insufficient_quota" else None
    return OpenAiError(status, message, code=code or CODE_OF_STATUS.get(status), type_=kind, headers=headers)
