"""docs/connector.md: every test its table names exists, every test of its files is in it, and so is every beta."""

from __future__ import annotations

import ast
import re

from stack_emu.surfaces import messages_fields as fields
from stack_emu.surfaces.connector import Connector
from tests.docs.blocks import ROOT

PAGE = ROOT / "docs" / "connector.md"
COMPLETE = ("test_connector_listings.py", "test_connector_tool_changes.py", "test_connector_failures.py")


def named() -> set[tuple[str, str]]:
    return set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE.read_text()))


def declared_in(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_every_test_it_names_exists() -> None:
    tests = named()
    assert len(tests) > 30
    assert {(path, name) for path, name in tests if name not in declared_in(path)} == set()


def test_every_test_of_the_newer_files_is_in_its_table() -> None:
    for name in COMPLETE:
        path = f"tests/messages/{name}"
        assert declared_in(path) - {test for file, test in named() if file == path} == set()


def test_every_beta_of_the_code_is_in_its_table_and_no_other() -> None:
    rows = re.findall(r"^\| `([a-z-]+-\d{4}-\d\d-\d\d)` \|", PAGE.read_text(), re.MULTILINE)
    assert set(rows) == {
        *fields.CONNECTOR_BETAS,
        *fields.REFUSED_BETAS,
        fields.BETA_INLINE_TOOLS,
        fields.BETA_TOOL_CHANGES,
    }


def test_every_row_of_its_table_says_where_it_is_known_from() -> None:
    rows = [line.split(" | ") for line in PAGE.read_text().splitlines() if "::test_" in line]
    assert [row[0] for row in rows if not re.search(r"SDK|page|inferred|invented", row[-1])] == []


def test_the_timeouts_it_says_are_the_connector_s() -> None:
    connector = Connector()
    shown = re.search(r"Timeouts are (\d+) s for accepting a connection and (\d+) s for an answer", PAGE.read_text())
    assert shown is not None
    assert tuple(map(float, shown.groups())) == (connector.connect_seconds, connector.answer_seconds)
