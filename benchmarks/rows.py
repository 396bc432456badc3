"""A million audit rows in one world: what a row costs on the way, and what reading costs at the end.

``python benchmarks/rows.py --rows 1000000``. Rows are appended as an act appends them and named as those of 500 agents with a
passport for every ten calls; then the world is served and read over HTTP on this machine.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import http.client
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from stack_emu.hosting import HostedWorld, Hosting
from stack_emu.kernel.acts import RowDraft
from stack_emu.kernel.world import World
from stack_emu.scenario.loader import load
from stack_emu.surfaces.server import Server, settle_memory

sys.path.insert(0, str(Path(__file__).resolve().parent))
from measuring import HERE, peak_mb, resident_mb

OPERATOR = "op_soak"
KEY = "sk_live_emu_soak"
AGENTS = 500
CALLS = 10
"""Calls with one passport."""


@lru_cache(1)
def mission_of(number: int) -> dict[str, str]:
    """What a passport says of its mission; every row of it is given the same texts, as the store gives them."""
    return {"mission": f"ms_{number:020}", "intent": f"Tidy up {number}"}


def add_row(world: World, number: int) -> None:
    """One more row, as a proxied call leaves it."""
    of = number // CALLS
    agent, passport = f"agent_{of % AGENTS:03}", f"pp_{of:020}"
    draft = RowDraft("credential.proxy", "vault")
    draft.set(agent_id=agent, passport_jti=passport, **mission_of(of))
    draft.set(service="tickets", services=["slack", "github", "tickets"], scopes=["tickets:tickets:write"])
    draft.set(upstream="tickets", upstream_status=200, connection="scon_tickets")
    body = {"subject": f"part {number}"}
    command = {"service": "tickets", "method": "POST", "url": "https://tickets.example.com/v1/tickets", "body": body}
    act = world.begin_act("proxy.request", OPERATOR, f"agent:{agent}/passport:{passport}", command, draft)
    with world.transaction(act):
        pass


def fill(world: World, rows: int) -> list[dict[str, float]]:
    """Append rows; what each ten times as many cost, in CPU microseconds and bytes a row."""
    steps: list[dict[str, float]] = []
    done, size = 0, 1000
    while done < rows:
        until = min(size, rows)
        memory, began = resident_mb(os.getpid()), time.process_time()
        for number in range(done, until):
            add_row(world, number)
        count = until - done
        spent = (time.process_time() - began) / count * 1e6
        bytes_each = (resident_mb(os.getpid()) - memory) * 2**20 / count
        steps.append({"rows": until, "us_per_row": round(spent, 1), "bytes_per_row": round(bytes_each)})
        done, size = until, size * 10
    return steps


@contextmanager
def served(hosting: Hosting) -> Iterator[Server]:
    """The worlds on a port of this machine, in a thread of its own."""
    server, loop = Server(lambda: hosting), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def begin() -> None:
        await server.start()
        await server.ready()

    asyncio.run_coroutine_threadsafe(begin(), loop).result(60)
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


class Reader:
    """Reads from a server piece by piece, keeping nothing.

    Args:
        server: where.
    """

    def __init__(self, server: Server) -> None:
        self._address = ("127.0.0.1", server.port)

    def get(self, path: str) -> dict[str, Any]:
        """Read a path; milliseconds to its first byte and in all, its size and SHA-256, and what memory peaked above before."""
        connection = http.client.HTTPConnection(*self._address, timeout=900)
        before = peak_mb(os.getpid(), reset=True)
        began = time.perf_counter()
        connection.request("GET", path, headers={"Authorization": f"Bearer {KEY}"})
        reply = connection.getresponse()
        first = reply.read(1)
        until_first = time.perf_counter() - began
        digest, size = hashlib.sha256(first), len(first)
        while piece := reply.read(1 << 16):
            digest.update(piece)
            size += len(piece)
        taken = time.perf_counter() - began
        peak = peak_mb(os.getpid())
        connection.close()
        if reply.status != 200:
            raise SystemExit(f"{path} was answered {reply.status}")
        return {
            "first_ms": round(until_first * 1000, 1),
            "ms": round(taken * 1000, 1),
            "bytes": size,
            "sha256": digest.hexdigest(),
            "peak_mb": round(peak - before, 1),
        }

    def json(self, path: str) -> Any:
        """The JSON at a path."""
        connection = http.client.HTTPConnection(*self._address, timeout=900)
        connection.request("GET", path, headers={"Authorization": f"Bearer {KEY}"})
        data = connection.getresponse().read()
        connection.close()
        return json.loads(data)


def readings(server: Server, hosted: HostedWorld) -> dict[str, dict[str, Any]]:
    """What reading a long log costs, path by path."""
    reader, rows = Reader(server), hosted.world.audit.rows(OPERATOR)
    latest, first = rows[-1].timestamp, rows[0]
    asked: dict[str, str] = {
        "the newest 20 rows": "/v1/audit",
        "since the newest row: nothing new": f"/v1/audit?since={latest}",
        "since a moment before: the last rows": f"/v1/audit?since={rows[-10].timestamp - 1}",
        "20 rows of one agent": "/v1/audit?agent_id=agent_007",
        "the rows of the oldest passport": f"/v1/audit?passport_jti={first.passport_jti}",
        "the rows of a passport there is not": "/v1/audit?passport_jti=pp_none",
        "export, 50,000 rows, ndjson": "/v1/audit/export?format=ndjson",
        "export, 50,000 rows, json": "/v1/audit/export",
        "verify-chain, all rows": "/v1/audit/verify-chain",
        "canonical log, commit order": "/_emu/audit/canonical",
        "canonical log, content order": "/_emu/audit/canonical?order=content",
    }
    for path in asked.values():  # what is looked up the first time is not measured
        if "export" not in path and "canonical" not in path and "chain" not in path:
            reader.get(path)
    return {what: {"path": path, **reader.get(path)} for what, path in asked.items()}


def measure(rows: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Fill a world and read it."""
    hosting = Hosting()
    hosted = hosting.create("default", load(HERE / "soak.yaml"))
    settle_memory()
    filled = fill(hosted.world, rows)
    for step in filled:
        say(f"to {step['rows']:>9,} rows: {step['us_per_row']:>6} µs and {step['bytes_per_row']:>5,.0f} bytes a row")
    with served(hosting) as server:
        read = readings(server, hosted)
        valid = Reader(server).json("/v1/audit/verify-chain")["valid"]
    say(f"{'':<40}{'first ms':>10}{'ms':>10}{'MB':>9}{'peak MB':>9}")
    for what, seen in read.items():
        say(f"{what:<40}{seen['first_ms']:>10}{seen['ms']:>10}{seen['bytes'] / 2**20:>9.1f}{seen['peak_mb']:>9}")
    return {"rows": rows, "filled": filled, "read": read, "chain_valid": valid}


def main() -> int:
    """Read the command line, measure, report; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="how many (default a million)")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    asked = parser.parse_args()
    if not 1000 <= asked.rows <= 5_000_000:
        parser.error("--rows is 1,000 to 5,000,000")
    found = measure(asked.rows, (lambda text: None) if asked.json else lambda text: print(text, flush=True))
    if asked.json:
        print(json.dumps(found, indent=1))
    return 0 if found["chain_valid"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
