"""Headers on their way through the proxy: nothing in one becomes another one, and what is the proxy's to say stays its own."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from stack_emu.surfaces.host_gateway import HostGateway
from tests.conftest import Served
from tests.guarantees.tour import token
from tests.security.raw_server import OK, RawServer, raw_server
from tests.security.wire import ask, request

KEY = "sk_live_emu_of_headers"
SECRET = "canary-typed-by-hand-000000001"
WORLD = """
stack_emu: 1
operator: {id: op_one, keys: [{key: %(key)s}]}
agents: [{id: agt_one, name: one, accountability_mode: logged}]
services:
  - id: scon_raw
    provider: rawservice
    credential: %(secret)s
    upstream: raw
    grants: [{agent: agt_one, constraints: [{path: headers.x-env, op: eq, value: prod}, {path: body.a.b, op: eq, value: ok}]}]
  - {id: scon_local, provider: localservice, credential: another-secret-000001, upstream: local}
  - {id: scon_split, provider: splitservice, credential: "first-line-of-it\\r\\nX-Evil: yes", upstream: raw}
  - id: scon_named
    provider: namedservice
    credential: {fields: {"X-A\\r\\nX-Evil": secret-one-0001, X-B: secret-two-0001}}
    upstream: raw
  - {id: scon_framing, provider: framingservice, upstream: raw,
     credential: {fields: {Transfer-Encoding: chunked, Content-Length: "0", Host: evil.example, X-Real: secret-three-001}}}
missions: [{id: ms_one, agent: agt_one, intent: Look, services: [rawservice], expires: 24h}]
passports: [{id: pp_one, agent: agt_one, mission: ms_one, services: [rawservice], ttl: 60m}]
upstreams:
  raw: {hosts: [raw.test], forward: "%(url)s"}
  local:
    hosts: [local.test]
    routes:
      - {when: {path: /echo}, reply: {status: 200, json: {headers: "{{ request.headers }}"}}}
      - {when: {path: /back}, reply: {status: 200, headers: {X-Back: "{{ request.query.q }}"}, json: {}}}
"""


@dataclass
class Ground:
    """A served world whose upstream is a server that keeps every byte."""

    served: Served
    raw: RawServer
    http: httpx.Client
    gateway: str

    def call(self, headers: dict[str, Any] | None = None, service: str = "rawservice", **more: Any) -> httpx.Response:
        asked = {"service": service, "url": "https://raw.test/path", "method": "POST", "headers": headers or {}, **more}
        return self.http.post("/v1/proxy", json=asked)

    def passed(self, headers: dict[str, Any], **more: Any) -> tuple[str, list[tuple[str, str]], bytes]:
        """Request line, header lines and body of what arrived."""
        answer = self.call(headers, **more)
        assert (answer.status_code, answer.json()["status"]) == (200, 200), answer.text
        head, _, body = self.raw.take().partition(b"\r\n\r\n")
        first, *lines = head.decode("utf-8").split("\r\n")
        return first, [(name.lower(), value) for name, _, value in (line.partition(": ") for line in lines)], body


@pytest.fixture(scope="module")
def ground(serve_all: Callable[..., Served], _loop: asyncio.AbstractEventLoop) -> Iterator[Ground]:
    with raw_server(_loop) as raw:
        served = serve_all(WORLD % {"key": KEY, "secret": SECRET, "url": raw.url})
        gateway = HostGateway(served.server)
        asyncio.run_coroutine_threadsafe(gateway.start(), served.loop).result(20)
        bearer = {"Authorization": f"Bearer {KEY}"}
        with httpx.Client(base_url=served.base_url, headers=bearer, timeout=20, trust_env=False) as http:
            yield Ground(served, raw, http, gateway.url())
        asyncio.run_coroutine_threadsafe(gateway.stop(), served.loop).result(20)


def test_an_ordinary_header_arrives_beside_the_credential(ground: Ground) -> None:
    first, headers, body = ground.passed({"X-Plain": "plain\ttext", "X-Accent": "caf\u00e9"}, body={"a": 1})
    assert first == "POST /path HTTP/1.1"
    found = dict(headers)
    assert (found["x-plain"], found["x-accent"], body) == ("plain\ttext", "caf\u00e9", b'{"a":1}')
    assert found["authorization"] == f"Bearer {SECRET}"
    assert [name for name, _ in headers].count("host") == 1


NAMES = (
    "X A",
    "X:A",
    "X\r\nEvil",
    "X\nEvil",
    "X\x00",
    "",
    " X",
    "X ",
    "X\tA",
    "(X)",
    "X\u00e9",
    "\u212aelvin",
    "X/",
    "X@",
    "\x7f",
    "X\x0b",
)
VALUES = (
    "a\r\nX-Evil: 1",
    "a\nX-Evil: 1",
    "a\rX-Evil: 1",
    "a\r\n\r\nGET /evil HTTP/1.1",
    "a\r\n b",
    "a\n\tb",
    "\x00",
    "a\x00b",
    "a\x0bb",
    "a\x7f",
    "\x1b[2J",
    "\r",
    "\n",
)


@pytest.mark.parametrize("kind", ["name", "value"])
@pytest.mark.parametrize("surface", ["rest", "mcp"])
def test_what_http_does_not_allow_is_refused(ground: Ground, kind: str, surface: str) -> None:
    for text in NAMES if kind == "name" else VALUES:
        headers = {text: "x"} if kind == "name" else {"X-A": text}
        if surface == "rest":
            answer = ground.call(headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_REQUEST"), (text, answer.text)
        else:
            arguments = {"service": "rawservice", "url": "https://raw.test/path", "method": "POST", "headers": headers}
            message = {
                "jsonrpc": "2.0",
                "id": 1,
                "method": "tools/call",
                "params": {
                    "name": "stack_proxy_request",
                    "arguments": arguments,
                    "_meta": {
                        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                        "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
                        "io.modelcontextprotocol/clientCapabilities": {},
                    },
                },
            }
            lines = {
                "Accept": "application/json, text/event-stream",
                "MCP-Protocol-Version": "2026-07-28",
                "Mcp-Method": "tools/call",
                "Mcp-Name": "stack_proxy_request",
            }
            told = ground.http.post("/mcp", json=message, headers=lines)
            assert "INVALID_REQUEST" in told.text, (text, told.text)
            assert told.json()["result"]["isError"] is True
    assert ground.raw.received == []


def test_separators_of_other_alphabets_stay_inside_their_value(ground: Ground) -> None:
    """What some readers take for a line's end, or cut to one when they keep one byte of a character."""
    for text in ("a\u2028X-Evil: 1", "a\u2029b", "a\u0085X-Evil: 1", "a\u010aX-Evil: 1", "a\u560d\u560aX-Evil: 1"):
        _, headers, _ = ground.passed({"X-A": text})
        assert dict(headers)["x-a"] == text
        assert "x-evil" not in dict(headers)


