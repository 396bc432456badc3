"""GitHub as Octokit sees it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.mcp.node_programs import environment, node, packages
from tests.upstreams.conftest import Service

HERE = Path(__file__).resolve().parent
TOKEN = "ghp_canary_of_github"
SEED = {
    "user": "octocat",
    "users": ["ada", "bob"],
    "orgs": ["acme"],
    "repos": [
        {
            "name": "acme/shop",
            "labels": ["bug", "later"],
            "files": {"README.md": "# Shop\n"},
            "issues": [{"title": "Cart is empty", "user": "bob"}, {"title": "Old one", "state": "closed"}],
        }
    ],
}


def test_octokit_pages_writes_merges_and_raises_its_own_errors(serve: Callable[..., Service], tmp_path: Path) -> None:
    service = serve("github", seed=SEED, token=TOKEN, scopes=("repo",))
    (tmp_path / "node_modules").symlink_to(packages(HERE / "node") / "node_modules")
    program = shutil.copy(HERE / "octokit.mjs", tmp_path / "octokit.mjs")
    done = subprocess.run(
        [node(), str(program), service.base_url, TOKEN],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    saw = json.loads(done.stdout)
    assert saw["titles"] == ["Cart is empty", *(f"issue {number}" for number in range(5))]
    assert saw["closed"] == ["closed", "completed", ["bug"]]
    assert (saw["merged"], saw["file"], saw["unchanged"]) == (True, "x\n", 304)
    assert saw["reactions"] == [["eyes"], 0]
    assert saw["notes"] == [["why x?", 1, False, 1], ["x!", 1, True, 0]]
    assert saw["outside"][:2] == ["HttpError", 422]
    assert "must be part of the diff" in saw["outside"][2]
    assert saw["gone"] == 404
    assert saw["missing"][:2] == ["HttpError", 404]
    assert saw["invalid"][:2] == ["HttpError", 422]
    assert "missing_field" in saw["invalid"][2]
    assert saw["stranger"][:2] == ["HttpError", 401]
    assert "Bad credentials" in saw["stranger"][2]
    assert service.unread() == set()
