"""What must have happened: the same words in a scenario's ``expect``, over the control API, from the client and the fixture."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from anthropic import Anthropic

from stack_emu.client import EmulatorError

from .conftest import KEY, Shop

Make = Callable[..., Shop]
ROUTES = [
    {"when": {"path": "/orders"}, "reply": {"status": 201, "json": {"id": "o1"}}},
    {"when": {"path": "/fail"}, "reply": {"status": 503}},
]


@pytest.fixture
def asked(shop: Make) -> Shop:
    """A world in which orders were made at its start, and one two minutes later."""
    made = shop(ROUTES)
    made.ask("POST", "/orders?dry=1", {"qty": 3, "lines": [{"sku": "A-1"}]}, x_region="eu")
    made.ask("POST", "/orders", {"qty": 9})
    made.world.clock.advance("2m")
    made.other_lane().ask("PUT", "/orders", {"qty": 1})
    made.ask("GET", "/fail")
    return made


HOLDS: list[dict[str, Any]] = [
    {"upstream": [{"to": "shop"}]},
    {"upstream": [{"to": "shop", "times": 4}]},
    {"upstream": [{"to": "shop", "times": {"at_least": 2}}]},
    {"upstream": [{"to": "shop", "method": ["POST", "PUT"], "times": {"at_least": 3, "at_most": 3}}]},
    {"upstream": [{"to": "shop", "path": "/never", "never": True}]},
    {"upstream": [{"to": "shop", "path": {"regex": "^/ord"}, "times": 3}]},
    {"upstream": [{"to": "shop", "query": {"dry": "1"}, "headers": {"X-Region": "eu"}, "times": 1}]},
    {"upstream": [{"to": "shop", "body": {"qty": {"gt": 2}}, "times": 2}]},
    {"upstream": [{"to": "shop", "jsonpath": {"$.lines[*].sku": "A-1"}, "times": 1}]},
    {"upstream": [{"to": "shop", "status": {"gte": 500}, "times": 1}]},
    {"upstream": [{"to": "shop", "credential": "scon_shop", "times": 4}]},
    {"upstream": [{"to": "shop", "within": {"before": "+1m"}, "times": 2}]},
    {"upstream": [{"to": "shop", "within": {"after": "+1m", "before": "+3m"}, "times": 2}]},
    {"upstream": [{"to": "shop", "lane": "key:1", "times": 1}]},
    {"audit": [{"action": "credential.proxy", "service": "shop", "outcome": "success", "times": {"at_least": 3}}]},
    {"audit": [{"action": "credential.proxy", "metadata": {"upstream_status": {"gte": 500}}, "times": 1}]},
    {"operations": [{"operation": "proxy.request", "times": 4, "over": "rest"}]},
    {
        "operations": [
            {"operation": "proxy.request", "request": {"url": {"contains": "/fail"}}, "status": 200, "times": 1}
        ]
    },
    {"operations": [{"operation": "agents.register", "never": True}]},
    {"model": [{"never": True}]},
    {"sent": [{"never": True}]},
    {"order": [{"upstream": {"to": "shop", "body": {"qty": 3}}}, {"upstream": {"to": "shop", "path": "/fail"}}]},
    {"order": [{"audit": {"action": "credential.proxy", "outcome": outcome}} for outcome in ("success", "failure")]},
    {
        "order": [
            {"operations": {"operation": "proxy.request"}},
            {"upstream": {"to": "shop", "body": {"qty": 3}}},
            {"audit": {"action": "credential.proxy", "service": "shop"}},
            {"upstream": {"to": "shop", "body": {"qty": 9}}},
            {"audit": {"action": "credential.proxy", "lane": "key:0"}},
            {"upstream": {"to": "shop", "path": "/fail"}},
            {"audit": {"action": "credential.proxy", "metadata": {"upstream_status": {"gte": 500}}}},
        ]
    },
]
FAILS: list[tuple[dict[str, Any], str]] = [
    (
        {"upstream": [{"to": "shop", "path": "/order"}]},
        "upstream[0]: expected at least one /order to shop, saw 0; the closest",
    ),
    ({"upstream": [{"to": "shop", "times": 5}]}, "expected exactly 5 call to shop, saw 4"),
    ({"upstream": [{"to": "shop", "never": True}]}, "expected no call to shop, saw 4"),
    ({"upstream": [{"to": "shop", "times": {"at_most": 1}}]}, "expected at most 1 call to shop, saw 4"),
    ({"upstream": [{"to": "shop", "times": {"at_least": 5, "at_most": 9}}]}, "expected 5 to 9 call to shop, saw 4"),
    ({"upstream": [{"to": "shop", "body": {"qty": {"gt": 10}}}]}, "body.qty was 3, expected more than 10"),
    ({"upstream": [{"to": "shop", "credential": "scon_other"}]}, "credential was 'scon_shop', expected 'scon_other'"),
    ({"upstream": [{"to": "shop", "status": 500, "method": "GET"}]}, "status was 503, expected 500"),
    ({"upstream": [{"to": "shop", "within": {"after": "+5m"}}]}, "at was '+0s', expected '+5m or later'"),
    ({"upstream": [{"to": "shop", "lane": "key:7"}]}, "lane was 'key:0', expected 'key:7'"),
    ({"audit": [{"action": "credential.proxy", "outcome": "blocked"}]}, "outcome was 'success', expected 'blocked'"),
    (
        {"audit": [{"action": "passport.revoke"}]},
        "expected at least one audit row {'action': 'passport.revoke'}, saw 0",
    ),
    ({"operations": [{"operation": "proxy.request", "over": "mcp"}]}, "over was 'rest', expected 'mcp'"),
    (
        {"model": [{"request": {"user": "hello"}}]},
        "expected at least one request to the model {'user': 'hello'}, saw 0",
    ),
    ({"sent": [{"path": "/hook"}]}, "expected at least one /hook to a receiver, saw 0"),
    (
        {"order": [{"upstream": {"to": "shop", "path": "/fail"}}, {"upstream": {"to": "shop", "body": {"qty": 3}}}]},
        "order[1]: expected call to shop after /fail to shop (#",
    ),
    ({"order": [{"upstream": {"to": "shop", "path": "/never"}}]}, "expected /never to shop, but it was never seen"),
    (
        {"order": [{"upstream": {"to": "shop", "path": "/ordres"}}]},
        "order[0]: expected /ordres to shop, but it was never seen; the closest was POST /orders, but path was '/orders'",
    ),
    (
        {"order": [{"audit": {"action": "credential.proxy", "outcome": "blocked"}}]},
        "but it was never seen; the closest was credential.proxy success, but outcome was 'success', expected 'blocked'",
    ),
    (
        {"order": [{"audit": {"outcome": "failure", "action": "credential.proxy"}}, {"upstream": {"to": "shop"}}]},
        "'outcome': 'failure'} (row 4), but it was seen before that, as #8",
    ),
    (
        {
            "order": [
                {"upstream": {"to": "shop", "path": "/fail"}},
                {"audit": {"action": "credential.proxy", "outcome": "success"}},
            ]
        },
        "after /fail to shop (#8), but it was seen before that, as row 3",
    ),
]


@pytest.mark.parametrize("expected", HOLDS, ids=str)
def test_what_happened_is_found(asked: Shop, expected: dict[str, Any]) -> None:
    asked.world.verify(**expected)


@pytest.mark.parametrize(("expected", "said"), FAILS, ids=[said for _, said in FAILS])
def test_what_did_not_happen_is_told_with_what_came_nearest(asked: Shop, expected: dict[str, Any], said: str) -> None:
    with pytest.raises(AssertionError) as failed:
        asked.world.verify(**expected)
    assert said in str(failed.value)


def test_the_nearest_records_stand_side_by_side(asked: Shop) -> None:
    with pytest.raises(AssertionError) as failed:
        asked.world.verify(upstream=[{"to": "shop", "method": "POST", "body": {"qty": 4}}])
    table = str(failed.value).splitlines()[1:]
    assert [" ".join(line.split()) for line in table] == [
        "expected #2 POST /orders #4 POST /orders #6 PUT /orders",
        "body.qty 4 3 9 1",
        "method 'POST' ✓ ✓ 'PUT'",
    ]


def test_an_order_that_does_not_hold_shows_its_near_misses(asked: Shop) -> None:
    with pytest.raises(AssertionError) as failed:
        asked.world.verify(order=[{"audit": {"action": "credential.proxy", "metadata": {"upstream_status": 404}}}])
    table = [" ".join(line.split()) for line in str(failed.value).splitlines()[1:]]
    assert table[0] == ("expected #1 credential.proxy success #2 credential.proxy success #3 credential.proxy success")
    assert table[1:] == ["metadata.upstream_status 404 201 201 201"]
    with pytest.raises(AssertionError) as failed:
        asked.world.verify(
            order=[{"upstream": {"to": "shop", "path": "/fail"}}, {"upstream": {"to": "shop", "method": "PUT"}}]
        )
    assert [line.strip() for line in str(failed.value).splitlines()[1:]] == [
        "#6 PUT /orders at 2026-01-01T00:02:00.000Z"
    ]


def test_rows_keep_their_place_among_calls_when_the_journal_is_cleared_or_the_world_restored(asked: Shop) -> None:
    fails = {"upstream": {"to": "shop", "path": "/fail"}}
    row = {"audit": {"action": "credential.proxy", "outcome": "success"}}
    asked.world.snapshot("then")
    asked.world.control("DELETE", "/journal")
    asked.ask("GET", "/fail")
    asked.world.verify(order=[row, fails])
    with pytest.raises(AssertionError, match="but it was seen before that, as row 3"):
        asked.world.verify(order=[fails, row])
    asked.world.restore("then")
    asked.ask("GET", "/fail")
    asked.world.verify(order=[row, fails, {"audit": {"action": "credential.proxy", "outcome": "failure"}}])
    with pytest.raises(AssertionError, match="but it was seen before that, as row 3"):
        asked.world.verify(order=[fails, row])
    asked.world.reset()
    with pytest.raises(AssertionError, match=r"but it was never seen$"):
        asked.world.verify(order=[row])


def test_an_upstream_is_asked_by_itself(asked: Shop) -> None:
    asked.world.upstream("shop").verify(path="/orders", times=3)
    with pytest.raises(AssertionError, match="expected exactly 2 /orders to shop, saw 3"):
        asked.world.upstream("shop").verify(path="/orders", times=2)


@pytest.mark.parametrize(
    ("expected", "said"),
    [
        ({}, "Nothing is expected"),
        ({"upstreams": []}, "unknown key upstreams; did you mean upstream?"),
        ({"upstream": [{"to": "shpo"}]}, "shop"),
        ({"upstream": [{"to": "shop", "body": {"regex": "("}}]}, "this is not a regular expression"),
        ({"upstream": [{"to": "shop", "times": 1, "never": True}]}, "never and times both say how often"),
        ({"upstream": [{"to": "shop", "times": {}}]}, "how often is not said"),
        ({"upstream": [{"to": "shop", "times": {"at_least": 3, "at_most": 1}}]}, "nothing can hold both"),
        ({"order": [{}]}, "a step is one of upstream, audit, operations, model and sent"),
        (
            {"order": [{"audit": {"action": "agent.register"}, "model": {}}]},
            "a step is one of upstream, audit, operations, model and sent",
        ),
        ({"order": [{"audit": {}}]}, "order[0].audit"),
        ({"operations": [{"times": 1}]}, "what is called is not said"),
    ],
)
def test_a_mistake_in_what_is_expected_is_told(asked: Shop, expected: dict[str, Any], said: str) -> None:
    with pytest.raises(EmulatorError) as refused:
        asked.world.verify(**expected)
    assert said in str(refused.value)


def test_requests_to_the_model_and_callbacks_are_found(shop: Make) -> None:
    made = shop([{"reply": {"json": {}}, "callbacks": [{"url": "http://127.0.0.1:9/hook", "json": {"n": 1}}]}])
    made.world.model.script({"when": {"user": "hello"}, "turns": [{"say": "hi"}]})
    with Anthropic(api_key="any", base_url=made.world.anthropic_base_url) as client:
        client.messages.create(model="claude-opus-5-5", max_tokens=9, messages=[{"role": "user", "content": "hello"}])
    made.ask("GET", "/x")
    made.world.clock.advance("1s")
    made.world.verify(
        model=[
            {"request": {"user": "hello", "model": {"regex": "opus"}}, "over": "messages", "status": 200, "times": 1}
        ],
        sent=[{"over": "callback", "host": "127.0.0.1", "path": "/hook", "body": {"n": 1}, "status": 0, "times": 1}],
        order=[{"model": {"over": "messages"}}, {"upstream": {"to": "shop"}}, {"sent": {"path": "/hook"}}],
    )


def test_exec_writes_a_case_for_each_expectation(tmp_path: Path) -> None:
    scenario = tmp_path / "shop.yaml"
    scenario.write_text(
        "stack_emu: 1\n"
        f"operator: {{id: op_acme, keys: [{{key: {KEY}}}]}}\n"
        "services: [{id: scon_shop, provider: shop, upstream: shop}]\n"
        "upstreams: {shop: {hosts: [api.shop.test], routes: [{reply: {json: {}}}]}}\n"
        "expect:\n"
        "  upstream:\n"
        "    - {to: shop, path: /orders, times: 1}\n"
        "    - {to: shop, path: /order}\n"
        "  audit: [{action: credential.proxy}]\n"
        "  order:\n"
        "    - {upstream: {to: shop}}\n"
        "    - {audit: {action: credential.proxy}}\n"
        "    - {audit: {action: passport.revoke}}\n"
    )
    agent = tmp_path / "agent.py"
    agent.write_text(
        "import os\nfrom getstack import Stack\n"
        "Stack(api_key=os.environ['STACK_API_KEY']).proxy.get('shop', 'https://api.shop.test/orders')\n"
    )
    report = tmp_path / "report.xml"
    command = [sys.executable, "-m", "stack_emu.cli.main", "exec", str(scenario), "--junit", str(report), "--"]
    ended = subprocess.run([*command, sys.executable, str(agent)], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 70, ended.stderr
    suite = ET.parse(report).getroot()
    cases = {case.get("name"): case.find("failure") for case in suite.findall("testcase")}
    held = [name for name, failure in cases.items() if failure is None]
    assert f"upstream[0]: exactly 1 /orders to shop ({scenario}:7)" in held
    failure, order = [failure for failure in cases.values() if failure is not None]
    assert str(order.text).startswith(f"{scenario}:13\n")
    assert "after audit row {'action': 'credential.proxy'} (row 1), but it was never seen; the closest" in str(
        order.text
    )
    assert "expected at least one /order to shop, saw 0; the closest was GET /orders" in str(failure.text)
    assert str(failure.text).startswith(f"{scenario}:8\n")
    assert "path  '/order'  '/orders'" in str(failure.text)
    properties = {one.get("name"): one.get("value") for one in suite.iter("property")}
    assert properties == {"scenario": str(scenario), "seed": "0"}
    assert (suite.get("tests"), suite.get("failures")) == ("5", "2")
