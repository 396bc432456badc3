"""What a fake Slack workspace remembers, as records in the world's store.

Every key begins with the name of the upstream, so that two upstreams can each have a workspace in one world.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Workspace:
    """A workspace. ``id`` is the upstream's name.

    ``next_position`` numbers messages in the order they were posted; nothing an agent can see is derived from it.
    """

    TABLE: ClassVar[str] = "slack_workspaces"
    INDEXES: ClassVar[tuple[str, ...]] = ()
    id: str
    team: str
    name: str
    domain: str
    bot_user: str
    bot_id: str
    app_id: str
    next_position: int = 1


@dataclass(frozen=True, slots=True)
class User:
    """A member of a workspace. ``id`` is ``<upstream>/<user>``; ``position`` keeps the order of the seed.

    ``profile`` holds what was set of the profile, by field, and ``away`` whether the user is set to be away.
    """

    TABLE: ClassVar[str] = "slack_users"
    INDEXES: ClassVar[tuple[str, ...]] = ("upstream", "email")
    id: str
    upstream: str
    user: str
    name: str
    real_name: str
    email: str | None = None
    is_bot: bool = False
    is_admin: bool = False
    deleted: bool = False
    tz: str = "Etc/UTC"
    position: int = 0
    profile: Mapping[str, Any] = field(default_factory=dict)
    away: bool = False


@dataclass(frozen=True, slots=True)
class Channel:
    """A conversation. ``id`` is ``<upstream>/<channel>``; ``kind`` is public, private, im or mpim.

    ``last_read`` is the stamp the token's user has read up to, ``closed`` whether a direct conversation was closed.
    """

    TABLE: ClassVar[str] = "slack_channels"
    INDEXES: ClassVar[tuple[str, ...]] = ("upstream", "name")
    id: str
    upstream: str
    channel: str
    name: str | None
    kind: str
    creator: str
    members: tuple[str, ...] = ()
    topic: str = ""
    purpose: str = ""
    archived: bool = False
    position: int = 0
    last_read: str = "0000000000.000000"
    previous_names: tuple[str, ...] = ()
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """A message. ``id`` is ``<upstream>/<channel>/<ts>``, ``place`` is ``<upstream>/<channel>``.

    ``position`` is its place in posting order, ``at_ms`` the world's time when it was posted, ``extra`` what it carries
    besides text (blocks, attachments, metadata, username), ``ephemeral_to`` the only user who sees it.
    """

    TABLE: ClassVar[str] = "slack_messages"
    INDEXES: ClassVar[tuple[str, ...]] = ("place",)
    id: str
    place: str
    upstream: str
    channel: str
    ts: str
    user: str
    text: str
    position: int
    at_ms: int
    thread_ts: str | None = None
    broadcast: bool = False
    edited_ts: str | None = None
    edited_by: str | None = None
    reactions: tuple[tuple[str, tuple[str, ...]], ...] = ()
    files: tuple[str, ...] = ()
    ephemeral_to: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class File:
    """An uploaded file. ``id`` is ``<upstream>/<file>``; ``ticket`` is the secret part of its upload address.

    ``content`` is base64, None until the bytes arrived; ``shared`` once the upload was completed; ``channels`` are
    those it was shared in; ``position`` is its place among messages and files in the order they were shared, ``at_ms``
    the world's time then.
    """

    TABLE: ClassVar[str] = "slack_files"
    INDEXES: ClassVar[tuple[str, ...]] = ("ticket", "upstream")
    id: str
    upstream: str
    file: str
    ticket: str
    name: str
    title: str
    user: str
    length: int
    content: str | None = None
    size: int = 0
    shared: bool = False
    channels: tuple[str, ...] = ()
    position: int = 0
    at_ms: int = 0


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A message that waits for its instant. ``id`` is ``<upstream>/<number>``, ``place`` is ``<upstream>/<channel>``.

    ``post_at`` is in epoch seconds. ``ts`` is the stamp the message will have, derived from the act that scheduled it.
    """

    TABLE: ClassVar[str] = "slack_scheduled"
    INDEXES: ClassVar[tuple[str, ...]] = ("upstream",)
    id: str
    upstream: str
    number: str
    place: str
    channel: str
    ts: str
    user: str
    text: str
    post_at: int
    thread_ts: str | None = None
    broadcast: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)
