"""Destinations: the addresses, numbers and URLs an account is notified at, and how a message gets there."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from stack_emu.domain import deliveries, faults, outbox
from stack_emu.domain.state import Operator
from stack_emu.kernel.acts import Act
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.world import World

Kind = Literal["email", "sms", "webhook"]
EMAIL, SMS, WEBHOOK = "email", "sms", "webhook"
_MAIL = re.compile(r"[^@\s]{1,64}@[^@\s.][^@\s]{0,252}")
_PRINTABLE = re.compile(r"[!-~]+")  # a URL is written in ASCII, other characters percent-encoded
_PHONE = re.compile(r"\+[1-9]\d{6,14}")
_FORMS = {
    EMAIL: "an e-mail address such as ops@example.com",
    SMS: "a telephone number such as +4915112345678",
    WEBHOOK: "a URL such as https://example.com/hook or http://127.0.0.1:9000/hook",
}


@dataclass(frozen=True)
class Destination:
    """Where messages go. ``place`` is the address in the form it is compared in; only a verified one gets any."""

    TABLE: ClassVar[str] = "notification_destinations"
    INDEXES: ClassVar[tuple[str, ...]] = ("operator_id", "place")
    id: str
    operator_id: str
    channel_type: str
    destination: str
    place: str
    created_at: int
    label: str | None = None
    verified: bool = False
    verified_at: int | None = None


@dataclass(frozen=True)
class Message:
    """Something to send: to people as subject and text, to webhooks as JSON data."""

    event: str
    subject: str
    text: str
    data: Mapping[str, Any]
    code: str | None = None


def place_of(kind: str, address: str) -> str:
    """The form in which an address is compared with others.

    Raises:
        Fault: INVALID_REQUEST when it is no address of that kind.
    """
    given = address.strip()
    if not _fits(kind, given):
        problem = f"it must be {_FORMS[kind]}"
        fields = {"fields": {"destination": problem}}
        raise Fault(faults.INVALID_REQUEST, details=fields, problem=f"destination: {problem}")
    return f"{kind}:{given.casefold() if kind == EMAIL else given}"


def _fits(kind: str, address: str) -> bool:
    if kind == WEBHOOK:
        return is_web_address(address)
    return bool((_MAIL if kind == EMAIL else _PHONE).fullmatch(address))


_NO_SPACE = r"[^@\x00-\x20\x7f-\xa0]+"
MAIL_ADDRESS = rf"^{_NO_SPACE}@{_NO_SPACE}\.{_NO_SPACE}$"
"""What the e-mail address of a person looks like."""
WEB_ADDRESS = r"^https?://[A-Za-z0-9.-]+(:[1-9][0-9]{0,3})?(/[!-~]*)?$"
"""What a URL that a request can be sent to looks like, for documents."""


def is_web_address(url: str) -> bool:
    """Whether a text is a URL that a request could be sent to."""
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and (parts.port or 1) > 0
            and _PRINTABLE.fullmatch(url) is not None
        )
    except ValueError:
        return False


def find(world: World, operator_id: str, kind: str, address: str) -> Destination | None:
    """An account's destination of that kind and address, or None."""
    return next(world.store.find(Destination, place=place_of(kind, address), operator_id=operator_id), None)


def add(
    world: World, act: Act, operator_id: str, kind: str, address: str, label: str | None = None
) -> tuple[Destination, str | None]:
    """Add a destination; the operator's own e-mail address is verified from the start.

    Args:
        world: the world.
        act: what adds it.
        operator_id: whose it is.
        kind: ``email``, ``sms`` or ``webhook``.
        address: where to.
        label: what people call it.

    Returns:
        The destination, and the secret of a webhook, which is shown this once.

    Raises:
        Fault: INVALID_REQUEST when the address is none of that kind.
    """
    place = place_of(kind, address)
    operator = world.store.get(Operator, operator_id)
    own = operator is not None and bool(operator.email) and place == f"{EMAIL}:{operator.email.casefold()}"
    made = Destination(
        id=act.new_id("destination", "ndst_"),
        operator_id=operator_id,
        channel_type=kind,
        destination=address.strip(),
        place=place,
        created_at=act.stamp_ms,
        label=label,
        verified=own,
        verified_at=act.stamp_ms if own else None,
    )
    world.store.put(made)
    return made, deliveries.new_secret(world, act, made.id) if kind == WEBHOOK else None


def send(world: World, act: Act, destination: Destination, message: Message) -> str:
    """Send a message: to a webhook on this machine for real, everything else into the outbox.

    Returns:
        Id of the delivery (``wdl_…``) or of the message in the outbox (``obx_…``).
    """
    delivery = _deliver(world, act, destination, message) if destination.channel_type == WEBHOOK else None
    if delivery is not None and delivery.status != deliveries.HELD and message.code is None:
        return delivery.id
    kept = outbox.keep(
        world,
        act,
        operator_id=destination.operator_id,
        kind=destination.channel_type,
        destination=destination.destination,
        event=message.event,
        subject=message.subject,
        text=message.text,
        code=message.code,
    )
    return kept.id if delivery is None else delivery.id


def _deliver(world: World, act: Act, destination: Destination, message: Message) -> deliveries.Delivery:
    body = json.dumps(message.data, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    return deliveries.enqueue(
        world,
        act,
        operator_id=destination.operator_id,
        owner_id=destination.id,
        event=message.event,
        url=destination.destination,
        body=body,
    )
