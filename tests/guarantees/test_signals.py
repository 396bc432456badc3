"""Ending: Ctrl-C and SIGTERM end a server in a moment, whatever streams are open, and the audit file is whole."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stack_emu.domain.canonical_audit import parse, verify
from tests.guarantees.raw_http import Wire
from tests.guarantees.wire import ACCEPT, HELLO

KEY = "sk_live_emu_ending"
AT_MOST_SECONDS = 5.0
"""Generous for a busy machine; it is under a second on an idle one."""

JSON = "application/json"
SCENARIO = f"""
stack_emu: 1
name: ending
seed: 5
operator: {{keys: [{{key: {KEY}}}]}}
agents: [{{id: agt_one, name: one-bot, accountability_mode: logged}}]
services: [{{id: scon_slack, provider: slack, credential: canary, upstream: slack}}]
upstreams: {{slack: {{hosts: [slack.com], pack: slack}}}}
faults: [{{on: {{upstream: slack}}, inject: {{delay: 20s}}}}]
model:
  - when: {{user: post it}}
    turns:
      - say: Posting it.
        call:
          tool: stack_proxy_request
          input: {{service: slack, method: POST, url: "https://slack.com/api/chat.postMessage", body: {{channel: x}}}}
      - say: Done
"""


@dataclass
class Up:
    """A running ``stack-emu up``."""

    process: subprocess.Popen[str]
    ready: dict[str, Any]
    audit: Path

    @property
    def base_url(self) -> str:
        return str(self.ready["base_url"])

    def end(self, number: signal.Signals) -> float:
        """Send a signal; returns how many seconds it took the process to end."""
        started = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(AT_MOST_SECONDS * 2)
        return time.monotonic() - started


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "stack_emu.cli.main", *arguments]


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Callable[[], Up]]:
    running: list[subprocess.Popen[str]] = []

    def start() -> Up:
        scenario, audit = tmp_path / "scenario.yaml", tmp_path / "audit.jsonl"
        scenario.write_text(SCENARIO, encoding="utf-8")
        process = subprocess.Popen(
            command("up", str(scenario), "--port", "0", "--json", "--audit", str(audit)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        assert process.stdout is not None
        return Up(process, json.loads(process.stdout.readline()), audit)

    yield start
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


def register(wire: Wire, name: str) -> None:
    body = json.dumps({"name": name}).encode()
    assert wire.ask("POST", "/v1/agents/register", body, bearer=KEY, Content_Type=JSON).status == 201


def idle_connection(now: Up) -> Wire:
    """A kept connection on which nothing happens."""
    return Wire(now.base_url)


def mcp_stream(now: Up) -> Wire:
    """The stream on which an MCP client waits for what the server has to say."""
    wire = Wire(now.base_url)
    headers = {"bearer": KEY, "Accept": ACCEPT, "Content_Type": JSON}
    hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HELLO}
    opened = wire.ask("POST", "/mcp", json.dumps(hello).encode(), **headers)
    headers["Mcp_Session_Id"] = opened.headers["mcp-session-id"]
    note = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    wire.ask("POST", "/mcp", json.dumps(note).encode(), **headers)
    headers["Accept"] = "text/event-stream"
    wire.send(wire.request("GET", "/mcp", **headers))
    assert b"text/event-stream" in wire.socket.recv(4096)
    return wire


def message_stream(now: Up) -> Wire:
    """A streamed message whose connector waits for an upstream that takes twenty seconds."""
    wire = Wire(now.base_url)
    asked = {
        "model": "claude-sonnet-4-5",
        "max_tokens": 100,
        "stream": True,
        "messages": [{"role": "user", "content": "post it"}],
        "mcp_servers": [{"type": "url", "name": "stack", "url": now.ready["mcp_url"], "authorization_token": KEY}],
        "tools": [{"type": "mcp_toolset", "mcp_server_name": "stack"}],
    }
    headers = {"anthropic_version": "2023-06-01", "anthropic_beta": "mcp-client-2025-11-20", "x_api_key": "sk-ant-emu"}
    wire.send(wire.request("POST", "/anthropic/v1/messages", json.dumps(asked).encode(), Content_Type=JSON, **headers))
    read = b""
    while b"message_start" not in read:
        more = wire.socket.recv(4096)
        assert more, read
        read += more
    assert b"text/event-stream" in read, read
    return wire


def waiting_proxy_call(now: Up) -> Wire:
    """A proxied call whose upstream takes twenty seconds."""
    wire = Wire(now.base_url)
    body = {
        "service": "slack",
        "method": "POST",
        "url": "https://slack.com/api/chat.postMessage",
        "body": {"channel": "x"},
    }
    wire.send(wire.request("POST", "/v1/proxy", json.dumps(body).encode(), bearer=KEY, Content_Type=JSON))
    return wire


def tunnel(now: Up) -> Wire:
    """A tunnel through the gateway, opened and left as it is."""
    proxy = now.ready["gateway_url"]
    wire = Wire(f"http://{proxy.rpartition('@')[2]}")
    import base64

    user = base64.b64encode(proxy.partition("://")[2].rpartition("@")[0].encode()).decode()
    head = (
        f"CONNECT api.getstack.run:443 HTTP/1.1\r\nHost: api.getstack.run:443\r\nProxy-Authorization: Basic {user}\r\n"
    )
    wire.send(head.encode() + b"\r\n")
    assert b" 200 " in wire.socket.recv(4096)
    return wire


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_ends_up_in_a_moment_whatever_is_open_and_the_audit_file_is_whole(
    up: Callable[[], Up], number: signal.Signals
) -> None:
    now = up()
    with Wire(now.base_url) as wire, ExitStack() as streams:
        register(wire, "before")
        for open_stream in (mcp_stream, message_stream, waiting_proxy_call, tunnel, idle_connection):
            streams.enter_context(open_stream(now))
        register(wire, "after")
        took = now.end(number)
    _, errors = now.process.communicate()
    assert now.process.returncode == 0, errors
    assert took < AT_MOST_SECONDS
    assert "Traceback" not in errors, errors
    assert "never retrieved" not in errors, errors
    log = now.audit.read_bytes()
    assert verify(log) == []
    assert [row["name"] for row in parse(log).rows if row["action"] == "agent.register"] in (
        ["before", "after"],
        ["after", "before"],
    )
    assert not list(now.audit.parent.glob("*.partial"))


def test_a_second_ctrl_c_does_not_harm_the_audit_file(up: Callable[[], Up]) -> None:
    now = up()
    with Wire(now.base_url) as wire, mcp_stream(now):
        register(wire, "only")
        now.process.send_signal(signal.SIGINT)
        now.process.send_signal(signal.SIGINT)
        now.process.wait(AT_MOST_SECONDS * 2)
    assert verify(now.audit.read_bytes()) == []
    assert "Traceback" not in now.process.communicate()[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_exec_that_is_ended_ends_its_command_and_writes_the_audit_file(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C reaches the whole group, SIGTERM the emulator alone, which passes it on."""
    scenario, audit, flag = tmp_path / "scenario.yaml", tmp_path / "audit.jsonl", tmp_path / "started"
    scenario.write_text(SCENARIO.partition("faults:")[0], encoding="utf-8")
    program = (
        "import os, pathlib, signal, time, urllib.request\n"
        "signal.signal(signal.SIGINT, signal.SIG_DFL)\n"
        "request = urllib.request.Request(os.environ['STACK_BASE_URL'] + '/v1/agents/register', b'{\"name\": \"run\"}',\n"
        "    {'Authorization': 'Bearer ' + os.environ['STACK_API_KEY'], 'Content-Type': 'application/json'})\n"
        "urllib.request.urlopen(request).read()\n"
        f"pathlib.Path({str(flag)!r}).touch()\n"
        "time.sleep(60)\n"
    )
    process = subprocess.Popen(
        command("exec", str(scenario), "--audit", str(audit), "--", sys.executable, "-c", program),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        end = time.monotonic() + 20
        while not flag.exists():
            assert time.monotonic() < end, "the command never started"
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        started = time.monotonic()
        if number == signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        _, errors = process.communicate(timeout=AT_MOST_SECONDS * 2)
        took = time.monotonic() - started
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    assert process.returncode == 128 + number, errors
    assert took < AT_MOST_SECONDS
    assert "Traceback" not in errors, errors
    assert verify(audit.read_bytes()) == []
    assert [row["name"] for row in parse(audit.read_bytes()).rows] == ["run"]


# --- bad usage -------------------------------------------------------------------------------------------------------


def refused(*arguments: str) -> str:
    """The one sentence a command that cannot be carried out answers with, on stderr, its code being 2."""
    done = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2, done
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_a_port_in_use_is_named_with_a_way_out() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        sentence = refused("up", "--port", port)
    assert sentence == (
        f"stack-emu: port {port} is in use; stop what listens there or choose another with --port (0 picks a free one)"
    )


@pytest.mark.parametrize("way", [("up",), ("exec",)])
def test_a_missing_scenario_is_named(tmp_path: Path, way: tuple[str]) -> None:
    missing = str(tmp_path / "no-such.yaml")
    tail = ("--", "true") if way == ("exec",) else ("--port", "0")
    sentence = refused(*way, missing, *tail)
    assert missing in sentence
    assert "scenario.yaml" in sentence


@pytest.mark.parametrize("way", ["up", "exec", "check"])
def test_a_wrong_key_is_named_with_its_place_and_the_nearest_one(tmp_path: Path, way: str) -> None:
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text("stack_emu: 1\nagents:\n  - {name: one-bot, acountability_mode: logged}\n", encoding="utf-8")
    tail = {"exec": ("--", "true"), "up": ("--port", "0"), "check": ()}[way]
    done = subprocess.run(command(way, str(scenario), *tail), capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    told = (done.stdout + done.stderr).strip()
    assert f"{scenario}:3:" in told
    assert "acountability_mode" in told
    assert "accountability_mode" in told.replace("acountability_mode", "")
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("up", "--host", "192.0.2.1", "--port", "0"), "192.0.2.1"),
        (("up", "--port", "0", "--audit", "/no/such/folder/audit.jsonl"), "/no/such/folder"),
        (("exec",), "exec needs a command"),
        (("exec", "--audit", "/no/such/folder/audit.jsonl", "--", "true"), "/no/such/folder"),
    ],
)
def test_whatever_else_cannot_be_is_said_in_one_sentence(arguments: tuple[str, ...], word: str) -> None:
    assert word in refused(*arguments)


def test_a_scenario_that_is_no_text_is_said_to_be_none(tmp_path: Path) -> None:
    scenario = tmp_path / "scenario.yaml"
    scenario.write_bytes(b"\xff\xfe\x00")
    done = subprocess.run(command("up", str(scenario), "--port", "0"), capture_output=True, timeout=30, check=False)
    assert done.returncode == 2
    assert str(scenario).encode() in done.stderr
    assert b"Traceback" not in done.stderr


def test_env_without_a_running_emulator_says_how_to_start_one() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        sentence = refused("env", "--url", url)
    assert url in sentence
    assert "stack-emu up" in sentence


def test_exec_says_which_command_is_not_there() -> None:
    done = subprocess.run(
        command("exec", "--", "no-such-command-at-all"), capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 127
    assert "no-such-command-at-all" in done.stderr
