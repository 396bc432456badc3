"""What a provider sends to an inbound webhook: checked over its raw bytes, known again, and passed on or kept.

AgentMail signs as Svix does (docs.agentmail.to): ``svix-id``, ``svix-timestamp`` and ``svix-signature`` over
``<id>.<timestamp>.<body>``. A generic provider signs as its webhook's ``generic_config`` says.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from stack_emu.domain import deliveries, faults
from stack_emu.domain.inbound_webhooks import AGENTMAIL, InboundWebhook, svix_key
from stack_emu.domain.state import Agent
from stack_emu.kernel.acts import Act, RowDraft
from stack_emu.kernel.clock import iso
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.world import World

OPERATION = "inbound_webhooks.receive"
WINDOW_SECONDS = 300
MAX_BYTES = 1024 * 1024
_HASHES = {"hmac-sha256": hashlib.sha256, "hmac-sha1": hashlib.sha1}


@dataclass(frozen=True)
class InboundMessage:
    """Something a provider sent for an agent. ``delivery_id`` is what it was passed on with, if it was."""

    TABLE: ClassVar[str] = "inbound_messages"
    INDEXES: ClassVar[tuple[str, ...]] = ("operator_id", "webhook_id")
    id: str
    operator_id: str
    webhook_id: str
    agent_id: str
    provider_id: str | None
    content_type: str
    body: bytes
    received_at: int
    delivery_id: str | None = None


@dataclass(frozen=True)
class SeenDelivery:
    """A provider's delivery that was taken in before. ``id`` is ``<webhook id>/<the provider's id for it>``."""

    TABLE: ClassVar[str] = "inbound_deliveries_seen"
    INDEXES: ClassVar[tuple[str, ...]] = ()
    id: str
    message_id: str


def find_live(world: World, slug: str) -> InboundWebhook:
    """The webhook behind a URL.

    Raises:
        Fault: NOT_FOUND when there is none, or it is revoked or its agent deleted.
    """
    webhook = next(world.store.find(InboundWebhook, slug=slug), None)
    agent = world.store.get(Agent, webhook.agent_id) if webhook is not None else None
    if webhook is None or webhook.revoked_at is not None or agent is None or agent.deleted:
        raise Fault(faults.NOT_FOUND, what="Inbound webhook", id=slug)
    return webhook


def receive(world: World, slug: str, headers: Mapping[str, str], body: bytes, lane_suffix: str = "") -> dict[str, Any]:
    """Take in what a provider sent, in an act of the webhook's agent; audit rows hold the payload's hash only.

    Args:
        world: the world.
        slug: last segment of the URL called.
        headers: the request's, names in lower case.
        body: its bytes.
        lane_suffix: text the client asked to be appended to its lane.

    Returns:
        The reply's JSON.

    Raises:
        Fault: NOT_FOUND, UNAUTHORIZED when the signature or its age is wrong, or the body too large.
    """
    webhook = find_live(world, slug)
    digest = hashlib.sha256(body).hexdigest()
    row = RowDraft("inbound_webhook.receive", "system", agent_id=webhook.agent_id, payload_hash=digest)
    row.set(webhook=webhook.id, via=webhook.provider)
    given = {"webhook": webhook.id, "payload": digest}
    act = world.begin_act(OPERATION, webhook.operator_id, f"agent:{webhook.agent_id}", given, row, lane_suffix)
    with world.transaction(act):
        if len(body) > MAX_BYTES:
            raise Fault(faults.BODY_TOO_LARGE, limit=MAX_BYTES // 2**20)
        provider_id = _verified(webhook, headers, body, act.now_ms // 1000)
        seen = world.store.get(SeenDelivery, f"{webhook.id}/{provider_id}") if provider_id is not None else None
        if seen is not None:
            row.set(repeated=True)
            return {"received": True, "id": seen.message_id, "duplicate": True}
        content_type = headers.get("content-type", "application/octet-stream")
        return _take_in(world, act, webhook, provider_id, content_type, body)


def _take_in(
    world: World, act: Act, webhook: InboundWebhook, provider_id: str | None, content_type: str, body: bytes
) -> dict[str, Any]:
    delivery = None
    if webhook.forward_url is not None:
        delivery = deliveries.enqueue(
            world,
            act,
            operator_id=webhook.operator_id,
            owner_id=webhook.id,
            event=f"inbound.{webhook.provider}",
            url=webhook.forward_url,
            body=body,
            content_type=content_type,
        )
        act.row.set(sent=delivery.id)
    message = InboundMessage(
        id=act.new_id("inbound-message", "inm_"),
        operator_id=webhook.operator_id,
        webhook_id=webhook.id,
        agent_id=webhook.agent_id,
        provider_id=provider_id,
        content_type=content_type,
        body=body,
        received_at=act.stamp_ms,
        delivery_id=None if delivery is None else delivery.id,
    )
    world.store.put(message)
    if provider_id is not None:
        world.store.put(SeenDelivery(f"{webhook.id}/{provider_id}", message.id))
    return {"received": True, "id": message.id, "duplicate": False}


def _verified(webhook: InboundWebhook, headers: Mapping[str, str], body: bytes, now_s: int) -> str | None:
    """The provider's id of a delivery whose signature holds, or None when it has none."""
    if webhook.incoming_secret is None:
        raise _refused(f"{webhook.id} has no signing secret of its provider yet; set it first")
    if webhook.provider == AGENTMAIL:
        return _verified_svix(webhook.incoming_secret, headers, body, now_s)
    return _verified_generic(webhook, webhook.incoming_secret, headers, body, now_s)


