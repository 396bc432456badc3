"""Clients that hang up: a proxied call settles all the same, and leaves no reservation and no pending row."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from stack_emu.domain.state import ProxyOperation
from stack_emu.surfaces import rest
from stack_emu.upstreams.engine import Upstreams
from tests.guarantees.conftest import Ground
from tests.guarantees.raw_http import Wire
from tests.guarantees.test_crash_safety import settled
from tests.guarantees.tour import OPERATOR, POST_MESSAGE, SCENARIO, token
from tests.guarantees.wire import ACCEPT, HELLO

JSON = "application/json"
BIG = """
  archive: {hosts: [archive.test], routes: [{when: {path: /all}, reply: {status: 200, text: "%s"}}]}
approvals:""" % ("x" * 4_000_000)
BIG_SERVICE = """
  - {id: scon_archive, provider: archive, credential: canary, upstream: archive}
missions:"""


class Gate:
    """Holds proxied calls at a place until it is opened, and says when one has come there."""

    def __init__(self) -> None:
        self.place = ""
        self.reached, self._open = threading.Event(), threading.Event()

    async def pass_by(self, place: str) -> None:
        if place != self.place:
            return
        self.reached.set()
        while not self._open.is_set():
            await asyncio.sleep(0.002)

    def open(self) -> None:
        self._open.set()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    made, real_call, real_perform = Gate(), Upstreams.call, rest.perform

    async def call(*arguments: Any, **named: Any) -> Any:
        await made.pass_by("before the upstream")
        reply = await real_call(*arguments, **named)
        await made.pass_by("after the upstream")
        return reply

    async def perform(*arguments: Any) -> Any:
        await made.pass_by("before the call")
        reply = await real_perform(*arguments)
        await made.pass_by("before the reply")
        return reply

    monkeypatch.setattr(Upstreams, "call", call)
    monkeypatch.setattr(rest, "perform", perform)
    yield made
    made.open()


def wait_for(holds: Callable[[], Any], what: str) -> None:
    """Wait, for at most ten seconds, until something holds."""
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.003)


def hang_up(wire: Wire, *, reset: bool) -> None:
    if reset:
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.socket.close()


def connections(ground: Ground) -> list[Any]:
    """Connections the server still has."""
    return ground.do(lambda: list(ground.served.server._runner.server.connections))


def call_bytes(ground: Ground, wire: Wire, text: str = "hello", **call: Any) -> bytes:
    body = {
        "service": "slack",
        "method": "POST",
        "url": POST_MESSAGE,
        "body": {"channel": "#engineering", "text": text},
    }
    data = json.dumps({**body, **call}).encode()
    passport = token(ground.world, "pp_tour")
    return wire.request("POST", "/v1/proxy", data, bearer=OPERATOR, X_Passport_Token=passport, Content_Type=JSON)


def quiet(ground: Ground, before: int) -> None:
    """Wait until the server has nothing left to do and no client."""
    wait_for(lambda: not connections(ground), "the server keeps the connection of a client that is gone")
    wait_for(lambda: ground.do(lambda: len(ground.served.server._tasks)) <= before, "a task never ends")


def proxied_rows(ground: Ground) -> list[Any]:
    return [row for row in ground.world.audit.rows("op_tour") if row.action == "credential.proxy"]


@pytest.fixture(autouse=True)
def nothing_forgotten(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No exception may be left that nobody looked at, and nothing may be logged as a failure."""
    import gc

    caplog.set_level(logging.WARNING)
    yield
    gc.collect()
    told = [*caplog.get_records("setup"), *caplog.get_records("call"), *caplog.records]
    assert [record.getMessage() for record in told] == []


# --- before the call is whole ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("cut", [1, 20, 90, -1, "head", "half the body"])
def test_who_leaves_before_its_request_is_whole_has_asked_for_nothing(ground: Ground, cut: Any, reset: bool) -> None:
    tasks = ground.do(lambda: len(ground.served.server._tasks))
    before = ground.do(ground.world.image)
    wire = Wire(ground.served.base_url)
    data = call_bytes(ground, wire)
    head = data.index(b"\r\n\r\n") + 4
    wire.send(data[: {"head": head, "half the body": head + 40}.get(cut, cut)])
    hang_up(wire, reset=reset)
    quiet(ground, tasks)
    after = ground.do(ground.world.image)
    assert after.act_counts == before.act_counts
    assert after.audit.acts == before.audit.acts == []
    assert ground.world.store.count(ProxyOperation) == 0
    assert all(entry.status is not None for entry in ground.world.journal.entries())


# --- while it is under way -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("place", ["before the upstream", "after the upstream"])
def test_who_leaves_while_the_upstream_works_loses_only_the_reply(
    ground: Ground, gate: Gate, place: str, reset: bool
) -> None:
    tasks = ground.do(lambda: len(ground.served.server._tasks))
    gate.place = place
    wire = Wire(ground.served.base_url)
    wire.send(call_bytes(ground, wire))
    assert gate.reached.wait(10)
    hang_up(wire, reset=reset)
    wait_for(lambda: not connections(ground), "the server keeps the connection of a client that is gone")
    assert proxied_rows(ground) == []
    gate.open()
    wait_for(lambda: proxied_rows(ground), "the call never settled")
    quiet(ground, tasks)
    check_settled(ground)
    (entry,) = ground.world.journal.entries(surface="rest")
    assert (entry.status, entry.code) == (499, "CLIENT_GONE")
    assert entry.lane == "agent:agt_tour/passport:pp_tour"


