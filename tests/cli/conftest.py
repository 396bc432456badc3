"""The command line as users meet it: the installed `stack-emu` in processes of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = ROOT / "scenarios"
PROGRAM = str(Path(sys.executable).with_name("stack-emu"))
TIMEOUT_S = 60

WORLD = """\
stack_emu: 1
name: shop
seed: 3
operator: {id: op_shop, keys: [{key: sk_live_emu_shop}]}
agents: [{id: agent_clerk, name: clerk, accountability_mode: logged}]
services:
  - id: scon_orders
    provider: orders
    scopes: [read]
    grants: [{agent: agent_clerk}]
missions: [{id: ms_day, agent: agent_clerk, intent: Look orders up, services: [orders]}]
passports: [{id: pp_day, agent: agent_clerk, mission: ms_day, env: SHOP_PASSPORT}]
upstreams:
  orders:
    hosts: [orders.example.com]
    routes:
      - when: {method: GET, path: "/orders/{id}"}
        reply: {json: {id: "{{ request.params.id }}", state: open}, delay: 100ms}
model:
  - when: {user: hello}
    turns: [{say: Hello to you.}]
"""

ORDER_LOOKED_UP = """
import os, sys
from getstack import Stack
stack = Stack(api_key=os.environ["STACK_API_KEY"])
reply = stack.proxy.get("orders", "https://orders.example.com/orders/7", passport_token=os.environ["SHOP_PASSPORT"])
print(reply.body["state"])
"""


def plain_environment(**changes: str) -> dict[str, str]:
    """This process's environment without what would already lead a client somewhere."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(("STACK_", "ANTHROPIC_")) and "PROXY" not in name.upper()
    }
    return {**kept, **changes}


@dataclass(frozen=True)
class Ran:
    """A command that ended."""

    code: int
    out: str
    err: str


Cli = Callable[..., Ran]


@pytest.fixture
def cli() -> Cli:
    """Run `stack-emu` to its end: `cli("check", path, env=…, stdin=…, cwd=…)`."""

    def run(*arguments: str | Path, env: dict[str, str] | None = None, stdin: str = "", cwd: Path = ROOT) -> Ran:
        done = subprocess.run(
            [PROGRAM, *map(str, arguments)],
            env=plain_environment(**(env or {})),
            input=stdin,
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Ran(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `stack-emu` and leave it running; it leads a process group of its own."""
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str | Path, program: list[str] | None = None) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*(program or [PROGRAM]), *map(str, arguments)],
            env=plain_environment(),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=10)


@dataclass
class Up:
    """A running `stack-emu up --json`."""

    process: subprocess.Popen[str]
    ready: dict[str, Any]

    @property
    def base_url(self) -> str:
        return str(self.ready["base_url"])

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        """Send a signal and wait for the end: exit code, further output, errors."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out, err


@pytest.fixture
def up(start: Callable[..., subprocess.Popen[str]]) -> Callable[..., Up]:
    """Run `stack-emu up --json` on a free port and wait for its line."""

    def begin(*arguments: str | Path) -> Up:
        process = start("up", *arguments, "--port", "0", "--json")
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            pytest.fail(process.communicate(timeout=10)[1])
        return Up(process, json.loads(line))

    return begin


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A scenario file."""
    file = tmp_path / "shop.yaml"
    file.write_text(WORLD)
    return file


@pytest.fixture
def curl() -> str:
    """The curl program."""
    found = shutil.which("curl")
    if found is None:
        pytest.skip("no curl on PATH")
    return found
