"""Requests whose end can be seen in two places: the connection ends there, and what was hidden behind them is never read."""

from __future__ import annotations

import asyncio
import base64
import logging
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from stack_emu.surfaces.host_gateway import HostGateway
from tests.conftest import Served
from tests.security.wire import PATIENCE, Reply, exchange, replies, request

KEY = "sk_live_emu_of_framing"
ROOT = f"stack_emu: 1\noperator: {{id: op_root, keys: [{{key: {KEY}}}]}}\n"
API = "api.getstack.run"


@dataclass
class Ground:
    """A served world that counts how often it is reset, and the two ports its bytes come in by."""

    served: Served
    gateway: HostGateway
    resets: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        return self.served.server.port

    @property
    def gateway_port(self) -> int:
        return int(self.gateway.url().rpartition(":")[2])

    @property
    def credentials(self) -> str:
        secret = self.gateway.url().partition("//")[2].rpartition("@")[0]
        return f"Proxy-Authorization: Basic {base64.b64encode(secret.encode()).decode()}"

    def agents(self) -> int:
        from stack_emu.domain.state import Agent

        return int(self.served.call(lambda: len(list(self.served.world.store.all(Agent)))))


@pytest.fixture(autouse=True)
def _counted_anew(ground: Ground) -> None:
    ground.resets.clear()


@pytest.fixture(scope="module")
def ground(serve_all: Callable[..., Served]) -> Iterator[Ground]:
    served = serve_all(ROOT)
    made = Ground(served, HostGateway(served.server))
    asyncio.run_coroutine_threadsafe(made.gateway.start(), served.loop).result(20)
    served.hosted.on_reset = lambda: made.resets.append("default")
    yield made
    asyncio.run_coroutine_threadsafe(made.gateway.stop(), served.loop).result(20)


BODY = b'{"name": "chunk-1", "accountability_mode": "logged"}'
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)

