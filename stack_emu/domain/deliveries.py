"""Deliveries: what is POSTed, signed, to webhooks on this machine, and tried again until it is accepted.

How STACK signs and repeats is not public; the headers and the schedule are invented (docs/webhooks.md). A delivery is
written down in the act that causes it and sent afterwards, so that a receiver that fails never breaks the act.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from stack_emu.domain.secret_kinds import WEBHOOK
from stack_emu.domain.tokens import base64url
from stack_emu.kernel.acts import Act
from stack_emu.kernel.clock import iso
from stack_emu.kernel.store import replace
from stack_emu.kernel.world import Timer, World
from stack_emu.upstreams.errors import UpstreamSettingsError
from stack_emu.upstreams.forward import require_loopback

TIMER = "webhook.deliver"
BACKOFF_MS = (0, 5_000, 30_000, 300_000, 1_800_000)
"""How long each attempt waits after the one before it."""

PENDING, DELIVERED, FAILED, HELD, DROPPED = "pending", "delivered", "failed", "held", "dropped"
SIGNATURE, DELIVERY, EVENT, ATTEMPT = "X-Stack-Signature", "X-Stack-Delivery", "X-Stack-Event", "X-Stack-Attempt"


@dataclass(frozen=True)
class SigningSecret:
    """The secret that deliveries of a destination or an inbound webhook are signed with. ``id`` is its owner's."""

    TABLE: ClassVar[str] = "signing_secrets"
    INDEXES: ClassVar[tuple[str, ...]] = ()
    id: str
    secret: str


@dataclass(frozen=True)
class Delivery:
    """A request to a webhook. ``status`` is pending, delivered, failed, held (it would leave this machine) or dropped.

    ``owner_id`` is the destination or inbound webhook whose secret signs it; ``attempts`` says how each try ended.
    """

    TABLE: ClassVar[str] = "webhook_deliveries"
    INDEXES: ClassVar[tuple[str, ...]] = ("operator_id", "status")
    id: str
    operator_id: str
    owner_id: str
    event: str
    url: str
    body: bytes
    content_type: str
    created_at: int
    lane: str
    status: str = PENDING
    reason: str | None = None
    attempts: tuple[Mapping[str, Any], ...] = ()
    next_attempt_at: int | None = None


@dataclass(frozen=True)
class Posting:
    """One attempt of a delivery, ready to be sent."""

    url: str
    headers: Mapping[str, str]
    body: bytes


def new_secret(world: World, act: Act, owner_id: str) -> str:
    """A fresh signing secret for a destination or inbound webhook, kept and known as a secret from now on."""
    return keep_secret(world, owner_id, "whsec_" + base64url(act.new_bytes("webhook-secret")))


def keep_secret(world: World, owner_id: str, secret: str) -> str:
    """Sign what is delivered for an owner with a given secret from now on."""
    world.redactor.add(secret, f"webhook-secret:{owner_id}", WEBHOOK)
    world.store.put(SigningSecret(owner_id, secret))
    return secret


def enqueue(
    world: World,
    act: Act,
    *,
    operator_id: str,
    owner_id: str,
    event: str,
    url: str,
    body: bytes,
    content_type: str = "application/json",
) -> Delivery:
    """Write a delivery down; it is sent once the act is committed, and at the instants of ``BACKOFF_MS`` until accepted.

    Args:
        world: the world.
        act: what causes it.
        operator_id: whose it is.
        owner_id: the destination or inbound webhook it is for.
        event: its name, for the header.
        url: where to; beyond this machine it is held with the reason.
        body: the bytes.
        content_type: their type.
    """
    made = Delivery(
        id=act.new_id("delivery", "wdl_"),
        operator_id=operator_id,
        owner_id=owner_id,
        event=event,
        url=url,
        body=body,
        content_type=content_type,
        created_at=act.stamp_ms,
        lane=act.lane,
    )
    refusal = held_because(url)
    if refusal is not None:
        return world.store.put(replace(made, status=HELD, reason=refusal))
    return _await_attempt(world, made, act.now_ms)


def held_because(url: str) -> str | None:
    """Why nothing is sent to a URL: it is not on this machine. None when it is."""
    try:
        require_loopback(url)
    except UpstreamSettingsError as error:
        return str(error)
    except ValueError:
        return f"{url!r} is no URL; write one such as http://127.0.0.1:9000/hook."
    return None


