"""``stack-emu audit``: verify, diff, export and tamper, as a user runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stack_emu.cli.main import main
from tests.families.proxy_world import ECHO, WORLD, raw_proxy, token


@pytest.fixture
def served(serve: Callable[..., Any]) -> Any:
    """A world in which two calls were made."""
    running = serve(WORLD)
    for number in range(2):
        raw_proxy(running, {"service": "echo", "url": f"{ECHO}/{number}"}, X_Passport_Token=token(running))
    return running


@pytest.fixture
def log(served: Any, tmp_path: Path) -> Path:
    """Its canonical log in a file."""
    path = tmp_path / "audit.jsonl"
    assert main(["audit", "export", "--url", served.base_url, "--out", str(path)]) == 0
    return path


def test_verify_says_how_many_rows_hold_and_what_the_head_is(log: Path, capsys: Any) -> None:
    assert main(["audit", "verify", str(log)]) == 0
    said = capsys.readouterr().out
    head = json.loads(log.read_text().splitlines()[-1])["head"]
    assert said == f"{log}: 2 rows, head {head}\n"
    assert main(["audit", "verify", str(log), "--head", head]) == 0
    assert main(["audit", "verify", str(log), "--head", "0" * 64]) == 1


def test_verify_runs_as_a_program_without_an_emulator(log: Path) -> None:
    command = [sys.executable, "-m", "stack_emu.cli.main", "audit", "verify", str(log)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 rows" in done.stdout


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ([], "edited"),
        (["--line", "2", "--set", "agent=someone"], "edited"),
        (["--how", "delete"], "deleted"),
        (["--how", "delete", "--line", "2"], "truncated"),
        (["--how", "insert"], "inserted"),
        (["--how", "swap"], "swapped"),
        (["--how", "truncate", "--line", "2"], "truncated"),
        (["--how", "fork"], "forked"),
    ],
)
def test_what_tamper_does_verify_names(log: Path, capsys: Any, options: list[str], kind: str) -> None:
    good = json.loads(log.read_text().splitlines()[-1])["head"]
    spoiled = log.with_name("spoiled.jsonl")
    assert main(["audit", "tamper", str(log), "--out", str(spoiled), *options]) == 0
    assert main(["audit", "verify", str(spoiled)]) == 1
    assert f": {kind}: " in capsys.readouterr().out.splitlines()[-1]
    assert main(["audit", "verify", "--json", str(spoiled)]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["file"], told["valid"], told["form"], told["break"]["kind"]) == (
        str(spoiled),
        False,
        "canonical",
        kind,
    )
    assert main(["audit", "tamper", str(log), "--out", str(spoiled), "--rehash", *options]) == 0
    assert main(["audit", "verify", str(spoiled)]) == 0
    assert main(["audit", "verify", str(spoiled), "--head", good]) == 1
    assert main(["audit", "verify", str(log)]) == 0


def test_a_rehash_holds_by_itself_and_not_against_a_head_kept_elsewhere(log: Path, capsys: Any) -> None:
    good = json.loads(log.read_text().splitlines()[-1])["head"]
    assert main(["audit", "tamper", str(log), "--how", "rehash"]) == 0
    assert main(["audit", "verify", str(log)]) == 0
    assert main(["audit", "verify", str(log), "--head", good]) == 1
    assert "line 3: rehashed: " in capsys.readouterr().out


def test_diff_is_silent_about_equal_logs_and_shows_what_changed(log: Path, capsys: Any) -> None:
    other = log.with_name("other.jsonl")
    main(["audit", "tamper", str(log), "--set", "outcome=blocked", "--rehash", "--out", str(other)])
    capsys.readouterr()
    assert main(["audit", "diff", str(log), str(log)]) == 0
    assert capsys.readouterr().out == ""
    assert main(["audit", "diff", str(log), str(other)]) == 1
    said = capsys.readouterr().out
    assert said == (
        f"A is {log}, B is {other}\n"
        "agent agent_bot, passport pp_one: the 1st credential.proxy to echo was refused where A has success\n"
    )
    assert main(["audit", "diff", "--lines", str(log), str(other)]) == 1
    said = capsys.readouterr().out
    assert said.startswith("lane agent:agent_bot/passport:pp_one\n")
    assert '"outcome":"blocked"' in said
    assert main(["audit", "diff", "--json", str(log), str(other)]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["a"], told["b"], told["equal"]) == (str(log), str(other), False)
    [one] = told["differences"]
    assert (one["kind"], one["lines_a"], one["lines_b"]) == ("outcome", [1], [1])
    assert main(["audit", "diff", "--json", str(log), str(log)]) == 0
    assert json.loads(capsys.readouterr().out)["equal"] is True
    assert main(["audit", "diff", "--json", "--lines", str(log), str(log)]) == 2


def test_the_table_comes_from_a_file_or_a_running_emulator(served: Any, log: Path, capfdbinary: Any) -> None:
    assert main(["audit", "export", str(log), "--format", "table"]) == 0
    from_file = capfdbinary.readouterr().out
    assert main(["audit", "export", "--url", served.base_url, "--format", "table"]) == 0
    assert capfdbinary.readouterr().out == from_file
    assert from_file.splitlines()[0].split() == b"# agent passport intent scope action service result".split()
    assert b"pp_one" in from_file
    assert b"success 200" in from_file


@pytest.mark.parametrize("form", ["json", "ndjson", "csv"])
def test_raw_rows_are_exported_verified_and_spoiled_in_every_form(
    served: Any, tmp_path: Path, capsys: Any, form: str
) -> None:
    path, spoiled = tmp_path / f"rows.{form}", tmp_path / f"spoiled.{form}"
    assert main(["audit", "export", "--url", served.base_url, "--format", form, "--out", str(path)]) == 0
    assert main(["audit", "verify", str(path)]) == 0
    said = capsys.readouterr().out
    newest = served.rows()[-1].entry_hash
    assert said.startswith(f"{path}: 2 rows, the chain holds up to {newest}\n")
    assert "covers entry_id, timestamp, operator_id," in said
    assert main(["audit", "verify", str(path), "--head", newest]) == 0
    assert main(["audit", "tamper", str(path), "--set", "outcome=pending", "--out", str(spoiled)]) == 0
    capsys.readouterr()
    assert main(["audit", "verify", str(spoiled)]) == 1
    said = capsys.readouterr().out
    assert f", entry {served.rows()[0].entry_id}: edited: it was edited after it was hashed" in said
    assert "other columns are not hashed" in said
    assert main(["audit", "tamper", str(path), "--set", "error_message=fine", "--out", str(spoiled)]) == 0
    assert main(["audit", "verify", str(spoiled)]) == 0


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["verify", "nowhere.jsonl"], "nowhere.jsonl cannot be read"),
        (["diff", __file__, __file__], "not a whole canonical log"),
        (["export", "--url", "http://127.0.0.1:9"], "no emulator answers"),
        (["export", "LOG", "--format", "csv"], "running emulator"),
        (["verify", __file__], "this is no audit log"),
        (["verify", "LOG", "--checkpoint", "LOG"], "--jwks FILE or URL"),
        (["verify", "LOG", "--jwks", "LOG"], "--checkpoint FILE"),
        (["tamper", "LOG", "--line", "9"], "lines 1 to 2"),
        (["tamper", "LOG", "--how", "swap", "--line", "2"], "the last row"),
        (["tamper", "LOG", "--set", "outcome=success"], "has this value already"),
        (["tamper", "LOG", "--set", "outcome"], "NAME=VALUE"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(log: Path, capsys: Any, arguments: list[str], named: str) -> None:
    given = [str(log) if item == "LOG" else item for item in arguments]
    assert main(["audit", *given]) == 2
    said = capsys.readouterr().err
    assert named in said
    assert said.count("\n") == 1