def _verified_svix(secret: str, headers: Mapping[str, str], body: bytes, now_s: int) -> str:
    found = [_header(headers, f"svix-{part}", f"webhook-{part}") for part in ("id", "timestamp", "signature")]
    name, stamp, signatures = found
    _check_age(stamp, now_s)
    expected = hmac.digest(svix_key(secret) or b"", f"{name}.{stamp}.".encode() + body, "sha256")
    wanted = base64.b64encode(expected)
    given = [part.removeprefix("v1,").encode() for part in signatures.split() if part.startswith("v1,")]
    # Every one is compared, so that the time it takes says nothing.
    if not sum(hmac.compare_digest(wanted, candidate) for candidate in given):
        raise _refused("svix-signature is not the one of these bytes; sign <svix-id>.<svix-timestamp>.<raw body>")
    return name


def _verified_generic(
    webhook: InboundWebhook, secret: str, headers: Mapping[str, str], body: bytes, now_s: int
) -> str | None:
    config = webhook.config or {}
    given = _header(headers, config["signature_header"])
    signed = body
    if config["timestamp_header"] is not None:
        stamp = _header(headers, config["timestamp_header"])
        _check_age(stamp, now_s)
        signed = f"{stamp}.".encode() + body
    algorithm = config["signature_algorithm"]
    digest = hmac.new(secret.encode("utf-8"), signed, _HASHES[algorithm]).digest()
    value = given.strip().removeprefix(algorithm.removeprefix("hmac-") + "=")
    as_hex = hmac.compare_digest(digest.hex().encode(), value.lower().encode())
    as_base64 = hmac.compare_digest(base64.b64encode(digest), value.encode())
    if not (as_hex or as_base64):
        what = "the raw body" if signed is body else f"<{config['timestamp_header']}>.<raw body>"
        raise _refused(f"{config['signature_header']} is not the {algorithm} of {what} in hex or base64")
    return headers.get(str(config["delivery_id_header"]).lower()) or None


def _header(headers: Mapping[str, str], *names: str) -> str:
    for name in names:
        if headers.get(name.lower()):
            return headers[name.lower()]
    raise _refused(f"the header {names[0]} is missing")


def _check_age(stamp: str, now_s: int) -> None:
    if not stamp.isascii() or not stamp.isdigit() or len(stamp) > 12:
        raise _refused("its time stamp is no Unix time in whole seconds")
    if abs(now_s - int(stamp)) > WINDOW_SECONDS:
        raise _refused(
            f"its time stamp is more than {WINDOW_SECONDS} seconds away from the world's clock, {iso(now_s * 1000)}"
        )


def _refused(problem: str) -> Fault:
    return Fault(faults.WEBHOOK_SIGNATURE_INVALID, problem=problem)


def received(world: World) -> Iterator[InboundMessage]:
    """Everything taken in, oldest first."""
    return world.store.all(InboundMessage)


def as_json(message: InboundMessage) -> dict[str, Any]:
    """Something taken in as JSON data, its body as text."""
    return {
        "id": message.id,
        "operator_id": message.operator_id,
        "webhook_id": message.webhook_id,
        "agent_id": message.agent_id,
        "provider_id": message.provider_id,
        "content_type": message.content_type,
        "body": message.body.decode("utf-8", "replace"),
        "delivery_id": message.delivery_id,
        "received_at": iso(message.received_at),
    }
