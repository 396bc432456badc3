"""What checking scenarios reports."""

from __future__ import annotations

from pathlib import Path

from stack_emu.scenario.check import check, report, reports, summary
from stack_emu.scenario.models import Scenario

FULL = Path(__file__).parent / "full.yaml"


def test_a_good_scenario_is_summed_up_in_a_line() -> None:
    checked = report(FULL)
    assert checked.ok
    assert checked.summary == (
        f"{FULL}: ok: 2 operators, 3 agents, 3 services, 2 missions, 2 passports, 2 skills, 1 fleet, 5 upstreams, "
        "6 scripts, 2 approvals, 1 detector, 2 timeline steps, 15 faults, 14 expectations"
    )


def test_an_empty_scenario_is_one_operator() -> None:
    assert summary(Scenario.default()) == "1 operator"


def test_a_bad_scenario_is_summed_up_by_its_errors(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("stack_emu: 1\nsed: 1\nfaults: [{on: {operation: a.b, per: world}, inject: {status: 500}}]\n")
    checked = report(file)
    assert not checked.ok
    assert checked.summary == f"{file}: 1 error; 1 warning"


def test_warnings_are_counted_and_do_not_make_a_scenario_bad(tmp_path: Path) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text("stack_emu: 1\nfaults: [{on: {operation: a.b, per: world}, inject: {status: 500}}]\n")
    checked = report(tmp_path)
    assert checked.ok
    assert checked.summary == f"{tmp_path}: ok: 1 operator, 1 fault; 1 warning"


def test_the_problems_of_all_paths_come_in_order(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("stack_emu: 1\nsed: 1\nnaem: x\n")
    second.write_text("")
    missing = tmp_path / "zzzzzz"
    assert [str(problem) for problem in check([first, second, FULL, missing])] == [
        f"{first}:2:1: unknown key sed; did you mean seed?",
        f"{first}:3:1: unknown key naem; did you mean name?",
        f"{second}:1:1: the scenario is empty; begin with stack_emu: 1",
        f"{missing}: there is no such file or folder; name a file, or a folder with scenario.yaml in it",
    ]
    assert [checked.ok for checked in reports([first, second, FULL, missing])] == [False, False, True, False]
