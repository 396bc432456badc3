"""The REST surface against requests no SDK would send, on real sockets."""

from __future__ import annotations

import gzip
import json
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from stack_emu.kernel.operations import Operation
from tests.guarantees.conftest import Ground, moments
from tests.guarantees.raw_http import RawAnswer, Wire, ask
from tests.guarantees.tour import OPERATOR, registry
from tests.guarantees.wire import ACCEPT, rest_parts

JSON = "application/json"
REGISTER = "/v1/agents/register"

WITH_BODY = sorted(
    name
    for name, declared in registry().operations.items()
    if declared.rest is not None and declared.rest.method in ("POST", "PATCH", "PUT")
)

NOT_OBJECTS = [b"[]", b'["name"]', b'"name"', b"7", b"true", b"-1.5e3"]
NOT_JSON = [
    b"{",
    b"{'name': 1}",
    b'{"name": NaN}',
    b'{"name": Infinity}',
    b'{"name": -Infinity}',
    b'{"name": "\\ud800"}',
    b'{"\\udfff": 1}',
    b'{"name": "\xff\xfe"}',
    b'{"name": "\xed\xa0\x80"}',
    '{"name": "x"}'.encode("utf-16"),
    b"[" * 200_000,
    b'{"a":' * 100_000,
    b'{"a":' * 200 + b"1" + b"}" * 200,
    b'{"name": 1e999}',
    b'{"name": ' + b"9" * 5000 + b"}",
    b"\x00",
    b"name=x&y",
]


def url_of(declared: Operation, **params: str) -> str:
    """A path of an operation, its parameters filled with ids nobody has."""
    assert declared.rest is not None
    return rest_parts(declared, {name: params.get(name, "x_unknown_id") for name in declared.rest.params})[1]


def method_of(declared: Operation) -> str:
    assert declared.rest is not None
    return declared.rest.method


def refused_body(answer: RawAnswer) -> dict[str, Any]:
    assert answer.status == 400, answer
    error = answer.error
    assert error["code"] == "INVALID_REQUEST"
    assert isinstance(error["details"]["fields"], dict)
    return error


# --- bodies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [True, False], ids=["with a length of 0", "without a length"])
def test_a_post_without_a_body_but_with_a_json_content_type_is_an_empty_object(ground: Ground, length: bool) -> None:
    headers = {"Content_Type": JSON, "bearer": OPERATOR}
    answer = ask(ground.served.base_url, "POST", "/v1/passports/revoke-all", b"" if length else None, **headers)
    assert answer.status == 200
    assert answer.json["type"] == "bulk_operator"


def test_explicit_nulls_are_as_good_as_absent_fields_in_every_operation(ground: Ground) -> None:
    for moment in moments(ground).values():
        declared = moment.declared
        if declared.rest is None:
            continue
        nulls = dict.fromkeys(set(declared.command.model_fields) - set(moment.raw))
        if declared.rest.method in ("GET", "DELETE"):
            nulls = {}
        answers = []
        for raw in (moment.raw, {**nulls, **moment.raw}):
            ground.do(lambda moment=moment: ground.world.restore(moment.image))
            answers.append(ground.rest.call(declared, raw, OPERATOR))
        assert answers[0].ok, f"{declared.name}: {answers[0].body}"
        assert answers[1] == answers[0], declared.name


@pytest.mark.parametrize("name", WITH_BODY)
def test_what_is_no_json_object_is_refused_as_such_and_never_breaks_anything(ground: Ground, name: str) -> None:
    declared = registry().operations[name]
    path, method = url_of(declared), method_of(declared)
    with Wire(ground.served.base_url) as wire:
        for body in (*NOT_OBJECTS, *NOT_JSON):
            error = refused_body(wire.ask(method, path, body, bearer=OPERATOR, Content_Type=JSON))
            assert "body" in error["details"]["fields"], (body[:40], error)
            assert len(error["message"]) < 400
        everything = {field: ["a", {"b": [None]}] for field in declared.command.model_fields}
        for value in (everything, {field: {} for field in everything}, dict.fromkeys(everything, -1)):
            answer = wire.ask(method, path, json.dumps(value).encode(), bearer=OPERATOR, Content_Type=JSON)
            assert answer.status in (400, 401, 403, 404), (name, answer)
            assert answer.error["code"] != "INTERNAL_ERROR"
    assert ground.world.audit.rows("op_stranger") == []


@pytest.mark.parametrize("text", ["", "   ", "\r\n", "null", "\ufeff{}"])
def test_an_empty_body_and_null_are_an_empty_object(ground: Ground, text: str) -> None:
    answer = ask(ground.served.base_url, "POST", REGISTER, text.encode(), bearer=OPERATOR, Content_Type=JSON)
    assert refused_body(answer)["details"]["fields"] == {"name": "field required"}


