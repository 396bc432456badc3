"""The verdict on a run: which expectations did not hold, what a strict run fails for, and what is worth a warning."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from stack_emu.hosting import HostedWorld
from stack_emu.kernel.acts import Overlap
from stack_emu.unread import UnreadField, unread_fields
from stack_emu.verification import checked


@dataclass(frozen=True)
class Finding:
    """One thing that did not hold.

    Args:
        kind: ``expectation``, or a violation's name.
        sentence: what did not hold, and what would have worked.
        near: what came nearest, side by side.
        place: where in ``expect`` it stands, such as ``upstream[0]``.
    """

    kind: str
    sentence: str
    near: str | None = None
    place: str | None = None


@dataclass(frozen=True)
class Verdict:
    """What is wrong with a run.

    Args:
        failures: expectations that did not hold, and violations when the world is strict.
        warnings: violations of a world that is not strict, and overlapping acts.
        unread: fields that clients sent and nothing read.
        held: the expectations that hold, by name.
    """

    failures: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)
    unread: list[UnreadField] = field(default_factory=list)
    held: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not self.failures

    def as_dict(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            "ok": self.ok,
            "failures": [asdict(item) for item in self.failures],
            "warnings": [asdict(item) for item in self.warnings],
            "unread": [{**asdict(item), "sentence": str(item)} for item in self.unread],
        }


def verdict(hosted: HostedWorld) -> Verdict:
    """Judge a world's run so far against its scenario."""
    shown = hosted.world.redactor.thorough
    results = list(checked(hosted, hosted.scenario.expect))
    failures = [
        Finding("expectation", shown(found.sentence), shown(found.near) if found.near else None, found.place)
        for _, found in results
        if found is not None
    ]
    held = [name for name, found in results if found is None]
    failures += _leaks(hosted)
    violations = _violations(hosted)
    overlaps = [
        Finding("overlap", _overlap(item, count)) for item, count in Counter(hosted.world.lanes.overlaps).items()
    ]
    unread = unread_fields(hosted.world.journal.entries())
    if hosted.strict:
        return Verdict(failures + violations, overlaps, unread, held)
    return Verdict(failures, violations + overlaps, unread, held)


def _overlap(item: Overlap, count: int) -> str:
    times = f" ({count} times)" if count > 1 else ""
    together = f"{item.first} and {item.second} were in flight together in lane {item.lane}{times}"
    return f"{together}; name lanes to order them"


def _violations(hosted: HostedWorld) -> list[Finding]:
    found = [
        Finding(entry.problem or "", f"{entry.method} {entry.path}: {entry.hint or entry.problem}", entry.near)
        for entry in hosted.world.journal.violations()
        if not (entry.problem == "leak" and hosted.scenario.expect.leaks == "none")
    ]
    for rule in hosted.world.faults.unfired():
        where = ", ".join(f"{name} {value}" for name, value in rule.on.items())
        found.append(Finding("unfired_fault", f"the fault on {where} never fired"))
    return found


def _leaks(hosted: HostedWorld) -> list[Finding]:
    if hosted.scenario.expect.leaks != "none":
        return []
    leaks = [entry for entry in hosted.world.journal.violations() if entry.problem == "leak"]
    return [Finding("expectation", f"expected no leaks: {entry.hint}") for entry in leaks]
