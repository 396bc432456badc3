"""Pages of a list: `limit`, `after_id` and `before_id`.

Source: anthropic 2.14.0 `pagination.SyncPage`, `resources/models.py` and `resources/messages/batches.py`. That both
cursors at once and a cursor that names nothing are refused is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stack_emu.surfaces.messages_errors import invalid

_MOST = 1_000
_USUAL = "20"


def page(
    query: Mapping[str, str], names: Sequence[str], item: Callable[[str], dict[str, Any]], kind: str
) -> dict[str, Any]:
    """One page of a list.

    Args:
        query: the request's query.
        names: the ids of everything there is, in the list's order.
        item: an entry by its id.
        kind: what the entries are, for errors.

    Raises:
        ApiError: 400 when the limit is not between 1 and 1000, or a cursor names nothing.
    """
    limit = query.get("limit", _USUAL)
    if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit) <= _MOST:
        raise invalid(f"limit: must be a whole number from 1 to {_MOST}.")
    after, before = query.get("after_id"), query.get("before_id")
    if after and before:
        raise invalid("after_id: a page begins after an entry or ends before one; leave after_id or before_id out.")
    for name, cursor in (("after_id", after), ("before_id", before)):
        if cursor and cursor not in names:
            raise invalid(f"{name}: there is no {kind} {cursor}; use the last_id or first_id of a page.")
    if before:
        rest = names[: names.index(before)]
        shown = rest[-int(limit) :]
    else:
        rest = names[names.index(after) + 1 :] if after else names
        shown = rest[: int(limit)]
    return {
        "data": [item(name) for name in shown],
        "has_more": len(rest) > len(shown),
        "first_id": shown[0] if shown else None,
        "last_id": shown[-1] if shown else None,
    }