def test_a_body_of_two_megabytes_is_read(ground: Ground) -> None:
    big = {"name": "big-agent", "description": "x", "ignored": "y" * 2_000_000}
    answer = ask(ground.served.base_url, "POST", REGISTER, json.dumps(big).encode(), bearer=OPERATOR, Content_Type=JSON)
    assert answer.status == 201
    entry = list(ground.world.journal.entries(surface="rest"))[-1]
    assert entry.unread == ("ignored",)


BODY_READERS = [REGISTER, "/mcp", "/anthropic/v1/messages", "/_emu/worlds"]
MCP_HEADERS = {"bearer": OPERATOR, "x_api_key": "sk-ant-emu", "anthropic_version": "2023-06-01"}


@pytest.mark.parametrize("path", BODY_READERS)
def test_a_body_beyond_the_limit_is_refused_as_too_large(ground: Ground, path: str) -> None:
    with Wire(ground.served.base_url) as wire:
        length = str(33 * 1024 * 1024)
        wire.send(wire.request("POST", path, None, Content_Length=length, Content_Type=JSON, **MCP_HEADERS))
        chunk = b"x" * 1024 * 1024
        with suppress(OSError):  # the server need not read what it refuses
            for _ in range(33):
                wire.send(chunk)
        answer = wire.read()
    assert answer.status == 413
    assert b"INTERNAL" not in answer.body
    if path == REGISTER:
        assert answer.error["code"] == "INVALID_REQUEST"
        assert "32 MiB" in answer.error["message"]


@pytest.mark.parametrize("path", BODY_READERS)
def test_a_body_that_is_not_packed_as_it_says_is_refused_on_every_surface(ground: Ground, path: str) -> None:
    headers = {**MCP_HEADERS, "Content_Type": JSON, "Content_Encoding": "gzip"}
    assert ask(ground.served.base_url, "POST", path, b"not gzip", **headers).status == 400


@pytest.mark.parametrize("media", ["text/plain", "application/json; charset=latin-1", "application/octet-stream", "x"])
def test_json_is_read_whatever_its_media_type_says(ground: Ground, media: str) -> None:
    answer = ask(
        ground.served.base_url, "POST", REGISTER, b'{"name": "any-media"}', bearer=OPERATOR, Content_Type=media
    )
    assert answer.status == 201


def test_a_chunked_body_is_read(ground: Ground) -> None:
    body = b'{"name": "chunked"}'
    data = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    answer = ask(
        ground.served.base_url, "POST", REGISTER, data, bearer=OPERATOR, Transfer_Encoding="chunked", Content_Type=JSON
    )
    assert answer.status == 201


def test_a_compressed_body_is_read(ground: Ground) -> None:
    packed = gzip.compress(b'{"name": "packed"}')
    headers = {"bearer": OPERATOR, "Content_Type": JSON, "Content_Encoding": "gzip"}
    assert ask(ground.served.base_url, "POST", REGISTER, packed, **headers).status == 201


def test_a_client_that_expects_100_continue_gets_it(ground: Ground) -> None:
    body = b'{"name": "patient"}'
    with Wire(ground.served.base_url) as wire:
        head = wire.request("POST", REGISTER, body, bearer=OPERATOR, Expect="100-continue", Content_Type=JSON)
        wire.send(head[: -len(body)])
        assert wire.read(head_only=True).status == 100
        wire.send(body)
        assert wire.read().status == 201


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


@pytest.mark.parametrize("number", ["123456789012345678901234567890", "1e308", "-0.0", "1e-400", "0.1"])
def test_numbers_of_any_size_go_through_an_act_and_its_records(ground: Ground, number: str) -> None:
    base = ground.served.base_url
    body = f'{{"intent_summary": "Count", "max_actions": null, "limits": {{"most": {number}}}}}'.encode()
    made = ask(base, "POST", "/v1/missions", body, bearer=OPERATOR, Content_Type=JSON)
    assert made.status == 201
    seen = ask(base, "GET", f"/v1/missions/{made.json['mission_id']}", bearer=OPERATOR)
    assert seen.json["limits"]["most"] == json.loads(number)
    assert ask(base, "GET", "/_emu/audit/canonical").status == 200


