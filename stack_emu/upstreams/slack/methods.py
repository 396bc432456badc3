"""Which Slack methods are served, and which exist at Slack but are not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from stack_emu.upstreams.packs import Declined
from stack_emu.upstreams.slack import chat, conversations, files, people, reactions
from stack_emu.upstreams.slack.call import SlackCall

Handler = Callable[[SlackCall], dict[str, Any]]

METHODS: Mapping[str, Handler] = {
    "api.test": people.api_test,
    "auth.test": people.auth_test,
    "chat.delete": chat.delete,
    "chat.getPermalink": chat.get_permalink,
    "chat.postEphemeral": chat.post_ephemeral,
    "chat.postMessage": chat.post_message,
    "chat.update": chat.update,
    "conversations.create": conversations.create,
    "conversations.history": conversations.history,
    "conversations.info": conversations.info,
    "conversations.join": conversations.join,
    "conversations.list": conversations.list_channels,
    "conversations.members": conversations.members,
    "conversations.open": conversations.open_direct,
    "conversations.replies": conversations.replies,
    "files.completeUploadExternal": files.complete_upload,
    "files.getUploadURLExternal": files.get_upload_url,
    "files.info": files.info,
    "reactions.add": reactions.add,
    "reactions.get": reactions.get,
    "reactions.remove": reactions.remove,
    "team.info": people.team_info,
    "users.info": people.user_info,
    "users.list": people.list_users,
    "users.lookupByEmail": people.lookup_by_email,
}
"""Served methods by name."""

DECLINED = (
    Declined(
        "admin.*, team.* beyond info", "administration of an organisation is not what an agent's bot token may do"
    ),
    Declined("apps.*, functions.*, workflows.*, views.*, dialog.*", "they open surfaces in Slack's own client"),
    Declined("Socket Mode and RTM", "they are WebSockets, which STACK's proxy does not carry"),
    Declined("files.upload", "Slack has withdrawn it; it answers method_deprecated, as Slack does"),
)
"""What Slack has and the pack does not."""

WITHOUT_TOKEN = frozenset({"api.test"})
"""Served methods that need no token."""

DEPRECATED = ("channels.", "groups.", "im.", "mpim.")
"""Families Slack has withdrawn; it answers ``method_deprecated`` (changelog of 2021-02-24)."""

DEPRECATED_METHODS = frozenset({"files.upload", "files.comments.delete", "rtm.start"})

_FAMILIES = (
    *("admin", "agents", "apps", "assistant", "auth", "blocks", "bookmarks", "bots", "calls", "canvases", "chat"),
    *(
        "conversations",
        "dialog",
        "dnd",
        "emoji",
        "entity",
        "files",
        "functions",
        "migration",
        "oauth",
        "openid",
        "pins",
    ),
    *("reactions", "reminders", "search", "slackLists", "slackbot", "stars", "team", "tooling", "usergroups", "users"),
    *("views", "workflows"),
)


def is_deprecated(method: str) -> bool:
    """Whether Slack has withdrawn a method."""
    return method.startswith(DEPRECATED) or method in DEPRECATED_METHODS


def may_exist(method: str) -> bool:
    """Whether an unserved method belongs to a family that Slack has, so that calling it unknown could be wrong.

    The families are those of slack_sdk 3.47's ``WebClient``.
    """
    return method.partition(".")[0] in _FAMILIES and "." in method
