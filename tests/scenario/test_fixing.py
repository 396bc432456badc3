"""Keys are put right where they can mean one thing only, and nothing else in the file changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from stack_emu.scenario.fixing import diff, fixed
from stack_emu.scenario.loader import load

WRONG = """\
\ufeff# a comment with sed: 1\r
stack_emu: 1\r
sed:   7   # the seed\r
agents:\r
  - {"accountabilityMode": logged, name: 'clerk'}\r
upstreams:\r
  orders:\r
    hosts: [orders.example.com]\r
    routes:\r
      - request: {path: /a}  \r
        'response': {status_code: 201, text: "response: 1"}\r
"""
RIGHT = (
    WRONG.replace("sed:   7", "seed:   7")
    .replace("accountabilityMode", "accountability_mode")
    .replace("request: {", "when: {")
    .replace("'response'", "'reply'")
    .replace("status_code", "status")  # known as a key of the reply only once that is called so
)


def write(folder: Path, text: str) -> Path:
    file = folder / "scenario.yaml"
    file.write_bytes(text.encode("utf-8"))
    return file


def after(path: Path) -> str:
    found = fixed(path)
    assert found is not None
    return found[2]


def test_keys_change_and_nothing_else_does(tmp_path: Path) -> None:
    file = write(tmp_path, WRONG)
    assert after(tmp_path) == RIGHT
    write(tmp_path, RIGHT)
    assert after(file) == RIGHT
    assert load(file).upstreams["orders"].routes[0].reply.status == 201  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "text",
    [
        "stack_emu: 1\nseed: 1\nsed: 2\n",
        "stack_emu: 1\noperators: [{id: op_a}]\noperatr: {id: op_b}\n",
        "stack_emu: 1\nsed: 1\nseeed: 2\n",
        "stack_emu: 1\nzzz: 1\n",
        "stack_emu: 1\nextends: nowhere.yaml\n",
        "stack_emu: [\n",
        "",
    ],
)
def test_what_is_not_clear_is_left_alone(tmp_path: Path, text: str) -> None:
    assert after(write(tmp_path, text)) == text


def test_files_that_are_extended_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("stack_emu: 1\nsed: 1\n")
    file = write(tmp_path, "extends: base.yaml\nagnts: [{name: clerk}]\n")
    assert after(file) == "extends: base.yaml\nagents: [{name: clerk}]\n"
    assert (tmp_path / "base.yaml").read_text() == "stack_emu: 1\nsed: 1\n"


def test_the_change_is_shown_as_a_diff(tmp_path: Path) -> None:
    found = fixed(write(tmp_path, "stack_emu: 1\nsed: 1\n"))
    assert found is not None
    assert list(diff(*found))[2:] == ["@@ -2 +2 @@", "-sed: 1", "+seed: 1"]


def test_a_file_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    assert fixed(tmp_path / "nowhere.yaml") is None
