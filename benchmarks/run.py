"""Every figure of the design that exists, with its target: ``python benchmarks/run.py [PART …]``."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from measuring import HERE, Load, emulator, floor, load, median_ms, post, resident_mb, running
from model import model

KEY = "sk_live_emu_operator"
SCENARIO = HERE / "load.yaml"
REPORT: list[tuple[str, str, str]] = []


def report(what: str, seen: str, target: str) -> None:
    REPORT.append((what, seen, target))
    print(f"{what:<58} {seen:<44} {target}", flush=True)


def startup() -> None:
    def until_answer(command: list[str], path: str) -> float:
        started = time.perf_counter()
        with running(command) as ready:
            post(ready["base_url"] + path, {"name": "first"}, {"Authorization": f"Bearer {KEY}"})
            return (time.perf_counter() - started) * 1000

    ours = [sys.executable, "-m", "stack_emu.cli.main", "up", "--port", "0", "--json"]
    until_answer(ours, "/v1/agents/register")  # the first run compiles
    bare = [sys.executable, str(HERE / "floor.py")]
    a = statistics.median(until_answer(ours, "/v1/agents/register") for _ in range(7))
    b = statistics.median(until_answer(bare, "/") for _ in range(7))
    report("up → first 201 / bare aiohttp → first answer", f"{a:.0f} ms / {b:.0f} ms = {a / b:.2f} ×", "≤ 1.9 ×")
    with emulator(SCENARIO) as ready:
        before = resident_mb(ready["process_id"])
        time.sleep(3)
        after = resident_mb(ready["process_id"])
    report("idle memory when ready / with mcp loaded", f"{before:.0f} MB / {after:.0f} MB", "≤ 60 MB / ≤ 95 MB")


def passport(base_url: str) -> dict[str, Any]:
    body = {"agent": "load", "mission": "ms_load", "services": ["echo"], "ttl": "1h"}
    return dict(post(f"{base_url}/_emu/passports", body))


def rest() -> None:
    echo_body = {"services_used": ["echo"], "actions_count": 1}
    with floor() as bare:
        floor1, floor16 = (load(bare["base_url"], echo_body, {}, count) for count in (1, 16))
    with emulator(SCENARIO) as ready:
        time.sleep(2)
        minted = passport(ready["base_url"])
        headers = {"Authorization": f"Bearer {minted['token']}"}
        url = f"{ready['base_url']}/v1/passports/{minted['jti']}/checkpoint"
        one, sixteen = (load(url, echo_body, headers, count) for count in (1, 16))
        call = {"service": "echo", "url": "https://echo.example.com/x", "method": "GET"}
        proxied = load(f"{ready['base_url']}/v1/proxy", call, headers, 1)
    ratio = one.p50 / floor1.p50
    report("REST, signed caller + state + row: p50", f"{one.p50:.2f} / {floor1.p50:.2f} ms = {ratio:.2f} ×", "≤ 1.7 ×")
    share = sixteen.per_second / floor16.per_second
    seen = f"{sixteen.per_second:.0f} / {floor16.per_second:.0f} a second = {share:.2f} ×"
    report("  throughput at 16 clients", seen, "≥ 0.7 ×")
    ratio = proxied.p50 / floor1.p50
    report(
        "proxied call, in-process upstream: p50", f"{proxied.p50:.2f} / {floor1.p50:.2f} ms = {ratio:.2f} ×", "≤ 3 ×"
    )


def mcp() -> None:
    from stack_emu.domain.families import registry
    from stack_emu.surfaces.mcp_tools import tool_definitions

    definitions = json.dumps(tool_definitions(registry()), default=str)
    with running([sys.executable, str(HERE / "mcp_peer.py")], definitions) as peer:
        time.sleep(1)
        theirs = mcp_loads(f"{peer['base_url']}/mcp", {})
    with emulator(SCENARIO) as ready:
        time.sleep(3)
        ours = mcp_loads(f"{ready['base_url']}/mcp", {"Authorization": f"Bearer {KEY}"})
    for (method, version), figure in ours.items():
        share = figure.per_second / theirs[method, version].per_second
        seen = f"{figure.per_second:.0f} / {theirs[method, version].per_second:.0f} a second = {share:.2f} ×"
        target = ("≥ 1 ×" if method == "tools/call" else "≥ 4 ×") if version == ERAS[0] else ""
        report(f"MCP {method} at {version} against mcp under uvicorn", seen, target)


ERAS = ("2025-11-25", "2026-07-28")


def mcp_loads(url: str, credential: dict[str, str]) -> dict[tuple[str, str], Load]:
    """Both methods in both protocol eras: with a session, and with what each message says about its client."""
    figures = {}
    meta = {"protocolVersion": ERAS[1], "clientCapabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
    modern = {"_meta": {f"io.modelcontextprotocol/{name}": value for name, value in meta.items()}}
    for method, params in (
        ("tools/call", {"name": "stack_get_agent", "arguments": {"agent_id": "agent_load"}}),
        ("tools/list", {}),
    ):
        for version in ERAS:
            headers = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": version, **credential}
            if version == ERAS[0]:
                headers |= session(url, headers)
                body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            else:
                headers |= {"Mcp-Method": method, **({"Mcp-Name": params["name"]} if params else {})}
                body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, **modern}}
            figures[method, version] = load(url, body, headers, 4)
    return figures


def session(url: str, headers: dict[str, str]) -> dict[str, str]:
    body = {
        "jsonrpc": "2.0",
        "id": 0,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "bench", "version": "1"},
        },
    }
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json", **headers})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as reply:
        found = reply.headers.get("Mcp-Session-Id")
        reply.read()
    return {"Mcp-Session-Id": found} if found else {}


def worlds() -> None:
    from stack_emu.hosting import Hosting
    from stack_emu.scenario.loader import load as load_scenario

    scenario = load_scenario(HERE.parent / "scenarios" / "deploy-bot")
    hosting = Hosting()
    hosted = hosting.create("w", scenario)
    fresh = median_ms(lambda: hosting.create("w", scenario), 200)
    again = median_ms(hosted.reset, 200)
    report("a fresh world / a reset to seed", f"{fresh:.2f} ms / {again:.3f} ms", "≤ 2 ms / ≤ 0.5 ms")


def plugin() -> None:
    with tempfile.TemporaryDirectory() as folder:
        test = Path(folder) / "test_nothing.py"
        test.write_text("def test_nothing():\n    pass\n", encoding="utf-8")
        base = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", str(test)]

        def once(*extra: str) -> None:
            environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
            subprocess.run([*base, *extra], capture_output=True, check=True, cwd=folder, env=environment)

        pairs = [median_ms(once, 1) - median_ms(lambda: once("-p", "no:stack_emu"), 1) for _ in range(12)]
    report("the unused plugin in a pytest run", f"{statistics.median(pairs):.1f} ms", "≤ 15 ms")


def audit() -> None:
    from stack_emu.domain.audit_hash import row_hash
    from stack_emu.kernel.acts import RowDraft
    from stack_emu.kernel.audit import verify_chain
    from stack_emu.kernel.clock import VirtualClock
    from stack_emu.kernel.world import World

    shown = []
    for count in (1_000, 10_000, 100_000, 1_000_000):
        world = World("w", 1, VirtualClock(0), row_hash)
        started = time.perf_counter()
        for number in range(count):
            act = world.begin_act("bench.row", "op", "key:0", {"n": number}, RowDraft("bench.row", "system"))
            with world.transaction(act):
                pass
        appended = (time.perf_counter() - started) / count * 1e6
        rows = world.audit.rows("op")
        started = time.perf_counter()
        assert verify_chain(rows, row_hash) is None
        shown.append(f"{appended:.0f}+{(time.perf_counter() - started) / count * 1e6:.0f}")
    report("audit append+verify, µs a row at 10³…10⁶", "  ".join(shown), "flat")


PARTS: dict[str, Callable[[], None]] = {
    "startup": startup,
    "rest": rest,
    "mcp": mcp,
    "model": lambda: model(report, SCENARIO, KEY),
    "worlds": worlds,
    "plugin": plugin,
    "audit": audit,
}


def main() -> None:
    chosen = sys.argv[1:] or list(PARTS)
    unknown = set(chosen) - set(PARTS)
    if unknown:
        raise SystemExit(f"there is no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    for name in chosen:
        PARTS[name]()


main()
