"""Which Slack methods are served, and which exist at Slack but are not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from stack_emu.upstreams.packs import Declined
from stack_emu.upstreams.slack import (
    bookmarks,
    channel_settings,
    chat,
    conversations,
    files,
    membership,
    people,
    pins,
    profiles,
    reactions,
    reminders,
    scheduled,
    search,
    tokens,
    usergroups,
    views,
)
from stack_emu.upstreams.slack.call import SlackCall

Handler = Callable[[SlackCall], dict[str, Any]]

METHODS: Mapping[str, Handler] = {
    "api.test": people.api_test,
    "auth.revoke": tokens.revoke,
    "auth.test": people.auth_test,
    "bookmarks.add": bookmarks.add,
    "bookmarks.edit": bookmarks.edit,
    "bookmarks.list": bookmarks.list_bookmarks,
    "bookmarks.remove": bookmarks.remove,
    "bots.info": profiles.bot_info,
    "chat.delete": chat.delete,
    "chat.deleteScheduledMessage": scheduled.delete_scheduled,
    "chat.getPermalink": chat.get_permalink,
    "chat.meMessage": chat.me_message,
    "chat.postEphemeral": chat.post_ephemeral,
    "chat.postMessage": chat.post_message,
    "chat.scheduleMessage": scheduled.schedule,
    "chat.scheduledMessages.list": scheduled.list_scheduled,
    "chat.unfurl": chat.unfurl,
    "chat.update": chat.update,
    "conversations.archive": channel_settings.archive,
    "conversations.close": conversations.close,
    "conversations.create": conversations.create,
    "conversations.history": conversations.history,
    "conversations.info": conversations.info,
    "conversations.invite": membership.invite,
    "conversations.join": membership.join,
    "conversations.kick": membership.kick,
    "conversations.leave": membership.leave,
    "conversations.list": conversations.list_channels,
    "conversations.mark": conversations.mark,
    "conversations.members": conversations.members,
    "conversations.open": conversations.open_direct,
    "conversations.rename": channel_settings.rename,
    "conversations.replies": conversations.replies,
    "conversations.setPurpose": channel_settings.set_purpose,
    "conversations.setTopic": channel_settings.set_topic,
    "conversations.unarchive": channel_settings.unarchive,
    "dnd.info": profiles.dnd_info,
    "emoji.list": people.list_emoji,
    "files.completeUploadExternal": files.complete_upload,
    "files.delete": files.delete,
    "files.getUploadURLExternal": files.get_upload_url,
    "files.info": files.info,
    "files.list": files.list_files,
    "pins.add": pins.add,
    "pins.list": pins.list_pins,
    "pins.remove": pins.remove,
    "reactions.add": reactions.add,
    "reactions.get": reactions.get,
    "reactions.list": reactions.list_reactions,
    "reactions.remove": reactions.remove,
    "reminders.add": reminders.add,
    "reminders.complete": reminders.complete,
    "reminders.delete": reminders.delete,
    "reminders.info": reminders.info,
    "reminders.list": reminders.list_reminders,
    "search.all": search.everything,
    "search.files": search.files,
    "search.messages": search.messages,
    "team.info": people.team_info,
    "usergroups.create": usergroups.create,
    "usergroups.disable": usergroups.disable,
    "usergroups.enable": usergroups.enable,
    "usergroups.list": usergroups.list_groups,
    "usergroups.update": usergroups.update,
    "usergroups.users.list": usergroups.list_users,
    "usergroups.users.update": usergroups.update_users,
    "users.conversations": conversations.of_user,
    "users.getPresence": profiles.get_presence,
    "users.info": people.user_info,
    "users.list": people.list_users,
    "users.lookupByEmail": people.lookup_by_email,
    "users.profile.get": profiles.get_profile,
    "users.profile.set": profiles.set_profile,
    "users.setPresence": profiles.set_presence,
    "views.open": views.open_view,
    "views.publish": views.publish,
    "views.push": views.push,
    "views.update": views.update,
}
"""Served methods by name."""

_SOCKETS = "it opens a WebSocket, which STACK's proxy does not carry; post to the Events API's address yourself"

DECLINED = (
    Declined(
        "admin.*, team.* beyond info", "administration of an organisation is not what an agent's bot token may do"
    ),
    Declined("apps.*, functions.*, workflows.*, dialog.*", "they manage apps or open surfaces in Slack's own client"),
    Declined("apps.connections.open", _SOCKETS, path="/api/apps.connections.open"),
    Declined("rtm.connect", _SOCKETS, path="/api/rtm.connect"),
    Declined("assistant.*, canvases.*, slackLists.*, calls.*", "agents hardly use them, and little is known of them"),
    Declined("chat.startStream, chat.appendStream, chat.stopStream", "post a message and update it instead"),
    Declined("files.upload", "Slack has withdrawn it; it answers method_deprecated, as Slack does"),
)
"""What Slack has and the pack does not."""

WITHOUT_TOKEN = frozenset({"api.test"})
"""Served methods that need no token."""

DEPRECATED = ("channels.", "groups.", "im.", "mpim.")
"""Families Slack has withdrawn; it answers ``method_deprecated`` (changelog of 2021-02-24)."""

DEPRECATED_METHODS = frozenset({"files.upload", "files.comments.delete", "rtm.start"})

_FAMILIES = ("admin", "agents", "apps", "assistant", "calls", "functions", "slackLists", "slackbot", "workflows")
"""Families of which nothing is served, so that nothing is known of their methods' names."""

_UNSERVED = frozenset(
    {
        *("auth.teams.list", "blocks.validate", "canvases.access.delete", "canvases.access.set"),
        *("canvases.create", "canvases.delete", "canvases.edit", "canvases.getContent", "canvases.sections.lookup"),
        *("chat.appendStream", "chat.startStream", "chat.stopStream", "conversations.acceptSharedInvite"),
        *("conversations.approveSharedInvite", "conversations.canvases.create", "conversations.declineSharedInvite"),
        *("conversations.externalInvitePermissions.set", "conversations.inviteShared"),
        *("conversations.listConnectInvites", "conversations.requestSharedInvite.approve"),
        *("conversations.requestSharedInvite.deny", "conversations.requestSharedInvite.list", "dialog.open"),
        *("dnd.endDnd", "dnd.endSnooze", "dnd.setSnooze", "dnd.teamInfo", "entity.presentDetails"),
        *("files.remote.add", "files.remote.info", "files.remote.list", "files.remote.remove", "files.remote.share"),
        *("files.remote.update", "files.revokePublicURL", "files.sharedPublicURL", "migration.exchange"),
        *("oauth.access", "oauth.v2.access", "oauth.v2.exchange", "openid.connect.token", "openid.connect.userInfo"),
        *("rtm.connect", "stars.add", "stars.list", "stars.remove", "team.accessLogs", "team.billableInfo"),
        *("team.billing.info", "team.externalTeams.disconnect", "team.externalTeams.list", "team.integrationLogs"),
        *("team.preferences.list", "team.profile.get", "tooling.tokens.rotate", "users.deletePhoto"),
        *("users.discoverableContacts.lookup", "users.identity", "users.setPhoto"),
    }
)
"""Methods of other families that slack_sdk 3.48's ``WebClient`` has and the pack does not serve."""


def is_deprecated(method: str) -> bool:
    """Whether Slack has withdrawn a method."""
    return method.startswith(DEPRECATED) or method in DEPRECATED_METHODS


def may_exist(method: str) -> bool:
    """Whether Slack has an unserved method, or it belongs to a family of which no names are known."""
    return method in _UNSERVED or ("." in method and method.partition(".")[0] in _FAMILIES)
