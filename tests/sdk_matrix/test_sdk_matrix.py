"""Every method of the published SDK versions at which the wire changed, sync and async, against one emulator.

``make sdk-matrix`` runs all thirty. Each version is installed in a virtual environment of its own, and its calls run in a
process of it: what it sends is what its users send.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stack_emu.surfaces.host_gateway import HostGateway
from tests import evidence
from tests.sdk_matrix.environments import ALL, BREAKING, python_of
from tests.sdk_matrix.recorded import recording
from tests.witness import unproven, watching

HERE = Path(__file__).resolve().parent
KEY = "sk_live_emu_play"
NO_ASYNC = {"0.1.0", "0.2.0", "0.3.0", "0.4.0", "0.5.0", "0.5.1"}
"""Their AsyncStack has a transport and no services."""
NO_SYNC = {"0.10.0"}
"""Its Stack cannot be constructed: the release lacks an import."""


def number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def versions() -> tuple[str, ...]:
    asked = os.environ.get("SDK_VERSIONS", "")
    return ALL if asked == "all" else tuple(asked.split()) or BREAKING


def cases() -> list[tuple[str, str]]:
    pairs = [(version, kind) for version in versions() for kind in ("sync", "async")]
    return [
        (version, kind)
        for version, kind in pairs
        if not (kind == "async" and version in NO_ASYNC) and not (kind == "sync" and version in NO_SYNC)
    ]


@pytest.fixture
def sink() -> Iterator[str]:
    """A loopback server that takes webhooks."""
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Taking(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Taking)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook"
    server.shutdown()
    server.server_close()
    thread.join(5)


def declined() -> list[str]:
    """SDK services, and methods of others, that docs/fidelity.md says are not served."""
    text = (HERE.parents[1] / "docs" / "fidelity.md").read_text("utf-8")
    section = text[text.index("## What is not served") : text.index("## The Messages API")]
    return re.findall(r"`(\w+(?:\.\w+)?)`(?= \||,| and|;)", section)


def drive(served: Any, version: str, kind: str, sink: str, home: Path, gateway: str = "") -> dict[str, Any]:
    base = served.base_url
    config = {
        "base_url": base,
        "root_url": base,
        "control": "",
        "api_key": KEY,
        "kind": kind,
        "version": version,
        "binds": number(version) >= (3, 0, 0),
        "operator_start": number(version) >= (3, 0, 0),
        "tenant_tier": (0, 10, 0) <= number(version) < (2, 0, 0),
        "sweeps": number(version) >= (4, 0, 0),
        "sink": sink,
        "gateway": gateway,
        "declined": declined(),
    }
    environment = {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "CI": "true",
        "STACK_AUTH_INTERACTIVE": "false",
        "NO_PROXY": "127.0.0.1,localhost",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        [str(python_of(version)), str(HERE / "drive.py"), json.dumps(config)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize(("version", "kind"), cases(), ids=lambda value: str(value))
def test_every_method_of_a_version_does_what_it_says(
    serve: Any, sink: str, tmp_path: Path, version: str, kind: str
) -> None:
    text = (HERE / "world.yaml").read_text("utf-8")
    if number(version) < (3, 0, 0):
        text += "compat: docs-2026-05\n"
    served = serve(text)
    outcome = drive(served, version, kind, sink, tmp_path)
    assert outcome["failed"] == {}
    assert outcome["unknown"] == []
    assert len(outcome["driven"]) >= 30
    assert served.world.audit.rows("op_play")
    with urllib.request.urlopen(f"{served.base_url}/_emu/health", timeout=10) as health:
        assert health.status == 200


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_what_the_newest_sdk_does_is_seen_by_a_second_operation(
    serve: Any, sink: str, tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    """Every call of SDK 4.0.0 has an effect that a later call sees, or shows the effect of an earlier one."""
    served = serve((HERE / "world.yaml").read_text("utf-8"))
    gateway = HostGateway(served.server)
    asyncio.run_coroutine_threadsafe(gateway.start(), served.loop).result(10)
    client = f"sdk-{kind}"
    agents = ("python-httpx/", "Python-urllib/")  # the SDK's own; what others do calls itself ``play``

    def name_client(entry: Any) -> str | None:
        return client if (entry.client or "").startswith(agents) else None

    try:
        with watching(served.world, name_client) as witness, recording(served, agents) as recorder:
            outcome = drive(served, "4.0.0", kind, sink, tmp_path, gateway.url())
    finally:
        asyncio.run_coroutine_threadsafe(gateway.stop(), served.loop).result(10)
    assert outcome["failed"] == {}
    assert recorder.missing() == []
    assert unproven(witness, client) == []
    evidence.hold(client, witness.proofs(client), request.config)


def test_the_play_knows_every_method_that_is_served() -> None:
    """The newest SDK's own list of methods is in the play, but for what docs/fidelity.md declines by name."""
    sys.path.insert(0, str(HERE))
    try:
        import play

        known = {step.label for step in play.steps()}
    finally:
        sys.path.remove(str(HERE))
    from getstack import Stack

    from tests.evidence import services_of

    client = Stack(api_key="sk_live_x")
    methods = {
        f"{service}.{name}"
        for service, value in services_of(client, "")
        for name in vars(type(value))
        if not name.startswith("_") and callable(getattr(type(value), name))
    }
    client.close()
    missing = {label for label in methods - known if not {label, label.partition(".")[0]} & set(declined())}
    assert missing == set()