def _await_attempt(world: World, delivery: Delivery, at_ms: int) -> Delivery:
    payload = {"delivery_id": delivery.id}
    world.arm(Timer(f"{TIMER}/{delivery.id}", at_ms, TIMER, delivery.lane, delivery.operator_id, payload))
    return world.store.put(replace(delivery, next_attempt_at=at_ms))


def resume(world: World, now_ms: int) -> int:
    """Arm the attempts that were under way when the emulator ended: nobody knows whether they arrived, so they are made again.

    Returns:
        How many there were.
    """
    lost = [
        delivery
        for delivery in world.store.find(Delivery, status=PENDING)
        if world.store.get(Timer, f"{TIMER}/{delivery.id}") is None
    ]
    for delivery in lost:
        _await_attempt(world, delivery, delivery.next_attempt_at or now_ms)
    return len(lost)


def prepare(world: World, delivery_id: str, now_ms: int) -> Posting | None:
    """The next attempt of a delivery, signed; None when there is nothing to send any more."""
    delivery = world.store.get(Delivery, delivery_id)
    if delivery is None or delivery.status != PENDING:
        return None
    secret = world.store.get(SigningSecret, delivery.owner_id)
    if secret is None:
        reason = f"{delivery.owner_id} was deleted before the delivery was accepted"
        world.store.put(replace(delivery, status=DROPPED, reason=reason, next_attempt_at=None))
        return None
    headers = {
        "Content-Type": delivery.content_type,
        DELIVERY: delivery.id,
        EVENT: delivery.event,
        ATTEMPT: str(len(delivery.attempts) + 1),
        SIGNATURE: signature(secret.secret, now_ms // 1000, delivery.body),
    }
    return Posting(delivery.url, headers, delivery.body)


def with_body(world: World, delivery_id: str, posting: Posting, body: bytes, now_ms: int) -> Posting:
    """The same attempt with another body, signed anew."""
    delivery = world.store.get(Delivery, delivery_id)
    secret = world.store.get(SigningSecret, delivery.owner_id) if delivery is not None else None
    if secret is None:
        return replace(posting, body=body)
    return replace(
        posting, headers={**posting.headers, SIGNATURE: signature(secret.secret, now_ms // 1000, body)}, body=body
    )


def signature(secret: str, seconds: int, body: bytes) -> str:
    """The signature header's value: the instant, and HMAC-SHA256 over ``<instant>.<body>`` in hex.

    Args:
        secret: as it was handed out; its text is the key.
        seconds: Unix time.
        body: the bytes sent.
    """
    digest = hmac.new(secret.encode("utf-8"), f"{seconds}.".encode() + body, hashlib.sha256)
    return f"t={seconds},v1={digest.hexdigest()}"


def settle(world: World, delivery_id: str, at_ms: int, status: int | None, problem: str | None) -> None:
    """Note how an attempt ended, and arm the next one when it was not accepted.

    Args:
        world: the world.
        delivery_id: which.
        at_ms: when the attempt was made, by the world's clock.
        status: HTTP status of the answer, or None when there was none.
        problem: why it was not accepted; None when it was.
    """
    delivery = world.store.get(Delivery, delivery_id)
    if delivery is None or delivery.status != PENDING:
        return
    attempts = (*delivery.attempts, {"at": iso(at_ms), "status": status, "problem": problem})
    done = replace(delivery, attempts=attempts, next_attempt_at=None)
    if problem is None:
        world.store.put(replace(done, status=DELIVERED))
    elif len(attempts) == len(BACKOFF_MS):
        world.store.put(replace(done, status=FAILED, reason=f"no attempt of {len(attempts)} was accepted: {problem}"))
    else:
        _await_attempt(world, done, at_ms + BACKOFF_MS[len(attempts)])


def pending(world: World) -> bool:
    """Whether a delivery waits for an attempt."""
    return next(world.store.find(Delivery, status=PENDING), None) is not None


def deliveries(world: World) -> Iterator[Delivery]:
    """Every delivery of a world, oldest first."""
    return world.store.all(Delivery)


def as_json(delivery: Delivery) -> dict[str, Any]:
    """A delivery as JSON data."""
    return {
        "id": delivery.id,
        "operator_id": delivery.operator_id,
        "owner_id": delivery.owner_id,
        "event": delivery.event,
        "url": delivery.url,
        "status": delivery.status,
        "reason": delivery.reason,
        "attempts": [dict(attempt) for attempt in delivery.attempts],
        "next_attempt_at": None if delivery.next_attempt_at is None else iso(delivery.next_attempt_at),
        "content_type": delivery.content_type,
        "body": delivery.body.decode("utf-8", "replace"),
        "created_at": iso(delivery.created_at),
    }
