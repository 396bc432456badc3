"""The state a fake workspace begins with, from the scenario's ``seed``.

``{team, bot, users, channels, emoji}``: ``team`` is a name or {name, id, domain}; ``bot`` a name or {name, id}; each user a
name or {name, id, real_name, email, is_admin, is_bot, deleted, tz}; each channel a name or {name, id, members, topic,
purpose, private, archived, bot_member, messages}, where a message is a text or {user, text}. Members and authors are
user names or ids. The bot is a member unless ``bot_member`` is false. Without channels there is ``general``. ``emoji`` maps
names of the workspace's own emoji to addresses or ``alias:other``. Ids left out are derived from the seed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stack_emu.kernel.near_words import close_matches
from stack_emu.kernel.world import World
from stack_emu.upstreams.documents import Collection
from stack_emu.upstreams.slack.records import Channel, Message, User, Workspace
from stack_emu.upstreams.slack.stamps import seeded_stamp, slack_id

_KEYS: Mapping[str, Mapping[str, type]] = {
    "seed": {"team": object, "bot": object, "users": list, "channels": list, "emoji": dict},
    "team": {"name": str, "id": str, "domain": str},
    "bot": {"name": str, "id": str},
    "user": {
        "name": str,
        "id": str,
        "real_name": str,
        "email": str,
        "tz": str,
        "is_admin": bool,
        "is_bot": bool,
        "deleted": bool,
    },
    "channel": {
        "name": str,
        "id": str,
        "topic": str,
        "purpose": str,
        "members": list,
        "messages": list,
        "private": bool,
        "archived": bool,
        "bot_member": bool,
    },
    "message": {"user": str, "text": str},
}
SEED_KEYS: Mapping[str, str] = {
    "team": "a name, or {name, id, domain}",
    "bot": "a name, or {name, id}: the user every connection acts as",
    "users": "names, or {name, id, real_name, email, is_admin, is_bot, deleted, tz}",
    "channels": "names, or {name, id, members, topic, purpose, private, archived, bot_member, messages}; "
    "a message is a text or {user, text}",
    "emoji": "names of the workspace's own emoji to addresses, or to `alias:other`",
}
"""What a seed may hold, for people."""

_WORDS = {str: "text", list: "a list", dict: "a mapping", bool: "true or false"}


@dataclass(frozen=True)
class Seed:
    """A seed in its long form, checked."""

    team: Mapping[str, Any]
    bot: Mapping[str, Any]
    users: tuple[Mapping[str, Any], ...]
    channels: tuple[Mapping[str, Any], ...]
    emoji: Mapping[str, str]


def read_seed(seed: Mapping[str, Any]) -> Seed:
    """The seed in its long form.

    Raises:
        ValueError: one sentence that says which part is wrong and what to write.
    """
    _check_keys("seed", seed, "seed")
    team = _long("team", seed.get("team") or "Acme", "name", "seed.team")
    bot = _long("bot", seed.get("bot") or "stack-bot", "name", "seed.bot")
    users = _each("user", seed.get("users") or [], "name", "seed.users")
    channels = _each("channel", seed.get("channels") or ["general"], "name", "seed.channels")
    _check_unique([*users, {"name": "stack-bot", **bot}], "seed.users")
    _check_unique(channels, "seed.channels")
    known = {str(user[key]) for user in (*users, bot) for key in ("name", "id") if key in user}
    for channel in channels:
        _check_people(channel, known)
    emoji = seed.get("emoji") or {}
    for key, value in emoji.items():
        if not isinstance(value, str):
            raise ValueError(f"seed.emoji.{key} must be text: an address, or alias: and another emoji's name.")
    return Seed(team, bot, users, channels, emoji)


def write_seed(world: World, upstream: str, seed: Seed) -> None:
    """Put the workspace, its users, channels and messages into the world's store."""

    def derived(prefix: str, subject: str) -> str:
        return slack_id(prefix, world.key_bytes(f"slack.{upstream}.{prefix}", subject))

    name = str(seed.team.get("name", "Acme"))
    domain = seed.team.get("domain") or "".join(letter for letter in name.lower() if letter.isalnum()) or "acme"
    bot = User(
        id="",
        upstream=upstream,
        user=seed.bot.get("id") or derived("U", "bot"),
        name=seed.bot.get("name", "stack-bot"),
        real_name=seed.bot.get("name", "stack-bot"),
        is_bot=True,
    )
    people = {bot.name: bot.user, bot.user: bot.user}
    _put_user(world, bot)
    for position, user in enumerate(seed.users, start=1):
        put = _put_user(world, _user(upstream, user, derived, position))
        people.update({put.name: put.user, put.user: put.user})
    workspace = Workspace(
        id=upstream,
        team=seed.team.get("id") or derived("T", "team"),
        name=name,
        domain=str(domain),
        bot_user=bot.user,
        bot_id=derived("B", "bot"),
        app_id=derived("A", "app"),
    )
    for emoji, value in seed.emoji.items():
        Collection(world.store, upstream, "emoji").put(emoji, {"value": value})
    count = 0
    for position, channel in enumerate(seed.channels):
        put_channel = world.store.put(_channel(upstream, channel, derived, people, bot.user, position))
        for message in channel.get("messages", ()):
            world.store.put(_message(world, put_channel, message, people, bot.user, count))
            count += 1
    world.store.put(replace(workspace, next_position=count + 1))


