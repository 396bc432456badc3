"""The canonical journal: its documented vector, what is in it and what is not, and where it comes from."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stack_emu.cli.main import main
from stack_emu.client import EmulatorError, WorldClient
from stack_emu.domain.audit_hash import row_hash
from stack_emu.domain.canonical_audit import diff, parse, verify
from stack_emu.domain.canonical_journal import canonical_journal
from stack_emu.kernel.clock import VirtualClock
from stack_emu.kernel.errors import WorldError
from stack_emu.kernel.world import World
from tests.kernel.test_canonical_log import START, acts, block

ROOT = Path(__file__).resolve().parents[2]


def world() -> World:
    """The acts of the canonical log's vectors, with what came in and went out."""
    of = World("default", 1, VirtualClock(START), row_hash)
    made = acts()
    for act in made:
        of.audit.append(act)
    issue, proxied, refused = (act.name for act in made)
    add = of.journal.add
    add(START, "rest", "GET", "/v1/agents", lane="key:0", route="/v1/agents", operation="agents.list", status=200)
    add(START, "rest", "POST", "/v1/passports/issue", route="/v1/passports/issue", status=201, act=issue)
    add(START, "mcp", "tools/call", "/mcp", route="stack_proxy_request", status=403, code="FORBIDDEN", act=refused)
    add(START, "rest", "POST", "/v1/proxy", route="/v1/proxy", status=200, act=proxied)
    sent = {"route": "/api/chat.postMessage", "operation": "proxy.request", "request": {"upstream": "slack"}}
    add(START, "upstream", "POST", "/api/chat.postMessage", status=200, act=proxied, injected="faults[0]", **sent)
    return of


def test_the_documented_journal_is_the_one_that_is_written() -> None:
    log = canonical_journal(world())
    assert block("canonical journal").encode() == log
    assert verify(log) == []


def test_the_order_of_content_is_that_of_the_log() -> None:
    rows = parse(canonical_journal(world(), "content")).rows
    assert [(row["surface"], row["act"]) for row in rows[1:]] == [("mcp", 0), ("rest", 1), ("upstream", 1)]


def test_a_journal_that_has_dropped_something_is_refused_until_it_is_cleared() -> None:
    of = world()
    for _ in range(10_000):
        of.journal.add(START, "rest", "GET", "/v1/agents")
    with pytest.raises(WorldError, match="dropped its 5 oldest exchanges"):
        canonical_journal(of)
    of.journal.clear()
    assert parse(canonical_journal(of)).rows == []


@pytest.fixture
def shop(serve: Any) -> Any:
    from tests.control.conftest import SHOP

    served = serve(SHOP + "timeline: [{at: +1m, operation: agents.register, input: {name: late}}]\n")
    world = WorldClient.connect(served.base_url)
    yield world
    world.close_clients()
    world.connection.close()


def test_it_has_acts_and_what_they_called_and_no_reads(shop: WorldClient) -> None:
    with shop.stack() as stack:
        stack.agents.list()
        token = shop.description["passports"]["SHOP_PASSPORT"]
        stack.proxy.get("orders", "https://orders.example.com/orders/7", passport_token=token)
        with pytest.raises(Exception, match="no_orders"):
            stack.proxy.get("no_orders", "https://orders.example.com/orders/7", passport_token=token)
        shop.clock.advance("1m")
    log = shop.journal_canonical()
    assert verify(log) == []
    rows = [
        (row["surface"], row["method"], row.get("route"), row["status"], row.get("code"), row.get("at_ms"))
        for row in parse(log).rows
    ]
    assert rows == [
        ("rest", "POST", "/v1/proxy", 200, None, 0),
        ("upstream", "GET", "/orders/{id}", 200, None, None),
        ("rest", "POST", "/v1/proxy", 403, "FORBIDDEN", 0),
        ("timeline", "STEP", None, 200, None, 60_000),
    ]
    assert shop.journal_canonical("content") != log
    with pytest.raises(EmulatorError, match="order must be commit or content, not time"):
        shop.journal_canonical("time")


def test_exec_writes_it_to_a_file_that_is_the_same_on_every_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario = ROOT / "scenarios" / "deploy-bot"
    written = []
    for name in ("one", "two"):
        file = tmp_path / f"{name}.jsonl"
        command = ["exec", str(scenario), "--journal", str(file), "--", sys.executable, str(scenario / "agent.py")]
        done = subprocess.run(
            [sys.executable, "-m", "stack_emu.cli.main", *command],
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        written.append(file.read_bytes())
        assert main(["audit", "verify", str(file)]) == 0
    assert written[0] == written[1]
    assert diff(*written) == ""
    assert {row["surface"] for row in parse(written[0]).rows} >= {"mcp", "upstream"}
    capsys.readouterr()
    assert main(["exec", str(scenario), "--journal", str(tmp_path), "--", "true"]) == 2
    assert "is a folder" in capsys.readouterr().err


def test_the_lines_are_canonical_json(shop: WorldClient) -> None:
    shop.clock.advance("1m")
    for line in shop.journal_canonical().splitlines():
        text = json.dumps(json.loads(line), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert text.encode() == line
