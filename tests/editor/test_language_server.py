"""What editors show while a scenario is written, asked of the language server they use."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from stack_emu.scenario.schema import schema_text
from tests.mcp.node_programs import environment, node, packages

HERE = Path(__file__).resolve().parent
SCENARIOS = HERE.parents[1] / "scenarios"
MODELINE = "# yaml-language-server: $schema=../scenario.schema.json"
NAMES = sorted(folder.name for folder in SCENARIOS.iterdir() if folder.is_dir())


def ask(
    folder: Path, text: str, complete: list[tuple[int, int]] = (), hover: list[tuple[int, int]] = ()
) -> dict[str, Any]:
    """What the server says about a scenario that stands beside the bundled ones; positions are line and column from 0."""
    positions = {
        kind: [{"line": line, "character": column} for line, column in places]
        for kind, places in (("complete", complete), ("hover", hover))
    }
    request = folder / "request.json"
    request.write_text(json.dumps({"uri": (SCENARIOS / "mine" / "scenario.yaml").as_uri(), "text": text, **positions}))
    server = packages(HERE / "node") / "node_modules" / "yaml-language-server" / "bin" / "yaml-language-server"
    done = subprocess.run(
        [node(), str(HERE / "conversation.mjs"), str(server), str(request)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_the_published_schema_is_current() -> None:
    published = (SCENARIOS / "scenario.schema.json").read_text(encoding="utf-8")
    assert published == schema_text(), "run make docs"


@pytest.mark.parametrize("name", NAMES)
def test_every_bundled_scenario_names_the_schema(name: str) -> None:
    text = (SCENARIOS / name / "scenario.yaml").read_text(encoding="utf-8")
    assert text.splitlines()[0] == MODELINE


def test_keys_and_words_are_completed_and_keys_explain_themselves(tmp_path: Path) -> None:
    text = f"""{MODELINE}
stack_emu: 1
clock: {{mode: virtual}}
upstreams:
  slack:
    hosts: [slack.com]
    pack: slack
{" " * 4}
agents:
  - name: deployer
    accountability_mode:{" "}
"""
    told = ask(tmp_path, text, complete=[(7, 4), (10, 25), (11, 0)], hover=[(2, 1), (2, 9), (6, 5)])
    upstream, modes, top = told["completions"]
    assert {"routes", "seed", "state", "forward"} <= set(upstream)
    assert "hosts" not in upstream
    assert {"enforced", "logged", "standard"} <= set(modes)
    assert {"services", "missions", "faults", "expect"} <= set(top)
    clock, mode, pack = told["hovers"]
    assert "The world's clock" in clock
    assert "real follows the wall clock" in mode
    assert "A stateful fake" in pack


def test_mistakes_are_marked_where_they_are(tmp_path: Path) -> None:
    text = f"{MODELINE}\nstack_emu: 1\nsed: 7\nclock: {{mode: sometimes}}\n"
    found = sorted(ask(tmp_path, text)["diagnostics"])
    assert [line for line, _ in found] == [2, 3]
    assert "sed" in found[0][1]
    assert "virtual" in found[1][1]


@pytest.mark.parametrize("name", ["deploy-bot", "enforced-agent"])
def test_a_bundled_scenario_has_no_mistake_in_the_editor(tmp_path: Path, name: str) -> None:
    text = (SCENARIOS / name / "scenario.yaml").read_text(encoding="utf-8")
    assert ask(tmp_path, text)["diagnostics"] == []
