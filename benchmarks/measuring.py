"""Starting servers, loading them with wrk and reading what it says."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SECONDS = 3


@dataclass(frozen=True)
class Load:
    """What a load run saw: requests a second, and the median and 99th percentile in milliseconds."""

    per_second: float
    p50: float
    p99: float


@contextlib.contextmanager
def running(command: list[str], first_line: str | None = None) -> Iterator[dict[str, Any]]:
    """A server process that prints one JSON line when it is ready."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    assert process.stdin is not None
    if first_line is not None:
        process.stdin.write(first_line + "\n")
        process.stdin.flush()
    try:
        yield {**json.loads(process.stdout.readline()), "process_id": process.pid}
    finally:
        process.terminate()
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:  # uvicorn waits for open streams
            process.kill()
            process.wait(3)
        process.stdout.close()
        process.stdin.close()


def floor() -> contextlib.AbstractContextManager[dict[str, Any]]:
    """The bare aiohttp application."""
    return running([sys.executable, str(HERE / "floor.py")])


def emulator(scenario: str | Path) -> contextlib.AbstractContextManager[dict[str, Any]]:
    """A running emulator."""
    return running([sys.executable, "-m", "stack_emu.cli.main", "up", str(scenario), "--port", "0", "--json"])


def post(url: str, body: Any, headers: dict[str, str] | None = None) -> Any:
    """One POST; the reply's JSON."""
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})}
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as reply:
        return json.loads(reply.read())


def load(url: str, body: Any, headers: dict[str, str], connections: int) -> Load:
    """Load one URL with POSTs of one body for a few seconds.

    Fewer than one refused request in a thousand are only reported: a peer under uvicorn refuses a few at times.

    Raises:
        SystemExit: when wrk is missing or more requests were refused.
    """
    wrk = shutil.which("wrk")
    if wrk is None:
        raise SystemExit("the HTTP figures need wrk: apt-get install wrk")
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        lines = ['wrk.method = "POST"', f"wrk.body = {json.dumps(json.dumps(body))}"]
        sent = {"Content-Type": "application/json", **headers}
        lines += [f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in sent.items()]
        script.write("\n".join(lines))
        script.flush()
        command = [wrk, "-t1", f"-c{connections}", f"-d{SECONDS}s", "--latency", "-s", script.name, url]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    if refused is not None:
        made = int(re.search(r"(\d+) requests in", text)[1])  # type: ignore[index]
        if int(refused[1]) * 1000 > made:
            raise SystemExit(f"{url} refused requests:\n{text}")
        print(f"  ({url} refused {refused[1]} of {made} requests)", flush=True)
    return Load(
        float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1]),  # type: ignore[index]
        _milliseconds(re.search(r"50%\s+([\d.]+)(us|ms|s)", text)),
        _milliseconds(re.search(r"99%\s+([\d.]+)(us|ms|s)", text)),
    )


def _milliseconds(found: re.Match[str] | None) -> float:
    assert found is not None
    return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]]


def median_ms(function: Callable[[], object], times: int) -> float:
    """Median duration of a call in milliseconds."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        function()
        taken.append((time.perf_counter() - started) * 1000)
    return statistics.median(taken)


def resident_mb(process_id: int) -> float:
    """Resident memory of a process in megabytes."""
    text = Path(f"/proc/{process_id}/status").read_text("utf-8")
    return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1024  # type: ignore[index]


def cpu_seconds(process_id: int) -> float:
    """Processor time that a process has had, in user and system mode."""
    fields = Path(f"/proc/{process_id}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_mb(process_id: int, *, reset: bool = False) -> float:
    """The most resident memory a process has had, in megabytes; with ``reset`` it is counted anew from now on."""
    if reset:
        Path(f"/proc/{process_id}/clear_refs").write_text("5", "utf-8")
    text = Path(f"/proc/{process_id}/status").read_text("utf-8")
    return int(re.search(r"VmHWM:\s+(\d+)", text)[1]) / 1024  # type: ignore[index]
