"""YAML that stands for far more than it says: refused, in a sentence.

Nothing here measures time: what is not bounded does not end, or needs more memory than its process is given.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from stack_emu.scenario.loader import inspect_path, inspect_text
from tests.conftest import Served
from tests.security.places import HEAD

A_MILLION = 1_000_000


def _laughs(wide: int, deep: int) -> str:
    lines = [f"a: &a [{','.join('x' * wide)}]"]
    lines += [f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * wide)}]" for n in range(deep)]
    return "\n".join(lines)


YAML_BOMBS: dict[str, tuple[str, str]] = {
    "billion laughs": (_laughs(9, 12), "aliases expand to more than"),
    "one long text in many places": (
        f"a: &a '{'x' * 100_000}'\nb: [{','.join(['*a'] * 40_000)}]",
        "aliases expand to more than",
    ),
    "merges of merges": (
        f"x0: &x0 {{{','.join(f'k{n}: 1' for n in range(200))}}}\n"
        + "\n".join(
            f"x{n}: &x{n} {{<<: [{','.join(f'*x{m}' for m in range(max(0, n - 20), n))}]}}" for n in range(1, 300)
        ),
        "aliases expand to more than",
    ),
    "one mapping merged thousands of times": (
        f"base: &b {{{','.join(f'k{n}: 1' for n in range(2000))}}}\n"
        + "\n".join(f"m{n}: {{<<: *b}}" for n in range(2000)),
        "aliases expand to more than",
    ),
    "a hundred thousand brackets": ("a: " + "[" * 100_000, "nest deeper than 64"),
    "a hundred thousand braces": ("a: " + "{a: " * 100_000, "nest deeper than 64"),
    "a hundred thousand dashes": ("a:\n  " + "- " * 100_000, "nest deeper than 64"),
    "two thousand steps of indentation": ("\n".join(" " * n + "a:" for n in range(2000)), "nest deeper than 64"),
    "a huge text": ("name: '" + "x" * 20 * A_MILLION + "'", "longer than 16 MB"),
    "a huge comment": ("#" + "x" * 20 * A_MILLION, "longer than 16 MB"),
    "a million keys": ("\n".join(f"k{n}: 1" for n in range(A_MILLION)), "more than 200,000 keys and values"),
    "a million elements": ("a: [" + "1," * A_MILLION + "]", "more than 200,000 keys and values"),
    "fifty thousand unknown keys": ("\n".join(f"k{n}: 1" for n in range(50_000)), "more mistakes are not shown"),
    "fifty thousand wrong agents": (
        "agents:\n" + "  - {nam: a}\n" * 30_000,
        "more mistakes are not shown",
    ),
    "a key a hundred thousand times": ("a: 1\n" * 100_000, "not read after 100 mistakes"),
    "a key of a megabyte": ("? " + "k" * A_MILLION + "\n: 1", "unknown key"),
    "a hundred thousand documents": ("---\na\n" * 100_000, "one YAML document"),
    "an alias of itself": ("a: &a [*a]", "inside its own anchor"),
    "a number of a million digits": ("seed: " + "9" * A_MILLION, "cannot hold this number exactly"),
    "a number beyond every exponent": ("seed: 1e999999999", "cannot hold this number exactly"),
    "a Python call": ("name: !!python/object/apply:os.system ['touch /tmp/never']", "is not allowed here"),
    "a Python name": ("name: !!python/name:os.system", "is not allowed here"),
    "a Python module": ("name: !!python/module:os", "is not allowed here"),
    "a Python object": ("name: !!python/object/new:type {args: [z, [], {}]}", "is not allowed here"),
    "a tag by its whole name": (
        "name: !<tag:yaml.org,2002:python/object/apply:os.system> ['id']",
        "is not allowed here",
    ),
    "a tag by a handle of its own": ("%TAG ! tag:yaml.org,2002:python/\n---\nname: !name:os.system x", ""),
}


@pytest.mark.parametrize("name", YAML_BOMBS)
def test_a_yaml_bomb_is_a_sentence(name: str) -> None:
    text, sentence = YAML_BOMBS[name]
    found = inspect_text(HEAD + text if not text.startswith("%") else text, "<bomb>")
    assert found.scenario is None
    told = "\n".join(map(str, found.problems))
    assert sentence in told, told[:500]
    assert len(found.problems) <= 210
    assert len(told) < 200_000


def test_all_of_them_fit_into_a_gigabyte_and_a_minute_of_computing(tmp_path: Path) -> None:
    (tmp_path / "bombs.json").write_text(json.dumps([HEAD + text for text, _ in YAML_BOMBS.values()]))
    program = (
        "import json, resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (60, 60))\n"
        "from stack_emu.scenario.loader import inspect_text\n"
        "for text in json.load(open(sys.argv[1])):\n"
        "    assert inspect_text(text).scenario is None, text[:100]\n"
        "print('done')\n"
    )
    run = [sys.executable, "-c", program, str(tmp_path / "bombs.json")]
    done = subprocess.run(run, capture_output=True, text=True, timeout=110, check=False)
    assert done.stdout.strip() == "done", done.stderr[-2000:]


def test_a_file_and_what_it_extends_are_bounded_too(tmp_path: Path) -> None:
    (tmp_path / "large.yaml").write_text(HEAD + "#" * 3 * A_MILLION)
    (tmp_path / "scenario.yaml").write_text(HEAD + "extends: large.yaml\n")
    (tmp_path / "round.yaml").write_text(HEAD + "extends: round.yaml\n")
    for named, sentence in (
        ("large.yaml", "larger than 2 MB"),
        ("scenario.yaml", "larger than 2 MB"),
        ("round.yaml", "extend"),
    ):
        found = inspect_path(tmp_path / named)
        assert found.scenario is None
        assert sentence in "\n".join(map(str, found.problems))
    assert "larger than 2 MB" in str(inspect_path("/dev/zero").problems[0])


@pytest.fixture(scope="module")
def http(serve_all: Callable[..., Served]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=serve_all().base_url, timeout=60, trust_env=False) as client:
        yield client


@pytest.mark.parametrize("name", [name for name, (text, _) in YAML_BOMBS.items() if len(text) < 2 * A_MILLION])
def test_the_control_api_answers_a_bomb_with_its_sentence(http: httpx.Client, name: str) -> None:
    text, sentence = YAML_BOMBS[name]
    for path, body in (("/_emu/worlds", {"name": "bomb"}), ("/_emu/reload", {"dry_run": True})):
        answer = http.post(path, json={**body, "scenario_yaml": HEAD + text})
        assert answer.status_code == 400, answer.text[:300]
        assert sentence in answer.json()["error"]["message"], answer.text[:300]
    assert http.get("/w/bomb/").status_code == 404


def test_the_control_api_waits_for_no_pipe(http: httpx.Client, tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe")
    answer = http.post("/_emu/worlds", json={"name": "pipe", "scenario": str(tmp_path / "pipe")})
    assert (answer.status_code, "is no file and no folder" in answer.text) == (400, True), answer.text
