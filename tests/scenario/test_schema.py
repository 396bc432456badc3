"""The JSON Schema accepts what the loader accepts, and refuses the structure it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from stack_emu.scenario.loader import inspect_text
from stack_emu.scenario.schema import json_schema
from stack_emu.scenario.yaml_reader import compose

HERE = Path(__file__).parent
FULL = HERE / "full.yaml"


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return json_schema()


@pytest.fixture(scope="module")
def validator(schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator(schema)


def data_of(text: str) -> Any:
    composed = compose(text)
    return composed.root.plain() if composed.root is not None and not composed.problems else None


def table() -> list[str]:
    blocks = (HERE / "mistakes.txt").read_text(encoding="utf-8").split("\n# ")[1:]
    return ["".join(line[1:] + "\n" for line in block.split("\n") if line.startswith("|")) for block in blocks]


STRUCTURE = (
    "the text is too short",
    "unknown key",
    "is missing; add it",
    "the version of the format is missing",
    "is not a version",
    "is not text;",
    "text is needed here",
    "a whole number is needed",
    "true or false is needed",
    "is not one of",
    "cannot stand here",
    "is too small",
    "is too big",
    "a mapping",
    "a list is needed",
    "there is nothing here",
    "at least one entry",
    "entries; at most",
    "characters; at most 64",
    "the text is empty",
    "is not a duration",
    "write it as text",
    "write an error code such as",
    "is not an offset",
    "is not an instant",
    "is short for",
)


def test_the_schema_is_a_valid_schema_of_its_draft(schema: dict[str, Any]) -> None:
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == "urn:stack-emu:scenario:1"


def test_the_schema_is_the_same_every_time(schema: dict[str, Any]) -> None:
    assert json.dumps(json_schema()) == json.dumps(schema)


def test_every_key_has_a_text_for_the_editor(schema: dict[str, Any]) -> None:
    definitions = {"Scenario": schema, **schema["$defs"]}
    for short in ("Credential", "Latency"):
        definitions[short] = definitions[short]["anyOf"][1]
    bare = [
        f"{name}.{key}"
        for name, definition in definitions.items()
        for key, described in definition["properties"].items()
        if not described.get("description")
    ]
    assert bare == []
    assert len(definitions) > 35


def test_the_scenario_that_uses_everything_is_valid(validator: Draft202012Validator) -> None:
    assert list(validator.iter_errors(data_of(FULL.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "text",
    [
        "stack_emu: 1\n",
        "stack_emu: 1\noperator: {id: op_a}\n",
        "stack_emu: 1\nname: null\nstrict: null\n",
        "stack_emu: 1\nservices: [{provider: slack, credential: xoxb-1}]\n",
        "stack_emu: 1\nmodel: [{when: {tools: a}, turns: [{call: {tool: a}}]}]\n",
        "stack_emu: 1\nupstreams: {a: {hosts: [a.test], routes: [{reply: {json: null, headers: {A: 1}}}]}}\n",
    ],
)
def test_what_loads_is_valid(validator: Draft202012Validator, text: str) -> None:
    assert inspect_text(text).problems == ()
    assert list(validator.iter_errors(data_of(text))) == []


def test_the_schema_refuses_every_structural_mistake_of_the_table(validator: Draft202012Validator) -> None:
    accepted, compared = [], 0
    for text in table():
        data = data_of(text)
        sentences = [problem.sentence for problem in inspect_text(text).problems]
        if data is None or not any(mark in sentence for sentence in sentences for mark in STRUCTURE):
            continue
        compared += 1
        if validator.is_valid(data):
            accepted.append((text, sentences))
    assert accepted == []
    assert compared > 70


def test_the_schema_refuses_nothing_but_structural_mistakes(validator: Draft202012Validator) -> None:
    refused, compared = [], 0
    for text in table():
        data = data_of(text)
        sentences = [problem.sentence for problem in inspect_text(text).problems]
        if data is None or any(mark in sentence for sentence in sentences for mark in STRUCTURE):
            continue
        compared += 1
        if not validator.is_valid(data):
            refused.append((text, sentences))
    assert refused == []
    assert compared > 40


def test_renaming_any_key_is_refused_by_both(validator: Draft202012Validator) -> None:
    """Every key of the full scenario, misspelt in turn, unless it stands in a free mapping."""
    text = FULL.read_text(encoding="utf-8")
    data = data_of(text)
    disagreements, refused = [], 0
    for changed, path in misspelt(data, ()):
        by_schema = not validator.is_valid(changed)
        by_loader = inspect_text(json.dumps(changed)).scenario is None
        refused += by_schema
        if by_schema and not by_loader:
            disagreements.append(path)
    assert disagreements == []
    assert refused > 150


def misspelt(value: Any, path: tuple[Any, ...]) -> list[tuple[Any, tuple[Any, ...]]]:
    """Copies of a value, each with one key misspelt."""
    copies: list[tuple[Any, tuple[Any, ...]]] = []
    if isinstance(value, dict):
        for key, part in value.items():
            copies.append(({(f"{k}x" if k == key else k): v for k, v in value.items()}, (*path, key)))
            copies += [({**value, key: inner}, where) for inner, where in misspelt(part, (*path, key))]
    elif isinstance(value, list):
        for index, part in enumerate(value):
            inner_copies = misspelt(part, (*path, index))
            copies += [([*value[:index], inner, *value[index + 1 :]], where) for inner, where in inner_copies]
    return copies