def _put_user(world: World, user: User) -> User:
    return world.store.put(replace(user, id=f"{user.upstream}/{user.user}"))


def _user(upstream: str, user: Mapping[str, Any], derived: Callable[[str, str], str], position: int) -> User:
    name = str(user["name"])
    return User(
        id="",
        upstream=upstream,
        user=user.get("id") or derived("U", name),
        name=name,
        real_name=user.get("real_name", name),
        email=user.get("email"),
        is_bot=user.get("is_bot", False),
        is_admin=user.get("is_admin", False),
        deleted=user.get("deleted", False),
        tz=user.get("tz", "Etc/UTC"),
        position=position,
    )


def _channel(
    upstream: str,
    channel: Mapping[str, Any],
    derived: Callable[[str, str], str],
    people: Mapping[str, str],
    bot: str,
    position: int,
) -> Channel:
    name = _bare(str(channel["name"]))
    number = channel.get("id") or derived("C", name)
    members = [people[str(member)] for member in channel.get("members", ())]
    if channel.get("bot_member", True):
        members.append(bot)
    return Channel(
        id=f"{upstream}/{number}",
        upstream=upstream,
        channel=number,
        name=name,
        kind="private" if channel.get("private") else "public",
        creator=members[0] if members else bot,
        members=tuple(dict.fromkeys(members)),
        topic=channel.get("topic", ""),
        purpose=channel.get("purpose", ""),
        archived=channel.get("archived", False),
        position=position,
    )


def _message(
    world: World, channel: Channel, message: Mapping[str, Any], people: Mapping[str, str], bot: str, count: int
) -> Message:
    stamp = seeded_stamp(count)
    return Message(
        id=f"{channel.id}/{stamp}",
        place=channel.id,
        upstream=channel.upstream,
        channel=channel.channel,
        ts=stamp,
        user=people[str(message["user"])] if "user" in message else bot,
        text=str(message.get("text", "")),
        position=count + 1,
        at_ms=world.now_ms(),
    )


def _each(kind: str, entries: Sequence[Any], short: str, place: str) -> tuple[Mapping[str, Any], ...]:
    found = []
    for index, entry in enumerate(entries):
        here = f"{place}[{index}]"
        item = dict(_long(kind, entry, short, here))
        if not item.get("name"):
            raise ValueError(f"{here} has no name; add name.")
        if "messages" in item:
            where = f"{here}.messages"
            item["messages"] = [
                _long("message", one, "text", f"{where}[{n}]") for n, one in enumerate(item["messages"])
            ]
        found.append(item)
    return tuple(found)


def _long(kind: str, value: Any, short: str, place: str) -> Mapping[str, Any]:
    if isinstance(value, str):
        return {short: value}
    if not isinstance(value, Mapping):
        raise ValueError(f"{place} is neither text nor an object; write its {short} or {{{', '.join(_KEYS[kind])}}}.")
    _check_keys(kind, value, place)
    return value


def _check_keys(kind: str, value: Mapping[str, Any], place: str) -> None:
    known = _KEYS[kind]
    for key, item in value.items():
        if key not in known:
            near = close_matches(str(key), known, 1)
            hint = f"did you mean {near[0]}?" if near else f"it knows {', '.join(known)}."
            raise ValueError(f"{place} has no key {key!r}; {hint}")
        if item is not None and not isinstance(item, known[key]):
            raise ValueError(f"{place}.{key} must be {_WORDS.get(known[key], 'something else')}.")


def _check_unique(items: Sequence[Mapping[str, Any]], place: str) -> None:
    for key in ("name", "id"):
        values = [_bare(str(item[key])) for item in items if item.get(key)]
        double = next((value for value in values if values.count(value) > 1), None)
        if double is not None:
            raise ValueError(f"{place} has the {key} {double!r} twice; give each its own.")


def _check_people(channel: Mapping[str, Any], known: set[str]) -> None:
    authors = [message["user"] for message in channel.get("messages", ()) if "user" in message]
    for person in (*channel.get("members", ()), *authors):
        if str(person) not in known:
            near = close_matches(str(person), sorted(known), 1)
            hint = f"did you mean {near[0]}?" if near else "add it to seed.users."
            raise ValueError(f"channel {channel['name']} names the user {person!r}, who is not in seed.users; {hint}")


def _bare(name: str) -> str:
    return name.lstrip("#")
