"""Subscriptions: their items, trials, first invoice and end.

A subscription's state follows the world's clock whenever it is read: a trial ends, a period is followed by the next, one
that is to end with its period has ended. Only the first invoice is made; renewals bill nothing.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from stack_emu.upstreams.pack_calls import PackRefusal, RestCall
from stack_emu.upstreams.requests import UpstreamReply
from stack_emu.upstreams.stripe.arguments import arguments, convert, merged, one_of, refuse, require
from stack_emu.upstreams.stripe.invoice_lines import line
from stack_emu.upstreams.stripe.invoices import collected, finalized, new_invoice, no_method
from stack_emu.upstreams.stripe.objects import (
    LISTING,
    Doc,
    before_change,
    change,
    emit,
    expanded,
    fetch,
    listing,
    make,
    new_id,
    shown,
)

_SHARED = {
    "cancel_at_period_end": "flag",
    "cancel_at": "count",
    "collection_method": "text",
    "days_until_due": "count",
    "default_payment_method": "text",
    "description": "text",
    "items": "list",
    "metadata": "metadata",
    "payment_behavior": "text",
    "proration_behavior": "text",
    "trial_end": "text",
    "off_session": "any",
}
_NO_EFFECT = (
    "payment_settings", "automatic_tax", "invoice_settings", "trial_settings", "default_tax_rates", "billing_mode",
    "application_fee_percent", "transfer_data", "on_behalf_of", "billing_thresholds", "trial_from_plan",
)  # fmt: skip
_DAY_S = 86_400


def create(call: RestCall) -> Any:
    """Subscribe a customer to recurring prices; the first invoice is paid at once, unless there is a trial."""
    given = arguments(call, {**_SHARED, "customer": "text", "trial_period_days": "count"}, _NO_EFFECT)
    require(given, "customer", "items")
    customer = fetch(call, "customers", given["customer"], "customer")
    kept = _checked(call, given)
    now = call.now_ms // 1000
    trial = _trial_end(given, now)
    key = new_id(call, "subscriptions")
    items = [_item(call, key, one, f"items[{n}]") for n, one in enumerate(given["items"])]
    _need_alike(items)
    recurring = items[0]["price"]["recurring"]
    end = trial or after_period(now, recurring, 1)
    nothing = (
        "application", "application_fee_percent", "billing_cycle_anchor_config", "billing_thresholds", "cancel_at",
        "canceled_at", "days_until_due", "default_payment_method", "default_source", "description", "ended_at",
        "latest_invoice", "next_pending_invoice_item_invoice", "on_behalf_of", "pause_collection",
        "pending_invoice_item_interval", "pending_setup_intent", "pending_update", "schedule", "test_clock",
        "transfer_data", "trial_settings",
    )  # fmt: skip
    fields = {
        **dict.fromkeys(nothing),
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_cycle_anchor": trial or now,
        "billing_mode": {"flexible": None, "type": "flexible"},
        "cancel_at_period_end": False,
        "cancellation_details": {"comment": None, "feedback": None, "reason": None},
        "collection_method": "charge_automatically",
        "currency": items[0]["price"]["currency"],
        "customer": customer["id"],
        "default_tax_rates": [],
        "discounts": [],
        "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
        "metadata": merged({}, given),
        "payment_settings": {"payment_method_options": None, "payment_method_types": None},
        "start_date": now,
        "trial_end": trial,
        "trial_start": now if trial else None,
        "status": "trialing" if trial else "active",
        **kept,
    }
    made = make(call, "subscriptions", key, **fields, **_with_items(key, _in_period(items, now, end)))
    subscription = _begun(call, made, customer, given.get("payment_behavior") or "allow_incomplete")
    emit(call, "customer.subscription.created", _current(call, subscription))
    return _answer(call, subscription, given)


def retrieve(call: RestCall) -> Any:
    """Retrieve a subscription as it stands at the world's time."""
    given = arguments(call, {})
    return _answer(call, fetch(call, "subscriptions", call.params["id"]), given)


