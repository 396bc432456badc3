"""Invoices: drafted, finalized, paid, voided.

Nothing happens to an invoice by itself: ``auto_advance`` is kept and finalizes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stack_emu.upstreams.pack_calls import PackRefusal, RestCall
from stack_emu.upstreams.requests import UpstreamReply
from stack_emu.upstreams.stripe.arguments import arguments, merged, one_of, refuse, require
from stack_emu.upstreams.stripe.customers import usable
from stack_emu.upstreams.stripe.intents import confirm_now, new_intent
from stack_emu.upstreams.stripe.invoice_lines import items_of, not_editable, recounted
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

_INVOICE = {
    "auto_advance": "flag",
    "collection_method": "text",
    "days_until_due": "count",
    "due_date": "count",
    "default_payment_method": "text",
    "description": "text",
    "footer": "text",
    "metadata": "metadata",
    "statement_descriptor": "text",
    "number": "text",
}
_KEPT = (
    "auto_advance", "collection_method", "due_date", "default_payment_method", "description", "footer",
    "statement_descriptor", "number",
)  # fmt: skip
_NO_EFFECT = (
    "payment_settings", "custom_fields", "rendering", "automatic_tax", "default_tax_rates", "account_tax_ids",
    "shipping_cost", "shipping_details", "issuer", "transfer_data", "on_behalf_of", "application_fee_amount",
)  # fmt: skip
_DAY_S = 86_400


def create_invoice(call: RestCall) -> Any:
    """Draft an invoice of a customer; ``pending_invoice_items_behavior`` ``include`` takes their loose items in."""
    own = {"customer": "text", "currency": "currency", "pending_invoice_items_behavior": "text"}
    given = arguments(call, {**_INVOICE, **own}, _NO_EFFECT)
    require(given, "customer")
    one_of(given, "pending_invoice_items_behavior", "exclude", "include")
    customer = fetch(call, "customers", given["customer"], "customer")
    kept = _checked(call, given)
    pending = [one for one in items_of(call, None) if one["customer"] == customer["id"]]
    if given.get("pending_invoice_items_behavior") != "include":
        pending = []
    currency = given.get("currency") or (pending[0]["currency"] if pending else customer["currency"]) or "usd"
    invoice = new_invoice(call, customer, currency, "manual", **kept, metadata=merged({}, given))
    for item in pending:
        if item["currency"] == currency:
            change(call, "invoiceitems", item, invoice=invoice["id"])
    invoice = recounted(call, invoice)
    emit(call, "invoice.created", invoice)
    return answer(call, invoice, given)


def new_invoice(
    call: RestCall, customer: Doc, currency: str, reason: str, lines: Sequence[Mapping[str, Any]] = (), **fields: Any
) -> Doc:
    """Keep a draft.

    Args:
        call: the call.
        customer: whose it is.
        currency: its currency.
        reason: ``billing_reason``.
        lines: lines that are not invoice items: those of a subscription.
        **fields: fields that differ from those of an empty draft.
    """
    now = call.now_ms // 1000
    nothing = (
        "account_name", "account_tax_ids", "application", "automatically_finalizes_at", "confirmation_secret",
        "custom_fields", "default_payment_method", "default_source", "description", "due_date", "effective_at",
        "ending_balance", "footer", "from_invoice", "hosted_invoice_url", "invoice_pdf", "last_finalization_error",
        "latest_revision", "next_payment_attempt", "number", "on_behalf_of", "parent", "receipt_number", "rendering",
        "shipping_cost", "shipping_details", "statement_descriptor", "test_clock",
    )  # fmt: skip
    invoice = make(
        call,
        "invoices",
        **{
            **dict.fromkeys(nothing),
            "account_country": "US",
            "amount_overpaid": 0,
            "amount_paid": 0,
            "amount_shipping": 0,
            "attempt_count": 0,
            "attempted": False,
            "auto_advance": False,
            "automatic_tax": {"enabled": False, "liability": None, "status": None},
            "billing_reason": reason,
            "collection_method": "charge_automatically",
            "currency": currency,
            "customer": customer["id"],
            "customer_address": customer["address"],
            "customer_email": customer["email"],
            "customer_name": customer["name"],
            "customer_phone": customer["phone"],
            "customer_shipping": customer["shipping"],
            "customer_tax_exempt": "none",
            "customer_tax_ids": [],
            "default_tax_rates": [],
            "discounts": [],
            "issuer": {"type": "self"},
            "payment_settings": {"default_mandate": None, "payment_method_options": None, "payment_method_types": None},
            "payments": {"object": "list", "data": [], "has_more": False, "url": "/v1/invoice_payments"},
            "period_end": now,
            "period_start": now,
            "post_payment_credit_notes_amount": 0,
            "pre_payment_credit_notes_amount": 0,
            "starting_balance": 0,
            "status": "draft",
            "status_transitions": dict.fromkeys(("finalized_at", "marked_uncollectible_at", "paid_at", "voided_at")),
            "metadata": {},
            **fields,
            "_lines": [dict(line) for line in lines],
        },
    )
    return recounted(call, invoice)


def get_invoice(call: RestCall) -> Any:
    """Retrieve an invoice."""
    given = arguments(call, {})
    return answer(call, fetch(call, "invoices", call.params["id"]), given)


def update_invoice(call: RestCall) -> Any:
    """Change a draft; of a finalized one the description, footer, metadata and default payment method."""
    given = arguments(call, _INVOICE, _NO_EFFECT)
    old = fetch(call, "invoices", call.params["id"])
    late = set(given) - {"description", "footer", "metadata", "default_payment_method", "auto_advance", "expand"}
    if old["status"] != "draft" and late:
        raise not_editable("Finalized invoices can't be updated in this way.")
    new = change(call, "invoices", old, **_checked(call, given), metadata=merged(old["metadata"], given))
    emit(call, "invoice.updated", new, before_change(old, new))
    return answer(call, new, given)


def delete_invoice(call: RestCall) -> Any:
    """Delete a draft for good, with its items."""
    arguments(call, {})
    old = fetch(call, "invoices", call.params["id"])
    if old.get("_deleted") or old["status"] != "draft" or old["parent"] is not None:
        raise refuse("You can only delete draft invoices that no subscription made; void this one.")
    for item in items_of(call, old["id"]):
        change(call, "invoiceitems", item, _deleted=True)
    emit(call, "invoice.deleted", old)
    return shown(change(call, "invoices", old, _deleted=True))


def list_invoices(call: RestCall) -> Any:
    """List invoices, newest first, also by ``customer``, ``status``, ``subscription`` and ``collection_method``."""
    own = {"customer": "text", "status": "text", "subscription": "text", "collection_method": "text"}
    given = arguments(call, {**LISTING, **own}, ("due_date",))

    def is_wanted(doc: Doc) -> bool:
        same = all(given.get(name) in (None, doc[name]) for name in ("customer", "status", "collection_method"))
        return same and given.get("subscription") in (None, subscription_of(doc))

    return listing(call, "invoices", given, is_wanted)


def list_lines(call: RestCall) -> Any:
    """List an invoice's lines."""
    arguments(call, {"limit": "count"})
    return fetch(call, "invoices", call.params["id"])["lines"]


