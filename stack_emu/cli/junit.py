"""The verdict of ``exec`` as JUnit XML, for CI systems that show it."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from stack_emu.cli.exit_codes import NOT_EXECUTABLE, SIGNALLED
from stack_emu.verdict import Finding, Verdict

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(
    path: Path,
    command: Sequence[str],
    code: int,
    judged: Verdict,
    seconds: float,
    *,
    scenario: Path | None = None,
    seed: object = None,
) -> None:
    """Write one test suite: the command, a case for each expectation, held or not, and one for each violation.

    A command that could not be run, or that a signal ended, is an error; one that ended by itself with a code, a failure.

    Args:
        path: file to write.
        command: what was run.
        code: its exit code.
        judged: the verdict.
        seconds: how long it ran.
        scenario: the scenario's file or folder; cases of expectations name the line they stand in.
        seed: the seed of the run.
    """
    places = [name.partition(":")[0] for name in judged.held] + [found.place or "" for found in judged.failures]
    lines = dict(zip(places, _lines(scenario, places), strict=True))
    broken = code == NOT_EXECUTABLE or code > SIGNALLED
    cases = [_case("command", " ".join(command), _end(code), tag="error" if broken else "failure", seconds=seconds)]
    cases += [_case("expectation", name, None, lines[name.partition(":")[0]]) for name in judged.held]
    for found in judged.failures:
        cases.append(_case(found.kind, found.sentence, _with_near(found), lines[found.place or ""]))
    failed = len(judged.failures) + (bool(code) and not broken)
    properties = {"scenario": scenario, "seed": seed}
    listed = "".join(
        f"    <property name={quoteattr(name)} value={quoteattr(_printable(str(value)))}/>\n"
        for name, value in properties.items()
        if value is not None
    )
    counts = f'tests="{len(cases)}" failures="{failed}" errors="{int(broken)}" skipped="0" time="{seconds:.3f}"'
    path.write_text(
        '<?xml version="1.0" encoding="utf-8"?>\n'
        f'<testsuite name="stack-emu" {counts}>\n'
        + (f"  <properties>\n{listed}  </properties>\n" if listed else "")
        + "\n".join(cases)
        + "\n</testsuite>\n",
        encoding="utf-8",
    )


def _lines(scenario: Path | None, places: Sequence[str]) -> list[str | None]:
    """``file:line`` of the expectations that are written in the scenario's file; None for what is not."""
    if scenario is None:
        return [None for _ in places]
    from stack_emu.scenario.loader import FILE_NAME
    from stack_emu.scenario.positions import find
    from stack_emu.scenario.yaml_reader import compose

    file = scenario / FILE_NAME if scenario.is_dir() else scenario
    root = compose(file.read_text(encoding="utf-8").removeprefix("\ufeff")).root
    if root is None:
        return [None for _ in places]
    found = [find(root, ("expect", *_location(place))) for place in places]
    return [f"{file}:{one.value_mark.line}" if place else None for place, one in zip(places, found, strict=True)]


def _location(place: str) -> tuple[str | int, ...]:
    return tuple(int(part) if part.isdigit() else part for part in re.findall(r"\w+", place))


def _with_near(finding: Finding) -> str:
    return f"{finding.sentence}\n{finding.near}" if finding.near else finding.sentence


def _end(code: int) -> str | None:
    """How a command ended; None when it ended well."""
    number = code - SIGNALLED
    if number in {one.value for one in signal.Signals}:
        return f"ended by signal {number} ({signal.Signals(number).name})"
    return f"exit code {code}" if code else None


def _case(
    kind: str,
    name: str,
    failure: str | None,
    where: str | None = None,
    *,
    tag: str = "failure",
    seconds: float = 0.0,
) -> str:
    first = quoteattr(_printable((failure or "").partition("\n")[0]))
    told = f"{where}\n{failure}" if where and failure else failure or ""
    body = f"<{tag} type={quoteattr(kind)} message={first}>{escape(_printable(told))}</{tag}>" if failure else ""
    named = quoteattr(_printable(f"{name} ({where})" if where else name))
    classname = quoteattr("stack-emu." + kind)
    return f'  <testcase classname={classname} name={named} time="{seconds:.3f}">{body}</testcase>'


def _printable(text: str) -> str:
    """The text without what XML cannot hold."""
    return _NOT_XML.sub("\ufffd", text)
