"""Hundreds of agents at once against one ``stack-emu up``: what it takes, what grows, and whether the log is the same.

``python benchmarks/soak.py --agents 500 --seconds 60``. Rounds of missions are begun until the time is over (or ``--rounds``
were); the second run, against a fresh process, does as many, and must leave the same canonical log in content order.
The load goes to a server of its own on this machine and ends by itself. Exit code 1: an error, a broken chain, logs that differ.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

sys.path.insert(0, str(Path(__file__).resolve().parent))
from measuring import HERE, cpu_seconds, resident_mb, running
from soak_agents import KEY, Tally, hands_for, mission

SCENARIO = HERE / "soak.yaml"
GRACE_SECONDS = 300
"""How much longer than asked a run may take before it is given up."""
SETTLING_SECONDS = 20
"""How long connections may take to be closed once their clients have gone."""


@dataclass(frozen=True)
class Sample:
    """The server at one moment."""

    calls: int
    cpu_seconds: float
    resident_mb: float
    files: int
    connections: int
    tasks: int
    worlds: int


@dataclass
class Run:
    """One run's findings."""

    rounds: int = 0
    seconds: float = 0.0
    tally: Tally = field(default_factory=Tally)
    samples: list[Sample] = field(default_factory=list)
    rows: int = 0
    chain_valid: bool = False
    log_sha256: str = ""
    log_bytes: int = 0
    state_mb: float | None = None
    restart_seconds: float | None = None

    def growth_kb(self) -> float:
        """Kilobytes of resident memory that 1,000 calls added in the second half."""
        middle, end = self.middle(), self.samples[-1]
        return (end.resident_mb - middle.resident_mb) * 1024 * 1000 / max(1, end.calls - middle.calls)

    def cpu_ms(self) -> float:
        """Milliseconds of processor time that the server needed for a call."""
        start, end = self.samples[0], self.samples[-1]
        return (end.cpu_seconds - start.cpu_seconds) * 1000 / max(1, end.calls)

    def middle(self) -> Sample:
        """The sample nearest to half of the calls."""
        half = self.samples[-1].calls / 2
        return min(self.samples, key=lambda sample: abs(sample.calls - half))

    def as_dict(self) -> dict[str, Any]:
        """The findings as JSON data."""
        points = {"start": self.samples[0], "middle": self.middle(), "end": self.samples[-1]}
        return {
            "rounds": self.rounds,
            "calls": self.tally.calls,
            "seconds": round(self.seconds, 2),
            "calls_per_second": round(self.tally.calls / self.seconds, 1),
            "cpu_ms_per_call": round(self.cpu_ms(), 3),
            "errors": sum(self.tally.errors.values()),
            "error_kinds": dict(self.tally.errors.most_common(10)),
            "latency_ms": {name: latencies(taken) for name, taken in sorted(self.tally.taken.items())},
            "server": {name: vars(sample) for name, sample in points.items()},
            "peak_connections": max(sample.connections for sample in self.samples),
            "growth_kb_per_1000_calls": round(self.growth_kb(), 1),
            "rows": self.rows,
            "chain_valid": self.chain_valid,
            "log_sha256": self.log_sha256,
            "log_bytes": self.log_bytes,
            "state_mb": self.state_mb,
            "restart_seconds": self.restart_seconds,
        }


def latencies(taken: list[float]) -> dict[str, float]:
    """How many calls there were, and the p50, p95, p99 and longest of their durations in milliseconds."""
    ordered = sorted(taken)

    def at(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2)

    return {
        "calls": len(ordered),
        "p50": at(0.50),
        "p95": at(0.95),
        "p99": at(0.99),
        "max": round(ordered[-1], 2),
    }