def finalize_invoice(call: RestCall) -> Any:
    """Finalize a draft: it gets its number and is open, or paid when nothing is due."""
    given = arguments(call, {"auto_advance": "flag"})
    invoice = fetch(call, "invoices", call.params["id"])
    if invoice["status"] != "draft":
        raise not_editable("This invoice is already finalized, you can't finalize a non-draft invoice.")
    return answer(call, finalized(call, invoice), given)


def finalized(call: RestCall, draft: Doc) -> Doc:
    """The draft as an open invoice, or as a paid one when nothing is due."""
    now = call.now_ms // 1000
    key = call.act.new_id("stripe invoice page", "", 24)
    number = draft["number"] or f"{call.act.new_id('stripe invoice number', '', 8).upper()}-0001"
    page = f"https://invoice.stripe.com/i/acct_fake/{key}"
    days = draft.get("_days")
    invoice = change(
        call,
        "invoices",
        draft,
        status="open",
        number=number,
        effective_at=now,
        due_date=draft["due_date"] or (now + days * _DAY_S if days is not None else None),
        ending_balance=0,
        hosted_invoice_url=page,
        invoice_pdf=f"{page}/pdf",
        status_transitions={**draft["status_transitions"], "finalized_at": now},
    )
    emit(call, "invoice.finalized", invoice)
    return paid(call, invoice, None) if invoice["amount_due"] == 0 else invoice


def paid(call: RestCall, invoice: Doc, intent: str | None) -> Doc:
    """The invoice once it is paid, by a payment intent or outside of Stripe."""
    now, amount = call.now_ms // 1000, invoice["amount_due"]
    payments = invoice["payments"]
    if intent is not None:
        payment = {
            "id": call.act.new_id("stripe invoice payment", "inpay_", 24),
            "object": "invoice_payment",
            "amount_paid": amount,
            "amount_requested": amount,
            "created": now,
            "currency": invoice["currency"],
            "invoice": invoice["id"],
            "is_default": True,
            "livemode": False,
            "payment": {"payment_intent": intent, "type": "payment_intent"},
            "status": "paid",
            "status_transitions": {"canceled_at": None, "paid_at": now},
        }
        payments = {**payments, "data": [payment]}
    after = change(
        call,
        "invoices",
        invoice,
        status="paid",
        amount_paid=amount,
        amount_remaining=0,
        attempted=True,
        attempt_count=invoice["attempt_count"] + (intent is not None),
        payments=payments,
        status_transitions={**invoice["status_transitions"], "paid_at": now},
    )
    emit(call, "invoice.paid", after)
    emit(call, "invoice.payment_succeeded", after)
    return after


