"""What the block touches, and what it leaves alone."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
from pytest_httpserver import HTTPServer

from stack_emu.client import WorldClient
from stack_emu.emulator import Emulator
from stack_emu.surfaces.transparent_listener import ADDRESSES
from stack_emu.transparent import transparent
from tests.transparent.clients import API, BEARER, SYNC, world_of

HOSTS = [
    "api.getstack.run",
    "mcp.getstack.run",
    "getstack.run",
    "api.anthropic.com",
    "api.openai.com",
    "incidents.example.com",
]


@pytest.fixture
def local() -> Iterator[HTTPServer]:
    server = HTTPServer(host="127.0.0.1", port=0)
    server.expect_request("/hello").respond_with_data("untouched")
    with server:
        yield server


def test_emulated_hosts_resolve_to_loopback_by_every_road(emulator: Emulator, blue: WorldClient) -> None:
    early = socket.getaddrinfo
    with transparent(emulator, "blue"):
        for host in [*HOSTS, "API.Getstack.RUN.", "a.b.deep.example.com"]:
            found = {entry[4] for entry in early(host, "https", type=socket.SOCK_STREAM)}
            ((address, port),) = found
            assert port == 443
            assert address.startswith("127.83.")
            assert socket.gethostbyname(host) == address
            assert socket.gethostbyname_ex(host)[2] == [address]
            assert socket.getaddrinfo(host.encode(), 443, socket.AF_INET)[0][4] == (address, 443)
        assert socket.getaddrinfo("getstack.run", None, flags=socket.AI_CANONNAME)[0][3] == "getstack.run"
        assert len({socket.gethostbyname(host) for host in HOSTS}) == len(HOSTS)


def test_emulated_hosts_have_no_other_addresses(emulator: Emulator, blue: WorldClient) -> None:
    with transparent(emulator, "blue"):
        for options in ({"family": socket.AF_INET6}, {"flags": socket.AI_NUMERICHOST}):
            with pytest.raises(socket.gaierror):
                socket.getaddrinfo("api.getstack.run", 443, **options)


def test_an_event_loop_resolves_and_connects_there_too(emulator: Emulator, blue: WorldClient) -> None:
    async def work() -> None:
        loop = asyncio.get_running_loop()
        assert (await loop.getaddrinfo("slack.com", 443))[0][4][0].startswith("127.83.")
        reader, writer = await asyncio.open_connection("incidents.example.com", 443, ssl=ssl.create_default_context())
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
        writer.write(b"GET / HTTP/1.1\r\nHost: incidents.example.com\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).endswith(b'{"world":"blue"}')
        writer.close()
        await writer.wait_closed()

    with transparent(emulator, "blue"):
        asyncio.run(asyncio.wait_for(work(), 30))


def test_anyio_connects_there_too(emulator: Emulator, blue: WorldClient) -> None:
    import anyio

    async def work() -> None:
        async with await anyio.connect_tcp(
            "incidents.example.com", 443, tls=True, tls_standard_compatible=False
        ) as tls:
            await tls.send(b"GET / HTTP/1.1\r\nHost: incidents.example.com\r\nConnection: close\r\n\r\n")
            assert (await tls.receive()).startswith(b"HTTP/1.1 200")

    with transparent(emulator, "blue"):
        anyio.run(work)


def test_aiohttps_other_resolver_is_answered_too(emulator: Emulator, blue: WorldClient) -> None:
    import aiohttp
    from aiohttp.resolver import AsyncResolver

    class Resolver(aiohttp.abc.AbstractResolver):
        resolve = AsyncResolver.resolve

        async def close(self) -> None:
            pass

    async def work() -> None:
        resolve = AsyncResolver.resolve
        (answer,) = await resolve(Resolver(), "api.getstack.run", 443)
        assert answer["host"] == socket.gethostbyname("api.getstack.run")

    with transparent(emulator, "blue"):
        asyncio.run(work())


def test_plain_http_and_odd_ports_are_served(emulator: Emulator, blue: WorldClient) -> None:
    with requests.Session() as session:
        session.trust_env = False
        with transparent(emulator, "blue"):
            for url in ("http://api.getstack.run/v1/agents", "https://api.getstack.run:8443/v1/agents"):
                assert world_of(session.get(url, headers=BEARER, timeout=20).json()) == "blue"
            for url in ("http://a.deep.example.com:8080/x", "https://incidents.example.com/x"):
                assert session.get(url, timeout=20).json() == {"world": "blue"}


def test_a_connection_to_the_name_itself_gets_there(emulator: Emulator, blue: WorldClient) -> None:
    with transparent(emulator, "blue"), socket.socket() as plain:
        plain.settimeout(20)
        assert plain.connect_ex(("incidents.example.com", 80)) == 0
        plain.sendall(b"GET / HTTP/1.0\r\nHost: incidents.example.com\r\n\r\n")
        assert plain.recv(65536).startswith(b"HTTP/1.0 200")


def test_a_context_that_checks_nothing_or_other_roots_works(emulator: Emulator, blue: WorldClient) -> None:
    lax = ssl.create_default_context()
    lax.check_hostname, lax.verify_mode = False, ssl.CERT_NONE
    strict = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for context in (lax, strict):
        with httpx.Client(verify=context, trust_env=False) as client, transparent(emulator, "blue"):
            assert world_of(client.get(API, headers=BEARER).json()) == "blue"


def test_the_operating_systems_trust_store_does_not_get_in_the_way(emulator: Emulator, blue: WorldClient) -> None:
    import truststore

    context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with httpx.Client(verify=context, trust_env=False) as client, transparent(emulator, "blue"):
        assert world_of(client.get(API, headers=BEARER).json()) == "blue"


INJECTED = """
import truststore
truststore.inject_into_ssl()
import httpx, requests
from stack_emu.emulator import Emulator
from stack_emu.transparent import transparent
client = httpx.Client(trust_env=False)
session = requests.Session()
with Emulator() as emulator, transparent(emulator, "default"):
    for one in (client, session, httpx.Client()):
        print(one.get("https://getstack.run/").json()["name"])
