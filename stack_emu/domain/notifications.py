"""Notifications: what happens in an account is told at its destinations, as its channels say.

A channel is a rule: which events, from which severity on, go to which destination. It leads to the destination of its
type and address, and is verified when that one is. Names of events are invented, STACK's are not public.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, ClassVar

from stack_emu.domain import destinations
from stack_emu.domain.destinations import Destination, Message
from stack_emu.kernel.acts import Act
from stack_emu.kernel.clock import iso
from stack_emu.kernel.world import World

INFO, WARNING, CRITICAL = "info", "warning", "critical"
RANK = {INFO: 0, WARNING: 1, CRITICAL: 2}

EVENTS: Mapping[str, str] = {
    "security.signal": "a detector noticed something; severity is the signal's",
    "passport.revoked": "passports were revoked, one notification for each call or signal that did it",
    "approval.requested": "a change waits for a human's approval",
    "review.flagged": "a checkout was flagged and waits in the review queue",
    "notification.test": "sent by the test operations only",
}
"""What is emitted, and when. Channels may name others: they wait for events that never come."""


@dataclass(frozen=True)
class NotificationChannel:
    """A rule. Without events it is about all of them; a name may end in ``.*``."""

    TABLE: ClassVar[str] = "notification_channels"
    INDEXES: ClassVar[tuple[str, ...]] = ("operator_id",)
    id: str
    operator_id: str
    channel_type: str
    destination: str
    created_at: int
    updated_at: int
    events: tuple[str, ...] = ()
    min_severity: str = WARNING
    active: bool = True


def emit(world: World, act: Act, operator_id: str, event: str, severity: str, data: Mapping[str, Any]) -> list[str]:
    """Tell an account's channels that something happened; each that matches leaves a ``notification.send`` row.

    Channels that are inactive, whose destination is not verified, or that want other events or severities get nothing.
    What a raised ``Fault`` undoes is not told.

    Args:
        world: the world; a transaction is open.
        act: what it happened in.
        operator_id: the account.
        event: a name of ``EVENTS``.
        severity: ``info``, ``warning`` or ``critical``.
        data: JSON data about it; ``message``, when there is one, is the sentence for people, ``agent_id`` the agent.

    Returns:
        Ids of the deliveries and outbox messages, in the order of the channels.
    """
    sent = []
    for channel, destination in _listening(world, operator_id, event, severity):
        name = act.new_id("notification", "ntf_")
        message = _message(world, act, name, channel, event, severity, data)
        sent.append(destinations.send(world, act, destination, message))
        row = act.also("notification.send", "system", agent_id=data.get("agent_id"))
        row.set(event=event, severity=severity, channel=channel.id, notification=name, sent=sent[-1])
    return sent


def _listening(
    world: World, operator_id: str, event: str, severity: str
) -> Iterator[tuple[NotificationChannel, Destination]]:
    for channel in world.store.find(NotificationChannel, operator_id=operator_id):
        if not channel.active or RANK[severity] < RANK[channel.min_severity] or not _wants(channel, event):
            continue
        destination = destination_of(world, channel)
        if destination is not None and destination.verified:
            yield channel, destination


def _wants(channel: NotificationChannel, event: str) -> bool:
    return not channel.events or any(fnmatchcase(event, wanted) for wanted in channel.events)


def destination_of(world: World, channel: NotificationChannel) -> Destination | None:
    """The destination a channel leads to; None when it was deleted."""
    return destinations.find(world, channel.operator_id, channel.channel_type, channel.destination)


def _message(
    world: World,
    act: Act,
    name: str,
    channel: NotificationChannel,
    event: str,
    severity: str,
    data: Mapping[str, Any],
) -> Message:
    shown = world.redactor.value({key: value for key, value in data.items() if value is not None})
    body = {
        "id": name,
        "type": event,
        "severity": severity,
        "created_at": iso(act.stamp_ms),
        "operator_id": channel.operator_id,
        "channel_id": channel.id,
        "data": shown,
    }
    sentence = str(shown.get("message") or event)
    details = [f"{key}: {value}" for key, value in shown.items() if key != "message"]
    return Message(event, f"[{severity}] {event}", "\n".join([sentence, *details]), body)
