"""Scenarios, templates, expressions and schemas that stand for far more than they say: refused, in a sentence, or bounded.

Nothing here measures time: what is not bounded does not end, or needs more memory than its process is given.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from stack_emu.kernel import text_patterns
from stack_emu.kernel.schema_validation import MAX_REFERENCES, MOST_ERRORS, SchemaCheck, SchemaTooDeep
from stack_emu.scenario.loader import inspect_path, inspect_text
from stack_emu.scenario.templates import TemplateError, Templates, render
from tests.conftest import Served
from tests.guarantees.tour import OPERATOR, SCENARIO

HEAD = "stack_emu: 1\n"
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


# --- templates --------------------------------------------------------------------------------------------------------


class Secretive:
    """A function of the emulator's, as templates are given them."""

    def __call__(self) -> str:
        return "said"


ESCAPES = (
    "{{ ''.__class__ }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ''['__class__'] }}",
    "{{ ''|attr('__class__') }}",
    "{{ ''|attr('__cla' ~ 'ss__') }}",
    "{{ ''|attr('\\x5f\\x5fclass\\x5f\\x5f') }}",
    "{{ [value]|map(attribute='__class__')|list }}",
    "{{ [value]|groupby('__class__')|list }}",
    "{{ [value, value]|sort(attribute='__class__') }}",
    "{{ [value]|map('attr', '__class__')|list }}",
    "{{ '{0.__class__}'.format(value) }}",
    "{{ '{0.__class__.__init__.__globals__}'.format(counter) }}",
    "{{ '{x.__class__}'.format_map({'x': value}) }}",
    "{{ '%s'|format(value.__class__) }}",
    "{{ ['{0.__class__}'.format]|map('string')|first ~ [value]|map('{0.__class__}'.format)|first }}",
    "{{ counter.__globals__ }}",
    "{{ counter.__call__.__globals__ }}",
    "{{ counter.__init__.__globals__['os'].system('id') }}",
    "{{ counter.__self__ }}",
    "{{ cycler.__init__.__globals__ }}",
    "{{ joiner.__init__.__globals__.os }}",
    "{{ namespace.__init__.__globals__ }}",
    "{{ cycler('a').__class__ }}",
    "{{ dict.__base__ }}",
    "{{ range.__class__ }}",
    "{{ lipsum.__globals__['os'] }}",
    "{{ self.__init__ }}",
    "{{ self._TemplateReference__context }}",
    "{{ value.__getattribute__('keys') }}",
    "{{ (1).__class__ }}",
    "{{ value.update({'a': 1}) }}",
    "{{ value.clear() }}",
    "{{ [1].append(2) }}",
    "{{ url_for.__globals__ }}",
    "{{ config }}",
    "{{ environ }}",
    "{% import 'os' as os %}{{ os }}",
    "{% include '/etc/passwd' %}{{ 1 }}",
    "{% from 'x' import y %}{{ y }}",
    "{% extends '/etc/passwd' %}{{ 1 }}",
    "{% block a %}{{ 1 }}{% endblock %}",
)

