"""Bodies no SDK would send and no upstream should answer with, on real sockets."""

from __future__ import annotations

import gzip
import json
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

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
