"""Delivery methods: the destinations an account is notified at, added, verified, tested and taken away."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from stack_emu.domain import deliveries, destinations, faults, governance, verification
from stack_emu.domain.authentication import ACCOUNT
from stack_emu.domain.destinations import Destination, Kind
from stack_emu.domain.verification import TestReply, VerificationReply
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context, Refused
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import SECRET, Audit, Auth, Command, Reply, Rest, Tool, operation

READ = Auth(bearers=ACCOUNT, scope="notifications:read")
WRITE = Auth(bearers=ACCOUNT, scope="notifications:write", role="admin")


class AddDestination(Command):
    """An address to notify."""

    channel_type: Kind | None = Field(None, description="email, sms or webhook")
    kind: Kind | None = Field(None, description="The same under the name SDK 0.14.0 to 0.19.1 sends")
    destination: str = Field(
        min_length=1, max_length=2048, description="E-mail address, telephone number (+49…) or URL"
    )
    label: str | None = Field(None, max_length=100, description="What people call it")


class DestinationById(Command):
    """Names a destination."""

    destination_id: str = Field(description="Destination id (ndst_…)")


class DeleteDestination(DestinationById):
    """Names a destination to take away."""

    governance_approval_id: str | None = Field(
        None, description="Approval id (gvr_…) a refused deletion was answered with"
    )


class VerifyDestination(DestinationById):
    """The code a destination received."""

    code: Annotated[str | None, SECRET] = Field(None, description="The six digits; a code is sent when left out")


class DestinationReply(Reply):
    """A destination. ``webhook_secret`` is shown when it is made and never again."""

    id: str
    operator_id: str
    channel_type: str
    destination: str
    label: str | None
    verified: bool
    verified_at: str | None
    webhook_secret: str | None
    created_at: str


class DeletedDestination(Reply):
    """A destination that is gone."""

    id: str
    deleted: bool


def describe(destination: Destination, secret: str | None = None) -> DestinationReply:
    """A destination as replies show it, with its secret where that was made just now."""
    return DestinationReply(
        id=destination.id,
        operator_id=destination.operator_id,
        channel_type=destination.channel_type,
        destination=destination.destination,
        label=destination.label,
        verified=destination.verified,
        verified_at=None if destination.verified_at is None else iso(destination.verified_at),
        webhook_secret=secret,
        created_at=iso(destination.created_at),
    )


def _require(ctx: Context, destination_id: str) -> Destination:
    found = ctx.world.store.get(Destination, destination_id)
    if found is None or found.operator_id != ctx.operator_id:
        raise Fault(faults.NOT_FOUND, what="Destination", id=destination_id)
    ctx.row.set(destination=found.id, via=found.channel_type)
    return found


@operation(
    "delivery_methods.add",
    rest=Rest("POST", "/v1/notifications/destinations", status=201),
    tool=Tool("stack_add_destination"),
    auth=WRITE,
    audit=Audit("notification_destination.add"),
    source="docs/api/notifications; sdk 4.0.0 delivery_methods.add",
    grade="documented",
)
def add_destination(ctx: Context, command: AddDestination) -> DestinationReply:
    """Add a destination. It gets messages once it is verified; the account's own e-mail address is from the start.

    A webhook's signing secret is in this reply only.

    Raises:
        Fault: INVALID_REQUEST for an address that is none of its kind, CONFLICT when it was added before.
    """
    kind = command.channel_type or command.kind
    if kind is None:
        problem = "it must be email, sms or webhook"
        fields = {"fields": {"channel_type": problem}}
        raise Fault(faults.INVALID_REQUEST, problem=f"channel_type: {problem}", details=fields)
    ctx.row.set(via=kind)
    known = destinations.find(ctx.world, ctx.operator_id, kind, command.destination)
    if known is not None:
        raise Fault(faults.CONFLICT, problem=f"This destination was added before: it is {known.id}")
    made, secret = destinations.add(ctx.world, ctx.act, ctx.operator_id, kind, command.destination, label=command.label)
    ctx.row.set(destination=made.id, verified=made.verified or None)
    return describe(made, secret)


@operation(
    "delivery_methods.list",
    rest=Rest("GET", "/v1/notifications/destinations"),
    tool=Tool("stack_list_destinations"),
    auth=READ,
    source="sdk 4.0.0 delivery_methods.list",
    grade="documented",
)
def list_destinations(ctx: Context, command: Command) -> list[DestinationReply]:
    """List the account's destinations, oldest first, without their secrets."""
    return [describe(item) for item in ctx.world.store.find(Destination, operator_id=ctx.operator_id)]


