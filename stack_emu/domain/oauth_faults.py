"""The refusals of the OAuth endpoints: codes of RFC 6749, 7591, 8628 and 8707, which are the ``error`` of their replies."""

from __future__ import annotations

from stack_emu.kernel.errors import FaultSpec

INVALID_REQUEST = FaultSpec("invalid_request", 400, "{problem}")
INVALID_CLIENT = FaultSpec("invalid_client", 401, "{problem}")
UNKNOWN_CLIENT = FaultSpec("invalid_client", 400, "{problem}")
INVALID_GRANT = FaultSpec("invalid_grant", 400, "{problem}")
UNAUTHORIZED_CLIENT = FaultSpec("unauthorized_client", 400, "{problem}")
UNSUPPORTED_GRANT_TYPE = FaultSpec("unsupported_grant_type", 400, "{problem}")
UNSUPPORTED_RESPONSE_TYPE = FaultSpec("unsupported_response_type", 400, "{problem}")
INVALID_SCOPE = FaultSpec("invalid_scope", 400, "{problem}")
INVALID_TARGET = FaultSpec("invalid_target", 400, "{problem}")
ACCESS_DENIED = FaultSpec("access_denied", 400, "{problem}")
INVALID_REDIRECT_URI = FaultSpec("invalid_redirect_uri", 400, "{problem}")
INVALID_CLIENT_METADATA = FaultSpec("invalid_client_metadata", 400, "{problem}")
AUTHORIZATION_PENDING = FaultSpec("authorization_pending", 400, "{problem}")
SLOW_DOWN = FaultSpec("slow_down", 400, "{problem}")
EXPIRED_TOKEN = FaultSpec("expired_token", 400, "{problem}")
SERVER_ERROR = FaultSpec("server_error", 500, "{problem}", "failure")
TEMPORARILY_UNAVAILABLE = FaultSpec("temporarily_unavailable", 503, "{problem}", "failure")

SPECS: tuple[FaultSpec, ...] = tuple(value for value in tuple(globals().values()) if isinstance(value, FaultSpec))
