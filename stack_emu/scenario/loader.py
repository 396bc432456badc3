"""Reading a scenario: every mistake at once, each with its file, line and column.

`load` reads a file or a folder, `loads` a text, `from_data` data that is already parsed. `inspect_text` gives the
warnings as well and never raises; `stack-emu check` is built on it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stack_emu.scenario.branches import apt_branches
from stack_emu.scenario.composition import Choices, assemble
from stack_emu.scenario.explain import explain
from stack_emu.scenario.fault_rules import check_faults
from stack_emu.scenario.findings import Finding, Findings, Place, Vocabulary
from stack_emu.scenario.models import Scenario
from stack_emu.scenario.pack_paths import resolve_paths
from stack_emu.scenario.positions import Node, find
from stack_emu.scenario.positions import from_data as nodes_from_data
from stack_emu.scenario.problems import Problem, ScenarioError, nearest, path_text
from stack_emu.scenario.references import check_references
from stack_emu.scenario.rules import check_rules
from stack_emu.scenario.upstream_rules import check_upstreams
from stack_emu.scenario.yaml_reader import MAX_PROBLEMS, compose

FILE_NAME = "scenario.yaml"
"""The file that makes a folder a scenario."""

MAX_BYTES = 2 * 1024 * 1024
"""The size above which a file cannot be a scenario."""

MAX_TEXT = 16 * 1024 * 1024
"""The length above which a text cannot be a scenario."""

_TOO_LARGE = f"the file is larger than {MAX_BYTES // 1024 // 1024} MB, which no scenario needs; split it up"

__all__ = [
    "FILE_NAME",
    "Inspection",
    "ScenarioError",
    "Vocabulary",
    "from_data",
    "inspect_path",
    "inspect_text",
    "load",
    "loads",
]


@dataclass(frozen=True)
class Inspection:
    """What became of reading a scenario.

    Args:
        scenario: the scenario, or None when there are errors.
        problems: errors and warnings in the order of the file.
        files: the files it was read from, or looked for in.
        root: the whole of it with the place of every value, as far as it could be read.
    """

    scenario: Scenario | None
    problems: tuple[Problem, ...]
    files: tuple[Path, ...] = ()
    root: Node | None = None

    def require(self) -> Scenario:
        """The scenario.

        Raises:
            ScenarioError: when there are errors.
        """
        if self.scenario is None:
            raise ScenarioError([problem for problem in self.problems if problem.severity == "error"])
        return self.scenario

    def text(self) -> str:
        """The scenario as one text that reads as all its files do, the same wherever they are."""
        import yaml

        from stack_emu.scenario.resolved import escaped

        if self.root is None:
            return ""
        data = escaped(self.root.plain())
        if self.scenario is not None:
            data.setdefault("name", self.scenario.name)
        return str(yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120))


def load(path: Path | str, vocabulary: Vocabulary | None = None, choices: Choices | None = None) -> Scenario:
    """Read a scenario from a file, or from a folder with `scenario.yaml` in it.

    A scenario without a name is called like its folder, or like its file where the file has a name of its own.

    Args:
        path: the file or folder.
        vocabulary: names outside the scenario to check against, such as the operations that are served.
        choices: the overlays to lay over it, and values of its variables.

    Raises:
        ScenarioError: with every mistake found, also when the file is missing or cannot be read.
    """
    return inspect_path(path, vocabulary, choices).require()


def loads(
    text: str, source: str = "<string>", vocabulary: Vocabulary | None = None, choices: Choices | None = None
) -> Scenario:
    """Read a scenario from a text; `source` stands for the file in messages.

    Raises:
        ScenarioError: with every mistake found.
    """
    return inspect_text(text, source, vocabulary, choices).require()


def from_data(data: Any, source: str = "<data>", vocabulary: Vocabulary | None = None) -> Scenario:
    """Make a scenario from data as YAML would give it, with the same checks.

    Raises:
        ScenarioError: with every mistake found; lines and columns are 0.
    """
    return _inspect_nodes(nodes_from_data(data), source, vocabulary).require()


def inspect_path(path: Path | str, vocabulary: Vocabulary | None = None, choices: Choices | None = None) -> Inspection:
    """Read a file or folder as `load` does, and report warnings too instead of raising."""
    file = Path(path)
    if file.is_dir():
        file = file / FILE_NAME
    text = _text_of(file, Path(path))
    if isinstance(text, Problem):
        return Inspection(None, (text,), (file,))
    inspection = inspect_text(text, str(file), vocabulary, choices, file)
    scenario = inspection.scenario
    if scenario is None or scenario.name is not None:
        return inspection
    name = file.resolve().parent.name if file.name == FILE_NAME else file.stem
    return replace(inspection, scenario=scenario.model_copy(update={"name": name or "scenario"}))


def inspect_text(
    text: str,
    source: str = "<string>",
    vocabulary: Vocabulary | None = None,
    choices: Choices | None = None,
    file: Path | None = None,
) -> Inspection:
    """Read a text as `loads` does, and report warnings too instead of raising; `file` is from where it may extend."""
    if len(text) > MAX_TEXT:
        sentence = f"the text is longer than {MAX_TEXT // 1024 // 1024} MB, which no scenario needs; split it up"
        return Inspection(None, (Problem(source, 0, 0, "", sentence),), (file,) if file else ())
    composed = compose(text.removeprefix("\ufeff"), source=source)
    problems = [
        Problem(source, found.mark.line, found.mark.column, path_text(found.location), found.sentence)
        for found in composed.problems
    ]
    if composed.root is None or composed.root.value is None:
        if not problems:
            problems.append(Problem(source, 1, 1, "", "the scenario is empty; begin with stack_emu: 1"))
        return Inspection(None, tuple(problems), (file,) if file else ())
    for location, sentence in resolve_paths(composed.root, file.parent if file else None):
        found_at = find(composed.root, location).value_mark
        problems.append(Problem(source, found_at.line, found_at.column, path_text(location), sentence))
    return _inspect_nodes(composed.root, source, vocabulary, problems, choices, file)


def _inspect_nodes(
    root: Node,
    source: str,
    vocabulary: Vocabulary | None,
    known: list[Problem] | None = None,
    choices: Choices | None = None,
    file: Path | None = None,
) -> Inspection:
    problems = list(known or ())
    files: tuple[Path, ...] = ()
    if not isinstance(root.value, dict):
        sentence = "a scenario is a mapping; begin with stack_emu: 1"
        return Inspection(None, (*problems, Problem(source, root.mark.line, root.mark.column, "", sentence)))
    composition = assemble(root, source, file, choices or Choices(), lambda target: _text_of(target, target))
    root, files = composition.root, composition.files
    problems += composition.problems
    data = root.plain()
    scenario: Scenario | None = None
    try:
        scenario = Scenario.model_validate(data)
    except ValidationError as error:
        details = apt_branches([dict(detail) for detail in error.errors(include_url=False)], data)
        explained = [_from_pydantic(one, root, source) for one in details[:MAX_PROBLEMS] if not _is_echo(one)]
        if len(details) > MAX_PROBLEMS:
            rest = f"{len(details) - MAX_PROBLEMS} more mistakes are not shown; put these right first"
            problems.append(Problem(source, 0, 0, "", rest))
        seen = {(problem.file, problem.line, problem.column) for problem in problems if problem.line}
        problems += [problem for problem in explained if (problem.file, problem.line, problem.column) not in seen]
    findings = _check_whole(data, vocabulary or Vocabulary())
    problems += [_from_finding(finding, root, source, file) for finding in findings.found[:MAX_PROBLEMS]]
    files = (*files, *(one for one in (_shown(path, file) for path in findings.files) if one not in files))
    order = {str(one): index for index, one in enumerate(files)}
    problems.sort(key=lambda problem: (order.get(problem.file, 0), problem.line, problem.column))
    failed = any(problem.severity == "error" for problem in problems)
    return Inspection(None if failed else scenario, tuple(problems), files, root)


def _check_whole(data: Any, vocabulary: Vocabulary) -> Findings:
    findings, root = Findings(), Place(data)
    check_references(root, findings)
    check_rules(root, vocabulary, findings)
    check_upstreams(root, findings)
    check_faults(root, findings)
    return findings


def _from_pydantic(error: dict[str, Any], root: Node, source: str) -> Problem:
    location, sentence, on_key = explain(error)
    found = find(root, location)
    mark = found.key_mark if on_key else found.value_mark
    shown = found.location[:-1] if error["type"] == "extra_forbidden" else found.location
    return Problem(mark.file or source, mark.line, mark.column, path_text(shown), sentence)


def _shown(path: Path, file: Path | None) -> Path:
    """A file that a scenario names, as the scenario's own file is named where it is beside or below it."""
    if file is not None and path.is_relative_to(file.parent.resolve()):
        return file.parent / path.relative_to(file.parent.resolve())
    return path


