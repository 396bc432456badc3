"""Checks of the scripted model: patterns that are none, and scripts and branches that can never be reached."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stack_emu.scenario.expressions import re2_problem
from stack_emu.scenario.findings import Findings, Place

_CONTAINED = ("user", "system")
_NAMES = ("tools", "output")


def check_model(root: Place, findings: Findings) -> None:
    """Report what cannot work in a scenario's `model`."""
    rules = root.each("model")
    for rule in rules:
        _check_pattern(rule.at("when", "regex"), findings)
        _check_pattern(rule.at("when", "result_regex"), findings)
        _check_turns(rule, findings)
    _check_reach(rules, "script", findings)


def covers(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether whatever one `when` matches is matched by another already.

    Args:
        first: the `when` that may be the more general one.
        second: the other.
    """
    return all(name in second and _implied(name, wanted, second[name]) for name, wanted in first.items())


def _implied(name: str, wanted: Any, given: Any) -> bool:
    if wanted == given:
        return True
    if name in _CONTAINED and isinstance(wanted, str) and isinstance(given, str):
        return wanted in given
    if name == "model" and isinstance(wanted, str) and isinstance(given, str):
        return wanted.endswith("*") and given.startswith(wanted[:-1])
    if name in _NAMES:
        return set(_listed(wanted)) <= set(_listed(given))
    if name == "error":
        return wanted is True and isinstance(given, str)
    if name == "result":
        return _within(wanted, given)
    return False


def _within(wanted: Any, given: Any) -> bool:
    if isinstance(wanted, Mapping) and isinstance(given, Mapping):
        return all(name in given and _within(part, given[name]) for name, part in wanted.items())
    return bool(wanted == given)


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _check_turns(owner: Place, findings: Findings) -> None:
    for turn in owner.each("turns"):
        branches = turn.each("branches")
        for branch in branches:
            _check_pattern(branch.at("when", "result_regex"), findings)
            _check_turns(branch, findings)
        _check_reach(branches, "branch", findings)


def _check_pattern(pattern: Place, findings: Findings) -> None:
    if isinstance(pattern.value, str):
        problem = re2_problem(pattern.value)
        if problem:
            sentence = f"this is not a regular expression: {problem}; RE2 has no look-around and no back-references"
            findings.error(pattern, sentence)


def _check_reach(entries: list[Place], kind: str, findings: Findings) -> None:
    """Warn about entries that an earlier one leaves nothing for."""
    seen: list[tuple[int, dict[str, Any]]] = []
    for number, entry in enumerate(entries):
        if not isinstance(entry.value, dict):
            continue
        when = _given(entry)
        if when is None:
            continue
        above = next((index for index, wanted in seen if covers(wanted, when)), None)
        # Requests for JSON are offered to the scripts that name their properties before all others.
        if above is not None and ("output" not in when or "output" in dict(seen)[above]):
            findings.warn(entry, _unreached(kind, above, dict(seen)[above]))
            if not dict(seen)[above]:
                return
        seen.append((number, when))


def _given(entry: Place) -> dict[str, Any] | None:
    when = entry.at("when").value
    if when is None:
        return {}
    return {name: value for name, value in when.items() if value is not None} if isinstance(when, dict) else None


def _unreached(kind: str, above: int, when: Mapping[str, Any]) -> str:
    if not when:
        return f"this {kind} is never reached: one above it has no when and matches everything; move that one last"
    plural = "model" if kind == "script" else "branches"
    return (
        f"this {kind} is never reached: {plural}[{above}] above it matches all that it matches; "
        f"move the narrower one up, or tell them apart in when"
    )
