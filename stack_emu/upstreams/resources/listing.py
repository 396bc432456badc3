"""Lists of things: filtered by field, searched, sorted and cut into pages."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from stack_emu.upstreams.pack_calls import RestCall
from stack_emu.upstreams.resources.settings import Settings

_MOST = 1000
_RESERVED = frozenset({"page", "per_page", "offset", "limit", "cursor", "sort", "q"})


def listed(call: RestCall, settings: Settings, things: Sequence[Mapping[str, Any]]) -> Any:
    """The page that a call asks for, with headers that say where further ones are.

    ``?state=open`` and ``?state=open,closed`` filter by a field, ``?q=`` searches all text, ``?sort=-created_at,title``
    sorts; without it, what was made first comes first.
    """
    fields = {name for name, _ in call.request.query if name not in _RESERVED}
    wanted = {name: (call.query(name) or "").split(",") for name in fields if any(name in thing for thing in things)}
    text = (call.query("q") or "").lower()
    found = [
        thing
        for thing in things
        if all(_spelled(thing.get(name)) in values for name, values in wanted.items()) and text in _words(thing)
    ]
    for name in reversed((call.query("sort") or "").split(",")):
        key = name.lstrip("-")
        if key:
            found.sort(key=lambda thing: _order(thing.get(key)), reverse=name.startswith("-"))
    page, more = _page(call, settings, found)
    call.headers["X-Total-Count"] = str(len(found))
    return page if settings.envelope is None else {settings.envelope: page, "total": len(found), **more}


def _page(
    call: RestCall, settings: Settings, found: Sequence[Mapping[str, Any]]
) -> tuple[list[Mapping[str, Any]], dict[str, Any]]:
    if settings.paging == "page":
        number, size = _count(call, "page", 1), _count(call, "per_page", settings.page_size)
        start = (number - 1) * size
        last = max(1, -(-len(found) // size))
        _link(call, {"next": number + 1 if number < last else None, "prev": number - 1 if number > 1 else None})
        return list(found[start : start + size]), {"page": number, "per_page": size}
    if settings.paging == "offset":
        start, size = _count(call, "offset", 0), _count(call, "limit", settings.page_size)
        return list(found[start : start + size]), {"offset": start, "limit": size}
    size = _count(call, "limit", settings.page_size)
    start = _after(call.query("cursor"), found)
    page = list(found[start : start + size])
    following = _cursor(page[-1]) if start + size < len(found) and page else None
    if following is not None:
        call.headers["X-Next-Cursor"] = following
    return page, {"next_cursor": following}


def _link(call: RestCall, pages: Mapping[str, int | None]) -> None:
    links = []
    for rel, number in pages.items():
        if number is not None:
            query = urlencode({**call.request.query_map, "page": str(number)})
            links.append(f'<{call.request.url}?{query}>; rel="{rel}"')
    if links:
        call.headers["Link"] = ", ".join(links)


def _count(call: RestCall, name: str, default: int) -> int:
    text = call.query(name)
    if text is None or not text.isdecimal():
        return default
    return min(max(int(text), 0 if name == "offset" else 1), _MOST if name != "page" else 10**6)


def _cursor(thing: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(str(thing["id"]).encode()).decode().rstrip("=")


def _after(cursor: str | None, found: Sequence[Mapping[str, Any]]) -> int:
    """Where a page begins that comes after a cursor; a cursor of something that is gone begins at the end."""
    if cursor is None:
        return 0
    return next((number + 1 for number, thing in enumerate(found) if _cursor(thing) == cursor), len(found))


def _spelled(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else str(value)


def _words(thing: Mapping[str, Any]) -> str:
    return " ".join(value for value in thing.values() if isinstance(value, str)).lower()


def _order(value: Any) -> tuple[int, Any]:
    if value is None:
        return (2, "")
    return (0, value) if isinstance(value, (int, float)) else (1, str(value))
