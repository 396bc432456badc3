"""Every mistake a scenario can have is reported where it is, in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from stack_emu.scenario.findings import Vocabulary
from stack_emu.scenario.loader import ScenarioError, from_data, inspect_text, load, loads
from stack_emu.vocabulary import vocabulary

TABLE = Path(__file__).parent / "mistakes.txt"
BY_NAME = Path(__file__).parent / "mistakes_by_name.txt"


class Case(NamedTuple):
    name: str
    text: str
    problems: list[str]


def read_table(table: Path) -> list[Case]:
    cases: list[Case] = []
    for line in table.read_text(encoding="utf-8").split("\n"):
        if line.startswith("# "):
            cases.append(Case(line[2:], "", []))
        elif line.startswith("|"):
            cases[-1] = cases[-1]._replace(text=cases[-1].text + line[1:] + "\n")
        elif line.startswith("> "):
            cases[-1].problems.append(line[2:])
    return cases


CASES = read_table(TABLE)
CASES_BY_NAME = read_table(BY_NAME)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_mistake_is_reported_with_its_line_column_and_remedy(case: Case) -> None:
    found = [str(problem) for problem in inspect_text(case.text, "S").problems]
    assert found == [f"S:{problem}" for problem in case.problems]


@pytest.mark.parametrize("case", CASES_BY_NAME, ids=[case.name for case in CASES_BY_NAME])
def test_a_mistake_that_only_shows_beside_what_there_is(case: Case) -> None:
    found = [str(problem) for problem in inspect_text(case.text, "S", vocabulary()).problems]
    assert found == [f"S:{problem}" for problem in case.problems]


def test_every_case_in_the_table_expects_something() -> None:
    assert len(CASES) > 140
    assert all(case.problems for case in [*CASES, *CASES_BY_NAME])
    assert len({case.name for case in CASES}) == len(CASES)


def test_the_error_carries_all_errors_and_no_warning() -> None:
    text = "stack_emu: 1\nsed: 1\nfaults: [{on: {operation: a.b, per: world}, inject: {status: 99}}]\n"
    with pytest.raises(ScenarioError) as caught:
        loads(text, "deploy.yaml")
    assert str(caught.value).split("\n") == [
        "deploy.yaml:2:1: unknown key sed; did you mean seed?",
        "deploy.yaml:3:62: faults[0].inject.status: 99 is too small; the least is 100",
    ]
    assert [problem.severity for problem in caught.value.problems] == ["error", "error"]


def test_a_warning_does_not_stop_a_scenario_from_loading() -> None:
    inspection = inspect_text("stack_emu: 1\nfaults: [{on: {operation: a.b, per: world}, inject: {status: 500}}]\n")
    assert [problem.severity for problem in inspection.problems] == ["warning"]
    assert inspection.require().faults[0].on.per == "world"


def test_problems_come_in_the_order_of_the_file() -> None:
    text = "stack_emu: 1\npassports: [{agent: aa, mission: ms_a}]\nsed: 1\nmissions: [{agent: bb, intent: x}]\n"
    lines = [(problem.line, problem.column) for problem in inspect_text(text).problems]
    assert lines == sorted(lines)
    assert len(lines) == 4


GRANT = """\
stack_emu: 1
agents: [{{name: aa}}]
services:
  - provider: slack
    intents: [{{name: x.y, constraints: [{{path: method, op: eq, value: GET}}]}}]
    grants:
      - agent: aa
        intents: [{intents}]
        constraints: [{constraints}]
"""


def test_a_grant_has_at_most_32_constraints() -> None:
    constraint = "{path: method, op: eq, value: GET}"
    loads(GRANT.format(intents="", constraints=", ".join([constraint] * 32)))
    found = inspect_text(GRANT.format(intents="", constraints=", ".join([constraint] * 33)), "S").problems
    assert [str(problem) for problem in found] == [
        "S:9:22: services[0].grants[0].constraints: there are 33 entries; at most 32 are allowed"
    ]


def test_the_constraints_of_intents_count_towards_the_32() -> None:
    constraint = "{path: method, op: eq, value: GET}"
    loads(GRANT.format(intents="{name: x.y}", constraints=", ".join([constraint] * 31)))
    found = inspect_text(GRANT.format(intents="{name: x.y}", constraints=", ".join([constraint] * 32)), "S").problems
    sentence = "constraints and intents come to 33 constraints; at most 32 are allowed"
    assert [str(problem) for problem in found] == [f"S:7:9: services[0].grants[0]: {sentence}"]


def test_a_pattern_has_at_most_256_characters() -> None:
    grant = "{{path: method, op: matches, value: {}}}"
    loads(GRANT.format(intents="", constraints=grant.format("a" * 256)))
    found = inspect_text(GRANT.format(intents="", constraints=grant.format("a" * 257)), "S").problems
    assert [problem.sentence for problem in found] == ["the pattern has 257 characters; at most 256 are allowed"]


def test_an_agent_name_has_at_most_64_characters() -> None:
    loads(f"stack_emu: 1\nagents: [{{name: {'a' * 64}}}]\n")
    found = inspect_text(f"stack_emu: 1\nagents: [{{name: {'a' * 65}}}]\n").problems
    assert [problem.sentence for problem in found] == ["the text has 65 characters; at most 64 are allowed"]


@pytest.mark.parametrize(
    "text",
    [
        "stack_emu: 1\noperator: {keys: [{key: my-real-secret}]}\n",
        "stack_emu: 1\noperator: {keys: [{key: sk_live_my-real-secret}, {key: sk_live_my-real-secret}]}\n",
        "stack_emu: 1\nservices: [{provider: slack, credential: {text: [my-real-secret]}}]\n",
        "stack_emu: 1\nservices: [{provider: slack, credential: {fields: {a: [my-real-secret]}}}]\n",
        "stack_emu: 1\ntimeline: [{at: +1s, operation: a.b, as: my-real-secret}]\n",
    ],
)
def test_a_secret_is_never_repeated_in_a_message(text: str) -> None:
    problems = inspect_text(text).problems
    assert problems
    assert not [problem for problem in problems if "my-real-secret" in str(problem)]


def test_names_outside_the_scenario_are_checked_where_they_are_known() -> None:
    text = """\
