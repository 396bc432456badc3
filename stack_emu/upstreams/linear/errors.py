"""How Linear words failures: GraphQL errors with ``extensions`` that its SDK turns into exceptions."""

from __future__ import annotations

from typing import Any

from graphql import GraphQLError

from stack_emu.upstreams.requests import UpstreamReply


class LinearError(GraphQLError):
    """A refusal inside an execution, shown to the client as an entry of ``errors``.

    Args:
        message: the message for developers.
        shown: the sentence for people, ``userPresentableMessage``.
        code: ``extensions.code``.
        kind: ``extensions.type``, which picks the SDK's exception.
        status: ``extensions.statusCode``.
    """

    def __init__(
        self,
        message: str,
        shown: str | None = None,
        code: str = "INPUT_ERROR",
        kind: str = "invalid input",
        status: int = 400,
    ) -> None:
        super().__init__(message, extensions=extensions(code, kind, status, shown or message))


def extensions(code: str, kind: str, status: int, shown: str, *, user: bool = True) -> dict[str, Any]:
    """The ``extensions`` of an error."""
    return {
        "type": kind,
        "code": code,
        "statusCode": status,
        "userError": user,
        "userPresentableMessage": shown,
    }


def not_found(entity: str) -> LinearError:
    """The refusal of an id that names nothing."""
    return LinearError(f"Entity not found: {entity}", f"Could not find referenced {entity}.")


def invalid(message: str) -> LinearError:
    """The refusal of an argument that cannot be."""
    return LinearError(f"Argument Validation Error - {message}", f"{message}.")


_BARE = {
    400: ("INPUT_ERROR", "invalid input", "Bad request"),
    401: ("AUTHENTICATION_ERROR", "authentication error", "Authentication required, not authenticated"),
    403: ("FORBIDDEN", "forbidden", "Access denied"),
    429: ("RATELIMITED", "ratelimited", "Rate limit exceeded"),
    500: ("INTERNAL_SERVER_ERROR", "internal error", "Internal server error"),
}


def bare(status: int, message: str | None = None) -> dict[str, Any]:
    """The body of a request that fails as a whole with an HTTP status."""
    fallback = ("INTERNAL_SERVER_ERROR", "internal error", "Service unavailable") if status >= 500 else _BARE[400]
    code, kind, usual = _BARE.get(status, fallback)
    said = message or usual
    return {"errors": [{"message": said, "extensions": extensions(code, kind, status, said, user=status < 500)}]}


def failed(status: int, message: str | None = None) -> UpstreamReply:
    """A reply to a request that fails as a whole."""
    return UpstreamReply.of_json(bare(status, message), status)