BOMBS = (
    "{{ 'a' * 1000000000 }}",
    "{{ [0] * 1000000000 }}",
    "{{ (('a' * 100000) * 100000) }}",
    "{{ 10 ** 100000000 }}",
    "{{ ((10 ** 1000) ** 1000) ** 1000 }}",
    "{{ 2 ** 900 ** 900 }}",
    "{{ range(1000000000)|list }}",
    "{{ 'a'|center(1000000000) }}",
    "{{ 'a'.ljust(1000000000) }}",
    "{{ 'a'.zfill(1000000000) }}",
    "{{ '\t'.expandtabs(1000000000) }}",
    "{{ 'a'|indent(1000000000, true) }}",
    "{{ 'a\n'|string * 50000|int }}{{ ('a\n' * 50000)|indent(99999) }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ '%*d' % (1000000000, 1) }}",
    "{{ '%1000000000d'|format(1) }}",
    "{{ '{:1000000000}'.format(1) }}",
    "{{ '{:{}}'.format(1, 1000000000) }}",
    "{{ '{:{}}'.format(1, '1000000000') }}",
    "{{ ('a' * 100000)|replace('a', 'b' * 100000) }}",
    "{{ ('a' * 100000).replace('a', 'b' * 100000) }}",
    "{{ ('a' * 99999)|list|join('b' * 99999) }}",
    "{{ ('b' * 99999).join(('a' * 99999)|list) }}",
    "{{ range(100000)|batch(1000000000, 'x')|list }}",
    "{% for a in range(99999) %}{% for b in range(99999) %}{{ 1 if false }}{% endfor %}{% endfor %}",
    "{% for a in range(99999) %}{{ 'x' * 99999 }}{% endfor %}",
    "{% set n = namespace(x='a' * 1000) %}{% for a in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}",
    "{% set n = namespace(x='a' * 1000) %}{% for a in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}{{ n.x }}",
    "{% set n = namespace(x=[1]) %}{% for a in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}{{ n.x }}",
    "{% set n = namespace(x=10) %}{% for a in range(99) %}{% set n.x = n.x * n.x %}{% endfor %}{{ n.x }}",
    "{% macro f(n) %}{{ f(n) }}{{ f(n) }}{% endmacro %}{{ f(1) }}",
    "{% for a in [[1]] recursive %}{{ loop([[1]]) }}{{ loop([[1]]) }}{% endfor %}",
    "{% set x %}{% for a in range(99999) %}xxxxxxxxxx{% endfor %}{% endset %}{{ x }}",
    "{% filter upper %}{{ 1 }}{% endfilter %}",
    "{% call f() %}{{ 1 }}{% endcall %}",
    "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "{{ " + "-" * 20_000 + "1 }}",
    "{{ 1" + " + 1" * 20_000 + " }}",
    "{{ " + "[" * 3000 + "]" * 3000 + " }}",
    "{{ '{0.real:1000000000}'.format(1) }}",
    "{{ ('{0:99999}' * 9000).format('b') }}",
    "{{ ('%99999d' * 9000) % ((1,) * 9000) }}",
    "{{ '%(a%b)999999999d' % {'a%b': 1} }}",
    "{{ ('{0}' * 9000).format('b' * 99999) }}",
    "{{ 'a'.encode().ljust(1000000000) }}",
    "{{ (1).to_bytes(1000000000, 'big') }}",
    "{{ ('a' * 99999).translate({97: 'b' * 99999}) }}",
    "{{ ('\t' * 9999).expandtabs(9999) }}",
    "{{ ('a '* 49999)|wordwrap(1, wrapstring='b' * 999) }}",
    "{{ 5|round(-99999999) }}",
    "{{ (['b' * 99999] * 99999)|join }}",
    "{{ (['b' * 99999] * 99999)|string }}",
    "x{{ ['b' * 99999] * 99999 }}",
    "{{ [[1] * 99999] * 99999 }}",
    "{{ ([range(99999)|list] * 99999)|sum(start=[]) }}",
    "{{ ([[1] * 999] * 999)|sum(start=[]) }}",
    "{{ range(99999)|map('string')|map('center', 99999)|list }}",
    "{{ ('a,' * 50000).split(',')|map('center', 99999)|join }}",
    "{{ range(99999)|map('string')|select('in', 'a' * 99999)|list }}",
    "{% set n = namespace(x=[]) %}{% for a in range(999) %}{% set n.x = [n.x] %}{% endfor %}{{ n.x }}",
    "{% set n = namespace(x={}) %}{% for a in range(99) %}{% set n.x = {'a': n.x, 'b': n.x} %}{% endfor %}{{ n.x }}",
    "{% set n = namespace(x='b' * 99999) %}{{ [n] * 99999 }}",
    "{% set d = {'a': 'b' * 99999} %}{{ [d.values()] * 99999 }}",
    "{% set n = namespace() %}{% set n.x = [n, n] %}{{ n.x }}",
    "{% set n = namespace(x=1) %}{% for a in range(99999) %}{% set n.x = n.x * 3 %}{% endfor %}{{ 1 }}",
    "{% set x = 'a' * 99999 %}{% for a in range(99999) %}{% if 'b' in x %}{{ 1 }}{% endif %}{% endfor %}",
    "{% set x = 'a' * 99999 %}{% for a in range(99999) %}{% if x == x[1:] %}{{ 1 }}{% endif %}{% endfor %}",
    "{% set x = [1] * 99999 %}{% for a in range(99999) %}{% if [2] in x %}{{ 1 }}{% endif %}{% endfor %}",
    "{% for a in range(99999) %}" + "{% if a and a %}{% endif %}" * 500 + "{% endfor %}{{ 1 }}",
    "{{ 1 }}" * 50_000,
    "{{ [" + "1," * 50_000 + "] }}",
)


