"""docs/security.md names every test of its subject, and none that is not there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "security.md"


def test_the_table_links_to_what_there_is_and_leaves_nothing_out() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", PAGE.read_text("utf-8"))
    targets = [(PAGE.parent / link).resolve() for link in links if not link.startswith("http")]
    assert [target for target in targets if not target.exists()] == []
    assert set((ROOT / "tests" / "security").glob("test_*.py")) <= set(targets)


def test_the_figures_are_those_of_the_code() -> None:
    from stack_emu.kernel.strict_json import MAX_DEPTH
    from stack_emu.scenario import loader, yaml_reader
    from stack_emu.surfaces.http_connection import PATIENCE_SECONDS
    from stack_emu.surfaces.server import MAX_BODY

    text = PAGE.read_text("utf-8")
    for figure in (
        f"{MAX_BODY // 2**20} MiB",
        f"{MAX_DEPTH} levels of JSON",
        f"{PATIENCE_SECONDS:g} s for a head",
        f"{yaml_reader.MAX_VALUES:,} keys and values",
        f"{yaml_reader.MAX_ALIASED:,} more by aliases",
        f"at most {yaml_reader.MAX_DEPTH} levels",
        f"{loader.MAX_TEXT // 2**20} MB of text",
    ):
        assert figure in text, figure
