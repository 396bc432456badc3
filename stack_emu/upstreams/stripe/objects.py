"""Stripe's objects in the world's store: made, found, listed, expanded, and the events they cause.

Keys that begin with an underscore are the fake's own and are never shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from stack_emu.upstreams.documents import Collection
from stack_emu.upstreams.pack_calls import RestCall
from stack_emu.upstreams.stripe.arguments import refuse

API_VERSION = "2026-10-28.endive"
"""The version that is answered when a call names none."""

KINDS: Mapping[str, tuple[str, str, str]] = {
    "customers": ("customer", "cus_", "id"),
    "payment_intents": ("payment_intent", "pi_", "intent"),
    "payment_methods": ("payment_method", "pm_", "payment_method"),
    "charges": ("charge", "ch_", "id"),
    "refunds": ("refund", "re_", "refund"),
    "products": ("product", "prod_", "id"),
    "prices": ("price", "price_", "price"),
    "balance_transactions": ("balance_transaction", "txn_", "id"),
    "events": ("event", "evt_", "id"),
    "invoices": ("invoice", "in_", "invoice"),
    "invoiceitems": ("invoiceitem", "ii_", "invoiceitem"),
    "subscriptions": ("subscription", "sub_", "id"),
    "setup_intents": ("setup_intent", "seti_", "intent"),
}
"""Collection to: the object's name, the prefix of its ids, and the parameter an unknown id is blamed on."""

LISTING = {"limit": "count", "starting_after": "text", "ending_before": "text", "created": "any"}
"""Parameters of every list."""

Doc = Mapping[str, Any]


def new_id(call: RestCall, kind: str) -> str:
    """A free id of that collection, derived from the act."""
    name, prefix, _ = KINDS[kind]
    return call.collection(kind).free(lambda: call.act.new_id(f"stripe {name}", prefix, 24))


