"""A long audit log: what a reader asks for is found without walking all of it, and long replies are made as they are sent."""

from __future__ import annotations

import csv
import io
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import pytest

from stack_emu.audit_log.raw_rows import HASHED, entry_hash
from stack_emu.domain import canonical_audit
from stack_emu.domain.audit_hash import row_hash
from stack_emu.domain.canonical_audit import canonical_log, canonical_pieces, verify
from stack_emu.kernel.acts import RowDraft
from stack_emu.kernel.audit import Row, as_dict, verify_chain
from stack_emu.kernel.audit_chain import Chain
from stack_emu.kernel.clock import VirtualClock
from stack_emu.kernel.redactor import Redactor
from stack_emu.kernel.world import World

ROOT = Path(__file__).resolve().parent.parent.parent
SHORT, LONG = 2_000, 20_000
A_SCORE = 20
SCENARIO = "stack_emu: 1\nseed: 1\noperator: {id: op_long, keys: [{key: sk_live_emu_long}]}\n"
BEARER = {"Authorization": "Bearer sk_live_emu_long"}


def add_row(world: World, number: int) -> None:
    agent, passport = f"agent_{number // 10 % 50}", f"pp_{number // 10}"
    draft = RowDraft("credential.proxy" if number % 2 else "passport.checkpoint", "vault")
    draft.set(agent_id=agent, passport_jti=passport, service="echo", scopes=["echo:read"], intent=f"Part {number}")
    lane = f"agent:{agent}/passport:{passport}"
    with world.transaction(world.begin_act("proxy.request", "op_long", lane, {"n": number}, draft)):
        pass


class Counting(list[Row]):
    """Rows that count how many of them were looked at."""

    looked_at = 0

    def __getitem__(self, place: Any) -> Any:
        self.looked_at += 1
        return super().__getitem__(place)


def long_chain(rows: int) -> Chain:
    world = World("w", 1, VirtualClock(0), row_hash)
    for number in range(rows):
        add_row(world, number)
        world.clock.move(10)
    return Chain(Counting(world.audit.rows("op_long")))


@pytest.fixture(scope="module")
def chains() -> tuple[Chain, Chain]:
    return long_chain(SHORT), long_chain(LONG)


def looked_at(chain: Chain, **asked: Any) -> int:
    """How many rows were looked at for the newest twenty of those that fit, once the chain's indexes are there."""
    assert isinstance(chain.rows, Counting)
    for _ in range(2):
        chain.rows.looked_at = 0
        found = [row for row, _ in zip(chain.select(newest_first=True, **asked), range(A_SCORE), strict=False)]
        assert all(getattr(row, name) == value for row in found for name, value in asked.items() if name in HASHED)
    return chain.rows.looked_at


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"passport_jti": "pp_0"},
        {"passport_jti": "pp_none"},
        {"agent_id": "agent_7"},
        {"agent_id": "agent_7", "passport_jti": "pp_0"},
        {"from_ms": LONG * 100},
        {"to_ms": 500},
        {"from_ms": 1_000, "to_ms": 1_100},
    ],
    ids=str,
)
def test_no_more_rows_are_looked_at_in_a_long_chain_than_in_a_short_one(
    chains: tuple[Chain, Chain], asked: dict[str, Any]
) -> None:
    short, long = (looked_at(chain, **asked) for chain in chains)
    assert long <= short
    assert long <= 2 * A_SCORE


def test_the_rows_since_the_newest_are_the_new_ones(chains: tuple[Chain, Chain]) -> None:
    _, long = chains
    newest = long.rows[-1]
    assert list(long.select(from_ms=newest.timestamp)) == [newest]
    assert looked_at(long, from_ms=newest.timestamp + 1) == 0


STAMPS = [5, 5, 3, 9, 4, 9, 1, 12, 11, 12, 2, 30]
"""Stamps as lanes with ticks, and calls that took long, leave them: not rising along the chain."""


def rows_with_stamps() -> list[Row]:
    return [
        Row(f"aud_{place}", stamp, "t", "s", None, "op", f"a{place % 3}", None if place % 4 else "p", "l", "x", "ok")
        for place, stamp in enumerate(STAMPS)
    ]


def naive(rows: list[Row], start: int | None, end: int | None, agent: str | None, passport: str | None) -> list[Row]:
    return [
        row
        for row in rows
        if (start is None or row.timestamp >= start)
        and (end is None or row.timestamp < end)
        and agent in (None, row.agent_id)
        and passport in (None, row.passport_jti)
    ]


