"""A report as one self-contained page.

Nothing comes from elsewhere, no handlers stand in attributes, and its policy allows its own style and script only, by hash.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

from stack_emu.audit_log.comparison import Difference
from stack_emu.audit_log.report import Report

_HERE = Path(__file__).parent
_MARKS = {"success": "✓", "blocked": "✕", "failure": "!", "pending": "…"}
_CLASSES = {outcome: outcome for outcome in _MARKS}


def report_page(reports: Sequence[Report], differences: Sequence[Difference] = ()) -> str:
    """The page.

    Args:
        reports: one log, or two that are compared.
        differences: what differs between the two.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    style = (_HERE / "report_page.css").read_text(encoding="utf-8")
    script = (_HERE / "report_page.js").read_text(encoding="utf-8")
    template = Environment(autoescape=True, undefined=StrictUndefined).from_string(
        (_HERE / "report_page.html").read_text(encoding="utf-8")
    )
    rows = [row for one in reports for lane in one.timeline.lanes for cell in lane.cells for row in cell.rows]
    return template.render(
        reports=reports,
        differences=differences,
        agents=sorted({row.agent for row in rows if row.agent}),
        actions=sorted({row.action for row in rows}),
        outcomes=sorted({row.outcome for row in rows}),
        marks=_MARKS,
        classes=_CLASSES,
        style=Markup(style),  # noqa: S704 - files of this package
        script=Markup(script),  # noqa: S704
        style_hash=_source(style),
        script_hash=_source(script),
    )


def _source(text: str) -> str:
    """A text as a source of a content security policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
