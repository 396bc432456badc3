from __future__ import annotations

import json

import pytest

from stack_emu.kernel.acts import LaneWatch
from stack_emu.kernel.canonical import canonical_json, digest
from stack_emu.kernel.faults import FaultRule, FaultRules
from stack_emu.kernel.journal import Journal, Redactor

SECRET = "canary-abcdef"
JWT = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"


def redactor() -> Redactor:
    made = Redactor()
    made.add(SECRET, "scon_slack")
    return made


def test_secrets_are_masked_in_every_place_of_an_entry() -> None:
    journal = Journal(redactor())
    entry = journal.add(
        0,
        "rest",
        "POST",
        f"/v1/x?key={SECRET}",
        request={SECRET: [SECRET, {"deep": f"Bearer {SECRET}"}], "jwt": JWT},
        response={"echo": SECRET},
    )
    shown = json.dumps([entry.path, entry.request, entry.response])
    assert SECRET not in shown
    assert JWT not in shown
    assert shown.count("<secret:scon_slack>") == 5


def test_credential_headers_keep_their_scheme_only() -> None:
    shown = redactor().headers({"Authorization": "Bearer abc", "X-Passport-Token": "tok", "X-Other": SECRET})
    assert shown == {
        "Authorization": "Bearer <masked>",
        "X-Passport-Token": "<masked>",
        "X-Other": "<secret:scon_slack>",
    }


def test_the_journal_drops_the_oldest_entries_first() -> None:
    journal = Journal(Redactor(), limit=2)
    for number in range(3):
        journal.add(number, "rest", "GET", f"/{number}")
    assert [entry.path for entry in journal.entries()] == ["/1", "/2"]


def rules(*given: FaultRule) -> FaultRules:
    made = FaultRules()
    for rule in given:
        made.add(rule)
    return made


def hits(made: FaultRules, lane: str, count: int, **call: str) -> list[bool]:
    return [made.take(lane, 0, **call) is not None for _ in range(count)]


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"nth": 2}, [False, True, False, False]),
        ({"every": 2}, [False, True, False, True]),
        ({"times": 1}, [True, False, False, False]),
        ({}, [True, True, True, True]),
    ],
)
def test_counts_decide_which_calls_are_hit(limits: dict[str, int], expected: list[bool]) -> None:
    made = rules(FaultRule({"operation": "x"}, {"status": 500}, **limits))
    assert hits(made, "a", 4, operation="x") == expected


def test_counts_are_kept_for_each_lane_unless_asked_otherwise() -> None:
    made = rules(FaultRule({"operation": "x"}, {"status": 500}, nth=1))
    assert hits(made, "a", 2, operation="x") + hits(made, "b", 2, operation="x") == [True, False, True, False]
    shared = rules(FaultRule({"operation": "x"}, {"status": 500}, nth=1, per="world"))
    assert hits(shared, "a", 1, operation="x") + hits(shared, "b", 1, operation="x") == [True, False]


def test_windows_of_world_time_bound_a_rule() -> None:
    made = rules(FaultRule({"operation": "x"}, {"status": 500}, after_ms=10, until_ms=20))
    assert [made.take("a", at, operation="x") is not None for at in (9, 10, 19, 20)] == [False, True, True, False]


def test_a_rule_needs_every_field_it_names_and_takes_a_trailing_star() -> None:
    made = rules(FaultRule({"upstream": "slack", "path": "/api/*"}, {"status": 500}))
    assert made.take("a", 0, upstream="slack", path="/other") is None
    assert made.take("a", 0, upstream="github", path="/api/x") is None
    assert made.take("a", 0, upstream="slack", path="/api/x") == {"status": 500}


def test_rules_that_never_fired_are_named() -> None:
    fired, idle = FaultRule({"operation": "x"}, {"status": 500}), FaultRule({"operation": "y"}, {"status": 500})
    made = rules(fired, idle)
    made.take("a", 0, operation="x")
    assert made.unfired() == [idle]


def test_overlaps_are_noticed_for_open_and_for_crossed_requests() -> None:
    watch = LaneWatch()
    first, second = watch.ticket(), watch.ticket()
    watch.enter("lane", first, "one")
    watch.leave("lane", first)
    watch.enter("lane", second, "two")
    watch.leave("lane", second)
    assert [(item.first, item.second) for item in watch.overlaps] == [("one", "two")]


def test_serial_requests_do_not_overlap() -> None:
    watch = LaneWatch()
    for name in ("one", "two", "three"):
        ticket = watch.ticket()
        watch.enter("lane", ticket, name)
        watch.leave("lane", ticket)
    assert watch.overlaps == []


def test_acts_recorded_in_lanes_of_their_own_overlap_only_with_equal_ones() -> None:
    watch = LaneWatch()
    for ticket, key in ((watch.ticket(), "a"), (watch.ticket(), "b"), (watch.ticket(), "a")):
        watch.enter("lane", ticket, key, key)
    assert [(item.first, item.second) for item in watch.overlaps] == [("a", "a")]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"b": 1, "a": [True, None, "ü"]}, '{"a":[true,null,"ü"],"b":1}'),
        ({"x": 1.0, "y": 1e21, "z": 0.1}, '{"x":1,"y":1e+21,"z":0.1}'),
        ({"😀": 1, "\ufb33": 2}, '{"😀":1,"\ufb33":2}'),
        ({"n": 2**60}, '{"n":"1152921504606846976"}'),
        ("\u2028\u0007", '"\u2028\\u0007"'),
    ],
)
def test_canonical_json_is_rfc_8785(value: object, expected: str) -> None:
    assert canonical_json(value).decode() == expected


def test_equal_values_have_equal_digests_whatever_their_order() -> None:
    assert digest({"a": 1, "b": {"c": 2, "d": 3}}) == digest({"b": {"d": 3, "c": 2}, "a": 1})


def test_values_without_a_canonical_form_are_refused() -> None:
    with pytest.raises(ValueError, match="no canonical JSON"):
        canonical_json({"x": float("nan")})
