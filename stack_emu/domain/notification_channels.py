"""Notification channels: the rules by which an account is notified, made, changed, verified and tested."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from stack_emu.domain import destinations, faults, verification
from stack_emu.domain.delivery_methods import READ, WRITE
from stack_emu.domain.destinations import Destination, Kind
from stack_emu.domain.notifications import NotificationChannel, destination_of
from stack_emu.domain.verification import TestReply, VerificationReply
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context, Refused
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import SECRET, Audit, Command, Reply, Rest, Tool, operation
from stack_emu.kernel.store import replace

Severity = Literal["info", "warning", "critical"]
EventName = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class CreateChannel(Command):
    """A rule: what is told where."""

    channel_type: Kind = Field(description="email, sms or webhook")
    destination: str = Field(
        min_length=1, max_length=2048, description="E-mail address, telephone number (+49…) or URL"
    )
    events: list[EventName] = Field(
        default_factory=list, max_length=50, description="Names of events, such as security.signal or passport.*; all"
    )
    min_severity: Severity = Field("warning", description="Least severity that is told")


class ChannelById(Command):
    """Names a channel."""

    channel_id: str = Field(description="Channel id (nch_…)")


class UpdateChannel(ChannelById):
    """What to change of a channel; what is left out stays."""

    events: list[EventName] | None = Field(None, max_length=50, description="Names of events; an empty list is all")
    min_severity: Severity | None = Field(None, description="Least severity that is told")
    active: bool | None = Field(None, description="False tells nothing until it is true again")
    destination: str | None = Field(
        None, min_length=1, max_length=2048, description="Another address of the channel's type"
    )


class VerifyChannel(ChannelById):
    """The code a channel's destination received."""

    code: Annotated[str | None, SECRET] = Field(None, description="The six digits; a code is sent when left out")


class ChannelReply(Reply):
    """A channel. ``webhook_secret`` is shown when the channel's own webhook is added with it, and never again."""

    id: str
    operator_id: str
    channel_type: str
    destination: str
    destination_id: str | None
    events: list[str]
    min_severity: str
    active: bool
    verified: bool
    webhook_secret: str | None
    created_at: str
    updated_at: str


class DeletedChannel(Reply):
    """A channel that is gone."""

    id: str
    deleted: bool


def _describe(channel: NotificationChannel, destination: Destination | None, secret: str | None) -> ChannelReply:
    return ChannelReply(
        id=channel.id,
        operator_id=channel.operator_id,
        channel_type=channel.channel_type,
        destination=channel.destination,
        destination_id=None if destination is None else destination.id,
        events=list(channel.events),
        min_severity=channel.min_severity,
        active=channel.active,
        verified=destination is not None and destination.verified,
        webhook_secret=secret,
        created_at=iso(channel.created_at),
        updated_at=iso(channel.updated_at),
    )


def _require(ctx: Context, channel_id: str) -> NotificationChannel:
    found = ctx.world.store.get(NotificationChannel, channel_id)
    if found is None or found.operator_id != ctx.operator_id:
        raise Fault(faults.NOT_FOUND, what="Notification channel", id=channel_id)
    ctx.row.set(channel=found.id, via=found.channel_type)
    return found


def _require_destination(ctx: Context, channel_id: str) -> Destination:
    channel = _require(ctx, channel_id)
    found = destination_of(ctx.world, channel)
    if found is None:
        problem = f"The destination of {channel.id} was deleted; add it again, or give the channel another one"
        raise Fault(faults.CONFLICT, problem=problem)
    ctx.row.set(destination=found.id)
    return found


def _reach(ctx: Context, kind: str, address: str) -> tuple[Destination, str | None]:
    """The destination a channel leads to, added when the account has none like it."""
    known = destinations.find(ctx.world, ctx.operator_id, kind, address)
    if known is not None:
        return known, None
    return destinations.add(ctx.world, ctx.act, ctx.operator_id, kind, address)


@operation(
    "notifications.list",
    rest=Rest("GET", "/v1/notifications/channels"),
    tool=Tool("stack_list_notification_channels"),
    auth=READ,
    source="docs/api/notifications; sdk 4.0.0 notifications.list",
    grade="documented",
)
def list_notification_channels(ctx: Context, command: Command) -> list[ChannelReply]:
    """List the account's channels, oldest first."""
    channels = ctx.world.store.find(NotificationChannel, operator_id=ctx.operator_id)
    return [_describe(channel, destination_of(ctx.world, channel), None) for channel in channels]


