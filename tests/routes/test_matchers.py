"""The words of a request pattern, each asked for through STACK's proxy with the SDK."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from .conftest import Shop

Make = Callable[..., Shop]
BODY = {
    "customer": {"name": "Ada", "vip": True},
    "qty": 3,
    "lines": [{"sku": "A-1", "n": 1}, {"sku": "B-2", "n": 5}],
    "note": None,
}

FITS: list[tuple[str, Any]] = [
    ("a subset of the fields", {"customer": {"name": "Ada"}}),
    ("null", {"note": None}),
    ("regex", {"customer": {"name": {"regex": "^A"}}}),
    ("contains in text", {"customer": {"name": {"contains": "d"}}}),
    ("contains an element", {"lines": {"contains": {"sku": "B-2"}}}),
    ("contains an element by matcher", {"lines": {"contains": {"n": {"gt": 4}}}}),
    ("equals", {"customer": {"equals": {"name": "Ada", "vip": True}}}),
    ("one_of", {"qty": {"one_of": [1, 3]}}),
    ("one_of with matchers", {"qty": {"one_of": [1, {"gte": 3}]}}),
    ("not", {"qty": {"not": 4}}),
    ("not with a matcher", {"customer": {"name": {"not": {"regex": "^B"}}}}),
    ("gt", {"qty": {"gt": 2}}),
    ("gte and lt", {"qty": {"gte": 3, "lt": 4}}),
    ("lte", {"qty": {"lte": 3}}),
    ("any", {"customer": {"any": True}}),
    ("any of null", {"note": {"any": True}}),
    ("absent", {"discount": {"absent": True}}),
]
MISSES: list[tuple[str, Any, str]] = [
    ("a field", {"customer": {"name": "Bob"}}, "body.customer.name was 'Ada', expected 'Bob'"),
    ("true is not 1", {"customer": {"vip": 1}}, "body.customer.vip was true, expected 1"),
    ("regex", {"customer": {"name": {"regex": "^B"}}}, "body.customer.name was 'Ada', expected text matching /^B/"),
    (
        "contains",
        {"customer": {"name": {"contains": "x"}}},
        "body.customer.name was 'Ada', expected something with \"x\" in it",
    ),
    ("contains an element", {"lines": {"contains": {"sku": "C"}}}, 'expected something with {"sku": "C"} in it'),
    ("equals", {"customer": {"equals": {"name": "Ada"}}}, 'expected exactly {"name": "Ada"}'),
    ("one_of", {"qty": {"one_of": [1, 2]}}, "body.qty was 3, expected one of 1, 2"),
    ("not", {"qty": {"not": 3}}, "body.qty was 3, expected anything but 3"),
    ("gt", {"qty": {"gt": 3}}, "body.qty was 3, expected more than 3"),
    ("gte and lt", {"qty": {"gte": 1, "lt": 3}}, "body.qty was 3, expected at least 1 and less than 3"),
    ("text is no number", {"customer": {"name": {"gt": 3}}}, "body.customer.name was 'Ada', expected more than 3"),
    ("any", {"discount": {"any": True}}, "body.discount was missing, expected anything"),
    ("absent", {"qty": {"absent": True}}, "body.qty was 3, expected nothing"),
    ("the length of a list", {"lines": [{"sku": "A-1"}]}, "body.lines was "),
]


@pytest.mark.parametrize(("name", "body"), FITS, ids=[name for name, _ in FITS])
def test_a_body_that_fits_is_answered(shop: Make, name: str, body: Any) -> None:
    made = shop([{"when": {"body": body}, "reply": {"json": {"ok": True}}}])
    assert made.ask("POST", "/orders", BODY).body == {"ok": True}


@pytest.mark.parametrize(("name", "body", "said"), MISSES, ids=[name for name, _, _ in MISSES])
def test_a_body_that_does_not_fit_is_told_why(shop: Make, name: str, body: Any, said: str) -> None:
    made = shop([{"when": {"body": body}, "reply": {"json": {"ok": True}}}])
    assert made.ask("POST", "/orders", BODY).status == 501
    [hint] = made.hints()
    assert said in hint


@pytest.mark.parametrize(
    ("query", "wanted", "fits"),
    [
        ("$.customer.name", "Ada", True),
        ("$.lines[?@.n > 2].sku", "B-2", True),
        ("$.lines[*].sku", {"regex": "^A"}, True),
        ("$..sku", {"one_of": ["B-2"]}, True),
        ("$.discount", {"absent": True}, True),
        ("$.lines[?@.n > 9]", {"any": True}, False),
        ("$.qty", {"lt": 3}, False),
    ],
)
def test_jsonpath_finds_a_value_in_the_body(shop: Make, query: str, wanted: Any, fits: bool) -> None:
    made = shop([{"when": {"jsonpath": {query: wanted}}, "reply": {"status": 204}}])
    assert made.ask("POST", "/orders", BODY).status == (204 if fits else 501)
    assert fits or f"jsonpath {query} was " in made.hints()[0]


@pytest.mark.parametrize(
    ("when", "target", "headers", "fits"),
    [
        ({"method": ["PUT", "POST"]}, "/orders", {}, True),
        ({"method": ["PUT", "PATCH"]}, "/orders", {}, False),
        ({"path": {"regex": "^/v[12]/orders$"}}, "/v2/orders", {}, True),
        ({"path": {"regex": "^/v[12]/orders$"}}, "/v3/orders", {}, False),
        ({"path": {"not": {"regex": "admin"}}}, "/orders", {}, True),
        ({"host": "eu.shop.test"}, "https://eu.shop.test/orders", {}, True),
        ({"host": "eu.shop.test"}, "/orders", {}, False),
        ({"host": {"regex": "^eu"}}, "https://eu.shop.test/orders", {}, True),
        ({"query": {"limit": {"lte": 100}}}, "/orders?limit=50", {}, True),
        ({"query": {"limit": {"lte": 100}}}, "/orders?limit=500", {}, False),
        ({"query": {"limit": 50}}, "/orders?limit=50", {}, True),
        ({"query": {"tag": ["a", "b"]}}, "/orders?tag=a&tag=b", {}, True),
        ({"query": {"tag": "b"}}, "/orders?tag=a&tag=b", {}, True),
        ({"query": {"page": {"absent": True}}}, "/orders?limit=50", {}, True),
        ({"query": {"page": {"absent": True}}}, "/orders?page=2", {}, False),
        ({"headers": {"X-Region": {"one_of": ["eu", "us"]}}}, "/orders", {"x_region": "us"}, True),
        ({"headers": {"X-Region": {"absent": True}}}, "/orders", {}, True),
        ({"headers": {"X-Region": {"absent": True}}}, "/orders", {"x_region": "us"}, False),
        ({"path": "/o/{id}/lines"}, "/o/a%2Fb/lines", {}, True),
        ({"path": "/o/{id}/lines"}, "/o/a/b/lines", {}, False),
        ({"path": "/files/*"}, "/files/a/b/c", {}, True),
    ],
)
def test_method_host_path_query_and_headers(
    shop: Make, when: Any, target: str, headers: dict[str, str], fits: bool
) -> None:
    made = shop([{"when": when, "reply": {"status": 204}}], hosts=["api.shop.test", "eu.shop.test"])
    assert made.ask("POST", target, None, **headers).status == (204 if fits else 501)
