"""Injected faults on the OpenAI API, in its dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from stack_emu.surfaces import model_faults
from stack_emu.surfaces.openai_errors import CODE_OF_STATUS, STATUS_OF_CODE, OpenAiError
from stack_emu.surfaces.openai_exchange import OpenAiExchange


async def answer_fault(exchange: OpenAiExchange, inject: Mapping[str, Any]) -> web.StreamResponse | None:
    """Do what a rule says before the call runs; None when the call goes on.

    Args:
        exchange: the exchange.
        inject: what the rule says; `error` is an error code, such as `rate_limit_exceeded`.
    """
    return await model_faults.answer_fault(
        exchange,
        inject,
        model_faults.refusal_of(inject, STATUS_OF_CODE, _refusal),
        refuse=exchange.refuse,
        note=exchange.note_refusal,
        headers=exchange.headers,
    )


def _refusal(status: int, message: str, code: str | None, headers: dict[str, str]) -> OpenAiError:
    kind = "insufficient_quota" if code == "insufficient_quota" else None
    return OpenAiError(status, message, code=code or CODE_OF_STATUS.get(status), type_=kind, headers=headers)
