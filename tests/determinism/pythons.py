"""The Pythons on this machine that stack-emu runs on, each with an environment of its own in ``.cache/pythons``.

``python -m tests.determinism.pythons`` prepares an environment for every one that is found, from the package index.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "pythons"
VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
NEEDED = ("httpx>=0.28", "getstack==4.0.0")
"""What the programs need beside the package's own dependencies."""


def found() -> dict[str, Path]:
    """Interpreters by version: of pyenv, of uv, and on the path."""
    pythons: dict[str, Path] = {}
    for version in VERSIONS:
        for candidate in _candidates(version):
            if candidate.exists() and _is(candidate, version):
                pythons[version] = candidate
                break
    return pythons


def _candidates(version: str) -> Iterator[Path]:
    homes = (Path.home() / ".pyenv" / "versions", Path.home() / ".local" / "share" / "uv" / "python")
    for home in homes:
        if home.is_dir():
            yield from sorted(home.glob(f"*{version}.*/bin/python{version}"))
    on_path = shutil.which(f"python{version}")
    if on_path is not None:
        yield Path(on_path)


def _is(interpreter: Path, version: str) -> bool:
    asked = [str(interpreter), "-c", "import sys, venv; print('%d.%d' % sys.version_info[:2])"]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=30, check=False)
    return done.returncode == 0 and done.stdout.strip() == version


def prepared() -> dict[str, Path]:
    """The Python that runs this and, with ``DETERMINISM_PYTHONS=all``, those of the environments that are there."""
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    if os.environ.get("DETERMINISM_PYTHONS") != "all":
        return {own: Path(sys.executable)}
    ready = {
        version: CACHE / version / "bin" / "python" for version in VERSIONS if (CACHE / version / ".ready").exists()
    }
    return dict(sorted({**ready, own: Path(sys.executable)}.items()))


def prepare(version: str, interpreter: Path) -> None:
    """Make the environment of a version, unless it is there."""
    CACHE.mkdir(parents=True, exist_ok=True)
    home = CACHE / version
    with open(CACHE / f"{version}.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (home / ".ready").exists():
            return
        quiet = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        subprocess.run([str(interpreter), "-m", "venv", "--clear", str(home)], check=True, timeout=120)
        install = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "-e", str(ROOT), *NEEDED]
        subprocess.run(install, check=True, timeout=600, env=quiet)
        (home / ".ready").touch()


def main() -> None:
    """Prepare what is found, and say so."""
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    for version, interpreter in found().items():
        if version != own:
            prepare(version, interpreter)
    sys.stdout.write(f"Pythons that will run: {', '.join(prepared())}\n")


if __name__ == "__main__":
    main()