@pytest.mark.parametrize("template", ESCAPES + BOMBS, ids=lambda text: text[:60])
def test_no_template_leaves_its_sandbox_or_its_bounds(template: str) -> None:
    value = {"status": 200}
    with pytest.raises(TemplateError) as refused:
        render(template, {"value": value, "counter": Secretive()})
    assert value == {"status": 200}
    assert len(str(refused.value)) < 1000
    assert "Secretive object" not in str(refused.value)


def test_ordinary_templates_are_as_they_were() -> None:
    templates, variables = Templates(), {"names": ["a", "b"], "text": "one two", "n": 3}
    for template, said in (
        ("{% for name in names %}{{ loop.index }}{{ name }}{{ ',' if not loop.last }}{% endfor %}", "1a,2b"),
        ("{% if n > 2 %}{{ n * 2 + 1 }}{% else %}{{ n }}{% endif %}", "7"),
        ("{% set twice = n * 2 %}{{ twice }}", "6"),
        ("{{ names | join(', ') }}", "a, b"),
        ("{{ text | replace('one', 'three') | center(20) | trim }}", "three two"),
        ("{{ '%05d' % n }}{{ '{:>4}'.format(n) }}", "00003   3"),
        ("{{ 2 ** 10 }}", 1024),
        ("{{ names * 2 }}", ["a", "b", "a", "b"]),
        ("{{ range(3) | list }}", [0, 1, 2]),
        ("{{ 'x' * 10 }}", "x" * 10),
        ("{{ 1792345678 | round }}", 1792345678.0),
        ("{{ names | map('upper') | list }}", ["A", "B"]),
    ):
        assert templates.render(template, variables) == said, template


def test_a_budget_is_of_one_rendering() -> None:
    templates = Templates()
    for _ in range(3):
        assert templates.render("{% for a in range(90000) %}{{ '' }}{% endfor %}{{ 1 }}", {}) == "1"
    with pytest.raises(TemplateError, match="more than 4,000,000 steps"):
        templates.render(
            "{% for a in range(90000) %}{% for b in range(9) %}{{ '' }}{% endfor %}{% endfor %}{{ 1 }}", {}
        )


def test_what_templates_are_for_is_far_from_the_bounds() -> None:
    """A large body is echoed, counted, filtered and written into a text."""
    items = [{"id": f"item_{number}", "amount": number, "tags": ["a", "b"]} for number in range(20_000)]
    variables = {"request": {"json": {"items": items, "at": 1792345678, "text": "word " * 200_000}}}
    assert render("{{ request.json }}", variables) == variables["request"]["json"]
    assert render("{{ request.json.items|length }}", {"request": {"json": {"items": items}}}) == 20_000
    for template, said in (
        ("{{ request.json.items|map(attribute='amount')|sum }}", 199_990_000),
        (
            "{{ request.json.items|selectattr('amount', 'lt', 3)|map(attribute='id')|join(', ') }}",
            "item_0, item_1, item_2",
        ),
        ("{% for one in request.json.items %}{{ one.id if loop.last }}{% endfor %}", "item_19999"),
        ("{{ 'Order 20261126 of %s at %d' % ('a', request.json.at) }}", "Order 20261126 of a at 1792345678"),
        (
            "{{ 'Order 20261126 {} at {:>12}'.format('12345678901', request.json.at) }}",
            "Order 20261126 12345678901 at   1792345678",
        ),
        ("{{ request.json.text|replace('word', 'sword')|wordcount }}", 200_000),
        ("{{ request.json.text|upper|length }}", 1_000_000),
    ):
        assert render(template, variables) == said, template