def update(call: RestCall) -> Any:
    """Change a subscription and its items; nothing is prorated."""
    given = arguments(call, {**_SHARED, "cancellation_details": "map"}, (*_NO_EFFECT, "proration_date"))
    old = _living(call)
    kept = _checked(call, given)
    now = call.now_ms // 1000
    if "cancel_at_period_end" in kept:
        kept["canceled_at"] = now if kept["cancel_at_period_end"] else None
        reason = "cancellation_requested" if kept["cancel_at_period_end"] else None
        kept["cancellation_details"] = {**old["cancellation_details"], "reason": reason}
    if given.get("cancellation_details"):
        said: dict[str, Any] = kept.get("cancellation_details") or old["cancellation_details"]
        kept["cancellation_details"] = {**said, **given["cancellation_details"]}
    items = old["_items"]
    if "trial_end" in given:
        trial = _trial_end(given, now)
        start = old["start_date"]
        end = trial or after_period(now, items[0]["price"]["recurring"], 1)
        kept |= {"trial_end": trial or now, "status": "trialing" if trial else "active"}
        kept["billing_cycle_anchor"] = trial or now
        items = _in_period(items, start if trial else now, end)
    if given.get("items"):
        items = _changed(call, old, items, given["items"])
    new = change(
        call, "subscriptions", old, **kept, **_with_items(old["id"], items), metadata=merged(old["metadata"], given)
    )
    emit(call, "customer.subscription.updated", _current(call, new), before_change(old, new))
    return _answer(call, new, given)


def cancel(call: RestCall) -> Any:
    """Cancel a subscription at once."""
    given = arguments(call, {"cancellation_details": "map"}, ("invoice_now", "prorate"))
    old = _living(call)
    now = call.now_ms // 1000
    said = {**old["cancellation_details"], "reason": "cancellation_requested"}
    said.update(given.get("cancellation_details") or {})
    ended = {"status": "canceled", "canceled_at": now, "ended_at": now, "cancellation_details": said}
    new = change(call, "subscriptions", old, **ended)
    emit(call, "customer.subscription.deleted", _current(call, new))
    return _answer(call, new, given)


def list_subscriptions(call: RestCall) -> Any:
    """List subscriptions, newest first, without canceled ones unless ``status`` asks; by ``customer`` and ``price``."""
    own = {"customer": "text", "price": "text", "status": "text", "collection_method": "text"}
    given = arguments(call, {**LISTING, **own}, ("current_period_end", "current_period_start"))
    one_of(
        given, "status", "active", "all", "canceled", "ended", "incomplete", "incomplete_expired", "past_due",
        "paused", "trialing", "unpaid",
    )  # fmt: skip

    def is_wanted(doc: Doc) -> bool:
        status, asked = _current(call, doc)["status"], given.get("status")
        if asked is None and status == "canceled":
            return False
        if asked == "ended" and status not in ("canceled", "incomplete_expired"):
            return False
        if asked not in (None, "all", "ended", status):
            return False
        prices = [one["price"]["id"] for one in doc["_items"]]
        same = all(given.get(name) in (None, doc[name]) for name in ("customer", "collection_method"))
        return same and (given.get("price") is None or given["price"] in prices)

    page = listing(call, "subscriptions", {**given, "expand": None}, is_wanted)
    kept = call.collection("subscriptions")
    page["data"] = [shown(_current(call, kept.get(one["id"]) or one)) for one in page["data"]]
    return expanded(call, page, given)


def after_period(start: int, recurring: Mapping[str, Any], count: int) -> int:
    """The instant so many periods after ``start``, in epoch seconds; months keep their day as far as there is one."""
    number = recurring["interval_count"] * count
    begun = datetime.fromtimestamp(start, timezone.utc)
    if recurring["interval"] in ("day", "week"):
        days = number * (7 if recurring["interval"] == "week" else 1)
        return int((begun + timedelta(days=days)).timestamp())
    months = begun.month - 1 + number * (12 if recurring["interval"] == "year" else 1)
    year, month = begun.year + months // 12, months % 12 + 1
    return int(begun.replace(year=year, month=month, day=min(begun.day, monthrange(year, month)[1])).timestamp())


def _answer(call: RestCall, subscription: Doc, given: Mapping[str, Any]) -> dict[str, Any]:
    return expanded(call, shown(_current(call, subscription)), given)


def _current(call: RestCall, subscription: Doc) -> Doc:
    """The subscription as it stands at the world's time, with its items."""
    now, items = call.now_ms // 1000, subscription["_items"]
    fields: dict[str, Any] = {}
    end = items[0]["current_period_end"]
    ends_at = end if subscription["cancel_at_period_end"] else subscription["cancel_at"]
    if subscription["status"] in ("active", "trialing"):
        if ends_at is not None and now >= ends_at:
            fields = {"status": "canceled", "ended_at": ends_at}
        elif subscription["status"] == "trialing" and now >= (subscription["trial_end"] or 0):
            fields = {"status": "active"}
        until = now if "ended_at" not in fields or ends_at is None else ends_at - 1
        items = _rolled(items, subscription["billing_cycle_anchor"], until)
    return {**subscription, **fields, **_with_items(subscription["id"], items)}


