"""Refusals of the OAuth endpoints in the shape of RFC 6749: ``error``, ``error_description``, and whatever else is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from stack_emu.domain import oauth_faults
from stack_emu.surfaces.html_page import page

if TYPE_CHECKING:
    from stack_emu.kernel.errors import Fault
    from stack_emu.kernel.world import World

_OURS = frozenset(spec.code for spec in oauth_faults.SPECS)
_WORDS = {"INTERNAL_ERROR": "server_error", "UNAUTHORIZED": "invalid_client", "INVALID_API_KEY": "invalid_client"}


_WORDS_OF_STATUS = {401: "invalid_client", 403: "access_denied", 429: "slow_down", 503: "temporarily_unavailable"}


def oauth_error(world: World, fault: Fault) -> tuple[int, dict[str, Any], dict[str, str]]:
    """(status, body, headers) of a refusal.

    A refusal of STACK's own catalogue is ``invalid_request``, but for a bearer that is none; its code stands beside it.
    """
    details = world.redactor.value(fault.details)
    word = fault.code if fault.code in _OURS else _WORDS.get(fault.code, "invalid_request")
    bare = fault.code == f"HTTP_{fault.status}"  # a status alone, of a fault rule
    if bare:
        word = _WORDS_OF_STATUS.get(fault.status, "server_error" if fault.status >= 500 else "invalid_request")
    kept = bare or fault.code in _OURS or word != "invalid_request" or fault.status == 413
    status = fault.status if kept else 400
    body = {"error": word, "error_description": world.redactor.text(fault.message)}
    if not bare and fault.code not in (*_OURS, "INVALID_REQUEST", "INTERNAL_ERROR"):
        body["code"] = fault.code
    headers = {"Cache-Control": "no-store", "Pragma": "no-cache"}
    if status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="stack-emu"'
    return status, {**details, **body}, headers


def error_page(world: World, fault: Fault) -> web.Response:
    """A refusal as a page, for a browser that there is nowhere to send back to."""
    status, body, _ = oauth_error(world, fault)
    return page(status, "This cannot be asked", f"{body['error_description']} ({body['error']})")
