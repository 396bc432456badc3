"""Moving the clock: what fires, in which order, what is told of it, and what cannot be."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from stack_emu import Emulator
from stack_emu.client import EmulatorError, WorldClient
from stack_emu.kernel.clock import parse_iso
from stack_emu.kernel.world import Timer
from tests.time.deadlines import DAY, HOUR, MINUTE, SECOND, START, WORLD, Bench, Worlds, plus

START_MS = parse_iso(START)
STEPS = [
    {"at": "+15m", "operation": "agents.register", "input": {"name": "quarter"}},
    {"at": "+15m", "operation": "agents.register", "input": {"name": "quarter-too"}},
    {"at": "+1h", "operation": "missions.complete", "input": {"mission_id": "ms_strict"}},
]
FULL = plus(
    WORLD, timeline=STEPS, approvals=[{"when": {"operation": "intents.submit"}, "decide": "approve", "after": "15m"}]
)


@pytest.fixture(scope="module")
def worlds(emulator: Emulator) -> Worlds:
    return Worlds(emulator.client)


@pytest.fixture
def bench(worlds: Worlds) -> Iterator[Bench]:
    made = worlds.fresh(FULL)
    yield made
    made.close()


def fill(bench: Bench) -> None:
    """Let timers of every kind be armed, in lanes of their own, many of them for the same instants."""
    for agent, mission in (("agt_bot", "ms_bot"), ("agt_strict", "ms_strict")):
        made = bench.issue(agent, mission)
        bench.own.intents.submit({"service": "slack", "method": "GET", "url": "https://slack.com/"}, made.token)
        bench.own.missions.open("Keep time", agent_id=agent)
        bench.own.dropoffs.create(agent, "agt_helper", {"type": "object"}, ttl_seconds=900)
    url = bench.own.inbound_webhooks.create("generic", "agt_bot", forward_url="http://127.0.0.1:9/hook")
    bench.own.delivery_methods.add("webhook", "http://127.0.0.1:9/hook")
    assert url["status"] == "active"


def fired(told: Any) -> list[tuple[str, str, str]]:
    return [(timer["at"], timer["id"], timer["lane"]) for timer in told.timers]


def test_an_advance_tells_what_fired_in_order_of_instant_and_id_across_lanes(bench: Bench) -> None:
    fill(bench)
    told = bench.advance(HOUR)
    assert told == len(told.timers) > 8
    order = [(timer["at"], timer["id"]) for timer in told.timers]
    assert order == sorted(order)
    assert len({timer["lane"] for timer in told.timers}) > 3
    at_the_quarter = [timer["kind"] for timer in told.timers if timer["at"] == "2026-03-01T00:15:00.000Z"]
    assert len(at_the_quarter) > 5
    assert {"mission.expire", "dropoff.expire", "intent.decide", "timeline"} <= set(at_the_quarter)
    assert bench.advance(0) == 0
    assert bench.world.clock.now() == "2026-03-01T01:00:00.000Z"


def test_rows_of_one_lane_stand_in_the_order_their_timers_fired(bench: Bench) -> None:
    fill(bench)
    told = bench.advance(20 * HOUR)
    rows = [json.loads(line) for line in bench.world.audit.canonical().splitlines()[:-1]]
    compared = 0
    for lane in {timer["lane"] for timer in told.timers}:
        acts = dict.fromkeys((row["act"], row["operation"], row["at_ms"]) for row in rows if row["lane"] == lane)
        made = [(operation, at_ms) for _, operation, at_ms in acts if operation.startswith("timer.")]
        timers = [timer for timer in told.timers if timer["lane"] == lane and f"timer.{timer['kind']}" in dict(made)]
        assert [operation for operation, _ in made] == [f"timer.{timer['kind']}" for timer in timers]
        compared += len(made)
    assert compared > 6


@pytest.mark.parametrize("step", [7 * MINUTE, 15 * MINUTE, 1_234_567])
def test_one_advance_leaves_the_log_that_many_small_ones_leave(worlds: Worlds, step: int) -> None:
    logs, told = [], []
    for small in (False, True):
        bench = worlds.fresh(FULL)
        fill(bench)
        moves = [step] * (DAY // step) + [DAY % step] if small else [DAY]
        told.append([timer for move in moves for timer in fired(bench.advance(move))])
        logs.append(bench.world.audit.canonical())
        bench.close()
    assert logs[0] == logs[1]
    assert told[0] == told[1]


def test_a_timer_armed_by_a_timer_fires_on_the_same_advance(worlds: Worlds) -> None:
    """An attempt at a webhook that fails arms the next one."""
    bench = worlds.fresh(WORLD)
    try:
        from tests.time.account_deadlines import webhook

        webhook(bench)
        assert len(bench.world.deliveries[0]["attempts"]) == 1
        told = bench.advance(HOUR)
        assert [timer["at"][11:19] for timer in told.timers] == ["00:00:05", "00:00:35", "00:05:35", "00:35:35"]
        assert bench.world.deliveries[0]["status"] == "failed"
    finally:
        bench.close()


def test_timers_fire_at_their_instant_not_where_the_clock_goes(bench: Bench) -> None:
    fill(bench)
    bench.advance(DAY)
    ends = [row["timestamp"] for row in bench.world.audit.entries() if row["action"] == "dropoff.expire"]
    assert ends
    assert {(end - START_MS) // SECOND for end in ends} == {900}


# --- what cannot be -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("by", "message"),
    [
        (8_000 * 365 * DAY, "the clock ends with the year 9999"),
        (10**30, "the clock ends with the year 9999"),
        ("9000000d", "the clock ends with the year 9999"),
        (-1, "the clock only moves forward"),
        ("-5m", "by"),
        ("soon", "by"),
        (1.5, "by"),
        (True, "by"),
        (None, "by"),
    ],
)
def test_an_advance_that_cannot_be_is_refused_and_moves_nothing(bench: Bench, by: Any, message: str) -> None:
    fill(bench)
    with pytest.raises(EmulatorError, match=message):
        bench.advance(by)
    assert bench.world.clock.now_ms() == START_MS
    assert bench.advance(MINUTE) == 0


def test_the_clock_can_be_brought_to_the_last_instant_there_is(bench: Bench) -> None:
    last = parse_iso("9999-12-31T23:59:59.999Z")
    bench.advance(last - START_MS)
    assert bench.world.clock.now() == "9999-12-31T23:59:59.999Z"
    with pytest.raises(EmulatorError, match="year 9999"):
        bench.advance(1)


# --- timers that fail ---------------------------------------------------------------------------------------------------


def spoilt(emulator: Emulator, world: WorldClient, kind: str) -> tuple[Any, Callable[[], None]]:
    """The world itself, with a handler of timers that fails until the returned function is called."""
    of = emulator.hosted(world.name).world
    table = of.timer_handlers if kind in of.timer_handlers else of.timer_runners
    good = table[kind]

    def fail(*arguments: Any) -> None:
        raise ZeroDivisionError(f"broken by the test, with {world.description['passports']['BOT_PASSPORT']}")

    table[kind] = fail

    def mend() -> None:
        table[kind] = good

    return of, mend


@pytest.mark.parametrize("kind", ["dropoff.expire", "timeline"])
def test_a_timer_that_fails_stays_armed_and_is_told_and_stops_nothing_else(
    emulator: Emulator, bench: Bench, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    fill(bench)
    of, mend = spoilt(emulator, bench.world, kind)
    try:
        with pytest.raises(EmulatorError, match=r"stands at 2026-03-01T01:00:00\.000Z.*stay armed.*ZeroDivisionError"):
            bench.advance(HOUR)
        waiting = emulator.call(lambda: [one for one in of.store.all(Timer) if one.at_ms <= of.now_ms()])
        assert {timer.kind for timer in waiting} == {kind}
    finally:
        mend()
    assert "broken by the test" in caplog.text
    assert bench.world.description["passports"]["BOT_PASSPORT"] not in caplog.text
    assert bench.advance(0) == 0, "the request itself fired what was due"
    rows = bench.world.audit.entries()
    assert "timer.mission.expire" in {row["operation"] for row in rows}
    wanted = {"dropoff.expire": "timer.dropoff.expire", "timeline": "agents.register"}[kind]
    assert wanted in {row["operation"] for row in rows}, "it fired once it could"
    assert emulator.call(lambda: of.next_due_ms()) > of.now_ms()


# --- several at once ----------------------------------------------------------------------------------------------------


def test_concurrent_advances_add_up_and_each_timer_is_told_once(worlds: Worlds) -> None:
    bench = worlds.fresh(FULL)
    try:
        fill(bench)
        with ThreadPoolExecutor(8) as pool:
            told = list(pool.map(lambda _: bench.world.clock.advance(HOUR), range(16)))
        assert bench.world.clock.now_ms() == START_MS + 16 * HOUR
        ids = [timer["id"] for one in told for timer in one.timers]
        assert len(ids) == len(set(ids)) > 8
    finally:
        bench.close()
    again = worlds.fresh(FULL)
    try:
        fill(again)
        assert {timer["id"] for timer in again.advance(16 * HOUR).timers} == set(ids)
    finally:
        again.close()


def test_a_world_that_is_reset_while_it_is_advanced_stays_reset(worlds: Worlds) -> None:
    """The receiver of a webhook resets the world it is sent from, and answers only then."""
    bench = worlds.fresh(WORLD)
    reset = threading.Event()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            if not reset.is_set():
                bench.world.reset()
                reset.set()
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.daemon_threads = False
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        address = f"http://127.0.0.1:{server.server_port}/hook"
        callback = {"when": {"path": "/order"}, "reply": {"json": {}}, "callbacks": [{"url": address, "after": "5m"}]}
        text = WORLD.replace("routes: [{when", f"routes: [{json.dumps(callback)}, {{when", 1)
        bench = worlds.fresh(text)
        bench.own.proxy.get("echo", "https://echo.test/order")
        bench.own.dropoffs.create("agt_bot", "agt_helper", {"type": "object"})
        bench.advance(HOUR)
        assert reset.is_set()
        assert bench.world.clock.now_ms() == START_MS
        assert bench.world.audit.entries() == []
        assert bench.advance(HOUR) == 0
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
        bench.close()