def pay_invoice(call: RestCall) -> Any:
    """Pay an invoice with a payment method or the default one; a draft is finalized first; a declined card answers 402."""
    given = arguments(
        call, {"payment_method": "text", "paid_out_of_band": "flag"}, ("off_session", "forgive", "mandate")
    )
    invoice = fetch(call, "invoices", call.params["id"])
    if invoice["status"] == "paid":
        raise refuse("Invoice is already paid")
    if invoice["status"] == "void":
        raise refuse("You can't pay a voided invoice.")
    if invoice["status"] == "draft":
        invoice = finalized(call, invoice)
    if invoice["status"] != "paid":
        outcome = collected(call, invoice, given.get("payment_method"), out_of_band=bool(given.get("paid_out_of_band")))
        if isinstance(outcome, UpstreamReply):
            return outcome
        invoice = outcome
    began = call.collection("subscriptions").get(str(subscription_of(invoice)))
    if began is not None and began["status"] == "incomplete":
        emit(call, "customer.subscription.updated", change(call, "subscriptions", began, status="active"))
    return answer(call, invoice, given)


def collected(call: RestCall, invoice: Doc, method: str | None, *, out_of_band: bool = False) -> Doc | UpstreamReply:
    """The paid invoice, or the 402 of a declined card, after which the invoice stays open.

    Args:
        call: the call.
        invoice: an open one.
        method: id of a payment method; the default one of invoice or customer when None.
        out_of_band: whether it was paid outside of Stripe.

    Raises:
        PackRefusal: when there is nothing to pay with.
    """
    if out_of_band:
        return paid(call, invoice, None)
    customer = fetch(call, "customers", invoice["customer"])
    chosen = method or invoice["default_payment_method"] or customer["invoice_settings"]["default_payment_method"]
    if chosen is None:
        raise no_method()
    fields = {"amount": invoice["amount_due"], "currency": invoice["currency"], "customer": customer["id"]}
    card = usable(call, chosen, "payment_method")
    if card["customer"] not in (None, customer["id"]):
        raise refuse("The payment method belongs to another customer.", param="payment_method")
    intent = new_intent(call, {**fields, "payment_method": card["id"], "description": invoice["description"]})
    reply = confirm_now(call, intent, {"off_session": "true"})
    if isinstance(reply, UpstreamReply):
        failed = change(call, "invoices", invoice, attempted=True, attempt_count=invoice["attempt_count"] + 1)
        emit(call, "invoice.payment_failed", failed)
        return reply
    return paid(call, invoice, intent["id"])


def void_invoice(call: RestCall) -> Any:
    """Void an open or uncollectible invoice."""
    given = arguments(call, {})
    old = _in_state(call, "open", "uncollectible")
    moved = {**old["status_transitions"], "voided_at": call.now_ms // 1000}
    after = change(call, "invoices", old, status="void", amount_remaining=0, status_transitions=moved)
    emit(call, "invoice.voided", after)
    began = call.collection("subscriptions").get(str(subscription_of(after)))
    if began is not None and began["status"] == "incomplete":
        emit(call, "customer.subscription.updated", change(call, "subscriptions", began, status="incomplete_expired"))
    return answer(call, after, given)


def mark_uncollectible(call: RestCall) -> Any:
    """Give up on an open invoice; it can still be paid."""
    given = arguments(call, {})
    old = _in_state(call, "open")
    moved = {**old["status_transitions"], "marked_uncollectible_at": call.now_ms // 1000}
    after = change(call, "invoices", old, status="uncollectible", status_transitions=moved)
    emit(call, "invoice.marked_uncollectible", after)
    return answer(call, after, given)


def subscription_of(invoice: Doc) -> str | None:
    """Id of the subscription an invoice bills, or None."""
    parent = invoice["parent"]
    return parent["subscription_details"]["subscription"] if parent else None


def no_method() -> PackRefusal:
    """The refusal of a payment for which there is no card."""
    return refuse(
        "This customer has no attached payment source or default payment method.",
        code="resource_missing",
        hint="give payment_method, or set the customer's invoice_settings[default_payment_method].",
    )


def _checked(call: RestCall, given: Mapping[str, Any]) -> dict[str, Any]:
    one_of(given, "collection_method", "charge_automatically", "send_invoice")
    if given.get("default_payment_method"):
        fetch(call, "payment_methods", given["default_payment_method"], "default_payment_method")
    if given.get("collection_method") == "send_invoice" and not {"days_until_due", "due_date"} & set(given):
        raise refuse("If collection_method is send_invoice, give days_until_due or due_date.", param="days_until_due")
    kept = {name: given[name] for name in _KEPT if name in given}
    return {**kept, **({"_days": given["days_until_due"]} if "days_until_due" in given else {})}


def _in_state(call: RestCall, *states: str) -> Doc:
    invoice = fetch(call, "invoices", call.params["id"])
    if invoice["status"] not in states:
        raise refuse(f"This invoice is {invoice['status']}; only one that is {' or '.join(states)} will do.")
    return invoice
