"""docs/scan-patterns.md lists the patterns there are."""

from __future__ import annotations

import importlib.util
from typing import Any

from stack_emu.domain.scan_patterns import BY_ID
from tests.docs.blocks import ROOT


def generator() -> Any:
    spec = importlib.util.spec_from_file_location("scan_patterns_page", ROOT / "docs" / "scan_patterns_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_current_and_names_every_pattern() -> None:
    page = (ROOT / "docs" / "scan-patterns.md").read_text("utf-8")
    assert generator().page() == page, "run python docs/scan_patterns_page.py"
    assert [name for name in BY_ID if f"`{name}`" not in page] == []
