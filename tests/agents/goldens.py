"""Write the golden logs of the agents and of docs/agents.md anew: python -m tests.agents.goldens (make goldens)."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from tests.agents.programs import HERE, command
from tests.docs.agents_page import SECTIONS
from tests.docs.test_agents_page import GOLDEN
from tests.docs.test_pytest_page import run_pytest
from tests.scenarios.conftest import stack_emu

WRITTEN = [
    ("triage", "connector.py", "audit.jsonl", "commit"),
    ("triage", "client_tools.py", "audit-python-sdk.jsonl", "commit"),
    ("parallel", "langchain_agent.py", "audit.jsonl", "content"),
]


def write_all(folder: Path) -> None:
    """Run each agent and the page's tests once."""
    for world, program, golden, order in WRITTEN:
        audit = str(HERE / world / golden)
        agent = command(HERE / world / program, folder)
        stack_emu("exec", str(HERE / world), "--order", order, "--audit", audit, "--", *agent).ok()
    for section in SECTIONS.values():
        section.write(folder)
    run_pytest(folder, "test_audit.py", "--stack-emu-update").check_returncode()
    shutil.copy(folder / "golden" / "triage.jsonl", GOLDEN)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        write_all(Path(temporary))