"""


def test_a_trust_store_injected_into_ssl_does_not_get_in_the_way() -> None:
    done = subprocess.run([sys.executable, "-c", INJECTED], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "stack-emu\n" * 3, done.stderr


def test_loopback_servers_work_untouched(emulator: Emulator, blue: WorldClient, local: HTTPServer) -> None:
    with httpx.Client() as before, transparent(emulator, "blue"), httpx.Client() as inside:
        for host in ("127.0.0.1", "localhost"):
            url = f"http://{host}:{local.port}/hello"
            assert before.get(url).text == inside.get(url).text == requests.get(url, timeout=20).text == "untouched"
            with urllib.request.urlopen(url, timeout=20) as reply:
                assert reply.read() == b"untouched"
    local.check()


def test_hosts_that_are_not_emulated_are_reached_through_the_proxy_variables(
    emulator: Emulator, blue: WorldClient, local: HTTPServer
) -> None:
    url = f"http://127.0.0.2:{local.port}/hello"
    with HTTPServer(host="127.0.0.2", port=0) as other:
        other.expect_request("/hello").respond_with_data("let through")
        with transparent(emulator, "blue"), httpx.Client() as client:
            for _ in range(2):
                assert client.get(other.url_for("/hello")).text == "let through"
                assert world_of(client.get(API.replace("https:", "http:"), headers=BEARER).json()) == "blue"
            with pytest.raises(httpx.HTTPError):
                client.get(url).raise_for_status()


def test_the_certificates_of_a_loopback_server_are_checked_as_ever(emulator: Emulator, blue: WorldClient) -> None:
    import trustme

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with HTTPServer(host="localhost", port=0, ssl_context=context) as server:
        server.expect_request("/hello").respond_with_data("secure")
        url = server.url_for("/hello")
        with transparent(emulator, "blue"):
            assert httpx.get(url, verify=trusting).text == "secure"
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                httpx.get(url)


def test_child_processes_get_there_through_the_environment(emulator: Emulator, blue: WorldClient) -> None:
    program = "import getstack; print(getstack.Stack().agents.list()[0].name)"
    with transparent(emulator, "blue"):
        child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
        assert child.stdout == "blue\n", child.stderr
        curl = shutil.which("curl")
        assert curl is not None, "these tests need curl"
        command = [curl, "-sS", "-H", f"Authorization: {BEARER['Authorization']}", API]
        done = subprocess.run(command, capture_output=True, timeout=60, check=True)
    assert world_of(done.stdout) == "blue"


def test_the_environment_names_the_real_hosts_and_the_worlds_keys(emulator: Emulator, blue: WorldClient) -> None:
    with transparent(emulator, "blue"):
        assert os.environ["STACK_BASE_URL"] == "https://api.getstack.run"
        assert os.environ["STACK_MCP_URL"] == "https://mcp.getstack.run/mcp"
        assert os.environ["ANTHROPIC_BASE_URL"] == "https://api.anthropic.com"
        assert os.environ["OPENAI_BASE_URL"] == "https://api.openai.com/v1"
        assert os.environ["STACK_API_KEY"] == blue.api_key
        assert os.environ["STACK_EMU_URL"] == blue.base_url
        assert Path(os.environ["SSL_CERT_FILE"]).exists()


@pytest.mark.parametrize("name", ["getstack", "requests", "urllib opener installed", "anthropic"])
def test_an_inherited_environment_that_leads_away_does_not(
    emulator: Emulator, blue: WorldClient, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent")
    make, use = SYNC[name]
    with transparent(emulator, "blue"), make() as client:
        assert use(client) == "blue"


def test_an_opener_installed_with_another_proxy_is_led_here(emulator: Emulator, blue: WorldClient) -> None:
    before = urllib.request._opener  # type: ignore[attr-defined]
    away = urllib.request.build_opener(urllib.request.ProxyHandler({"https": "http://127.0.0.1:9"}))
    away.addheaders = list(BEARER.items())
    parents = [handler.parent for handler in away.handlers]
    urllib.request.install_opener(away)
    try:
        with transparent(emulator, "blue"), urllib.request.urlopen(API, timeout=20) as reply:
            assert world_of(reply.read()) == "blue"
        assert urllib.request._opener is away  # type: ignore[attr-defined]
        assert [handler.parent for handler in away.handlers] == parents
    finally:
        urllib.request.install_opener(before)


@pytest.mark.parametrize(
    ("inherited", "kept"),
    [
        ("minio,.svc.local", ["minio", ".svc.local"]),
        ("*", []),
        ("getstack.run,.getstack.run, db.internal", ["db.internal"]),
        ("*.example.com,x.deep.example.com,api.getstack.run:443,10.0.0.0/8", ["10.0.0.0/8"]),
    ],
)
def test_exceptions_from_the_proxy_stay_unless_they_lead_past_it(
    emulator: Emulator, blue: WorldClient, inherited: str, kept: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", inherited)
    with transparent(emulator, "blue"):
        assert os.environ["NO_PROXY"].split(",") == ["127.0.0.1", "localhost", "::1", *kept]


def test_servers_and_sockets_of_other_kinds_are_left_alone(emulator: Emulator, blue: WorldClient) -> None:
    with transparent(emulator, "blue"), contextlib.ExitStack() as stack:
        left, right = (stack.enter_context(end) for end in socket.socketpair())
        left.sendall(b"x")
        assert right.recv(1) == b"x"
        datagram = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        datagram.connect((str(ADDRESSES[7]), 443))
        assert datagram.getpeername() == (str(ADDRESSES[7]), 443)
        unix = stack.enter_context(socket.socket(socket.AF_UNIX))
        assert unix.connect_ex("/nonexistent") != 0
        nobody = stack.enter_context(socket.socket())
        assert nobody.connect_ex(("127.0.0.1", 1)) != 0


def test_another_hosts_name_on_a_connection_is_refused_by_name(emulator: Emulator, blue: WorldClient) -> None:
    with transparent(emulator, "blue"), httpx.Client(trust_env=False) as client:
        reply = client.get("https://api.getstack.run/v1/agents", headers={"Host": "evil.example"})
    assert reply.status_code == 421
    assert "evil.example" in reply.json()["error"]["message"]


def test_a_host_of_the_outer_world_alone_is_refused_in_the_inner_one(
    emulator: Emulator, blue: WorldClient, tmp_path: Path
) -> None:
    (tmp_path / "bare.yaml").write_text("stack_emu: 1\n")
    emulator.world("bare", scenario=tmp_path / "bare.yaml")
    with httpx.Client(trust_env=False) as client, transparent(emulator, "blue"):
        assert client.get("https://incidents.example.com/").json() == {"world": "blue"}
        with transparent(emulator, "bare"):
            reply = client.get("https://incidents.example.com/")
            assert reply.status_code == 502
            assert "incidents.example.com" in json.dumps(reply.json())


def test_a_client_kept_past_the_block_never_reaches_the_real_stack(emulator: Emulator, blue: WorldClient) -> None:
    with transparent(emulator, "blue"):
        kept = httpx.Client(headers=BEARER)
        assert world_of(kept.get(API).json()) == "blue"
    reply = kept.get(API)
    kept.close()
    assert reply.status_code == 502
    assert "make it anew" in reply.json()["error"]["message"]


def test_two_emulators_may_be_nested(emulator: Emulator, blue: WorldClient) -> None:
    make, use = SYNC["requests without trust_env"]
    with Emulator() as other, make() as client, transparent(emulator, "blue"):
        with transparent(other, "default"):
            assert client.get(API).json() == []
        assert use(client) == "blue"


def test_an_unknown_world_changes_nothing(emulator: Emulator) -> None:
    before = dict(os.environ)
    with pytest.raises(KeyError), transparent(emulator, "no-such-world"):
        pass
    assert dict(os.environ) == before


@pytest.mark.stack_emu(transparent=True)
def test_the_fixture_makes_its_world_transparent(stack_emu: Any) -> None:
    make, _ = SYNC["httpx"]
    with make() as client:
        made = client.post(API.replace("/agents", "/agents/register"), json={"name": "deploy-bot"})
        assert made.status_code == 201, made.text
    assert [entry["action"] for entry in stack_emu.audit.entries()] == ["agent.register"]


def test_the_results_of_a_batch_are_at_the_real_host(emulator: Emulator, blue: WorldClient) -> None:
    import anthropic

    params: Any = {"model": "claude-opus-5-5", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}
    with transparent(emulator, "blue"), anthropic.Anthropic(api_key="sk-ant-emu", max_retries=0) as sdk:
        made = sdk.messages.batches.create(requests=[{"custom_id": "a", "params": params}])
        blue.clock.advance("1s")
        ended = sdk.messages.batches.retrieve(made.id)
        assert ended.results_url == f"https://api.anthropic.com/v1/messages/batches/{made.id}/results"
        assert [result.custom_id for result in sdk.messages.batches.results(made.id)] == ["a"]
