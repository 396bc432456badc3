"""Customers and payment methods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stack_emu.upstreams.pack_calls import PackRefusal, RestCall
from stack_emu.upstreams.requests import UpstreamReply
from stack_emu.upstreams.stripe.arguments import arguments, error, merged, refuse, require
from stack_emu.upstreams.stripe.cards import BY_NAME, BY_NUMBER, TestCard, named
from stack_emu.upstreams.stripe.objects import (
    LISTING,
    Doc,
    alive,
    answer,
    before_change,
    change,
    emit,
    fetch,
    listing,
    make,
    shown,
)

_CUSTOMER = {
    "email": "text",
    "name": "text",
    "description": "text",
    "phone": "text",
    "metadata": "metadata",
    "address": "map",
    "shipping": "map",
    "preferred_locales": "list",
    "invoice_settings": "map",
}
_NO_EFFECT = ("tax", "tax_exempt", "tax_id_data", "test_clock", "cash_balance", "balance", "source", "coupon")


def _checked(given: Mapping[str, Any]) -> dict[str, Any]:
    email = given.get("email")
    if email is not None and not ("@" in email[1:-1] and " " not in email):
        raise refuse(f"Invalid email address: {email}", param="email", code="email_invalid")
    return {name: value for name, value in given.items() if name not in ("expand", "metadata", "invoice_settings")}


def create_customer(call: RestCall) -> Any:
    """Create a customer."""
    given = arguments(call, {**_CUSTOMER, "payment_method": "text"}, _NO_EFFECT)
    fields = dict.fromkeys(("address", "description", "email", "name", "phone", "shipping"))
    checked = _checked(given)
    method = checked.pop("payment_method", None)
    settings = {"custom_fields": None, "default_payment_method": None, "footer": None, "rendering_options": None}
    customer = make(
        call,
        "customers",
        **{
            "balance": 0,
            "currency": None,
            "default_source": None,
            "delinquent": False,
            "discount": None,
            "preferred_locales": [],
            "tax_exempt": "none",
            "test_clock": None,
            **fields,
            **checked,
        },
        invoice_settings={**settings, **(given.get("invoice_settings") or {})},
        metadata=merged({}, given),
    )
    if method is not None:
        attach(call, usable(call, method, "payment_method"), customer["id"])
    emit(call, "customer.created", customer)
    return answer(call, customer, given)


def get_customer(call: RestCall) -> Any:
    """Retrieve a customer; a deleted one is answered as ``deleted``."""
    given = arguments(call, {})
    return answer(call, fetch(call, "customers", call.params["id"]), given)


def update_customer(call: RestCall) -> Any:
    """Change a customer; metadata is merged, an empty text unsets."""
    given = arguments(call, _CUSTOMER, _NO_EFFECT)
    old = alive(call, "customers")
    settings = {**old["invoice_settings"], **(given.get("invoice_settings") or {})}
    default = settings["default_payment_method"]
    if (
        default
        and fetch(call, "payment_methods", default, "invoice_settings[default_payment_method]")["customer"] != old["id"]
    ):
        message = f"The payment method {default} is not attached to the customer {old['id']}."
        raise refuse(message, param="invoice_settings[default_payment_method]")
    new = change(
        call, "customers", old, **_checked(given), invoice_settings=settings, metadata=merged(old["metadata"], given)
    )
    emit(call, "customer.updated", new, before_change(old, new))
    return answer(call, new, given)


def delete_customer(call: RestCall) -> Any:
    """Delete a customer for good; its payment methods are detached."""
    arguments(call, {})
    old = alive(call, "customers")
    emit(call, "customer.deleted", old)
    for method in call.collection("payment_methods").all():
        if method["customer"] == old["id"]:
            change(call, "payment_methods", method, customer=None, _spent=True)
    return shown(change(call, "customers", old, _deleted=True))


def list_customers(call: RestCall) -> Any:
    """List customers, newest first, also by ``email``."""
    given = arguments(call, {**LISTING, "email": "text"})
    email = given.get("email")
    return listing(call, "customers", given, lambda one: email is None or one["email"] == email)


# --- payment methods --------------------------------------------------------------------------------------------------

_METHOD = {"type": "text", "card": "map", "billing_details": "map", "metadata": "metadata"}


def new_card(call: RestCall, number: str, given: Mapping[str, Any], param: str) -> Doc:
    """A card as a payment method of its own.

    Raises:
        PackRefusal: 402 ``incorrect_number`` for a number that is no test card.
    """
    card = BY_NUMBER.get(number)
    if card is None:
        body = error("The card number is incorrect.", "card_error", code="incorrect_number", param=f"{param}[number]")
        hint = "The fake knows the numbers of docs.stripe.com/testing that stack_emu/upstreams/stripe/cards.py lists."
        raise PackRefusal(UpstreamReply.of_json(body, 402), hint)
    asked = given.get("card") or {}
    year = call.now[:4]
    billing = {"address": None, "email": None, "name": None, "phone": None, "tax_id": None}
    return make(
        call,
        "payment_methods",
        allow_redisplay="unspecified",
        billing_details={**billing, **(given.get("billing_details") or {})},
        card={
            "brand": card.brand,
            "checks": {
                "address_line1_check": None,
                "address_postal_code_check": None,
                "cvc_check": "pass" if asked.get("cvc") else None,
            },
            "country": "US",
            "display_brand": card.brand,
            "exp_month": int(asked.get("exp_month", 12)),
            "exp_year": int(asked.get("exp_year", int(year) + 4)),
            "funding": card.funding,
            "last4": card.last4,
            "networks": {"available": [card.brand], "preferred": None},
            "three_d_secure_usage": {"supported": True},
            "wallet": None,
        },
        customer=None,
        metadata=merged({}, given),
        type="card",
        _number=number,
    )


def card_of(method: Doc) -> TestCard:
    """The test card behind a payment method."""
    return BY_NUMBER[method["_number"]]


def usable(call: RestCall, key: str, param: str) -> Doc:
    """The payment method with this id; a name such as ``pm_card_visa`` becomes one of its own."""
    number = named(key)
    if number is not None:
        return new_card(call, number, {}, param)
    found = fetch(call, "payment_methods", key, param)
    if found.get("_spent"):
        raise refuse(
            "This PaymentMethod was detached, or used without being attached to a customer, and may not be used again.",
            code="payment_method_unexpected_state",
        )
    return found


def from_data(call: RestCall, data: Mapping[str, Any], param: str) -> Doc:
    """A payment method from ``{type: card, card: {number | token}}``."""
    if data.get("type") != "card":
        raise refuse(f"Invalid {param}[type]: the fake knows card", param=f"{param}[type]")
    card = data.get("card")
    if not isinstance(card, dict):
        raise refuse(f"Missing required param: {param}[card].", param=f"{param}[card]", code="parameter_missing")
    month = str(card.get("exp_month", "12"))
    if not (month.isdigit() and 1 <= int(month) <= 12):
        raise refuse("The card's expiration month is invalid.", param="card[exp_month]", code="invalid_expiry_month")
    year = str(card.get("exp_year", call.now[:4]))
    if not year.isdigit() or int(year) < int(call.now[:4]):
        raise refuse("The card's expiration year is invalid.", param="card[exp_year]", code="invalid_expiry_year")
    token = str(card.get("token", ""))
    number = BY_NAME.get(token.removeprefix("tok_"), "") if token else str(card.get("number", "")).replace(" ", "")
    if token and not number:
        raise refuse(f"No such token: '{token}'", param="card[token]", code="resource_missing")
    return new_card(call, number, data, "card")


def attach(call: RestCall, method: Doc, customer: str) -> Doc:
    """Save a payment method to a customer.

    Raises:
        PackRefusal: 402 when the card declines, as the issuer is asked.
    """
    card = card_of(method)
    if not card.attaches:
        body = error(card.message, "card_error", code=card.code, decline_code=card.decline_code)
        raise PackRefusal(UpstreamReply.of_json(body, 402))
    new = change(call, "payment_methods", method, customer=customer)
    emit(call, "payment_method.attached", new)
    return new


def create_method(call: RestCall) -> Any:
    """Create a card from a test number or a ``tok_`` token."""
    given = arguments(call, _METHOD, ("allow_redisplay", "radar_options"))
    require(given, "type")
    data = {name: value for name, value in given.items() if name != "expand"}
    if data["type"] != "card":
        raise refuse("Invalid type: the fake knows card", param="type", hint="Other payment methods are not served.")
    return answer(call, from_data(call, data, "payment_method"), given)


def get_method(call: RestCall) -> Any:
    """Retrieve a payment method."""
    given = arguments(call, {})
    return answer(call, fetch(call, "payment_methods", call.params["id"]), given)


def update_method(call: RestCall) -> Any:
    """Change billing details, metadata or the expiry of a payment method that is attached."""
    given = arguments(call, {"billing_details": "map", "metadata": "metadata", "card": "map"}, ("allow_redisplay",))
    old = fetch(call, "payment_methods", call.params["id"])
    if old["customer"] is None:
        raise refuse("You must save this PaymentMethod to a customer before you can update it.")
    expiry = {name: int(value) for name, value in (given.get("card") or {}).items() if str(value).isdigit()}
    new = change(
        call,
        "payment_methods",
        old,
        billing_details={**old["billing_details"], **(given.get("billing_details") or {})},
        card={**old["card"], **{name: expiry[name] for name in ("exp_month", "exp_year") if name in expiry}},
        metadata=merged(old["metadata"], given),
    )
    emit(call, "payment_method.updated", new, before_change(old, new))
    return answer(call, new, given)


def list_methods(call: RestCall) -> Any:
    """List payment methods, by ``customer`` and ``type``."""
    given = arguments(call, {**LISTING, "customer": "text", "type": "text"})
    if given.get("customer"):
        fetch(call, "customers", given["customer"], "customer")
    owner = given.get("customer") or call.params.get("id")
    if "id" in call.params:
        alive(call, "customers")
    kind = given.get("type", "card")
    return listing(
        call,
        "payment_methods",
        given,
        lambda one: one["type"] == kind and (one["customer"] == owner if owner else one["customer"] is not None),
    )


def attach_method(call: RestCall) -> Any:
    """Attach a payment method to a customer; a declining card is refused with 402."""
    given = arguments(call, {"customer": "text"})
    require(given, "customer")
    method = usable(call, call.params["id"], "payment_method")
    customer = fetch(call, "customers", given["customer"], "customer")
    if method["customer"] not in (None, customer["id"]):
        raise refuse("The payment method you provided has already been attached to a customer.")
    return answer(call, attach(call, method, customer["id"]), given)


def detach_method(call: RestCall) -> Any:
    """Detach a payment method; it cannot be used again."""
    given = arguments(call, {})
    old = fetch(call, "payment_methods", call.params["id"])
    if old["customer"] is None:
        raise refuse("The payment method you provided is not attached to a customer so detachment is impossible.")
    new = change(call, "payment_methods", old, customer=None, _spent=True)
    emit(call, "payment_method.detached", new, {"customer": old["customer"]})
    return answer(call, new, given)
