"""What `stack-emu check` reports: every problem of every scenario, and in a few words what each contains."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from stack_emu.scenario.composition import Choices
from stack_emu.scenario.findings import Vocabulary
from stack_emu.scenario.loader import inspect_path
from stack_emu.scenario.models import Scenario
from stack_emu.scenario.positions import Node
from stack_emu.scenario.problems import Problem


@dataclass(frozen=True)
class Report:
    """What became of checking one path.

    Args:
        path: the path as it was given.
        scenario: the scenario, or None when there are errors.
        problems: errors and warnings in the order of the file.
        root: the whole scenario with the place of every value, as far as it could be read.
    """

    path: Path
    scenario: Scenario | None
    problems: tuple[Problem, ...]
    root: Node | None = None

    @property
    def ok(self) -> bool:
        """Whether the scenario loads; warnings do not count."""
        return self.scenario is not None

    @property
    def summary(self) -> str:
        """One line about the file: what it contains, or how many problems keep it from loading."""
        errors = sum(problem.severity == "error" for problem in self.problems)
        warnings = len(self.problems) - errors
        warned = f"; {_count(warnings, 'warning')}" if warnings else ""
        if self.scenario is None:
            return f"{self.path}: {_count(errors, 'error')}{warned}"
        return f"{self.path}: ok: {summary(self.scenario)}{warned}"


def check(
    paths: Iterable[Path | str], vocabulary: Vocabulary | None = None, choices: Choices | None = None
) -> list[Problem]:
    """Every problem of the scenarios at these paths, warnings included, in the order of the paths and of each file."""
    return [problem for report in reports(paths, vocabulary, choices) for problem in report.problems]


def reports(
    paths: Iterable[Path | str], vocabulary: Vocabulary | None = None, choices: Choices | None = None
) -> list[Report]:
    """One report per path, in order."""
    return [report(path, vocabulary, choices) for path in paths]


def report(path: Path | str, vocabulary: Vocabulary | None = None, choices: Choices | None = None) -> Report:
    """Check the scenario at one path."""
    inspection = inspect_path(path, vocabulary, choices)
    return Report(Path(path), inspection.scenario, inspection.problems, inspection.root)


def summary(scenario: Scenario) -> str:
    """What a scenario contains, such as `1 operator, 3 agents, 2 upstreams`, without what it has none of."""
    sections = ("upstream", "audit", "operations", "model", "sent")
    expectations = sum(len(getattr(scenario.expect, section)) for section in sections)
    expectations += bool(scenario.expect.order) + (scenario.expect.leaks is not None)
    counts = [
        (len(scenario.operators), "operator"),
        (len(scenario.agents), "agent"),
        (len(scenario.services), "service"),
        (len(scenario.missions), "mission"),
        (len(scenario.passports), "passport"),
        (len(scenario.skills), "skill"),
        (len(scenario.fleets), "fleet"),
        (len(scenario.upstreams), "upstream"),
        (len(scenario.model), "script"),
        (len(scenario.approvals), "approval"),
        (len(scenario.detectors), "detector"),
        (len(scenario.timeline), "timeline step"),
        (len(scenario.faults), "fault"),
        (expectations, "expectation"),
    ]
    return ", ".join(_count(number, noun) for number, noun in counts if number)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
