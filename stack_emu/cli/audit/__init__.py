"""``stack-emu audit``: verify, sign, compare, show, export and spoil audit logs. One file for each action.

Only ``export``, and ``checkpoint`` without a file, need a running emulator.
"""

from __future__ import annotations

import argparse

from stack_emu.cli.audit import checkpoint, diff, export, report, tamper, verify

_ACTIONS = {
    "verify": (
        verify,
        "check a canonical log or an export of raw rows; names the first broken row and what was done to it",
    ),
    "checkpoint": (checkpoint, "sign how far a log has come, so that later nothing before can be changed unnoticed"),
    "diff": (diff, "explain what happened differently in two canonical logs"),
    "report": (report, "show a log to people, as a page or as Markdown"),
    "export": (export, "print the log of a running emulator, or a canonical log as a table"),
    "tamper": (tamper, "spoil a log on purpose, to see what verify says"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions and their arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, (module, summary) in _ACTIONS.items():
        action = actions.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        module.add_arguments(action)
        action.set_defaults(act=module.run)


def run(options: argparse.Namespace) -> int:
    """Carry out one action.

    Returns:
        0, or 1 when verify found a break or diff a difference.
    """
    code: int = options.act(options)
    return code
