"""Lists of things: filtered, cut into the pages that the document's parameters ask for, in the envelope it declares."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from stack_emu.upstreams.openapi.checking import Checked, types_of
from stack_emu.upstreams.openapi.document import Operation, Parameter
from stack_emu.upstreams.openapi.schemas import Schemas
from stack_emu.upstreams.openapi.values import folded
from stack_emu.upstreams.requests import UpstreamRequest

DEFAULT_SIZE = 20
"""How many things a page has when neither the client nor the document says."""

_SIZES = frozenset(
    {
        "limit",
        "perpage",
        "pagesize",
        "size",
        "maxresults",
        "maxitems",
        "first",
        "take",
        "top",
        "resultsperpage",
        "count",
    }
)
_OFFSETS = frozenset({"offset", "skip", "start", "startindex"})
_PAGES = frozenset({"page", "pagenumber", "pageno", "pageindex"})
_CURSORS = frozenset(
    {
        "cursor",
        "pagetoken",
        "after",
        "startingafter",
        "nexttoken",
        "token",
        "continuation",
        "continuationtoken",
        "startafter",
    }
)
_TOTALS = frozenset(
    {"total", "totalcount", "totalitems", "totalresults", "totalelements", "count", "xtotalcount", "xtotal"}
)
_MORE = frozenset({"hasmore", "hasnext", "hasnextpage", "more", "morepages", "incomplete"})
_NEXT = frozenset(
    {
        "next",
        "nextcursor",
        "nextpagetoken",
        "nexttoken",
        "nextpage",
        "nexturl",
        "nextlink",
        "nextoffset",
        "cursor",
        "endcursor",
    }
)
_SIZE_SHOWN = _SIZES - {"count", "first", "top"}
_GROUPS = frozenset({"meta", "metadata", "pagination", "paging", "pageinfo", "page", "links"})


@dataclass(frozen=True)
class Page:
    """One page of a list.

    Args:
        keys: the keys of the things on it, in order.
        total: how many things there are on all pages.
        offset: how many come before it.
        size: how many it could have.
        number: its number, counted as the document counts.
        following: the value of the paging parameter for the next page; None on the last.
        parameter: that parameter's name; None when the document has none.
    """

    keys: Sequence[str]
    total: int
    offset: int
    size: int
    number: int
    following: str | None
    parameter: str | None


def page_of(schemas: Schemas, operation: Operation, checked: Checked, keys: Sequence[str]) -> Page:
    """The page that a call asks for.

    Args:
        schemas: of requests.
        operation: its parameters say how it is asked.
        checked: the values of the parameters.
        keys: the keys of everything there is, in order.
    """
    size_by, offset_by = _paging(operation, _SIZES), _paging(operation, _OFFSETS)
    page_by, cursor_by = _paging(operation, _PAGES), _paging(operation, _CURSORS)
    paged = [one for one in (size_by, offset_by, page_by, cursor_by) if one is not None]
    size = max(_value(schemas, size_by, checked, DEFAULT_SIZE if paged else len(keys)), 0)
    base = _first_page(schemas, page_by)
    number, offset = base, 0
    if cursor_by is not None and checked.query(cursor_by.name):
        offset = _after(str(checked.query(cursor_by.name)), keys)
    elif offset_by is not None:
        offset = max(_value(schemas, offset_by, checked, 0), 0)
    elif page_by is not None:
        number = max(_value(schemas, page_by, checked, base), base)
        offset = (number - base) * size
    shown = keys[offset : offset + size]
    following = None
    if shown and offset + size < len(keys):
        if cursor_by is not None:
            following = _cursor(shown[-1])
        elif page_by is not None or offset_by is not None:
            following = str(number + 1 if page_by is not None else offset + size)
    by = cursor_by or page_by or offset_by
    return Page(shown, len(keys), offset, size, number, following, by.name if by is not None else None)


def filters(operation: Operation, checked: Checked, properties: Sequence[str]) -> dict[str, list[str]]:
    """The declared query parameters that are named like a field of the things, with the values that pass."""
    found: dict[str, list[str]] = {}
    for parameter in operation.parameters:
        value = checked.query(parameter.name) if parameter.where == "query" else None
        if value is None or not isinstance(value, (str, int, float, bool, list)):
            continue
        name = next((one for one in properties if folded(one) == folded(parameter.name)), None)
        if name is not None and not _is_paging(parameter):
            found[name] = [spelled(one) for one in (value if isinstance(value, list) else [value])]
    return found


def read_by_lists(operation: Operation, properties: Sequence[str]) -> list[str]:
    """The query parameters that lists act on: those of paging and those named like a field."""
    known = {folded(name) for name in properties}
    queries = [one for one in operation.parameters if one.where == "query"]
    return [one.name for one in queries if _is_paging(one) or folded(one.name) in known]


def passes(thing: Mapping[str, Any], wanted: Mapping[str, Sequence[str]]) -> bool:
    """Whether a thing passes filters; of a field that is a list, one value suffices."""
    for name, values in wanted.items():
        value = thing.get(name)
        have = [spelled(one) for one in value] if isinstance(value, list) else [spelled(value)]
        if not set(have) & set(values):
            return False
    return True


def around(schemas: Schemas, schema: Any, field: str, page: Page, request: UpstreamRequest) -> dict[str, Any]:
    """What an envelope says of a page beside the list itself, as far as its properties are known by name.

    Args:
        schemas: of replies.
        schema: the envelope's.
        field: the property that is the list.
        page: the page.
        request: what was asked, for links.
    """
    found: dict[str, Any] = {}
    for name, inner in (schemas.merged(schema).get("properties") or {}).items():
        if name == field:
            continue
        whole = schemas.merged(inner)
        if folded(name) in _GROUPS and "properties" in whole:
            found[name] = around(schemas, inner, field, page, request)
            continue
        numeric = "integer" in types_of(schemas, inner)
        for value in _facts(folded(name), page, request):
            fitting = int(value) if numeric and isinstance(value, str) and value.isdecimal() else value
            if schemas.valid(inner, fitting):
                found[name] = fitting
                break
    return found


def headers_of(names: Sequence[str], page: Page, request: UpstreamRequest) -> dict[str, str]:
    """The headers among those a document declares that say where a page stands."""
    found: dict[str, str] = {}
    for name in names:
        if folded(name) in _TOTALS:
            found[name] = str(page.total)
        elif folded(name) == "link" and page.following is not None:
            found[name] = f'<{_link(page, request)}>; rel="next"'
        elif folded(name).removeprefix("x") in _NEXT and page.following is not None:
            found[name] = page.following
    return found


def spelled(value: Any) -> str:
    """A scalar as a query writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else str(value)


