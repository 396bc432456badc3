"""The methods ``users.{list, info, lookupByEmail}``, ``team.info``, ``emoji.list``, ``auth.test`` and ``api.test``."""

from __future__ import annotations

from typing import Any

from stack_emu.upstreams.documents import Collection
from stack_emu.upstreams.slack.call import SlackCall, SlackError
from stack_emu.upstreams.slack.paging import page
from stack_emu.upstreams.slack.places import people
from stack_emu.upstreams.slack.records import User
from stack_emu.upstreams.slack.shapes import user_shape
from stack_emu.upstreams.slack.stamps import EPOCH_S


def api_test(call: SlackCall) -> dict[str, Any]:
    """``api.test``: answers with what it was given; needs no token."""
    error = call.text("error")
    arguments = {name: call.raw(name) for name in call.arguments if name != "token"}
    if error is not None:
        raise SlackError(error, args=arguments)
    return {"args": arguments}


def auth_test(call: SlackCall) -> dict[str, Any]:
    """``auth.test``: who the token belongs to."""
    bot = call.user(call.bot)
    return {
        "url": f"https://{call.workspace.domain}.slack.com/",
        "team": call.workspace.name,
        "user": bot.name if bot is not None else "",
        "team_id": call.workspace.team,
        "user_id": call.bot,
        "bot_id": call.workspace.bot_id,
        "is_enterprise_install": False,
    }


def team_info(call: SlackCall) -> dict[str, Any]:
    """``team.info``: the workspace."""
    call.need("team:read")
    asked = call.text("team")
    if asked is not None and asked != call.workspace.team:
        raise SlackError("team_not_found")
    domain = call.workspace.domain
    team = {
        "id": call.workspace.team,
        "name": call.workspace.name,
        "url": f"https://{domain}.slack.com/",
        "domain": domain,
        "email_domain": "",
        "icon": {"image_default": True},
        "avatar_base_url": "https://ca.slack-edge.com/",
        "is_verified": False,
    }
    return {"team": team}


def list_emoji(call: SlackCall) -> dict[str, Any]:
    """``emoji.list``: the workspace's own, as the seed has them."""
    call.need("emoji:read")
    kept = Collection(call.store, call.upstream, "emoji")
    return {"emoji": {name: one["value"] for name, one in kept.items()}, "cache_ts": f"{EPOCH_S}.000000"}


def list_users(call: SlackCall) -> dict[str, Any]:
    """``users.list``: everybody, in the order of the seed."""
    call.need("users:read")
    shown, cursor = page(call, people(call), "user", lambda user: user.user)
    return {
        "members": [user_shape(call, user) for user in shown],
        "cache_ts": EPOCH_S,
        "response_metadata": {"next_cursor": cursor},
    }


def user_info(call: SlackCall) -> dict[str, Any]:
    """``users.info``: one user."""
    call.need("users:read")
    user = call.user(call.required("user"))
    if user is None:
        raise SlackError("user_not_found")
    return {"user": user_shape(call, user)}


def lookup_by_email(call: SlackCall) -> dict[str, Any]:
    """``users.lookupByEmail``: the user with a mail address."""
    call.need("users:read.email")
    user = next(call.store.find(User, email=call.required("email"), upstream=call.upstream), None)
    if user is None or user.deleted:
        raise SlackError("users_not_found")
    return {"user": user_shape(call, user)}
