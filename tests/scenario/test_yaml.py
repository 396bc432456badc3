"""Scenario YAML follows the 1.2 core schema, and hostile YAML is refused in one sentence."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from stack_emu.scenario.loader import ScenarioError, inspect_path, inspect_text, load, loads
from stack_emu.scenario.yaml_reader import MAX_ALIASED, MAX_DEPTH, compose

PARSERS = pytest.mark.parametrize("pure", [False, True], ids=["libyaml", "pure"])


def read(text: str, pure: bool = False) -> Any:
    composed = compose(text, pure=pure)
    assert composed.problems == []
    assert composed.root is not None
    return composed.root.plain()


def refused(text: str, pure: bool = False) -> list[tuple[int, int, str]]:
    return [(found.mark.line, found.mark.column, found.sentence) for found in compose(text, pure=pure).problems]


@PARSERS
@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("no", "no"),
        ("y", "y"),
        ("True", True),
        ("false", False),
        ("tRue", "tRue"),
        ("null", None),
        ("~", None),
        ("", None),
        ("nil", "nil"),
        ("none", "none"),
        ("12:30", "12:30"),
        ("12:30:45", "12:30:45"),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b11", "0b11"),
        ("1_000", "1_000"),
        ("+5", 5),
        ("-5", -5),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("1.2.3", "1.2.3"),
        ("2026-01-01", "2026-01-01"),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("+10m", "+10m"),
        ("=", "="),
        ("'5'", "5"),
        ('"true"', "true"),
        ("!!str 5", "5"),
        ("! 5", "5"),
        ("9007199254740991", 9007199254740991),
    ],
)
def test_plain_words_mean_what_the_core_schema_says(written: str, value: object, pure: bool) -> None:
    result = read(f"a: {written}\n", pure)["a"]
    assert result == value
    assert type(result) is type(value)


@PARSERS
def test_keys_are_always_text(pure: bool) -> None:
    assert read("{200: a, true: b, null: c, on: d, 1.5: e}", pure) == {
        "200": "a",
        "true": "b",
        "null": "c",
        "on": "d",
        "1.5": "e",
    }


@PARSERS
@pytest.mark.parametrize("number", ["9007199254740992", "-9007199254740992", "1e999", "0x" + "f" * 40, "9" * 100_000])
def test_a_number_json_cannot_hold_is_refused(number: str, pure: bool) -> None:
    [(line, column, sentence)] = refused(f"a: {number}\n", pure)
    assert (line, column) == (1, 4)
    assert (
        sentence == "JSON readers cannot hold this number exactly; use a smaller one, or put it in quotes if it is text"
    )


@PARSERS
@pytest.mark.parametrize("number", [".inf", "-.Inf", ".NaN"])
def test_a_number_that_is_none_is_refused(number: str, pure: bool) -> None:
    assert refused(f"a: {number}\n", pure) == [(1, 4, f"JSON has no {number}; put it in quotes if it is text")]


@PARSERS
def test_anchors_and_aliases_give_equal_values_that_are_not_shared(pure: bool) -> None:
    data = read("a: &x {b: [1]}\nc: *x\nd: &y 5\ne: *y\n*y : f\n", pure)
    assert data == {"a": {"b": [1]}, "c": {"b": [1]}, "d": 5, "e": 5, "5": "f"}
    assert data["a"] is not data["c"]
    assert data["a"]["b"] is not data["c"]["b"]


@PARSERS
def test_a_list_cannot_become_a_key_through_an_alias(pure: bool) -> None:
    sentence = "a key must be text; write the key out instead of the alias"
    assert refused("a: &x [b]\n*x : c\n", pure) == [(2, 1, sentence)]


@PARSERS
def test_an_alias_bomb_is_refused_before_it_goes_off(pure: bool) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    started = time.monotonic()
    [(line, _, sentence)] = refused("\n".join(lines) + "\n", pure)
    assert time.monotonic() - started < 5
    assert line == 5
    assert sentence == f"aliases expand to more than {MAX_ALIASED:,} values; write the values out or use fewer aliases"


@PARSERS
@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "[{a: "])
def test_endless_nesting_is_refused(opening: str, pure: bool) -> None:
    [(line, _, sentence)] = refused(opening * 20_000, pure)
    assert line == 1
    assert sentence == f"values nest deeper than {MAX_DEPTH} levels; make it flatter"


@PARSERS
def test_reasonable_nesting_is_fine(pure: bool) -> None:
    depth = MAX_DEPTH - 1
    assert str(read("a: " + "[" * depth + "]" * depth, pure)).count("[") == depth


@PARSERS
@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['touch /tmp/owned']",
        "!!python/name:os.system",
        "!!python/object/new:subprocess.Popen [[ls]]",
        "!!binary aGVsbG8=",
        "!!timestamp 2026-01-01",
        "!!set {a, b}",
        "!!omap [a: b]",
        "!include /etc/passwd",
        "!!int 5",
    ],
)
def test_tags_are_refused_and_never_acted_on(text: str, pure: bool) -> None:
    problems = refused(f"a: {text}\n", pure)
    assert len(problems) == 1
    assert problems[0][:2] == (1, 4)
    assert problems[0][2].endswith("is not allowed here; write a plain value")


@PARSERS
def test_tabs_inside_quotes_are_fine(pure: bool) -> None:
    assert read('a: "x\ty"\n', pure) == {"a": "x\ty"}


@PARSERS
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a:\n\tb: 1\n", (2, 1, "a tab indents this line; use spaces")),
        (
            "a: [1, 2\nb: 3\n",
            (1, 4, "the [ that opens here needs a , or a ] further on; text with special characters needs quotes"),
        ),
        ("a: 'x\n", (1, 4, "the quotes that open here are not closed")),
        ('a: "\\d"\n', (1, 5, "this is no escape sequence; use single quotes for text with a backslash")),
        ("a: 1\nb\nc: 2\n", (2, 1, "there is no : after this key; write key: value")),
        ("a: {{ x }}\n", (1, 5, 'a template needs quotes in YAML; write "{{ … }}"')),
        ("a: 1\na: 2\n", (2, 1, "the key a is already there in line 1; keep one of them")),
        ("a: *x\n", (1, 4, "there is no anchor &x above; text that starts with * needs quotes")),
        ("a: b\x00\n", (1, 5, "the character U+0000 is not allowed in YAML; remove it")),
        ("a: \ud800\n", (1, 4, "the character U+D800 is not allowed in YAML; remove it")),
    ],
)
def test_both_parsers_say_the_same_about_broken_yaml(text: str, expected: tuple[int, int, str], pure: bool) -> None:
    assert refused(text, pure) == [expected]


def test_columns_count_characters_not_bytes() -> None:
    [problem] = inspect_text('stack_emu: 1\nname: x\nmodel: [{turns: [{say: "größer ✓", sya: x}]}]\n').problems
    assert (problem.line, problem.column) == (3, 36)


def test_windows_line_ends_and_a_byte_order_mark_are_fine(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(b"\xef\xbb\xbfstack_emu: 1\r\nname: crlf\r\nseed: x\r\n")
    [problem] = inspect_path(file).problems
    assert (problem.line, problem.column) == (3, 7)
    file.write_bytes(b"\xef\xbb\xbfstack_emu: 1\r\nname: crlf\r\n")
    assert load(file).name == "crlf"


@pytest.mark.parametrize(
    ("content", "place", "byte"),
    [
        ("stack_emu: 1\nname: Zürich\n".encode("latin-1"), (2, 8), "0xFC"),
        ("stack_emu: 1\n".encode("utf-16"), (1, 1), "0xFF"),
        ("name: é ".encode() + b"\x80\n", (1, 9), "0x80"),
    ],
)
def test_a_file_that_is_not_utf8_is_refused_at_the_byte(
    tmp_path: Path, content: bytes, place: tuple[int, int], byte: str
) -> None:
    (tmp_path / "a.yaml").write_bytes(content)
    [problem] = inspect_path(tmp_path / "a.yaml").problems
    assert (problem.line, problem.column) == place
    assert problem.sentence == f"the byte {byte} is not UTF-8; save the file as UTF-8"


def test_ten_megabytes_are_refused_without_being_parsed(tmp_path: Path) -> None:
    file = tmp_path / "big.yaml"
    file.write_text("stack_emu: 1\n" + "# filler\n" * 1_200_000)
    assert file.stat().st_size > 10 * 1024 * 1024
    started = time.monotonic()
    with pytest.raises(ScenarioError, match="the file is larger than 2 MB, which no scenario needs; split it up"):
        load(file)
    assert time.monotonic() - started < 2


def test_every_prefix_of_a_scenario_is_refused_or_loads_but_never_crashes() -> None:
    text = (Path(__file__).parent / "full.yaml").read_text(encoding="utf-8")
    outcomes = {inspect_text(text[:end]).scenario is None for end in range(0, len(text), 7)}
    assert outcomes == {True, False}


def test_one_document_may_have_its_markers() -> None:
    assert loads("%YAML 1.2\n---\nstack_emu: 1\n...\n").stack_emu == 1
