"""A report as Markdown, for the summary of a CI job or a comment.

What comes from a log stands in code spans, where it is inert.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from stack_emu.audit_log.comparison import Difference
from stack_emu.audit_log.report import Report

_LISTED = 50
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")


def code(text: object) -> str:
    """A text as a code span that can stand in a table, whatever is in it."""
    said = _CONTROL.sub(" ", str(text)).strip() or "–"
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", said)), default=0))
    space = " " if said.startswith("`") or said.endswith("`") else ""
    return f"{fence}{space}{said}{space}{fence}".replace("|", "\\|")


def report_markdown(reports: Sequence[Report], differences: Sequence[Difference] = ()) -> str:
    """The report.

    Args:
        reports: one log, or two that are compared.
        differences: what differs between the two.
    """
    parts = ["# Audit report\n"]
    for letter, one in zip("AB", reports, strict=False):
        parts += _log(one, f"{letter}: " if len(reports) > 1 else "")
    if len(reports) > 1:
        parts.append("## What differs\n")
        parts += [f"- {code(item.sentence)}" for item in differences[:_LISTED]] or ["Nothing: both logs tell the same."]
        if len(differences) > _LISTED:
            parts.append(f"- and {len(differences) - _LISTED} more; `stack-emu audit diff` lists all")
        parts.append("")
    return "\n".join(parts)


def _log(one: Report, prefix: str) -> list[str]:
    verdict = one.verdict
    parts = [f"## {prefix}{code(one.name)}\n"]
    if verdict.valid:
        parts.append(f"✅ The chain holds: {verdict.rows} rows, head {code(verdict.head)}\n")
    else:
        parts.append(f"❌ The chain is broken: {code(verdict.broken)}\n")
    parts += [f"{note[0].upper()}{note[1:]}.\n" for note in verdict.notes]
    parts.append(", ".join(f"{count} {name}" for name, count in one.counts) + "\n")
    parts += ["| action | rows | how they ended |", "|---|---|---|"]
    for action, counts in one.actions[:_LISTED]:
        ended = ", ".join(f"{count} {code(outcome)}" for outcome, count in counts)
        parts.append(f"| {code(action)} | {sum(count for _, count in counts)} | {ended} |")
    parts += _more(len(one.actions), "actions")
    if one.refusals:
        parts += [
            "",
            "| times | what did not succeed | agent | how it ended | what that means |",
            "|---|---|---|---|---|",
        ]
        for count, title, agent, ended, meaning in one.refusals[:_LISTED]:
            parts.append(f"| {count} | {code(title)} | {code(agent)} | {code(ended)} | {_plain(meaning)} |")
        parts += _more(len(one.refusals), "kinds")
    return [*parts, ""]


def _plain(meaning: str) -> str:
    """An explanation; the one that repeats an unknown code is foreign text."""
    return code(meaning) if meaning.startswith("The code ") else meaning


def _more(count: int, what: str) -> list[str]:
    return ["", f"and {count - _LISTED} more {what}"] if count > _LISTED else []
