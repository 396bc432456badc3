"""Where the bundled scenarios are: beside the package in a checkout, inside it in an installed wheel."""

from __future__ import annotations

from pathlib import Path

from stack_emu.cli.main import UsageError

_PACKAGE = Path(__file__).resolve().parent.parent


def scenario_folder(name: str) -> Path:
    """The folder of a bundled scenario.

    Raises:
        UsageError: when there is none of that name.
    """
    for home in (_PACKAGE / "bundled_scenarios", _PACKAGE.parent / "scenarios"):
        if (home / name / "scenario.yaml").is_file():
            return home / name
    raise UsageError(f"there is no bundled scenario {name}; reinstall stack-emu")
