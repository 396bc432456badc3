"""The Stripe pack: its operations, its permissions, its idempotency and its way to refuse."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl

from stack_emu.kernel.world import World
from stack_emu.upstreams.pack_calls import PackOperation, PackRefusal, RestCall
from stack_emu.upstreams.packs import Declined
from stack_emu.upstreams.requests import UpstreamReply, UpstreamRequest
from stack_emu.upstreams.rest_pack import RestPack
from stack_emu.upstreams.stripe import (
    catalogue,
    customers,
    intents,
    invoice_items,
    invoices,
    money,
    setup_intents,
    subscriptions,
)
from stack_emu.upstreams.stripe.arguments import error, nest, refuse
from stack_emu.upstreams.stripe.objects import API_VERSION, request_id
from stack_emu.upstreams.stripe.searching import search
from stack_emu.upstreams.stripe.seeding import SEED_KEYS, check_seed, write_seed

_DAY_MS = 86_400_000
_LONGEST_KEY = 255
_INVALID = "invalid_request_error"


class StripePack(RestPack):
    """A Stripe account in test mode: customers, cards, payments, refunds, products, prices, invoices and subscriptions.

    What happens is in its events. Cards behave as Stripe's test cards do. A restricted key's permissions are the scopes, in
    Stripe's spelling: ``rak_customer_write``; ``write`` includes ``read``. ``read_only`` and ``read_write``, which Connect's
    OAuth hands out, permit reading and everything.
    """

    title = "Stripe"
    hosts = ("api.stripe.com",)
    clients = ("stripe 16.1 (sync and async)",)
    seed_keys = SEED_KEYS

    def check(self, seed: Mapping[str, Any]) -> None:
        """Refuse a seed that cannot work.

        Raises:
            ValueError: one sentence that begins with the place.
        """
        check_seed(seed)

    def seed(self, world: World, name: str, seed: Mapping[str, Any]) -> None:
        """Write the account that the upstream ``name`` begins with."""
        write_seed(world, name, seed)

    def without_credential(self, request: UpstreamRequest) -> UpstreamReply:
        """401, whether the key is missing or not known."""
        message = "Invalid API key." if "Authorization" in request.headers else "No API key was given."
        headers = {"WWW-Authenticate": 'Basic realm="Stripe"'}
        return UpstreamReply.of_json(error(message, _INVALID), 401, headers)

    def injected(self, status: int) -> Any:
        """The body Stripe sends with a bare status."""
        known = {
            400: (_INVALID, None),
            401: (_INVALID, None),
            402: ("card_error", "card_declined"),
            403: (_INVALID, None),
            404: (_INVALID, "resource_missing"),
            409: ("idempotency_error", "idempotency_key_in_use"),
            429: (_INVALID, "rate_limit"),
        }
        kind, code = known.get(status, ("api_error", None))
        return error(f"The request failed with {status}.", kind, code=code)

    def missing_scope(self, call: RestCall) -> UpstreamReply:
        """403 that names the permission."""
        message = f"The key lacks a permission that this call needs; {call.operation.scopes[0]} would permit it."
        return UpstreamReply.of_json(error(message, _INVALID), 403)

    def bad_body(self, request: UpstreamRequest, sentence: str) -> UpstreamReply:
        """400 for a form that does not parse, and for JSON, which this API does not take."""
        return UpstreamReply.of_json(error(sentence, _INVALID), 400)

    def read_fields(self, request: UpstreamRequest) -> Mapping[str, Any]:
        """The fields of a form, nested as their brackets say.

        Raises:
            ValueError: for another kind of body, and for brackets that do not pair.
        """
        if not request.body:
            return {}
        if "json" in request.content_type:
            raise ValueError("Send parameters as application/x-www-form-urlencoded; this API takes no JSON.")
        return nest(parse_qsl(request.text, keep_blank_values=True))

    def before(self, call: RestCall) -> None:
        """Answer a repeated idempotency key with the first reply.

        Raises:
            PackRefusal: with that reply, or with ``idempotency_error`` when the parameters are others.
        """
        key = _idempotency_key(call)
        if key is None:
            return
        if len(key) > _LONGEST_KEY:
            raise refuse("Idempotency keys have up to 255 characters.", kind="idempotency_error")
        held = call.collection("idempotency").get(_of_credential(call, key))
        if held is None or held["ms"] + _DAY_MS <= call.instant_ms:
            return
        if held["request"] != _fingerprint(call):
            raise refuse(
                "Keys for idempotent requests can only be used with the same endpoint and parameters they were first used with.",
                kind="idempotency_error",
            )
        call.ignore(*call.fields, *(f"query.{name}" for name, _ in call.request.query))
        headers = {"Idempotent-Replayed": "true", "Original-Request": held["id"]}
        raise PackRefusal(UpstreamReply(held["status"], {**held["headers"], **headers}, held["body"].encode()))

    def after(self, call: RestCall, reply: UpstreamReply) -> UpstreamReply:
        """Add the headers of every reply, and keep it for its idempotency key."""
        headers = reply.headers.copy()
        headers["Request-Id"] = request_id(call)
        headers["Stripe-Version"] = call.request.headers.get("Stripe-Version", API_VERSION)
        body = reply.body
        if reply.status >= 400 and "Idempotent-Replayed" not in headers:
            data = reply.json()
            data["error"]["request_log_url"] = f"https://dashboard.stripe.com/test/logs/{request_id(call)}"
            body = json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
        key = _idempotency_key(call)
        if key is not None:
            headers["Idempotency-Key"] = key
            headers.setdefault("Original-Request", request_id(call))
            if not call.context.discard:
                call.collection("idempotency").put(
                    _of_credential(call, key),
                    {
                        "id": request_id(call),
                        "ms": call.instant_ms,
                        "request": _fingerprint(call),
                        "status": reply.status,
                        "headers": {"Content-Type": "application/json"},
                        "body": body.decode(),
                    },
                )
        return UpstreamReply(reply.status, headers, body)


def _idempotency_key(call: RestCall) -> str | None:
    return call.request.headers.get("Idempotency-Key") if call.request.method == "POST" else None


def _of_credential(call: RestCall, key: str) -> str:
    credential = call.context.credential
    return f"{credential.connection_id if credential else ''} {key}"


def _fingerprint(call: RestCall) -> str:
    asked = [call.request.path, sorted(call.request.query), call.fields]
    return sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def _operation(name: str, call: str, handler: Callable[[RestCall], Any], resource: str) -> PackOperation:
    method, _, path = call.partition(" ")
    reads = method == "GET"
    scopes = (f"rak_{resource}_read", f"rak_{resource}_write", "read_only", "read_write")
    page = "docs.stripe.com/search" if name.endswith("search") else f"docs.stripe.com/api/{name.split('.')[0]}"
    return PackOperation(name, method, path, handler, f"{page}; stripe 16.1 {name}", scopes if reads else scopes[1::2])


StripePack.served = tuple(
    _operation(*row)
    for row in (
        ("customers.create", "POST /v1/customers", customers.create_customer, "customer"),
        ("customers.retrieve", "GET /v1/customers/{id}", customers.get_customer, "customer"),
        ("customers.update", "POST /v1/customers/{id}", customers.update_customer, "customer"),
        ("customers.delete", "DELETE /v1/customers/{id}", customers.delete_customer, "customer"),
        ("customers.list", "GET /v1/customers", customers.list_customers, "customer"),
        ("customers.search", "GET /v1/customers/search", search("customers"), "customer"),
        (
            "customers.payment_methods.list",
            "GET /v1/customers/{id}/payment_methods",
            customers.list_methods,
            "payment_method",
        ),
        ("payment_methods.create", "POST /v1/payment_methods", customers.create_method, "payment_method"),
        ("payment_methods.retrieve", "GET /v1/payment_methods/{id}", customers.get_method, "payment_method"),
        ("payment_methods.update", "POST /v1/payment_methods/{id}", customers.update_method, "payment_method"),
        ("payment_methods.list", "GET /v1/payment_methods", customers.list_methods, "payment_method"),
        ("payment_methods.attach", "POST /v1/payment_methods/{id}/attach", customers.attach_method, "payment_method"),
        ("payment_methods.detach", "POST /v1/payment_methods/{id}/detach", customers.detach_method, "payment_method"),
        ("payment_intents.create", "POST /v1/payment_intents", intents.create_intent, "payment_intent"),
        ("payment_intents.retrieve", "GET /v1/payment_intents/{id}", intents.get_intent, "payment_intent"),
        ("payment_intents.update", "POST /v1/payment_intents/{id}", intents.update_intent, "payment_intent"),
        ("payment_intents.list", "GET /v1/payment_intents", intents.list_intents, "payment_intent"),
        ("payment_intents.search", "GET /v1/payment_intents/search", search("payment_intents"), "payment_intent"),
        ("payment_intents.confirm", "POST /v1/payment_intents/{id}/confirm", intents.confirm_intent, "payment_intent"),
        ("payment_intents.capture", "POST /v1/payment_intents/{id}/capture", intents.capture_intent, "payment_intent"),
        ("payment_intents.cancel", "POST /v1/payment_intents/{id}/cancel", intents.cancel_intent, "payment_intent"),
        ("charges.retrieve", "GET /v1/charges/{id}", money.get_charge, "charge"),
        ("charges.update", "POST /v1/charges/{id}", money.update_charge, "charge"),
        ("charges.list", "GET /v1/charges", money.list_charges, "charge"),
        ("charges.search", "GET /v1/charges/search", search("charges"), "charge"),
        ("refunds.create", "POST /v1/refunds", money.create_refund, "charge"),
        ("refunds.retrieve", "GET /v1/refunds/{id}", money.get_refund, "charge"),
        ("refunds.update", "POST /v1/refunds/{id}", money.update_refund, "charge"),
        ("refunds.list", "GET /v1/refunds", money.list_refunds, "charge"),
        ("products.create", "POST /v1/products", catalogue.create_product, "product"),
        ("products.retrieve", "GET /v1/products/{id}", catalogue.get_product, "product"),
        ("products.update", "POST /v1/products/{id}", catalogue.update_product, "product"),
        ("products.delete", "DELETE /v1/products/{id}", catalogue.delete_product, "product"),
        ("products.list", "GET /v1/products", catalogue.list_products, "product"),
        ("products.search", "GET /v1/products/search", search("products"), "product"),
        ("prices.create", "POST /v1/prices", catalogue.create_price, "plan"),
        ("prices.retrieve", "GET /v1/prices/{id}", catalogue.get_price, "plan"),
        ("prices.update", "POST /v1/prices/{id}", catalogue.update_price, "plan"),
        ("prices.list", "GET /v1/prices", catalogue.list_prices, "plan"),
        ("prices.search", "GET /v1/prices/search", search("prices"), "plan"),
        ("setup_intents.create", "POST /v1/setup_intents", setup_intents.create, "setup_intent"),
        ("setup_intents.retrieve", "GET /v1/setup_intents/{id}", setup_intents.retrieve, "setup_intent"),
        ("setup_intents.update", "POST /v1/setup_intents/{id}", setup_intents.update, "setup_intent"),
        ("setup_intents.confirm", "POST /v1/setup_intents/{id}/confirm", setup_intents.confirm, "setup_intent"),
        ("setup_intents.cancel", "POST /v1/setup_intents/{id}/cancel", setup_intents.cancel, "setup_intent"),
        ("setup_intents.list", "GET /v1/setup_intents", setup_intents.list_intents, "setup_intent"),
        ("invoices.create", "POST /v1/invoices", invoices.create_invoice, "invoice"),
        ("invoices.retrieve", "GET /v1/invoices/{id}", invoices.get_invoice, "invoice"),
        ("invoices.update", "POST /v1/invoices/{id}", invoices.update_invoice, "invoice"),
        ("invoices.delete", "DELETE /v1/invoices/{id}", invoices.delete_invoice, "invoice"),
        ("invoices.list", "GET /v1/invoices", invoices.list_invoices, "invoice"),
        ("invoices.search", "GET /v1/invoices/search", search("invoices"), "invoice"),
        ("invoices.line_items.list", "GET /v1/invoices/{id}/lines", invoices.list_lines, "invoice"),
        ("invoices.finalize_invoice", "POST /v1/invoices/{id}/finalize", invoices.finalize_invoice, "invoice"),
        ("invoices.pay", "POST /v1/invoices/{id}/pay", invoices.pay_invoice, "invoice"),
        ("invoices.void_invoice", "POST /v1/invoices/{id}/void", invoices.void_invoice, "invoice"),
        (
            "invoices.mark_uncollectible",
            "POST /v1/invoices/{id}/mark_uncollectible",
            invoices.mark_uncollectible,
            "invoice",
        ),
        ("invoice_items.create", "POST /v1/invoiceitems", invoice_items.create_item, "invoice"),
        ("invoice_items.retrieve", "GET /v1/invoiceitems/{id}", invoice_items.get_item, "invoice"),
        ("invoice_items.update", "POST /v1/invoiceitems/{id}", invoice_items.update_item, "invoice"),
        ("invoice_items.delete", "DELETE /v1/invoiceitems/{id}", invoice_items.delete_item, "invoice"),
        ("invoice_items.list", "GET /v1/invoiceitems", invoice_items.list_items, "invoice"),
        ("subscriptions.create", "POST /v1/subscriptions", subscriptions.create, "subscription"),
        ("subscriptions.retrieve", "GET /v1/subscriptions/{id}", subscriptions.retrieve, "subscription"),
        ("subscriptions.update", "POST /v1/subscriptions/{id}", subscriptions.update, "subscription"),
        ("subscriptions.cancel", "DELETE /v1/subscriptions/{id}", subscriptions.cancel, "subscription"),
        ("subscriptions.list", "GET /v1/subscriptions", subscriptions.list_subscriptions, "subscription"),
        ("balance.retrieve", "GET /v1/balance", money.get_balance, "balance"),
        ("balance_transactions.retrieve", "GET /v1/balance_transactions/{id}", money.get_transaction, "balance"),
        ("balance_transactions.list", "GET /v1/balance_transactions", money.list_transactions, "balance"),
        ("events.retrieve", "GET /v1/events/{id}", money.get_event, "event"),
        ("events.list", "GET /v1/events", money.list_events, "event"),
    )
)

StripePack.declined = (
    Declined("invoices.send_invoice", "mail goes nowhere; finalize and pay", "POST", "/v1/invoices/{id}/send"),
    Declined("invoices.create_preview", "draft an invoice and delete it", "POST", "/v1/invoices/create_preview"),
    Declined("subscriptions.search", "list them by customer, price or status", "GET", "/v1/subscriptions/search"),
    Declined("subscription_items", "change items with subscriptions.update", path="/v1/subscription_items*"),
    Declined("subscription_schedules", "only the first invoice is billed", path="/v1/subscription_schedules*"),
    Declined("coupons and promotion codes", "nothing is discounted", path="/v1/coupons*"),
    Declined("tax rates", "nothing is taxed", path="/v1/tax_rates*"),
    Declined("checkout.sessions", "they are paid on a page of Stripe's", path="/v1/checkout/*"),
    Declined("payment_links", "they are paid on a page of Stripe's", path="/v1/payment_links*"),
    Declined("charges.create", "Stripe has put payment intents in its place", "POST", "/v1/charges"),
    Declined("sources and tokens", "Stripe has put payment methods in their place", path="/v1/tokens*"),
    Declined("webhook_endpoints", "events are kept in events.list and posted nowhere", path="/v1/webhook_endpoints*"),
    Declined("Finishing a 3D Secure challenge", "the customer does it in a browser; the intent stays requires_action"),
    Declined("Payment methods other than cards", "only cards have test numbers that every account takes"),
    Declined("Connect, Issuing, Terminal, Treasury, /v2", "an agent's key for payments seldom reaches them"),
)
