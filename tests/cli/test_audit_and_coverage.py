"""`stack-emu audit` and `stack-emu coverage` as programs; what each action does is tested with the audit family."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import getstack

from stack_emu.domain.families import registry
from tests.cli.conftest import PROGRAM, SCENARIOS, Cli, Up, plain_environment

GOLDEN = SCENARIOS / "deploy-bot" / "audit.jsonl"


def test_verify_holds_until_tamper_changed_a_line_and_diff_shows_it(cli: Cli, tmp_path: Path) -> None:
    good = cli("audit", "verify", GOLDEN)
    assert good.code == 0
    head = re.search(r"head ([0-9a-f]{64})", good.out)
    assert head
    changed = tmp_path / "changed.jsonl"
    assert cli("audit", "tamper", GOLDEN, "--line", "2", "--set", "outcome=blocked", "--out", changed).code == 0
    assert cli("audit", "verify", changed).code == 1
    shown = cli("audit", "diff", GOLDEN, changed)
    assert shown.code == 1
    assert "was refused where A has success" in shown.out
    assert cli("audit", "diff", GOLDEN, GOLDEN).code == 0
    rehashed = tmp_path / "rehashed.jsonl"
    assert cli("audit", "tamper", GOLDEN, "--how", "delete", "--rehash", "--out", rehashed).code == 0
    assert cli("audit", "verify", rehashed).code == 0
    assert cli("audit", "verify", rehashed, "--head", head[1]).code == 1


def test_a_running_emulator_s_log_is_exported_in_every_format(up: Callable[..., Up], cli: Cli, shop: Path) -> None:
    running = up(shop)
    with getstack.Stack(base_url=running.base_url, api_key=running.ready["api_key"]) as stack:
        stack.agents.register("new")
    at = ("--url", running.base_url)
    formats = {
        name: cli("audit", "export", "--format", name, *at) for name in ("canonical", "table", "json", "ndjson", "csv")
    }
    assert {name: ran.code for name, ran in formats.items()} == dict.fromkeys(formats, 0)
    assert all("agent.register" in ran.out for ran in formats.values())
    assert json.loads(formats["json"].out)
    assert cli("audit", "export", "--world", "default", *at).out == formats["canonical"].out


def test_files_that_cannot_be_read_or_written_are_one_sentence(cli: Cli, tmp_path: Path) -> None:
    missing = cli("audit", "verify", tmp_path / "none.jsonl")
    assert (missing.code, missing.err) == (
        2,
        f"stack-emu: {tmp_path}/none.jsonl cannot be read: No such file or directory.\n",
    )
    unwritable = cli("audit", "tamper", GOLDEN, "--out", tmp_path / "no" / "x.jsonl")
    assert (unwritable.code, unwritable.err) == (2, f"stack-emu: {tmp_path}/no/x.jsonl: No such file or directory\n")
    assert cli("audit").code == 2


def test_coverage_counts_operations_tools_and_methods(cli: Cli) -> None:
    operations = registry()
    rest = sum(item.rest is not None for item in operations)
    ran = cli("coverage")
    assert ran.code == 0
    for item in operations:
        assert re.search(rf"^{re.escape(item.name)} .*{item.grade}", ran.out, re.MULTILINE)
    counted = f"{len(operations.operations)} operations: {rest} on REST, {len(operations.tools)} as MCP tools"
    assert counted in ran.out.splitlines()
    assert re.search(
        r"^methods of the published SDK driven: \d+, of these \d+ both sync and async$", ran.out, re.MULTILINE
    )


def test_coverage_as_json_and_as_markdown_names_every_operation(cli: Cli) -> None:
    names = list(registry().operations)
    data = json.loads(cli("coverage", "--json").out)
    assert [item["name"] for item in data["operations"]] == names
    table = cli("coverage", "--markdown").out
    assert [line.split(" | ")[0][2:] for line in table.splitlines() if line.startswith("| ")][1:] == names


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    script = f'"{PROGRAM}" coverage | head -n 1; "{PROGRAM}" schema | head -c 10'
    done = subprocess.run(["sh", "-c", script], env=plain_environment(), capture_output=True, text=True, timeout=30)
    assert done.stderr == ""
