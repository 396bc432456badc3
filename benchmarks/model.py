"""The Messages API: a scripted answer beside aimock's, and what one call through the MCP connector costs on top."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from measuring import HERE, emulator, floor, load

AIMOCK = "@copilotkit/aimock@1.43.0"
HEADERS = {"x-api-key": "bench", "anthropic-version": "2023-06-01"}
CONNECTOR = {"anthropic-beta": "mcp-client-2025-11-20"}
Report = Callable[[str, str, str], None]


def model(report: Report, scenario: str | Path, key: str) -> None:
    """Measure and report; without npm the peer is left out, and said to be."""
    hello = {"model": "claude-opus-5-5", "max_tokens": 100, "messages": [{"role": "user", "content": "hello"}]}
    with floor() as bare:
        lowest = load(f"{bare['base_url']}/v1/messages", hello, HEADERS, 1)
    with aimock() as url:
        theirs = None if url is None else load(f"{url}/v1/messages", hello, HEADERS, 1)
    with emulator(scenario) as ready:
        time.sleep(3)
        url = f"{ready['anthropic_base_url']}/v1/messages"
        plain = load(url, hello, HEADERS, 1)
        server = {"type": "url", "name": "stack", "url": f"{ready['base_url']}/mcp", "authorization_token": key}
        look = {
            **hello,
            "messages": [{"role": "user", "content": "look"}],
            "mcp_servers": [server],
            "tools": [{"type": "mcp_toolset", "mcp_server_name": "stack"}],
        }
        dialled = load(url, look, HEADERS | CONNECTOR, 1)
    ratio = plain.p50 / lowest.p50
    report("Messages, a scripted answer: p50", f"{plain.p50:.2f} / {lowest.p50:.2f} ms = {ratio:.2f} ×", "")
    seen = "npm is not there" if theirs is None else f"{theirs.p50:.2f} ms, {theirs.per_second:.0f} a second"
    report("  the same by aimock (ours a second)", f"{seen} ({plain.per_second:.0f})", "")
    cost = dialled.p50 - plain.p50
    report("  connector: dial, list, one call, a second turn", f"{dialled.p50:.1f} ms, {cost:.1f} ms of it its own", "")


@contextlib.contextmanager
def aimock() -> Iterator[str | None]:
    """A running aimock with one fixture; None where there is no npm to install it."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        yield None
        return
    home = HERE.parent / ".cache" / "aimock"
    home.mkdir(parents=True, exist_ok=True)
    subprocess.run([npm, "install", "--silent", "--no-fund", "--no-audit", AIMOCK], cwd=home, check=True)
    fixture = home / "fixtures.json"
    fixture.write_text('{"fixtures": [{"match": {"userMessage": "hello"}, "response": {"content": "Hello there."}}]}')
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = str(home / "node_modules" / ".bin" / "llmock")
    command = [node, program, "-p", str(port), "-f", str(fixture), "--log-level", "silent"]
    process = subprocess.Popen(command, cwd=home, env=dict(os.environ), stdout=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.1):
                break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(5)
