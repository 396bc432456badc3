"""The rules the tree holds to: room sizes, who may import whom, and what stays out of which room."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = ROOT / "stack_emu"
HARD_LIMIT = 600
FORBIDDEN_NAMES = {"utils.py", "helpers.py", "manager.py", "util.py", "helper.py", "common.py", "misc.py"}
MAY_IMPORT = {
    "kernel": {"kernel"},
    "scenario": {"scenario"},
    "audit_log": {"kernel", "audit_log"},
    "upstreams": {"kernel", "scenario", "upstreams"},
    "model_script": {"kernel", "scenario", "model_script"},
    "domain": {"kernel", "scenario", "audit_log", "domain", "upstreams"},
}
LATE = ("mcp", "anthropic", "starlette", "jsonschema", "sqlite3", "uvicorn", "httpx", "httpx2")
LATE_ROOMS = ("stack_emu.surfaces.messages", "stack_emu.surfaces.openai", "stack_emu.surfaces.llm_model")


def sources(*roots: str) -> list[Path]:
    return sorted(path for root in roots for path in (ROOT / root).rglob("*.py"))


@pytest.mark.parametrize("path", sources("stack_emu", "tests", "benchmarks", "scenarios"), ids=lambda path: path.name)
def test_no_file_is_longer_than_a_room_may_be(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= HARD_LIMIT


def test_files_are_named_for_what_a_user_looks_for() -> None:
    assert [path.name for path in sources("stack_emu", "tests") if path.name in FORBIDDEN_NAMES] == []


@pytest.mark.parametrize("path", sources("stack_emu/kernel"), ids=lambda path: path.name)
def test_the_kernel_knows_nothing_of_the_emulated_products(path: Path) -> None:
    text = path.read_text("utf-8").replace("stack_emu", "")
    named = [word for word in ("STACK", "Slack", "slack", "GitHub", "github", "getstack") if word in text]
    assert named == []


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_rooms_import_only_the_rooms_below_them(room: str) -> None:
    strays = []
    for path in sources(f"stack_emu/{room}"):
        for name in imported(path):
            parts = name.split(".")
            if parts[0] == "stack_emu" and len(parts) > 1 and parts[1] not in MAY_IMPORT[room]:
                strays.append(f"{path.relative_to(ROOT)}: {name}")
    assert strays == []


def imported(path: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
    return names


def test_nothing_heavy_is_imported_before_the_port_is_bound() -> None:
    code = (
        "import asyncio, sys\n"
        "from stack_emu.surfaces.server import Server\n"
        "async def main():\n"
        "    server = Server(lambda: (_ for _ in ()).throw(RuntimeError('not loaded here')))\n"
        "    await server.start()\n"
        f"    print([name for name in {LATE!r} if name in sys.modules])\n"
        "    await server.stop()\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout.strip() == "[]", done.stderr


def test_the_model_s_apis_are_loaded_by_their_first_request() -> None:
    code = (
        "import sys, urllib.request\n"
        "from stack_emu import Emulator\n"
        "with Emulator() as emulator:\n"
        "    urllib.request.urlopen(emulator.base_url + '/openapi.json').read()\n"
        f"    print([name for name in {LATE_ROOMS!r} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout.strip() == "[]", done.stderr


def test_the_installed_plugin_imports_only_pytest_and_the_standard_library() -> None:
    code = (
        "import sys, pytest\n"
        "before = set(sys.modules)\n"
        "import stack_emu.pytest_plugin\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(new - set(sys.stdlib_module_names) - {'stack_emu'}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout.strip() == "[]", done.stderr


def test_no_comment_or_document_speaks_of_how_the_project_was_made() -> None:
    words = ("TODO", "FIXME", "XXX", "TEMPORARY", "issue #")
    found = [
        f"{path.relative_to(ROOT)}: {word}"
        for path in sources("stack_emu", "scenarios", "benchmarks")
        for word in words
        if word in path.read_text("utf-8")
    ]
    assert found == []