def _with_items(key: str, items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The items as they are kept and as clients see them."""
    url = f"/v1/subscription_items?subscription={key}"
    listed = {"object": "list", "data": list(items), "has_more": False, "total_count": len(items), "url": url}
    return {"_items": list(items), "items": listed}


def _rolled(items: Sequence[Mapping[str, Any]], anchor: int, until: int) -> list[dict[str, Any]]:
    """The items in the period that an instant falls into."""
    start, end = items[0]["current_period_start"], items[0]["current_period_end"]
    count = 0
    while end <= until:
        count += 1
        following = after_period(anchor, items[0]["price"]["recurring"], count)
        if following > end:
            start, end = end, following
    return _in_period(items, start, end)


def _in_period(items: Sequence[Mapping[str, Any]], start: int, end: int) -> list[dict[str, Any]]:
    return [{**one, "current_period_start": start, "current_period_end": end} for one in items]


def _item(call: RestCall, subscription: str, given: Any, place: str) -> dict[str, Any]:
    if not isinstance(given, dict) or "price" not in given:
        raise refuse(
            f"Missing required param: {place}[price].",
            param=f"{place}[price]",
            code="parameter_missing",
            hint="price_data is not served: create the price first.",
        )
    if unknown := set(given) - {"id", "price", "quantity", "metadata", "deleted"}:
        name = f"{place}[{min(unknown)}]"
        raise refuse(f"Received unknown parameter: {name}", param=name, code="parameter_unknown")
    price = fetch(call, "prices", given["price"], f"{place}[price]")
    if price["recurring"] is None:
        raise refuse(f"The price {price['id']} is not recurring.", param=f"{place}[price]")
    if not price["active"]:
        raise refuse(f"The price specified is inactive: {price['id']}.", param=f"{place}[price]")
    return {
        "id": call.act.new_id("stripe subscription item", "si_", 14),
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": call.now_ms // 1000,
        "discounts": [],
        "metadata": merged({}, given),
        "plan": _plan(price),
        "price": shown(price),
        "quantity": convert(f"{place}[quantity]", given.get("quantity", "1"), "count"),
        "subscription": subscription,
        "tax_rates": [],
    }


def _plan(price: Doc) -> dict[str, Any]:
    """A price in the shape it had before prices: a plan."""
    recurring = price["recurring"]
    kept = {name: price[name] for name in ("id", "active", "created", "currency", "livemode", "metadata", "nickname")}
    return {
        **kept,
        "object": "plan",
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "billing_scheme": "per_unit",
        "interval": recurring["interval"],
        "interval_count": recurring["interval_count"],
        "meter": None,
        "product": price["product"],
        "tiers_mode": None,
        "transform_usage": None,
        "trial_period_days": None,
        "usage_type": recurring["usage_type"],
    }


def _need_alike(items: Sequence[Mapping[str, Any]]) -> None:
    """Refuse items that cannot be billed together."""
    if len({one["price"]["id"] for one in items}) < len(items):
        raise refuse("A subscription has each price once; raise its quantity instead.", param="items")
    for name in ("currency", "recurring"):
        values = [one["price"][name] for one in items]
        if any(value != values[0] for value in values):
            raise refuse(f"All prices of a subscription must have the same {name}.", param="items")


def _changed(
    call: RestCall, old: Doc, items: Sequence[Mapping[str, Any]], given: Sequence[Any]
) -> list[dict[str, Any]]:
    """The items after a change: those with an ``id`` are changed or, with ``deleted``, dropped; others are added."""
    kept = {str(one["id"]): dict(one) for one in items}
    start, end = items[0]["current_period_start"], items[0]["current_period_end"]
    for n, one in enumerate(given):
        place = f"items[{n}]"
        key = one.get("id") if isinstance(one, dict) else None
        if key is None:
            added = _item(call, old["id"], one, place)
            kept[added["id"]] = added
        elif key not in kept:
            raise refuse(f"No such subscription_item: '{key}'", param=f"{place}[id]", code="resource_missing")
        elif one.get("deleted") == "true":
            del kept[key]
        else:
            before = kept[key]
            asked = {"price": before["price"]["id"], "quantity": str(before["quantity"]), **one}
            kept[key] = {**_item(call, old["id"], asked, place), "id": key, "created": before["created"]}
    if not kept:
        raise refuse("A subscription must have at least one item.", param="items")
    _need_alike(list(kept.values()))
    return _in_period(list(kept.values()), start, end)


def _checked(call: RestCall, given: Mapping[str, Any]) -> dict[str, Any]:
    one_of(given, "collection_method", "charge_automatically", "send_invoice")
    one_of(
        given,
        "payment_behavior",
        "allow_incomplete",
        "default_incomplete",
        "error_if_incomplete",
        "pending_if_incomplete",
    )
    one_of(given, "proration_behavior", "always_invoice", "create_prorations", "none")
    if given.get("default_payment_method"):
        fetch(call, "payment_methods", given["default_payment_method"], "default_payment_method")
    if given.get("collection_method") == "send_invoice" and "days_until_due" not in given:
        raise refuse("If collection_method is send_invoice, give days_until_due.", param="days_until_due")
    if given.get("cancel_at_period_end") and given.get("cancel_at"):
        raise refuse("You may only specify one of these parameters: cancel_at, cancel_at_period_end.")
    names = (
        "cancel_at_period_end", "cancel_at", "collection_method", "days_until_due", "default_payment_method", "description",
    )  # fmt: skip
    return {name: given[name] for name in names if name in given}


def _trial_end(given: Mapping[str, Any], now: int) -> int | None:
    if "trial_end" in given and "trial_period_days" in given:
        raise refuse("You may only specify one of these parameters: trial_end, trial_period_days.")
    if given.get("trial_period_days"):
        return now + int(given["trial_period_days"]) * _DAY_S
    if given.get("trial_end") in (None, "now"):
        return None
    end: int = convert("trial_end", given["trial_end"], "count")
    if end <= now:
        raise refuse("trial_end must be in the future.", param="trial_end")
    return end


def _living(call: RestCall) -> Doc:
    """The subscription the path names, as it stands now; refused with 404 when it has ended."""
    found = fetch(call, "subscriptions", call.params["id"])
    current = _current(call, found)
    if current["status"] in ("canceled", "incomplete_expired"):
        raise refuse(f"No such subscription: '{found['id']}'", param="id", code="resource_missing", status=404)
    kept = _with_items(found["id"], current["items"]["data"])
    return change(call, "subscriptions", found, status=current["status"], **kept)


def _begun(call: RestCall, subscription: Doc, customer: Doc, behavior: str) -> Doc:
    """The subscription with its first invoice.

    Raises:
        PackRefusal: 402 when the card is declined and ``error_if_incomplete`` was asked; also without a card.
    """
    trial = subscription["trial_end"] is not None
    lines = [_line(call, one, subscription["id"], free=trial) for one in subscription["_items"]]
    details = {"metadata": subscription["metadata"], "subscription": subscription["id"]}
    first = subscription["_items"][0]
    draft = new_invoice(
        call,
        customer,
        subscription["currency"],
        "subscription_create",
        lines,
        parent={"quote_details": None, "subscription_details": details, "type": "subscription_details"},
        collection_method=subscription["collection_method"],
        default_payment_method=subscription["default_payment_method"],
        period_start=first["current_period_start"],
        period_end=first["current_period_start"],
        _days=subscription["days_until_due"],
    )
    emit(call, "invoice.created", draft)
    invoice = finalized(call, draft)
    status = subscription["status"]
    if invoice["status"] != "paid" and subscription["collection_method"] == "charge_automatically":
        if behavior == "default_incomplete":
            status = "incomplete"
        else:
            default = subscription["default_payment_method"] or customer["invoice_settings"]["default_payment_method"]
            if default is None:
                raise no_method()
            outcome = collected(call, invoice, default)
            if isinstance(outcome, UpstreamReply):
                if behavior == "error_if_incomplete":
                    raise PackRefusal(outcome)
                status = "incomplete"
    return change(call, "subscriptions", subscription, latest_invoice=invoice["id"], status=status)


def _line(call: RestCall, item: Mapping[str, Any], subscription: str, *, free: bool) -> dict[str, Any]:
    price, quantity = item["price"], item["quantity"]
    product = fetch(call, "products", price["product"])["name"]
    amount = 0 if free else price["unit_amount"] * quantity
    details = {
        "invoice_item": None,
        "proration": False,
        "proration_details": {"credited_items": None},
        "subscription": subscription,
        "subscription_item": item["id"],
    }
    return line(
        call.act.new_id("stripe line", "il_", 24),
        {"invoice_item_details": None, "subscription_item_details": details, "type": "subscription_item_details"},
        amount=amount,
        currency=price["currency"],
        description=f"Free trial for {quantity} × {product}" if free else f"{quantity} × {product}",
        discountable=True,
        metadata={},
        period={"start": item["current_period_start"], "end": item["current_period_end"]},
        pricing={
            "price_details": {"price": price["id"], "product": price["product"]},
            "type": "price_details",
            "unit_amount_decimal": price["unit_amount_decimal"],
        },
        quantity=quantity,
    )
