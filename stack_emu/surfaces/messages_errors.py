"""Errors of the Messages API in Anthropic's envelope.

Source: anthropic 2.12.0 `_client._make_status_error` (the class comes from the status) and `types/shared/error_type`
(the names); 413's `request_too_large` from Anthropic's error page.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from stack_emu.kernel.near_words import close_matches

TYPE_OF_STATUS: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
STATUS_OF_TYPE: Mapping[str, int] = {name: status for status, name in TYPE_OF_STATUS.items()}


class ApiError(Exception):
    """A refusal in Anthropic's dialect.

    Args:
        status: HTTP status.
        message: one sentence that says what would have worked.
        type_: the error's type; derived from the status when left out.
        problem: the violation a strict run fails for (`unscripted`, `unknown_field`), if it is one.
        unread: fields of the request that nobody looked at.
        headers: further response headers.
        details: the error's `details`, which clients read codes from.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type_: str | None = None,
        problem: str | None = None,
        unread: tuple[str, ...] = (),
        headers: Mapping[str, str] | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.type = type_ or TYPE_OF_STATUS.get(status) or ("api_error" if status >= 500 else "invalid_request_error")
        self.problem = problem
        self.unread = unread
        self.headers = dict(headers or {})
        self.details = dict(details or {})

    def body(self, request_id: str) -> dict[str, Any]:
        """The JSON body."""
        error: dict[str, Any] = {"type": self.type, "message": self.message}
        if self.details:
            error["details"] = self.details
        return {"type": "error", "error": error, "request_id": request_id}


def invalid(message: str) -> ApiError:
    """A 400 `invalid_request_error`."""
    return ApiError(400, message)


def unscripted(message: str, nearest: Sequence[Mapping[str, Any]] = (), table: str = "") -> ApiError:
    """A 400 for a conversation the scenario has no turn for.

    Args:
        message: why there is none.
        nearest: the nearest rules and what differs, for the error's `details`.
        table: the same side by side.
    """
    details: dict[str, Any] = {"error_code": "unscripted"}
    if nearest:
        details["nearest"] = [dict(near) for near in nearest]
    if table:
        details["side_by_side"] = table.splitlines()
    return ApiError(400, message, problem="unscripted", details=details)


def unknown_field(path: str, known: str | None) -> ApiError:
    """A 400 for a field the Messages API does not have.

    Args:
        path: where it stands, such as `messages.0.colour`.
        known: the nearest field it does have.
    """
    hint = f"; did you mean {known}?" if known else "; remove it."
    return ApiError(400, f"{path}: the Messages API has no such field{hint}", problem="unknown_field", unread=(path,))


def check_known(value: Mapping[str, Any], known: Collection[str], path: str) -> None:
    """Refuse the first key of `value` that is not known.

    Args:
        value: an object of the request.
        known: the keys it may have.
        path: where it stands; empty for the body itself.

    Raises:
        ApiError: 400, naming the key and the nearest known one.
    """
    for name in value:
        if name not in known:
            near = close_matches(name, known, n=1)
            raise unknown_field(f"{path}.{name}" if path else name, near[0] if near else None)
