"""Every bundled scenario runs its own agent offline and leaves the same log each time."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stack_emu.domain.canonical_audit import diff
from stack_emu.scenario.loader import load
from tests.scenarios.conftest import SCENARIOS, Ran, stack_emu

NAMES = sorted(folder.name for folder in SCENARIOS.iterdir() if (folder / "scenario.yaml").is_file())
SDKS = {"getstack", "anthropic", "mcp"}
ExecScenario = Callable[..., tuple[Ran, bytes]]


def equal_to_golden(name: str, log: bytes) -> None:
    golden = (SCENARIOS / name / "audit.jsonl").read_bytes()
    assert log == golden, f"the log differs from scenarios/{name}/audit.jsonl:\n{diff(golden, log)}"


def imported(source: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    return names


def test_the_scenarios_the_readme_names_are_the_ones_there_are() -> None:
    readme = (SCENARIOS.parent / "README.md").read_text()
    assert [name for name in NAMES if f"](scenarios/{name})" not in readme] == []
    assert {"deploy-bot", "revocation", "scope-denied", "enforced-agent", "delegation", "mission-expiry"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_its_agent_runs_twice_and_leaves_the_golden_log_whatever_python_hashes(
    name: str, exec_scenario: ExecScenario, tmp_path: Path
) -> None:
    first, log = exec_scenario(name, env={"PYTHONHASHSEED": "1"})
    first.ok()
    equal_to_golden(name, log)
    second, again = exec_scenario(name, env={"PYTHONHASHSEED": "271828"})
    second.ok()
    equal_to_golden(name, again)
    assert first.out.strip(), "an agent tells what happens to it"
    assert second.out == first.out
    assert "violation" not in first.err
    assert "warning" not in first.err


@pytest.mark.parametrize("name", NAMES)
def test_its_golden_log_verifies_until_a_byte_of_it_is_changed(name: str, tmp_path: Path) -> None:
    golden = (SCENARIOS / name / "audit.jsonl").read_bytes()
    assert stack_emu("audit", "verify", f"scenarios/{name}/audit.jsonl").ok().out
    tampered = tmp_path / "tampered.jsonl"
    tampered.write_bytes(golden.replace(b'"outcome":"success"', b'"outcome":"blocked"', 1))
    assert stack_emu("audit", "verify", str(tampered)).code != 0


@pytest.mark.parametrize("name", NAMES)
def test_its_agent_uses_nothing_but_published_sdks_and_names_the_real_hosts(name: str) -> None:
    source = SCENARIOS / name / "agent.py"
    assert imported(source) <= SDKS | set(sys.stdlib_module_names)
    text = source.read_text()
    assert "base_url" not in text
    assert "127.0.0.1" not in text
    assert "localhost" not in text


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_it_shows_and_what_must_hold(name: str) -> None:
    scenario = load(SCENARIOS / name)
    assert scenario.name == name
    assert scenario.description
    assert scenario.expect.leaks == "none"
    assert scenario.expect.audit


def test_fifty_agents_one_after_the_other_leave_the_log_of_fifty_at_once(exec_scenario: ExecScenario) -> None:
    ran, log = exec_scenario("fleet-of-fifty", "--serial")
    assert "one after the other" in ran.ok().out
    equal_to_golden("fleet-of-fifty", log)


def test_an_expectation_that_does_not_hold_fails_the_run(tmp_path: Path) -> None:
    ran = stack_emu("exec", "scenarios/deploy-bot", "--", sys.executable, "-c", "pass")
    assert ran.code == 70
    assert "expected exactly 1 POST /api/chat.postMessage to slack, saw 0" in ran.err
