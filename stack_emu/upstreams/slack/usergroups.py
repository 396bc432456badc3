"""The methods ``usergroups.*``: docs.slack.dev/reference/methods and slack_sdk 3.48 ``usergroups_*``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stack_emu.upstreams.slack.call import SlackCall, SlackError
from stack_emu.upstreams.slack.places import channel_by_id
from stack_emu.upstreams.slack.stamps import EPOCH_S, new_id


def list_groups(call: SlackCall) -> dict[str, Any]:
    """``usergroups.list``: disabled ones, users and counts when asked for."""
    call.need("usergroups:read")
    disabled, users, count = (call.flag(f"include_{name}") for name in ("disabled", "users", "count"))
    found = [one for one in call.collection("usergroups").all() if disabled or not one["disabled"]]
    return {"usergroups": [_shape(call, one, users=users, count=count) for one in found]}


def create(call: SlackCall) -> dict[str, Any]:
    """``usergroups.create``: without members yet."""
    call.need("usergroups:write")
    number = new_id(call.act, "S")
    fields = {"name": call.required("name"), "handle": "", "description": "", "channels": [], **_fields(call)}
    _need_free(call, number, fields)
    data = {"id": number, "users": [], "disabled": False, "created_by": call.bot, "updated_by": call.bot, **fields}
    return _reply(call, call.collection("usergroups").put(number, data))


def update(call: SlackCall) -> dict[str, Any]:
    """``usergroups.update``: changes what is given."""
    call.need("usergroups:write")
    group, fields = _group(call), _fields(call)
    name = call.text("name")
    if name is not None:
        fields["name"] = name
    _need_free(call, group["id"], fields)
    return _reply(call, call.collection("usergroups").change(group["id"], **fields, updated_by=call.bot))


def enable(call: SlackCall) -> dict[str, Any]:
    """``usergroups.enable``: makes a disabled group work again."""
    return _switched(call, False)


def disable(call: SlackCall) -> dict[str, Any]:
    """``usergroups.disable``: it stays, and ``include_disabled`` shows it."""
    return _switched(call, True)


def list_users(call: SlackCall) -> dict[str, Any]:
    """``usergroups.users.list``: ids of a group's members."""
    call.need("usergroups:read")
    group = _group(call)
    if group["disabled"] and not call.flag("include_disabled"):
        raise SlackError("no_such_subteam")
    return {"users": list(group["users"])}


def update_users(call: SlackCall) -> dict[str, Any]:
    """``usergroups.users.update``: the whole list of members, at least one."""
    call.need("usergroups:write")
    group, users = _group(call), list(dict.fromkeys(call.names("users")))
    if not users:
        raise SlackError("no_users_provided")
    if any(call.user(user) is None for user in users):
        raise SlackError("invalid_users")
    return _reply(call, call.collection("usergroups").change(group["id"], users=users, updated_by=call.bot))


def _switched(call: SlackCall, disabled: bool) -> dict[str, Any]:
    call.need("usergroups:write")
    return _reply(call, call.collection("usergroups").change(_group(call)["id"], disabled=disabled))


def _group(call: SlackCall) -> Mapping[str, Any]:
    found = call.collection("usergroups").get(call.required("usergroup"))
    if found is None:
        raise SlackError("no_such_subteam")
    return found


def _fields(call: SlackCall) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name in ("handle", "description"):
        value = call.text(name)
        if value is not None:
            fields[name] = value.removeprefix("@") if name == "handle" else value
    if call.raw("channels") is not None:
        fields["channels"] = [channel_by_id(call, name).channel for name in call.names("channels")]
    return fields


def _need_free(call: SlackCall, number: str, fields: Mapping[str, Any]) -> None:
    others = [one for one in call.collection("usergroups").all() if one["id"] != number]
    for name in ("name", "handle"):
        if fields.get(name) and any(one[name].lower() == fields[name].lower() for one in others):
            raise SlackError(f"{name}_already_exists")


def _reply(call: SlackCall, group: Mapping[str, Any]) -> dict[str, Any]:
    return {"usergroup": _shape(call, group, users=True, count=call.flag("include_count"))}


def _shape(call: SlackCall, group: Mapping[str, Any], *, users: bool, count: bool) -> dict[str, Any]:
    shape = {
        "id": group["id"],
        "team_id": call.workspace.team,
        "is_usergroup": True,
        "is_subteam": True,
        "name": group["name"],
        "description": group["description"],
        "handle": group["handle"],
        "is_external": False,
        "date_create": EPOCH_S,
        "date_update": EPOCH_S,
        "date_delete": EPOCH_S if group["disabled"] else 0,
        "auto_type": None,
        "auto_provision": False,
        "created_by": group["created_by"],
        "updated_by": group["updated_by"],
        "deleted_by": group["updated_by"] if group["disabled"] else None,
        "prefs": {"channels": list(group["channels"]), "groups": []},
        "channel_count": len(group["channels"]),
    }
    if users:
        shape["users"] = list(group["users"])
    if count:
        shape["user_count"] = len(group["users"])
    return shape
