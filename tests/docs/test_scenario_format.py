"""docs/scenario-format.md says what the models say, and every example in it loads."""

from __future__ import annotations

import importlib.util
import re
from types import ModuleType

import pytest

from stack_emu.scenario.loader import inspect_text
from stack_emu.vocabulary import UNSERVED_SECTIONS, vocabulary
from tests.docs.blocks import FORMAT, ROOT, blocks

SURROUNDINGS = {
    "operator": "operator: {id: op_acme, keys: [{key: sk_live_emu_acme}]}",
    "agents": """
agents:
  - {id: agent_on_call, name: on-call, accountability_mode: logged}
  - {id: agent_scribe, name: scribe, accountability_mode: logged}
""",
    "services": """
services:
  - {id: scon_slack, provider: slack, scopes: [chat:write], grants: [{agent: on-call}, {agent: scribe}]}
  - {id: scon_tracker, provider: tracker, grants: [{agent: on-call}]}
""",
    "upstreams": """
upstreams:
  slack: {pack: slack}
  tracker: {hosts: [acme.tracker.test], routes: [{reply: {}}]}
""",
}
EXAMPLES = blocks(FORMAT, "yaml")


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("scenario_tables", ROOT / "docs" / "scenario_tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def completed(example: str) -> str:
    """An example with the rest of the scenario it is part of."""
    if "stack_emu: 1" in example:
        return example
    rest = [text for key, text in SURROUNDINGS.items() if not re.search(rf"^{key}:", example, re.MULTILINE)]
    return "\n".join(["stack_emu: 1", "name: example", *rest, example])


@pytest.mark.parametrize("example", EXAMPLES, ids=[text.split(":")[0] for text in EXAMPLES])
def test_every_example_is_a_valid_part_of_a_scenario(example: str) -> None:
    found = inspect_text(completed(example), "example", vocabulary())
    assert found.scenario is not None, found.problems
    unforeseen = [problem for problem in found.problems if problem.path not in UNSERVED_SECTIONS]
    assert unforeseen == []


def test_the_tables_are_those_of_the_models() -> None:
    page = FORMAT.read_text()
    assert generator().filled(page) == page, "run python docs/scenario_tables.py"


def test_every_model_of_the_format_has_its_table() -> None:
    made = generator()
    page = FORMAT.read_text()
    assert [name for name in made.tables() if f"<!-- keys {name} -->" not in page] == []


def test_every_link_leads_to_a_heading() -> None:
    page = FORMAT.read_text()
    headings = {re.sub(r"[^a-z0-9 -]", "", line.lower()).strip().replace(" ", "-") for line in _headings(page)}
    assert set(re.findall(r"\]\(#([^)]+)\)", page)) - headings == set()


def _headings(page: str) -> list[str]:
    return re.findall(r"^#+ (.*)$", page, re.MULTILINE)


def test_the_page_says_which_sections_this_version_does_not_act_on() -> None:
    page = FORMAT.read_text()
    assert page.count("Read and checked, but this version") == len(UNSERVED_SECTIONS)
