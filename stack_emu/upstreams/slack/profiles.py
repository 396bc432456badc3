"""What people say about themselves: ``users.profile.*``, presence, ``dnd.info`` and ``bots.info``.

docs.slack.dev/reference/methods and slack_sdk 3.48.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from stack_emu.upstreams.slack.call import SlackCall, SlackError
from stack_emu.upstreams.slack.records import User
from stack_emu.upstreams.slack.shapes import bot_shape, profile_shape

_FIELDS = (
    *("display_name", "email", "fields", "first_name", "last_name", "phone", "pronouns", "real_name", "skype"),
    *("status_emoji", "status_expiration", "status_text", "title"),
)
_MAX_STATUS = 100


def get_profile(call: SlackCall) -> dict[str, Any]:
    """``users.profile.get``: the token's user's own when ``user`` is left out."""
    call.need("users.profile:read")
    return {"profile": profile_shape(call, _user(call, call.text("user")))}


def set_profile(call: SlackCall) -> dict[str, Any]:
    """``users.profile.set``: the token's user's own, as ``profile`` or as ``name`` and ``value``."""
    call.need("users.profile:write")
    user = _user(call, call.text("user"))
    if user.user != call.bot:
        raise SlackError("not_admin")
    given = call.mapping("profile", "invalid_profile")
    if given is None:
        given = {call.required("name"): call.text("value") or ""}
    if any(name not in _FIELDS for name in given):
        raise SlackError("profile_set_failed")
    if len(str(given.get("status_text", ""))) > _MAX_STATUS:
        raise SlackError("too_long")
    first, last = (str(given.get(name, "")) for name in ("first_name", "last_name"))
    real = str(given.get("real_name") or f"{first} {last}".strip() or user.real_name)
    email = given.get("email", user.email)
    kept = {name: value for name, value in given.items() if name not in ("real_name", "email")}
    changed = call.store.put(replace(user, real_name=real, email=email, profile={**user.profile, **kept}))
    return {"username": changed.name, "profile": profile_shape(call, changed)}


def get_presence(call: SlackCall) -> dict[str, Any]:
    """``users.getPresence``: everybody is active who was not set to be away; more is told to oneself only."""
    call.need("users:read")
    user = _user(call, call.text("user"))
    presence = "away" if user.away or user.deleted else "active"
    if user.user != call.bot:
        return {"presence": presence}
    online = presence == "active"
    return {
        "presence": presence,
        "online": online,
        "auto_away": False,
        "manual_away": user.away,
        "connection_count": int(online),
    }


def set_presence(call: SlackCall) -> dict[str, Any]:
    """``users.setPresence``: ``auto`` or ``away``."""
    call.need("users:write")
    presence = call.text("presence")
    if presence not in ("auto", "away"):
        raise SlackError("invalid_presence")
    call.store.put(replace(_user(call, None), away=presence == "away"))
    return {}


def dnd_info(call: SlackCall) -> dict[str, Any]:
    """``dnd.info``: nobody has switched notifications off."""
    call.need("dnd:read")
    user = _user(call, call.text("user"))
    off = {"dnd_enabled": False, "next_dnd_start_ts": 1, "next_dnd_end_ts": 1}
    return {**off, "snooze_enabled": False} if user.user == call.bot else off


def bot_info(call: SlackCall) -> dict[str, Any]:
    """``bots.info``: of the workspace's one bot."""
    call.need("users:read")
    if call.text("bot") != call.workspace.bot_id:
        raise SlackError("bot_not_found")
    shape = bot_shape(call)
    del shape["team_id"]
    return {"bot": {**shape, "user_id": call.bot}}


def _user(call: SlackCall, given: str | None) -> User:
    found = call.user(given or call.bot)
    if found is None:
        raise SlackError("user_not_found")
    return found
