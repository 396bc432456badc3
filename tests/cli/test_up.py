"""`stack-emu up`: ready when it says so, gone when it is told to go."""

from __future__ import annotations

import json
import re
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import anthropic
import getstack
import httpx
import pytest

from tests.cli.conftest import SCENARIOS, Cli, Up

StartUp = Callable[..., Up]
KEYS = [
    "base_url",
    "mcp_url",
    "anthropic_base_url",
    "openai_base_url",
    "gateway_url",
    "ca_file",
    "ui_url",
    "api_key",
    "pid",
]
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}


def test_the_ready_line_has_exactly_the_documented_keys(up: StartUp, shop: Path) -> None:
    running = up(shop)
    assert list(running.ready) == KEYS
    assert running.ready["pid"] == running.process.pid
    assert running.ready["ui_url"] is None
    assert running.ready["api_key"] == "sk_live_emu_shop"
    assert Path(running.ready["ca_file"]).read_text().startswith("-----BEGIN")


def test_everything_answers_from_the_ready_line_on(up: StartUp, shop: Path) -> None:
    ready = up(shop).ready
    with getstack.Stack(base_url=ready["base_url"], api_key=ready["api_key"]) as stack:
        assert [agent.id for agent in stack.agents.list()] == ["agent_clerk"]
    with anthropic.Anthropic(base_url=ready["anthropic_base_url"], api_key="any") as claude:
        said = claude.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "hello"}])
    assert said.content[0].text == "Hello to you."
    assert httpx.post(ready["mcp_url"], json=INITIALIZE, trust_env=False).status_code == 401
    trusted = ssl.create_default_context(cafile=ready["ca_file"])
    with httpx.Client(proxy=ready["gateway_url"], verify=trusted, trust_env=False) as client:
        assert client.get("https://api.getstack.run/").json()["scenario"] == "shop"


def test_without_json_it_tells_people_what_to_do_next(start: Callable[..., subprocess.Popen[str]], shop: Path) -> None:
    process = start("up", shop, "--port", "0")
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(9)]
    text = "".join(lines)
    assert lines[0] == "stack-emu serves shop; independent of STACK.\n"
    base_url = re.search(r"STACK REST +(http://127\.0\.0\.1:\d+)\n", text)
    assert base_url
    assert "sk_live_emu_shop" in text
    assert lines[-1] == f'In another shell: eval "$(stack-emu env --url {base_url[1]})". Ctrl-C stops.\n'


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_ends_it_soon_with_a_stream_open_and_the_audit_log_written(
    up: StartUp, shop: Path, tmp_path: Path, number: int
) -> None:
    audit = tmp_path / "audit.jsonl"
    running = up(shop, "--audit", audit)
    headers = {"Authorization": f"Bearer {running.ready['api_key']}", "Accept": "application/json, text/event-stream"}
    with httpx.Client(headers=headers, trust_env=False) as client:
        opened = client.post(running.ready["mcp_url"], json=INITIALIZE)
        headers["Mcp-Session-Id"] = opened.headers["mcp-session-id"]
        client.post(f"{running.base_url}/v1/agents/register", json={"name": "late"}).raise_for_status()
        with client.stream("GET", running.ready["mcp_url"], headers=headers) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            asked = time.monotonic()
            code, out, err = running.end(number)
            took = time.monotonic() - asked
    assert (code, out, err) == (0, "", "")
    assert took < 5, "a second on an idle machine"
    assert b'"agent.register"' in audit.read_bytes()
    assert not Path(running.ready["ca_file"]).exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(running.base_url.rpartition(":")[2])), timeout=5)


