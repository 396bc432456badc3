"""Charges, refunds, the balance and its transactions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from stack_emu.upstreams.pack_calls import RestCall
from stack_emu.upstreams.stripe.arguments import arguments, merged, one_of, refuse
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
    new_id,
)

MINIMUM: Mapping[str, int] = {
    "gbp": 30,
    "jpy": 50,
    "sek": 300,
    "nok": 300,
    "dkk": 250,
    "mxn": 1000,
    "hkd": 400,
    "pln": 200,
}
"""Smallest amounts of a charge by currency; 50 where none is named."""

_DAY_S = 86_400
_PENDING_DAYS = 7


def _transaction(call: RestCall, amount: int, currency: str, source: str, kind: str) -> Doc:
    """A transaction of the balance; a charge costs 2.9 % and 30, a refund brings no fee back."""
    fee = (amount * 29 + 500) // 1000 + 30 if kind == "charge" else 0
    now = call.instant_ms // 1000
    details = [{"amount": fee, "application": None, "currency": currency, "description": "Stripe processing fees"}]
    return make(
        call,
        "balance_transactions",
        amount=amount,
        available_on=now - now % _DAY_S + _PENDING_DAYS * _DAY_S,
        currency=currency,
        description=None,
        exchange_rate=None,
        fee=fee,
        fee_details=[{**one, "type": "stripe_fee"} for one in details] if fee else [],
        net=amount - fee,
        reporting_category=kind,
        source=source,
        status="pending",
        type=kind,
    )


def charge(
    call: RestCall,
    intent: Doc,
    method: Doc,
    code: str | None = None,
    decline_code: str | None = None,
    message: str | None = None,
) -> Doc:
    """Charge an intent's amount: captured at once unless the intent captures by hand; failed when there is a ``code``."""
    key = new_id(call, "charges")
    failed = code is not None
    captured = not failed and intent["capture_method"] != "manual"
    network = "declined_by_network" if failed else "approved_by_network"
    card = {name: method["card"][name] for name in ("brand", "country", "exp_month", "exp_year", "funding", "last4")}
    made = make(
        call,
        "charges",
        key,
        amount=intent["amount"],
        amount_captured=0,
        amount_refunded=0,
        balance_transaction=None,
        billing_details=method["billing_details"],
        calculated_statement_descriptor=intent["statement_descriptor"] or "STRIPE",
        captured=False,
        currency=intent["currency"],
        customer=intent["customer"],
        description=intent["description"],
        disputed=False,
        failure_balance_transaction=None,
        failure_code=code,
        failure_message=message,
        fraud_details={},
        metadata=intent["metadata"],
        outcome={
            "network_status": network,
            "reason": decline_code,
            "risk_level": "normal",
            "seller_message": message or "Payment complete.",
            "type": "issuer_declined" if failed else "authorized",
        },
        paid=not failed,
        payment_intent=intent["id"],
        payment_method=method["id"],
        payment_method_details={"card": card, "type": "card"},
        receipt_email=intent["receipt_email"],
        receipt_url=None if failed else f"https://pay.stripe.com/receipts/{key}",
        refunded=False,
        shipping=intent["shipping"],
        statement_descriptor=intent["statement_descriptor"],
        status="failed" if failed else "succeeded",
        transfer_group=intent["transfer_group"],
    )
    if captured:
        return settle(call, made, intent["amount"], "charge.succeeded")
    emit(call, "charge.failed" if failed else "charge.succeeded", made)
    return made


def settle(call: RestCall, made: Doc, amount: int, event: str = "charge.captured") -> Doc:
    """Capture a charge; what is not captured counts as refunded."""
    paid = _transaction(call, amount, made["currency"], made["id"], "charge")
    after = change(
        call,
        "charges",
        made,
        amount_captured=amount,
        amount_refunded=made["amount"] - amount,
        balance_transaction=paid["id"],
        captured=True,
    )
    emit(call, event, after)
    return after


def get_charge(call: RestCall) -> Any:
    """Retrieve a charge."""
    given = arguments(call, {})
    return answer(call, fetch(call, "charges", call.params["id"]), given)


def update_charge(call: RestCall) -> Any:
    """Change description, metadata, receipt_email or shipping of a charge."""
    known = {"description": "text", "metadata": "metadata", "receipt_email": "text", "shipping": "map"}
    given = arguments(call, known, ("fraud_details", "transfer_group"))
    old = fetch(call, "charges", call.params["id"])
    fields = {name: value for name, value in given.items() if name not in ("expand", "metadata")}
    new = change(call, "charges", old, **fields, metadata=merged(old["metadata"], given))
    emit(call, "charge.updated", new, before_change(old, new))
    return answer(call, new, given)


def list_charges(call: RestCall) -> Any:
    """List charges, newest first, also by ``customer`` and ``payment_intent``."""
    given = arguments(call, {**LISTING, "customer": "text", "payment_intent": "text", "transfer_group": "text"})
    return listing(call, "charges", given, _same(given, "customer", "payment_intent", "transfer_group"))