def make(call: RestCall, kind: str, key: str | None = None, **fields: Any) -> Doc:
    """Put a new object."""
    key = key or new_id(call, kind)
    head = {"id": key, "object": KINDS[kind][0], "created": call.now_ms // 1000, "livemode": False}
    return call.collection(kind).put(key, {**head, **fields, "_ms": call.now_ms})


def change(call: RestCall, kind: str, doc: Doc, **fields: Any) -> Doc:
    """Put a changed copy."""
    return call.collection(kind).change(doc["id"], **fields)


def fetch(call: RestCall, kind: str, key: Any, param: str | None = None) -> Doc:
    """The object with this id.

    Args:
        call: the call.
        kind: collection.
        key: its id.
        param: the parameter that named it; the path did when None.

    Raises:
        PackRefusal: ``resource_missing``: 404 for an id in the path, 400 for one in a parameter.
    """
    name, _, blamed = KINDS[kind]
    found = call.collection(kind).get(str(key))
    if found is None or (found.get("_deleted") and param is not None):
        status = 404 if param is None else 400
        raise refuse(f"No such {name}: '{key}'", param=param or blamed, code="resource_missing", status=status)
    return found


def alive(call: RestCall, kind: str) -> Doc:
    """The object the path names, refused with 404 when it was deleted."""
    found = fetch(call, kind, call.params["id"])
    if found.get("_deleted"):
        name, _, blamed = KINDS[kind]
        raise refuse(f"No such {name}: '{found['id']}'", param=blamed, code="resource_missing", status=404)
    return found


def shown(doc: Doc) -> dict[str, Any]:
    """An object as clients see it."""
    if doc.get("_deleted"):
        return {"id": doc["id"], "object": doc["object"], "deleted": True}
    return {name: value for name, value in doc.items() if not name.startswith("_")}


def answer(call: RestCall, doc: Doc, given: Mapping[str, Any]) -> dict[str, Any]:
    """An object as clients see it, expanded as the call asks."""
    return expanded(call, shown(doc), given)


def newest_first(collection: Collection) -> list[Doc]:
    """The objects that are not deleted, in an order that does not depend on who came first."""
    kept = [doc for doc in collection.all() if not doc.get("_deleted")]
    kept.reverse()
    kept.sort(key=lambda doc: -doc["_ms"])
    return kept


def listing(call: RestCall, kind: str, given: Mapping[str, Any], where: Callable[[Doc], bool] | None = None) -> Any:
    """A page of a collection: ``limit`` (1 to 100, 10), ``starting_after``, ``ending_before`` and ``created``."""
    limit = page_size(given)
    found = [doc for doc in newest_first(call.collection(kind)) if (where is None or where(doc)) and _made(doc, given)]
    if given.get("starting_after") and given.get("ending_before"):
        raise refuse("You may only specify one of these parameters: starting_after, ending_before.")
    if given.get("ending_before"):
        place = _place(found, call, kind, given, "ending_before")
        start = max(place - limit, 0)
        page, more = found[start:place], start > 0
    else:
        start = _place(found, call, kind, given, "starting_after") + 1 if given.get("starting_after") else 0
        page, more = found[start : start + limit], len(found) > start + limit
    data = [shown(doc) for doc in page]
    return expanded(call, {"object": "list", "data": data, "has_more": more, "url": call.request.path}, given)


def page_size(given: Mapping[str, Any]) -> int:
    """``limit``, which Stripe takes from 1 to 100."""
    limit: int = given.get("limit", 10)
    if not 1 <= limit <= 100:
        raise refuse("This value must be between 1 and 100.", param="limit", code="parameter_invalid_integer")
    return limit


def _place(found: list[Doc], call: RestCall, kind: str, given: Mapping[str, Any], name: str) -> int:
    fetch(call, kind, given[name], name)
    place = next((number for number, doc in enumerate(found) if doc["id"] == given[name]), None)
    if place is None:
        raise refuse(f"No such {KINDS[kind][0]} in this list: '{given[name]}'", param=name, code="resource_missing")
    return place


def _made(doc: Doc, given: Mapping[str, Any]) -> bool:
    """Whether an object was created when ``created`` asks: an instant, or ``gt``, ``gte``, ``lt``, ``lte``."""
    asked = given.get("created")
    if asked is None:
        return True
    tests = asked if isinstance(asked, dict) else {"": asked}
    compare = {
        "": lambda one, other: one == other,
        "gt": lambda one, other: one > other,
        "gte": lambda one, other: one >= other,
        "lt": lambda one, other: one < other,
        "lte": lambda one, other: one <= other,
    }
    for name, text in tests.items():
        if name not in compare:
            raise refuse(f"Received unknown parameter: created[{name}]", param="created", code="parameter_unknown")
        if not str(text).isdigit():
            raise refuse(f"Invalid integer: {text}", param="created", code="parameter_invalid_integer")
        if not compare[name](doc["created"], int(text)):
            return False
    return True


def expanded(call: RestCall, data: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The data with what ``expand`` names in place of ids; lists are named by ``data.``, up to four levels.

    Raises:
        PackRefusal: when something cannot be expanded.
    """
    for path in given.get("expand") or ():
        names = str(path).split(".")
        if len(names) > 4:
            raise refuse("You cannot expand more than 4 levels of a property.", param="expand")
        data = _expand(call, data, names, str(path))
    return data


def _expand(call: RestCall, data: Any, names: list[str], path: str) -> Any:
    if not names:
        return data
    if isinstance(data, list):
        return [_expand(call, item, names, path) for item in data]
    name, rest = names[0], names[1:]
    if not isinstance(data, dict) or name not in data:
        raise refuse(f"This property cannot be expanded ({path}).", param="expand")
    value = data[name]
    if isinstance(value, str):
        kind = next((kind for kind, (_, prefix, _) in KINDS.items() if value.startswith(prefix)), None)
        found = None if kind is None or name == "id" else call.collection(kind).get(value)
        if found is None:
            raise refuse(f"This property cannot be expanded ({path}).", param="expand")
        value = shown(found)
    elif value is None:
        return data
    elif not rest and not isinstance(value, dict):
        raise refuse(f"This property cannot be expanded ({path}).", param="expand")
    return {**data, name: _expand(call, value, rest, path)}


def emit(call: RestCall, name: str, doc: Doc, previous: Mapping[str, Any] | None = None) -> None:
    """Record an event such as ``customer.created`` with the object as it now is."""
    data: dict[str, Any] = {"object": shown(doc)}
    if previous:
        data["previous_attributes"] = dict(previous)
    make(
        call,
        "events",
        api_version=call.request.headers.get("Stripe-Version", API_VERSION),
        data=data,
        pending_webhooks=0,
        request={"id": request_id(call), "idempotency_key": call.request.headers.get("Idempotency-Key")},
        type=name,
    )


def request_id(call: RestCall) -> str:
    """The id of the call, which is the act's: the same on every run."""
    return f"req_{call.act.key[:11]}{call.act.ordinal:03x}"


def before_change(old: Doc, new: Doc) -> dict[str, Any]:
    """What ``previous_attributes`` of an update says."""
    return {name: old.get(name) for name in new if not name.startswith("_") and old.get(name) != new[name]}
