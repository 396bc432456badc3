"""Patterns say why a request does not fit, and fit exactly when they have nothing to say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from stack_emu.kernel.matching import MISSING, Difference, PathTemplate, Pattern, explain, first_match, nearest


@dataclass(frozen=True)
class Asked:
    """A request as patterns see one."""

    method: str = "POST"
    path: str = "/v1/incidents"
    query: tuple[tuple[str, str], ...] = ()
    headers: dict[str, str] = field(default_factory=dict)
    content: Any = None


FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def test_a_pattern_without_parts_matches_anything() -> None:
    assert Pattern().difference(Asked()) == []


@pytest.mark.parametrize(
    ("when", "asked"),
    [
        ({"method": "post"}, Asked()),
        ({"path": "/v1/*"}, Asked(path="/v1/a/b")),
        ({"path": "/v1/*/members"}, Asked(path="/v1/team/members")),
        ({"path": "/v1/in*"}, Asked()),
        ({"path": "/files/{id}.json"}, Asked(path="/files/7.json")),
        ({"path": "/a b"}, Asked(path="/a%20b")),
        ({"path": "/a%20b"}, Asked(path="/a%20b")),
        ({"query": {"limit": 5, "all": True}}, Asked(query=(("limit", "5"), ("all", "true")))),
        ({"query": {"tag": "b"}}, Asked(query=(("tag", "a"), ("tag", "b")))),
        ({"query": {"tag": ["a", "b"]}}, Asked(query=(("tag", "a"), ("tag", "b")))),
        ({"query": {"q": {"regex": "^is:"}}}, Asked(query=(("q", "is:open"),))),
        ({"headers": {"X-Team": "red"}}, Asked(headers={"x-team": "red"})),
        ({"body": {"severity": "high"}}, Asked(content={"severity": "high", "more": 1})),
        ({"body": {"a": {"b": [1, {"c": None}]}}}, Asked(content={"a": {"b": [1, {"c": None, "d": 2}]}})),
        ({"body": {"n": {"regex": "^4"}}}, Asked(content={"n": 42})),
        ({"body": {"n": 1.0}}, Asked(content={"n": 1})),
        ({"body": "ping"}, Asked(content="ping")),
        ({"body": {"regex": "in"}}, Asked(content="ping")),
        ({"body": {"limit": 5}}, Asked(headers=FORM, content={"limit": "5"})),
    ],
)
def test_requests_that_have_what_is_asked_for_match(when: dict[str, Any], asked: Asked) -> None:
    assert Pattern.from_dict(when).difference(asked) == []


@pytest.mark.parametrize(
    ("when", "asked", "difference"),
    [
        ({"method": "GET"}, Asked(), Difference("method", "POST", "GET")),
        ({"path": "/v1/*"}, Asked(path="/v1"), Difference("path", "/v1", "/v1/*")),
        ({"path": "/v1/{id}"}, Asked(path="/v1/a/b"), Difference("path", "/v1/a/b", "/v1/{id}")),
        ({"path": "/v1/a.c"}, Asked(path="/v1/abc"), Difference("path", "/v1/abc", "/v1/a.c")),
        ({"query": {"limit": 5}}, Asked(), Difference("query.limit", MISSING, 5)),
        (
            {"headers": {"X-Team": "red"}},
            Asked(headers={"x-team": "blue"}),
            Difference("headers.x-team", "blue", "red"),
        ),
        ({"body": {"a": [1]}}, Asked(content={"a": [1, 2]}), Difference("body.a", [1, 2], [1])),
        ({"body": {"a": True}}, Asked(content={"a": 1}), Difference("body.a", 1, True)),
        ({"body": {"a": 5}}, Asked(content={"a": "5"}), Difference("body.a", "5", 5)),
        ({"body": {"a": {"b": 1}}}, Asked(content={"a": {}}), Difference("body.a.b", MISSING, 1)),
        ({"body": {"a": {"b": 1}}}, Asked(content={"a": "x"}), Difference("body.a", "x", {"b": 1})),
        ({"body": {"a": 1}}, Asked(), Difference("body", MISSING, {"a": 1})),
        ({"body": {"a": {"regex": "^x"}}}, Asked(content={"a": "yx"}), Difference("body.a", "yx", {"regex": "^x"})),
    ],
)
def test_a_request_that_lacks_something_is_told_what(
    when: dict[str, Any], asked: Asked, difference: Difference
) -> None:
    assert Pattern.from_dict(when).difference(asked) == [difference]


def test_a_template_captures_decoded_segments_and_an_encoded_slash_stays_in_its_segment() -> None:
    pattern = Pattern.from_dict({"path": "/repos/{owner}/{name}/issues"})
    assert pattern.params(Asked(path="/repos/a%20b/c%2Fd/issues")) == {"owner": "a b", "name": "c/d"}
    assert PathTemplate("/repos/{owner}").match("/repos/") is None


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        (
            Asked(content={"severity": "low"}),
            "closest: POST /v1/incidents, but body.severity was 'low', expected 'high'",
        ),
        (Asked(content={}), "closest: POST /v1/incidents, but body.severity was missing, expected 'high'"),
        (
            Asked(method="GET", path="/v1/incidents/7", content={}),
            "closest: GET /v1/incidents/{id}/log, but path was '/v1/incidents/7', expected '/v1/incidents/{id}/log'",
        ),
        (
            Asked(method="PUT", path="/find", query=(("q", "an"),)),
            "closest: GET /find, but method was 'PUT', expected 'GET'; query.q was 'an', expected text matching /^is:/",
        ),
        (
            Asked(method="PUT", path="/v1/incident"),
            (
                "closest: POST /v1/incidents, but method was 'PUT', expected 'POST'; "
                "path was '/v1/incident', expected '/v1/incidents'; body was missing, expected {\"severity\": \"high\"}"
            ),
        ),
    ],
)
def test_the_nearest_pattern_is_named_with_its_reasons_in_one_line(asked: Asked, line: str) -> None:
    patterns = [
        Pattern.from_dict({"method": "POST", "path": "/v1/incidents", "body": {"severity": "high"}}),
        Pattern.from_dict({"method": "GET", "path": "/v1/incidents/{id}/log"}),
        Pattern.from_dict({"method": "GET", "path": "/find", "query": {"q": {"regex": "^is:"}}}),
    ]
    assert first_match(patterns, asked) is None
    found = nearest(patterns, asked)
    assert found is not None
    assert explain(*found) == line


def test_more_than_three_differences_are_counted_and_long_values_are_cut() -> None:
    pattern = Pattern.from_dict({"body": dict.fromkeys("abcde", 1)}, label="everything")
    asked = Asked(content={"a": "x" * 200})
    line = explain(pattern, pattern.difference(asked))
    assert line.startswith("closest: everything, but body.a was 'xxx")
    assert line.endswith("; and 2 more differences")
    assert "…" in line
    assert len(line) < 300


def test_among_equally_near_patterns_the_first_wins_and_without_patterns_there_is_none() -> None:
    twins = [Pattern.from_dict({"body": {name: 1}}) for name in "ab"]
    found = nearest(twins, Asked(content={}))
    assert found is not None
    assert found[0] is twins[0]
    assert nearest([], Asked()) is None


def test_differences_become_json_with_missing_values_marked() -> None:
    assert Difference("body.a", MISSING, 1).as_json() == {
        "field": "body.a",
        "got": None,
        "expected": 1,
        "missing": True,
    }
    assert Difference("body.a", 2, 1).as_json() == {"field": "body.a", "got": 2, "expected": 1}


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ({"qurey": {}}, "a request pattern has no part 'qurey'; did you mean 'query'?"),
        (
            {"colour": {}},
            "a request pattern has no part 'colour'; it knows method, host, path, query, headers, body, jsonpath.",
        ),
        ({"body": {"a": [{"regex": "("}]}}, "body.a[0].regex: this is not a regular expression: "),
    ],
)
def test_a_pattern_that_cannot_work_is_refused_by_name(when: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        Pattern.from_dict(when)
    assert str(caught.value).startswith(message)