def create_refund(call: RestCall) -> Any:
    """Refund a charge, named itself or by its payment intent, all that is left of it or ``amount``."""
    known = {"charge": "text", "payment_intent": "text", "amount": "count", "reason": "text", "metadata": "metadata"}
    given = arguments(call, known, ("refund_application_fee", "reverse_transfer", "instructions_email"))
    one_of(given, "reason", "duplicate", "fraudulent", "requested_by_customer")
    paid = _refundable(call, given)
    left = paid["amount"] - paid["amount_refunded"]
    if left == 0:
        raise refuse(f"Charge {paid['id']} has already been refunded.", code="charge_already_refunded")
    amount = given.get("amount", left)
    if amount < 1:
        raise refuse("This value must be greater than or equal to 1.", param="amount", code="parameter_invalid_integer")
    if amount > left:
        raise refuse(f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})", param="amount")
    key = new_id(call, "refunds")
    moved = _transaction(call, -amount, paid["currency"], key, "refund")
    refund = make(
        call,
        "refunds",
        key,
        amount=amount,
        balance_transaction=moved["id"],
        charge=paid["id"],
        currency=paid["currency"],
        destination_details={"card": {"reference_status": "pending", "type": "refund"}, "type": "card"},
        metadata=merged({}, given),
        payment_intent=paid["payment_intent"],
        reason=given.get("reason"),
        receipt_number=None,
        source_transfer_reversal=None,
        status="succeeded",
        transfer_reversal=None,
    )
    total = paid["amount_refunded"] + amount
    after = change(call, "charges", paid, amount_refunded=total, refunded=total == paid["amount"])
    emit(call, "charge.refunded", after, before_change(paid, after))
    emit(call, "refund.created", refund)
    return answer(call, refund, given)


def _refundable(call: RestCall, given: Mapping[str, Any]) -> Doc:
    key = given.get("charge")
    if key is None and given.get("payment_intent"):
        intent = fetch(call, "payment_intents", given["payment_intent"], "payment_intent")
        key = intent["latest_charge"]
        if intent["status"] != "succeeded":
            raise refuse(f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.")
    elif key is None:
        raise refuse("One of the following params should be provided for this request: payment_intent or charge.")
    paid = fetch(call, "charges", key, "charge")
    if paid["status"] != "succeeded" or not paid["captured"]:
        raise refuse(f"Charge {paid['id']} was not captured, so there is nothing to refund.")
    return paid


def get_refund(call: RestCall) -> Any:
    """Retrieve a refund."""
    given = arguments(call, {})
    return answer(call, fetch(call, "refunds", call.params["id"]), given)


def update_refund(call: RestCall) -> Any:
    """Change the metadata of a refund."""
    given = arguments(call, {"metadata": "metadata"})
    old = fetch(call, "refunds", call.params["id"])
    new = change(call, "refunds", old, metadata=merged(old["metadata"], given))
    emit(call, "refund.updated", new, before_change(old, new))
    return answer(call, new, given)


def list_refunds(call: RestCall) -> Any:
    """List refunds, newest first, also by ``charge`` and ``payment_intent``."""
    given = arguments(call, {**LISTING, "charge": "text", "payment_intent": "text"})
    return listing(call, "refunds", given, _same(given, "charge", "payment_intent"))


def _same(given: Mapping[str, Any], *names: str) -> Any:
    return lambda doc: all(given.get(name) in (None, doc[name]) for name in names)


def get_balance(call: RestCall) -> Any:
    """The balance: what charges brought and refunds took, pending for seven days and then available."""
    arguments(call, {})
    now = call.instant_ms // 1000
    totals: dict[str, Counter[str]] = {"available": Counter(), "pending": Counter()}
    for one in call.collection("balance").all():
        totals["available"][one["currency"]] += one["amount"]
    for one in call.collection("balance_transactions").all():
        totals["pending" if one["available_on"] > now else "available"][one["currency"]] += one["net"]
    currencies = sorted({currency for total in totals.values() for currency in total}) or ["usd"]
    shown = {
        name: [{"amount": total[one], "currency": one, "source_types": {"card": total[one]}} for one in currencies]
        for name, total in totals.items()
    }
    return {"object": "balance", "livemode": False, **shown}


def list_transactions(call: RestCall) -> Any:
    """List the balance's transactions, also by ``type``, ``source`` and ``currency``."""
    given = arguments(call, {**LISTING, "type": "text", "source": "text", "currency": "text"})
    return listing(call, "balance_transactions", given, _same(given, "type", "source", "currency"))


def get_transaction(call: RestCall) -> Any:
    """Retrieve a transaction of the balance."""
    given = arguments(call, {})
    return answer(call, fetch(call, "balance_transactions", call.params["id"]), given)


def get_event(call: RestCall) -> Any:
    """Retrieve an event."""
    given = arguments(call, {})
    return answer(call, fetch(call, "events", call.params["id"]), given)


def list_events(call: RestCall) -> Any:
    """List events, newest first, by ``type`` (``*`` at its end stands for anything) or ``types``."""
    given = arguments(call, {**LISTING, "type": "text", "types": "list"}, ("delivery_success",))
    if "type" in given and "types" in given:
        raise refuse("You may only specify one of these parameters: type, types.")
    wanted = given.get("types") or ([given["type"]] if given.get("type") else ["*"])

    def is_wanted(doc: Doc) -> bool:
        return any(doc["type"] == one or (one.endswith("*") and doc["type"].startswith(one[:-1])) for one in wanted)

    return listing(call, "events", given, is_wanted)
