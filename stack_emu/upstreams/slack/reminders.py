"""The methods ``reminders.*``: docs.slack.dev/reference/methods and slack_sdk 3.48 ``reminders_*``.

Reminders are kept; nobody is reminded. Slack wants a user's token for them, here every token will do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from stack_emu.upstreams.slack.call import SlackCall, SlackError
from stack_emu.upstreams.slack.stamps import new_id

_DAY_S = 86_400
_FURTHEST_S = 5 * 365 * _DAY_S
_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": _DAY_S, "week": 7 * _DAY_S}
_AHEAD = re.compile(r"in (an?|\d{1,6}) (second|minute|hour|day|week)s?", re.IGNORECASE)
_FREQUENCIES = ("daily", "weekly", "monthly", "yearly")


def add(call: SlackCall) -> dict[str, Any]:
    """``reminders.add``: ``time`` is an instant, seconds up to a day from now, ``in 15 minutes`` or ``tomorrow``."""
    call.need("reminders:write")
    text, time = call.required("text"), _time(call)
    user = call.text("user") or call.bot
    if call.user(user) is None:
        raise SlackError("user_not_found")
    if user != call.bot:
        raise SlackError("cannot_add_others")
    recurrence = call.mapping("recurrence", "invalid_arguments")
    if recurrence is not None and recurrence.get("frequency") not in _FREQUENCIES:
        raise SlackError("cannot_parse")
    number = new_id(call.act, "Rm")
    data = {"id": number, "text": text, "time": time, "complete_ts": 0, "recurrence": recurrence, "user": user}
    return {"reminder": _shape(call.collection("reminders").put(number, data))}


def list_reminders(call: SlackCall) -> dict[str, Any]:
    """``reminders.list``: oldest first."""
    call.need("reminders:read")
    return {"reminders": [_shape(one) for one in call.collection("reminders").all()]}


def info(call: SlackCall) -> dict[str, Any]:
    """``reminders.info``: one reminder."""
    call.need("reminders:read")
    return {"reminder": _shape(_reminder(call))}


def complete(call: SlackCall) -> dict[str, Any]:
    """``reminders.complete``: not those that recur."""
    call.need("reminders:write")
    reminder = _reminder(call)
    if reminder["recurrence"] is not None:
        raise SlackError("cannot_complete_recurring")
    call.collection("reminders").change(reminder["id"], complete_ts=call.now_s)
    return {}


def delete(call: SlackCall) -> dict[str, Any]:
    """``reminders.delete``: forgets a reminder."""
    call.need("reminders:write")
    call.collection("reminders").delete(_reminder(call)["id"])
    return {}


def _reminder(call: SlackCall) -> Mapping[str, Any]:
    found = call.collection("reminders").get(call.required("reminder"))
    if found is None:
        raise SlackError("not_found")
    return found


def _time(call: SlackCall) -> int:
    given = call.required("time").strip()
    if given.isdecimal():
        return _instant(call, int(given))
    if given.lower() == "tomorrow":
        return call.now_s + _DAY_S
    ahead = _AHEAD.fullmatch(given)
    if ahead is None:
        raise SlackError("cannot_parse")
    number = int(ahead[1]) if ahead[1].isdecimal() else 1
    return _instant(call, call.now_s + number * _UNITS[ahead[2].lower()])


def _instant(call: SlackCall, given: int) -> int:
    time = call.now_s + given if given <= _DAY_S else given
    if time < call.now_s:
        raise SlackError("cannot_parse")
    if time > call.now_s + _FURTHEST_S:
        raise SlackError("cannot_parse")
    return time


def _shape(reminder: Mapping[str, Any]) -> dict[str, Any]:
    shape = {
        "id": reminder["id"],
        "creator": reminder["user"],
        "user": reminder["user"],
        "text": reminder["text"],
        "recurring": reminder["recurrence"] is not None,
    }
    if reminder["recurrence"] is not None:
        return {**shape, "recurrence": reminder["recurrence"]}
    return {**shape, "time": reminder["time"], "complete_ts": reminder["complete_ts"]}
