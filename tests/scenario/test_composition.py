"""One scenario out of several files, overlays and variables: what wins, and where mistakes are said to be."""

from __future__ import annotations

from pathlib import Path

import pytest

from stack_emu.scenario.composition import Choices, read_setting
from stack_emu.scenario.loader import Inspection, from_data, inspect_path, inspect_text, load, loads
from stack_emu.scenario.problems import ScenarioError
from stack_emu.scenario.resolved import resolved_text

BASE = """\
stack_emu: 1
name: base
description: The base.
seed: 5
operator: {id: op_x, name: X, keys: [{key: sk_live_emu_x}]}
agents:
  - {name: clerk, accountability_mode: logged, description: A clerk.}
  - {name: scribe}
services:
  - {provider: slack, scopes: [read], grants: [{agent: clerk}]}
upstreams:
  slack:
    hosts: [slack.com]
    routes: [{when: {path: /a}, reply: {status: 201}}]
model: [{when: {user: hi}, turns: [{say: from the base}]}]
timeline: [{at: +1m, operation: agents.block}]
"""


def write(folder: Path, **texts: str) -> None:
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")


def said(inspection: Inspection, folder: Path) -> list[str]:
    return [str(problem).replace(f"{folder}/", "") for problem in inspection.problems]


def test_mappings_things_and_rules_are_merged_each_in_its_way(tmp_path: Path) -> None:
    top = """\
extends: base.yaml
operator: {id: op_x, name: Y}
agents: [{name: clerk, description: Anew.}, {name: other}]
services: [{provider: slack, scopes: [read, write], grants: [{agent: other}]}]
upstreams: {slack: {routes: [{when: {path: /b}, reply: {status: 202}}]}, notes: {hosts: [notes.example.com]}}
model: [{when: {user: ho}, turns: [{say: from the top}]}]
timeline: [{at: +2m, operation: agents.unblock}]
"""
    write(tmp_path, base=BASE, top=top)
    scenario = load(tmp_path / "top.yaml")
    assert (scenario.name, scenario.description, scenario.seed) == ("top", None, 5)
    assert [(one.id, one.name, one.keys[0].key) for one in scenario.operators] == [("op_x", "Y", "sk_live_emu_x")]
    assert [(one.name, one.description, one.accountability_mode) for one in scenario.agents] == [
        ("clerk", "Anew.", "logged"),
        ("scribe", None, scenario.agents[1].accountability_mode),
        ("other", None, scenario.agents[2].accountability_mode),
    ]
    assert list(scenario.services[0].scopes) == ["read", "write"]
    assert [grant.agent for grant in scenario.services[0].grants] == ["clerk", "other"]
    assert [route.reply.status for route in scenario.upstreams["slack"].routes if route.reply] == [202, 201]
    assert list(scenario.upstreams) == ["slack", "notes"]
    assert [rule.turns[0].say for rule in scenario.model] == ["from the top", "from the base"]
    assert [step.operation for step in scenario.timeline] == ["agents.block", "agents.unblock"]


def test_another_operator_is_a_second_one_also_in_the_short_form(tmp_path: Path) -> None:
    write(tmp_path, base=BASE, top="extends: base.yaml\noperator: {id: op_y, keys: [{key: sk_live_emu_y}]}\n")
    assert [one.id for one in load(tmp_path / "top.yaml").operators] == ["op_x", "op_y"]


def test_what_is_replaced_or_dropped_is_not_merged(tmp_path: Path) -> None:
    top = """\
extends: [base.yaml]
replace: [model, services.slack.scopes]
drop: [agents.scribe, timeline, upstreams.slack.routes]
services: [{provider: slack, scopes: [write]}]
model: [{when: {user: ho}, turns: [{say: alone}]}]
"""
    write(tmp_path, base=BASE, top=top)
    scenario = load(tmp_path / "top.yaml")
    assert [rule.turns[0].say for rule in scenario.model] == ["alone"]
    assert list(scenario.services[0].scopes) == ["write"]
    assert [agent.name for agent in scenario.agents] == ["clerk"]
    assert scenario.timeline == ()
    assert scenario.upstreams["slack"].routes == ()