stack_emu: 1
upstreams: {slack: {pack: slak}}
timeline: [{at: +1m, operation: passports.revoke_agnt}]
detectors: [{when: {operation: proxy.requst}, signal: scope_drft}]
faults: [{on: {operation: proxy.request}, inject: {error: FORBIDEN}}]
"""
    loads(text)
    vocabulary = Vocabulary(
        operations={"passports.revoke_agent", "proxy.request"},
        packs={"slack", "github"},
        codes={"FORBIDDEN", "NOT_FOUND"},
        detectors={"scope_drift"},
    )
    assert [str(problem) for problem in inspect_text(text, "S", vocabulary).problems] == [
        "S:2:27: upstreams.slack.pack: there is no pack slak; did you mean slack?",
        (
            "S:3:33: timeline[0].operation: there is no operation passports.revoke_agnt; "
            "did you mean passports.revoke_agent?"
        ),
        "S:4:32: detectors[0].when.operation: there is no operation proxy.requst; did you mean proxy.request?",
        "S:4:55: detectors[0].signal: there is no signal scope_drft; did you mean scope_drift?",
        "S:5:59: faults[0].inject.error: there is no error code FORBIDEN; did you mean FORBIDDEN?",
    ]


def test_data_without_a_text_gets_the_same_checks_without_a_place() -> None:
    data = {"stack_emu": 1, "operator": {"tear": "free"}, "missions": [{"agent": "aa", "intent": "x"}]}
    with pytest.raises(ScenarioError) as caught:
        from_data(data, "marker")
    assert str(caught.value).split("\n") == [
        "marker: operator: unknown key tear; did you mean tier?",
        "marker: missions[0].agent: there is no agent aa in this scenario; there are no agents in it",
    ]


def test_a_missing_path_names_the_nearest_one(tmp_path: Path) -> None:
    (tmp_path / "deploy-bot").mkdir()
    with pytest.raises(ScenarioError) as caught:
        load(tmp_path / "deploy-bt")
    place = tmp_path / "deploy-bt"
    near = tmp_path / "deploy-bot"
    assert str(caught.value) == f"{place}: there is no such file or folder; did you mean {near}?"


def test_a_missing_path_with_nothing_near_says_what_to_name(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"name a file, or a folder with scenario\.yaml in it"):
        load(tmp_path / "nowhere" / "at-all")


def test_a_folder_without_a_scenario_says_so(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"the folder has no scenario\.yaml; add scenario\.yaml to it"):
        load(tmp_path)
    (tmp_path / "scenario.yml").write_text("stack_emu: 1\n")
    with pytest.raises(ScenarioError, match=r"rename scenario\.yml to scenario\.yaml"):
        load(tmp_path)


def test_a_path_through_a_file_says_what_the_system_said(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("stack_emu: 1\n")
    with pytest.raises(ScenarioError, match="it cannot be read"):
        load(tmp_path / "a.yaml" / "b.yaml")


def test_what_this_version_serves_is_checked_word_by_word() -> None:
    text = """\
stack_emu: 1
upstreams: {slack: {pack: slack}}
approvals: [{when: {operation: audit.export}, decide: never}, {when: {operation: agents.unblok}, decide: never}]
detectors: [{signal: scope_drift}]
oauth: {consent: page, operator: op_nobody, clients: [{id: c, redirect_uris: ["http://example.com/cb"]}]}
timeline: [{at: +1m, operation: messages.create}]
faults:
  - {on: {operation: messages.create}, inject: {error: overloaded_error}}
  - {on: {operation: messages.create}, inject: {error: overload_error}}
  - {on: {operation: proxy.request}, inject: {error: OVERLOADED_ERROR}}
  - {on: {tool: stack_proxy_request}, inject: {error: NOT_FOUND}}
  - {on: {tool: stack_proxy_reqest}, inject: {error: NOT_FOUND}}
"""
    assert [str(problem) for problem in inspect_text(text, "S", vocabulary()).problems] == [
        (
            "S:3:32: warning: approvals[0].when.operation: audit.export asks nobody for approval; "
            f"{', '.join(sorted(vocabulary().approved))} do"
        ),
        "S:3:82: approvals[1].when.operation: there is no operation agents.unblok; did you mean agents.unblock?",
        "S:5:34: oauth.operator: there is no operator op_nobody in this scenario; operators there are: op_emu",
        (
            "S:5:79: oauth.clients[0].redirect_uris[0]: must be https, http on loopback such as "
            "http://127.0.0.1/callback, or an application's own scheme such as com.example.app:/callback, without a "
            "fragment"
        ),
        "S:6:33: timeline[0].operation: there is no operation messages.create; did you mean agents.register?",
        "S:9:56: faults[1].inject.error: there is no error code overload_error; did you mean overloaded_error?",
        "S:12:17: faults[4].on.tool: there is no tool stack_proxy_reqest; did you mean stack_proxy_request?",
    ]
