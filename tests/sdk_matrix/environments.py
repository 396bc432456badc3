"""Virtual environments of published SDK versions, made on first use and kept in ``.cache/sdk-matrix``."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

ALL = (
    *("0.1.0", "0.2.0", "0.3.0", "0.4.0", "0.5.0", "0.5.1", "0.6.0", "0.7.0", "0.8.0", "0.9.0", "0.10.0", "0.11.0"),
    *("0.12.0", "0.13.0", "0.13.1", "0.14.0", "0.15.0", "0.16.0", "0.17.0", "0.18.0", "0.19.0", "0.19.1"),
    *("1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0", "2.0.0", "3.0.0", "4.0.0"),
)
"""Every version on the package index."""

BREAKING = ("0.1.0", "0.2.0", "0.5.0", "0.14.0", "0.19.1", "1.0.0", "1.4.0", "3.0.0", "4.0.0")
"""The versions at which what goes over the wire broke with what went before, and the last before and first of an era."""

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "sdk-matrix"


def python_of(version: str) -> Path:
    """The interpreter of a version's own environment, installed from the package index when it is not there yet."""
    CACHE.mkdir(parents=True, exist_ok=True)
    home = CACHE / version
    ready = home / ".ready"
    with open(CACHE / f"{version}.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            _install(version, home)
            ready.touch()
    return home / "bin" / "python"


def _install(version: str, home: Path) -> None:
    quiet = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--clear", str(home)], check=True, timeout=60)
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "--python",
            str(home / "bin" / "python"),
            "install",
            "--quiet",
            f"getstack=={version}",
        ],
        check=True,
        timeout=100,
        env=quiet,
        capture_output=True,
    )
