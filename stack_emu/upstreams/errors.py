"""What can go wrong between the proxy and an upstream, apart from an answer."""

from __future__ import annotations

from stack_emu.kernel.errors import WorldError


class UpstreamError(Exception):
    """An upstream gave no answer. The message is one sentence and names no secret."""


class UpstreamUnreachable(UpstreamError):
    """The connection failed, was refused or broke off."""


class UpstreamTimeout(UpstreamError):
    """No complete answer came in time."""


class UpstreamTooLarge(UpstreamError):
    """The answer was longer than the proxy lets through."""


class UpstreamRefused(UpstreamError):
    """An injected fault wants the proxy itself to refuse the call.

    Args:
        code: the error code to answer with, for example ``TIER_LIMIT_EXCEEDED``.
        message: its message; None for the code's own.
    """

    def __init__(self, code: str, message: str | None = None) -> None:
        self.code = code
        self.message = message
        super().__init__(message or f"an injected fault answers with {code}.")


class UpstreamSettingsError(WorldError):
    """The settings of an upstream cannot work; the message names the upstream and what to write instead."""
