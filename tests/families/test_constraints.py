"""Parameter constraints: what each operator accepts at each path, and which constraints are refused when made."""

from __future__ import annotations

from typing import Any

import pytest

from stack_emu.domain.constraints import (
    MAX_CONSTRAINTS,
    MAX_PATTERN,
    ConstrainedRequest,
    ConstraintInput,
    accepted,
    check,
    check_all,
    violations,
)
from stack_emu.domain.state import Constraint
from stack_emu.kernel.errors import Fault

REQUEST = ConstrainedRequest(
    method="post",
    url="https://Slack.com:8443/api/chat.postMessage/",
    headers={"X-Team": "core", "Content-Type": "application/json"},
    query=(("page", "2"), ("tag", "a"), ("tag", "b")),
    body={
        "channel": "#eng",
        "count": 3,
        "flag": True,
        "deep": {"list": [{"id": "x"}]},
        "dotted.key": "d",
        "none": None,
    },
)


def holds(path: str, op: str, value: Any, request: ConstrainedRequest = REQUEST) -> bool:
    return not violations([Constraint(path, op, value)], request)


@pytest.mark.parametrize(
    ("path", "op", "value", "expected"),
    [
        ("method", "eq", "POST", True),
        ("method", "eq", "post", False),
        ("url.pathname", "eq", "/api/chat.postMessage", True),
        ("url.pathname", "starts_with", "/api/", True),
        ("url.host", "eq", "slack.com:8443", True),
        ("url.origin", "in", ["https://slack.com:8443"], True),
        ("headers.x-team", "eq", "core", True),
        ("headers.X-TEAM", "eq", "core", True),
        ("query.page", "eq", 2, True),
        ("query.page", "in", ["1", "2"], True),
        ("query.tag", "in", ["a", "b"], True),
        ("query.tag", "in", ["a"], False),
        ("query.tag", "not_eq", "b", False),
        ("body.channel", "in", ["#eng"], True),
        ("body.channel", "not_in", ["#eng"], False),
        ("body.channel", "matches", "^#[a-z]+$", True),
        ("body.channel", "matches", "ng", True),
        ("body.channel", "matches", "^ng", False),
        ("body.count", "eq", 3, True),
        ("body.count", "eq", "3", False),
        ("body.count", "matches", "3", False),
        ("body.flag", "eq", 1, False),
        ("body.flag", "eq", True, True),
        ("body.none", "eq", None, True),
        ("body.deep.list.0.id", "eq", "x", True),
        ("body.deep.list.1.id", "eq", "x", False),
        ("body.deep", "eq", {"list": [{"id": "x"}]}, True),
        ("body.dotted.key", "eq", "d", True),
        ("body.missing", "eq", "x", False),
        ("body.missing", "in", ["x"], False),
        ("body.missing", "matches", ".*", False),
        ("body.missing", "starts_with", "", False),
        ("body.missing", "not_eq", "x", True),
        ("body.missing", "not_in", ["x"], True),
    ],
)
def test_operators_compare_what_is_at_the_path(path: str, op: str, value: Any, expected: bool) -> None:
    assert holds(path, op, value) is expected


def test_every_constraint_must_hold_and_each_failure_is_named() -> None:
    constraints = [
        Constraint("method", "eq", "GET"),
        Constraint("body.channel", "eq", "#eng"),
        Constraint("body.x", "eq", 1),
    ]
    found = violations(constraints, REQUEST)
    assert [(one.path, one.missing) for one in found] == [("method", False), ("body.x", True)]
    assert str(found[0]) == 'method must be equal to "GET", but it is "POST"'
    assert str(found[1]) == "body.x must be equal to 1, but it is missing"


FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    ("headers", "body", "path", "op", "expected"),
    [
        (FORM, "channel=%23eng&text=x", "body.channel", "eq", True),
        (FORM, "channel=%23eng&channel=%23secret", "body.channel", "eq", False),
        (FORM, "text=x", "body.channel", "not_eq", True),
        ({}, '{"channel": "#eng"}', "body.channel", "eq", True),
        ({}, "channel=%23eng", "body.channel", "not_eq", False),
        ({}, "plain", "body.channel", "not_eq", False),
        ({}, 7, "body.channel", "not_eq", False),
        ({}, None, "body.channel", "not_eq", True),
        ({}, [{"channel": "#eng"}], "body.0.channel", "eq", True),
    ],
)
def test_a_body_that_cannot_be_looked_into_meets_no_constraint(
    headers: dict[str, str], body: Any, path: str, op: str, expected: bool
) -> None:
    request = ConstrainedRequest("POST", "https://slack.com/x", headers, (), body)
    assert holds(path, op, "#eng", request) is expected


@pytest.mark.parametrize(
    ("path", "op", "value", "named"),
    [
        ("url.port", "eq", 1, "url.port"),
        ("body", "eq", 1, "body.<dotted.path>"),
        ("method", "gt", 1, "gt"),
        ("method", "in", "POST", "list"),
        ("method", "matches", 1, "text"),
        ("method", "starts_with", None, "text"),
        ("body.x", "matches", "(?=a)", "(?=a)"),
        ("body.x", "matches", r"(a)\1", r"\1"),
        ("body.x", "matches", "(", "missing )"),
        ("body.x", "matches", "a" * (MAX_PATTERN + 1), "256"),
    ],
)
def test_a_constraint_that_cannot_work_is_an_invalid_request(path: str, op: str, value: Any, named: str) -> None:
    with pytest.raises(Fault) as caught:
        check(Constraint(path, op, value))
    assert (caught.value.code, caught.value.status) == ("INVALID_REQUEST", 400)
    assert named in caught.value.message


def test_a_pattern_of_256_characters_and_32_constraints_are_accepted_and_33_are_not() -> None:
    check(Constraint("body.x", "matches", "a" * MAX_PATTERN))
    most = [Constraint("method", "eq", "POST")] * MAX_CONSTRAINTS
    check_all(most)
    with pytest.raises(Fault, match="32"):
        check_all([*most, most[0]])


def test_inputs_become_constraints() -> None:
    given = [ConstraintInput(path="method", op="eq", value="POST")]
    assert accepted(given) == (Constraint("method", "eq", "POST"),)
    with pytest.raises(Fault, match=r"url\.port"):
        accepted([ConstraintInput(path="url.port", op="eq", value=1)])


def test_a_hostile_pattern_takes_no_time() -> None:
    request = ConstrainedRequest("POST", "https://slack.com/x", {}, (), {"text": "a" * 20_000 + "!"})
    assert not holds("body.text", "matches", "^(a+)+$", request)
