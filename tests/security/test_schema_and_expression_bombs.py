"""Regular expressions, JSON Schemas, JSONPath queries and path templates that could take for ever: refused, or bounded.

Nothing here measures time: what is not bounded does not end, or needs more memory than its process is given.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from stack_emu.kernel import text_patterns
from stack_emu.kernel.matching import pattern_problems
from stack_emu.kernel.schema_validation import MAX_REFERENCES, MOST_ERRORS, SchemaCheck, SchemaTooDeep
from stack_emu.scenario.loader import inspect_text
from stack_emu.vocabulary import vocabulary
from tests.conftest import Served
from tests.guarantees.tour import OPERATOR, SCENARIO
from tests.security.places import HEAD, PLACES

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


def _jsonpath_scenario(query: str) -> str:
    when = json.dumps({"path": "/p", "jsonpath": {query: {"any": True}}})
    return (
        PLACES.partition("    routes:")[0]
        + f"    routes:\n      - {{when: {when}, reply: {{status: 201, json: {{}}}}}}\n"
    )


@pytest.mark.parametrize(
    ("query", "body", "status"),
    [
        ("$.t[?search(@, '(a+)+$')]", {"t": ["a" * 50_000 + "!"]}, 501),
        ("$.t[?match(@, '(a|a)*b')]", {"t": ["a" * 50_000]}, 501),
        ("$.t[?match(@, 'a*b')]", {"t": ["c", "a" * 50_000 + "b"]}, 201),
        ("$.t[?search(@, 'b')]", {"t": ["c", "abc"]}, 201),
        ("$.t[?match(@, 'b')]", {"t": ["abc"]}, 501),
        ("$.t[?search(@, $.p)]", {"t": ["a" * 50_000 + "!"], "p": "(a+)+$"}, 501),
        ("$.t[?search(@, $.p)]", {"t": ["a"], "p": "(?=a)"}, 501),
        ("$..*..*..*", {"t": [[[[1] * 10] * 10] * 10] * 10}, 201),
        ("$..none", {"t": json.loads("[" * 120 + "]" * 120)}, 501),
    ],
)
def test_queries_of_a_body_end(serve_all: Callable[..., Served], query: str, body: Any, status: int) -> None:
    served = serve_all(_jsonpath_scenario(query))
    ask = {"service": "serviceone", "url": "https://one.test/p", "method": "POST", "body": body}
    bearer = {"Authorization": "Bearer sk_live_emu_bombs"}
    answer = httpx.post(f"{served.base_url}/v1/proxy", json=ask, headers=bearer, timeout=60, trust_env=False)
    assert answer.json()["status"] == status, answer.text


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("$[?search(@, '(?=a)')]", "this is not a regular expression"),
        ("$..a..b..c..d", ".. stands in it more than 3 times"),
        ("$..[?@..a[?@..b..c]]", ".. stands in it more than 3 times"),
        ("$" + "[?@" * 3000 + "]" * 3000, "is not a JSONPath query"),
        ("$[?" + "(" * 3000 + "@" + ")" * 3000 + "]", "is not a JSONPath query"),
    ],
    ids=lambda text: text[:30],
)
def test_queries_that_could_not_be_bounded_are_refused(query: str, sentence: str) -> None:
    [(place, told)] = pattern_problems({"jsonpath": {query: {"any": True}}})
    assert (place, sentence in told) == ("jsonpath", True), told
    if len(query) < 1000:  # YAML has no longer keys on a line
        found = inspect_text(_jsonpath_scenario(query), "<string>", vocabulary())
        assert sentence in str(found.problems[0])


def test_a_path_with_one_name_twice_is_refused() -> None:
    text = HEAD + 'upstreams: {s: {hosts: [s.test], routes: [{when: {path: "/{a}-{a}"}, reply: {status: 200}}]}}'
    assert "{a} stands in the path twice" in str(inspect_text(text, "<string>", vocabulary()).problems[0])


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