def test_later_bases_win_and_folders_are_their_scenario(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    write(tmp_path / "inner", scenario="stack_emu: 1\nextends: ../one.yaml\nagents: [{name: inner}]\n")
    write(tmp_path, one="stack_emu: 1\nseed: 1\n", two="seed: 2\n", top="extends: [inner, two.yaml]\n")
    inspection = inspect_path(tmp_path / "top.yaml")
    assert inspection.require().seed == 2
    assert [agent.name for agent in inspection.require().agents] == ["inner"]
    assert [file.name for file in inspection.files] == ["top.yaml", "scenario.yaml", "one.yaml", "two.yaml"]


def test_a_mistake_points_at_the_file_it_is_in(tmp_path: Path) -> None:
    write(tmp_path, base=BASE.replace("seed: 5", "sed: 5"))
    write(tmp_path, top="extends: base.yaml\nseed: x\nagents: [{nam: other}]\n")
    found = said(inspect_path(tmp_path / "top.yaml"), tmp_path)
    places = [one.partition(": ")[0] for one in found]
    assert places == ["top.yaml:2:7", "top.yaml:3:10", "top.yaml:3:11", "base.yaml:4:1"], found
    assert found[-1] == "base.yaml:4:1: unknown key sed; did you mean seed?"


@pytest.mark.parametrize(
    ("top", "problem"),
    [
        ("extends: bse.yaml\n", "1:10: extends: bse.yaml cannot be used: there is no such file or folder; "),
        ("extends: [1]\n", "1:11: extends[0]: extends names a file, or a list of files, such as ../base.yaml"),
        ("extends: http://x/y.yaml\n", "1:10: extends: http://x/y.yaml is not beside this file; name it relative"),
        ("extends: /etc/base.yaml\n", "1:10: extends: /etc/base.yaml is not beside this file; name it relative"),
        ("extends: top.yaml\n", "1:10: extends: the files extend one another in a circle (top.yaml → top.yaml); "),
        ("extends: base.yaml\ndrop: [agents.scrib]\n", "2:8: drop[0]: there is no agents.scrib to drop; did you mean"),
        ("extends: base.yaml\ndrop: {a: 1}\n", "2:7: drop: drop names what is not wanted, such as faults or agents"),
        ("extends: base.yaml\nreplace: faults\n", "2:10: replace: there is no faults here to put in its place; "),
        ("overlays: [a]\n", "1:11: overlays: overlays are a mapping of names to parts of a scenario, such as ci"),
        ("overlays: {ci: 1}\n", "1:16: overlays.ci: an overlay is a mapping with parts of a scenario, such as"),
        ("overlays: {ci: {extends: a}}\n", "1:17: overlays.ci.extends: an overlay has no extends of its own; move"),
        ("variables: [a]\n", "1:12: variables: variables are a mapping of names to values, such as channel"),
        ("variables: {a: [1]}\n", "1:16: variables.a: a variable is text, a number, true, false or null; use an"),
        ("variables: {a b: 1}\n", "1:13: variables.a b: a variable is called with letters, digits, _ and -, such"),
        (
            "variables: {channel: x}\nname: a ${chanel}\n",
            "2:7: name: there is no variable chanel; did you mean channel",
        ),
        ("name: ${env:HOME}\n", "1:7: name: the environment is not read; declare a variable, and give its value with"),
    ],
)
def test_a_mistake_of_putting_together_has_its_place_and_remedy(tmp_path: Path, top: str, problem: str) -> None:
    write(tmp_path, base=BASE, top=top + "stack_emu: 1\n")
    found = said(inspect_path(tmp_path / "top.yaml"), tmp_path)
    assert [one for one in found if one.startswith(f"top.yaml:{problem}")], found


def test_a_circle_over_several_files_is_named(tmp_path: Path) -> None:
    write(tmp_path, a="extends: b.yaml\nstack_emu: 1\n", b="extends: c.yaml\n", c="extends: a.yaml\n")
    assert said(inspect_path(tmp_path / "a.yaml"), tmp_path) == [
        "c.yaml:1:10: extends: the files extend one another in a circle (a.yaml → b.yaml → c.yaml → a.yaml); end it"
    ]


def test_long_chains_and_too_many_files_are_refused(tmp_path: Path) -> None:
    for number in range(20):
        write(tmp_path, **{f"c{number}": f"stack_emu: 1\nextends: c{number + 1}.yaml\n"})
    assert "more than 16 files extend one another" in said(inspect_path(tmp_path / "c0.yaml"), tmp_path)[0]
    for number in range(12):  # each names the next twice: 4096 readings without a limit
        below = f"d{number + 1}.yaml"
        write(tmp_path, **{f"d{number}": f"stack_emu: 1\nextends: [{below}, {below}]\n"})
    write(tmp_path, d12="stack_emu: 1\n")
    inspection = inspect_path(tmp_path / "d0.yaml")
    assert "more than 64 files" in said(inspection, tmp_path)[0]


def test_a_text_without_a_file_extends_nothing() -> None:
    problems = inspect_text("stack_emu: 1\nextends: a.yaml\n").problems
    assert [problem.sentence.partition(";")[0] for problem in problems] == [
        "only a scenario in a file can extend another"
    ]
    with pytest.raises(ScenarioError, match="only a scenario in a file"):
        from_data({"stack_emu": 1, "extends": "/etc/passwd"})


LAYERED = """\
stack_emu: 1
variables: {n: 7, on: true, where: engineering}
seed: ${n}
strict: ${on}
description: "To ${where}, ${n} times, not $${where} or {{ x }}."
overlays:
  one: {seed: 1, variables: {where: one}}
  two: {seed: 2}
"""


def test_overlays_are_laid_over_in_the_order_chosen() -> None:
    assert loads(LAYERED).seed == 7
    assert loads(LAYERED, choices=Choices(("one", "two"))).seed == 2
    chosen = loads(LAYERED, choices=Choices(("two", "one")))
    assert (chosen.seed, chosen.description) == (1, "To one, 7 times, not ${where} or {{ x }}.")


def test_an_overlay_or_variable_that_is_not_there_names_the_nearest() -> None:
    found = inspect_text(LAYERED, "S", choices=Choices(("tow",), {"wher": "x"})).problems
    assert [str(problem) for problem in found] == [
        "S:2:12: there is no variable wher to set; did you mean where?",
        "S:7:3: there is no overlay tow; did you mean two?",
    ]


def test_a_variable_alone_keeps_its_type_and_can_be_set() -> None:
    scenario = loads(LAYERED)
    assert (scenario.seed, scenario.strict) == (7, True)
    given = loads(LAYERED, choices=Choices((), dict(map(read_setting, ("n=9", "on=false", "where=a=b")))))
    assert (given.seed, given.strict, given.description) == (9, False, "To a=b, 9 times, not ${where} or {{ x }}.")
    with pytest.raises(ValueError, match="write name=value"):
        read_setting("n")


def test_merge_keys_fill_in_what_is_not_there() -> None:
    text = """\
stack_emu: 1
agents:
  - &one {name: one, description: First., accountability_mode: logged}
  - &two {name: two, description: Second.}
  - {<<: *one, name: three}
  - {name: four, <<: [*two, *one]}
"""
    found = [(one.name, one.description, one.accountability_mode) for one in loads(text).agents[2:]]
    assert found == [("three", "First.", "logged"), ("four", "Second.", "logged")]


def test_the_resolved_text_is_the_same_scenario_and_says_from_where(tmp_path: Path) -> None:
    write(tmp_path, base=BASE, top="extends: base.yaml\ndescription: $${x}\nagents: [{name: other}]\nname: n\n")
    inspection = inspect_path(tmp_path / "top.yaml")
    assert inspection.root is not None
    text = resolved_text(inspection.root)
    assert loads(text) == inspection.require()
    assert f"# {tmp_path}/top.yaml:3, {tmp_path}/base.yaml\nagents:\n" in text
    assert f"# {tmp_path}/base.yaml:4\nseed: 5\n" in text
