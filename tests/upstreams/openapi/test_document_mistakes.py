"""What ``stack-emu check`` says of documents and of the things that seeds put into them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from stack_emu.scenario.loader import from_data, inspect_path, inspect_text
from stack_emu.vocabulary import vocabulary
from tests.upstreams.openapi.conftest import CLINIC, HERE, RATES

TABLE = HERE / "mistakes.txt"
SCENARIO = "stack_emu: 1\nupstreams:\n  api: {hosts: [api.test], openapi: api.yaml}\n"


class Case(NamedTuple):
    name: str
    files: dict[str, str]
    problems: list[str]


def read_table() -> list[Case]:
    cases: list[Case] = []
    file = "api.yaml"
    for line in TABLE.read_text("utf-8").split("\n"):
        if line.startswith("# "):
            file = "api.yaml"
            cases.append(Case(line[2:], {}, []))
        elif line.startswith("@"):
            file = line[1:]
        elif line.startswith("|"):
            cases[-1].files[file] = cases[-1].files.get(file, "") + line[1:] + "\n"
        elif line.startswith("> "):
            cases[-1].problems.append(line[2:])
    return cases


CASES = read_table()


def checked(folder: Path, scenario: str) -> list[str]:
    """What is said of a scenario in a folder, with the folder's name left out."""
    file = folder / "scenario.yaml"
    file.write_text(scenario, "utf-8")
    return [
        str(one).replace(f"{folder}/", "").replace(str(folder), ".")
        for one in inspect_path(file, vocabulary()).problems
    ]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_mistake_in_a_document_is_told_where_it_is(case: Case, tmp_path: Path) -> None:
    for name, text in case.files.items():
        (tmp_path / name).write_text(text, "utf-8")
    assert checked(tmp_path, SCENARIO) == case.problems


def test_the_table_is_whole() -> None:
    assert len(CASES) >= 14
    assert all(case.files and case.problems for case in CASES)


def test_a_document_that_is_not_there_is_told_at_the_key_with_one_that_is_near(tmp_path: Path) -> None:
    (tmp_path / "api.yml").write_text("", "utf-8")
    assert checked(tmp_path, SCENARIO) == [
        "scenario.yaml:3:37: upstreams.api.openapi: api.yaml is not there; did you mean api.yml?"
    ]


def test_json_is_read_with_places_and_without_what_only_yaml_allows(tmp_path: Path) -> None:
    scenario = SCENARIO.replace("api.yaml", "api.json")
    (tmp_path / "api.json").write_text('{"openapi": "3.1.0",\n\t"paths": {"/a": }}')
    assert checked(tmp_path, scenario) == ["api.json:2:18: this is not JSON: Expecting value"]
    (tmp_path / "api.json").write_text('{"openapi": "3.1.0",\n\t"paths": {"/a": {"gte": {}}, "/\\ud83d\\ude00": {}}}')
    assert "there is no method gte; did you mean get?" in checked(tmp_path, scenario)[0]
    (tmp_path / "api.json").write_text('{"openapi": "3.1.0",\n\t"paths": {"/a": {"gte": {}}}}')
    assert checked(tmp_path, scenario)[0].startswith("api.json:2:19: paths./a.gte: ")


def test_a_document_belongs_to_a_scenario_in_a_file_and_lies_beside_it(tmp_path: Path) -> None:
    [problem] = inspect_text(SCENARIO, "S", vocabulary()).problems
    assert str(problem).startswith("S:3:37: upstreams.api.openapi: only a scenario in a file can name another file")
    said = checked(tmp_path, SCENARIO.replace("api.yaml", "/etc/api.yaml"))
    assert said == [
        "scenario.yaml:3:37: upstreams.api.openapi: /etc/api.yaml is absolute; write it relative to this file, such as ./api.yaml"
    ]


def test_the_files_of_a_document_are_files_of_the_scenario(tmp_path: Path) -> None:
    for file in (RATES, HERE / "schemas" / "money.yaml"):
        copy = tmp_path / file.relative_to(HERE)
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(file.read_bytes())
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text(SCENARIO.replace("api.yaml", "rates.yaml"))
    inspection = inspect_path(scenario, vocabulary())
    assert inspection.problems == ()
    assert inspection.files == (scenario, tmp_path / "rates.yaml", tmp_path / "schemas" / "money.yaml")
    (tmp_path / "schemas" / "money.yaml").write_text("Currency: {type: string}\n")
    [problem] = {one.sentence for one in inspect_path(scenario, vocabulary()).problems}
    assert problem == "schemas/money.yaml#/Money leads nowhere; there are: Currency"


@pytest.mark.parametrize(
    ("seed", "at", "said"),
    [
        ("{dogs: []}", "{dogs", "seed: there is no list 'dogs'; there are: owners, pets, visits, breeds"),
        ("{ownrs: []}", "{ownrs", "seed: there is no list 'ownrs'; did you mean owners?"),
        ("{owners: {}}", "{}", "seed.owners: owners is not a list; write a list of objects"),
        ("{owners: [5]}", "5]", "seed.owners[0]: owners[0] is not an object"),
        ("{owners: [{name: Ada}, {id: own_a}]}", "{id", "seed.owners[1]: owners[1].name is missing; it is required"),
        (
            "{owners: [{name: Ada, plan: no}]}",
            "no}",
            'seed.owners[0].plan: owners[0].plan is "no"; use one of "free", "gold"',
        ),
        (
            "{owners: [{name: Aa, emial: e}]}",
            "e}",
            "seed.owners[0].emial: owners[0].emial is no field of owners; did you mean email?",
        ),
        (
            "{owners: [{id: x, name: Aa}, {id: x, name: Bb}]}",
            "x, name: Bb",
            "seed.owners[1].id: owners[1].id is x, which another has already; ids differ",
        ),
        (
            "{pets: [{name: Rex, species: dog}]}",
            "{name",
            "seed.pets[0]: pets[0] does not say what it belongs to; add ownerId",
        ),
    ],
)
def test_what_a_service_begins_with_is_checked_where_it_is_written(
    tmp_path: Path, seed: str, at: str, said: str
) -> None:
    (tmp_path / "api.yaml").write_bytes(CLINIC.read_bytes())
    scenario = SCENARIO.replace("openapi: api.yaml", f"openapi: api.yaml, seed: {seed}")
    column = scenario.split("\n")[2].index("seed: ") + 7 + seed.index(at)
    assert checked(tmp_path, scenario) == [f"scenario.yaml:3:{column}: upstreams.api.{said}"]


def test_the_long_form_is_the_same_pack() -> None:
    def said(seed: Any) -> list[str]:
        data = {"stack_emu": 1, "upstreams": {"api": {"hosts": ["api.test"], "pack": "openapi", "seed": seed}}}
        try:
            from_data(data, vocabulary=vocabulary())
        except Exception as error:
            return str(error).split("\n")
        return []

    assert said({"document": str(CLINIC), "items": {"owners": [{"name": "Ada"}]}}) == []
    assert said({"document": str(CLINIC), "item": {}}) == [
        "<data>: upstreams.api.seed: seed has no key 'item'; did you mean items?"
    ]
    assert "seed.document names no file" in said({})[0]