def test_what_is_the_proxys_to_say_is_not_the_callers(ground: Ground) -> None:
    own = {
        "Host": "evil.example",
        "Content-Length": "0",
        "Transfer-Encoding": "chunked",
        "Connection": "X-Forwarded-Host, Authorization",
        "Keep-Alive": "timeout=1",
        "TE": "trailers",
        "Trailer": "X-T",
        "Upgrade": "websocket",
        "Expect": "100-continue",
        "Authorization": "Bearer stolen",
        "authorization ".strip().upper() + "": "Bearer stolen",
        "Proxy-Authorization": "Basic stolen",
        "Proxy-Connection": "close",
        "Proxy-Anything": "stolen",
        "Cookie": "session=stolen",
        "X-Api-Key": "stolen",
        "X-Passport-Token": "stolen",
        "X-Stack-Anything": "stolen",
        "X-Forwarded-For": "10.0.0.1",
        "X-Forwarded-Host": "evil.example",
        "Forwarded": "for=10.0.0.1",
    }
    own.pop("AUTHORIZATION")
    _, headers, body = ground.passed({**own, "X-Kept": "kept"}, body={"whole": "body"})
    found, text = dict(headers), str(headers)
    assert body == b'{"whole":"body"}'
    assert "stolen" not in text
    assert "evil" not in text
    assert "10.0.0.1" not in text
    assert (found["host"], found["content-length"]) == (f"127.0.0.1:{ground.raw.port}", str(len(body)))
    assert (found["authorization"], found["x-kept"]) == (f"Bearer {SECRET}", "kept")
    assert not {"transfer-encoding", "te", "trailer", "upgrade", "expect", "keep-alive", "cookie"} & found.keys()
    assert found["x-forwarded-host"] == "raw.test"