PLACES = """
stack_emu: 1
clock: {mode: virtual, start: 2026-03-01T00:00:00Z}
operator: {id: op_one, keys: [{key: sk_live_emu_bombs}]}
agents: [{id: agt_one, name: one}]
services: [{id: scon_one, provider: serviceone, upstream: one, credential: canary}]
upstreams:
  one:
    hosts: [one.test]
    routes:
      - {when: {path: /json}, reply: {json: {said: %(template)s}}}
      - {when: {path: /text}, reply: {text: %(template)s}}
      - {when: {path: /header}, reply: {json: {}, headers: {X-Said: %(template)s}}}
      - {when: {path: /callback}, reply: {json: {}}, callbacks: %(callbacks)s}
model: [{turns: [{say: %(template)s}]}]
"""


@pytest.mark.parametrize("template", ["{{ ''|attr('__class__') }}", "{{ 'a'|center(1000000000) }}", BOMBS[24]])
def test_every_place_of_a_template_is_in_the_sandbox(serve_all: Callable[..., Served], template: str) -> None:
    callbacks = json.dumps([{"url": "http://127.0.0.1:9/", "after": "1s", "json": {"said": template}}])
    served = serve_all(PLACES % {"template": json.dumps(template), "callbacks": callbacks})
    bearer = {"Authorization": "Bearer sk_live_emu_bombs"}
    with httpx.Client(base_url=served.base_url, headers=bearer, timeout=60, trust_env=False) as client:
        for path in ("json", "text", "header", "callback"):
            asked = {"service": "serviceone", "url": f"https://one.test/{path}"}
            answer = client.post("/v1/proxy", json=asked)
            assert answer.status_code == 200, answer.text
            told = answer.json()
            if path != "callback":
                assert (told["status"], told["body"]["error"]["code"]) == (500, "UPSTREAM_CRASHED"), told
            served.advance(2000)
        ask = {"model": "claude-opus-4-6", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}
        said = client.post(
            "/anthropic/v1/messages", json=ask, headers={"x-api-key": "k", "anthropic-version": "2023-06-01"}
        )
        assert said.status_code >= 400, said.text
        assert "the template" in said.text
        assert "class 'str'" not in said.text
        assert client.get("/").status_code == 200


# --- expressions and schemas ------------------------------------------------------------------------------------------

SLOW = {
    "(a+)+$": "a" * 50_000 + "!",
    "(a|a)*b": "a" * 50_000,
    "(a|aa)+$": "a" * 50_000 + "!",
    "(.*)*x": "y" * 50_000,
    "(.*a){12}$": "a" * 20_000 + "!",
    "^(([a-z])+.)+[A-Z]([a-z])+$": "a" * 50_000,
    r"(\w+\s?)*!": "word " * 10_000,
    "a*a*a*a*a*b": "a" * 20_000,
    "[^x]*[^y]*[^z]*$": "q" * 50_000,
}


@pytest.mark.parametrize("pattern", SLOW)
def test_no_expression_takes_longer_than_its_text_is_long(pattern: str) -> None:
    assert text_patterns.problem(pattern) is None
    assert text_patterns.found(pattern, SLOW[pattern]) in (True, False)


@pytest.mark.parametrize(
    "pattern", ["(?=a)", "(?!a)", "(?<=a)b", r"(a)\1", "(?P<x>a)(?P=x)", "(", "a{1001}", "[z-a]", "*"]
)
def test_what_could_not_be_bounded_is_refused_when_the_scenario_is_read(pattern: str) -> None:
    quoted = json.dumps(pattern)
    texts = (
        f"model: [{{when: {{regex: {quoted}}}, turns: [{{say: x}}]}}]",
        f"upstreams: {{s: {{hosts: [s.test], routes: [{{when: {{path: {{regex: {quoted}}}}}, reply: {{status: 200}}}}]}}}}",
    )
    from stack_emu.vocabulary import vocabulary

    for text in texts:
        found = inspect_text(HEAD + text, "<string>", vocabulary())
        assert found.scenario is None
        assert "this is not a regular expression" in str(found.problems[0])


