"""Relay connections: order, cursors and windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stack_emu.upstreams.linear.call import Document, LinearCall
from stack_emu.upstreams.linear.errors import invalid
from stack_emu.upstreams.linear.filters import matches

USUAL, MOST = 50, 250


def connection(call: LinearCall, kind: str, documents: Sequence[Document], given: Mapping[str, Any]) -> dict[str, Any]:
    """A page of documents.

    Args:
        call: the request.
        kind: GraphQL type of the documents.
        documents: all there are.
        given: the field's arguments: filter, orderBy, sort, includeArchived, first, after, last, before.

    Raises:
        LinearError: when the window is impossible, or a cursor names nothing in the list.
    """
    kept = [one for one in documents if given.get("includeArchived") or one.get("archivedAt") is None]
    if kind == "User" and not given.get("includeDisabled"):
        kept = [one for one in kept if one["active"]]
    if given.get("filter"):
        kept = [one for one in kept if matches(call, kind, one, given["filter"])]
    ordered = arrange(kept, given)
    page, before, after = window(ordered, given)
    return {
        "nodes": page,
        "edges": [{"cursor": one["id"], "node": one} for one in page],
        "pageInfo": {
            "hasNextPage": after,
            "hasPreviousPage": before,
            "startCursor": page[0]["id"] if page else None,
            "endCursor": page[-1]["id"] if page else None,
        },
        "totalCount": len(ordered),
    }


def arrange(documents: Sequence[Document], given: Mapping[str, Any]) -> list[Document]:
    """Newest first by ``orderBy``; then by each of ``sort``, the first of which weighs most."""
    order = given.get("orderBy") or "createdAt"
    ordered = list(documents)
    ordered.reverse()
    ordered.sort(key=lambda one: one[order], reverse=True)
    for rule in reversed(given.get("sort") or ()):
        for key, how in reversed(list(rule.items())):
            ordered = _sorted(ordered, key, how or {})
    return ordered


def _sorted(documents: list[Document], key: str, how: Mapping[str, Any]) -> list[Document]:
    known = [one for one in documents if one.get(key) is not None]
    unknown = [one for one in documents if one.get(key) is None]
    known.sort(key=lambda one: one[key], reverse=how.get("order") == "Descending")
    return [*unknown, *known] if how.get("nulls") == "first" else [*known, *unknown]


def window(ordered: list[Document], given: Mapping[str, Any]) -> tuple[list[Document], bool, bool]:
    """The asked part of a list, and whether there is more before and after it."""
    first, last = given.get("first"), given.get("last")
    if first is not None and last is not None:
        raise invalid("first and last cannot be given together")
    size: int = next((one for one in (first, last) if one is not None), USUAL)
    if not 1 <= size <= MOST:
        raise invalid(f"{'first' if last is None else 'last'} must be between 1 and {MOST}")
    start = _place(ordered, given["after"], "after") + 1 if given.get("after") else 0
    end = _place(ordered, given["before"], "before") if given.get("before") else len(ordered)
    backwards = last is not None or (first is None and given.get("before"))
    if backwards:
        start = max(start, end - size)
    else:
        end = min(end, start + size)
    return ordered[start:end], start > 0, end < len(ordered)


def _place(ordered: list[Document], cursor: str, name: str) -> int:
    for place, one in enumerate(ordered):
        if one["id"] == cursor:
            return place
    raise invalid(f"{name} is not a cursor of this list")