@operation(
    "notifications.create",
    rest=Rest("POST", "/v1/notifications/channels", status=201),
    tool=Tool("stack_create_notification_channel"),
    auth=WRITE,
    audit=Audit("notification_channel.create"),
    source="docs/api/notifications; sdk 4.0.0 notifications.create; names of events are invented",
    grade="documented",
)
def create_notification_channel(ctx: Context, command: CreateChannel) -> ChannelReply:
    """Make a channel. It tells nothing until its destination is verified, which one added before may be already.

    A destination the account does not have yet is added with it.

    Raises:
        Fault: INVALID_REQUEST for an address that is none of its kind.
    """
    ctx.row.set(via=command.channel_type, severity=command.min_severity)
    destination, secret = _reach(ctx, command.channel_type, command.destination)
    made = NotificationChannel(
        id=ctx.act.new_id("channel", "nch_"),
        operator_id=ctx.operator_id,
        channel_type=command.channel_type,
        destination=destination.destination,
        created_at=ctx.stamp_ms,
        updated_at=ctx.stamp_ms,
        events=tuple(dict.fromkeys(command.events)),
        min_severity=command.min_severity,
    )
    ctx.world.store.put(made)
    ctx.row.set(channel=made.id, destination=destination.id)
    return _describe(made, destination, secret)


@operation(
    "notifications.update",
    rest=Rest("PATCH", "/v1/notifications/channels/{channel_id}"),
    tool=Tool("stack_update_notification_channel"),
    auth=WRITE,
    audit=Audit("notification_channel.update"),
    source="sdk 4.0.0 notifications.update; the reply's shape is not published",
    grade="documented",
)
def update_notification_channel(ctx: Context, command: UpdateChannel) -> ChannelReply:
    """Change a channel's events, severity, destination, or whether it is active.

    Raises:
        Fault: NOT_FOUND, INVALID_REQUEST.
    """
    channel = _require(ctx, command.channel_id)
    changes = command.model_dump(exclude_none=True, exclude={"channel_id", "destination"})
    secret = None
    if command.destination is not None:
        reached, secret = _reach(ctx, channel.channel_type, command.destination)
        changes["destination"] = reached.destination
        ctx.row.set(destination=reached.id)
    if "events" in changes:
        changes["events"] = tuple(dict.fromkeys(changes["events"]))
    ctx.row.set(changed=sorted(changes) or None)
    done = ctx.world.store.put(replace(channel, **changes, updated_at=ctx.stamp_ms))
    return _describe(done, destination_of(ctx.world, done), secret)


@operation(
    "notifications.delete",
    rest=Rest("DELETE", "/v1/notifications/channels/{channel_id}"),
    tool=Tool("stack_delete_notification_channel", destructive=True),
    auth=WRITE,
    audit=Audit("notification_channel.delete"),
    source="sdk 4.0.0 notifications.delete; the reply's shape is not published",
    grade="documented",
)
def delete_notification_channel(ctx: Context, command: ChannelById) -> DeletedChannel:
    """Take a channel away; its destination stays.

    Raises:
        Fault: NOT_FOUND.
    """
    channel = _require(ctx, command.channel_id)
    ctx.world.store.delete(NotificationChannel, channel.id)
    return DeletedChannel(id=channel.id, deleted=True)


@operation(
    "notifications.send_verification_code",
    rest=Rest("POST", "/v1/notifications/channels/{channel_id}/send-code"),
    tool=Tool("stack_send_notification_channel_code"),
    auth=WRITE,
    audit=Audit("notification_channel.send_code"),
    source="sdk 4.0.0 notifications.send_verification_code; the reply's shape is not published",
    grade="documented",
)
def send_channel_code(ctx: Context, command: ChannelById) -> VerificationReply:
    """Send a six-digit code to a channel's destination, good for ten minutes; here it lands in the emulator's outbox.

    Raises:
        Fault: NOT_FOUND, CONFLICT when the destination is verified already or was deleted.
    """
    return verification.send_code(ctx, _require_destination(ctx, command.channel_id), command.channel_id)


@operation(
    "notifications.verify",
    rest=Rest("POST", "/v1/notifications/channels/{channel_id}/verify"),
    tool=Tool("stack_verify_notification_channel"),
    auth=WRITE,
    audit=Audit("notification_channel.verify"),
    source="sdk 4.0.0 notifications.verify; the reply's shape is not published",
    grade="documented",
)
def verify_notification_channel(ctx: Context, command: VerifyChannel) -> VerificationReply | Refused:
    """Verify a channel's destination with the code it received. Without a code one is sent (SDK 0.1.0).

    Raises:
        Fault: NOT_FOUND, CONFLICT when the destination was deleted, INVALID_VERIFICATION_CODE.
    """
    found = _require_destination(ctx, command.channel_id)
    return verification.verify(ctx, found, command.channel_id, command.code)


@operation(
    "notifications.test",
    rest=Rest("POST", "/v1/notifications/channels/{channel_id}/test"),
    tool=Tool("stack_test_notification_channel"),
    auth=WRITE,
    audit=Audit("notification_channel.test"),
    source="sdk 4.0.0 notifications.test; the reply's shape is not published",
    grade="documented",
)
def test_notification_channel(ctx: Context, command: ChannelById) -> TestReply:
    """Send a test message to a channel's destination, whatever its events and severity, active or not.

    Raises:
        Fault: NOT_FOUND, CONFLICT when the destination is not verified or was deleted.
    """
    return verification.send_test(ctx, _require_destination(ctx, command.channel_id), command.channel_id)
