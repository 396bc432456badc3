"""Invoices, subscriptions and setup intents, driven by stripe-python."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import stripe

from tests.upstreams.conftest import START_MS, Service

KEY = "sk_test_canary_of_stripe"
NOW = START_MS // 1000
DAY = 86_400
JANUARY = 31 * DAY
SEED = {
    "customers": [{"id": "cus_ada", "email": "ada@acme.test", "name": "Ada"}, {"id": "cus_bob", "name": "Bob"}],
    "products": [{"id": "prod_book", "name": "Book", "prices": [{"id": "price_book", "unit_amount": 1999}]}],
}
BILLING = ("/v1/invoice", "/v1/subscriptions", "/v1/setup_intents")


@pytest.fixture
def account(serve: Callable[..., Service]) -> Service:
    return serve("stripe", seed=SEED, token=KEY)


@pytest.fixture
def client(account: Service) -> Iterator[Any]:
    session = stripe.RequestsClient()
    base = {"api": account.base_url}
    yield stripe.StripeClient(KEY, base_addresses=base, max_network_retries=0, http_client=session).v1
    session.close()


def with_card(client: Any, customer: str = "cus_ada", card: str = "pm_card_visa") -> str:
    """Attach a test card to a customer as the default one."""
    method: str = client.payment_methods.attach(card, {"customer": customer}).id
    client.customers.update(customer, {"invoice_settings": {"default_payment_method": method}})
    return method


def plan(client: Any, amount: int = 900, **recurring: Any) -> str:
    fields = {"currency": "usd", "unit_amount": amount, "recurring": {"interval": "month", **recurring}}
    price: str = client.prices.create({"product": "prod_book", **fields}).id
    return price


def refused(ask: Callable[[], Any], kind: type[stripe.StripeError] = stripe.InvalidRequestError) -> tuple[Any, ...]:
    with pytest.raises(kind) as caught:
        ask()
    problem: Any = caught.value
    return problem.http_status, problem.code, getattr(problem, "param", None)


def kinds(client: Any) -> set[str]:
    return {one.type for one in client.events.list({"limit": 100}).data}


def test_the_tour(account: Service, client: Any) -> None:
    method = with_card(client)

    # a draft, its items, and how it is paid
    draft = client.invoices.create({"customer": "cus_ada", "metadata": {"order": "7"}})
    assert (draft.status, draft.total, draft.customer_email, draft.number) == ("draft", 0, "ada@acme.test", None)
    here = {"customer": "cus_ada", "invoice": draft.id}
    item = client.invoice_items.create({**here, "amount": 1500, "currency": "usd", "description": "Work"})
    books = client.invoice_items.create({**here, "pricing": {"price": "price_book"}, "quantity": 2})
    assert (item.amount, books.amount, books.description) == (1500, 3998, "Book")
    data = {"currency": "usd", "product": "prod_book", "unit_amount": 100}
    extra = client.invoice_items.create({**here, "price_data": data})
    assert client.invoice_items.update(books.id, {"quantity": 3}).amount == 5997
    assert client.invoice_items.update(item.id, {"amount": 2000}).amount == 2000
    assert client.invoice_items.delete(extra.id).deleted
    assert client.invoice_items.retrieve(item.id).invoice == draft.id
    assert {one.id for one in client.invoice_items.list({"invoice": draft.id}).data} == {item.id, books.id}
    draft = client.invoices.update(draft.id, {"description": "January"})
    assert (draft.total, draft.amount_due, [one.amount for one in draft.lines.data]) == (7997, 7997, [2000, 5997])
    assert draft.lines.data[1].pricing.price_details.price == "price_book"
    invoice = client.invoices.finalize_invoice(draft.id)
    assert (invoice.status, invoice.amount_remaining, invoice.number[-5:]) == ("open", 7997, "-0001")
    assert invoice.status_transitions.finalized_at == NOW
    paid = client.invoices.pay(invoice.id)
    assert (paid.status, paid.amount_paid, paid.amount_remaining) == ("paid", 7997, 0)
    intent = client.payment_intents.retrieve(paid.payments.data[0].payment.payment_intent)
    assert (intent.status, intent.amount, intent.payment_method) == ("succeeded", 7997, method)
    assert [one.amount for one in client.invoices.line_items.list(invoice.id).data] == [2000, 5997]
    assert [one.id for one in client.invoices.search({"query": "total>7000 AND status:'paid'"}).data] == [invoice.id]

    # pending items are taken in; a draft is deleted, an open invoice voided or given up
    loose = client.invoice_items.create({"customer": "cus_bob", "amount": 500, "currency": "usd"})
    assert [one.id for one in client.invoice_items.list({"pending": True}).data] == [loose.id]
    taken = client.invoices.create({"customer": "cus_bob", "pending_invoice_items_behavior": "include"})
    assert (taken.total, client.invoice_items.retrieve(loose.id).invoice) == (500, taken.id)
    client.invoices.finalize_invoice(taken.id)
    assert client.invoices.mark_uncollectible(taken.id).status == "uncollectible"
    assert client.invoices.void_invoice(taken.id).status == "void"
    gone = client.invoices.create({"customer": "cus_bob"})
    assert client.invoices.delete(gone.id).deleted
    assert [one.id for one in client.invoices.list({"status": "void"}).data] == [taken.id]
    assert client.invoices.retrieve(invoice.id, {"expand": ["customer"]}).customer.name == "Ada"

    # a card saved without a payment
    setup = client.setup_intents.create({"customer": "cus_bob", "usage": "off_session"})
    assert (setup.status, setup.payment_method_types) == ("requires_payment_method", ["card"])
    setup = client.setup_intents.update(setup.id, {"payment_method": "pm_card_mastercard", "metadata": {"a": "b"}})
    assert (setup.status, setup.metadata["a"]) == ("requires_confirmation", "b")
    setup = client.setup_intents.confirm(setup.id)
    saved = client.payment_methods.retrieve(setup.payment_method)
    assert (setup.status, saved.customer) == ("succeeded", "cus_bob")
    other = client.setup_intents.create({"customer": "cus_ada"})
    assert client.setup_intents.cancel(other.id, {"cancellation_reason": "abandoned"}).status == "canceled"
    assert client.setup_intents.retrieve(other.id).cancellation_reason == "abandoned"
    assert [one.id for one in client.setup_intents.list({"customer": "cus_bob"}).data] == [setup.id]

    # a subscription from its first invoice to its end
    price = plan(client)
    made = client.subscriptions.create({"customer": "cus_ada", "items": [{"price": price, "quantity": 2}]})
    assert (made.status, made.currency, made["items"].data[0].price.id) == ("active", "usd", price)
    assert made["items"].data[0].current_period_end == NOW + JANUARY
    first = client.subscriptions.retrieve(made.id, {"expand": ["latest_invoice"]}).latest_invoice
    assert (first.status, first.total, first.billing_reason) == ("paid", 1800, "subscription_create")
    assert first.parent.subscription_details.subscription == made.id
    whole = client.invoices.retrieve(first.id, {"expand": ["parent.subscription_details.subscription"]})
    assert whole.parent.subscription_details.subscription["items"].data[0].price.id == price
    key = made["items"].data[0].id
    changed = client.subscriptions.update(made.id, {"items": [{"id": key, "quantity": 5}], "metadata": {"team": "ops"}})
    assert (changed["items"].data[0].quantity, changed.metadata["team"]) == (5, "ops")
    assert [one.id for one in client.subscriptions.list({"customer": "cus_ada", "price": price}).data] == [made.id]
    ended = client.subscriptions.cancel(made.id, {"cancellation_details": {"comment": "too dear"}})
    assert (ended.status, ended.ended_at, ended.cancellation_details.comment) == ("canceled", NOW, "too dear")
    assert client.subscriptions.list().data == []
    assert [one.id for one in client.subscriptions.list({"status": "all"}).data] == [made.id]

    assert kinds(client) >= {
        *("invoice.created", "invoice.finalized", "invoice.paid", "invoice.voided", "invoiceitem.created"),
        *("setup_intent.succeeded", "setup_intent.canceled"),
        *("customer.subscription.created", "customer.subscription.updated", "customer.subscription.deleted"),
    }
    assert [one for one in account.undriven() if one.partition(" ")[2].startswith(BILLING)] == []
    assert account.unread() == set()


def test_a_trial_ends_and_periods_follow_with_the_worlds_clock(account: Service, client: Any) -> None:
    weekly = plan(client, interval="week")
    trial = client.subscriptions.create(
        {"customer": "cus_bob", "items": [{"price": weekly}], "trial_period_days": 10, "cancel_at_period_end": False}
    )
    assert (trial.status, trial.trial_end) == ("trialing", NOW + 10 * DAY)
    assert client.invoices.retrieve(trial.latest_invoice).status == "paid", "nothing is due, so no card is needed"

    def seen() -> tuple[Any, ...]:
        now = client.subscriptions.retrieve(trial.id)
        item = now["items"].data[0]
        return now.status, (item.current_period_start - NOW) // DAY, (item.current_period_end - NOW) // DAY

    assert seen() == ("trialing", 0, 10)
    assert [one.id for one in client.subscriptions.list({"status": "trialing"}).data] == [trial.id]
    account.world.advance(10 * DAY * 1000)
    assert seen() == ("active", 10, 17)
    account.world.advance(15 * DAY * 1000)
    assert seen() == ("active", 24, 31)
    ending = client.subscriptions.update(trial.id, {"cancel_at_period_end": True})
    assert (ending.status, ending.cancel_at_period_end, ending.canceled_at) == ("active", True, NOW + 25 * DAY)
    account.world.advance(5 * DAY * 1000)
    assert seen() == ("active", 24, 31)
    account.world.advance(90 * DAY * 1000)
    assert seen() == ("canceled", 24, 31)
    assert client.subscriptions.retrieve(trial.id).ended_at == NOW + 31 * DAY
    assert client.subscriptions.list({"status": "ended"}).data[0].status == "canceled"
    assert refused(lambda: client.subscriptions.cancel(trial.id)) == (404, "resource_missing", "id")
    over = client.subscriptions.create({"customer": "cus_bob", "items": [{"price": weekly}], "trial_period_days": 3})
    assert client.subscriptions.update(over.id, {"trial_end": "now"}).status == "active"


def test_a_subscription_whose_card_is_declined_waits_for_its_invoice(client: Any) -> None:
    price = plan(client)
    asked = {"customer": "cus_ada", "items": [{"price": price}]}
    assert refused(lambda: client.subscriptions.create(asked))[:2] == (400, "resource_missing")
    card = with_card(client, card="pm_card_chargeCustomerFail")
    strict = {**asked, "payment_behavior": "error_if_incomplete"}
    assert refused(lambda: client.subscriptions.create(strict), stripe.CardError)[:2] == (402, "card_declined")
    assert client.subscriptions.list({"status": "all"}).data == [], "nothing is kept of what was refused"
    made = client.subscriptions.create(asked)
    invoice = client.invoices.retrieve(made.latest_invoice)
    assert (made.status, invoice.status, invoice.attempt_count) == ("incomplete", "open", 1)
    assert refused(lambda: client.invoices.pay(invoice.id), stripe.CardError)[:2] == (402, "card_declined")
    assert client.invoices.pay(invoice.id, {"payment_method": "pm_card_visa"}).status == "paid"
    assert client.subscriptions.retrieve(made.id).status == "active"
    later = {**asked, "payment_behavior": "default_incomplete", "default_payment_method": card}
    unpaid = client.subscriptions.create(later)
    assert unpaid.status == "incomplete"
    client.invoices.void_invoice(unpaid.latest_invoice)
    assert client.subscriptions.retrieve(unpaid.id).status == "incomplete_expired"
    billed = client.subscriptions.create({**asked, "collection_method": "send_invoice", "days_until_due": 30})
    due = client.invoices.retrieve(billed.latest_invoice)
    assert (billed.status, due.status, due.due_date) == ("active", "open", NOW + 30 * DAY)
    assert client.invoices.pay(due.id, {"paid_out_of_band": True}).status == "paid"
    assert "invoice.payment_failed" in kinds(client)


def test_items_of_a_subscription_are_added_changed_and_dropped(client: Any) -> None:
    with_card(client)
    small, large = plan(client, 900), plan(client, 5000)
    made = client.subscriptions.create({"customer": "cus_ada", "items": [{"price": small}]})
    key = made["items"].data[0].id
    both = client.subscriptions.update(made.id, {"items": [{"price": large, "quantity": 3}]})
    assert [(one.price.id, one.quantity) for one in both["items"].data] == [(small, 1), (large, 3)]
    left = client.subscriptions.update(made.id, {"items": [{"id": key, "deleted": True}]})
    assert [one.price.id for one in left["items"].data] == [large]
    key = left["items"].data[0].id
    swapped = client.subscriptions.update(made.id, {"items": [{"id": key, "price": small}]})
    assert [(one.id, one.price.id) for one in swapped["items"].data] == [(key, small)]

    def update(*items: dict[str, Any]) -> tuple[Any, ...]:
        return refused(lambda: client.subscriptions.update(made.id, {"items": list(items)}))

    assert update({"id": key, "deleted": True}) == (400, None, "items")
    assert update({"price": small}) == (400, None, "items")
    assert update({"price": "price_book"}) == (400, None, "items[0][price]")
    assert update({"price": plan(client, interval="year")}) == (400, None, "items")
    assert update({"id": "si_x", "quantity": 1}) == (400, "resource_missing", "items[0][id]")
    assert update({"quantity": 1}) == (400, "parameter_missing", "items[0][price]")
    assert update({"price": small, "colour": "red"}) == (400, "parameter_unknown", "items[0][colour]")


def test_months_keep_their_day_as_far_as_there_is_one() -> None:
    from stack_emu.upstreams.stripe.subscriptions import after_period

    monthly, yearly = {"interval": "month", "interval_count": 1}, {"interval": "year", "interval_count": 1}
    last = NOW + 30 * DAY  # the 31st of January 2026
    assert [(after_period(last, monthly, n) - last) // DAY for n in (1, 2, 12)] == [28, 59, 365]
    leap = NOW + (365 + 365 + 31 + 28) * DAY  # the 29th of February 2028
    assert (after_period(leap, yearly, 1) - leap) // DAY == 365
    assert after_period(NOW, {"interval": "day", "interval_count": 3}, 2) == NOW + 6 * DAY


def test_what_cannot_be_done_to_an_invoice(client: Any) -> None:
    draft = client.invoices.create({"customer": "cus_ada"})
    here = {"customer": "cus_ada", "invoice": draft.id, "currency": "usd"}
    item = client.invoice_items.create({**here, "amount": 700})
    assert refused(lambda: client.invoice_items.create({**here, "currency": "eur", "amount": 1}))[2] == "currency"
    assert refused(lambda: client.invoice_items.create({**here, "customer": "cus_bob", "amount": 1}))[2] == "invoice"
    assert refused(lambda: client.invoice_items.create(here)) == (400, "parameter_missing", "amount")
    monthly = {"customer": "cus_ada", "pricing": {"price": plan(client)}}
    assert refused(lambda: client.invoice_items.create(monthly)) == (400, None, "pricing[price]")
    assert refused(lambda: client.invoices.void_invoice(draft.id)) == (400, None, None)
    assert refused(lambda: client.invoices.pay(draft.id))[:2] == (400, "resource_missing")
    assert client.invoices.retrieve(draft.id).status == "draft", "what was refused changed nothing"
    invoice = client.invoices.finalize_invoice(draft.id)
    for late in (
        lambda: client.invoices.finalize_invoice(invoice.id),
        lambda: client.invoices.update(invoice.id, {"collection_method": "charge_automatically"}),
        lambda: client.invoice_items.update(item.id, {"amount": 1}),
        lambda: client.invoice_items.delete(item.id),
        lambda: client.invoice_items.create({**here, "amount": 1}),
    ):
        assert refused(late) == (400, "invoice_not_editable", None)
    assert refused(lambda: client.invoices.delete(invoice.id)) == (400, None, None)
    assert client.invoices.update(invoice.id, {"footer": "thanks"}).footer == "thanks"
    declined = {"payment_method": "pm_card_chargeDeclined"}
    assert refused(lambda: client.invoices.pay(invoice.id, declined), stripe.CardError)[:2] == (402, "card_declined")
    assert client.invoices.pay(invoice.id, {"payment_method": "pm_card_visa"}).attempt_count == 2
    assert refused(lambda: client.invoices.pay(invoice.id)) == (400, None, None)
    send = {"customer": "cus_ada", "collection_method": "send_invoice"}
    assert refused(lambda: client.invoices.create(send)) == (400, None, "days_until_due")
    assert refused(lambda: client.invoices.retrieve("in_x")) == (404, "resource_missing", "invoice")


def test_setup_intents_that_are_declined_or_wait_for_the_customer(client: Any) -> None:
    setups = client.setup_intents
    asked = {"customer": "cus_ada", "confirm": True}
    with pytest.raises(stripe.CardError) as caught:
        setups.create({**asked, "payment_method": "pm_card_chargeDeclined"})
    failed = setups.retrieve(caught.value.error.setup_intent.id)
    assert (failed.status, failed.last_setup_error.code) == ("requires_payment_method", "card_declined")
    assert setups.confirm(failed.id, {"payment_method": "pm_card_visa"}).status == "succeeded"
    card = "pm_card_authenticationRequiredOnSetup"
    waiting = setups.create({**asked, "payment_method": card, "return_url": "https://shop.test/done"})
    assert (waiting.status, waiting.next_action.type) == ("requires_action", "redirect_to_url")
    assert setups.cancel(waiting.id).next_action is None
    code = "setup_intent_unexpected_state"
    assert refused(lambda: setups.cancel(waiting.id)) == (400, code, None)
    assert refused(lambda: setups.confirm(setups.create({}).id)) == (400, code, None)
    assert refused(lambda: setups.create({"return_url": "https://x.test"})) == (400, None, "return_url")
    assert refused(lambda: setups.create({"payment_method_types": ["ideal"]})) == (400, None, "payment_method_types")
    assert refused(lambda: setups.create({"usage": "once"})) == (400, None, "usage")
    wrong = {"client_secret": "x"}
    assert refused(lambda: setups.retrieve(waiting.id, wrong))[1] == "setup_intent_authentication_failure"
    mine = client.payment_methods.attach("pm_card_visa", {"customer": "cus_bob"}).id
    assert refused(lambda: setups.create({**asked, "payment_method": mine})) == (400, None, "payment_method")


def test_permissions_of_billing_are_their_own(serve: Callable[..., Service]) -> None:
    service = serve("stripe", seed=SEED, token=KEY, scopes=("rak_invoice_write", "rak_subscription_read"))
    session = stripe.RequestsClient()
    client = stripe.StripeClient(KEY, base_addresses={"api": service.base_url}, http_client=session).v1
    assert client.invoices.create({"customer": "cus_ada"}).status == "draft"
    assert client.subscriptions.list().data == []
    with pytest.raises(stripe.PermissionError, match="rak_subscription_write"):
        client.subscriptions.cancel("sub_x")
    with pytest.raises(stripe.PermissionError, match="rak_setup_intent_read"):
        client.setup_intents.list()
    session.close()
