"""Programs written as STACK's page writes them, run in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stack_emu.docs_client.launch import prepare

WORLD = """
stack_emu: 1
agents: [{id: agent_deploy_bot, name: deploy-bot, accountability_mode: logged}]
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run_python(tmp_path: Path) -> Run:
    """Run a program as ``exec --docs-client`` would: ``run_python(text, *arguments, env=…, python=…, flags=…)``."""

    def run(
        program: str, *arguments: str, env: dict[str, str] | None = None, python: str = sys.executable, flags: Any = ()
    ) -> subprocess.CompletedProcess[str]:
        file = tmp_path / "program.py"
        file.write_text(program)
        environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "STACK_API_KEY")}
        environment.update(env or {})
        command = [python, *flags, str(file), *arguments]
        prepare(command, environment)
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    return run
