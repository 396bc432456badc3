"""Emulators that keep their worlds in a file, and that are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import getstack
import pytest

KEY = "sk_live_emu_kept"
SLACK = "https://slack.com/api"
SCENARIO = f"""
stack_emu: 1
name: kept
seed: 5
operator: {{id: op_kept, keys: [{{key: {KEY}}}]}}
agents: [{{id: agt_one, name: one-bot, accountability_mode: logged}}]
services:
  - id: scon_slack
    provider: slack
    credential: canary
    upstream: slack
    scopes: [chat:write, channels:read, channels:history]
    grants: [{{agent: agt_one, scopes: [chat:write, channels:history]}}]
  - {{id: scon_slow, provider: slow, credential: canary, upstream: slow, grants: [{{agent: agt_one}}]}}
upstreams:
  slack: {{hosts: [slack.com], pack: slack, seed: {{channels: [{{id: C0ENGINEER, name: engineering}}]}}}}
  slow: {{hosts: [slow.test], routes: [{{when: {{path: /slow}}, reply: {{json: {{ok: true}}, delay: 20s}}}}]}}
missions: [{{id: ms_one, agent: agt_one, intent: Announce, services: [slack, slow], expires: 24h}}]
passports: [{{id: pp_one, agent: agt_one, mission: ms_one, ttl: 1h, env: PASSPORT}}]
"""


@dataclass
class Running:
    """An emulator in a process of its own."""

    zygote: Zygote
    pid: int
    stdout: Path
    stderr: Path
    ready: dict[str, Any] = field(default_factory=dict)

    @property
    def base_url(self) -> str:
        """Where it answers."""
        return str(self.ready["base_url"])

    def stack(self, key: str = KEY, world: str = "") -> getstack.Stack:
        """A client of it."""
        return getstack.Stack(base_url=self.base_url + world, api_key=key)

    def end(self, number: int = signal.SIGKILL) -> int:
        """Send a signal and return the exit code."""
        os.kill(self.pid, number)
        return self.wait()

    def wait(self) -> int:
        """Wait for its end; the exit code, or minus the signal's number."""
        self.zygote.running.pop(self.pid, None)
        return int(self.zygote.ask({"wait": self.pid})["status"])

    def told(self) -> str:
        """What it said on stderr."""
        return self.stderr.read_text()


class Zygote:
    """The process that starts emulators."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        self.running: dict[int, Running] = {}
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("zygote.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, order: dict[str, Any]) -> dict[str, Any]:
        """Give an order and return its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(order), file=self._process.stdin, flush=True)
        return dict(json.loads(self._process.stdout.readline()))

    def spawn(self, *arguments: object, obeys_modes: bool = False, file_limit: int | None = None) -> Running:
        """Start `stack-emu` with arguments, without waiting for anything."""
        self._count += 1
        out, err = (self._folder / f"{self._count}.{name}" for name in ("out", "err"))
        for file in (out, err):
            file.touch(mode=0o666)
            file.chmod(0o666)
        order = {"arguments": [str(one) for one in arguments], "stdout": str(out), "stderr": str(err)}
        started = Running(
            self, self.ask({**order, "obeys_modes": obeys_modes, "file_limit": file_limit})["pid"], out, err
        )
        self.running[started.pid] = started
        return started

    def up(self, *arguments: object, **options: Any) -> Running:
        """Start `stack-emu up` and wait until it is ready."""
        running = self.spawn("up", *arguments, "--port", "0", "--json", **options)
        until = time.monotonic() + 60
        while not (line := running.stdout.read_text()).endswith("\n"):
            assert time.monotonic() < until, f"it does not start: {running.told()}"
            assert not _ended(running.pid), f"it ended: {running.told()}"
            time.sleep(0.005)
        running.ready = json.loads(line)
        return running

    def close(self) -> None:
        """End everything."""
        for running in list(self.running.values()):
            running.end()
        self._process.communicate()


def _ended(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.fixture(scope="module")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    """Starts emulators, and ends what a module left running."""
    folder = tmp_path_factory.mktemp("zygote")
    folder.chmod(0o777)
    made = Zygote(folder)
    yield made
    made.close()


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    """A scenario in a file."""
    file = tmp_path / "kept.yaml"
    file.write_text(SCENARIO)
    return file


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Where the state goes."""
    return tmp_path / "world.db"
