"""The acts of a canonical log, and how a person would name them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_DERIVED = re.compile(r"\b([a-z][a-z0-9]*)_[a-z2-7]{20}\b")
_OUTCOMES = {"success": "succeeded", "blocked": "was refused", "failure": "failed", "pending": "is pending"}
_BRIEF = {"blocked": "refused", "failure": "failed"}
_RESULTS = {"success": "success", "blocked": "a refusal", "failure": "a failure", "pending": "it pending"}


@dataclass(frozen=True)
class LoggedAct:
    """One act as a log shows it.

    Args:
        lane: label of its lane.
        number: its number in the lane, from 0.
        rows: what it caused, the act itself first.
        lines: the line of each row, from 1.
    """

    lane: str
    number: int
    rows: tuple[Mapping[str, Any], ...]
    lines: tuple[int, ...]

    @property
    def row(self) -> Mapping[str, Any]:
        """The row of the act itself."""
        return self.rows[0]

    @property
    def title(self) -> str:
        """What was done, without how it ended."""
        return title_of(self.row)

    @property
    def kind(self) -> tuple[str, ...]:
        """What acts have in common that are the same act of two runs, whatever came of them."""
        return (str(self.row.get("operation")), *kind_of(self.row))


def kind_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    """What rows have in common that say the same of two runs."""
    return tuple(without_ids(str(row.get(name, ""))) for name in ("action", "service", "name", "skill", "provider"))


def title_of(row: Mapping[str, Any]) -> str:
    """What a row says was done: the action and, in a word, to what."""
    action = str(row.get("action"))
    for name, word in (("service", "to"), ("provider", "to"), ("skill", "of"), ("name", "of"), ("subject", "of")):
        if isinstance(row.get(name), str):
            return f"{action} {word} {row[name]}"
    return action


def ended(row: Mapping[str, Any]) -> str:
    """How it ended, as a predicate: ``was refused (FORBIDDEN)``."""
    outcome = str(row.get("outcome"))
    return _OUTCOMES.get(outcome, f"ended with {outcome}") + _why(row)


def result(row: Mapping[str, Any]) -> str:
    """How it ended, as a thing: ``success (upstream 200)``."""
    outcome = str(row.get("outcome"))
    return _RESULTS.get(outcome, outcome) + _why(row)


def brief(row: Mapping[str, Any]) -> str:
    """How it ended, in a word or two: ``refused, FORBIDDEN``."""
    outcome = str(row.get("outcome"))
    return _BRIEF.get(outcome, outcome) + "".join(f", {part}" for part in _reasons(row))


def _why(row: Mapping[str, Any]) -> str:
    said = ", ".join(_reasons(row))
    return f" ({said})" if said else ""


def _reasons(row: Mapping[str, Any]) -> list[str]:
    code, status = row.get("code"), row.get("upstream_status")
    return [*([str(code)] if code is not None else []), *([] if status in (None, 200) else [f"upstream {status}"])]


def actor(lane: str) -> str:
    """Whose lane it is, as a person would say it."""
    agent, _, rest = lane.removeprefix("agent:").partition("/")
    if not lane.startswith("agent:"):
        return f"lane {lane}"
    passport, _, suffix = (
        rest.removeprefix("passport:").partition("/") if rest.startswith("passport:") else ("", "", rest)
    )
    words = [f"agent {agent}"]
    if passport:
        words.append(f"passport {passport}")
    if suffix:
        words.append(f"lane {suffix}")
    return ", ".join(words)


def without_ids(text: str) -> str:
    """A text with the ids that the emulator derived (20 letters and digits of base32) reduced to their prefix."""
    return _DERIVED.sub(r"\1_", text)


def derived_ids(text: str) -> list[str]:
    """The ids in a text that the emulator derived, in order."""
    return [found[0] for found in _DERIVED.finditer(text)]


def acts_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[LoggedAct]]:
    """The acts in a canonical log, by lane, in the order of the log."""
    lanes: dict[str, dict[Any, list[tuple[int, Mapping[str, Any]]]]] = {}
    for line, row in enumerate(rows, 1):
        number = row.get("act") if type(row.get("act")) is int else line
        lanes.setdefault(str(row.get("lane")), {}).setdefault(number, []).append((line, row))
    return {
        lane: [
            LoggedAct(lane, number, tuple(row for _, row in found), tuple(line for line, _ in found))
            for number, found in acts.items()
        ]
        for lane, acts in lanes.items()
    }
