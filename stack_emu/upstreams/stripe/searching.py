"""Stripe's search query language, evaluated over the objects of a collection."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from stack_emu.upstreams.pack_calls import RestCall
from stack_emu.upstreams.stripe.arguments import arguments, refuse, require
from stack_emu.upstreams.stripe.objects import Doc, expanded, newest_first, page_size, shown

FIELDS: Mapping[str, tuple[str, ...]] = {
    "customers": ("created", "email", "metadata", "name", "phone"),
    "payment_intents": ("amount", "created", "currency", "customer", "metadata", "status"),
    "charges": ("amount", "created", "currency", "customer", "disputed", "metadata", "refunded", "status"),
    "invoices": ("created", "currency", "customer", "metadata", "number", "status", "total"),
    "products": ("active", "description", "metadata", "name", "shippable", "url"),
    "prices": ("active", "currency", "lookup_key", "metadata", "product", "type"),
}
"""Collection to the fields its search knows, from docs.stripe.com/search."""

_NUMBERS = ("amount", "created", "total")
_CLAUSE = re.compile(
    r"""\s*(?P<no>-)?(?P<field>\w+)(?:\[(?P<quote>["'])(?P<key>[^"']*)(?P=quote)\])?\s*(?P<op>:|~|>=|<=|>|<)\s*"""
    r"""(?:"(?P<double>(?:\\.|[^"\\])*)"|'(?P<single>(?:\\.|[^'\\])*)'|(?P<bare>[\w.-]+))\s*""",
    re.VERBOSE,
)
_JOIN = re.compile(r"(AND|OR)(?=\s)", re.IGNORECASE)


def search(kind: str) -> Callable[[RestCall], Any]:
    """The handler that searches a collection."""

    def handler(call: RestCall) -> Any:
        given = arguments(call, {"query": "text", "limit": "count", "page": "text"})
        require(given, "query")
        test = read_query(given["query"], kind)
        found = [doc for doc in newest_first(call.collection(kind)) if test(doc)]
        limit, start = page_size(given), _start(found, given.get("page"))
        more = len(found) > start + limit
        page = {
            "object": "search_result",
            "data": [shown(doc) for doc in found[start : start + limit]],
            "has_more": more,
            "next_page": found[start + limit - 1]["id"] if more else None,
            "url": call.request.path,
        }
        wanted = given.get("expand") or []
        if "total_count" in wanted:
            page["total_count"] = len(found)
        return expanded(call, page, {"expand": [one for one in wanted if one != "total_count"]})

    handler.__doc__ = f"Search {kind.replace('_', ' ')}, newest first; what is written can be found at once."
    return handler


def _start(found: list[Doc], page: str | None) -> int:
    if page is None:
        return 0
    place = next((number for number, doc in enumerate(found) if doc["id"] == page), None)
    if place is None:
        raise refuse("This page token is not one this search gave out.", param="page")
    return place + 1


def read_query(query: str, kind: str) -> Callable[[Doc], bool]:
    """What a query asks of an object: clauses joined by AND (or a space), or all by OR.

    Raises:
        PackRefusal: when the query does not parse, or asks for a field that cannot be searched.
    """
    tests: list[Callable[[Doc], bool]] = []
    joins: set[str] = set()
    rest = query.strip()
    while rest:
        clause = _CLAUSE.match(rest)
        if clause is None:
            raise refuse(f"We were unable to parse your search query at: {rest}", param="query")
        tests.append(_test(clause, kind))
        rest = rest[clause.end() :]
        join = _JOIN.match(rest)
        if join is not None:
            joins.add(join.group(1).upper())
            rest = rest[join.end() :].strip() or "?"
        elif rest:
            joins.add("AND")
    if len(joins) > 1:
        raise refuse("You may not combine AND and OR in one search query.", param="query")
    if not tests:
        raise refuse("The search query is empty.", param="query")
    combine = any if joins == {"OR"} else all
    return lambda doc: combine(test(doc) for test in tests)


def _test(clause: re.Match[str], kind: str) -> Callable[[Doc], bool]:
    field, op = clause["field"], clause["op"]
    if field not in FIELDS[kind]:
        raise refuse(
            f"Field `{field}` is an unsupported search field; there are: {', '.join(FIELDS[kind])}.", param="query"
        )
    quoted = clause["double"] if clause["double"] is not None else clause["single"]
    value = clause["bare"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
    if (field in _NUMBERS and not value.isdigit()) or (field not in _NUMBERS and op not in (":", "~")):
        raise refuse(f"The field `{field}` cannot be compared by {op} with {value}.", param="query")
    if op == "~" and (field in _NUMBERS or len(value) < 3):
        raise refuse("Substring search takes texts of at least three characters.", param="query")

    def test(doc: Doc) -> bool:
        held = doc.get(field)
        if field == "metadata" and clause["key"] is not None:
            held = held.get(clause["key"]) if held else None
        return _compare(held, op, value) != (clause["no"] is not None)

    return test


def _compare(held: Any, op: str, value: str) -> bool:
    if value == "null" and op == ":":
        return held is None
    if held is None:
        return False
    if isinstance(held, bool):
        return value == str(held).lower()
    if isinstance(held, int):
        other = int(value)
        return {":": held == other, ">": held > other, "<": held < other, ">=": held >= other, "<=": held <= other}[op]
    if isinstance(held, Mapping):
        return value in held
    return value.lower() in str(held).lower() if op == "~" else value.lower() == str(held).lower()
