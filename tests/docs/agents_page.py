"""docs/agents.md by sections: the files it prints, the commands it runs and what they answer."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.docs.blocks import ROOT

AGENTS = ROOT / "docs" / "agents.md"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_NAME = re.compile(r"(?:#|//) ([\w.]+)\n")


@dataclass
class Section:
    """A section of the page.

    Attributes:
        text: all of it.
        files: file name to contents, from the blocks that start with a name.
        script: the lines of its shell blocks.
        printed: what its text blocks say those lines print.
        stray: blocks of another kind, which nothing runs.
    """

    text: str
    files: dict[str, str] = field(default_factory=dict)
    script: str = ""
    printed: str = ""
    stray: list[str] = field(default_factory=list)

    def write(self, folder: Path) -> Path:
        """Write its files and the scenario of the page; the folder."""
        for name, contents in {**SCENARIO, **self.files}.items():
            (folder / name).write_text(contents)
        return folder


def _read(text: str) -> Section:
    section = Section(text)
    for language, contents in _BLOCK.findall(text):
        name = _NAME.match(contents)
        if name:
            section.files[name[1]] = contents
        elif language == "sh":
            section.script += contents
        elif language == "text":
            section.printed += contents
        else:
            section.stray.append(contents)
    return section


SECTIONS = {
    part.partition("\n")[0]: _read(part) for part in re.split(r"^## ", AGENTS.read_text(), flags=re.MULTILINE)[1:]
}
SCENARIO = SECTIONS["The scenario"].files


def run_script(
    section: Section,
    folder: Path,
    python: str = sys.executable,
    base: Mapping[str, str] = os.environ,
    within: Sequence[str] = (),
) -> str:
    """Run a section's shell lines where its files are, with this `python` and this repository's `stack-emu`.

    Args:
        section: whose lines to run.
        folder: where its files are.
        python: what `python` is in them.
        base: the environment, whose PATH gets what the lines name.
        within: a command that runs the shell.
    """
    from tests.mcp.node_programs import node

    places = [Path(python).parent, Path(sys.executable).parent, Path(node()).parent]
    environment = {**base, "PATH": os.pathsep.join([*map(str, places), base["PATH"]])}
    command = [*within, "bash", "-euc", section.script]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout
