"""Every operation of the Stripe pack, driven by stripe-python."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import stripe

from tests.upstreams.conftest import Service

KEY = "sk_test_canary_of_stripe"
SEED = {
    "customers": [{"id": "cus_ada", "email": "ada@acme.test", "name": "Ada", "metadata": {"team": "ops"}}],
    "products": [{"id": "prod_book", "name": "Book", "prices": [{"id": "price_book", "unit_amount": 1999}]}],
    "balance": {"usd": 10_000},
}
Make = Callable[..., Service]


@pytest.fixture
def account(serve: Make) -> Iterator[Service]:
    return serve("stripe", seed=SEED, token=KEY)


SESSIONS: list[stripe.RequestsClient] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while SESSIONS:
        SESSIONS.pop().close()


def client_of(service: Service, key: str = KEY) -> stripe.StripeClient:
    SESSIONS.append(stripe.RequestsClient())
    return stripe.StripeClient(
        key, base_addresses={"api": service.base_url}, max_network_retries=0, http_client=SESSIONS[-1]
    )


@pytest.fixture
def client(account: Service) -> Any:
    return client_of(account).v1


def ids(page: Any) -> list[str]:
    return [one.id for one in page.data]


def test_the_tour(account: Service, client: Any) -> None:
    # customers and their cards
    ada = client.customers.retrieve("cus_ada")
    assert (ada.email, ada.metadata["team"]) == ("ada@acme.test", "ops")
    bob = client.customers.create({"email": "bob@acme.test", "name": "Bob", "metadata": {"order": "7", "0": "zero"}})
    assert bob.metadata.to_dict() == {"order": "7", "0": "zero"}
    bob = client.customers.update(bob.id, {"phone": "+1", "metadata": {"order": ""}})
    assert (bob.phone, bob.metadata.to_dict()) == ("+1", {"0": "zero"})
    assert ids(client.customers.list({"email": "bob@acme.test"})) == [bob.id]
    assert ids(client.customers.search({"query": "email:'ada@acme.test' AND metadata['team']:'ops'"})) == ["cus_ada"]
    card = {"number": "4242424242424242", "exp_month": 8, "exp_year": 2040, "cvc": "314"}
    method = client.payment_methods.create({"type": "card", "card": card})
    assert (method.card.last4, method.card.exp_year, method.customer) == ("4242", 2040, None)
    assert client.payment_methods.attach(method.id, {"customer": bob.id}).customer == bob.id
    assert client.payment_methods.update(method.id, {"metadata": {"a": "b"}}).metadata["a"] == "b"
    assert client.payment_methods.retrieve(method.id, {"expand": ["customer"]}).customer.name == "Bob"
    assert ids(client.payment_methods.list({"customer": bob.id, "type": "card"})) == [method.id]
    assert ids(client.customers.payment_methods.list(bob.id)) == [method.id]
    settings = {"default_payment_method": method.id}
    assert client.customers.update(bob.id, {"invoice_settings": settings}).invoice_settings.default_payment_method

    # a payment that is created, changed, confirmed and refunded in two parts
    intent = client.payment_intents.create({"amount": 2000, "currency": "usd", "customer": bob.id})
    assert intent.status == "requires_payment_method"
    intent = client.payment_intents.update(intent.id, {"payment_method": method.id, "amount": 2500})
    assert intent.status == "requires_confirmation"
    intent = client.payment_intents.confirm(intent.id, {"expand": ["latest_charge.balance_transaction"]})
    assert (intent.status, intent.amount_received) == ("succeeded", 2500)
    assert intent.latest_charge.balance_transaction.net == 2500 - 73 - 30
    charge = client.charges.retrieve(intent.latest_charge.id)
    assert (charge.captured, charge.payment_intent) == (True, intent.id)
    refund = client.refunds.create({"payment_intent": intent.id, "amount": 1000})
    assert client.charges.retrieve(charge.id).amount_refunded == 1000
    rest = client.refunds.create({"charge": charge.id, "reason": "requested_by_customer"})
    assert (rest.amount, client.charges.retrieve(charge.id).refunded) == (1500, True)
    assert client.refunds.update(rest.id, {"metadata": {"why": "late"}}).metadata["why"] == "late"
    assert client.refunds.retrieve(refund.id).status == "succeeded"
    assert sorted(ids(client.refunds.list({"charge": charge.id}))) == sorted([refund.id, rest.id])
    assert client.charges.update(charge.id, {"description": "shoes"}).description == "shoes"
    assert ids(client.charges.list({"customer": bob.id})) == [charge.id]
    assert ids(client.charges.search({"query": "amount>2000 -status:'failed'"})) == [charge.id]

    # authorize, then capture a part; and cancel
    manual = {"amount": 900, "currency": "eur", "capture_method": "manual", "payment_method": "pm_card_mastercard"}
    held = client.payment_intents.create({**manual, "confirm": True})
    assert (held.status, held.amount_capturable) == ("requires_capture", 900)
    assert client.payment_intents.capture(held.id, {"amount_to_capture": 400}).amount_received == 400
    other = client.payment_intents.create({**manual, "confirm": True})
    gone = client.payment_intents.cancel(other.id, {"cancellation_reason": "abandoned"})
    assert (gone.status, gone.cancellation_reason) == ("canceled", "abandoned")
    assert client.payment_intents.retrieve(held.id).status == "succeeded"
    assert set(ids(client.payment_intents.list())) == {intent.id, held.id, other.id}
    assert ids(client.payment_intents.search({"query": "status:'canceled' AND currency:'eur'"})) == [other.id]

    # products and prices
    product = client.products.create({"name": "Pen", "default_price_data": {"currency": "usd", "unit_amount": 150}})
    assert client.products.retrieve(product.id, {"expand": ["default_price"]}).default_price.unit_amount == 150
    price = client.prices.create(
        {"product": product.id, "currency": "usd", "unit_amount": 100, "recurring": {"interval": "month"}}
    )
    assert (price.type, price.recurring.interval_count) == ("recurring", 1)
    assert client.prices.update(price.id, {"lookup_key": "pen", "active": False}).active is False
    assert client.prices.retrieve(price.id).lookup_key == "pen"
    assert ids(client.prices.list({"lookup_keys": ["pen"]})) == [price.id]
    assert ids(client.prices.search({"query": "product:'prod_book'"})) == ["price_book"]
    assert client.products.update(product.id, {"active": False}).active is False
    assert ids(client.products.list({"active": True})) == ["prod_book"]
    assert ids(client.products.search({"query": "name~'boo'"})) == ["prod_book"]
    spare = client.products.create({"name": "Nib", "id": "nib"})
    assert client.products.delete(spare.id).deleted

    # what came of it
    balance = client.balance.retrieve()
    assert {one.currency: one.amount for one in balance.available} == {"usd": 10_000, "eur": 0}
    assert {one.currency: one.amount for one in balance.pending} == {"usd": -103, "eur": 400 - 12 - 30}
    moves = client.balance_transactions.list({"type": "charge"})
    assert client.balance_transactions.retrieve(moves.data[0].id).type == "charge"
    events = client.events.list({"type": "payment_intent.*"})
    assert {one.type for one in events.data} >= {"payment_intent.created", "payment_intent.succeeded"}
    assert client.events.retrieve(events.data[0].id).data.object.id.startswith("pi_")
    assert client.payment_methods.detach(method.id).customer is None
    assert client.customers.delete(bob.id).deleted
    assert client.customers.retrieve(bob.id).deleted
    billing = ("/v1/invoice", "/v1/subscriptions", "/v1/setup_intents")  # test_stripe_billing.py drives those
    assert [one for one in account.undriven() if not one.partition(" ")[2].startswith(billing)] == []
    assert account.unread() == set()
    assert KEY not in str(list(account.world.journal.entries()))


@pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw:DeprecationWarning")  # stripe gives httpx a text
def test_the_async_client(account: Service) -> None:
    async def run() -> tuple[str, int]:
        http = stripe.HTTPXClient()
        client = stripe.StripeClient(KEY, base_addresses={"api": account.base_url}, http_client=http)
        made = await client.v1.payment_intents.create_async(
            {"amount": 500, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}
        )
        seen = await client.v1.charges.list_async({"payment_intent": made.id})
        await http.close_async()
        return made.status, len(seen.data)

    assert asyncio.run(run()) == ("succeeded", 1)


def test_pages_go_both_ways(client: Any) -> None:
    for number in range(12):
        client.customers.create({"name": f"c{number}"})
    first = client.customers.list()
    assert (len(first.data), first.has_more) == (10, True)
    second = client.customers.list({"starting_after": first.data[-1].id})
    assert (len(second.data), second.has_more) == (3, False)
    back = client.customers.list({"ending_before": second.data[0].id, "limit": 4})
    assert (ids(back), back.has_more) == (ids(first)[-4:], True)
    everyone = [one.id for one in client.customers.list({"limit": 5}).auto_paging_iter()]
    assert everyone == ids(first) + ids(second)
    found = client.customers.search({"query": "name~'c10' OR name:'c11'", "limit": 1})
    assert [len(found.data), found.has_more] == [1, True]
    assert len(list(found.auto_paging_iter())) == 2


@pytest.mark.parametrize(
    ("method", "code", "decline_code"),
    [
        ("pm_card_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_visa_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card"),
        ("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc", "incorrect_cvc"),
        ("pm_card_chargeDeclinedProcessingError", "processing_error", "processing_error"),
    ],
)
def test_a_declined_card_leaves_a_failed_charge_and_an_intent_to_try_again(
    client: Any, method: str, code: str, decline_code: str
) -> None:
    asked = {"amount": 700, "currency": "usd", "payment_method": method, "confirm": True}
    with pytest.raises(stripe.CardError) as caught:
        client.payment_intents.create(asked)
    problem = caught.value
    assert (problem.http_status, problem.code, problem.error.decline_code) == (402, code, decline_code)
    intent = client.payment_intents.retrieve(problem.error.payment_intent.id)
    assert (intent.status, intent.last_payment_error.code) == ("requires_payment_method", code)
    assert client.charges.retrieve(intent.latest_charge).status == "failed"
    paid = client.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    assert (paid.status, paid.last_payment_error) == ("succeeded", None)
    types = {one.type for one in client.events.list().data}
    assert {"payment_intent.payment_failed", "charge.failed", "charge.succeeded"} <= types


def test_a_card_that_must_be_authenticated(client: Any) -> None:
    asked = {"amount": 700, "currency": "usd", "payment_method": "pm_card_authenticationRequired", "confirm": True}
    waiting = client.payment_intents.create({**asked, "return_url": "https://shop.test/done"})
    assert (waiting.status, waiting.next_action.type) == ("requires_action", "redirect_to_url")
    with pytest.raises(stripe.CardError) as caught:
        client.payment_intents.create({**asked, "off_session": True})
    assert caught.value.code == "authentication_required"
    assert client.payment_intents.cancel(waiting.id).next_action is None


def test_a_declining_card_is_not_attached_and_one_that_fails_later_is(client: Any) -> None:
    with pytest.raises(stripe.CardError):
        client.payment_methods.attach("pm_card_chargeDeclined", {"customer": "cus_ada"})
    saved = client.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": "cus_ada"})
    with pytest.raises(stripe.CardError):
        client.payment_intents.create(
            {"amount": 700, "currency": "usd", "customer": "cus_ada", "payment_method": saved.id, "confirm": True}
        )


def test_idempotency(account: Service, client: Any) -> None:
    once = {"idempotency_key": "order-7"}
    first = client.customers.create({"name": "Once"}, once)
    again = client.customers.create({"name": "Once"}, once)
    assert again.id == first.id
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    with pytest.raises(stripe.IdempotencyError):
        client.customers.create({"name": "Twice"}, once)
    assert len(client.customers.list().data) == 2
    account.world.clock.move(86_400_000)
    assert client.customers.create({"name": "Twice"}, once).id != first.id
    declined = {"amount": 700, "currency": "usd", "payment_method": "pm_card_chargeDeclined", "confirm": True}
    for _ in range(2):
        with pytest.raises(stripe.CardError):
            client.payment_intents.create(declined, {"idempotency_key": "pay-7"})
    assert len(client.payment_intents.list().data) == 1


def refused(ask: Callable[[], Any], kind: type[stripe.StripeError] = stripe.InvalidRequestError) -> tuple[Any, ...]:
    with pytest.raises(kind) as caught:
        ask()
    problem: Any = caught.value
    assert problem.error.request_log_url.endswith(problem.request_id)
    return problem.http_status, problem.code, getattr(problem, "param", None)


def test_bad_requests(client: Any) -> None:
    intents = client.payment_intents
    pay = {"amount": 500, "currency": "usd"}
    assert refused(lambda: client.customers.create({"nmae": "x"})) == (400, "parameter_unknown", "nmae")
    assert refused(lambda: client.customers.create({"email": "x"})) == (400, "email_invalid", "email")
    assert refused(lambda: client.customers.retrieve("cus_x")) == (404, "resource_missing", "id")
    assert refused(lambda: client.customers.retrieve("cus_ada", {"expand": ["nme"]})) == (400, None, "expand")
    assert refused(lambda: client.customers.list({"limit": 101})) == (400, "parameter_invalid_integer", "limit")
    assert refused(lambda: client.customers.search({"query": "shoe:'4'"})) == (400, None, "query")
    assert refused(lambda: client.customers.search({"query": "name:'4' AND"})) == (400, None, "query")
    assert refused(lambda: intents.create({"currency": "usd"})) == (400, "parameter_missing", "amount")
    assert refused(lambda: intents.create({**pay, "amount": 10})) == (400, "amount_too_small", "amount")
    assert refused(lambda: intents.create({**pay, "amount": "1.5"})) == (400, "parameter_invalid_integer", "amount")
    assert refused(lambda: intents.create({**pay, "currency": "xxx"})) == (400, None, "currency")
    assert refused(lambda: intents.create({**pay, "customer": "cus_x"})) == (400, "resource_missing", "customer")
    assert refused(lambda: intents.retrieve("pi_x")) == (404, "resource_missing", "intent")
    made = intents.create(pay)
    assert refused(lambda: intents.confirm(made.id)) == (400, "payment_intent_unexpected_state", None)
    assert refused(lambda: intents.capture(made.id)) == (400, "payment_intent_unexpected_state", None)
    paid = intents.confirm(made.id, {"payment_method": "pm_card_visa"})
    assert refused(lambda: intents.cancel(paid.id)) == (400, "payment_intent_unexpected_state", None)
    assert refused(lambda: client.refunds.create({"charge": paid.latest_charge, "amount": 501})) == (
        400,
        None,
        "amount",
    )
    client.refunds.create({"charge": paid.latest_charge})
    assert refused(lambda: client.refunds.create({"charge": paid.latest_charge}))[1] == "charge_already_refunded"
    assert refused(lambda: client.products.delete("prod_book")) == (400, None, None)
    assert refused(lambda: client.products.create({"id": "prod_book", "name": "x"}))[1] == "resource_already_exists"
    wrong = {"type": "card", "card": {"number": "1234", "exp_month": 1, "exp_year": 2040}}
    assert refused(lambda: client.payment_methods.create(wrong), stripe.CardError)[:2] == (402, "incorrect_number")


def test_a_key_that_is_not_known_and_permissions(serve: Make) -> None:
    service = serve("stripe", seed=SEED, token=KEY, scopes=("rak_customer_write",))
    with pytest.raises(stripe.AuthenticationError):
        client_of(service, "sk_test_other").v1.customers.list()
    client = client_of(service).v1
    assert client.customers.create({"name": "Eve"}).name == "Eve"
    assert client.customers.retrieve("cus_ada").name == "Ada"
    with pytest.raises(stripe.PermissionError, match="rak_charge_write"):
        client.refunds.create({"charge": "ch_1"})
    reader = client_of(serve("stripe", seed=SEED, token=KEY, scopes=("read_only",))).v1
    assert reader.products.retrieve("prod_book").name == "Book"
    with pytest.raises(stripe.PermissionError):
        reader.products.delete("prod_book")


def test_what_is_not_served_says_why(account: Service, client: Any) -> None:
    with pytest.raises(stripe.APIError) as caught:
        client.coupons.create({"percent_off": 10})
    assert caught.value.http_status == 501
    assert "nothing is discounted" in str(account.entries[-1].hint)