def test_what_is_found_is_what_a_walk_finds_whatever_the_order_of_stamps() -> None:
    rows = rows_with_stamps()
    chain = Chain([])
    instants = [None, *range(14), 30, 31]
    for row in rows:  # asked again after every row, so that the indexes grow with the chain
        chain.rows.append(row)
        for start, end, agent, passport in product(instants, instants, (None, "a1"), (None, "p", "none")):
            equals = {"agent_id": agent, "passport_jti": passport}
            wanted = {name: value for name, value in equals.items() if value is not None}
            found = list(chain.select(from_ms=start, to_ms=end, **wanted))
            assert found == naive(chain.rows, start, end, agent, passport)
            back = list(chain.select(newest_first=True, from_ms=start, to_ms=end, **wanted))
            assert back == found[::-1]


def test_a_row_that_was_tampered_with_is_found_by_what_it_says_now() -> None:
    world = World("w", 1, VirtualClock(0), row_hash)
    for number in range(25):
        add_row(world, number)
    chain = world.audit.chain("op_long")
    assert len(list(chain.select(agent_id="agent_2"))) == 5
    world.audit.tamper("op_long", 4, agent_id="agent_2", timestamp=99_999)
    assert [row.timestamp for row in world.audit.chain("op_long").select(agent_id="agent_2")] == [99_999, *[0] * 5]
    assert len(list(chain.select(from_ms=1))) == 1


def test_rows_share_the_names_they_have_in_common_and_are_hashed_once() -> None:
    hashed: list[Row] = []

    def counted(row: Row) -> str:
        hashed.append(row)
        return row_hash(row)

    world = World("w", 1, VirtualClock(0), counted)
    for number in range(200):
        add_row(world, number)
    rows = world.audit.rows("op_long")
    assert hashed == rows
    assert len({id(row.agent_id) for row in rows}) == 20
    assert len({id(row.passport_jti) for row in rows}) == 20
    assert len({id(act.lane) for act in world.audit.acts()}) == len({act.lane for act in world.audit.acts()})
    assert not hasattr(rows[0], "__dict__")
    assert verify_chain(rows, row_hash) is None


@pytest.mark.parametrize("agent", [None, 'a "quoted" \\ name', "Ünï \U0001f600  \x07"])
def test_the_quick_hash_is_that_of_the_published_formula(agent: str | None) -> None:
    row = Row("aud_1", 1_700_000_000_000, "t", "s", None, "op_é", agent, None, "vault", "a.b", "success")
    body = json.dumps({name: as_dict(row)[name] for name in HASHED}, separators=(",", ":"), ensure_ascii=False)
    assert entry_hash(as_dict(row)) == row_hash(row)
    assert agent is None or json.loads(body)["agent_id"] == agent


# --- replies that are made as they are sent ---------------------------------------------------------------------------


@pytest.fixture
def long_world(serve: Callable[..., Any]) -> Any:
    served = serve(SCENARIO, clock="virtual")
    served.call(lambda: [add_row(served.world, number) for number in range(LONG)])
    return served


