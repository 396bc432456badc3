"""Invoice items: what a draft charges for, or a customer's next invoice will."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stack_emu.upstreams.pack_calls import RestCall
from stack_emu.upstreams.stripe.arguments import arguments, convert, merged, refuse, require
from stack_emu.upstreams.stripe.invoice_lines import not_editable, recounted
from stack_emu.upstreams.stripe.objects import (
    LISTING,
    Doc,
    answer,
    before_change,
    change,
    emit,
    fetch,
    listing,
    make,
    shown,
)

_ITEM = {
    "amount": "count",
    "currency": "currency",
    "description": "text",
    "discountable": "flag",
    "metadata": "metadata",
    "pricing": "map",
    "price_data": "map",
    "quantity": "count",
}
_ITEM_NO_EFFECT = ("tax_behavior", "tax_code", "tax_rates", "discounts", "period", "unit_amount_decimal")


def create_item(call: RestCall) -> Any:
    """Add an item to a draft, or keep it for the customer's next invoice; by ``amount`` or by price and quantity."""
    given = arguments(call, {**_ITEM, "customer": "text", "invoice": "text"}, _ITEM_NO_EFFECT)
    require(given, "customer")
    customer = fetch(call, "customers", given["customer"], "customer")
    invoice = fetch(call, "invoices", given["invoice"], "invoice") if given.get("invoice") else None
    if invoice is not None and invoice["status"] != "draft":
        raise not_editable("The invoice is no longer a draft; items can't be added to it.")
    if invoice is not None and invoice["customer"] != customer["id"]:
        raise refuse(f"The invoice {invoice['id']} belongs to another customer.", param="invoice")
    sums = _sums(call, given)
    if invoice is not None and invoice["currency"] != sums["currency"]:
        raise refuse(f"The invoice is in {invoice['currency']}, the item in {sums['currency']}.", param="currency")
    now = call.now_ms // 1000
    item = make(
        call,
        "invoiceitems",
        **dict.fromkeys(("frozen_fields", "invoicing_rules", "parent", "proration_details", "test_clock")),
        customer=customer["id"],
        date=now,
        description=given.get("description") or sums.pop("name"),
        discountable=given.get("discountable", True),
        discounts=[],
        invoice=None if invoice is None else invoice["id"],
        metadata=merged({}, given),
        period={"end": now, "start": now},
        proration=False,
        tax_rates=[],
        **{name: value for name, value in sums.items() if name != "name"},
    )
    if invoice is not None:
        recounted(call, invoice)
    emit(call, "invoiceitem.created", item)
    return answer(call, item, given)


def get_item(call: RestCall) -> Any:
    """Retrieve an invoice item."""
    given = arguments(call, {})
    return answer(call, fetch(call, "invoiceitems", call.params["id"]), given)


def update_item(call: RestCall) -> Any:
    """Change an item that is not on a finalized invoice."""
    given = arguments(call, {name: _ITEM[name] for name in _ITEM if name != "currency"}, _ITEM_NO_EFFECT)
    old, invoice = _editable(call)
    fields: dict[str, Any] = {name: given[name] for name in ("description", "discountable") if name in given}
    if set(given) & {"amount", "pricing", "price_data", "quantity"}:
        known = {"amount": old["net_amount"], "quantity": old["quantity"], "pricing": _price_of(old)}
        priced = {name: value for name, value in given.items() if name != "metadata"}
        if "amount" not in priced and known["pricing"]:
            known.pop("amount")
        sums = _sums(call, {**known, **priced, "currency": old["currency"]})
        fields |= {name: value for name, value in sums.items() if name != "name"}
    new = change(call, "invoiceitems", old, **fields, metadata=merged(old["metadata"], given))
    if invoice is not None:
        recounted(call, invoice)
    emit(call, "invoiceitem.updated", new, before_change(old, new))
    return answer(call, new, given)


def delete_item(call: RestCall) -> Any:
    """Delete an item that is not on a finalized invoice."""
    arguments(call, {})
    old, invoice = _editable(call)
    gone = change(call, "invoiceitems", old, _deleted=True)
    if invoice is not None:
        recounted(call, invoice)
    emit(call, "invoiceitem.deleted", old)
    return shown(gone)


def list_items(call: RestCall) -> Any:
    """List invoice items, newest first, also by ``customer``, ``invoice`` and ``pending``."""
    given = arguments(call, {**LISTING, "customer": "text", "invoice": "text", "pending": "flag"})

    def is_wanted(doc: Doc) -> bool:
        same = all(given.get(name) in (None, doc[name]) for name in ("customer", "invoice"))
        return same and given.get("pending") in (None, doc["invoice"] is None)

    return listing(call, "invoiceitems", given, is_wanted)


def _sums(call: RestCall, given: Mapping[str, Any]) -> dict[str, Any]:
    """Amount, currency, quantity and pricing of an item, and the name of what it charges for."""
    quantity = given.get("quantity", 1)
    price = (given.get("pricing") or {}).get("price")
    data = given.get("price_data")
    if price is None and data is None:
        require(given, "amount", "currency")
        sums = {"amount": given["amount"], "currency": given["currency"], "net_amount": given["amount"]}
        return {**sums, "quantity": quantity, "quantity_decimal": str(quantity), "pricing": None, "name": None}
    if price is not None:
        found = fetch(call, "prices", price, "pricing[price]")
        unit, currency, product = found["unit_amount"], found["currency"], found["product"]
        if found["type"] != "one_time":
            raise refuse("The price is recurring; invoice items take one-time prices.", param="pricing[price]")
    else:
        assert data is not None
        require({f"price_data[{name}]": value for name, value in data.items()}, "price_data[currency]")
        require({f"price_data[{name}]": value for name, value in data.items()}, "price_data[product]")
        require({f"price_data[{name}]": value for name, value in data.items()}, "price_data[unit_amount]")
        unit = convert("price_data[unit_amount]", data["unit_amount"], "count")
        currency = convert("price_data[currency]", data["currency"], "currency")
        product = fetch(call, "products", data["product"], "price_data[product]")["id"]
    pricing = {
        "price_details": {"price": price, "product": product},
        "type": "price_details",
        "unit_amount_decimal": str(unit),
    }
    sums = {"amount": unit * quantity, "currency": currency, "net_amount": unit * quantity, "quantity": quantity}
    name = fetch(call, "products", product)["name"]
    return {**sums, "quantity_decimal": str(quantity), "pricing": pricing, "name": name}


def _price_of(item: Doc) -> dict[str, Any] | None:
    price = (item["pricing"] or {}).get("price_details", {}).get("price")
    return None if price is None else {"price": price}


def _editable(call: RestCall) -> tuple[Doc, Doc | None]:
    item = fetch(call, "invoiceitems", call.params["id"])
    if item.get("_deleted"):
        raise refuse(f"No such invoiceitem: '{item['id']}'", param="invoiceitem", code="resource_missing", status=404)
    invoice = fetch(call, "invoices", item["invoice"]) if item["invoice"] else None
    if invoice is not None and invoice["status"] != "draft":
        raise not_editable("The item is on an invoice that is no longer a draft.")
    return item, invoice
