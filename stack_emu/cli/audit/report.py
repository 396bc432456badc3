"""``stack-emu audit report``: show a log to people, as one self-contained page or as Markdown."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from stack_emu.cli.audit.log_files import read_log, write


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the action's arguments."""
    parser.add_argument("file", type=Path, help="a canonical log or an export of raw rows")
    parser.add_argument("second", type=Path, nargs="?", help="another one, to show what differs in it")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--html", action="store_true", help="one self-contained page, which is also the default")
    form.add_argument("--markdown", action="store_true", help="a summary, such as for $GITHUB_STEP_SUMMARY")
    parser.add_argument("--head", help="the hash the last log named is known to end with")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write here instead of to the standard output")


def run(options: argparse.Namespace) -> int:
    """Write the report; returns 0, also when the log is broken, which the report says.

    Raises:
        UsageError: when a file cannot be read or is no audit log.
    """
    from stack_emu.audit_log.comparison import compare
    from stack_emu.audit_log.report import report, rows_of
    from stack_emu.audit_log.report_markdown import report_markdown
    from stack_emu.audit_log.report_page import report_page
    from stack_emu.audit_log.verification import head_break, verify

    paths = [path for path in (options.file, options.second) if path is not None]
    logs = [read_log(path) for path in paths]
    verdicts = [verify(log) for log in logs]
    if verdicts[-1].valid:
        verdicts[-1] = replace(verdicts[-1], broken=head_break(logs[-1], options.head))
    reports = [report(str(path), log, verdict) for path, log, verdict in zip(paths, logs, verdicts, strict=True)]
    found = compare(rows_of(logs[0]), rows_of(logs[1])) if len(logs) > 1 else []
    text = report_markdown(reports, found) if options.markdown else report_page(reports, found)
    write(options.out, text.encode("utf-8", "replace"))
    return 0