def _is_echo(error: dict[str, Any]) -> bool:
    """Pydantic also calls a list too short when it has enough entries and they have mistakes of their own."""
    return error["type"] == "too_short" and bool(len(error["input"]) >= error["ctx"]["min_length"])


def _from_finding(finding: Finding, root: Node, source: str, file: Path | None) -> Problem:
    inside = finding.document
    if inside is not None:
        where = str(_shown(Path(inside.mark.file), file))
        return Problem(where, inside.mark.line, inside.mark.column, inside.path, inside.sentence, inside.severity)
    found = find(root, finding.location)
    mark, sentence = found.value_mark, finding.sentence
    if finding.other is not None:
        sentence = sentence.replace("{other}", path_text(find(root, finding.other).location))
    return Problem(mark.file or source, mark.line, mark.column, path_text(found.location), sentence, finding.severity)


def _text_of(file: Path, named: Path) -> str | Problem:
    """The text of a file, or why it cannot be read; `named` is what the user called it."""
    try:
        content = _read(file)
    except OSError as error:
        return Problem(str(named), 0, 0, "", _unreadable(named, file, error))
    if len(content) > MAX_BYTES:
        return Problem(str(file), 0, 0, "", _TOO_LARGE)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        return _not_utf8(str(file), content, error)


def _read(file: Path) -> bytes:
    """At most one byte more than is allowed, so that no file is too big to refuse."""
    with file.open("rb") as stream:
        return stream.read(MAX_BYTES + 1)


def _unreadable(named: Path, file: Path, error: OSError) -> str:
    if not isinstance(error, FileNotFoundError):
        return f"it cannot be read ({error.strerror or error}); check the path and its permissions"
    if named.is_dir():
        others = sorted(path.name for path in named.glob("*.y*ml"))
        there = f"; rename {others[0]} to {FILE_NAME}, or name that file" if others else f"; add {FILE_NAME} to it"
        return f"the folder has no {FILE_NAME}{there}"
    folder = named.parent
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    close = nearest(named.name, names)
    hint = f"did you mean {folder / close}?" if close else f"name a file, or a folder with {FILE_NAME} in it"
    return f"there is no such file or folder; {hint}"


def _not_utf8(source: str, content: bytes, error: UnicodeDecodeError) -> Problem:
    before = content[: error.start]
    line = before.count(b"\n") + 1
    column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8")) + 1
    sentence = f"the byte 0x{content[error.start]:02X} is not UTF-8; save the file as UTF-8"
    return Problem(source, line, column, "", sentence)
