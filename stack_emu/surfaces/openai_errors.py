"""Errors of the OpenAI API in its envelope.

Source: openai 3.57.0 `_client._make_status_error` (the class comes from the status) and `_exceptions.APIError`, which reads
`message`, `type`, `param` and `code`. Which code and type go with which refusal is known from what clients report; where
nobody reports it, the choice is ours (see docs/openai.md).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from stack_emu.kernel.near_words import close_matches

TYPE_OF_STATUS: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "invalid_request_error",
    403: "invalid_request_error",
    404: "invalid_request_error",
    405: "invalid_request_error",
    424: "external_connector_error",
    429: "requests",
}
CODE_OF_STATUS: Mapping[int, str] = {401: "invalid_api_key", 429: "rate_limit_exceeded"}
STATUS_OF_CODE: Mapping[str, int] = {
    "invalid_api_key": 401,
    "model_not_found": 404,
    "context_length_exceeded": 400,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "server_error": 500,
}


class OpenAiError(Exception):
    """A refusal in OpenAI's dialect.

    Args:
        status: HTTP status.
        message: one sentence that says what would have worked.
        code: the error's code, if it has one.
        param: which part of the request is wrong, if one is.
        type_: the error's type; derived from the status when left out.
        problem: the violation a strict run fails for (`unscripted`, `unknown_field`), if it is one.
        unread: fields of the request that nobody looked at.
        headers: further response headers.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        type_: str | None = None,
        problem: str | None = None,
        unread: tuple[str, ...] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.type = (
            type_ or TYPE_OF_STATUS.get(status) or ("server_error" if status >= 500 else "invalid_request_error")
        )
        self.problem = problem
        self.unread = unread
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """The JSON body."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


def invalid(param: str | None, message: str, code: str | None = "invalid_value") -> OpenAiError:
    """A 400 for a part of the request.

    Args:
        param: where it stands, such as `messages[0].role`; the message begins with it.
        message: what it must be.
        code: the error's code.
    """
    return OpenAiError(400, f"{param}: {message}" if param else message, code=code, param=param)


def missing(param: str) -> OpenAiError:
    """A 400 for a field that must be there."""
    return invalid(param, "this field is required.", "missing_required_parameter")


def unscripted(message: str) -> OpenAiError:
    """A 400 for a conversation the scenario has no turn for."""
    return OpenAiError(400, message, code="unscripted", problem="unscripted")


def check_known(value: Mapping[str, Any], known: Collection[str], path: str) -> None:
    """Refuse the first key of `value` that is not known.

    Args:
        value: an object of the request.
        known: the keys it may have.
        path: where it stands; empty for the body itself.

    Raises:
        OpenAiError: 400 `unknown_parameter`, naming the key and the nearest known one.
    """
    for name in value:
        if name not in known:
            where = f"{path}.{name}" if path else name
            near = close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else "; remove it."
            raise OpenAiError(
                400,
                f"{where}: the API has no such parameter{hint}",
                code="unknown_parameter",
                param=where,
                problem="unknown_field",
                unread=(where,),
            )


def check_served(value: Mapping[str, Any], not_served: Mapping[str, str], path: str = "") -> None:
    """Refuse the first key of `value` that OpenAI has and this emulator does not serve.

    Args:
        value: an object of the request; null, false and empty values count as absent.
        not_served: what to do instead, by name.
        path: where it stands; empty for the body itself.

    Raises:
        OpenAiError: 400 `unsupported_parameter`.
    """
    for name, instead in not_served.items():
        if value.get(name):
            where = f"{path}.{name}" if path else name
            raise OpenAiError(
                400,
                f"{where}: the OpenAI API has this parameter, this emulator does not serve it; {instead}.",
                code="unsupported_parameter",
                param=where,
                problem="unknown_field",
                unread=(where,),
            )
