"""The methods ``views.*``: docs.slack.dev/reference/methods and slack_sdk 3.48 ``views_*``.

Views are kept and can be read by tests; nobody fills them in. Trigger ids come with interactions, which this fake does
not send: every well-formed one is taken, once. A view is pushed onto the one that was opened last in the caller's lane.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from stack_emu.kernel.ids import text_id
from stack_emu.upstreams.slack.call import SlackCall, SlackError, invalid_arguments
from stack_emu.upstreams.slack.stamps import EPOCH_S, new_id

_TRIGGER = re.compile(r"\d+\.\d+\.[0-9a-zA-Z]+")
_MAX_BYTES = 250_000
_MAX_BLOCKS = 100
_MAX_STACK = 3
_MAX_TITLE = 24


def open_view(call: SlackCall) -> dict[str, Any]:
    """``views.open``: a modal, for a trigger id of the form ``1.2.abc`` that was not used yet."""
    view = _view(call, "modal")
    _exchange(call)
    return {"view": _shape(call, _put(call, view, new_id(call.act, "V"), stack=1))}


def push(call: SlackCall) -> dict[str, Any]:
    """``views.push``: onto the modal opened last in this lane; three at most."""
    view = _view(call, "modal")
    _exchange(call)
    mine = [one for one in call.collection("views").all() if one["stack"] and one["lane"] == call.act.lane]
    if not mine:
        raise SlackError("not_found")
    below = mine[-1]
    if below["stack"] >= _MAX_STACK:
        raise SlackError("push_limit_reached")
    number = new_id(call.act, "V")
    put = _put(call, view, number, stack=below["stack"] + 1, root=below["root"], previous=below["id"])
    return {"view": _shape(call, put)}


def publish(call: SlackCall) -> dict[str, Any]:
    """``views.publish``: a user's home; a new one replaces it."""
    user = call.required("user_id")
    if call.user(user) is None:
        raise SlackError("user_not_found")
    view = _view(call, "home")
    known = next((one for one in call.collection("views").all() if one["home_of"] == user), None)
    _need_hash(call, known)
    number = known["id"] if known is not None else new_id(call.act, "V")
    return {"view": _shape(call, _put(call, view, number, home_of=user))}


def update(call: SlackCall) -> dict[str, Any]:
    """``views.update``: by ``view_id`` or ``external_id``."""
    number, external = call.text("view_id"), call.text("external_id")
    if number is None and external is None:
        raise invalid_arguments("missing required field: view_id")
    everything = call.collection("views").all()
    matching = (one for one in everything if one["id"] == number or (external and _external(one) == external))
    known = next(matching, None)
    if known is None:
        raise SlackError("not_found")
    _need_hash(call, known)
    view = _view(call, known["view"]["type"])
    kept = {name: known[name] for name in ("stack", "root", "previous", "home_of", "lane")}
    return {"view": _shape(call, _put(call, view, known["id"], **kept))}


def _view(call: SlackCall, kind: str) -> dict[str, Any]:
    view = call.mapping("view", "invalid_arguments")
    if view is None:
        raise invalid_arguments("missing required field: view")
    if len(json.dumps(view)) > _MAX_BYTES:
        raise SlackError("view_too_large")
    if view.get("type") != kind:
        raise invalid_arguments(f"must be {kind} [json-pointer:/view/type]")
    blocks = view.get("blocks")
    if not isinstance(blocks, list):
        raise invalid_arguments("missing required field: blocks [json-pointer:/view]")
    if len(blocks) > _MAX_BLOCKS:
        raise invalid_arguments(f"no more than {_MAX_BLOCKS} items allowed [json-pointer:/view/blocks]")
    title = view.get("title")
    if kind == "modal" and not (isinstance(title, dict) and title.get("text")):
        raise invalid_arguments("missing required field: title [json-pointer:/view]")
    if kind == "modal" and isinstance(title, dict) and len(str(title["text"])) > _MAX_TITLE:
        raise invalid_arguments(f"must be less than {_MAX_TITLE + 1} characters [json-pointer:/view/title/text]")
    return view


def _exchange(call: SlackCall) -> None:
    trigger = call.text("trigger_id") or call.text("interactivity_pointer")
    if trigger is None:
        raise invalid_arguments("missing required field: trigger_id")
    if not _TRIGGER.fullmatch(trigger):
        raise SlackError("invalid_trigger_id")
    used = call.collection("triggers")
    if used.get(trigger) is not None:
        raise SlackError("exchanged_trigger_id")
    used.put(trigger, {})


def _need_hash(call: SlackCall, known: Mapping[str, Any] | None) -> None:
    given = call.text("hash")
    if given is not None and (known is None or given != known["hash"]):
        raise SlackError("hash_conflict")


def _put(
    call: SlackCall,
    view: Mapping[str, Any],
    number: str,
    *,
    stack: int = 0,
    root: str | None = None,
    previous: str | None = None,
    home_of: str | None = None,
    lane: str | None = None,
) -> Mapping[str, Any]:
    kept = call.collection("views")
    external = view.get("external_id")
    if external and any(one["id"] != number and _external(one) == external for one in kept.all()):
        raise SlackError("duplicate_external_id")
    data = {
        "id": number,
        "view": view,
        "stack": stack,
        "root": root or number,
        "previous": previous,
        "home_of": home_of,
        "lane": lane or call.act.lane,
        "hash": f"{EPOCH_S}.{text_id(call.act.new_bytes('slack.view'), 8)}",
    }
    return kept.put(number, data)


def _external(kept: Mapping[str, Any]) -> str | None:
    external: str | None = kept["view"].get("external_id")
    return external


def _shape(call: SlackCall, kept: Mapping[str, Any]) -> dict[str, Any]:
    view = kept["view"]
    return {
        "id": kept["id"],
        "team_id": call.workspace.team,
        "type": view["type"],
        "blocks": view["blocks"],
        "private_metadata": view.get("private_metadata", ""),
        "callback_id": view.get("callback_id", ""),
        "state": {"values": {}},
        "hash": kept["hash"],
        "title": view.get("title"),
        "clear_on_close": view.get("clear_on_close", False),
        "notify_on_close": view.get("notify_on_close", False),
        "close": view.get("close"),
        "submit": view.get("submit"),
        "previous_view_id": kept["previous"],
        "root_view_id": kept["root"],
        "app_id": call.workspace.app_id,
        "external_id": view.get("external_id", ""),
        "app_installed_team_id": call.workspace.team,
        "bot_id": call.workspace.bot_id,
    }