def test_long_logs_are_made_piece_by_piece_while_others_are_answered(
    long_world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, made = long_world.world, []
    render = canonical_audit.render
    monkeypatch.setattr(canonical_audit, "render", lambda act, row: made.append(row) or render(act, row))
    with socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        reader.settimeout(60)
        reader.connect(("127.0.0.1", long_world.server.port))
        reader.sendall(
            b"GET /_emu/audit/canonical?order=content HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        )
        received = reader.recv(1000)
        with httpx.Client(base_url=long_world.base_url, headers=BEARER, trust_env=False, timeout=60) as other:
            assert other.get("/v1/audit/chain-head").json()["entry_count"] == LONG
            assert 0 < len(made) < LONG  # nobody reads, so no more is made
            long_world.call(lambda: add_row(world, LONG))  # what comes now is not in it
            while piece := reader.recv(1 << 20):
                received += piece
            assert len(made) == LONG
            body = other.get("/_emu/audit/canonical?order=content").content
    head, _, chunked = received.partition(b"\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in head
    log = unchunked(chunked)
    assert verify(log) == []
    assert log.count(b"\n") == LONG + 1
    assert body == canonical_log(world, "content") != log


def unchunked(data: bytes) -> bytes:
    body = b""
    while data:
        size, _, rest = data.partition(b"\r\n")
        body, data = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return body


def test_pieces_are_small_whole_lines_and_make_up_the_log(long_world: Any) -> None:
    for order in ("commit", "content"):
        pieces = list(canonical_pieces(long_world.world, order))
        assert len(pieces) > 100
        assert max(map(len, pieces[:-1])) < 70_000  # the last line names every lane
        assert all(piece.endswith(b"\n") for piece in pieces)
        assert b"".join(pieces) == canonical_log(long_world.world, order)


def test_exports_hold_every_row_in_three_formats_and_the_raw_log_too(long_world: Any) -> None:
    rows = [as_dict(row) for row in long_world.rows("op_long")]
    with httpx.Client(base_url=long_world.base_url, headers=BEARER, trust_env=False, timeout=60) as client:
        with client.stream("GET", "/v1/audit/export?format=ndjson") as reply:
            assert reply.headers["Transfer-Encoding"] == "chunked"
            assert 'filename="audit.ndjson"' in reply.headers["Content-Disposition"]
            assert [json.loads(line) for line in reply.iter_lines()] == rows
        table = list(csv.DictReader(io.StringIO(client.get("/v1/audit/export?format=csv").text)))
        assert [line["entry_hash"] for line in table] == [row["entry_hash"] for row in rows]
        assert client.get("/v1/audit/export").json() == {"entries": rows, "count": LONG, "truncated": False}
        raw = client.get("/_emu/audit").json()
        assert [entry["entry_hash"] for entry in raw["entries"]] == [row["entry_hash"] for row in rows]
        assert {entry["operation"] for entry in raw["entries"]} == {"proxy.request"}


def test_an_empty_log_in_pieces_is_a_whole_reply_too(serve: Callable[..., Any]) -> None:
    served = serve(SCENARIO)
    with httpx.Client(base_url=served.base_url, headers=BEARER, trust_env=False, timeout=60) as client:
        assert client.get("/_emu/audit").json() == {"entries": []}
        assert client.get("/v1/audit/export?format=ndjson").content == b""
        assert client.get("/v1/audit/export?format=csv").text.startswith("entry_id,timestamp,")
        assert client.get("/_emu/audit/canonical").content.count(b"\n") == 1


def test_a_secret_in_a_piece_is_masked_and_told_as_a_leak(serve: Callable[..., Any]) -> None:
    served = serve(SCENARIO, clock="virtual")
    served.call(lambda: [add_row(served.world, number) for number in range(500)])
    served.call(lambda: served.world.redactor.add("part-of-nothing-4711", "late secret"))
    served.call(lambda: served.world.audit.tamper("op_long", 300, metadata={"intent": "say part-of-nothing-4711"}))
    with httpx.Client(base_url=served.base_url, headers=BEARER, trust_env=False, timeout=60) as client:
        text = client.get("/v1/audit/export?format=ndjson").text
    assert "part-of-nothing-4711" not in text
    assert json.loads(text.splitlines()[300])["metadata"]["intent"] == "say <secret:late secret>"
    leaks = [entry for entry in served.world.journal.entries() if entry.problem == "leak"]
    assert [entry.operation for entry in leaks] == ["audit.export"]
    assert "late secret" in leaks[0].hint


def test_the_benchmark_of_rows_runs_to_its_end() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "rows.py"), "--rows", "2000", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["chain_valid"]
    assert [step["rows"] for step in found["filled"]] == [1000, 2000]
    assert all(seen["bytes"] > 0 for seen in found["read"].values())


# --- what the way of a call remembers ---------------------------------------------------------------------------------


def test_a_text_that_was_harmless_is_masked_once_it_is_known_for_a_secret() -> None:
    redactor = Redactor()
    said = {"field": "not-a-secret-yet", "list": ["not-a-secret-yet", "tok-abcdef123", "harmless"]}
    assert redactor.value(said) == said
    redactor.add("not-a-secret-yet", "late")
    assert redactor.value(said)["field"] == "<secret:late>"
    redactor.add_form("tok-", "[a-z0-9]+", "token")
    assert redactor.value(said)["list"] == ["<secret:late>", "<token>", "harmless"]
    assert redactor.value({"not-a-secret-yet": 1}) == {"<secret:late>": 1}
    assert redactor.copy().value(said)["list"][0] == "<secret:late>"


def test_no_more_harmless_texts_are_remembered_than_there_is_room_for() -> None:
    redactor = Redactor()
    for number in range(10_000):
        redactor.value([f"text {number}", "x" * 65])
    assert 0 < len(redactor._clean) <= 4096
    assert "x" * 65 not in redactor._clean
