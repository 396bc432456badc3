"""docs/upstreams.md says what the packs serve, and the pack it shows works when it is typed off."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from stack_emu.upstreams.packs import bundled_packs
from tests.docs.blocks import ROOT

PAGE = ROOT / "docs" / "upstreams.md"


def generator() -> Any:
    spec = importlib.util.spec_from_file_location("upstreams_page", ROOT / "docs" / "upstreams_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_are_those_of_the_packs() -> None:
    page = PAGE.read_text("utf-8")
    assert generator().filled(page) == page, "run python docs/upstreams_page.py"


@pytest.mark.parametrize("name", sorted(bundled_packs()))
def test_the_page_has_every_operation_and_says_what_it_does(name: str) -> None:
    page, pack = PAGE.read_text("utf-8"), bundled_packs()[name]
    for row in pack.operations:
        assert f"| `{row.name}` | `{row.call}` | " in page
        assert row.summary, f"the handler of {row.name} has no docstring"
        assert row.source, f"{row.name} has no source"
    assert pack.clients, "the page names the clients that drive it"
    for declined in pack.declined:
        assert f"- {declined.name}: {declined.reason}." in page
