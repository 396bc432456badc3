"""Google's clients for Node reach the same fakes."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.mcp.node_programs import environment, node, packages
from tests.upstreams.conftest import TOKEN, Service

HERE = Path(__file__).resolve().parent
PROGRAM = HERE / "google.mjs"


def test_mail_and_calendar_from_node(serve: Callable[..., Service], tmp_path: Path) -> None:
    gmail = serve("gmail", seed={"email": "ada@acme.test"})
    calendar = serve("google_calendar", seed={"email": "ada@acme.test", "timeZone": "Europe/Berlin"})
    (tmp_path / "node_modules").symlink_to(packages(HERE / "node") / "node_modules")
    program = shutil.copy(PROGRAM, tmp_path / PROGRAM.name)
    done = subprocess.run(
        [node(), str(program), gmail.base_url, calendar.base_url, TOKEN],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answer = json.loads(done.stdout)
    assert answer == {
        "labels": ["SENT"],
        "thread": True,
        "body": "Hello",
        "pages": [1, 1, 2],
        "gone": {"status": 404, "message": "Requested entity was not found."},
        "instances": [f"2026-01-{day}T09:00:00+01:00" for day in ("05", "12", "19")],
        "listed": [True],
        "stale": 410,
        "removed": 204,
    }
    assert gmail.unread() == set()
    assert calendar.unread() == set()
