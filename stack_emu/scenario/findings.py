"""What the checks across a whole scenario work on: plain data with its locations, and a list to report to.

The checks run on the data as written rather than on the models, so that they also report when something else in the
file keeps the models from being built. They therefore skip whatever has the wrong type; the models report that.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from stack_emu.scenario.positions import Mark
from stack_emu.scenario.problems import Location, suggestion


@dataclass(frozen=True)
class Place:
    """A value and where it stands."""

    value: Any
    location: Location = ()

    def at(self, *keys: str | int) -> Place:
        """The value under a key or at an index, and so on inwards; its value is None where there is none."""
        place = self
        for key in keys:
            place = Place(_inner(place.value, key), (*place.location, key))
        return place

    def each(self, key: str) -> list[Place]:
        """The entries of the list under a key, or the one entry of its singular short form."""
        values = self.at(key).value
        if values is None and isinstance(self.value, dict) and key[:-1] in self.value:
            return [Place(self.value[key[:-1]], (*self.location, key, 0))]
        if isinstance(values, str):
            return [Place(values, (*self.location, key))]
        if not isinstance(values, (list, tuple)):
            return []
        return [Place(value, (*self.location, key, index)) for index, value in enumerate(values)]

    def entries(self, key: str) -> list[tuple[str, Place]]:
        """The keys and values of the mapping under a key."""
        values = self.at(key).value
        if not isinstance(values, dict):
            return []
        return [(name, Place(value, (*self.location, key, name))) for name, value in values.items()]

    def text(self, key: str) -> str | None:
        """The text under a key, if there is text."""
        value = self.at(key).value
        return value if isinstance(value, str) else None

    def strings(self) -> Iterator[Place]:
        """Every string inside the value, itself included."""
        if isinstance(self.value, str):
            yield self
        elif isinstance(self.value, dict):
            for key, value in self.value.items():
                yield from Place(value, (*self.location, key)).strings()
        elif isinstance(self.value, (list, tuple)):
            for index, value in enumerate(self.value):
                yield from Place(value, (*self.location, index)).strings()


def _inner(value: Any, key: str | int) -> Any:
    if isinstance(key, int):
        return value[key] if isinstance(value, (list, tuple)) and key < len(value) else None
    return value.get(key) if isinstance(value, dict) else None


@dataclass(frozen=True)
class DocumentProblem:
    """One mistake in a file that a scenario names.

    Args:
        mark: where it is; line 0 stands for the file as a whole.
        path: the keys that lead there, such as `paths./pets.get`.
        sentence: what is wrong and what would have worked.
        severity: a warning does not stop the scenario from loading.
    """

    mark: Mark
    path: str
    sentence: str
    severity: Literal["error", "warning"] = "error"


@dataclass(frozen=True)
class DocumentReport:
    """What became of reading a document that a scenario names.

    Args:
        files: the files it consists of.
        problems: errors and warnings in the order they were found.
    """

    files: tuple[Path, ...] = ()
    problems: tuple[DocumentProblem, ...] = ()


@dataclass(frozen=True)
class Finding:
    """One thing a check found.

    Args:
        location: where it is.
        sentence: what is wrong and what would have worked; `{other}` in it stands for another place.
        severity: a warning does not stop the scenario from loading.
        other: the other place.
        document: the mistake in another file that it is; its place and path are then those in that file.
    """

    location: Location
    sentence: str
    severity: Literal["error", "warning"] = "error"
    other: Location | None = None
    document: DocumentProblem | None = None


@dataclass
class Findings:
    """Collects what the checks find.

    Args:
        found: what they found.
        files: further files that the scenario depends on.
    """

    found: list[Finding] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)

    def error(self, place: Place, sentence: str, other: Place | None = None) -> None:
        """Report something that keeps the scenario from loading."""
        self.found.append(Finding(place.location, sentence, other=other.location if other else None))

    def tell(self, place: Place, report: DocumentReport) -> None:
        """Report what is wrong with a document that a place names, once however often it is named."""
        self.files += [file for file in report.files if file not in self.files]
        for problem in report.problems:
            if problem.mark.line == 0:
                self.error(place, f"{Path(problem.mark.file).name} {problem.sentence}")
            elif all(one.document != problem for one in self.found):
                self.found.append(Finding(place.location, problem.sentence, problem.severity, document=problem))

    def warn(self, place: Place, sentence: str) -> None:
        """Report something that is allowed and probably not meant."""
        self.found.append(Finding(place.location, sentence, "warning"))


@dataclass(frozen=True)
class Vocabulary:
    """Names that exist outside the scenario. Where one is None, names of that kind are not checked.

    Args:
        operations: the operations that are served, such as `passports.issue`.
        packs: the upstream packs there are.
        pack_problem: what is wrong with a pack (its name or the path of its folder) and its seed, as one sentence that
            may begin with the place in the seed; None when nothing is.
        document: reads the OpenAPI document at an absolute path, and says what is wrong with it.
        pattern_problems: what is wrong with the matchers of a request pattern: where inside it, and a sentence.
        codes: STACK's error codes, and in lower case the error types of the Messages API, which count in any case.
        detectors: the signal types there are.
        faulted: the operations faults can hit; `operations` when None.
        approved: the operations that ask for approval.
        tools: the MCP tools that are served.
        unserved: sections that are read and not acted on, each with what that means.
    """

    operations: Collection[str] | None = None
    packs: Collection[str] | None = None
    pattern_problems: Callable[[Mapping[str, Any]], Iterable[tuple[str, str]]] | None = None
    pack_problem: Callable[[str, Mapping[str, Any]], str | None] | None = None
    document: Callable[[str], DocumentReport] | None = None
    codes: Collection[str] | None = None
    detectors: Collection[str] | None = None
    faulted: Collection[str] | None = None
    approved: Collection[str] | None = None
    tools: Collection[str] | None = None
    unserved: Mapping[str, str] = field(default_factory=dict)


def check_word(findings: Findings, place: Place, known: Collection[str] | None, kind: str) -> None:
    """Report a word that is not among the known ones."""
    if known is None or not isinstance(place.value, str) or place.value in known:
        return
    findings.error(place, f"there is no {kind} {place.value}; {suggestion(place.value, known, f'{kind}s there are')}")
