"""Lines of invoices, and the sums that come of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stack_emu.upstreams.pack_calls import PackRefusal, RestCall
from stack_emu.upstreams.stripe.arguments import refuse
from stack_emu.upstreams.stripe.objects import Doc, change


def recounted(call: RestCall, invoice: Doc) -> Doc:
    """The invoice with its lines and sums as they are now."""
    lines = [*invoice["_lines"], *(_line(one) for one in items_of(call, invoice["id"]))]
    lines = [{**one, "invoice": invoice["id"]} for one in lines]
    total = sum(one["amount"] for one in lines)
    due = max(total, 0)
    sums = dict.fromkeys(("subtotal", "subtotal_excluding_tax", "total", "total_excluding_tax"), total)
    url = f"/v1/invoices/{invoice['id']}/lines"
    return change(
        call,
        "invoices",
        invoice,
        **sums,
        total_discount_amounts=[],
        total_pretax_credit_amounts=[],
        total_taxes=[],
        amount_due=due,
        amount_remaining=due - invoice["amount_paid"],
        lines={"object": "list", "data": lines, "has_more": False, "total_count": len(lines), "url": url},
    )


def items_of(call: RestCall, invoice: str | None) -> list[Doc]:
    """The items of an invoice, or those of none, oldest first."""
    return [
        one for one in call.collection("invoiceitems").all() if one["invoice"] == invoice and not one.get("_deleted")
    ]


def _line(item: Doc) -> dict[str, Any]:
    details = {"invoice_item": item["id"], "proration": False, "proration_details": None, "subscription": None}
    parent = {"invoice_item_details": details, "subscription_item_details": None, "type": "invoice_item_details"}
    kept = ("amount", "currency", "description", "discountable", "metadata", "period", "pricing", "quantity")
    return line(f"il_{item['id'].removeprefix('ii_')}", parent, **{name: item[name] for name in kept})


def line(key: str, parent: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    """A line of an invoice as clients see it."""
    nothing: dict[str, Any] = {"discount_amounts": [], "discounts": [], "pretax_credit_amounts": [], "taxes": []}
    head = {"id": key, "object": "line_item", "livemode": False, "parent": dict(parent), **nothing}
    return {**head, **fields, "subtotal": fields["amount"]}


def not_editable(message: str) -> PackRefusal:
    """The refusal to change what is finalized."""
    return refuse(message, code="invoice_not_editable")
