"""Slack's objects as its API shows them.

Field names as in the examples of docs.slack.dev (conversation, user, message and file objects); fields that depend on
the wall clock hold the workspace's fixed epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stack_emu.upstreams.slack.call import SlackCall
from stack_emu.upstreams.slack.records import Channel, File, Message, User
from stack_emu.upstreams.slack.stamps import EPOCH_S

_TYPES = {
    "txt": ("text/plain", "text"),
    "log": ("text/plain", "text"),
    "md": ("text/markdown", "markdown"),
    "csv": ("text/csv", "csv"),
    "json": ("application/json", "json"),
    "html": ("text/html", "html"),
    "py": ("text/x-python", "python"),
    "pdf": ("application/pdf", "pdf"),
    "zip": ("application/zip", "zip"),
    "png": ("image/png", "png"),
    "gif": ("image/gif", "gif"),
    "jpg": ("image/jpeg", "jpg"),
    "jpeg": ("image/jpeg", "jpg"),
}


def channel_shape(call: SlackCall, channel: Channel) -> dict[str, Any]:
    """A conversation object."""
    if channel.kind == "im":
        return _im_shape(call, channel)
    member = call.bot in channel.members
    shape = {
        "id": channel.channel,
        "name": channel.name,
        "name_normalized": channel.name,
        "is_channel": channel.kind == "public",
        "is_group": channel.kind == "private",
        "is_im": False,
        "is_mpim": channel.kind == "mpim",
        "is_private": channel.kind != "public",
        "is_archived": channel.archived,
        "is_general": channel.name == "general",
        "is_shared": False,
        "is_ext_shared": False,
        "is_org_shared": False,
        "is_pending_ext_shared": False,
        "pending_shared": [],
        "is_member": member,
        "created": EPOCH_S,
        "updated": EPOCH_S * 1000,
        "creator": channel.creator,
        "unlinked": 0,
        "context_team_id": call.workspace.team,
        "shared_team_ids": [call.workspace.team],
        "previous_names": list(channel.previous_names),
        "topic": _dated(channel.topic, channel.creator),
        "purpose": _dated(channel.purpose, channel.creator),
        "priority": 0,
    }
    if member:
        shape["last_read"] = channel.last_read
    return shape


def user_shape(call: SlackCall, user: User) -> dict[str, Any]:
    """A user object; the mail address needs the scope ``users:read.email``."""
    return {
        "id": user.user,
        "team_id": call.workspace.team,
        "name": user.name,
        "deleted": user.deleted,
        "real_name": user.real_name,
        "tz": user.tz,
        "tz_label": "Coordinated Universal Time" if user.tz == "Etc/UTC" else user.tz,
        "tz_offset": 0,
        "profile": profile_shape(call, user),
        "is_admin": user.is_admin,
        "is_owner": False,
        "is_primary_owner": False,
        "is_restricted": False,
        "is_ultra_restricted": False,
        "is_bot": user.is_bot,
        "is_app_user": False,
        "updated": EPOCH_S,
    }


def profile_shape(call: SlackCall, user: User) -> dict[str, Any]:
    """A user's profile; the mail address needs the scope ``users:read.email``."""
    display = user.profile.get("display_name", user.name)
    profile = {
        "title": "",
        "phone": "",
        "skype": "",
        "first_name": user.real_name.partition(" ")[0],
        "last_name": user.real_name.partition(" ")[2],
        "status_text": "",
        "status_emoji": "",
        "status_expiration": 0,
        "team": call.workspace.team,
        **user.profile,
        "real_name": user.real_name,
        "real_name_normalized": user.real_name,
        "display_name": display,
        "display_name_normalized": display,
    }
    if user.email is not None and call.has("users:read.email"):
        profile["email"] = user.email
    return profile


