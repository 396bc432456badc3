"""Templates in scenario values: where they are rendered, what they may do, and what is said when they cannot."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from stack_emu.scenario.templates import TemplateError, Templates, has_expression, render


def test_only_text_with_an_expression_is_rendered() -> None:
    value = {"a": "{% if x %}", "b": ["# {x}", 5, None, True, 1.5], "c": {"d": "n = {{ n }}"}}
    assert render(value, {"n": 3}) == {"a": "{% if x %}", "b": ["# {x}", 5, None, True, 1.5], "c": {"d": "n = 3"}}


def test_a_value_without_templates_is_not_copied_into_another_type() -> None:
    value = {"a": [1, 2.5, None, "x"]}
    assert render(value, {}) == value


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ n }}", 3),
        ("{{n}}", 3),
        ("{{- n -}}", 3),
        ("{{ n + 1 }}", 4),
        ("{{ n }} ", "3 "),
        ("{{ n }}{{ n }}", "33"),
        ("{{ result }}", {"ok": True, "items": [1, {"x": None}]}),
        ("{{ result.items }}", [1, {"x": None}]),
        ("{{ result['items'][1] }}", {"x": None}),
        ("{{ result.ok }}", True),
        ("{{ nothing }}", None),
        ("{{ half }}", 0.5),
        ("{{ n * 2 }}", 6),
        ("{{ 'text' }}", "text"),
        ("{{ [1, 2] | map('string') | list }}", ["1", "2"]),
        ("{{ (1, 2) }}", [1, 2]),
        ("{{ '}}' }}", "}}"),
        ("{{ result | tojson }}", '{"ok":true,"items":[1,{"x":null}]}'),
        ("{{ missing | default('none') }}", "none"),
        ("{{ missing is defined }}", False),
        ("{{ counter('incident') }}", 1),
        ("inc_{{ counter('incident') }}", "inc_1"),
        ("a < b & {{ '<' }}\n", "a < b & <\n"),
        ("{% for i in [1, 2] %}{{ i }},{% endfor %}", "1,2,"),
    ],
)
def test_a_lone_expression_keeps_its_type_and_other_text_stays_text(template: str, expected: object) -> None:
    variables: dict[str, Any] = {
        "n": 3,
        "result": {"ok": True, "items": [1, {"x": None}]},
        "nothing": None,
        "half": 0.5,
        "counter": lambda name: 1,
    }
    result = render(template, variables)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    "text",
    [
        "{{instance_url}}",
        "{{ instance_url }}/api",
        "https://{{instance_url}}/v1/{{account_id}}",
        "{{  account_id  }}",
    ],
)
def test_the_placeholders_of_the_proxy_pass_through(text: str) -> None:
    assert render(text, {"instance_url": "never", "account_id": "never"}) == text
    assert not has_expression(text)


def test_placeholders_and_expressions_can_stand_side_by_side() -> None:
    assert (
        render("{{instance_url}}/items/{{ id }}/{{ account_id }}", {"id": 7})
        == "{{instance_url}}/items/7/{{ account_id }}"
    )


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        (
            "Done: {{ reslt.body }}",
            (
                'the template "Done: {{ reslt.body }}" asks for reslt, which is not there; '
                "did you mean result? available: counter, result"
            ),
        ),
        (
            "{{ result.boddy.ts }}",
            (
                'the template "{{ result.boddy.ts }}" asks for boddy, which is not there in that mapping; '
                "did you mean body? available: body, status"
            ),
        ),
        (
            "{{ result.boddy }}",
            (
                'the template "{{ result.boddy }}" asks for boddy, which is not there in that mapping; '
                "did you mean body? available: body, status"
            ),
        ),
        (
            "{{ result.body[3] }}",
            'the template "{{ result.body[3] }}" asks for 3, which is not there in a list of 1; available: nothing',
        ),
        ("{{ zzz }}", 'the template "{{ zzz }}" asks for zzz, which is not there; available: counter, result'),
        (
            "{{ result.body | map('int') }}",
            (
                "the template \"{{ result.body | map('int') }}\" failed: it gives a generator, which JSON cannot hold; "
                "add | list or | string"
            ),
        ),
        ("{{ 1 / 0 }}", 'the template "{{ 1 / 0 }}" failed: division by zero'),
        (
            "{{ counter }}",
            'the template "{{ counter }}" failed: it gives a function, not a value; call it with ( )',
        ),
        (
            "{{ result | shout }}",
            "the template \"{{ result | shout }}\" cannot be read: No filter named 'shout'",
        ),
        ("{{ result", 'the template "{{ result" cannot be read: '),
        ("{{ }}", 'the template "{{ }}" cannot be read: '),
    ],
)
def test_a_failing_template_is_one_sentence(template: str, sentence: str) -> None:
    with pytest.raises(TemplateError) as caught:
        render(template, {"result": {"status": 200, "body": [1]}, "counter": lambda: 1})
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


def test_a_long_template_is_shortened_in_messages() -> None:
    with pytest.raises(TemplateError) as caught:
        render("x" * 500 + "\n{{ missing }}", {})
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ counter.__globals__ }}",
        "{{ result.update({'a': 1}) }}",
        "{{ [].append(1) }}",
        "{{ 'a' * 1000000000 }}",
        "{{ 1000000000 * 'a' }}",
        "{{ [0] * 1000000000 }}",
        "{{ 10 ** 100000000 }}",
        "{{ range(1000000000) | list }}",
        "{{ lipsum() }}",
        "{{ [1, 2, 3] | random }}",
    ],
)
def test_templates_stay_in_the_sandbox(template: str) -> None:
    variables = {"result": {"status": 200}, "counter": lambda: 1}
    with pytest.raises(TemplateError):
        render(template, variables)
    assert variables["result"] == {"status": 200}


def test_an_error_in_a_function_names_the_template() -> None:
    def fail() -> int:
        raise RuntimeError("no such counter")

    with pytest.raises(TemplateError, match=r'the template "\{\{ counter\(\) \}\}" failed: no such counter'):
        render("{{ counter() }}", {"counter": fail})


def test_compiled_templates_are_kept_per_instance() -> None:
    first, second = Templates(), Templates()
    assert [first.render("{{ n }}", {"n": n}) for n in range(3)] == [0, 1, 2]
    assert [second.render("{{ n }}!", {"n": n}) for n in range(3)] == ["0!", "1!", "2!"]


def test_checking_says_what_rendering_would() -> None:
    templates = Templates()
    assert templates.check("{{ a.b[0] }} and {{ counter('x') }}") is None
    assert templates.check("{{ a if b else c }}") is None
    for broken in ("{{instance_url}} {{", "{{ 1 + }}", "{{ a }} {% endfor %}", "{{ a }} {# b", "{{ a | shout }}"):
        assert str(templates.check(broken)).startswith(f'the template "{broken}" cannot be read: ')
        with pytest.raises(TemplateError, match="cannot be read"):
            templates.render(broken, {"a": 1})


def test_loading_a_plain_scenario_imports_neither_jinja_nor_re2() -> None:
    program = """
import sys
from stack_emu.scenario.loader import loads
loads('stack_emu: 1\\nmodel: [{turns: [{say: "Done: {{ result.body.ts }} {{ results[0].id }}"}]}]\\n')
print(sorted({"jinja2", "re2", "jsonschema"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_field_comes_before_a_method_of_its_name() -> None:
    order = {"items": [1, 2], "keys": "k"}
    assert render("{{ order.items }}", {"order": order}) == [1, 2]
    assert (
        render(
            "{{ order.keys }}{% for name, _ in other.items() %}{{ name }}{% endfor %}",
            {"order": order, "other": {"a": 1}},
        )
        == "ka"
    )
