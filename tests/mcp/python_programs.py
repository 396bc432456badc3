"""Virtual environments with pinned packages, made on first use and kept in ``.cache``."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys

from tests.mcp.node_programs import CACHE

INSTALL_SECONDS = 110


def python_with(requirement: str, *further: str) -> str:
    """The Python of an environment that has these packages, each given as ``name==version``."""
    CACHE.mkdir(exist_ok=True)
    name = requirement.replace("==", "-")
    if further:
        name += f"-and-{hashlib.sha256(' '.join(further).encode()).hexdigest()[:8]}"
    home = CACHE / f"venv-{name}-py{sys.version_info.major}.{sys.version_info.minor}"
    python = home / "bin" / "python"
    with (CACHE / f"{home.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "complete").exists():
            shutil.rmtree(home, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True, timeout=60)
            command = [
                sys.executable,
                "-m",
                "pip",
                "--python",
                str(python),
                "install",
                "--quiet",
                requirement,
                *further,
            ]
            made = subprocess.run(
                command,
                env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
                capture_output=True,
                text=True,
                check=False,
                timeout=INSTALL_SECONDS,
            )
            assert made.returncode == 0, (
                f"{requirement} could not be installed; it needs a package index:\n{made.stderr}"
            )
            (home / "complete").touch()
    return str(python)