def _facts(name: str, page: Page, request: UpstreamRequest) -> list[Any]:
    """Values that a property of this name may have, the likeliest first."""
    if name in _TOTALS:
        return [page.total]
    if name in _MORE:
        return [page.offset + len(page.keys) < page.total]
    if name in _NEXT:
        if page.following is None:
            return [None]
        return _next(name, page, _link(page, request))
    if name in _SIZE_SHOWN:
        return [page.size]
    if name in _OFFSETS:
        return [page.offset]
    if name in _PAGES:
        return [page.number]
    if name in ("pages", "totalpages", "pagecount"):
        return [max(1, -(-page.total // page.size)) if page.size else 1]
    return []


def _next(name: str, page: Page, link: str) -> list[Any]:
    if name in ("nexturl", "nextlink") or (name == "next" and folded(page.parameter or "") not in _CURSORS):
        return [link, page.following]
    return [page.following, link]


def _link(page: Page, request: UpstreamRequest) -> str:
    kept = [(name, value) for name, value in request.query if name != page.parameter]
    query = urlencode([*kept, (page.parameter or "page", page.following or "")])
    return f"{request.url}?{query}"


def _paging(operation: Operation, names: frozenset[str]) -> Parameter | None:
    return next((one for one in operation.parameters if one.where == "query" and folded(one.name) in names), None)


def _is_paging(parameter: Parameter) -> bool:
    return folded(parameter.name) in _SIZES | _OFFSETS | _PAGES | _CURSORS


def _value(schemas: Schemas, parameter: Parameter | None, checked: Checked, otherwise: int) -> int:
    """A paging parameter's value: the client's, else the document's default."""
    if parameter is None:
        return otherwise
    value = checked.query(parameter.name)
    if value is None and parameter.schema is not None:
        value = schemas.merged(parameter.schema).get("default")
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else otherwise


def _first_page(schemas: Schemas, parameter: Parameter | None) -> int:
    """The number of the first page: 0 when the document says that there is a page 0."""
    whole = schemas.merged(parameter.schema) if parameter is not None and parameter.schema is not None else {}
    return 0 if whole.get("default", whole.get("minimum")) == 0 else 1


def _cursor(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def _after(cursor: str, keys: Sequence[str]) -> int:
    """Where a page begins that comes after a cursor or an id; after something that is gone it begins at the end."""
    for number, key in enumerate(keys):
        if cursor in (_cursor(key), key, key.rpartition("/")[2]):
            return number + 1
    return len(keys)
