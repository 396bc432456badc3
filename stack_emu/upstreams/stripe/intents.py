"""Payment intents and their states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stack_emu.upstreams.pack_calls import PackRefusal, RestCall
from stack_emu.upstreams.requests import UpstreamReply
from stack_emu.upstreams.stripe.arguments import arguments, error, merged, one_of, refuse, require
from stack_emu.upstreams.stripe.customers import attach, card_of, from_data, usable
from stack_emu.upstreams.stripe.money import MINIMUM, charge, settle
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
    shown,
)

_SHARED = {
    "amount": "count",
    "currency": "currency",
    "customer": "text",
    "description": "text",
    "metadata": "metadata",
    "payment_method": "text",
    "payment_method_data": "map",
    "payment_method_types": "list",
    "receipt_email": "text",
    "setup_future_usage": "text",
    "shipping": "map",
    "statement_descriptor": "text",
    "statement_descriptor_suffix": "text",
    "transfer_group": "text",
    "capture_method": "text",
}
_CONFIRMING = {"return_url": "text", "off_session": "any"}
_NO_EFFECT = (
    "payment_method_options", "mandate", "mandate_data", "use_stripe_sdk", "radar_options", "application_fee_amount",
    "transfer_data", "on_behalf_of", "payment_method_configuration", "error_on_requires_action", "payment_details",
)  # fmt: skip
_KEPT = (
    "description", "receipt_email", "setup_future_usage", "shipping", "statement_descriptor",
    "statement_descriptor_suffix", "transfer_group", "payment_method_types",
)  # fmt: skip
_BEFORE_PAYMENT = ("requires_payment_method", "requires_confirmation", "requires_action")


def create_intent(call: RestCall) -> Any:
    """Create a payment intent, and confirm it at once with ``confirm``; a declined card answers 402 and the intent stays."""
    own = {"confirm": "flag", "automatic_payment_methods": "map", "confirmation_method": "text"}
    given = arguments(call, {**_SHARED, **_CONFIRMING, **own}, _NO_EFFECT)
    require(given, "amount", "currency")
    _check(call, given, given["currency"])
    intent = new_intent(call, given)
    if given.get("confirm"):
        return confirm_now(call, intent, given)
    if "return_url" in given or "off_session" in given:
        name = "return_url" if "return_url" in given else "off_session"
        raise refuse(f"You may only give {name} together with confirm=true.", param=name)
    return answer(call, intent, given)


def new_intent(call: RestCall, given: Mapping[str, Any]) -> Doc:
    """Keep a new payment intent with these parameters, which were checked."""
    key = new_id(call, "payment_intents")
    automatic = given.get("automatic_payment_methods")
    if automatic is None and "payment_method_types" not in given:
        automatic = {"enabled": "true"}
    if automatic is not None:
        automatic = {
            "allow_redirects": automatic.get("allow_redirects", "always"),
            "enabled": automatic.get("enabled") == "true",
        }
    fields = dict.fromkeys(
        ("application", "application_fee_amount", "canceled_at", "cancellation_reason", "last_payment_error",
         "latest_charge", "next_action", "on_behalf_of", "processing", "review", "source", "transfer_data", "customer",
         "payment_method", *_KEPT)
    )  # fmt: skip
    intent = make(
        call,
        "payment_intents",
        key,
        **{
            **fields,
            "payment_method_types": ["card"],
            **{name: given[name] for name in _KEPT if name in given},
            "amount": given["amount"],
            "amount_capturable": 0,
            "amount_details": {"tip": {}},
            "amount_received": 0,
            "automatic_payment_methods": automatic,
            "capture_method": given.get("capture_method") or "automatic_async",
            "client_secret": f"{key}_secret_{call.act.new_id('stripe client secret', '', 25)}",
            "confirmation_method": given.get("confirmation_method") or "automatic",
            "currency": given["currency"],
            "customer": given.get("customer"),
            "metadata": merged({}, given),
            "payment_method_options": {"card": {"installments": None, "request_three_d_secure": "automatic"}},
            "status": "requires_payment_method",
        },
    )
    intent = _with_method(call, intent, given)
    emit(call, "payment_intent.created", intent)
    return intent


def _check(call: RestCall, given: Mapping[str, Any], currency: str) -> None:
    one_of(given, "capture_method", "automatic", "automatic_async", "manual")
    one_of(given, "confirmation_method", "automatic", "manual")
    one_of(given, "setup_future_usage", "off_session", "on_session")
    if given.get("customer"):
        fetch(call, "customers", given["customer"], "customer")
    amount = given.get("amount")
    if amount is not None and amount < 1:
        raise refuse("This value must be greater than or equal to 1.", param="amount", code="parameter_invalid_integer")
    if amount is not None and amount < MINIMUM.get(currency, 50):
        least = MINIMUM.get(currency, 50)
        raise refuse(f"The amount must be at least {least} {currency}.", param="amount", code="amount_too_small")
    if amount is not None and amount > 99_999_999:
        raise refuse("The amount must be no more than 99999999.", param="amount", code="amount_too_large")
    if "payment_method" in given and "payment_method_data" in given:
        raise refuse("You may only specify one of these parameters: payment_method, payment_method_data.")
    if unknown := [kind for kind in given.get("payment_method_types") or () if kind != "card"]:
        raise refuse(f"The payment method type {unknown[0]} is invalid.", param="payment_method_types")


def _with_method(call: RestCall, intent: Doc, given: Mapping[str, Any]) -> Doc:
    """The intent with the payment method that a call names."""
    if given.get("payment_method"):
        method = usable(call, given["payment_method"], "payment_method")
    elif given.get("payment_method_data"):
        method = from_data(call, given["payment_method_data"], "payment_method_data")
    else:
        return intent
    owner = method["customer"]
    if owner is not None and owner != intent["customer"]:
        raise refuse(
            f"The PaymentMethod {method['id']} belongs to the customer {owner}; give customer={owner} too.",
            param="payment_method",
        )
    status = "requires_confirmation" if intent["status"] == "requires_payment_method" else intent["status"]
    return change(call, "payment_intents", intent, payment_method=method["id"], status=status)


def get_intent(call: RestCall) -> Any:
    """Retrieve a payment intent; with ``client_secret`` it must be the right one."""
    given = arguments(call, {"client_secret": "text"})
    intent = fetch(call, "payment_intents", call.params["id"])
    if given.get("client_secret") not in (None, intent["client_secret"]):
        raise refuse(
            "The client_secret provided does not match the client_secret associated with the PaymentIntent.",
            param="client_secret",
            code="payment_intent_authentication_failure",
        )
    return answer(call, intent, given)


def list_intents(call: RestCall) -> Any:
    """List payment intents, newest first, also by ``customer``."""
    given = arguments(call, {**LISTING, "customer": "text"})
    customer = given.get("customer")
    return listing(call, "payment_intents", given, lambda one: customer is None or one["customer"] == customer)


def update_intent(call: RestCall) -> Any:
    """Change a payment intent; amount and payment method only before it is paid."""
    given = arguments(call, _SHARED, _NO_EFFECT)
    old = fetch(call, "payment_intents", call.params["id"])
    if old["status"] not in _BEFORE_PAYMENT:
        late = set(given) - {"description", "metadata", "receipt_email", "shipping", "transfer_group", "expand"}
        if late or old["status"] == "canceled":
            raise _unexpected(old, "updated")
    _check(call, given, str(given.get("currency") or old["currency"]))
    changed = {
        name: given[name] for name in (*_KEPT, "amount", "currency", "customer", "capture_method") if name in given
    }
    new = change(call, "payment_intents", old, **changed, metadata=merged(old["metadata"], given))
    return answer(call, _with_method(call, new, given), given)


def confirm_intent(call: RestCall) -> Any:
    """Confirm a payment intent: it succeeds, waits for capture or for the customer, or is declined with 402."""
    confirmed = ("payment_method", "payment_method_data", "receipt_email", "setup_future_usage", "shipping", "capture_method",
                 "payment_method_types")  # fmt: skip
    known = {name: _SHARED[name] for name in confirmed}
    given = arguments(call, {**known, **_CONFIRMING}, _NO_EFFECT)
    intent = fetch(call, "payment_intents", call.params["id"])
    if intent["status"] not in _BEFORE_PAYMENT:
        raise _unexpected(intent, "confirmed")
    _check(call, given, intent["currency"])
    kept = {name: given[name] for name in (*_KEPT, "capture_method") if name in given}
    return confirm_now(call, _with_method(call, change(call, "payment_intents", intent, **kept), given), given)


def confirm_now(call: RestCall, intent: Doc, given: Mapping[str, Any]) -> Any:
    """What confirming an intent is answered with: the intent, or 402 when the card is declined."""
    if intent["payment_method"] is None:
        raise _unexpected(intent, "confirmed without a payment method")
    method = fetch(call, "payment_methods", intent["payment_method"])
    card = card_of(method)
    off_session = given.get("off_session") not in (None, "false")
    if card.authenticates and not off_session:
        action: dict[str, Any] = {"type": "use_stripe_sdk", "use_stripe_sdk": {"type": "three_d_secure_redirect"}}
        if given.get("return_url"):
            address = f"https://hooks.stripe.com/3d_secure_2/hosted?payment_intent={intent['id']}"
            action = {"type": "redirect_to_url", "redirect_to_url": {"return_url": given["return_url"], "url": address}}
        intent = change(call, "payment_intents", intent, status="requires_action", next_action=action)
        emit(call, "payment_intent.requires_action", intent)
        return answer(call, intent, given)
    code = "authentication_required" if card.authenticates else card.code
    if code is not None:
        decline = "authentication_required" if card.authenticates else card.decline_code
        return _declined(call, intent, method, code, decline, card.message)
    paid = charge(call, intent, method)
    if intent["setup_future_usage"] and intent["customer"] and method["customer"] is None:
        attach(call, method, intent["customer"])
    elif method["customer"] is None:
        change(call, "payment_methods", method, _spent=True)
    if intent["capture_method"] == "manual":
        fields: dict[str, Any] = {"status": "requires_capture", "amount_capturable": intent["amount"]}
        event = "payment_intent.amount_capturable_updated"
    else:
        fields = {"status": "succeeded", "amount_received": intent["amount"]}
        event = "payment_intent.succeeded"
    intent = change(
        call, "payment_intents", intent, **fields, latest_charge=paid["id"], last_payment_error=None, next_action=None
    )
    emit(call, event, intent)
    return answer(call, intent, given)


def _declined(
    call: RestCall, intent: Doc, method: Doc, code: str, decline_code: str | None, message: str
) -> UpstreamReply:
    """The refusal of the issuer; unlike other refusals it leaves its traces: a failed charge and a changed intent."""
    if code == "authentication_required":
        message = "The card was refused: authentication required."
    failed = charge(call, intent, method, code, decline_code, message)
    fields = {"charge": failed["id"], "code": code, "decline_code": decline_code, "payment_method": shown(method)}
    problem = error(message, "card_error", **fields)["error"]
    after = change(
        call,
        "payment_intents",
        intent,
        status="requires_payment_method",
        payment_method=None,
        latest_charge=failed["id"],
        last_payment_error=problem,
        next_action=None,
    )
    emit(call, "payment_intent.payment_failed", after)
    return UpstreamReply.of_json({"error": {**problem, "payment_intent": shown(after)}}, 402)


def capture_intent(call: RestCall) -> Any:
    """Capture an authorized payment, all of it or ``amount_to_capture``; the rest is released."""
    given = arguments(call, {"amount_to_capture": "count", "metadata": "metadata"}, ("final_capture", *_NO_EFFECT))
    intent = fetch(call, "payment_intents", call.params["id"])
    if intent["status"] != "requires_capture":
        raise _unexpected(intent, "captured")
    amount: int = given["amount_to_capture"] if "amount_to_capture" in given else intent["amount_capturable"]
    if not 1 <= amount <= intent["amount_capturable"]:
        raise refuse(
            f"amount_to_capture must be from 1 to {intent['amount_capturable']}.",
            param="amount_to_capture",
            code="amount_too_large" if amount else "parameter_invalid_integer",
        )
    settle(call, fetch(call, "charges", intent["latest_charge"]), amount)
    after = change(
        call,
        "payment_intents",
        intent,
        status="succeeded",
        amount_received=amount,
        amount_capturable=0,
        metadata=merged(intent["metadata"], given),
    )
    emit(call, "payment_intent.succeeded", after, before_change(intent, after))
    return answer(call, after, given)


def cancel_intent(call: RestCall) -> Any:
    """Cancel a payment intent that is not paid; an authorization is released."""
    given = arguments(call, {"cancellation_reason": "text"})
    one_of(given, "cancellation_reason", "duplicate", "fraudulent", "requested_by_customer", "abandoned")
    intent = fetch(call, "payment_intents", call.params["id"])
    if intent["status"] not in (*_BEFORE_PAYMENT, "requires_capture"):
        raise _unexpected(intent, "canceled")
    if intent["status"] == "requires_capture":
        held = fetch(call, "charges", intent["latest_charge"])
        released = change(call, "charges", held, amount_refunded=held["amount"], refunded=True)
        emit(call, "charge.refunded", released)
    after = change(
        call,
        "payment_intents",
        intent,
        status="canceled",
        canceled_at=call.now_ms // 1000,
        cancellation_reason=given.get("cancellation_reason"),
        amount_capturable=0,
        next_action=None,
    )
    emit(call, "payment_intent.canceled", after)
    return answer(call, after, given)


def _unexpected(intent: Doc, verb: str) -> PackRefusal:
    return refuse(
        f"This PaymentIntent cannot be {verb} because it has a status of {intent['status']}.",
        code="payment_intent_unexpected_state",
        payment_intent=shown(intent),
    )
