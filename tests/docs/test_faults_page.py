"""docs/faults.md and docs/recording.md: their examples load, and their tables are what the code has."""

from __future__ import annotations

from typing import get_args

from stack_emu.cli.main import COMMANDS
from stack_emu.recording.routes import KEPT_HEADERS
from stack_emu.scenario.fault_models import Latency, Transport
from stack_emu.scenario.loader import inspect_text
from stack_emu.vocabulary import vocabulary
from tests.docs.blocks import ROOT, blocks
from tests.faults.test_transport import BROKEN

FAULTS = ROOT / "docs" / "faults.md"
RECORDING = ROOT / "docs" / "recording.md"


def test_the_example_is_a_scenario_without_mistakes() -> None:
    (example,) = blocks(FAULTS, "yaml")
    text = "stack_emu: 1\nupstreams: {slack: {pack: slack}}\n" + example
    assert inspect_text(text, "faults.md", vocabulary()).problems == ()


def test_every_transport_and_every_shape_of_a_delay_is_told() -> None:
    page = FAULTS.read_text("utf-8")
    for kind in get_args(Transport):
        raised = f"| `{BROKEN[kind][0].__name__}` | {BROKEN[kind][1]} |" if kind in BROKEN else "| 0 |"
        [line] = [line for line in page.splitlines() if line.startswith(f"| `{kind}` |")]
        assert line.endswith(raised)
    for shape in Latency.model_fields.keys() - {"fixed", "max"}:
        assert f"| `{{{shape}: " in page


def test_the_headers_a_recording_keeps_are_listed() -> None:
    page = RECORDING.read_text("utf-8").lower()
    assert [name for name in KEPT_HEADERS if f"`{name}`" not in page] == []
    assert "record" in COMMANDS
