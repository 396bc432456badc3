"""The Stripe pack in worlds: through STACK's proxy, from seeds, and with two lanes that race."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlencode

import pytest

from stack_emu.upstreams.credentials import AcceptedCredential
from stack_emu.upstreams.packs import pack_problem
from stack_emu.upstreams.requests import UpstreamRequest
from tests.upstreams.conftest import Bench, Proxied

KEY = "sk_test_canary_of_stripe"
FORM = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/x-www-form-urlencoded"}


def test_through_the_proxy(proxied: Callable[..., Proxied]) -> None:
    upstream = proxied("stripe", scopes=["rak_customer_write"], seed={"customers": [{"id": "cus_ada", "name": "Ada"}]})
    read = upstream.ask("GET", "https://api.stripe.com/v1/customers/cus_ada")
    assert (read.status, read.body["name"]) == (200, "Ada")
    refused = upstream.ask("GET", "https://api.stripe.com/v1/charges")
    assert (refused.status, refused.body["error"]["type"]) == (403, "invalid_request_error")
    assert [entry["route"] for entry in upstream.journal()] == ["/v1/customers/{id}", "/v1/charges"]
    assert "canary" not in str(read.body) + str(refused.body)


@pytest.mark.parametrize(
    ("seed", "sentence"),
    [
        ({"custmers": []}, "seed has no key 'custmers'; did you mean customers?"),
        (
            {"customers": [{"id": "cus_a"}, {"id": "cus_b", "emial": "x"}]},
            "seed.customers[1] has no key 'emial'; did you",
        ),
        ({"customers": [{"id": "ada"}]}, "seed.customers[0].id is 'ada'; write a text such as cus_ada."),
        (
            {"customers": [{"id": "cus_a"}, {"id": "cus_a"}]},
            "seed.customers[1].id is 'cus_a', which seed.customers[0] has",
        ),
        ({"customers": [{"id": "cus_a", "metadata": {"n": 1}}]}, "seed.customers[0].metadata is no mapping of texts"),
        ({"products": [{"id": "p"}]}, "seed.products[0] has no name; write"),
        (
            {"products": [{"id": "p", "name": "P", "prices": [{"id": "price_a", "unit_amount": 1.5}]}]},
            "seed.products[0].prices[0].unit_amount is 1.5; write an amount",
        ),
        ({"balance": {"usd": "1"}}, "seed.balance.usd is '1'; write an amount"),
        ({"balance": {"udd": 1}}, "seed.balance has no key 'udd'; did you mean usd?"),
    ],
)
def test_a_seed_that_cannot_work(seed: dict[str, Any], sentence: str) -> None:
    assert (pack_problem("stripe", seed) or "").startswith(sentence)


def form(path: str, **fields: Any) -> UpstreamRequest:
    return UpstreamRequest("POST", f"https://api.stripe.com/v1/{path}", FORM, body=urlencode(fields).encode())


PAY = {"currency": "usd", "payment_method": "pm_card_visa", "confirm": "true"}
PROGRAM = [
    ("a", form("customers", name="one")),
    ("b", form("customers", name="one")),
    ("a", form("payment_intents", amount=500, **PAY)),
    ("b", form("payment_intents", amount=500, **{**PAY, "payment_method": "pm_card_chargeDeclined"})),
    ("a", form("products", name="Book")),
    ("b", form("prices", currency="usd", unit_amount=100, **{"product_data[name]": "Pen"})),
]


def replies(bench: Bench, program: Sequence[tuple[str, UpstreamRequest]]) -> tuple[list[bytes], list[bytes]]:
    async def run() -> tuple[list[bytes], list[bytes]]:
        made = [(await bench.send("stripe", request, lane=f"agent:{lane}")).body for lane, request in program]
        reads = [
            UpstreamRequest("GET", f"https://api.stripe.com/v1/{path}", FORM)
            for path in ("customers", "events?limit=100")
        ]
        return made, [(await bench.send("stripe", request, lane="agent:c")).body for request in reads]

    return asyncio.run(run())


def test_lanes_that_race_get_the_same_whatever_their_order(bench: Callable[..., Bench]) -> None:
    def world(seed: int = 7) -> Bench:
        return bench({"stripe": {"pack": "stripe"}}, {"stripe": [AcceptedCredential(KEY, "scon_stripe")]}, seed=seed)

    by_lane = sorted(PROGRAM, key=lambda one: one[0])
    other_lane = sorted(PROGRAM, key=lambda one: one[0], reverse=True)
    made, lists = replies(world(), by_lane)
    swapped, same_lists = replies(world(), other_lane)
    assert sorted(made) == sorted(swapped)
    assert lists == same_lists
    assert replies(world(8), by_lane)[0] != made


def test_a_rate_limit_that_is_injected_is_in_stripes_words() -> None:
    from stack_emu.upstreams.packs import find_pack

    body = find_pack("stripe").injected(429)
    assert (body["error"]["type"], body["error"]["code"]) == ("invalid_request_error", "rate_limit")
