"""The REST surface against requests no SDK would send, on real sockets: paths, methods, headers, connections, hosts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from tests.guarantees.conftest import Ground
from tests.guarantees.raw_http import Wire, ask
from tests.guarantees.test_bodies import REGISTER, refused_body
from tests.guarantees.tour import OPERATOR

JSON = "application/json"

# --- headers ----------------------------------------------------------------------------------------------------------

HEADERS = ["Authorization", "X-Passport-Token", "X-Stack-Emu-Lane", "Accept", "X-Anything"]


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("path", ["/v1/proxy", "/mcp", "/anthropic/v1/messages", "/_emu/worlds", "/v1/nothing"])
def test_a_header_that_is_no_text_is_refused_by_name_and_harms_nothing(ground: Ground, path: str, header: str) -> None:
    base = ground.served.base_url
    answer = ask(base, "POST", path, b"{}", Content_Type=JSON, **{header: "Bearer \xff.\xfe.x"})
    assert (answer.status, answer.error["code"]) == (400, "INVALID_REQUEST")
    assert answer.error["message"] == f"The value of the header {header} is not UTF-8; encode it so."
    assert ask(base, "GET", "/_emu/journal").status == 200
    assert ask(base, "GET", "/_emu/audit/canonical").status == 200


def test_a_lane_may_have_any_name_that_is_text(ground: Ground) -> None:
    named = "köln/2".encode().decode("latin-1")
    answer = ask(
        ground.served.base_url, "POST", REGISTER, b'{"name": "abroad"}', bearer=OPERATOR, X_Stack_Emu_Lane=named
    )
    assert answer.status == 201
    assert [act.lane for act in ground.world.audit.acts()] == [f"agent:{answer.json['id']}/köln/2"]
    assert "köln" in ask(ground.served.base_url, "GET", "/_emu/audit/canonical").body.decode()


# --- methods and paths -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "served"),
    [
        ("PUT", "/v1/agents", "GET"),
        ("POST", "/v1/agents/agt_tour", "DELETE, GET, PATCH"),
        ("GET", "/v1/agents/agt_tour/enroll", "POST"),
        ("DELETE", "/v1/proxy", "POST"),
        ("PATCH", "/v1/audit", "GET"),
    ],
)
def test_a_wrong_method_is_told_which_ones_are_served(ground: Ground, method: str, path: str, served: str) -> None:
    answer = ask(ground.served.base_url, method, path, bearer=OPERATOR)
    assert (answer.status, answer.error["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == served
    assert answer.error["message"] == f"{method} {path} is not emulated. This path is served for {served}."
    entry = list(ground.world.journal.entries(surface="rest"))[-1]
    assert (entry.problem, entry.hint) == ("unmatched", answer.error["message"])


@pytest.mark.parametrize(
    ("method", "path", "nearest"),
    [
        ("GET", "/v1/agent", "GET /v1/agents (agents.list)"),
        ("POST", "/v1/passport/issue", "POST /v1/passports/issue (passports.issue)"),
        ("GET", "/v1/service", "GET /v1/services (services.list_available)"),
        ("POST", "/v1/mission/start", "POST /v1/missions/start (missions.start)"),
    ],
)
def test_an_unknown_route_names_the_nearest_operation(ground: Ground, method: str, path: str, nearest: str) -> None:
    answer = ask(ground.served.base_url, method, path, bearer=OPERATOR)
    assert answer.status == 501
    assert answer.error["message"] == f"{method} {path} is not emulated. The nearest operation is {nearest}."
    entry = list(ground.world.journal.entries(surface="rest"))[-1]
    assert (entry.problem, entry.hint) == ("unmatched", answer.error["message"])


@pytest.mark.parametrize("path", ["/v1/agents/", "/v1/agents/agt_tour/", "/v1//agents", "//v1/agents", "/v1/agents//"])
def test_a_path_is_taken_as_it_stands_and_never_redirected(ground: Ground, path: str) -> None:
    answer = ask(ground.served.base_url, "GET", path, bearer=OPERATOR)
    assert (answer.status, answer.error["code"]) == (501, "NOT_EMULATED")
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    ("segment", "wanted"),
    [
        ("pck%2F1", "pck/1"),
        ("a%20b", "a b"),
        ("%E2%82%AC", "€"),
        ("a%252Fb", "a%2Fb"),
        ("%2e%2e", ".."),
        ("a+b", "a+b"),
        ("%zz", "%zz"),
        ("%ff", "\ufffd"),
        ("%00", "\0"),
        ("a%3Fb%23c", "a?b#c"),
        ("x" * 4000, "x" * 4000),
    ],
)
def test_an_id_is_one_segment_however_it_is_encoded(ground: Ground, segment: str, wanted: str) -> None:
    answer = ask(ground.served.base_url, "GET", f"/v1/agents/{segment}", bearer=OPERATOR)
    assert (answer.status, answer.error["code"]) == (404, "NOT_FOUND")
    assert answer.error["details"]["id"] == wanted


def test_the_first_of_two_query_values_counts(ground: Ground) -> None:
    for _ in range(3):
        ask(ground.served.base_url, "PATCH", "/v1/agents/agt_tour", b'{"description": "d"}', bearer=OPERATOR)
    for query, count in (("limit=1&limit=3", 1), ("limit=3&limit=1", 3)):
        answer = ask(ground.served.base_url, "GET", f"/v1/audit?{query}", bearer=OPERATOR)
        assert len(answer.json["entries"]) == count


def test_a_query_that_makes_no_sense_is_refused_naming_the_field(ground: Ground) -> None:
    for query, field in (("limit=many", "limit"), ("since=-1", "since"), ("page=0", "page"), ("limit=", "limit")):
        answer = ask(ground.served.base_url, "GET", f"/v1/audit?{query}", bearer=OPERATOR)
        assert list(refused_body(answer)["details"]["fields"]) == [field]


def test_path_wins_over_body_and_body_over_query(ground: Ground) -> None:
    body = b'{"agent_id": "agt_stranger", "description": "from the body"}'
    url = "/v1/agents/agt_tour?agent_id=agt_other&description=from-the-query"
    answer = ask(ground.served.base_url, "PATCH", url, body, bearer=OPERATOR, Content_Type=JSON)
    assert (answer.json["id"], answer.json["description"]) == ("agt_tour", "from the body")


# --- connections -----------------------------------------------------------------------------------------------------


def test_pipelined_requests_are_answered_in_their_order(ground: Ground) -> None:
    with Wire(ground.served.base_url) as wire:
        bodies = [json.dumps({"name": f"piped-{number}"}).encode() for number in range(5)]
        wire.send(b"".join(wire.request("POST", REGISTER, body, bearer=OPERATOR) for body in bodies))
        names = [wire.read().json["name"] for _ in bodies]
    assert names == [f"piped-{number}" for number in range(5)]


def test_a_connection_stays_usable_after_every_kind_of_refusal(ground: Ground) -> None:
    with Wire(ground.served.base_url) as wire:
        for method, path, body in (
            ("GET", "/v1/nothing", None),
            ("POST", REGISTER, b"{"),
            ("GET", "/v1/agents/unknown", None),
            ("HEAD", "/v1/agents", None),
            ("OPTIONS", "/v1/agents", None),
            ("GET", "/w/nowhere/v1/agents", None),
        ):
            assert wire.ask(method, path, body, bearer=OPERATOR).status >= 400
        assert wire.ask("GET", "/v1/agents", bearer=OPERATOR).status == 200


def test_head_and_options_are_answered_like_any_method_that_is_not_served(ground: Ground) -> None:
    head = ask(ground.served.base_url, "HEAD", "/v1/agents", bearer=OPERATOR)
    assert (head.status, head.body) == (405, b"")
    options = ask(ground.served.base_url, "OPTIONS", "/v1/agents", bearer=OPERATOR)
    assert options.status == 405
    assert "served for GET" in options.error["message"]
    assert ask(ground.served.base_url, "HEAD", "/").status == 200


@pytest.mark.parametrize(
    "noise", [b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\0" * 64]
)
def test_what_is_no_http_is_refused_and_the_server_goes_on(ground: Ground, noise: bytes) -> None:
    with Wire(ground.served.base_url) as wire:
        wire.send(noise + b"\r\n\r\n")
        with suppress(EOFError, ConnectionResetError):  # closing is an answer too
            assert wire.read().status == 400
    assert ask(ground.served.base_url, "GET", "/").status == 200


# --- where requests come from ----------------------------------------------------------------------------------------

SURFACES = ["/", "/v1/agents", "/mcp", "/anthropic/v1/messages", "/_emu/health", "/_emu/world"]


@pytest.mark.parametrize("path", SURFACES)
@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "api.getstack.run", "2130706433", "[::2]", "evil.example:80", ""]
)
def test_a_host_that_is_not_the_servers_own_is_refused_on_every_surface(ground: Ground, path: str, host: str) -> None:
    answer = ask(ground.served.base_url, "GET", path, host=host, bearer=OPERATOR)
    assert answer.status in (400, 421), answer
    if host:
        assert answer.error["code"] == "HOST_REFUSED"
    assert OPERATOR not in answer.body.decode()


@pytest.mark.parametrize("path", SURFACES)
@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil.example", "file://"])
def test_a_page_of_another_site_is_refused_on_every_surface(ground: Ground, path: str, origin: str) -> None:
    answer = ask(ground.served.base_url, "GET", path, Origin=origin, bearer=OPERATOR)
    assert (answer.status, answer.error["code"]) == (403, "ORIGIN_REFUSED")
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LocalHost:1234", "[::1]:9"])
def test_every_name_of_this_machine_is_served(ground: Ground, host: str) -> None:
    assert ask(ground.served.base_url, "GET", "/v1/agents", host=host, bearer=OPERATOR).status == 200


@pytest.mark.parametrize("peer", ["192.0.2.7", "10.0.0.1", "2001:db8::1", "::ffff:192.0.2.7", "fe80::1%eth0"])
def test_the_control_api_answers_nobody_beyond_this_machine(ground: Ground, peer: str) -> None:
    class Transport:
        def get_extra_info(self, name: str, default: Any = None) -> Any:
            return (peer, 4000) if name == "peername" else default

    request = make_mocked_request("GET", "/_emu/world", headers={"Host": "127.0.0.1"}, transport=Transport())

    async def handle() -> Any:
        return await ground.served.server._control.handle(ground.served.hosted, request, "/_emu/world")

    answer = asyncio.run_coroutine_threadsafe(handle(), ground.served.loop).result(10)
    assert answer.status == 403
    assert peer.partition("%")[0] in answer.text
    assert OPERATOR not in answer.text


# --- worlds and lanes in the URL -------------------------------------------------------------------------------------


def test_worlds_and_lanes_are_found_in_the_url_on_every_surface(ground: Ground) -> None:
    base = ground.served.base_url
    hosting, scenario = ground.served.server.hosting, ground.served.hosted.scenario
    second = ground.do(lambda: hosting.create("second", scenario))
    made = ask(base, "POST", "/w/second/~left.hand/v1/agents/register", b'{"name": "in-second"}', bearer=OPERATOR)
    assert made.status == 201
    changed = ask(
        base, "PATCH", f"/w/second/~left.hand/v1/agents/{made.json['id']}", b'{"name": "x2"}', bearer=OPERATOR
    )
    assert changed.status == 200
    lanes = [act.lane for act in second.world.audit.acts()]
    assert lanes == [f"agent:{made.json['id']}/left.hand"] * 2
    assert ground.world.audit.acts() == []
    index = ask(base, "GET", "/w/second/~left.hand").json
    assert index["world"] == "second"
    assert index["rest"] == f"{base}/w/second/~left.hand/v1"
    assert ask(base, "GET", "/w/second/_emu/world").json["name"] == "second"
    journal = ask(base, "GET", "/w/second/_emu/journal").json["entries"]
    assert [entry["path"] for entry in journal][:1] == ["/v1/agents/register"]


def test_a_lane_in_a_header_means_the_same_as_one_in_the_url(ground_of: Callable[..., Ground]) -> None:
    logs = []
    for prefix, headers in (("/w/default/~right", {}), ("", {"X_Stack_Emu_Lane": "right"})):
        ground = ground_of()
        made = ask(
            ground.served.base_url, "POST", f"{prefix}{REGISTER}", b'{"name": "aside"}', bearer=OPERATOR, **headers
        )
        assert made.status == 201
        logs.append(ground.log())
    assert logs[0] == logs[1]
    assert b"/right" in logs[0]


@pytest.mark.parametrize("path", ["/w/nowhere", "/w/nowhere/v1/agents", "/w/nowhere/mcp", "/w/nowhere/_emu/world"])
def test_an_unknown_world_is_named_with_the_way_to_make_it(ground: Ground, path: str) -> None:
    answer = ask(ground.served.base_url, "GET", path, bearer=OPERATOR)
    assert (answer.status, answer.error["code"]) == (404, "WORLD_NOT_FOUND")
    assert "nowhere" in answer.error["message"]
    assert "PUT /w/nowhere/_emu/world" in answer.error["message"]


@pytest.mark.parametrize("path", ["/w/", "/w/-bad/v1/agents", "/w/a%2Fb/v1/agents", "/w/second/~/v1/agents", "/w//v1"])
def test_a_world_that_cannot_be_named_so_is_no_world(ground: Ground, path: str) -> None:
    answer = ask(ground.served.base_url, "GET", path, bearer=OPERATOR)
    assert answer.status in (404, 501)
    assert answer.error["code"] in ("WORLD_NOT_FOUND", "NOT_EMULATED")
