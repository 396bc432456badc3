"""The outbox: e-mails, text messages and foreign webhooks, which never leave this machine and are kept to be read here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from stack_emu.kernel.acts import Act
from stack_emu.kernel.clock import iso
from stack_emu.kernel.world import World


@dataclass(frozen=True)
class OutboxMessage:
    """A message that would have been sent. ``kind`` is email, sms or webhook; ``code`` is its verification code, if any."""

    TABLE: ClassVar[str] = "outbox"
    INDEXES: ClassVar[tuple[str, ...]] = ("operator_id",)
    id: str
    operator_id: str
    kind: str
    destination: str
    event: str
    subject: str
    text: str
    created_at: int
    code: str | None = None


def keep(
    world: World,
    act: Act,
    *,
    operator_id: str,
    kind: str,
    destination: str,
    event: str,
    subject: str,
    text: str,
    code: str | None = None,
) -> OutboxMessage:
    """Put a message into the outbox.

    Args:
        world: the world.
        act: what it is sent by.
        operator_id: whose it is.
        kind: ``email``, ``sms`` or ``webhook``.
        destination: address, number or URL it is for.
        event: what it is about.
        subject: one line.
        text: the message.
        code: the verification code in it.
    """
    return world.store.put(
        OutboxMessage(
            id=act.new_id("outbox", "obx_"),
            operator_id=operator_id,
            kind=kind,
            destination=destination,
            event=event,
            subject=subject,
            text=text,
            created_at=act.stamp_ms,
            code=code,
        )
    )


def messages(world: World) -> Iterator[OutboxMessage]:
    """Every message of a world, oldest first."""
    return world.store.all(OutboxMessage)


def as_json(message: OutboxMessage) -> dict[str, Any]:
    """A message as JSON data."""
    return {
        "id": message.id,
        "operator_id": message.operator_id,
        "kind": message.kind,
        "destination": message.destination,
        "event": message.event,
        "subject": message.subject,
        "text": message.text,
        "code": message.code,
        "created_at": iso(message.created_at),
    }
