"""A document whose operations are no collections: checked parameters and bodies, and replies that are made up and valid."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from stack_emu.kernel.clock import VirtualClock
from stack_emu.upstreams.openapi.patterns import text_for
from tests.upstreams.conftest import START_MS, TOKEN, Bench, Service
from tests.upstreams.openapi.conftest import RATES, Judge

Made = Callable[..., tuple[Service, httpx.Client, Judge]]
KEY = {"X-Api-Key": TOKEN}
ASKED = {**KEY, "X-Request-Id": "123e4567-e89b-42d3-a456-426614174000"}
BANK = {"kind": "bank", "bic": "ABCDEFGH"}
GOOD = {"amount": {"value": 5, "currency": "EUR"}, "to": "USD", "purpose": BANK}


def test_every_operation_answers_as_the_document_says(made: Made) -> None:
    service, http, judge = made(RATES)
    http.headers.update(ASKED)
    rates = http.get("/api/rates/USD", params={"as_of": "2026-03-01"}).json()
    assert rates["base"] == "USD", "a field named like a path parameter has its value"
    assert [one["currency"] for one in rates["rates"]] == ["EUR", "EUR"]
    assert rates["source"]["kind"] == "bank"
    converted = http.post("/api/conversions", json=GOOD).json()
    assert (converted["amount"], converted["to"]) == (GOOD["amount"], "USD"), "what was sent comes back where it may"
    assert converted["at"] == "2026-01-01T00:00:00Z"
    assert (converted["status"], converted["kept"], converted["step"] % 5) == ("pending", True, 0)
    assert re.fullmatch(r"cnv_[a-f0-9]{8}", converted["id"])
    assert 0 < converted["rate"] < 1
    assert "secret" not in converted
    form = http.post("/api/conversions", data={"value": "7", "to": "JPY", "tags": ["a", "b"]})
    assert form.json()["to"] == "JPY"
    tree = http.get("/api/trees").json()
    assert tree["label"]
    assert http.get("/api/reports/daily.csv").text == "base,rate\nEUR,1\n"
    logo = http.get("/api/logo")
    assert (logo.headers["Content-Type"], len(logo.content)) == ("image/png", 32)
    assert http.post("/api/pings").status_code == 202
    assert http.head("/api/pings").content == b""
    assert {entry.route for entry in service.entries} == {
        "/api/rates/{base}",
        "/api/conversions",
        "/api/trees",
        "/api/reports/{name}.csv",
        "/api/logo",
        "/api/pings",
    }
    assert len(judge.judged) == 6
    assert service.unread() == set()


@pytest.mark.parametrize(
    ("path", "headers", "said"),
    [
        ("/api/rates/GBP", {}, 'path.base is "GBP"; use one of "EUR", "USD", "JPY"'),
        ("/api/rates/EUR?symbols=USD&symbols=XXX", {}, 'query.symbols[1] is "XXX"; use one of'),
        ("/api/rates/EUR?as_of=soon", {}, 'query.as_of is "soon", which is no date; write 2026-01-31'),
        ("/api/rates/EUR?ids=1|2|x", {}, 'query.ids[2] is "x"; it must be a whole number'),
        (
            "/api/rates/EUR?filter[min]=0&filter[live]=maybe",
            {},
            'query.filter.live is "maybe"; it must be true or false',
        ),
        ("/api/rates/EUR?filter[min]=0", {}, "query.filter.min is 0; it must be more than 0"),
        ("/api/rates/EUR?shape=%7B%7D", {}, "query.shape.depth is missing; it is required"),
        ("/api/rates/EUR?shape=x", {}, 'query.shape is "x"; it must be an object'),
        ("/api/rates/EUR", {"X-Request-Id": "1"}, 'header.X-Request-Id is "1", which is no uuid; write 123e4567'),
        ("/api/rates/EUR", {"X-Request-Id": None}, "header.X-Request-Id is missing; it is required"),
        ("/api/rates/EUR", {"Cookie": "view=wide"}, 'cookie.view is "wide"; use one of "short", "long"'),
    ],
)
def test_parameters_are_read_and_checked_wherever_they_stand(
    made: Made, path: str, headers: dict[str, str | None], said: str
) -> None:
    _, http, _ = made(RATES)
    sent = {name: value for name, value in {**ASKED, **headers}.items() if value is not None}
    refused = http.get(path, headers=sent)
    assert refused.status_code == 400
    assert said in refused.json()["message"]
    assert refused.json()["errors"], "every field stands by itself too"


def test_parameters_that_are_right_are_let_through(made: Made) -> None:
    service, http, judge = made(RATES)
    path = "/api/rates/EUR?symbols=USD&symbols=JPY&ids=1|2&filter[min]=0.5&filter[live]=true&shape=%7B%22depth%22:1%7D"
    assert http.get(path, headers={**ASKED, "Cookie": "view=short"}).status_code == 200
    assert (len(judge.judged), service.unread()) == (1, set())


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({**GOOD, "amount": {"value": 0, "currency": "EUR"}}, "body.amount.value is 0; it must be at least 1"),
        ({**GOOD, "amount": {"value": 1, "currency": "EUR", "x": 1}}, "body.amount.x is no field it has"),
        (
            {**GOOD, "purpose": {"kind": "bank", "bic": "short"}},
            'body.purpose.bic is "short"; it must match ^[A-Z]{8}$',
        ),
        ({**GOOD, "purpose": {"kind": "market"}}, "body.purpose.venue is missing; it is required"),
        ({**GOOD, "memo": "too long"}, "body.memo has 8 characters; it must have at most 5"),
        ({**GOOD, "memo": 5}, "body.memo is 5; it must be a text or null"),
        ([], "body is []; it must be an object"),
    ],
)
def test_bodies_are_checked_and_refused_with_422_where_that_is_what_is_declared(
    made: Made, body: Any, said: str
) -> None:
    _, http, _ = made(RATES)
    refused = http.post("/api/conversions", json=body, headers=KEY)
    assert refused.status_code == 422
    assert said in refused.json()["error"]["message"]
    assert refused.json()["error"]["code"] == "unprocessable_content"


def test_a_null_where_null_may_be_passes(made: Made) -> None:
    _, http, _ = made(RATES)
    assert http.post("/api/conversions", json={**GOOD, "memo": None}, headers=KEY).status_code == 200


@pytest.mark.parametrize(
    ("content", "kind", "said"),
    [
        (b"{", "application/json", "body is no JSON; send a JSON value"),
        (
            b"<x/>",
            "application/xml",
            "header.Content-Type is application/xml; send application/json, application/x-www-",
        ),
        (b"value=x&to=EUR", "application/x-www-form-urlencoded", 'body.value is "x"; it must be a whole number'),
        (b"", "application/json", "body is missing; send one as application/json, application/x-www-form-urlencoded"),
    ],
)
def test_bodies_of_another_kind_are_refused(made: Made, content: bytes, kind: str, said: str) -> None:
    _, http, _ = made(RATES)
    refused = http.post("/api/conversions", content=content, headers={**KEY, "Content-Type": kind})
    assert (refused.status_code, said in refused.text.replace('\\"', '"')) == (422, True), refused.text


def test_any_of_the_declared_credentials_will_do_and_only_those(made: Made) -> None:
    _, http, _ = made(RATES)
    basic = httpx.BasicAuth("agent", TOKEN)
    assert http.post("/api/pings?tenant=t1", auth=basic).status_code == 202
    refused = http.post("/api/pings", auth=basic)
    assert refused.status_code == 401
    wanted = "Send the header X-Api-Key or Authorization: Basic … and the parameter tenant."
    assert refused.json()["message"] == wanted


def test_values_follow_from_seed_and_call_and_show_the_world_s_time(bench: Callable[..., Bench]) -> None:
    from stack_emu.upstreams.engine import UpstreamRequest

    def convert(seed: int, memo: str, start_ms: int = START_MS) -> Any:
        desk = bench({"r": {"hosts": ["r.test"], "openapi": str(RATES)}}, seed=seed, clock=VirtualClock(start_ms))
        request = UpstreamRequest.of_json("POST", "https://r.test/api/conversions", {**GOOD, "memo": memo}, KEY)
        return desk.ask("r", request).json()

    first = convert(1, "a")
    assert first == convert(1, "a")
    assert first["id"] != convert(2, "a")["id"]
    assert first["id"] != convert(1, "b")["id"]
    assert convert(1, "a", START_MS + 60_000)["at"] == "2026-01-01T00:01:00Z"


@pytest.mark.parametrize(
    ("pattern", "longest"),
    [
        (r"^inv_[a-z0-9]{8}$", 12),
        (r"^\d{3}-\d{2,4}$", 8),
        (r"^(usd|eur)[A-F]+\.x?$", 40),
        (r"[^a-z]\w+\s\S", 40),
        (r"^(?:a|b(?P<n>c))*$", 40),
        (r"^[\w.-]+@[\w-]+\.[a-z]{2,}$", 40),
        (r"abc", 3),
        (r"^\+[1-9]\d{1,14}$", 16),
    ],
)
def test_texts_are_made_for_patterns(pattern: str, longest: int) -> None:
    for number in range(20):
        made = text_for(pattern, bytes([number * 7 % 256, number, 200 - number] * 8), 0, 40)
        assert made is not None
        assert re.search(pattern, made)
    for shortest in (0, longest):
        longer = text_for(pattern, b"0123456789abcdef", shortest)
        assert longer is not None
        assert len(longer) >= shortest
        assert re.search(pattern, longer)


@pytest.mark.parametrize("pattern", [r"^(?=a)b", r"^(a)\1$", r"\bx", r"(unclosed", r"^a{9}$"])
def test_no_text_is_made_for_what_is_beyond_it(pattern: str) -> None:
    assert text_for(pattern, b"0123456789abcdef", 0, 5) is None
