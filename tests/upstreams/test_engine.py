"""The engine finds the upstream, checks the credential, injects faults, and says what went wrong."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from typing import Any

import pytest

from stack_emu.kernel.faults import FaultRule
from stack_emu.upstreams.engine import (
    AcceptedCredential,
    UpstreamRefused,
    UpstreamReply,
    UpstreamRequest,
    UpstreamSettingsError,
    UpstreamTimeout,
    UpstreamTooLarge,
    UpstreamUnreachable,
)
from stack_emu.upstreams.packs import find_pack
from stack_emu.upstreams.slack import PACK, messages

from .conftest import SLACK_SEED, TOKEN, Bench

Make = Callable[..., Bench]
HOST = "https://incidents.example.com"
SECRET = "key-of-incidents"
INCIDENTS = AcceptedCredential(SECRET, "scon_incidents")
SLACK = AcceptedCredential(TOKEN, "scon_slack")
ROUTES = [
    {
        "when": {"method": "POST", "path": "/v1/incidents", "body": {"severity": "high"}},
        "reply": {
            "status": 201,
            "headers": {"Location": "/v1/incidents/{{ request.json.title }}"},
            "json": {"ok": True},
        },
    },
    {
        "when": {"method": "GET", "path": "/v1/incidents/{id}"},
        "reply": {
            "json": {
                "id": "{{ request.params.id }}",
                "lang": "{{ request.headers['accept-language'] }}",
                "full": "{{ request.query.full }}",
                "at": "{{ now }}",
            }
        },
    },
    {"when": {"path": "/text"}, "reply": {"text": "hello {{ request.method }}"}},
    {"when": {"path": "/raw"}, "reply": {"text": "{{ as written }}", "template": False}},
    {"when": {"path": "/bytes"}, "reply": {"base64": base64.b64encode(b"\x00\xff").decode(), "status": 203}},
    {"when": {"path": "/empty"}, "reply": {"status": 204}},
    {"when": {"path": "/null"}, "reply": {"json": None}},
    {"when": {"path": "/broken"}, "reply": {"json": "{{ request.nothing }}"}},
    {"when": {"path": "/slow"}, "reply": {"delay": "40s"}},
    {"when": {"path": "/echo"}, "reply": {"text": "{{ request.headers.authorization }}"}},
]
SETTINGS: dict[str, Any] = {
    "incidents": {"hosts": ["incidents.example.com"], "routes": ROUTES},
    "slack": {"pack": "slack", "seed": SLACK_SEED},
}


@pytest.fixture
def world(bench: Make) -> Bench:
    return bench(SETTINGS, {"incidents": [INCIDENTS], "slack": [SLACK]})


def get(path: str, **headers: str) -> UpstreamRequest:
    return UpstreamRequest("GET", HOST + path, {"Authorization": f"Bearer {SECRET}", **headers})


def post(path: str, data: Any) -> UpstreamRequest:
    return UpstreamRequest.of_json("POST", HOST + path, data, {"Authorization": f"Bearer {SECRET}"})


# --- hosts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "owner"),
    [
        ("slack.com", "chat"),
        ("SLACK.com.", "chat"),
        ("slack.com:443", "chat"),
        ("files.slack.com", "chat"),
        ("a.b.slack.com", "chat"),
        ("files.box.com", "files"),
        ("api.files.box.com", "box"),
        ("box.com", None),
        ("notslack.com", None),
        ("slack.com.evil.test", None),
        ("", None),
    ],
)
def test_hosts_lead_to_their_upstream(bench: Make, host: str, owner: str | None) -> None:
    made = bench(
        {"chat": {"pack": "slack"}, "box": {"hosts": ["*.box.com"]}, "files": {"hosts": ["files.box.com"]}},
    )
    assert made.engine.host_owner(host, 443) == owner


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"a": {"hosts": ["x.test"]}, "b": {"hosts": ["x.test"]}},
            "upstreams a and b both claim x.test; leave it to one",
        ),
        ({"a": {"pack": "slak"}}, "upstream a: there is no pack 'slak'; did you mean 'slack'?"),
        (
            {"a": {"forward": "http://example.com"}},
            "upstream a: requests are not forwarded to example.com, because it is",
        ),
        ({"a": {"forward": "9000"}}, "upstream a: '9000' is no forward; write a URL such as http://127.0.0.1:9000."),
        (
            {"a": {"routes": [{"when": {"body": {"regex": "("}}, "reply": {}}]}},
            "route 1 of upstream a: body.regex: this is not a regular expression",
        ),
    ],
)
def test_upstreams_that_cannot_work_are_refused_in_one_sentence(bench: Make, settings: Any, sentence: str) -> None:
    with pytest.raises(UpstreamSettingsError) as caught:
        bench(settings)
    assert str(caught.value).startswith(sentence)


def test_an_unknown_upstream_is_named_with_those_there_are(world: Bench) -> None:
    with pytest.raises(KeyError, match=r"there is no upstream 'pager'; there are: incidents, slack\."):
        world.ask("pager", get("/"))
    assert world.engine.names == ("incidents", "slack")
    assert world.engine.hosts == ["*.slack.com", "incidents.example.com", "slack.com"]
    assert find_pack("slack") is PACK


# --- routes -----------------------------------------------------------------------------------------------------------


def test_routes_answer_with_rendered_templates(world: Bench) -> None:
    made = world.ask("incidents", post("/v1/incidents", {"severity": "high", "title": "down"}))
    assert (made.status, made.headers["location"], made.json()) == (201, "/v1/incidents/down", {"ok": True})
    read = world.ask("incidents", get("/v1/incidents/a%20b?full=1", **{"Accept-Language": "de"}))
    assert read.json() == {"id": "a b", "lang": "de", "full": "1", "at": "2026-01-01T00:00:00.000Z"}
    assert world.ask("incidents", get("/text")).text == "hello GET"
    assert world.ask("incidents", get("/raw")).text == "{{ as written }}"
    assert world.ask("incidents", get("/bytes")) == UpstreamReply(203, {}, b"\x00\xff")
    assert world.ask("incidents", get("/empty")) == UpstreamReply(204)
    assert world.ask("incidents", get("/null")).body == b"null"
    assert world.engine.requests(world.world, "incidents")[0]["path"] == "/v1/incidents"


def test_an_unmatched_request_is_answered_501_with_the_nearest_route_and_why(world: Bench) -> None:
    reply = world.ask("incidents", post("/v1/incidents", {"severity": "low"}))
    sentence = (
        "no route of upstream incidents answers POST /v1/incidents; "
        "closest: POST /v1/incidents, but body.severity was 'low', expected 'high'."
    )
    assert reply.status == 501
    error = reply.json()["error"]
    details = error.pop("details")
    assert error == {"code": "UPSTREAM_UNMATCHED", "message": sentence}
    assert (details["upstream"], details["nearest"]) == ("incidents", "POST /v1/incidents")
    assert details["differences"] == [{"field": "body.severity", "got": "low", "expected": "high"}]
    assert details["candidates"][0]["differences"] == details["differences"]
    assert len(details["candidates"]) == 3
    entry = world.last()
    assert details["side_by_side"] == str(entry.near).splitlines()
    assert (entry.problem, entry.hint, entry.status, entry.route) == ("unmatched", sentence, 501, None)


def test_a_near_miss_never_shows_a_header_that_may_be_a_credential(bench: Make) -> None:
    routes = [{"when": {"headers": {"X-Sign": "abc"}}, "reply": {}}]
    world = bench({"incidents": {"hosts": ["incidents.example.com"], "routes": routes}})
    reply = world.ask("incidents", UpstreamRequest("GET", HOST, {"X-Sign": "unregistered-secret"}))
    assert "headers.x-sign was '<masked>', expected 'abc'" in reply.text
    assert "unregistered-secret" not in reply.text + str(world.last().hint)


def test_an_upstream_without_routes_says_so(bench: Make) -> None:
    world = bench({"incidents": {"hosts": ["incidents.example.com"]}})
    assert "it has no routes, so add one" in world.ask("incidents", get("/x")).json()["error"]["message"]


def test_a_template_that_fails_is_the_upstreams_crash(world: Bench) -> None:
    reply = world.ask("incidents", get("/broken"))
    assert (reply.status, reply.json()["error"]["code"]) == (500, "UPSTREAM_CRASHED")
    assert world.last().problem == "crash"
    assert "asks for nothing, which is not there" in str(world.last().hint)


def test_a_pack_that_crashes_leaves_no_half_state(world: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: Any) -> None:
        raise RuntimeError(f"boom {TOKEN}")

    monkeypatch.setattr("stack_emu.upstreams.slack.chat.message_shape", explode)
    act = world.act({})
    request = UpstreamRequest.of_json(
        "POST",
        "https://slack.com/api/chat.postMessage",
        {"channel": "C0ENG", "text": "x"},
        {"Authorization": f"Bearer {TOKEN}"},
    )
    reply = asyncio.run(world.engine.call(world.world, act, "slack", request, lane="agent:a"))
    assert (reply.status, reply.json()["error"]["code"]) == (500, "UPSTREAM_CRASHED")
    assert messages(world.world, "engineering") == []
    assert act.minted == []
    assert (world.last().problem, world.last().hint) == (
        "crash",
        "the fake of upstream slack failed with RuntimeError; nothing was changed.",
    )


# --- credentials ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "carrying",
    [
        {"headers": {"Authorization": f"Bearer {SECRET}"}},
        {"headers": {"Authorization": f"token {SECRET}"}},
        {"headers": {"X-Api-Key": SECRET}},
        {"headers": {"Authorization": "Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode()}},
        {"headers": {"Authorization": "Basic " + base64.b64encode(f"{SECRET}:".encode()).decode()}},
        {"query": {"api_key": SECRET}},
    ],
)
def test_a_credential_is_recognised_wherever_services_take_it(world: Bench, carrying: dict[str, Any]) -> None:
    assert world.ask("incidents", UpstreamRequest("GET", f"{HOST}/text", **carrying)).status == 200
    assert world.last().request["credential"] == "scon_incidents"
    assert SECRET not in str(world.last())


def test_without_an_accepted_credential_an_upstream_answers_401(world: Bench) -> None:
    reply = world.ask("incidents", UpstreamRequest("GET", f"{HOST}/text", {"Authorization": "Bearer wrong-secret"}))
    assert (reply.status, reply.json()["error"]["code"]) == (401, "UPSTREAM_UNAUTHORIZED")
    assert reply.headers["WWW-Authenticate"] == "Bearer"
    assert world.world.journal.violations() == []


def test_the_credential_of_another_upstream_is_a_leak_and_is_answered_as_a_wrong_one(world: Bench) -> None:
    reply = world.ask("incidents", UpstreamRequest("GET", f"{HOST}/text", {"Authorization": f"Bearer {TOKEN}"}))
    assert reply.status == 401
    entry = world.last()
    assert entry.problem == "leak"
    assert str(entry.hint).startswith("credential of scon_slack sent to incidents.example.com; ")
    assert TOKEN not in str(entry)
    back = UpstreamRequest("POST", "https://slack.com/api/auth.test", {"Authorization": f"Bearer {SECRET}"})
    assert world.ask("slack", back).json() == {"ok": False, "error": "invalid_auth"}
    assert "credential of scon_incidents sent to slack.com" in str(world.last().hint)


@pytest.mark.parametrize(
    "leak",
    [
        {"headers": {"X-Note": f"it is {TOKEN}"}},
        {"query": {"q": TOKEN}},
        {"body": f"my token is {TOKEN}".encode()},
        {"body": b"text=" + TOKEN.replace("-", "%2D").encode()},
        {"headers": {"X-Basic": "Basic " + base64.b64encode(f"me:{TOKEN}".encode()).decode()}},
    ],
)
def test_a_leak_is_seen_anywhere_in_a_request_that_is_otherwise_served(world: Bench, leak: dict[str, Any]) -> None:
    headers = {"Authorization": f"Bearer {SECRET}", **leak.pop("headers", {})}
    reply = world.ask("incidents", UpstreamRequest("GET", f"{HOST}/text", headers, **leak))
    assert reply.status == 200
    assert world.last().problem == "leak"


def test_an_upstream_no_service_belongs_to_is_open(bench: Make) -> None:
    world = bench({"open": {"hosts": ["open.test"], "routes": [{"reply": {"text": "hi"}}]}})
    assert world.ask("open", UpstreamRequest("GET", "https://open.test/")).text == "hi"


def test_what_an_upstream_echoes_is_masked_in_the_journal_only(world: Bench) -> None:
    assert world.ask("incidents", get("/echo")).text == f"Bearer {SECRET}"
    assert world.last().response["body"] == "Bearer <secret:scon_incidents>"
    assert SECRET not in str(world.engine.requests(world.world, "incidents"))


# --- around STACK -----------------------------------------------------------------------------------------------------


def test_a_direct_call_is_answered_as_without_a_credential_and_marked(world: Bench) -> None:
    reply = world.direct("incidents", UpstreamRequest("GET", f"{HOST}/text"))
    assert reply.status == 401
    entry = world.last()
    assert (entry.problem, entry.status) == ("bypass", 401)
    assert str(entry.hint).startswith(
        "incidents.example.com was called around STACK; send the call through POST /v1/proxy"
    )
    assert entry.request["direct"] is True
    slack = UpstreamRequest("POST", "https://slack.com/api/chat.postMessage", {"Authorization": "Bearer xoxb-mine"})
    assert world.direct("slack", slack).json() == {"ok": False, "error": "invalid_auth"}
    assert world.last().problem == "bypass"


def test_a_direct_call_with_a_credential_that_was_never_retrieved_is_refused(world: Bench) -> None:
    assert world.direct("incidents", get("/text")).status == 401
    assert "with the credential of scon_incidents, which no agent was given" in str(world.last().hint)
    assert SECRET not in str(world.last())


def test_a_direct_call_with_a_retrieved_credential_is_served(world: Bench) -> None:
    world.retrieved.add("scon_incidents")
    assert world.direct("incidents", get("/text")).text == "hello GET"
    assert world.world.journal.violations() == []
    assert world.engine.requests(world.world, "incidents")[0]["credential"] == "scon_incidents"


def test_a_direct_call_with_a_foreign_secret_is_a_leak(world: Bench) -> None:
    world.direct("incidents", UpstreamRequest("GET", HOST, {"Authorization": f"Bearer {TOKEN}"}))
    assert world.last().problem == "leak"


def test_a_direct_call_to_an_open_upstream_is_answered_and_still_marked(bench: Make) -> None:
    world = bench({"open": {"hosts": ["open.test"], "routes": [{"reply": {"text": "hi"}}]}})
    assert world.direct("open", UpstreamRequest("GET", "https://open.test/")).text == "hi"
    assert world.last().problem == "bypass"


# --- faults -----------------------------------------------------------------------------------------------------------


def add(world: Bench, inject: dict[str, Any], **rule: Any) -> None:
    world.world.faults.add(FaultRule({"upstream": "incidents"}, inject, **rule))


@pytest.mark.parametrize(
    ("inject", "reply"),
    [
        ({"status": 503}, UpstreamReply(503)),
        ({"status": 429, "headers": {"Retry-After": "1"}}, UpstreamReply(429, {"Retry-After": "1"})),
        ({"json": {"no": 1}}, UpstreamReply.of_json({"no": 1})),
        ({"status": 400, "body": "bad"}, UpstreamReply.of_text("bad", 400)),
        ({"status": 400, "body": {"no": 1}}, UpstreamReply.of_json({"no": 1}, 400)),
        ({"status": 400, "text": "bad"}, UpstreamReply.of_text("bad", 400)),
    ],
)
def test_faults_answer_instead_of_the_upstream(world: Bench, inject: dict[str, Any], reply: UpstreamReply) -> None:
    add(world, inject, nth=2)
    assert world.ask("incidents", get("/text")).text == "hello GET"
    assert world.ask("incidents", get("/text")) == reply
    assert world.last().route == "fault"


def test_faults_are_counted_in_each_lane_and_may_name_more_than_the_upstream(world: Bench) -> None:
    world.world.faults.add(FaultRule({"upstream": "incidents", "agent": "a1", "path": "/te*"}, {"status": 500}, nth=1))
    act = world.act({})
    for agent, status in [("a2", 200), ("a1", 500), ("a1", 200)]:
        reply = asyncio.run(
            world.engine.call(world.world, act, "incidents", get("/text"), lane="x", about={"agent": agent})
        )
        assert reply.status == status
    world.world.faults.clear()
    world.world.faults.add(FaultRule({"upstream": "incidents", "path": "/v1/incidents/{id}"}, {"status": 410}))
    paths = ["/text", "/v1/incidents/7", "/v1/incidents/a%2Fb", "/v1/incidents/a/b"]
    assert [world.ask("incidents", get(path)).status for path in paths] == [200, 410, 410, 501]
    world.world.faults.clear()
    add(world, {"status": 418}, nth=1)
    assert [world.ask("incidents", get("/text"), lane=lane).status for lane in "ppq"] == [418, 200, 418]


def test_a_dropped_request_took_no_effect_and_a_dropped_reply_did(world: Bench) -> None:
    request = UpstreamRequest.of_json(
        "POST",
        "https://slack.com/api/chat.postMessage",
        {"channel": "C0ENG", "text": "x"},
        {"Authorization": f"Bearer {TOKEN}"},
    )
    for drop in (True, "request"):
        world.world.faults.clear()
        world.world.faults.add(FaultRule({"upstream": "slack"}, {"drop": drop}))
        with pytest.raises(UpstreamUnreachable, match=r"slack\.com was closed before the request took effect"):
            world.ask("slack", request)
    assert messages(world.world, "engineering") == []
    world.world.faults.clear()
    world.world.faults.add(FaultRule({"upstream": "slack"}, {"drop": "reply"}))
    with pytest.raises(UpstreamUnreachable, match=r"slack\.com was closed before its reply arrived"):
        world.ask("slack", request)
    assert len(messages(world.world, "engineering")) == 1
    assert (world.last().status, world.last().code) == (None, "UpstreamUnreachable")


def test_an_injected_error_is_stacks_to_answer(world: Bench) -> None:
    add(world, {"error": "TIER_LIMIT_EXCEEDED", "message": "enough"})
    with pytest.raises(UpstreamRefused) as caught:
        world.ask("incidents", get("/text"))
    assert (caught.value.code, caught.value.message) == ("TIER_LIMIT_EXCEEDED", "enough")


def test_delays_are_waited_for_and_those_past_the_timeout_are_a_timeout_at_once_under_a_virtual_clock(
    world: Bench,
) -> None:
    add(world, {"delay": 1}, nth=1)
    assert world.ask("incidents", get("/text")).status == 200
    with pytest.raises(UpstreamTimeout, match=r"incidents\.example\.com did not answer within 30 seconds\."):
        world.ask("incidents", get("/slow"))
    add(world, {"delay": 30_000})
    with pytest.raises(UpstreamTimeout):
        world.ask("incidents", get("/text"))


def test_a_reply_longer_than_the_limit_is_refused(bench: Make) -> None:
    routes = [{"reply": {"text": "x" * 2_000_000}}]
    world = bench({"big": {"hosts": ["big.test"], "routes": routes}}, max_reply_bytes=1024 * 1024)
    with pytest.raises(
        UpstreamTooLarge, match=r"big\.test answered with more than 1 MB, the most the proxy passes on\."
    ):
        world.ask("big", UpstreamRequest("GET", "https://big.test/"))


# --- what was seen ----------------------------------------------------------------------------------------------------


def test_requests_can_be_asserted_on(world: Bench) -> None:
    world.ask("incidents", post("/v1/incidents?dry=1", {"severity": "high", "title": "x"}))
    (seen,) = world.engine.requests(world.world, "incidents")
    assert seen | {"headers": None} == {
        "number": 1,
        "upstream": "incidents",
        "method": "POST",
        "path": "/v1/incidents",
        "url": f"{HOST}/v1/incidents",
        "query": {"dry": "1"},
        "headers": None,
        "body": {"severity": "high", "title": "x"},
        "status": 201,
        "credential": "scon_incidents",
        "direct": False,
        "lane": "agent:a",
        "problem": None,
        "foreign": (),
    }
    assert seen["headers"]["Authorization"] == "Bearer <masked>"


def test_bodies_that_are_not_text_are_kept_by_their_size(world: Bench) -> None:
    headers = {"Authorization": f"Bearer {SECRET}", "Content-Type": "image/png"}
    world.ask("incidents", UpstreamRequest("POST", f"{HOST}/text", headers, body=b"\x89PNG\xff"))
    assert world.last().request["body"] == "<5 bytes of image/png>"
    world.ask("incidents", UpstreamRequest("POST", f"{HOST}/text", headers, body=b"x" * 300_000))
    assert world.last().request["body"] == "<300000 bytes>"