@pytest.mark.parametrize(
    "names", [("X-Env", "x-env"), ("Content-Type", "content-type"), ("AUTHORIZATION", "authorization")]
)
def test_one_header_in_two_spellings_is_refused(ground: Ground, names: tuple[str, str]) -> None:
    answer = ground.call({names[0]: "prod", names[1]: "other"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_REQUEST"), answer.text
    assert ground.raw.received == []


@pytest.mark.parametrize(
    "body",
    [
        {"a.b": "ok", "a": {"b": "evil"}},
        {"a.b": "evil", "a": {"b": "ok"}},
        '{"a": {"b": "evil"}, "a": {"b": "ok"}}',
        '{"a": {"b": "evil", "b": "ok"}}',
        '{"a": {"b": "ok"}} trailing',
        "[" * 5000,
        "a.b=ok",
    ],
)
def test_a_body_that_can_be_read_in_two_ways_meets_no_constraint(ground: Ground, body: Any) -> None:
    passport = token(ground.served.world, "pp_one")
    answer = ground.call({"X-Env": "prod"}, body=body, passport_token=passport)
    assert answer.status_code == 403, answer.text
    assert ground.raw.received == []
    fine = ground.call({"x-env": "prod"}, body={"a": {"b": "ok"}}, passport_token=passport)
    assert fine.status_code == 200, fine.text
    ground.raw.take()


@pytest.mark.parametrize(
    "url",
    [
        "https://raw.test/a\r\nX-Evil: 1",
        "https://raw.test/a HTTP/1.1\r\nX-Evil: 1",
        "https://raw.test/a\n\nGET /evil",
        "https://raw.test/\x00",
        "https://raw.test\r\n.evil/",
        "https://raw.test/?q=a\r\nb",
        "https://raw.test/a b",
        "https://raw.test/a#\r\nX-Evil: 1",
    ],
)
def test_nothing_in_a_url_becomes_a_line_of_the_request(ground: Ground, url: str) -> None:
    answer = ground.call(url=url)
    assert answer.status_code in (200, 400, 403), answer.text
    if answer.status_code == 200 and answer.json()["status"] == 200:
        head = ground.raw.take().partition(b"\r\n\r\n")[0].lower()
        assert head.split(b"\r\n")[0].count(b" ") == 2
        assert not any(line.startswith(b"x-evil") for line in head.split(b"\r\n"))
    assert ground.raw.received == []


@pytest.mark.parametrize("service", ["splitservice", "namedservice"])
def test_a_credential_that_is_no_header_text_is_not_sent_and_not_shown(ground: Ground, service: str) -> None:
    answer = ground.call({}, service=service)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_REQUEST"), answer.text
    assert "connect it again" in answer.text
    for text in ("first-line", "secret-one", "secret-two"):
        assert text not in answer.text
    assert ground.raw.received == []


def test_a_credential_named_like_a_header_of_the_connection_frames_nothing(ground: Ground) -> None:
    _, headers, body = ground.passed({}, service="framingservice", body={"whole": "body"})
    found = dict(headers)
    assert body == b'{"whole":"body"}'
    assert (found["content-length"], found["x-real"]) == (str(len(body)), "secret-three-001")
    assert found["host"] == f"127.0.0.1:{ground.raw.port}"
    assert "transfer-encoding" not in found


REPLIES = {
    "obs-fold": (b"X-A: one\r\n two", None),
    "lone LF": (b"X-A: one\nX-Evil: 1", None),
    "NUL": (b"X-A: a\x00b", None),
    "space before the colon": (b"X-A : one", None),
    "hop by hop": (
        b"Keep-Alive: 9\r\nUpgrade: h2c\r\nProxy-Authenticate: Basic\r\nTrailer: X",
        200,
    ),
    "cookies": (b"Set-Cookie: a=1\r\nSet-Cookie: b=2", 200),
    "latin-1": (b"X-A: caf\xe9", 200),
    "its own credential": (b"X-A: Bearer " + SECRET.encode(), 200),
}


@pytest.mark.parametrize("name", REPLIES)
def test_a_reply_with_such_headers_comes_back_as_data_or_not_at_all(ground: Ground, name: str) -> None:
    lines, status = REPLIES[name]
    ground.raw.answer = b"HTTP/1.1 200 OK\r\n" + lines + b"\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
    try:
        answer = ground.call()
    finally:
        ground.raw.answer = OK
        ground.raw.received.clear()
    assert answer.status_code < 500 or answer.json()["error"]["code"] != "INTERNAL_ERROR", answer.text
    assert "x-evil" not in answer.headers
    assert "set-cookie" not in answer.headers
    assert SECRET not in answer.text
    if status is not None:
        headers = answer.json()["headers"]
        assert not {"connection", "keep-alive", "upgrade", "proxy-authenticate", "trailer"} & headers.keys()
        assert all("\n" not in value and "\r" not in value for value in headers.values())


def test_a_template_cannot_put_a_line_into_a_reply(ground: Ground) -> None:
    """Straight to the upstream's host, where a reply's headers are headers again."""
    assert (
        ground.http.get("/v1/credentials/localservice").status_code == 200
    )  # an agent has it, and goes around the proxy
    proxy = ground.gateway
    credentials = base64.b64encode(proxy.partition("//")[2].partition("@")[0].encode()).decode()
    lines = (f"Proxy-Authorization: Basic {credentials}", "Authorization: Bearer another-secret-000001")
    port = int(proxy.rpartition(":")[2])
    for text in ("a%0d%0aX-Evil:%201", "a%0aX-Evil:1", "a%00b", "caf%C3%A9", "a%0d%0a%0d%0a%3Chtml%3E"):
        [reply] = ask(port, request("GET", f"http://local.test/back?q={text}", "local.test", *lines))
        assert not [line for line in reply.head.lower().splitlines() if line.startswith(b"x-evil")]
        assert b"<html>" not in reply.body
        assert reply.status in (200, 500), reply


def test_a_pack_sees_no_more_than_a_server(ground: Ground) -> None:
    answer = ground.call(
        {"Cookie": "a=1", "Host": "evil", "X-Kept": "kept"},
        service="localservice",
        url="https://local.test/echo",
        method="GET",
    )
    shown = str(answer.json()["body"])
    assert "kept" in shown
    assert "evil" not in shown
    assert "a=1" not in shown
