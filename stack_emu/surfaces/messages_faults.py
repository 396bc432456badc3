"""Injected faults on the Messages API, in Anthropic's dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from stack_emu.surfaces import model_faults
from stack_emu.surfaces.messages_errors import STATUS_OF_TYPE, ApiError
from stack_emu.surfaces.messages_exchange import Exchange


async def answer_fault(exchange: Exchange, inject: Mapping[str, Any]) -> web.StreamResponse | None:
    """Do what a rule says before the call runs; None when the call goes on.

    Args:
        exchange: the exchange.
        inject: what the rule says; `error` is an error type, such as `overloaded_error`.
    """
    return await model_faults.answer_fault(
        exchange,
        inject,
        error_of(inject),
        refuse=exchange.refuse,
        note=exchange.note_refusal,
        headers=exchange.headers,
    )


def error_of(inject: Mapping[str, Any]) -> ApiError | None:
    """The refusal a rule answers with, or None when it has no answer."""
    made: ApiError | None = model_faults.refusal_of(inject, STATUS_OF_TYPE, _refusal)
    return made


def _refusal(status: int, message: str, kind: str | None, headers: dict[str, str]) -> ApiError:
    return ApiError(status, message, type_=kind, headers=headers)