def test_slow_expressions_answer_where_they_are_used(serve_all: Callable[..., Served]) -> None:
    rules = "".join(
        f"      - {{when: {{path: /p, body: {{text: {{regex: {json.dumps(pattern)}}}}}}}, reply: {{status: 201, json: {{}}}}}}\n"
        for pattern in SLOW
    )
    model = "".join(f"  - {{when: {{regex: {json.dumps(pattern)}}}, turns: [{{say: matched}}]}}\n" for pattern in SLOW)
    head = PLACES.partition("    routes:")[0]
    served = serve_all(f"{head}    routes:\n{rules}model:\n{model}")
    bearer = {"Authorization": "Bearer sk_live_emu_bombs"}
    with httpx.Client(base_url=served.base_url, headers=bearer, timeout=60, trust_env=False) as client:
        for text in SLOW.values():
            asked = {"service": "serviceone", "url": "https://one.test/p", "method": "POST", "body": {"text": text}}
            assert client.post("/v1/proxy", json=asked).json()["status"] in (201, 501)
            ask = {"model": "claude-opus-4-6", "max_tokens": 9, "messages": [{"role": "user", "content": text}]}
            lines = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
            assert client.post("/anthropic/v1/messages", json=ask, headers=lines).status_code in (200, 400, 404, 500)
            assert client.get("/").status_code == 200


def _doubling(steps: int) -> dict[str, Any]:
    parts = {f"s{n}": {"allOf": [{"$ref": f"#/$defs/s{n + 1}"}] * 2} for n in range(steps)}
    return {"$defs": {**parts, f"s{steps}": {}}, "$ref": "#/$defs/s0"}


def test_a_schema_that_doubles_itself_ends() -> None:
    with pytest.raises(SchemaTooDeep):
        SchemaCheck(_doubling(60)).errors({})
    assert SchemaCheck(_doubling(5)).errors({}) == []


def test_references_are_counted_for_each_value() -> None:
    check = SchemaCheck({"$defs": {"n": {"type": "integer"}}, "items": {"$ref": "#/$defs/n"}})
    for _ in range(5):
        assert check.fits([1] * (MAX_REFERENCES // 2))
        assert [error.json_path for error in check.errors([1, "a", 2, None])] == ["$[1]", "$[3]"]
    with pytest.raises(SchemaTooDeep):
        check.fits([1] * (MAX_REFERENCES + 1))


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}]},
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
        {"$dynamicAnchor": "x", "anyOf": [{"$dynamicRef": "#x"}, {"$dynamicRef": "#x"}]},
        {"$recursiveRef": "#", "$schema": "https://json-schema.org/draft/2019-09/schema"},
        {"unevaluatedProperties": False, **_doubling(60)},
        {"not": _doubling(60), **_doubling(60)},
    ],
    ids=lambda schema: json.dumps(schema)[:60],
)
def test_a_schema_without_end_ends(schema: dict[str, Any]) -> None:
    with pytest.raises((SchemaTooDeep, RecursionError)):
        SchemaCheck(schema).errors({"a": 1})


def test_mistakes_without_number_are_told_up_to_a_number() -> None:
    assert len(SchemaCheck({"items": {"type": "string"}}).errors([1] * 100_000)) == MOST_ERRORS


