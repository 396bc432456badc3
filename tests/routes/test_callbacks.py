"""Callbacks of routes to a webhook on this machine, on the world's clock."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from .conftest import Shop

Make = Callable[..., Shop]


def route(url: str, **callback: object) -> dict[str, object]:
    return {
        "when": {"method": "POST", "path": "/orders"},
        "reply": {"status": 201, "json": {"id": "{{ id('ord_') }}", "at": "{{ at('+1h') }}"}},
        "callbacks": [{"url": url, **callback}],
    }


def test_a_callback_is_sent_when_the_clock_is_there(shop: Make, httpserver: HTTPServer) -> None:
    seen: list[Request] = []

    def receive(request: Request) -> Response:
        request.get_data()
        seen.append(request)
        return Response(status=204)

    httpserver.expect_request("/hook/Ada").respond_with_handler(receive)
    body = {"event": "order.paid", "order": "{{ reply.json.id }}", "customer": "{{ request.json.customer }}"}
    hook = httpserver.url_for("/hook/{{ request.json.customer }}")
    made = shop([route(hook, after="2s", headers={"X-Event": "paid"}, json=body)])
    order = made.ask("POST", "/orders", {"customer": "Ada"}).body
    made.world.clock.advance("1s")
    assert seen == []
    made.world.clock.advance("1s")
    [sent] = seen
    assert sent.get_json() == {"event": "order.paid", "order": order["id"], "customer": "Ada"}
    assert sent.headers["x-event"] == "paid"
    [entry] = [entry for entry in made.world.journal if entry["surface"] == "callback"]
    assert (entry["status"], entry["method"], entry["request"]["body"]["order"]) == (204, "POST", order["id"])


def test_a_callback_without_after_is_sent_at_once(shop: Make, httpserver: HTTPServer) -> None:
    httpserver.expect_ordered_request("/now", method="PUT", data="paid").respond_with_data("")
    made = shop([route(httpserver.url_for("/now"), method="PUT", text="paid")])
    with httpserver.wait(timeout=10) as waiting:
        made.ask("POST", "/orders", {})
    assert waiting.result
    httpserver.check_assertions()


def test_a_receiver_that_is_not_there_is_noted(shop: Make) -> None:
    made = shop([route("http://127.0.0.1:9/hook", after="1s")])
    made.ask("POST", "/orders", {})
    made.world.clock.advance("1s")
    [entry] = [entry for entry in made.world.journal if entry["surface"] == "callback"]
    assert (entry["status"], entry["problem"]) == (0, None)
    assert "the receiver gave no answer" in entry["hint"]


@pytest.mark.parametrize("url", ["http://169.254.169.254/latest", "https://example.com/{{ request.path }}"])
def test_a_callback_never_leaves_this_machine(shop: Make, url: str) -> None:
    made = shop([route(url.replace("http://169", "http://{{ '169' }}"))])
    failed = made.ask("POST", "/orders", {})
    assert failed.status == 500
    assert "is not this machine" in made.hints()[0] or "because it is" in made.hints()[0]
    assert made.world.verdict()["warnings"]


def test_a_reset_forgets_what_was_to_be_sent(shop: Make, httpserver: HTTPServer) -> None:
    made = shop([route(httpserver.url_for("/never"), after="1s")])
    made.ask("POST", "/orders", {})
    made.world.reset()
    made.world.clock.advance("5s")
    assert httpserver.log == []
