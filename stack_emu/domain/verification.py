"""Verifying destinations: a six-digit code is sent to one, and whoever has it proves that it is read there.

That codes have six digits is what people see; the ten minutes and five attempts are invented.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import ClassVar

from stack_emu.domain import destinations, faults
from stack_emu.domain.destinations import Destination, Message
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context, Refused
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import Reply
from stack_emu.kernel.store import replace

CODE_MS = 600_000
ATTEMPTS = 5


@dataclass(frozen=True)
class VerificationCode:
    """The code that verifies a destination, whose id it has; a new one takes its place."""

    TABLE: ClassVar[str] = "verification_codes"
    INDEXES: ClassVar[tuple[str, ...]] = ()
    id: str
    code: str
    expires_at: int
    attempts_left: int = ATTEMPTS


class VerificationReply(Reply):
    """Where verifying a destination or channel stands."""

    id: str
    destination: str
    verified: bool
    sent: bool
    expires_at: str | None


def send_code(ctx: Context, destination: Destination, name: str) -> VerificationReply:
    """Send a fresh code to a destination; codes sent before are worth nothing any more.

    Args:
        ctx: the call.
        destination: where to.
        name: id in the reply: the destination's, or that of the channel that leads to it.

    Raises:
        Fault: CONFLICT when it is verified already.
    """
    if destination.verified:
        problem = f"{destination.id} is verified already; there is nothing to send a code for"
        raise Fault(faults.CONFLICT, problem=problem)
    code = f"{ctx.act.new_number('verification-code', 1_000_000):06d}"
    expires_at = ctx.now_ms + CODE_MS
    ctx.world.store.put(VerificationCode(destination.id, code, expires_at))
    data = {"type": "destination.verification", "destination_id": destination.id, "code": code}
    text = f"{code} is the code that verifies this destination. It can be used until {iso(expires_at)}."
    message = Message("destination.verification", "Your verification code", text, data, code)
    ctx.row.set(sent=destinations.send(ctx.world, ctx.act, destination, message))
    return VerificationReply(
        id=name, destination=destination.destination, verified=False, sent=True, expires_at=iso(expires_at)
    )


def verify(ctx: Context, destination: Destination, name: str, code: str | None) -> VerificationReply | Refused:
    """Check a code; the right one verifies the destination. Without a code one is sent, as SDK 0.1.0 asks for it.

    Args:
        ctx: the call.
        destination: what to verify.
        name: id in the reply.
        code: what the caller says was received.

    Returns:
        The reply; a wrong code is a refusal that uses up an attempt.
    """
    if destination.verified:
        ctx.row.set(repeated=True)
        return _verified(destination, name)
    if code is None:
        return send_code(ctx, destination, name)
    known = ctx.world.store.get(VerificationCode, destination.id)
    problem = _unusable(known, ctx.now_ms)
    if known is None or problem is not None:
        return _refused(destination, problem or "")
    if not hmac.compare_digest(known.code.encode(), code.strip().encode("utf-8", "replace")):
        left = known.attempts_left - 1
        ctx.world.store.put(replace(known, attempts_left=left))
        more = f"{left} attempts are left" if left else "no attempt is left, send a new one"
        return _refused(destination, f"it is not the one that was sent; {more}", attempts_left=left)
    ctx.world.store.delete(VerificationCode, destination.id)
    done = replace(destination, verified=True, verified_at=ctx.stamp_ms)
    ctx.world.store.put(done)
    ctx.row.set(verified=True)
    return _verified(done, name)


def _unusable(known: VerificationCode | None, now_ms: int) -> str | None:
    if known is None:
        return "none was sent; send one first"
    if known.expires_at <= now_ms:
        return f"it expired at {iso(known.expires_at)}; send a new one"
    if known.attempts_left <= 0:
        return "no attempt is left; send a new one"
    return None


def _refused(destination: Destination, problem: str, **details: int) -> Refused:
    return Refused(Fault(faults.INVALID_VERIFICATION_CODE, details=details, id=destination.id, problem=problem))


def _verified(destination: Destination, name: str) -> VerificationReply:
    return VerificationReply(id=name, destination=destination.destination, verified=True, sent=False, expires_at=None)


class TestReply(Reply):
    """A test message on its way."""

    __test__ = False

    id: str
    destination: str
    sent: bool
    message_id: str


def send_test(ctx: Context, destination: Destination, name: str) -> TestReply:
    """Send a test message to a verified destination.

    Raises:
        Fault: CONFLICT when it is not verified.
    """
    if not destination.verified:
        problem = f"{destination.id} is not verified; send a code and verify it first"
        raise Fault(faults.CONFLICT, problem=problem)
    data = {
        "type": "notification.test",
        "id": ctx.act.new_id("notification", "ntf_"),
        "severity": "info",
        "created_at": iso(ctx.stamp_ms),
        "operator_id": ctx.operator_id,
        "data": {"message": f"This is a test of {name}"},
    }
    message = Message("notification.test", "Test notification", f"This is a test of {name}.", data)
    sent = destinations.send(ctx.world, ctx.act, destination, message)
    ctx.row.set(sent=sent)
    return TestReply(id=name, destination=destination.destination, sent=True, message_id=sent)
