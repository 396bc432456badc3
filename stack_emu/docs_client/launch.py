"""Giving ``getstack`` the shape of STACK's page in a command that ``stack-emu exec`` runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from stack_emu.docs_client.isolation import why_not

FOLDER = Path(__file__).with_name("on_path")
"""Holds ``sitecustomize.py`` and nothing else, so that it adds no other name to the command's imports."""


def prepare(cmd: list[str], environment: dict[str, str]) -> None:
    """Put the folder first on the command's PYTHONPATH, and say on stderr when its Python would not look there.

    Args:
        cmd: the command and its arguments.
        environment: of the command; changed in place.
    """
    folder, inherited = str(FOLDER), environment.get("PYTHONPATH", "")
    environment["PYTHONPATH"] = f"{folder}{os.pathsep}{inherited}" if inherited else folder
    reason = why_not(cmd, environment.get("PATH"))
    if os.pathsep in folder:
        reason = f"{folder} contains {os.pathsep!r} and cannot stand in PYTHONPATH; install stack-emu elsewhere"
    if reason is not None:
        sys.stderr.write(f"stack-emu: --docs-client cannot apply: {reason}\n")
