"""``auth.revoke``, and the refusal of a token that was revoked."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from stack_emu.upstreams.slack.call import SlackCall, SlackError

_KEPT = "revoked"


def revoke(call: SlackCall) -> dict[str, Any]:
    """``auth.revoke``: every later call with this token is answered ``token_revoked``; ``test`` only asks."""
    if call.flag("test"):
        return {"revoked": False}
    name = _name(call)
    if name is not None:
        call.collection(_KEPT).put(name, {})
    return {"revoked": True}


def need_valid(call: SlackCall) -> None:
    """Require that the call's token was not revoked.

    Raises:
        SlackError: ``token_revoked``.
    """
    name = _name(call)
    if name is not None and call.collection(_KEPT).get(name) is not None:
        call.context.hint = "This token was revoked with auth.revoke; rotate the connection's credential."
        raise SlackError("token_revoked")


def _name(call: SlackCall) -> str | None:
    """What a token is remembered by: its connection and a digest, so that a rotated credential is a new one."""
    credential = call.context.credential
    if credential is None:
        return None
    return f"{credential.connection_id}.{sha256(credential.secret.encode()).hexdigest()[:16]}"
