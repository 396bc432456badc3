"""Templates that leave their sandbox, or stand for far more than they say: refused, in a sentence.

Nothing here measures time: what is not bounded does not end, or needs more memory than its process is given.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from stack_emu.scenario.templates import TemplateError, Templates, render
from tests.conftest import Served
from tests.security.places import PLACES


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


@pytest.mark.parametrize("template", ESCAPES, ids=lambda text: text[:60])
def test_no_template_leaves_its_sandbox(template: str) -> None:
    value = {"status": 200}
    with pytest.raises(TemplateError) as refused:
        render(template, {"value": value, "counter": Secretive()})
    assert value == {"status": 200}
    assert len(str(refused.value)) < 1000
    assert "Secretive object" not in str(refused.value)


WITH_LITTLE = """
import json, resource, sys
from stack_emu.scenario.templates import TemplateError, render
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
for template in json.load(open(sys.argv[1])):
    try:
        made = render(template, {})
    except TemplateError as refused:
        assert not isinstance(refused.__cause__, MemoryError), template[:100]
        assert len(str(refused)) < 1000, template[:100]
    else:
        raise AssertionError(f"{template[:100]} made {type(made)}")
    print(template[:100], flush=True)
"""


def test_every_bomb_is_refused_and_a_gigabyte_is_more_than_enough(tmp_path: Path) -> None:
    (tmp_path / "bombs.json").write_text(json.dumps(BOMBS))
    run = [sys.executable, "-c", WITH_LITTLE, str(tmp_path / "bombs.json")]
    done = subprocess.run(run, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, f"after {done.stdout.splitlines()[-1:]}: {done.stderr[-2000:]}"
    assert len(done.stdout.splitlines()) >= len(BOMBS)


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