def check_settled(ground: Ground, outcome: str = "success") -> None:
    (row,) = proxied_rows(ground)
    assert (row.outcome, row.metadata["upstream_status"]) == (outcome, 200)
    (made,) = ground.world.store.all(ProxyOperation)
    assert (made.delivery_state, made.accounting_state) == ("response_received", "committed")
    assert ground.do(lambda: settled(ground.world)) == []


@pytest.mark.parametrize("place", ["before the call", "before the reply"])
def test_who_leaves_at_any_other_moment_leaves_nothing_half_done(ground: Ground, gate: Gate, place: str) -> None:
    tasks = ground.do(lambda: len(ground.served.server._tasks))
    gate.place = place
    wire = Wire(ground.served.base_url)
    wire.send(call_bytes(ground, wire))
    assert gate.reached.wait(10)
    hang_up(wire, reset=False)
    wait_for(lambda: not connections(ground), "the server keeps the connection of a client that is gone")
    gate.open()
    quiet(ground, tasks)
    if place == "before the call":
        assert proxied_rows(ground) == []
        assert ground.world.store.count(ProxyOperation) == 0
    else:
        check_settled(ground)


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_who_leaves_while_a_long_reply_is_written_leaves_a_call_that_is_settled(
    ground_of: Callable[..., Ground], reset: bool
) -> None:
    ground = ground_of(SCENARIO.replace("\napprovals:", BIG).replace("\nmissions:", BIG_SERVICE))
    tasks = ground.do(lambda: len(ground.served.server._tasks))
    wire = Wire(ground.served.base_url)
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    body = json.dumps({"service": "archive", "url": "https://archive.test/all"}).encode()
    wire.send(wire.request("POST", "/v1/proxy", body, bearer=OPERATOR, Content_Type=JSON))
    assert wire.socket.recv(100).startswith(b"HTTP/1.1 200")
    hang_up(wire, reset=reset)
    quiet(ground, tasks)
    check_settled(ground)


def test_who_leaves_right_after_asking_is_served_or_has_asked_for_nothing(ground: Ground) -> None:
    """Without a gate: whatever the server was doing at that moment, afterwards the accounts agree with the rows."""
    tasks = ground.do(lambda: len(ground.served.server._tasks))
    for number in range(40):
        wire = Wire(ground.served.base_url)
        wire.send(call_bytes(ground, wire, f"message {number}"))
        if number % 4:
            time.sleep(number % 4 * 0.001)
        hang_up(wire, reset=bool(number % 2))
    quiet(ground, tasks)
    assert ground.do(lambda: settled(ground.world)) == []
    assert len(proxied_rows(ground)) == ground.world.store.count(ProxyOperation)
    assert {made.accounting_state for made in ground.world.store.all(ProxyOperation)} <= {"committed"}


@pytest.mark.parametrize("place", ["before the upstream", "after the upstream"])
def test_the_same_holds_for_a_tool_call(ground: Ground, gate: Gate, place: str) -> None:
    wire = Wire(ground.served.base_url)
    headers = {"bearer": OPERATOR, "Accept": ACCEPT, "Content_Type": JSON}
    hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HELLO}
    opened = wire.ask("POST", "/mcp", json.dumps(hello).encode(), **headers)
    headers["Mcp_Session_Id"] = opened.headers["mcp-session-id"]
    note = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    assert wire.ask("POST", "/mcp", json.dumps(note).encode(), **headers).status == 202
    tasks = ground.do(lambda: len(ground.served.server._tasks))
    arguments = {
        "service": "slack",
        "method": "POST",
        "url": POST_MESSAGE,
        "body": {"channel": "#engineering", "text": "by tool"},
        "passport_token": token(ground.world, "pp_tour"),
    }
    call = {
        "jsonrpc": "2.0",
        "id": 2,
        "method": "tools/call",
        "params": {"name": "stack_proxy_request", "arguments": arguments},
    }
    gate.place = place
    wire.send(wire.request("POST", "/mcp", json.dumps(call).encode(), **headers))
    assert gate.reached.wait(10)
    hang_up(wire, reset=True)
    wait_for(lambda: not connections(ground), "the server keeps the connection of a client that is gone")
    gate.open()
    wait_for(lambda: proxied_rows(ground), "the call never settled")
    quiet(ground, tasks)
    check_settled(ground)


def test_a_call_that_is_refused_after_its_client_left_is_refused_all_the_same(
    ground_of: Callable[..., Ground], gate: Gate
) -> None:
    ground = ground_of(SCENARIO + "faults: [{on: {upstream: slack}, inject: {drop: request}}]\n")
    tasks = ground.do(lambda: len(ground.served.server._tasks))
    gate.place = "before the upstream"
    wire = Wire(ground.served.base_url)
    wire.send(call_bytes(ground, wire))
    assert gate.reached.wait(10)
    hang_up(wire, reset=False)
    wait_for(lambda: not connections(ground), "the server keeps the connection of a client that is gone")
    gate.open()
    wait_for(lambda: proxied_rows(ground), "the call never settled")
    quiet(ground, tasks)
    (row,) = proxied_rows(ground)
    assert (row.outcome, row.error_code) == ("failure", "UPSTREAM_UNREACHABLE")
    assert ground.do(lambda: settled(ground.world)) == []