@operation(
    "delivery_methods.delete",
    rest=Rest(
        "DELETE",
        "/v1/notifications/destinations/{destination_id}",
        headers={governance.HEADER: "governance_approval_id"},
    ),
    tool=Tool("stack_delete_destination", destructive=True),
    auth=WRITE,
    audit=Audit("notification_destination.delete"),
    source="sdk 4.0.0 delivery_methods.delete; the reply's shape is not published",
    grade="documented",
)
def delete_destination(ctx: Context, command: DeleteDestination) -> DeletedDestination | Refused:
    """Take a destination away. A verified one is a control: without a dashboard session its deletion waits for a human.

    Channels that lead there stay, send nothing, and do so again once the same address is added and verified.

    Raises:
        Fault: NOT_FOUND, GOVERNANCE_APPROVAL_REQUIRED.
    """
    found = _require(ctx, command.destination_id)
    if found.verified:
        waiting = governance.gate(
            ctx,
            subject=found.id,
            change=f"Deleting the verified destination {found.id}",
            approval_id=command.governance_approval_id,
        )
        if waiting is not None:
            return waiting
    ctx.world.store.delete(Destination, found.id)
    ctx.world.store.delete(deliveries.SigningSecret, found.id)
    ctx.world.store.delete(verification.VerificationCode, found.id)
    return DeletedDestination(id=found.id, deleted=True)


@operation(
    "delivery_methods.rotate_secret",
    rest=Rest("POST", "/v1/notifications/destinations/{destination_id}/rotate-secret"),
    tool=Tool("stack_rotate_destination_secret"),
    auth=WRITE,
    audit=Audit("notification_destination.rotate_secret"),
    source="sdk 4.0.0 delivery_methods.rotate_secret; the reply's shape is not published",
    grade="documented",
)
def rotate_destination_secret(ctx: Context, command: DestinationById) -> DestinationReply:
    """Give a webhook a new signing secret, shown in this reply only. What is sent from now on is signed with it.

    Raises:
        Fault: NOT_FOUND, INVALID_REQUEST for a destination that is no webhook.
    """
    found = _require(ctx, command.destination_id)
    if found.channel_type != destinations.WEBHOOK:
        problem = f"{found.id} is of type {found.channel_type}; only webhooks have a secret"
        fields = {"fields": {"destination_id": problem}}
        raise Fault(faults.INVALID_REQUEST, problem=problem, details=fields)
    return describe(found, deliveries.new_secret(ctx.world, ctx.act, found.id))


@operation(
    "delivery_methods.send_verification_code",
    rest=Rest("POST", "/v1/notifications/destinations/{destination_id}/send-code"),
    tool=Tool("stack_send_destination_code"),
    auth=WRITE,
    audit=Audit("notification_destination.send_code"),
    source="sdk 4.0.0 delivery_methods.send_verification_code; the reply's shape is not published",
    grade="documented",
)
def send_destination_code(ctx: Context, command: DestinationById) -> VerificationReply:
    """Send a six-digit code to a destination, good for ten minutes; here it lands in the emulator's outbox.

    Raises:
        Fault: NOT_FOUND, CONFLICT when the destination is verified already.
    """
    return verification.send_code(ctx, _require(ctx, command.destination_id), command.destination_id)


@operation(
    "delivery_methods.verify",
    rest=Rest("POST", "/v1/notifications/destinations/{destination_id}/verify"),
    tool=Tool("stack_verify_destination"),
    auth=WRITE,
    audit=Audit("notification_destination.verify"),
    source="sdk 4.0.0 delivery_methods.verify; the reply's shape is not published",
    grade="documented",
)
def verify_destination(ctx: Context, command: VerifyDestination) -> VerificationReply | Refused:
    """Verify a destination with the code it received. Five wrong codes make a new one necessary.

    Raises:
        Fault: NOT_FOUND, INVALID_VERIFICATION_CODE.
    """
    found = _require(ctx, command.destination_id)
    return verification.verify(ctx, found, found.id, command.code)


@operation(
    "delivery_methods.test",
    rest=Rest("POST", "/v1/notifications/destinations/{destination_id}/test"),
    tool=Tool("stack_test_destination"),
    auth=WRITE,
    audit=Audit("notification_destination.test"),
    source="sdk 4.0.0 delivery_methods.test; the reply's shape is not published",
    grade="documented",
)
def test_destination(ctx: Context, command: DestinationById) -> TestReply:
    """Send a test message to a verified destination.

    Raises:
        Fault: NOT_FOUND, CONFLICT when it is not verified.
    """
    return verification.send_test(ctx, _require(ctx, command.destination_id), command.destination_id)
