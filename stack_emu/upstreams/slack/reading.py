"""Reading a fake workspace from outside: for assertions, the demo and the dashboard."""

from __future__ import annotations

import base64
from typing import Any

from stack_emu.kernel.world import World
from stack_emu.upstreams.documents import Collection
from stack_emu.upstreams.slack import scheduled
from stack_emu.upstreams.slack.records import Channel, File, Message, User


def messages(world: World, channel: str, *, upstream: str = "slack") -> list[dict[str, Any]]:
    """What stands in a channel, in the order it was posted, threads and ephemeral messages included.

    Args:
        world: the world.
        channel: ``#name``, a name or an id.
        upstream: name of the upstream.

    Returns:
        For each message ``ts``, ``user`` (id), ``author`` (name), ``text``, ``thread_ts``, ``edited``, ``reactions``
        (emoji to user ids), ``files`` (name, title, content as bytes), ``ephemeral_to`` and what it carries besides,
        such as ``blocks``.

    Raises:
        KeyError: when there is no such channel, naming those there are.
    """
    found = _channel(world, channel, upstream)
    stored = sorted(world.store.find(Message, place=found.id), key=lambda message: message.position)
    if not found.archived:
        waiting = scheduled.due(world.store, upstream, world.now_ms())
        stored += [scheduled.as_message(one, 0) for one in waiting if one.place == found.id]
    return [_shown(world, message) for message in stored]


def views(world: World, *, upstream: str = "slack") -> list[dict[str, Any]]:
    """The views that were opened, pushed or published, oldest first.

    Args:
        world: the world.
        upstream: name of the upstream.

    Returns:
        For each view ``id``, ``view`` (the payload as it was last set), ``home_of`` (a user's id, for a home) and
        ``previous`` (id of the view it was pushed onto).
    """
    kept = Collection(world.store, upstream, "views").all()
    return [{name: one[name] for name in ("id", "view", "home_of", "previous")} for one in kept]


def channels(world: World, *, upstream: str = "slack") -> list[dict[str, Any]]:
    """Every conversation with ``id``, ``name``, ``kind``, ``members`` (ids), ``topic`` and ``archived``."""
    return [
        {
            "id": channel.channel,
            "name": channel.name,
            "kind": channel.kind,
            "members": list(channel.members),
            "topic": channel.topic,
            "archived": channel.archived,
        }
        for channel in world.store.find(Channel, upstream=upstream)
    ]


def _channel(world: World, given: str, upstream: str) -> Channel:
    known = list(world.store.find(Channel, upstream=upstream))
    found = next((one for one in known if given.removeprefix("#") in (one.name, one.channel)), None)
    if found is None:
        names = ", ".join(f"#{one.name}" if one.name else one.channel for one in known)
        raise KeyError(f"there is no channel {given!r} in upstream {upstream}; there are: {names or 'none'}.")
    return found


def _shown(world: World, message: Message) -> dict[str, Any]:
    author = world.store.get(User, f"{message.upstream}/{message.user}")
    files = (world.store.get(File, f"{message.upstream}/{name}") for name in message.files)
    return {
        **message.extra,
        "ts": message.ts,
        "user": message.user,
        "author": author.name if author is not None else None,
        "text": message.text,
        "thread_ts": message.thread_ts,
        "edited": message.edited_ts is not None,
        "reactions": {name: list(users) for name, users in message.reactions},
        "files": [
            {"name": file.name, "title": file.title, "content": base64.b64decode(file.content or "")}
            for file in files
            if file is not None
        ],
        "ephemeral_to": message.ephemeral_to,
    }
