"""Regular expressions in scenarios: RE2 runs them, so that none takes longer than its text is long."""

from __future__ import annotations

from typing import Any

from stack_emu.scenario.findings import Findings, Place


def check_expression(place: Place, findings: Findings) -> None:
    """Report a regular expression that RE2, which bounds the time it takes, does not have."""
    problem = re2_problem(place.value)
    if problem:
        findings.error(place, f"RE2 refuses this pattern ({problem}); RE2 has no look-around and no back-references")


def re2_problem(pattern: str) -> str | None:
    """What RE2 says against a pattern; None when it has nothing against it."""
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(pattern, options=options)
    except re2.error as error:
        reason: Any = error.args[0] if error.args else error
        return reason.decode() if isinstance(reason, bytes) else str(reason)
    return None
