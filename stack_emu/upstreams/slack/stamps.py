"""Message time stamps and ids in Slack's forms, derived from the act.

Slack's ``ts`` is a message's identity and its instant at once. Here it is derived from the act that posts, because an
agent sees it and nothing an agent sees may depend on the wall clock or on who came first. It is built so that it
still sorts as far as order is known:

- the day is the act's causal depth counted from a fixed epoch, so that a message whose call names an earlier message (a
  reply in a thread, say) is always later than that message;
- the instant within the day, to the microsecond, is derived from the act.

Messages that know nothing of each other sort in any order, the same on every run. ``conversations.history`` and the
like list messages in the order they were posted, whatever their stamps.
"""

from __future__ import annotations

from collections.abc import Callable

from stack_emu.kernel.acts import Act
from stack_emu.kernel.ids import text_id

EPOCH_S = 1_767_225_600
"""2026-01-01T00:00:00Z: the day of seeded messages, and when everything in a workspace was created."""

_DAY_S = 86_400
_MICROSECONDS = 1_000_000
_LAST_DAY = 90_000
_ID_LENGTH = 9


def new_stamp(act: Act, taken: Callable[[str], bool]) -> str:
    """A message time stamp derived from the act.

    Args:
        act: the act that posts.
        taken: whether the conversation has a message with this stamp; then the next derived one is tried.
    """
    day = EPOCH_S + min(act.depth, _LAST_DAY) * _DAY_S
    while True:
        instant = day * _MICROSECONDS + act.new_number("slack.ts", _DAY_S * _MICROSECONDS)
        stamp = format_stamp(instant)
        if not taken(stamp):
            act.minted.append(stamp)
            return stamp


def seeded_stamp(number: int) -> str:
    """The stamp of the ``number``-th seeded message: one a minute from the epoch on."""
    return format_stamp((EPOCH_S + 60 * number) * _MICROSECONDS)


def format_stamp(microseconds: int) -> str:
    """Slack's spelling of an instant: seconds, a dot and six digits."""
    seconds, rest = divmod(microseconds, _MICROSECONDS)
    return f"{seconds}.{rest:06d}"


def new_id(act: Act, prefix: str) -> str:
    """An id in Slack's form, such as ``C0ABCDEFGHI``, derived from the act."""
    value = slack_id(prefix, act.new_bytes(f"slack.{prefix}"))
    act.minted.append(value)
    return value


def slack_id(prefix: str, raw: bytes) -> str:
    """Derived bytes as an id in Slack's form: the prefix, a zero and nine capitals and digits."""
    return f"{prefix}0{text_id(raw, _ID_LENGTH).upper()}"