AMBIGUOUS: dict[str, tuple[tuple[str, ...], bytes]] = {
    "CL.TE": (("Content-Length: 4", "Transfer-Encoding: chunked"), b"0\r\n\r\n"),
    "TE.CL": (("Transfer-Encoding: chunked", f"Content-Length: {len(CHUNKED)}"), CHUNKED),
    "TE.TE": (("Transfer-Encoding: chunked", "Transfer-Encoding: identity"), CHUNKED),
    "TE.TE in one line": (("Transfer-Encoding: chunked, identity",), CHUNKED),
    "TE twice chunked": (("Transfer-Encoding: chunked, chunked",), CHUNKED),
    "xchunked": (("Transfer-Encoding: xchunked",), CHUNKED),
    "chunked in quotes": (('Transfer-Encoding: "chunked"',), CHUNKED),
    "chunked with a tab": (("Transfer-Encoding:\tchunked\x0b",), CHUNKED),
    "chunked obs-folded": (("Transfer-Encoding:\r\n chunked",), CHUNKED),
    "space before the colon": (("Transfer-Encoding : chunked",), CHUNKED),
    "length with a space before the colon": (("Content-Length : 5",), b"hello"),
    "two lengths": (("Content-Length: 5", "Content-Length: 6"), b"hello!"),
    "the same length twice": (("Content-Length: 5", "Content-Length: 5"), b"hello"),
    "lengths in a list": (("Content-Length: 5, 6",), b"hello!"),
    "length signed": (("Content-Length: +5",), b"hello"),
    "length negative": (("Content-Length: -1",), b"hello"),
    "length hexadecimal": (("Content-Length: 0x5",), b"hello"),
    "length with digits of another alphabet": (("Content-Length: \xd9\xa5",), b"hello"),
    "length with underscore": (("Content-Length: 1_0",), b"hello"),
    "length empty": (("Content-Length:",), b"hello"),
    "length beyond 64 bits": (("Content-Length: 99999999999999999999999",), b"hello"),
    "length decimal": (("Content-Length: 5.0",), b"hello"),
    "chunk size signed": (("Transfer-Encoding: chunked",), b"+5\r\nhello\r\n0\r\n\r\n"),
    "chunk size with 0x": (("Transfer-Encoding: chunked",), b"0x5\r\nhello\r\n0\r\n\r\n"),
    "chunk size empty": (("Transfer-Encoding: chunked",), b"\r\nhello\r\n0\r\n\r\n"),
    "chunk size beyond 64 bits": (("Transfer-Encoding: chunked",), b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
    "chunk ended by LF": (("Transfer-Encoding: chunked",), b"5\nhello\n0\n\n"),
    "chunk too long": (("Transfer-Encoding: chunked",), b"3\r\nhello\r\n0\r\n\r\n"),
    "chunk without its end": (("Transfer-Encoding: chunked",), b"5\r\nhelloXX0\r\n\r\n"),
    "chunk extension with LF": (("Transfer-Encoding: chunked",), b"5;a=\nb\r\nhello\r\n0\r\n\r\n"),
    "a length in a trailer": (("Transfer-Encoding: chunked",), CHUNKED[:-2] + b"Content-Length: 99\r\n\r\n"),
    "a name with a space": (("X Y: 1",), b""),
    "a name with NUL": (("X\x00Y: 1",), b""),
    "a header without colon": (("Nothing",), b""),
    "a value with NUL": (("X-A: a\x00b",), b""),
    "a value with CR": (("X-A: a\rContent-Length: 5",), b"hello"),
    "a folded value": (("X-A: a\r\n Content-Length: 5",), b""),
}


def hidden(host: str) -> bytes:
    body = BODY.replace(b"chunk-1", b"hidden")
    lines = (f"Authorization: Bearer {KEY}", f"Content-Length: {len(body)}")
    return request("POST", "/v1/agents/register", host, *lines, body=body)


@pytest.mark.parametrize("name", AMBIGUOUS)
@pytest.mark.parametrize("way", ["port", "proxy", "tunnel"])
def test_nothing_behind_an_ambiguous_request_is_read(
    ground: Ground, name: str, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    lines, body = AMBIGUOUS[name]
    before = ground.agents()
    target = f"http://{API}/v1/agents" if way == "proxy" else "/v1/agents"
    host = f"127.0.0.1:{ground.port}" if way == "port" else API
    sent = (f"Authorization: Bearer {KEY}", *([ground.credentials] if way == "proxy" else []), *lines)
    data = request("POST", target, host, *sent, body=body, close=False)
    behind = hidden(host) if way != "proxy" else hidden(host).replace(b" /v1", f" http://{API}/v1".encode(), 1)
    with caplog.at_level(logging.DEBUG):
        answered = send(ground, way, data + behind)
    assert [reply.status for reply in answered] == [400], (name, answered)
    assert b"connection: close" in answered[0].head.lower() or b"HTTP/1.0" in answered[0].head
    assert ground.agents() == before
    assert KEY not in caplog.text
    assert KEY.encode() not in answered[0].body


def send(ground: Ground, way: str, data: bytes) -> list[Reply]:
    if way == "tunnel":
        opening = f"CONNECT {API}:80 HTTP/1.1\r\nHost: {API}:80\r\n{ground.credentials}\r\n\r\n".encode()
        received = exchange(ground.gateway_port, opening + data, half_close=False)
        head, _, rest = received.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), received
        return replies(rest)
    return replies(exchange(ground.port if way == "port" else ground.gateway_port, data, half_close=False))


PLAIN = {
    "chunk extensions": (("Transfer-Encoding: chunked",), b'%x;a=b;c="d"\r\n%s\r\n0;e\r\n\r\n' % (len(BODY), BODY)),
    "trailers": (("Transfer-Encoding: chunked",), CHUNKED[:-2] + b"X-Trailer: 1\r\n\r\n"),
    "leading zeros": (("Transfer-Encoding: chunked",), b"000000%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)),
    "upper case": (("TRANSFER-ENCODING: Chunked",), CHUNKED),
    "a length": ((f"Content-Length: {len(BODY)}",), BODY),
}


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("way", ["port", "tunnel"])
def test_what_has_one_reading_has_that_one(ground: Ground, name: str, way: str) -> None:
    ground.served.call(ground.served.hosted.reset)
    ground.resets.clear()
    lines, body = PLAIN[name]
    host = f"127.0.0.1:{ground.port}" if way == "port" else API
    before = ground.agents()
    first = request("POST", "/v1/agents/register", host, f"Authorization: Bearer {KEY}", *lines, body=body, close=False)
    answered = send(ground, way, first + hidden(host))
    assert [reply.status for reply in answered] == [201, 201], answered
    assert ground.agents() == before + 2


@pytest.mark.parametrize("way", ["port", "tunnel"])
def test_a_refusal_takes_the_whole_of_its_request_with_it(ground: Ground, way: str) -> None:
    """The body of a refused request is not the next request, and the next one is judged by itself."""
    host = f"127.0.0.1:{ground.port}" if way == "port" else API
    inner = request("POST", "/_emu/reset", host, "Content-Length: 0")
    for target, lines in (
        ("/v1/agents/register", ("Authorization: Bearer sk_live_wrong",)),
        ("/v1/nothing", ()),
        ("/mcp", ()),
        ("/_emu/nothing", ()),
        ("/anthropic/v1/nothing", ()),
        ("/", ("Origin: https://evil.example",)),
    ):
        first = request("POST", target, host, *lines, f"Content-Length: {len(inner)}", body=inner, close=False)
        last = request("GET", "/v1/agents", host, f"Authorization: Bearer {KEY}")
        answered = send(ground, way, first + last)
        assert len(answered) == 2, (target, answered)
        assert answered[1].status == 200, (target, answered)
    assert ground.resets == []


PREFACES = {
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    "HTTP/0.9": b"GET /_emu/reset\r\n",
    "HTTP/0.9 with two lines": b"POST /_emu/reset\r\n\r\n",
    "HTTP/3.0": b"POST /_emu/reset HTTP/3.0\r\nHost: {host}\r\n\r\n",
    "HTTP/1.10": b"POST /_emu/reset HTTP/1.10\r\nHost: {host}\r\n\r\n",
    "lower case": b"POST /_emu/reset http/1.1\r\nHost: {host}\r\n\r\n",
    "ICY": b"SOURCE /_emu/reset ICE/1.0\r\n\r\n",
    "RTSP": b"DESCRIBE /_emu/reset RTSP/1.0\r\nHost: {host}\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64,
    "SSH": b"SSH-2.0-OpenSSH_9\r\n",
    "bare LF": b"POST /_emu/reset HTTP/1.1\nHost: {host}\nContent-Length: 0\n\n",
    "bare LF in one line": b"POST /_emu/reset HTTP/1.1\r\nX-A: b\nHost: {host}\r\nContent-Length: 0\r\n\r\n",
    "CR alone": b"POST /_emu/reset HTTP/1.1\rHost: {host}\rContent-Length: 0\r\r",
    "a tab for a space": b"POST\t/_emu/reset\tHTTP/1.1\r\nHost: {host}\r\n\r\n",
    "a method of odd characters": b"PO(ST /_emu/reset HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "NUL before": b"\x00POST /_emu/reset HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "a space before": b" POST /_emu/reset HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "a header before": b"Host: {host}\r\nPOST /_emu/reset HTTP/1.1\r\n\r\n",
    "a byte order mark": b"\xef\xbb\xbfPOST /_emu/reset HTTP/1.1\r\nHost: {host}\r\n\r\n",
}


@pytest.mark.parametrize("name", PREFACES)
@pytest.mark.parametrize("way", ["port", "gateway"])
def test_what_is_no_http_1_1_is_refused_or_cut_off(ground: Ground, name: str, way: str) -> None:
    port = ground.port if way == "port" else ground.gateway_port
    data = PREFACES[name].replace(b"{host}", f"127.0.0.1:{port}".encode())
    received = exchange(port, data)
    assert not received or all(reply.status in (400, 404, 405, 421, 505) for reply in replies(received)), received
    assert ground.resets == []


def test_a_connect_with_a_body_hides_nothing(ground: Ground) -> None:
    inner = request("POST", "/_emu/reset", API, "Content-Length: 0")
    for lines in ((f"Content-Length: {len(inner)}",), ("Transfer-Encoding: chunked",)):
        opening = request("CONNECT", f"{API}:80", f"{API}:80", ground.credentials, *lines, body=inner, close=False)
        received = exchange(ground.gateway_port, opening, half_close=False)
        head, _, rest = received.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert [reply.status for reply in replies(rest)] == [404], received
    own = f"127.0.0.1:{ground.port}"
    direct = exchange(ground.port, request("CONNECT", own, own, body=inner), half_close=False)
    assert [reply.status for reply in replies(direct)] == [405]
    assert ground.resets == []


@pytest.mark.parametrize(
    "named", ["evil.example", "api.anthropic.com", "127.0.0.1", "api.getstack.run@evil.example", ""]
)
def test_a_proxied_request_with_another_host_is_misdirected(ground: Ground, named: str) -> None:
    data = request("GET", f"http://{API}/v1/agents", named, ground.credentials, f"Authorization: Bearer {KEY}")
    answered = replies(exchange(ground.gateway_port, data, half_close=False))
    assert [reply.status for reply in answered] in ([400], [421]), answered


@pytest.mark.parametrize(
    "target",
    ["http://127.0.0.1:{port}/_emu/reset", "http://localhost:{port}/_emu/reset", "http://[::1]:{port}/_emu/reset"],
)
def test_the_gateway_leads_to_no_port_of_this_machine(ground: Ground, target: str) -> None:
    url = target.replace("{port}", str(ground.port))
    host = url.partition("//")[2].partition("/")[0]
    data = request("POST", url, host, ground.credentials, "Content-Length: 0")
    answered = replies(exchange(ground.gateway_port, data, half_close=False))
    assert all(reply.status >= 400 for reply in answered), answered
    opening = request("CONNECT", host, host, ground.credentials, close=False)
    received = exchange(ground.gateway_port, opening + request("POST", "/_emu/reset", host, "Content-Length: 0"))
    assert b'"reset"' not in received
    assert ground.resets == []


def test_inside_tls_the_same_holds(ground: Ground) -> None:
    context = ssl.create_default_context(cafile=ground.gateway.ca_file)
    before = ground.agents()
    with socket.create_connection(("127.0.0.1", ground.gateway_port), timeout=PATIENCE) as plain:
        plain.sendall(request("CONNECT", f"{API}:443", f"{API}:443", ground.credentials, close=False))
        assert plain.recv(65_536).startswith(b"HTTP/1.1 200")
        with context.wrap_socket(plain, server_hostname=API) as inside:
            lines, body = AMBIGUOUS["CL.TE"]
            inside.sendall(request("POST", "/v1/agents", API, *lines, body=body, close=False) + hidden(API))
            received = b""
            while piece := inside.recv(65_536):
                received += piece
    assert [reply.status for reply in replies(received)] == [400]
    assert ground.agents() == before


def test_pipelined_requests_are_answered_in_order(ground: Ground) -> None:
    host = f"127.0.0.1:{ground.port}"
    many: list[Any] = [
        request("GET", f"/v1/agents/agt_{n}", host, f"Authorization: Bearer {KEY}", close=False) for n in range(40)
    ]
    answered = replies(exchange(ground.port, b"".join(many) + request("GET", "/", host), half_close=False))
    assert [f"agt_{n}".encode() in reply.body for n, reply in enumerate(answered[:40])] == [True] * 40
    assert answered[40].status == 200
