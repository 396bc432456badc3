"""How the agents of the frameworks are started: which Python or Node runs them, with which packages."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from tests.mcp.node_programs import node, packages
from tests.mcp.python_programs import python_with

HERE = Path(__file__).resolve().parent
NODE = HERE / "node"
LANGCHAIN = ("langchain==1.5.2", "langchain-anthropic==1.7.10", "langchain-mcp-adapters==0.3.2")
"""Has an environment of its own: the adapters need mcp 1.x, this package mcp 2.x."""
OPENAI_AGENTS = "openai-agents==0.24.0"


def langchain_python() -> str:
    """The Python that has LangChain."""
    return python_with(*LANGCHAIN)


def openai_python() -> str:
    """The Python that has the OpenAI Agents SDK."""
    return python_with(OPENAI_AGENTS)


_PYTHON = {"langchain": langchain_python, "openai": openai_python}
"""Which Python runs a program, by the first word of its name."""


def with_node_modules(folder: Path) -> Path:
    """Let the programs in a folder import the pinned npm packages; the folder."""
    (folder / "node_modules").symlink_to(packages(NODE) / "node_modules")
    return folder


def command(program: Path, folder: Path) -> list[str]:
    """What runs a program; a TypeScript one runs from a folder of the test, where it finds its packages."""
    if program.suffix == ".mjs":
        return [node(), str(shutil.copy(program, with_node_modules(folder) / program.name))]
    return [_PYTHON.get(program.stem.partition("_")[0], lambda: sys.executable)(), str(program)]
