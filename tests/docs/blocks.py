"""The examples of a Markdown page, by language."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
FORMAT = ROOT / "docs" / "scenario-format.md"
PYTEST = ROOT / "docs" / "pytest.md"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of one language, in order."""
    return [text for kind, text in _BLOCK.findall(page.read_text()) if kind == language]