def test_elements_are_found_unique_in_one_look_and_as_json_schema_means_it() -> None:
    check = SchemaCheck({"uniqueItems": True})
    assert check.fits([{"n": number, "in": [{}]} for number in range(100_000)])
    for same in ([1, 1.0], [{"a": 1, "b": 2}, {"b": 2.0, "a": 1}], [[], []], ["a", "a"], [None, None]):
        assert not check.fits(same), same
    for different in ([1, True], [0, False], ["1", 1], [None, False], [{}, []], [{"a": 1}, {"a": "1"}], []):
        assert check.fits(different), different


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*b", "(.*a){12}$"])
def test_patterns_of_an_openapi_document_run_in_time(
    serve_all: Callable[..., Served], tmp_path: Path, pattern: str
) -> None:
    """Path templates with many names in one segment included."""
    names = [f"n{number}" for number in range(12)]
    segment = "-".join(f"{{{name}}}" for name in names)
    where = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]
    asked = {"type": "object", "properties": {"a": {"type": "string", "pattern": pattern}}}
    replies = {"200": {"content": {"application/json": {"schema": {"type": "object"}}}}}
    document = {
        "openapi": "3.1.0",
        "paths": {
            "/p": {"post": {"requestBody": {"content": {"application/json": {"schema": asked}}}, "responses": replies}},
            f"/many/{segment}x": {"get": {"parameters": where, "responses": replies}},
        },
    }
    (tmp_path / "api.json").write_text(json.dumps(document))
    scenario = PLACES.partition("upstreams:")[0] + (
        f"upstreams:\n  one: {{hosts: [one.test], pack: openapi, seed: {{document: {tmp_path / 'api.json'}}}}}\n"
    )
    served = serve_all(scenario)
    bearer = {"Authorization": "Bearer sk_live_emu_bombs"}
    with httpx.Client(base_url=served.base_url, headers=bearer, timeout=60, trust_env=False) as client:
        for body in ("a" * 50_000, "a" * 50_000 + "!"):
            ask = {"service": "serviceone", "url": "https://one.test/p", "method": "POST", "body": {"a": body}}
            assert client.post("/v1/proxy", json=ask).json()["status"] in (200, 400, 422)
        ask = {"service": "serviceone", "url": f"https://one.test/many/{'-a' * 2000}"}
        assert client.post("/v1/proxy", json=ask).json()["status"] == 501


def test_schemas_of_skills_fetch_nothing_and_end(serve_all: Callable[..., Served], httpserver: Any) -> None:
    httpserver.expect_request("/schema").respond_with_json({"type": "object"})
    served = serve_all(SCENARIO)
    bearer = {"Authorization": f"Bearer {OPERATOR}"}
    with httpx.Client(base_url=served.base_url, headers=bearer, timeout=60, trust_env=False) as client:
        skill = {"name": "measure", "description": "Measures things well", "agent_id": "agt_tour"}
        for number, (schema, given, statuses) in enumerate(
            (
                ({"type": "object", "properties": {"a": {"pattern": "(a+)+$"}}}, {"a": "a" * 50_000 + "!"}, {201, 400}),
                ({"properties": {"a": {"pattern": "(?=a)"}}}, {}, {400}),
                ({"patternProperties": {"(a|a)*b": {}}}, {"a" * 50_000: 1}, {201, 400}),
                ({"$ref": httpserver.url_for("/schema")}, {}, {400}),
                (_doubling(60), {}, {201, 400}),
            )
        ):
            made = client.post("/v1/skills", json={**skill, "name": f"measure {number}", "input_schema": schema})
            assert made.status_code in statuses, made.text
            if made.status_code == 201:
                called = client.post(
                    f"/v1/skills/{made.json()['id']}/invoke", json={"input": given, "agent_id": "agt_tour"}
                )
                assert called.status_code < 500, called.text
    assert httpserver.log == []


@pytest.mark.parametrize("surface", ["anthropic", "openai"])
def test_schemas_in_requests_to_a_model_fetch_nothing(
    serve_all: Callable[..., Served], httpserver: Any, surface: str
) -> None:
    httpserver.expect_request("/schema").respond_with_json({"type": "object"})
    served = serve_all(HEAD + "model: [{turns: [{say: '{\"a\": 1}'}]}]\n")
    for schema in ({"$ref": httpserver.url_for("/schema")}, _doubling(60), {"properties": {"a": {"pattern": "(?=a)"}}}):
        ask: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}
        if surface == "openai":
            form = {"type": "json_schema", "json_schema": {"name": "out", "schema": schema}}
            url, lines = "/openai/v1/chat/completions", {"Authorization": "Bearer k"}
            ask = {**ask, "response_format": form}
        else:
            url, lines = "/anthropic/v1/messages", {"x-api-key": "k", "anthropic-version": "2023-06-01"}
            ask = {**ask, "output_config": {"format": {"type": "json_schema", "schema": schema}}}
        said = httpx.post(served.base_url + url, json=ask, headers=lines, timeout=60, trust_env=False)
        assert said.status_code != 500 or "failed inside" not in said.text, said.text
    assert httpserver.log == []