def test_the_audit_log_it_leaves_verifies(up: StartUp, shop: Path, cli: Cli, tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"
    running = up(shop, "--audit", audit)
    with getstack.Stack(base_url=running.base_url, api_key=running.ready["api_key"]) as stack:
        stack.passports.revoke_agent("agent_clerk")
    running.end()
    assert cli("audit", "verify", audit).code == 0


def test_a_seed_decides_the_ids(up: StartUp, shop: Path) -> None:
    def registered(*arguments: str) -> str:
        running = up(shop, *arguments)
        with getstack.Stack(base_url=running.base_url, api_key=running.ready["api_key"]) as stack:
            return str(stack.agents.register("new").id)

    assert registered("--seed", "8") == registered("--seed", "8") != registered()


def test_a_port_in_use_is_named(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = cli("up", "--port", str(port))
    assert ran.code == 2
    assert ran.err == (
        f"stack-emu: port {port} is in use; stop what listens there or choose another with --port (0 picks a free one)\n"
    )


@pytest.mark.parametrize("port", ["70000", "-1", "http"])
def test_a_port_that_is_none_is_refused(cli: Cli, port: str) -> None:
    ran = cli("up", f"--port={port}")
    assert ran.code == 2
    assert f"{port} is not a port; choose 1 to 65535, or 0 for a free one" in ran.err


def test_an_address_of_another_machine_cannot_be_bound(cli: Cli) -> None:
    ran = cli("up", "--host", "203.0.113.9", "--port", "0")
    assert ran.code == 2
    assert ran.err.startswith("stack-emu: 203.0.113.9:0 cannot be bound: ")
    assert "--host 127.0.0.1" in ran.err


def test_a_scenario_that_is_not_there_is_named(cli: Cli) -> None:
    ran = cli("up", "scenarios/nothing")
    assert ran.code == 2
    assert ran.err == (
        "stack-emu: there is no scenario at scenarios/nothing; give a file or a folder with scenario.yaml in it\n"
    )


def test_a_scenario_with_mistakes_does_not_start(cli: Cli, shop: Path) -> None:
    shop.write_text("stack_emu: 1\nagnets: []\ntimeline: [{at: +1m, operation: passports.revoke_agnt}]\n")
    ran = cli("up", shop, "--port", "0")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.splitlines() == [
        f"{shop}:2:1: unknown key agnets; did you mean agents?",
        (
            f"{shop}:3:33: timeline[0].operation: there is no operation passports.revoke_agnt; "
            "did you mean passports.revoke_agent?"
        ),
    ]


def test_what_a_scenario_says_without_effect_is_told_at_the_start(up: StartUp, shop: Path) -> None:
    shop.write_text("stack_emu: 1\napprovals: [{when: {operation: audit.export}, decide: approve}]\n")
    _, _, err = up(shop).end()
    assert "warning: approvals[0].when.operation: audit.export asks nobody for approval" in err


def test_an_audit_file_that_could_not_be_written_is_refused_before_the_start(cli: Cli, tmp_path: Path) -> None:
    ran = cli("up", "--audit", tmp_path / "none" / "audit.jsonl", "--port", "0")
    assert ran.code == 2
    assert ran.err == (
        f"stack-emu: {tmp_path}/none/audit.jsonl cannot be written: there is no folder {tmp_path}/none; make it first\n"
    )


def _own_address() -> str:
    """An address of this machine that is not loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))  # sends nothing
        except OSError:
            pytest.skip("this machine has no address but loopback, so no peer from beyond can be had")
        return str(probe.getsockname()[0])


def test_beyond_this_machine_it_serves_with_a_warning_and_keeps_its_controls_to_itself(up: StartUp) -> None:
    address = _own_address()
    running = up(SCENARIOS / "deploy-bot", "--host", "0.0.0.0", "--host-name", "stack.test")
    assert running.base_url.startswith("http://127.0.0.1:")
    assert "@127.0.0.1:" in running.ready["gateway_url"]
    there = running.base_url.replace("127.0.0.1", address)
    with httpx.Client(trust_env=False) as client:
        named = {"Host": "stack.test"}
        assert client.get(f"{there}/", headers=named).json()["scenario"] == "deploy-bot"
        assert client.get(f"{there}/", headers={"Host": "evil.test"}).status_code == 421
        refused = client.get(f"{there}/_emu/journal", headers=named)
        assert client.get(f"{running.base_url}/_emu/health").json()["status"] == "ok"
    assert refused.status_code == 403
    assert refused.json()["error"]["message"] == f"The control API answers loopback peers only, not {address}."
    _, _, err = running.end()
    assert "listening on 0.0.0.0, beyond this machine, because --host asked for it" in err


def test_help_names_every_command_and_no_command_is_bad_usage(cli: Cli) -> None:
    ran = cli()
    assert ran.code == 2
    for command in ("up", "exec", "check", "schema", "env", "demo", "audit", "coverage"):
        assert re.search(rf"^ +{command} ", ran.out, re.MULTILINE)
        assert cli(command, "--help").code == 0
    assert re.fullmatch(r"stack-emu \d+\.\d+\.\d+\n", cli("--version").out)
    unknown = cli("serve")
    assert unknown.code == 2
    assert "invalid choice: 'serve'" in unknown.err


def test_the_index_says_what_is_running(up: StartUp, shop: Path) -> None:
    index = json.loads(httpx.get(up(shop).base_url, trust_env=False).text)
    assert index["name"] == "stack-emu"
    assert index["scenario"] == "shop"
    assert "not affiliated" in index["about"]