class Watch:
    """Looks at the server from outside, and asks it what it has open.

    Args:
        session: connections of its own.
        base_url: of the server.
        process_id: its process.
        calls: how many calls were made so far.
    """

    def __init__(
        self, session: aiohttp.ClientSession, base_url: str, process_id: int, calls: Callable[[], int]
    ) -> None:
        self._session = session
        self._base_url = base_url
        self._process_id = process_id
        self._calls = calls

    async def get(self, path: str) -> bytes:
        """The body of a reply.

        Raises:
            aiohttp.ClientResponseError: when it is a refusal.
        """
        async with self._session.get(self._base_url + path) as reply:
            reply.raise_for_status()
            return await reply.read()

    async def look(self) -> Sample:
        """The server now."""
        health = json.loads(await self.get("/_emu/health"))
        files = len(list(Path(f"/proc/{self._process_id}/fd").iterdir()))
        there = health["open"]
        worlds = len(health["worlds"])
        memory = round(resident_mb(self._process_id), 1)
        cpu = cpu_seconds(self._process_id)
        return Sample(self._calls(), cpu, memory, files, there["connections"], there["tasks"], worlds)

    async def settle(self) -> Sample:
        """The server once the clients' connections are closed, or their time for it is over."""
        until = time.monotonic() + SETTLING_SECONDS
        while (seen := await self.look()).connections > 1 and time.monotonic() < until:
            await asyncio.sleep(0.1)
        return seen


async def soak(agents: int, seconds: float, rounds: int | None, base_url: str, process_id: int) -> Run:
    """Run missions against a server.

    Args:
        agents: how many at once.
        seconds: no round begins later than this.
        rounds: how many there are; None for as many as fit.
        base_url: of the server.
        process_id: its process.
    """
    run = Run()
    connector = aiohttp.TCPConnector(limit=1)
    timeout = aiohttp.ClientTimeout(GRACE_SECONDS)
    bearer = {"Authorization": f"Bearer {KEY}"}
    async with aiohttp.ClientSession(connector=connector, headers=bearer, timeout=timeout) as session:
        watch = Watch(session, base_url, process_id, lambda: run.tally.calls)
        run.samples.append(await watch.look())
        started = time.monotonic()
        async with hands_for(agents, base_url) as hands:
            while run.rounds < (rounds or 10**9) and (rounds or time.monotonic() - started < seconds):
                lives = [
                    asyncio.ensure_future(mission(hands[number], run.tally, f"soak-{run.rounds:03}-{number:04}"))
                    for number in range(agents)
                ]
                pending: set[asyncio.Future[None]] = set(lives)
                while pending:
                    _, pending = await asyncio.wait(pending, timeout=1)
                    run.samples.append(await watch.look())
                for life in lives:
                    error = life.exception()
                    if isinstance(error, AssertionError) and not str(error).startswith("/"):
                        run.tally.errors[f"an answer was not as it must be: {str(error)[:160]}"] += 1
                run.rounds += 1
        run.seconds = time.monotonic() - started
        run.samples.append(await watch.settle())
        run.rows = json.loads(await watch.get("/v1/audit/chain-head"))["entry_count"]
        run.chain_valid = json.loads(await watch.get("/v1/audit/verify-chain"))["valid"]
        log = await watch.get("/_emu/audit/canonical?order=content")
        run.log_sha256, run.log_bytes = hashlib.sha256(log).hexdigest(), len(log)
    return run


def one_run(agents: int, seconds: float, rounds: int | None, state: Path | None) -> Run:
    """Start a server, soak it, stop it; with a state file, start it once more and see that it has everything."""
    command = [sys.executable, "-m", "stack_emu.cli.main", "up", str(SCENARIO), "--port", "0", "--json"]
    command += ["--state", str(state)] if state is not None else []
    limit = (seconds if rounds is None else 0) + GRACE_SECONDS
    with running(command) as ready:
        work = soak(agents, seconds, rounds, ready["base_url"], ready["process_id"])
        run = asyncio.run(asyncio.wait_for(work, limit))
    if state is not None:
        run.state_mb = round(state.stat().st_size / 2**20, 1)
        started = time.monotonic()
        with running(command) as ready:
            kept = asyncio.run(soak(0, 0, 1, ready["base_url"], ready["process_id"]))
            run.restart_seconds = round(time.monotonic() - started, 2)
        if (kept.rows, kept.log_sha256) != (run.rows, run.log_sha256):
            run.tally.errors["after a restart the state file gave back another log"] += 1
    return run


