"""Bodies and heads that are too large, too deep or too slow: refused on every surface, while others are answered."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import socket
import ssl
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from stack_emu.hosting import Hosting
from stack_emu.scenario.loader import loads
from stack_emu.surfaces.host_gateway import HostGateway
from stack_emu.surfaces.server import Server
from tests.conftest import Served
from tests.security.wire import PATIENCE, exchange, replies, request

KEY = "sk_live_emu_of_sizes"
WORLD = f"""
stack_emu: 1
clock: {{mode: virtual, start: 2026-03-01T00:00:00Z}}
operator: {{id: op_one, keys: [{{key: {KEY}}}]}}
agents: [{{id: agt_one, name: one}}]
model: [{{turns: [{{say: hello}}]}}]
"""
LINES = (
    f"Authorization: Bearer {KEY}",
    "x-api-key: k",
    "anthropic-version: 2023-06-01",
    "Accept: application/json, text/event-stream",
)
READERS = (
    "/v1/agents/register",
    "/v1/proxy",
    "/mcp",
    "/anthropic/v1/messages",
    "/openai/v1/chat/completions",
    "/openai/v1/responses",
    "/oauth/token",
    "/oauth/register",
    "/oauth/consent/ocr_unknown",
    "/_emu/worlds",
    "/_emu/faults",
    "/v1/webhooks/inbound/unknown",
    "/v1/llm/anthropic/messages",
)
API = "api.getstack.run"


@dataclass
class Ground:
    """A served world and its two ports."""

    served: Served
    gateway: HostGateway

    @property
    def port(self) -> int:
        return self.served.server.port

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def gateway_port(self) -> int:
        return int(self.gateway.url().rpartition(":")[2])

    @property
    def credentials(self) -> str:
        secret = self.gateway.url().partition("//")[2].rpartition("@")[0]
        return f"Proxy-Authorization: Basic {base64.b64encode(secret.encode()).decode()}"

    def post(self, path: str, body: bytes, *lines: str, media: str = "application/json") -> tuple[int, bytes]:
        sent = (*LINES, f"Content-Type: {media}", f"Content-Length: {len(body)}", *lines)
        [reply] = replies(exchange(self.port, request("POST", path, self.host, *sent, body=body), half_close=False))
        return reply.status, reply.body

    def is_alive(self) -> None:
        assert httpx.get(f"{self.served.base_url}/", timeout=PATIENCE, trust_env=False).status_code == 200


def _serve(loop: asyncio.AbstractEventLoop, patience: float | None) -> Iterator[Ground]:
    def run(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(30)

    def load() -> Hosting:
        hosting = Hosting()
        hosting.create("default", loads(WORLD))
        return hosting

    options = {} if patience is None else {"patience": patience}
    server = Server(load, **options)

    async def begin() -> None:
        await server.start()
        await server.ready()

    run(begin())
    gateway = HostGateway(server, **options)
    run(gateway.start())
    yield Ground(Served(server, loop), gateway)
    run(gateway.stop())
    run(server.stop())


@pytest.fixture(scope="module")
def ground(_loop: asyncio.AbstractEventLoop) -> Iterator[Ground]:
    yield from _serve(_loop, None)


@pytest.fixture(scope="module")
def impatient(_loop: asyncio.AbstractEventLoop) -> Iterator[Ground]:
    """A server that waits for a third of a second."""
    yield from _serve(_loop, 0.3)


# --- too large --------------------------------------------------------------------------------------------------------

MANY = 40 * 1024 * 1024


def _packed(size: int) -> dict[str, bytes]:
    raw = b'{"name": "' + b"a" * size + b'"}'
    return {"gzip": gzip.compress(raw, 9), "deflate": zlib.compress(raw, 9)}


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_bomb_in_a_packed_body_is_unpacked_to_the_limit_only(ground: Ground, coding: str) -> None:
    bomb = _packed(MANY)[coding]
    assert len(bomb) < 100_000
    for path in READERS:
        status, body = ground.post(path, bomb, f"Content-Encoding: {coding}")
        assert status in (400, 413), (path, status, body[:200])
        assert b"failed inside" not in body, path


def test_a_bomb_inside_a_bomb_is_no_json(ground: Ground) -> None:
    twice = gzip.compress(_packed(MANY)["gzip"])
    for path in READERS:
        for lines in (("Content-Encoding: gzip",), ("Content-Encoding: gzip, gzip",), ("Content-Encoding: x-unknown",)):
            status, body = ground.post(path, twice, *lines)
            assert 400 <= status < 500 or status == 501, (path, lines, status, body[:200])


@pytest.mark.parametrize("path", READERS)
def test_an_endless_body_in_chunks_is_refused_at_the_limit(ground: Ground, path: str) -> None:
    with socket.create_connection(("127.0.0.1", ground.port), timeout=PATIENCE) as connection:
        lines = (*LINES, "Content-Type: application/json", "Transfer-Encoding: chunked")
        connection.sendall(request("POST", path, ground.host, *lines, close=False))
        piece = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
        try:
            for _ in range(40):
                connection.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it need not read what it refuses
        head = connection.recv(65_536)
    assert head.split(b" ")[1] in (b"413", b"400"), head[:200]


@pytest.mark.parametrize("length", ["99999999999", "9223372036854775807"])
def test_a_body_announced_as_enormous_costs_nothing_until_it_comes(ground: Ground, length: str) -> None:
    for path in READERS:
        with socket.create_connection(("127.0.0.1", ground.port), timeout=PATIENCE) as connection:
            connection.sendall(request("POST", path, ground.host, *LINES, f"Content-Length: {length}", close=False))
            connection.sendall(b"{}")
    ground.is_alive()


HEADS = {
    "a hundred thousand headers": "".join(f"X-{n}: 1\r\n" for n in range(100_000)),
    "a header of a megabyte": f"X-A: {'a' * 1_000_000}\r\n",
    "a name of a megabyte": f"{'X' * 1_000_000}: a\r\n",
    "a thousand cookies": "".join(f"Cookie: c{n}=1\r\n" for n in range(1000)),
    "ten thousand folded lines": "X-A: a\r\n" + " a\r\n" * 10_000,
}


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("way", ["port", "proxy", "tunnel"])
def test_a_head_that_is_too_large_is_refused(ground: Ground, name: str, way: str) -> None:
    target, host = ("/v1/agents", ground.host) if way == "port" else (f"http://{API}/v1/agents", API)
    if way == "tunnel":
        target = "/v1/agents"
    head = f"GET {target} HTTP/1.1\r\nHost: {host}\r\n{ground.credentials}\r\n{HEADS[name]}\r\n".encode()
    if way == "tunnel":
        head = f"CONNECT {API}:80 HTTP/1.1\r\nHost: {API}:80\r\n{ground.credentials}\r\n\r\n".encode() + head
    received = exchange(ground.port if way == "port" else ground.gateway_port, head, half_close=False)
    received = received.removeprefix(b"HTTP/1.1 200 Connection established\r\n\r\n")
    assert not received or received.split(b" ")[1] in (b"400", b"431"), received[:300]
    ground.is_alive()


def test_a_request_line_that_is_too_long_is_refused(ground: Ground) -> None:
    for target in ("/" + "a" * 1_000_000, "/v1/agents?" + "q=1&" * 250_000, "/v1/agents/" + "%41" * 300_000):
        received = exchange(ground.port, request("GET", target, ground.host, *LINES), half_close=False)
        assert not received or received.split(b" ")[1] == b"400", received[:200]
    fits = ground_get(ground, "/v1/agents?" + "q=1&" * 10_000)
    assert fits == 200


def ground_get(ground: Ground, target: str) -> int:
    [reply] = replies(exchange(ground.port, request("GET", target, ground.host, *LINES), half_close=False))
    return reply.status


# --- too deep, too odd ------------------------------------------------------------------------------------------------

ODD: dict[str, bytes] = {
    "a hundred thousand lists": b"[" * 100_000 + b"]" * 100_000,
    "a hundred thousand objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "a deep value": b'{"name":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a deep value that is cut off": b'{"name":' + b"[" * 100_000,
    "two hundred levels": b'{"name": "x", "description":' + b"[" * 200 + b"]" * 200 + b"}",
    "NaN": b'{"name": NaN}',
    "infinity": b'{"name": -Infinity}',
    "a number beyond every exponent": b'{"name": 1e99999}',
    "a whole number of a million digits": b'{"name": ' + b"9" * 1_000_000 + b"}",
    "a fraction of a million digits": b'{"name": 0.' + b"9" * 1_000_000 + b"}",
    "a lone surrogate": b'{"name": "\\ud800"}',
    "half a surrogate pair": b'{"name": "a\\udfff"}',
    "bytes that are no UTF-8": b'{"name": "\xff\xfe"}',
    "overlong UTF-8": b'{"name": "\xc0\xaf"}',
    "UTF-16": '{"name": "x"}'.encode("utf-16"),
    "NUL in a name": b'{"na\\u0000me": 1}',
    "a line break in a text": b'{"name": "a\nb"}',
    "a comment": b'{"name": "x" /* comment */}',
    "a comma too many": b'{"name": "x",}',
    "two values": b'{"name": "x"} {"name": "y"}',
    "a megabyte of blanks": b" " * 1_000_000,
    "a megabyte of NUL": b"\0" * 1_000_000,
    "only a quote": b'"',
    "a prototype": b'{"__proto__": {"name": "x"}, "constructor": {"prototype": {}}, "__class__": "x"}',
}


@pytest.mark.parametrize("name", ODD)
def test_json_that_is_odd_breaks_nothing_on_any_surface(ground: Ground, name: str) -> None:
    for path in READERS:
        status, body = ground.post(path, ODD[name])
        assert status < 500 or status == 501, (path, status, body[:300])
        assert b"failed inside" not in body, (path, body[:300])
        assert len(body) < 100_000, path


def test_of_a_name_given_twice_one_reading_is_checked_and_used(ground: Ground) -> None:
    status, body = ground.post("/v1/agents/register", b'{"name": "first-reading", "name": "second-reading"}')
    assert status == 201
    assert json.loads(body)["name"] == "second-reading"
    agents = httpx.get(
        f"{ground.served.base_url}/v1/agents", headers={"Authorization": f"Bearer {KEY}"}, trust_env=False
    )
    assert "first-reading" not in agents.text


WIDE: dict[str, Callable[[], Any]] = {
    "unknown fields": lambda: {"name": "wide", **{f"field {n}": n for n in range(200_000)}},
    "unknown fields with long names": lambda: {"name": "wide-too", **{"f" * 5000 + str(n): n for n in range(2_000)}},
    "a list": lambda: {"name": "wide-list", "description": "x", "tags": list(range(500_000))},
    "an unknown tool's name": lambda: {"name": "x" * 1_000_000},
}


@pytest.mark.parametrize("name", WIDE)
def test_wide_bodies_are_answered_and_so_is_the_verdict(ground: Ground, name: str) -> None:
    body = json.dumps(WIDE[name]()).encode()
    for path in READERS:
        status, answer = ground.post(path, body)
        assert status < 500 or status == 501, (path, status, answer[:300])
        assert len(answer) < 2_000_000, (path, len(answer))
    verdict = httpx.get(f"{ground.served.base_url}/_emu/verdict", timeout=60, trust_env=False)
    assert verdict.status_code == 200


def test_wide_arguments_of_a_tool_are_answered(ground: Ground) -> None:
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    for tool, arguments in (
        ("stack_register_agent", {"name": "wide-tool", **{f"field {n}": n for n in range(50_000)}}),
        ("x" * 1_000_000, {}),
        ("stack_register_agent", {"name": ["x"] * 500_000}),
    ):
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
        message["params"] = {"name": tool, "arguments": arguments, "_meta": meta}
        lines = ("MCP-Protocol-Version: 2026-07-28", "Mcp-Method: tools/call", f"Mcp-Name: {tool[:100]}")
        status, body = ground.post("/mcp", json.dumps(message).encode(), *lines)
        assert status < 500, body[:300]
        assert len(body) < 5_000_000


# --- too slow ---------------------------------------------------------------------------------------------------------


def slowly(port: int, first: bytes, drip: bytes = b"") -> bytes:
    """Send the beginning of something, then one byte at a time for as long as the other side listens."""
    with socket.create_connection(("127.0.0.1", port), timeout=0.1) as connection:
        connection.sendall(first)
        received = b""
        for _ in range(PATIENCE * 10):
            piece = _next_piece(connection, drip)
            if piece == b"":
                return received
            received += piece or b""
    raise AssertionError(f"the server waits for ever, after {received!r}")


def _next_piece(connection: socket.socket, drip: bytes) -> bytes | None:
    """What comes next; None when nothing did for now, and b"" when the other side is gone."""
    try:
        return connection.recv(65_536)
    except TimeoutError:
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(drip)
            return None
    except ConnectionResetError:
        pass
    return b""


@pytest.mark.parametrize("drip", [b"", b"x"], ids=["silent", "drop by drop"])
@pytest.mark.parametrize("part", ["request line", "headers", "body", "chunks"])
def test_who_does_not_finish_a_request_is_not_waited_for(impatient: Ground, part: str, drip: bytes) -> None:
    lines = (*LINES, "Content-Type: application/json")
    first = {
        "request line": b"GET /v1/age",
        "headers": f"GET /v1/agents HTTP/1.1\r\nHost: {impatient.host}\r\nX-Slow: ".encode(),
        "body": request("POST", "/v1/agents/register", impatient.host, *lines, "Content-Length: 500", close=False)
        + b"{",
        "chunks": request("POST", "/mcp", impatient.host, *lines, "Transfer-Encoding: chunked", close=False)
        + b"1f4\r\n{",
    }[part]
    received = slowly(impatient.port, first, drip)
    assert received.startswith(b"HTTP/1.1 408"), received
    assert b"REQUEST_TIMEOUT" in received
    assert b"Connection: close" in received


def test_a_second_request_is_not_waited_for_either(impatient: Ground) -> None:
    with socket.create_connection(("127.0.0.1", impatient.port), timeout=PATIENCE) as connection:
        connection.sendall(request("GET", "/", impatient.host, close=False))
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET /v1/age")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 408")
        assert connection.recv(65_536) == b""


@pytest.mark.parametrize("part", ["headers", "body"])
def test_the_gateway_does_not_wait_either(impatient: Ground, part: str) -> None:
    opening = request("CONNECT", f"{API}:80", f"{API}:80", impatient.credentials, close=False)
    first = (
        f"GET /v1/agents HTTP/1.1\r\nHost: {API}\r\nX-Slow: ".encode()
        if part == "headers"
        else request("POST", "/v1/agents/register", API, *LINES, "Content-Length: 500", close=False) + b"{"
    )
    received = slowly(impatient.gateway_port, opening + first, b"x")
    assert b"HTTP/1.1 408" in received, received


def test_inside_tls_nobody_is_waited_for(impatient: Ground) -> None:
    context = ssl.create_default_context(cafile=impatient.gateway.ca_file)
    with socket.create_connection(("127.0.0.1", impatient.gateway_port), timeout=PATIENCE) as plain:
        plain.sendall(request("CONNECT", f"{API}:443", f"{API}:443", impatient.credentials, close=False))
        assert plain.recv(65_536).startswith(b"HTTP/1.1 200")
        with context.wrap_socket(plain, server_hostname=API) as inside:
            inside.sendall(b"GET /v1/agents HTTP/1.1\r\nHost: ")
            received = b""
            while piece := inside.recv(65_536):
                received += piece
    assert received.startswith(b"HTTP/1.1 408"), received


def test_a_connection_that_has_asked_for_nothing_yet_is_kept(impatient: Ground) -> None:
    """Clients open connections ahead, and keep them between requests for longer than a request may take."""
    with socket.create_connection(("127.0.0.1", impatient.port), timeout=1) as connection:
        for _ in range(2):
            with pytest.raises(TimeoutError):
                connection.recv(1)
            connection.sendall(request("GET", "/", impatient.host, close=False))
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200")


def test_hundreds_of_idle_connections_keep_nobody_else_waiting(ground: Ground) -> None:
    with ExitStack() as open_:
        for number in range(300):
            connection = open_.enter_context(socket.create_connection(("127.0.0.1", ground.port), timeout=PATIENCE))
            if number % 3 == 1:
                connection.sendall(b"GET /v1/agents HTTP/1.1\r\nHost: ")
            if number % 3 == 2:
                connection.sendall(request("POST", "/mcp", ground.host, *LINES, "Content-Length: 99", close=False))
        for path in ("/", "/_emu/health", "/v1/agents"):
            assert ground_get(ground, path) == 200