@pytest.mark.parametrize("number", ["1e999", "-1e999", "[1e400]"])
def test_a_number_json_has_no_room_for_is_refused_over_mcp_too(ground: Ground, number: str) -> None:
    client = ground.mcp
    assert client.call(registry().operations["agents.list"], {}, OPERATOR).ok
    message = (
        '{"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": {"name": "stack_open_mission", "arguments": '
        f'{{"intent_summary": "Count", "limits": {{"most": {number}}}}}}}}}'
    )
    session = {"Mcp_Session_Id": client.sessions[OPERATOR], "Accept": ACCEPT, "Content_Type": JSON}
    answer = ask(ground.served.base_url, "POST", "/mcp", message.encode(), bearer=OPERATOR, **session)
    error = json.loads(answer.json["result"]["content"][0]["text"])["error"]
    assert error["details"]["fields"] == {"limits": "is too large a number"}


@pytest.mark.parametrize("by", ["99999999999999999999", "-1", '"-5m"', "[1]", "1e400", '"9999999999d"'])
def test_the_clock_is_not_moved_where_no_clock_can_go(ground: Ground, by: str) -> None:
    base = ground.served.base_url
    before = ask(base, "GET", "/_emu/clock").json["now_ms"]
    answer = ask(base, "POST", "/_emu/clock/advance", f'{{"by": {by}}}'.encode(), Content_Type=JSON)
    assert (answer.status, answer.error["code"]) == (400, "CONTROL")
    assert ask(base, "GET", "/_emu/clock").json["now_ms"] == before


ODD_REPLIES = {
    "a header that is not UTF-8": (b"X-Odd: a\xff\xe9b\r\nContent-Type: text/plain; charset=\xff\r\n", b"ok"),
    "nesting without end": (b"Content-Type: application/json\r\n", b"[" * 600 + b"]" * 600),
    "a lone surrogate": (b"Content-Type: application/json\r\n", b'{"a": "\\ud800"}'),
    "a number beyond all": (b"Content-Type: application/json\r\n", b'{"a": 1e999}'),
    "bytes": (b"Content-Type: image/png\r\n", bytes(range(256))),
    "JSON that is none": (b"Content-Type: application/json\r\n", b"{"),
    "nothing": (b"", b""),
}


@pytest.mark.parametrize("kind", ODD_REPLIES)
@pytest.mark.parametrize("surface", ["rest", "mcp"])
def test_whatever_an_upstream_answers_comes_back_in_a_whole_envelope(
    ground_of: Callable[..., Ground], surface: str, kind: str
) -> None:
    headers, body = ODD_REPLIES[kind]

    def answer_once() -> None:
        connection, _ = upstream.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (headers, len(body), body))

    with socket.create_server(("127.0.0.1", 0)) as upstream:
        thread = threading.Thread(target=answer_once)
        thread.start()
        port = upstream.getsockname()[1]
        ground = ground_of(
            "stack_emu: 1\n"
            f"operator: {{keys: [{{key: {OPERATOR}}}]}}\n"
            "services: [{id: scon_odd, provider: odd, upstream: odd}]\n"
            f"upstreams: {{odd: {{hosts: [odd.test], forward: 'http://127.0.0.1:{port}'}}}}\n"
        )
        client: Any = ground.rest if surface == "rest" else ground.mcp
        call = {"service": "odd", "url": "https://odd.test/x"}
        answer = client.call(registry().operations["proxy.request"], call, OPERATOR)
        thread.join(10)
    assert answer.ok, answer
    assert answer.body["status"] == 200
    for path in ("/_emu/journal", "/_emu/audit/canonical", "/_emu/upstreams/odd/requests"):
        shown = ask(ground.served.base_url, "GET", path)
        assert shown.status == 200
        shown.body.decode("utf-8")


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
    assert (answer.status, answer.error["code"]) == (501, "NOT_EMULATED")
    assert answer.error["message"] == f"{method} {path} is not emulated. This path is served for {served}."


@pytest.mark.parametrize(
    ("method", "path", "nearest"),
    [
        ("GET", "/v1/agent", "GET /v1/agents"),
        ("POST", "/v1/passport/issue", "POST /v1/passports/issue"),
        ("GET", "/v1/service", "GET /v1/services"),
        ("POST", "/v1/mission/start", "POST /v1/missions/start"),
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
    assert (head.status, head.body) == (501, b"")
    options = ask(ground.served.base_url, "OPTIONS", "/v1/agents", bearer=OPERATOR)
    assert options.status == 501
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

    import asyncio

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
    assert "POST /_emu/worlds" in answer.error["message"]


@pytest.mark.parametrize("path", ["/w/", "/w/-bad/v1/agents", "/w/a%2Fb/v1/agents", "/w/second/~/v1/agents", "/w//v1"])
def test_a_world_that_cannot_be_named_so_is_no_world(ground: Ground, path: str) -> None:
    answer = ask(ground.served.base_url, "GET", path, bearer=OPERATOR)
    assert answer.status in (404, 501)
    assert answer.error["code"] in ("WORLD_NOT_FOUND", "NOT_EMULATED")