def table(report: dict[str, Any]) -> str:
    """The findings for people."""
    lines = []
    for number, run in enumerate(report["runs"], 1):
        lines += [
            f"run {number}: {report['agents']} agents × {run['rounds']} rounds, {run['calls']:,} calls in {run['seconds']} s",
            f"  {run['calls_per_second']} calls/s, {run['cpu_ms_per_call']} ms of the server's CPU each, {run['errors']} errors",
            f"  {'operation':<24}{'calls':>8}{'p50':>9}{'p95':>9}{'p99':>9}{'max':>9}  ms",
        ]
        for name, taken in run["latency_ms"].items():
            cells = "".join(f"{taken[part]:>9.1f}" for part in ("p50", "p95", "p99", "max"))
            lines.append(f"  {name:<24}{taken['calls']:>8}{cells}")
        lines.append(f"  {'server':<24}{'calls':>8}{'MB':>9}{'files':>9}{'connect.':>9}{'tasks':>9}")
        for name, sample in run["server"].items():
            cells = f"{sample['resident_mb']:>9}{sample['files']:>9}{sample['connections']:>9}{sample['tasks']:>9}"
            lines.append(f"  {name:<24}{sample['calls']:>8}{cells}")
        lines.append(f"  memory: {run['growth_kb_per_1000_calls']} kB for 1,000 calls in the second half")
        chain = "holds" if run["chain_valid"] else "IS BROKEN"
        lines.append(f"  audit: {run['rows']:,} rows, the chain {chain}; canonical log {run['log_bytes']:,} bytes")
        lines.append(f"  sha256 {run['log_sha256']}")
        if run["state_mb"] is not None:
            lines.append(f"  state file: {run['state_mb']} MB; started again from it in {run['restart_seconds']} s")
        lines += [f"  ERROR ×{times}: {text}" for text, times in run["error_kinds"].items()]
    if len(report["runs"]) > 1:
        lines.append("the logs of the runs are " + ("the same" if report["same_log"] else "NOT THE SAME"))
    return "\n".join(lines)


def main() -> int:
    """Read the command line, run, report; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", type=int, default=500, help="agents at once (default 500)")
    parser.add_argument("--seconds", type=float, default=60, help="begin no round later than this (default 60)")
    parser.add_argument("--rounds", type=int, help="do so many rounds of missions, however long they take")
    parser.add_argument("--runs", type=int, default=2, help="against a fresh process each (default 2)")
    parser.add_argument("--state", type=Path, help="keep the worlds in FILE.1, FILE.2 …, which must not be there yet")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    asked = parser.parse_args()
    if not 1 <= asked.agents <= 5000 or asked.runs < 1 or (asked.rounds is not None and asked.rounds < 1):
        parser.error("--agents is 1 to 5000, --rounds and --runs at least 1")
    rounds, runs = asked.rounds, []
    for number in range(1, asked.runs + 1):
        state = None if asked.state is None else asked.state.with_name(f"{asked.state.name}.{number}")
        if state is not None and state.exists():
            parser.error(f"{state} is there already; remove it, or name another --state FILE")
        run = one_run(asked.agents, asked.seconds, rounds, state)
        rounds = run.rounds  # the same work again
        runs.append(run.as_dict())
    same = len({run["log_sha256"] for run in runs}) == 1
    report = {"agents": asked.agents, "runs": runs, "same_log": same}
    print(json.dumps(report, indent=1) if asked.json else table(report))
    return 0 if same and all(run["chain_valid"] and not run["errors"] for run in runs) else 1


if __name__ == "__main__":
    raise SystemExit(main())
