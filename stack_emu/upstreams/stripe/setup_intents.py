"""Setup intents: a card saved for later, without a payment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stack_emu.upstreams.pack_calls import PackRefusal, RestCall
from stack_emu.upstreams.requests import UpstreamReply
from stack_emu.upstreams.stripe.arguments import arguments, error, merged, one_of, refuse
from stack_emu.upstreams.stripe.customers import attach, card_of, from_data, usable
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
    "customer": "text",
    "description": "text",
    "metadata": "metadata",
    "payment_method": "text",
    "payment_method_data": "map",
    "payment_method_types": "list",
}
_NO_EFFECT = (
    "payment_method_options", "mandate_data", "use_stripe_sdk", "on_behalf_of", "payment_method_configuration",
    "flow_directions", "single_use", "attach_to_self",
)  # fmt: skip
_OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")


def create(call: RestCall) -> Any:
    """Create a setup intent, and confirm it at once with ``confirm``."""
    own = {"confirm": "flag", "usage": "text", "automatic_payment_methods": "map", "return_url": "text"}
    given = arguments(call, {**_SHARED, **own}, _NO_EFFECT)
    one_of(given, "usage", "off_session", "on_session")
    _check(call, given)
    key = new_id(call, "setup_intents")
    automatic = given.get("automatic_payment_methods")
    if automatic is None and "payment_method_types" not in given:
        automatic = {"enabled": "true"}
    intent = make(
        call,
        "setup_intents",
        key,
        **dict.fromkeys(
            ("application", "cancellation_reason", "last_setup_error", "latest_attempt", "mandate", "next_action",
             "on_behalf_of", "payment_method", "single_use_mandate")
        ),
        automatic_payment_methods=None if automatic is None else {"enabled": automatic.get("enabled") == "true"},
        client_secret=f"{key}_secret_{call.act.new_id('stripe client secret', '', 25)}",
        customer=given.get("customer"),
        description=given.get("description"),
        metadata=merged({}, given),
        payment_method_options={"card": {"request_three_d_secure": "automatic"}},
        payment_method_types=given.get("payment_method_types") or ["card"],
        status="requires_payment_method",
        usage=given.get("usage") or "off_session",
    )  # fmt: skip
    intent = _with_method(call, intent, given)
    emit(call, "setup_intent.created", intent)
    if given.get("confirm"):
        return _confirmed(call, intent, given)
    if "return_url" in given:
        raise refuse("You may only give return_url together with confirm=true.", param="return_url")
    return answer(call, intent, given)


def retrieve(call: RestCall) -> Any:
    """Retrieve a setup intent."""
    given = arguments(call, {"client_secret": "text"})
    intent = fetch(call, "setup_intents", call.params["id"])
    if given.get("client_secret") not in (None, intent["client_secret"]):
        raise refuse(
            "The client_secret provided does not match the client_secret associated with the SetupIntent.",
            param="client_secret",
            code="setup_intent_authentication_failure",
        )
    return answer(call, intent, given)


def update(call: RestCall) -> Any:
    """Change a setup intent that has not succeeded."""
    given = arguments(call, _SHARED, _NO_EFFECT)
    old = _open(call, "updated")
    _check(call, given)
    kept = {name: given[name] for name in ("customer", "description", "payment_method_types") if name in given}
    new = change(call, "setup_intents", old, **kept, metadata=merged(old["metadata"], given))
    return answer(call, _with_method(call, new, given), given)


def confirm(call: RestCall) -> Any:
    """Confirm a setup intent: the card is saved to its customer, waits for the customer, or is declined with 402."""
    known = {"payment_method": "text", "payment_method_data": "map", "return_url": "text"}
    given = arguments(call, known, _NO_EFFECT)
    intent = _open(call, "confirmed")
    return _confirmed(call, _with_method(call, intent, given), given)


def cancel(call: RestCall) -> Any:
    """Cancel a setup intent that has not succeeded."""
    given = arguments(call, {"cancellation_reason": "text"})
    one_of(given, "cancellation_reason", "abandoned", "duplicate", "requested_by_customer")
    intent = _open(call, "canceled")
    reason = given.get("cancellation_reason")
    after = change(call, "setup_intents", intent, status="canceled", cancellation_reason=reason, next_action=None)
    emit(call, "setup_intent.canceled", after, before_change(intent, after))
    return answer(call, after, given)


def list_intents(call: RestCall) -> Any:
    """List setup intents, newest first, also by ``customer`` and ``payment_method``."""
    given = arguments(call, {**LISTING, "customer": "text", "payment_method": "text"}, ("attach_to_self",))

    def is_wanted(doc: Doc) -> bool:
        return all(given.get(name) in (None, doc[name]) for name in ("customer", "payment_method"))

    return listing(call, "setup_intents", given, is_wanted)


def _check(call: RestCall, given: Mapping[str, Any]) -> None:
    if given.get("customer"):
        fetch(call, "customers", given["customer"], "customer")
    if "payment_method" in given and "payment_method_data" in given:
        raise refuse("You may only specify one of these parameters: payment_method, payment_method_data.")
    if unknown := [kind for kind in given.get("payment_method_types") or () if kind != "card"]:
        raise refuse(f"The payment method type {unknown[0]} is invalid.", param="payment_method_types")


def _open(call: RestCall, verb: str) -> Doc:
    intent = fetch(call, "setup_intents", call.params["id"])
    if intent["status"] not in _OPEN:
        raise _unexpected(intent, verb)
    return intent


def _with_method(call: RestCall, intent: Doc, given: Mapping[str, Any]) -> Doc:
    if given.get("payment_method"):
        method = usable(call, given["payment_method"], "payment_method")
    elif given.get("payment_method_data"):
        method = from_data(call, given["payment_method_data"], "payment_method_data")
    else:
        return intent
    if method["customer"] not in (None, intent["customer"]):
        owner = method["customer"]
        raise refuse(
            f"The PaymentMethod {method['id']} belongs to the customer {owner}; give customer={owner} too.",
            param="payment_method",
        )
    status = "requires_confirmation" if intent["status"] == "requires_payment_method" else intent["status"]
    return change(call, "setup_intents", intent, payment_method=method["id"], status=status)


def _confirmed(call: RestCall, intent: Doc, given: Mapping[str, Any]) -> Any:
    if intent["payment_method"] is None:
        raise _unexpected(intent, "confirmed without a payment method")
    method = fetch(call, "payment_methods", intent["payment_method"])
    card = card_of(method)
    if card.authenticates:
        action: dict[str, Any] = {"type": "use_stripe_sdk", "use_stripe_sdk": {"type": "three_d_secure_redirect"}}
        if given.get("return_url"):
            address = f"https://hooks.stripe.com/3d_secure_2/hosted?setup_intent={intent['id']}"
            action = {"type": "redirect_to_url", "redirect_to_url": {"return_url": given["return_url"], "url": address}}
        waiting = change(call, "setup_intents", intent, status="requires_action", next_action=action)
        emit(call, "setup_intent.requires_action", waiting)
        return answer(call, waiting, given)
    if not card.attaches:
        problem = error(card.message, "card_error", code=card.code, decline_code=card.decline_code)
        failed = change(
            call,
            "setup_intents",
            intent,
            status="requires_payment_method",
            payment_method=None,
            last_setup_error={**problem["error"], "payment_method": shown(method)},
        )
        emit(call, "setup_intent.setup_failed", failed)
        more = {"payment_method": shown(method), "setup_intent": shown(failed)}
        return UpstreamReply.of_json({"error": {**problem["error"], **more}}, 402)
    if intent["customer"] and method["customer"] is None:
        attach(call, method, intent["customer"])
    after = change(call, "setup_intents", intent, status="succeeded", last_setup_error=None, next_action=None)
    emit(call, "setup_intent.succeeded", after)
    return answer(call, after, given)


def _unexpected(intent: Doc, verb: str) -> PackRefusal:
    return refuse(
        f"This SetupIntent cannot be {verb} because it has a status of {intent['status']}.",
        code="setup_intent_unexpected_state",
        setup_intent=shown(intent),
    )
