"""After the block nothing remains of it."""

from __future__ import annotations

import _socket
import asyncio
import os
import socket
import ssl
import threading
import urllib.request
from typing import Any

import aiohttp.connector
import httpx
import pytest
import requests
from aiohttp.resolver import AsyncResolver

from stack_emu.client import WorldClient
from stack_emu.emulator import Emulator
from stack_emu.transparent import transparent
from tests.transparent.clients import API, BEARER, SYNC, world_of

PLACES: dict[str, Any] = {
    "_socket": _socket,
    "socket": socket,
    "socket.socket": socket.socket,
    "ssl": ssl,
    "ssl.SSLContext": ssl.SSLContext,
    "ssl.SSLSocket": ssl.SSLSocket,
    "urllib.request": urllib.request,
    "asyncio.BaseEventLoop": asyncio.BaseEventLoop,
    "aiohttp.connector": aiohttp.connector,
    "AsyncResolver": AsyncResolver,
    "requests.Session": requests.Session,
    "httpx.Client": httpx.Client,
}


def _everything() -> dict[str, dict[str, int]]:
    return {name: {key: id(value) for key, value in vars(place).items()} for name, place in PLACES.items()}


def _resolution(host: str) -> object:
    try:
        return sorted({entry[4][0] for entry in socket.getaddrinfo(host, 443)})
    except OSError as problem:
        return type(problem), problem.args


@pytest.mark.parametrize("nested", [False, True])
def test_every_attribute_is_the_one_it_was(
    emulator: Emulator, blue: WorldClient, red: WorldClient, nested: bool
) -> None:
    before, environment = _everything(), dict(os.environ)
    with transparent(emulator, "blue"):
        assert _everything() != before
        if nested:
            between, between_environment = _everything(), dict(os.environ)
            with transparent(emulator, "red"):
                assert _everything() != between
            assert _everything() == between
            assert dict(os.environ) == between_environment
        with urllib.request.urlopen(urllib.request.Request(API, headers=BEARER), timeout=20) as reply:
            assert world_of(reply.read()) == "blue"
    assert _everything() == before
    assert dict(os.environ) == environment


def test_it_is_undone_when_the_test_fails(emulator: Emulator, blue: WorldClient) -> None:
    before, environment = _everything(), dict(os.environ)

    def failing() -> None:
        with transparent(emulator, "blue"):
            os.environ["SSL_CERT_FILE"] = "/changed/by/the/test"
            del os.environ["HTTPS_PROXY"]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert _everything() == before
    assert dict(os.environ) == environment


def test_what_a_test_itself_set_in_the_environment_stays(
    emulator: Emulator, blue: WorldClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINE", "before")
    with transparent(emulator, "blue"):
        os.environ["MINE"] = "after"
    assert os.environ["MINE"] == "after"


def test_names_resolve_as_before(emulator: Emulator, blue: WorldClient) -> None:
    hosts = ["api.getstack.run", "slack.com", "incidents.example.com", "localhost"]
    before = {host: _resolution(host) for host in hosts}
    with transparent(emulator, "blue"):
        assert _resolution("api.getstack.run") != before["api.getstack.run"]
        assert _resolution("localhost") == before["localhost"]
    assert {host: _resolution(host) for host in hosts} == before


def test_no_connection_survives_the_block(emulator: Emulator, blue: WorldClient) -> None:
    with transparent(emulator, "blue"):
        plain = socket.create_connection(("api.getstack.run", 80), timeout=20)
        plain.sendall(b"GET / HTTP/1.1\r\nHost: api.getstack.run\r\n\r\n")
        assert plain.recv(65536)
    with plain:
        assert _ends(plain)


def _ends(connection: socket.socket) -> bool:
    try:
        while connection.recv(65536):
            pass
    except ConnectionError:
        return True
    return True


def test_worlds_one_after_the_other_leave_no_threads_and_no_connections(
    emulator: Emulator, blue: WorldClient, red: WorldClient
) -> None:
    make, use = SYNC["requests without trust_env"]
    with make() as client:
        with transparent(emulator, "blue"):
            assert use(client) == "blue"
        threads = threading.active_count()
        for name in ("red", "blue") * 10:
            with transparent(emulator, name):
                assert use(client) == name
        assert threading.active_count() == threads
    listener = emulator.gateway.transparent
    assert emulator.call(lambda: len(listener._transports)) == 0
    assert len(listener._servers) == len(listener._ports)


def test_a_stopped_emulator_takes_its_ports_with_it() -> None:
    with Emulator() as emulator:
        with transparent(emulator, "default"), httpx.Client(trust_env=False) as client:
            assert client.get("http://getstack.run/").status_code == 200
        listener = emulator.gateway.transparent
        port = listener.port_for("getstack.run", 80)
    with socket.socket() as late:
        assert late.connect_ex(("127.0.0.1", port)) != 0
    with pytest.raises(ConnectionRefusedError, match="has stopped"):
        listener.port_for("getstack.run", 80)
