"""Requests are forwarded to servers on this machine, pytest-httpserver among them, and nowhere else."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import Callable

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from stack_emu.upstreams.engine import (
    AcceptedCredential,
    UpstreamRequest,
    UpstreamSettingsError,
    UpstreamTimeout,
    UpstreamTooLarge,
    UpstreamUnreachable,
)

from .conftest import SLACK_SEED, TOKEN, Bench

Make = Callable[..., Bench]
SECRET = "key-of-tickets"
ACCEPTED = {
    "tickets": [AcceptedCredential(SECRET, "scon_tickets")],
    "slack": [AcceptedCredential(TOKEN, "scon_slack")],
}
HEADERS = {"Authorization": f"Bearer {SECRET}"}


@pytest.fixture
def server() -> HTTPServer:
    with HTTPServer(host="127.0.0.1") as running:
        yield running


@pytest.fixture
def world(bench: Make, server: HTTPServer) -> Bench:
    return bench({"tickets": {"hosts": ["tickets.test"], "forward": server.url_for("")}}, ACCEPTED)


def test_expectations_of_pytest_httpserver_answer_for_the_upstream(world: Bench, server: HTTPServer) -> None:
    server.expect_oneshot_request(
        "/v1/tickets/a b", method="POST", query_string="q=x%26y", json={"title": "down"}, headers=HEADERS
    ).respond_with_json({"id": 7}, status=201, headers={"X-More": "1"})
    request = UpstreamRequest.of_json(
        "POST", "https://tickets.test/v1/tickets/a%20b?q=x%26y", {"title": "down"}, HEADERS
    )
    reply = world.ask("tickets", request)
    assert (reply.status, reply.json(), reply.headers["x-more"]) == (201, {"id": 7}, "1")
    server.check()
    entry = world.last()
    assert (entry.route, entry.status, entry.request["credential"]) == ("forward", 201, "scon_tickets")


def test_a_test_can_put_a_server_in_front_of_a_pack_and_take_it_away(bench: Make, server: HTTPServer) -> None:
    world = bench({"slack": {"pack": "slack", "seed": SLACK_SEED}}, ACCEPTED)
    request = UpstreamRequest("POST", "https://slack.com/api/auth.test", {"Authorization": f"Bearer {TOKEN}"})
    server.expect_request("/api/auth.test").respond_with_json({"ok": True, "team": "Mine"})
    world.engine.set_forward("slack", server.url_for(""))
    assert world.ask("slack", request).json()["team"] == "Mine"
    world.engine.set_forward("slack", None)
    assert world.ask("slack", request).json()["team"] == "Acme"


def test_a_forward_can_make_an_upstream_of_its_own(bench: Make, server: HTTPServer) -> None:
    world = bench({})
    server.expect_request("/x").respond_with_data("new")
    world.engine.set_forward("pager", server.url_for(""), ["pager.test"])
    assert world.engine.host_owner("pager.test") == "pager"
    assert world.ask("pager", UpstreamRequest("GET", "https://pager.test/x")).text == "new"
    with pytest.raises(UpstreamSettingsError, match=r"requests are not forwarded to example\.com"):
        world.engine.set_forward("pager", "http://example.com")


def test_headers_between_the_two_hops_stay_behind(world: Bench, server: HTTPServer) -> None:
    seen: list[dict[str, str]] = []

    def handle(request: Request) -> Response:
        seen.append({name.lower(): value for name, value in request.headers.items()})
        body = gzip.compress(b"packed")
        return Response(body, headers={"Content-Encoding": "gzip", "Keep-Alive": "timeout=5", "Set-Cookie": "a=1"})

    server.expect_request("/").respond_with_handler(handle)
    extra = {
        "Connection": "X-Hop",
        "X-Hop": "1",
        "TE": "trailers",
        "Proxy-Authorization": "Basic eA==",
        "Host": "other",
    }
    replies = [
        world.ask("tickets", UpstreamRequest("GET", "https://tickets.test/", {**HEADERS, **extra})) for _ in "12"
    ]
    assert [reply.text for reply in replies] == ["packed", "packed"]
    assert not {"content-encoding", "keep-alive"} & {name.lower() for name in replies[0].headers}
    for one in seen:
        assert not {"x-hop", "te", "proxy-authorization", "cookie", "user-agent"} & one.keys()
        assert one["authorization"] == f"Bearer {SECRET}"
        assert (one["x-forwarded-host"], one["x-forwarded-proto"]) == ("tickets.test", "https")
        assert one["host"] == f"127.0.0.1:{server.port}"


def test_redirects_are_passed_on_and_not_followed(world: Bench, server: HTTPServer) -> None:
    server.expect_request("/old").respond_with_data("", status=302, headers={"Location": "https://example.com/"})
    reply = world.ask("tickets", UpstreamRequest("GET", "https://tickets.test/old", HEADERS))
    assert (reply.status, reply.headers["Location"]) == (302, "https://example.com/")


def test_a_foreign_credential_is_never_passed_on(world: Bench, server: HTTPServer) -> None:
    world.world.redactor.add(TOKEN, "scon_slack")
    reply = world.ask("tickets", UpstreamRequest("GET", "https://tickets.test/", {"Authorization": f"Bearer {TOKEN}"}))
    assert reply.status == 401
    assert world.last().problem == "leak"
    assert server.log == []


def test_a_direct_call_is_not_passed_on(world: Bench, server: HTTPServer) -> None:
    assert world.direct("tickets", UpstreamRequest("GET", "https://tickets.test/")).status == 401
    assert server.log == []


def test_routes_come_before_the_forward(bench: Make, server: HTTPServer) -> None:
    server.expect_request("/other").respond_with_data("theirs")
    routes = [{"when": {"path": "/mine"}, "reply": {"text": "ours"}}]
    world = bench({"tickets": {"hosts": ["tickets.test"], "routes": routes, "forward": server.url_for("")}})
    assert world.ask("tickets", UpstreamRequest("GET", "https://tickets.test/mine")).text == "ours"
    assert world.ask("tickets", UpstreamRequest("GET", "https://tickets.test/other")).text == "theirs"


def test_nobody_listening_is_one_sentence(bench: Make) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        world = bench({"tickets": {"hosts": ["tickets.test"], "forward": url}})
        with pytest.raises(UpstreamUnreachable, match=rf"tickets\.test is forwarded to {url}, which gave no answer"):
            world.ask("tickets", UpstreamRequest("GET", "https://tickets.test/"))
    assert world.last().code == "UpstreamUnreachable"


def test_a_server_that_does_not_answer_in_time_is_a_timeout(bench: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        world = bench({"tickets": {"hosts": ["tickets.test"], "forward": url}}, timeout_s=0.05)
        with pytest.raises(UpstreamTimeout, match=r"tickets\.test did not answer within 0\.05 seconds\."):
            world.ask("tickets", UpstreamRequest("GET", "https://tickets.test/"))


def test_a_reply_that_unpacks_beyond_the_limit_is_refused(bench: Make, server: HTTPServer) -> None:
    packed = gzip.compress(b"x" * 3_000_000)
    server.expect_request("/").respond_with_data(packed, headers={"Content-Encoding": "gzip"})
    world = bench({"tickets": {"hosts": ["tickets.test"], "forward": server.url_for("")}}, max_reply_bytes=1024 * 1024)
    with pytest.raises(UpstreamTooLarge, match=r"tickets\.test answered with more than 1 MB"):
        world.ask("tickets", UpstreamRequest("GET", "https://tickets.test/"))


def test_an_engine_outlives_the_loop_its_connections_were_made_in(world: Bench, server: HTTPServer) -> None:
    server.expect_request("/").respond_with_data("ok")
    request = UpstreamRequest("GET", "https://tickets.test/", HEADERS)

    async def twice() -> list[str]:
        replies = await asyncio.gather(*(world.send("tickets", request) for _ in range(2)))
        await world.engine.aclose()
        return [reply.text for reply in replies]

    assert asyncio.run(twice()) == asyncio.run(twice()) == ["ok", "ok"]
