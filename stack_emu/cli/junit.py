"""The verdict of ``exec`` as JUnit XML, for CI systems that show it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from stack_emu.verdict import Finding, Verdict

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(path: Path, command: Sequence[str], code: int, judged: Verdict, seconds: float) -> None:
    """Write one test suite: the command, then one case for each finding.

    Args:
        path: file to write.
        command: what was run.
        code: its exit code.
        judged: the verdict.
        seconds: how long it ran.
    """
    cases = [_case("command", " ".join(command), f"exit code {code}" if code else None)]
    cases += [_case("expectation", name, None) for name in judged.held]
    cases += [_case(found.kind, found.sentence, _with_near(found)) for found in judged.failures]
    failed = len(judged.failures) + bool(code)
    path.write_text(
        '<?xml version="1.0" encoding="utf-8"?>\n'
        f'<testsuite name="stack-emu" tests="{len(cases)}" failures="{failed}" time="{seconds:.3f}">\n'
        + "\n".join(cases)
        + "\n</testsuite>\n",
        encoding="utf-8",
    )


def _with_near(finding: Finding) -> str:
    return f"{finding.sentence}\n{finding.near}" if finding.near else finding.sentence


def _case(kind: str, name: str, failure: str | None) -> str:
    body = f"<failure>{escape(_printable(failure))}</failure>" if failure else ""
    named = quoteattr(_printable(name))
    return f"  <testcase classname={quoteattr('stack-emu.' + kind)} name={named}>{body}</testcase>"


def _printable(text: str) -> str:
    """The text without what XML cannot hold."""
    return _NOT_XML.sub("\ufffd", text)
