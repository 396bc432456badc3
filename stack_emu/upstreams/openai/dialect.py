"""How OpenAI words refusals, and what becomes of the model's answer."""

from __future__ import annotations

from typing import Any

from stack_emu.upstreams.model_door import ModelSaid
from stack_emu.upstreams.pack_calls import PackRefusal, RestCall
from stack_emu.upstreams.requests import UpstreamReply


def error(status: int, message: str, *, code: str | None = None, param: str | None = None, kind: str = "") -> Any:
    """The body of a refusal."""
    usual = {429: "requests"}.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind or usual, "param": param, "code": code}}


def refusal(status: int, message: str, **fields: Any) -> PackRefusal:
    """A refusal in OpenAI's dialect."""
    return PackRefusal(UpstreamReply.of_json(error(status, message, **fields), status))


def said_by_model(call: RestCall) -> ModelSaid:
    """What the script says.

    Raises:
        PackRefusal: when it has no answer, or a fault has the model fail.
    """
    said = call.context.said or ModelSaid(400, message="The body is not a JSON object", kind="invalid_request_error")
    if said.status == 200:
        return said
    kind = {"unscripted": "invalid_request_error"}.get(said.kind, said.kind)
    code = {401: "invalid_api_key", 429: "rate_limit_exceeded"}.get(said.status)
    body = said.body if said.body is not None else error(said.status, said.message, code=code, kind=kind)
    raise PackRefusal(UpstreamReply.of_json(body, said.status, said.headers), said.message)