def message_shape(call: SlackCall, message: Message, replies: Sequence[Message] = ()) -> dict[str, Any]:
    """A message object.

    Args:
        call: the call it is shown to.
        message: the message.
        replies: its replies in posting order, for the counts that a thread's first message shows.
    """
    shape: dict[str, Any] = {
        "type": "message",
        "user": message.user,
        "text": message.text,
        "ts": message.ts,
        "team": call.workspace.team,
    }
    if message.user == call.bot:
        shape.update(bot_fields(call))
    shape.update(message.extra)
    if message.files:
        shape["files"] = [file_shape(call, file) for file in _files(call, message)]
    if message.edited_ts is not None:
        shape["edited"] = {"user": message.edited_by, "ts": message.edited_ts}
    if message.reactions:
        shape["reactions"] = [
            {"name": name, "users": list(users), "count": len(users)} for name, users in message.reactions
        ]
    if message.broadcast:
        shape["subtype"] = "thread_broadcast"
    return {**shape, **_thread_fields(call, message, replies)}


def bot_fields(call: SlackCall) -> dict[str, Any]:
    """What a message of the token's user says about the bot."""
    ids = {"bot_id": call.workspace.bot_id, "app_id": call.workspace.app_id}
    return {**ids, "bot_profile": bot_shape(call)}


def file_shape(call: SlackCall, file: File) -> dict[str, Any]:
    """A file object."""
    mimetype, filetype = _TYPES.get(file.name.rpartition(".")[2].lower(), ("application/octet-stream", "binary"))
    base = f"https://{call.workspace.domain}.slack.com/files/{file.user}/{file.file}"
    private = f"https://files.slack.com/files-pri/{call.workspace.team}-{file.file}"
    return {
        "id": file.file,
        "created": EPOCH_S,
        "timestamp": EPOCH_S,
        "name": file.name,
        "title": file.title,
        "mimetype": mimetype,
        "filetype": filetype,
        "pretty_type": filetype.upper(),
        "user": file.user,
        "user_team": call.workspace.team,
        "editable": False,
        "size": file.size,
        "mode": "hosted",
        "is_external": False,
        "external_type": "",
        "is_public": bool(file.channels),
        "public_url_shared": False,
        "display_as_bot": False,
        "username": "",
        "url_private": f"{private}/{file.name}",
        "url_private_download": f"{private}/download/{file.name}",
        "permalink": f"{base}/{file.name}",
        "channels": [channel for channel in file.channels if channel.startswith("C")],
        "groups": [channel for channel in file.channels if channel.startswith("G")],
        "ims": [channel for channel in file.channels if channel.startswith("D")],
        "comments_count": 0,
    }


def _im_shape(call: SlackCall, channel: Channel) -> dict[str, Any]:
    return {
        "id": channel.channel,
        "created": EPOCH_S,
        "is_archived": channel.archived,
        "is_im": True,
        "is_org_shared": False,
        "context_team_id": call.workspace.team,
        "updated": EPOCH_S * 1000,
        "user": next((user for user in channel.members if user != call.bot), call.bot),
        "is_user_deleted": False,
        "priority": 0,
    }


def _thread_fields(call: SlackCall, message: Message, replies: Sequence[Message]) -> dict[str, Any]:
    if message.thread_ts is not None:
        parent = call.store.get(Message, f"{message.place}/{message.thread_ts}")
        found = {"parent_user_id": parent.user} if parent is not None else {}
        return {"thread_ts": message.thread_ts, **found}
    if not replies:
        return {}
    users = list(dict.fromkeys(reply.user for reply in replies))
    return {
        "thread_ts": message.ts,
        "reply_count": len(replies),
        "reply_users_count": len(users),
        "reply_users": users,
        "latest_reply": replies[-1].ts,
        "is_locked": False,
        "subscribed": False,
    }


def _files(call: SlackCall, message: Message) -> list[File]:
    found = (call.store.get(File, f"{call.upstream}/{name}") for name in message.files)
    return [file for file in found if file is not None]


def bot_shape(call: SlackCall) -> dict[str, Any]:
    """The bot's profile."""
    bot = call.user(call.bot)
    return {
        "id": call.workspace.bot_id,
        "app_id": call.workspace.app_id,
        "name": bot.name if bot is not None else "",
        "icons": {},
        "deleted": False,
        "updated": EPOCH_S,
        "team_id": call.workspace.team,
    }


def _dated(value: str, creator: str) -> dict[str, Any]:
    return {"value": value, "creator": creator if value else "", "last_set": EPOCH_S if value else 0}
