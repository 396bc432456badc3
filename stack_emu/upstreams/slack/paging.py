"""Slack's two ways of paging: by cursor, and by number for older methods."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import TypeVar

from stack_emu.upstreams.slack.call import SlackCall, SlackError, invalid_arguments

T = TypeVar("T")
DEFAULT_LIMIT = 100
MAX_LIMIT = 1000
DEFAULT_COUNT = 100


def page(
    call: SlackCall, items: Sequence[T], kind: str, key: Callable[[T], str], default: int = DEFAULT_LIMIT
) -> tuple[list[T], str]:
    """The items of the asked-for page and the cursor of the next, which is empty on the last.

    A cursor names the item its page begins with, so that items added meanwhile do not shift it.

    Args:
        call: gives ``cursor`` and ``limit``.
        items: everything, in order.
        kind: the word in front of the key in a cursor, for example ``user``.
        key: names an item.
        default: page length without ``limit``.

    Raises:
        SlackError: ``invalid_cursor`` or ``invalid_limit``.
    """
    limit = _limit(call, default)
    start = _start(call.text("cursor"), items, kind, key)
    end = start + limit
    following = key(items[end]) if end < len(items) else ""
    return list(items[start:end]), _cursor(kind, following) if following else ""


def numbered(
    call: SlackCall, items: Sequence[T], default: int, most: int = MAX_LIMIT
) -> tuple[list[T], dict[str, int]]:
    """The items of the asked-for page and its ``paging`` object.

    Args:
        call: gives ``page``, from 1, and ``count``.
        items: everything, in order.
        default: page length without ``count``.
        most: the longest page; a longer one is cut to it.

    Raises:
        SlackError: ``invalid_arguments``.
    """
    count = call.number("count")
    number = call.number("page")
    count, number = default if count is None else count, 1 if number is None else number
    if count < 1 or number < 1:
        raise invalid_arguments(f"must be greater than 0: {'count' if count < 1 else 'page'}")
    count = min(count, most)
    pages = -(-len(items) // count)
    paging = {"count": count, "total": len(items), "page": number, "pages": pages}
    return list(items[(number - 1) * count : number * count]), paging


def _limit(call: SlackCall, default: int) -> int:
    limit = call.number("limit")
    if not limit:
        return default
    if not 0 < limit <= MAX_LIMIT:
        raise SlackError("invalid_limit")
    return limit


def _start(cursor: str | None, items: Sequence[T], kind: str, key: Callable[[T], str]) -> int:
    if cursor is None:
        return 0
    try:
        word, _, wanted = base64.b64decode(cursor, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        raise SlackError("invalid_cursor") from None
    found = next((index for index, item in enumerate(items) if key(item) == wanted), None)
    if word != kind or found is None:
        raise SlackError("invalid_cursor")
    return found


def _cursor(kind: str, key: str) -> str:
    return base64.b64encode(f"{kind}:{key}".encode()).decode()
