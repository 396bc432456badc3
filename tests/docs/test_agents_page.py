"""What docs/agents.md prints works as it is printed; the Claude Agent SDK's section in tests/agent_sdk."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.agents.programs import (
    LANGCHAIN,
    NODE,
    OPENAI_AGENTS,
    langchain_python,
    openai_python,
    with_node_modules,
)
from tests.docs.agents_page import AGENTS, SECTIONS, run_script
from tests.docs.blocks import ROOT
from tests.docs.test_pytest_page import run_pytest

WITH_A_SCRIPT = [name for name, section in SECTIONS.items() if section.script]
GOLDEN = Path(__file__).parent / "golden" / "agents.jsonl"
CLAUDE_AGENT_SDK = "Claude Agent SDK"
PYTHON_OF = {"LangChain": langchain_python, "OpenAI Agents SDK": openai_python}
pytestmark = pytest.mark.timeout(240)  # the first run on a machine installs the frameworks


@pytest.mark.parametrize("name", [name for name in WITH_A_SCRIPT if name != CLAUDE_AGENT_SDK])
def test_its_agents_print_what_it_says(name: str, tmp_path: Path) -> None:
    section = SECTIONS[name]
    if "TypeScript" in name:
        with_node_modules(tmp_path)
    python = PYTHON_OF.get(name, lambda: sys.executable)()
    assert run_script(section, section.write(tmp_path), python) == section.printed


def test_its_tests_pass_and_leave_the_golden_log(tmp_path: Path) -> None:
    count = 0
    for section in SECTIONS.values():
        section.write(tmp_path)
        count += sum(len(re.findall(r"^def test_", text, re.MULTILINE)) for text in section.files.values())
    (tmp_path / "golden").mkdir()
    shutil.copy(GOLDEN, tmp_path / "golden" / "triage.jsonl")
    ran = run_pytest(tmp_path, "-W", "error")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    passed = re.search(r"(\d+) passed", ran.stdout)
    assert passed is not None
    assert int(passed[1]) >= count > 5


def test_every_block_is_a_file_a_script_or_what_a_script_prints() -> None:
    assert [stray for section in SECTIONS.values() for stray in section.stray] == []
    assert [name for name, section in SECTIONS.items() if bool(section.script) != bool(section.printed)] == []
    assert CLAUDE_AGENT_SDK in WITH_A_SCRIPT
    assert len(WITH_A_SCRIPT) >= 5


def test_its_versions_are_those_of_the_tests() -> None:
    page = AGENTS.read_text()
    pinned = [tuple(requirement.split("==")) for requirement in (*LANGCHAIN, OPENAI_AGENTS)]
    pinned += json.loads((NODE / "package.json").read_text())["dependencies"].items()
    assert [name for name, version in pinned if f"`{name}` {version}" not in page] == []
    project = (ROOT / "pyproject.toml").read_text()
    for name in ("anthropic", "claude-agent-sdk"):
        (least,) = set(re.findall(rf'"{name}>=([\d.]+)"', project))
        assert f"`{name}` {least} and newer" in page
    assert "`getstack` 4.0.0" in page
    assert '"getstack==4.0.0"' in project
