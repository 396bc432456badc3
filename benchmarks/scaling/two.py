"""Two emulators behind a load balancer: that worlds stick to their process, and what the second process brings.

``python benchmarks/scaling/two.py [nginx|haproxy …]`` needs the balancers (``apt-get install nginx-light haproxy``).
The load stays on this machine and ends by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp

from stack_emu.client import EmulatorClient

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from measuring import cpu_seconds, running
from soak_agents import KEY, Tally, WireHands, mission

HERE = Path(__file__).resolve().parent
CONFIGURATIONS = {"nginx": HERE / "nginx.conf", "haproxy": HERE / "haproxy.cfg"}
SCENARIO = HERE.parent / "soak.yaml"
FRONT, FIRST, SECOND = "4747", "4748", "4749"
READY_SECONDS = 30


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def balanced(kind: str, emulators: list[int], folder: Path) -> Iterator[str]:
    """A balancer in front of two emulators, with the configuration of this folder on other ports; its URL.

    Args:
        kind: ``nginx`` or ``haproxy``.
        emulators: their ports.
        folder: where the configuration with the real ports and the balancer's own files go.

    Raises:
        SystemExit: when there is no such balancer, or it does not start.
    """
    program = shutil.which(kind) or shutil.which(kind, path="/usr/sbin:/usr/local/sbin")
    if program is None:
        raise SystemExit(f"{kind} is missing: apt-get install nginx-light haproxy")
    port = free_port()
    text = CONFIGURATIONS[kind].read_text("utf-8")
    for written, real in zip((FRONT, FIRST, SECOND), (port, *emulators), strict=True):
        assert f"127.0.0.1:{written}" in text, f"{CONFIGURATIONS[kind]} has no 127.0.0.1:{written}"
        text = text.replace(f"127.0.0.1:{written}", f"127.0.0.1:{real}")
    configuration = folder / CONFIGURATIONS[kind].name
    configuration.write_text(text, "utf-8")
    command = {
        "nginx": [program, "-e", "stderr", "-c", str(configuration), "-p", str(folder)],
        "haproxy": [program, "-f", str(configuration)],
    }[kind]
    with (folder / f"{kind}.log").open("w+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            _wait_for(port, process, folder / f"{kind}.log")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise SystemExit(f"the balancer did not start:\n{log.read_text('utf-8')}")


@contextlib.contextmanager
def emulators(count: int = 2) -> Iterator[list[dict[str, Any]]]:
    """So many ``stack-emu up`` processes; what each says when it is ready."""
    command = [sys.executable, "-m", "stack_emu.cli.main", "up", str(SCENARIO), "--port", "0", "--json"]
    with contextlib.ExitStack() as started:
        yield [started.enter_context(running(command)) for _ in range(count)]


def worlds_of(ready: dict[str, Any]) -> list[str]:
    """The worlds one process has, asked past the balancer."""
    client = EmulatorClient(ready["base_url"])
    names = [world.name for world in client.worlds()]
    client.close()
    return names


def make_worlds(url: str, count: int) -> list[str]:
    """Make worlds through a URL; their names."""
    client = EmulatorClient(url)
    names = [client.create_world(f"world-{number:02}", scenario=SCENARIO).name for number in range(count)]
    client.close()
    return names


async def _drive(url: str, names: list[str], agents: int) -> Tally:
    tally = Tally()
    connector = aiohttp.TCPConnector(limit=64)
    bearer = {"Authorization": f"Bearer {KEY}"}
    async with aiohttp.ClientSession(connector=connector, headers=bearer) as session:
        lives = [
            mission(WireHands(session, f"{url}/w/{name}"), tally, f"agent-{number}")
            for name in names
            for number in range(agents)
        ]
        await asyncio.gather(*lives)
    return tally


def drive(url: str, names: list[str], agents: int, ready: list[dict[str, Any]]) -> dict[str, Any]:
    """Missions in every world at once; calls a second, and the CPU time each process had."""
    before = [cpu_seconds(one["process_id"]) for one in ready]
    began = time.perf_counter()
    tally = asyncio.run(asyncio.wait_for(_drive(url, names, agents), 300))
    taken = time.perf_counter() - began
    after = [cpu_seconds(one["process_id"]) for one in ready]
    return {
        "calls": tally.calls,
        "errors": sum(tally.errors.values()),
        "seconds": round(taken, 2),
        "calls_per_second": round(tally.calls / taken),
        "cpu_seconds": [round(end - start, 2) for start, end in zip(before, after, strict=True)],
    }


def main() -> int:
    """Measure one process, and two behind each balancer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("balancers", nargs="*", metavar="nginx|haproxy", help="which (default both)")
    parser.add_argument("--worlds", type=int, default=16)
    parser.add_argument("--agents", type=int, default=20, help="missions in each world (default 20)")
    asked = parser.parse_args()
    unknown = set(asked.balancers) - CONFIGURATIONS.keys()
    if unknown:
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(CONFIGURATIONS)}")
    failed = False
    with emulators(1) as ready:
        names = make_worlds(ready[0]["base_url"], asked.worlds)
        found = drive(ready[0]["base_url"], names, asked.agents, ready)
        failed |= found["errors"] > 0
        print("one process:        ", json.dumps(found), flush=True)
    for kind in asked.balancers or CONFIGURATIONS:
        with tempfile.TemporaryDirectory() as folder, emulators() as ready:
            ports = [int(one["base_url"].rpartition(":")[2]) for one in ready]
            with balanced(kind, ports, Path(folder)) as url:
                names = make_worlds(url, asked.worlds)
                held = [[name for name in worlds_of(one) if name != "default"] for one in ready]
                found = drive(url, names, asked.agents, ready)
                failed |= found["errors"] > 0 or sorted(held[0] + held[1]) != names
                print(f"two behind {kind + ':':<9}", json.dumps(found), flush=True)
                print(f"  worlds: {len(held[0])} in the first process, {len(held[1])} in the second", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
