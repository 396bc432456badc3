"""The proxy: what goes out, what comes back, and what is written about it."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from typing import Any

import getstack
import httpx
import pytest

from tests.families.drivers import McpTools
from tests.families.proxy_world import (
    ECHO,
    MEMBER,
    OPERATOR,
    POST_MESSAGE,
    SECRET,
    WORLD,
    echoed,
    last_row,
    mission,
    operations,
    raw_proxy,
    token,
)


def test_a_message_reaches_slack_and_the_row_says_everything_about_the_call(
    serve: Callable[..., Any], sdk: Any
) -> None:
    served = serve(WORLD)
    client = sdk(served.base_url, OPERATOR)
    reply = client.proxy.post(
        "slack", POST_MESSAGE, body={"channel": "#eng", "text": "hi"}, passport_token=token(served)
    )
    assert (reply.status, reply.body["ok"], reply.ok()) == (200, True, True)
    row = last_row(served)
    assert (row.layer, row.action, row.outcome) == ("vault", "credential.proxy", "success")
    assert (row.agent_id, row.passport_jti) == ("agent_bot", "pp_one")
    wanted = {
        "mission": "ms_one",
        "intent": "Announce deploys",
        "service": "slack",
        "connection": "scon_slack",
        "scopes": ["slack:chat:write"],
        "upstream": "slack",
        "upstream_status": 200,
        "authority_request": reply.operation_id,
    }
    assert {name: row.metadata.get(name) for name in wanted} == wanted
    counted = mission(served)
    assert (counted.actions, counted.reserved, counted.actions_per_service) == (1, 0, {"slack": 1})


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete"])
def test_every_method_of_the_sdk_reaches_the_upstream_with_the_credential(
    serve: Callable[..., Any], sdk: Any, method: str
) -> None:
    served = serve(WORLD)
    extra = {"body": {"a": 1}} if method in ("post", "put", "patch") else {}
    call = getattr(sdk(served.base_url, OPERATOR).proxy, method)
    reply = call("echo", f"{ECHO}/things?x=1", query={"y": "2"}, passport_token=token(served), **extra)
    seen = echoed(reply)
    assert (seen["method"], seen["path"], seen["query"]) == (method.upper(), "/things", {"x": "1", "y": "2"})
    assert seen["headers"]["authorization"] == "Bearer <secret:scon_echo>"
    got = served.world.settings["upstreams"].requests(served.world, "echo")[-1]
    assert got["credential"] == "scon_echo"
    assert not served.world.journal.violations()


def test_an_upstream_failure_is_http_200_with_the_status_in_the_envelope(serve: Callable[..., Any], sdk: Any) -> None:
    served = serve(WORLD)
    reply = sdk(served.base_url, OPERATOR).proxy.get("echo", f"{ECHO}/status/404", passport_token=token(served))
    assert (reply.status, reply.body, reply.ok()) == (404, {"error": "gone"}, False)
    row = last_row(served)
    assert (row.outcome, row.metadata["upstream_status"], row.error_code) == ("failure", 404, None)
    assert mission(served).actions == 1


def test_an_operator_key_without_a_passport_uses_the_accounts_connection(serve: Callable[..., Any], sdk: Any) -> None:
    served = serve(WORLD)
    reply = sdk(served.base_url, OPERATOR).proxy.post("slack", POST_MESSAGE, body={"channel": "#eng", "text": "hi"})
    assert reply.body["ok"] is True
    row = last_row(served)
    assert (row.agent_id, row.passport_jti, row.metadata["scopes"]) == (
        None,
        None,
        ["slack:chat:write", "slack:channels:read"],
    )


def test_a_member_key_without_a_passport_is_held_to_its_connections(serve: Callable[..., Any], sdk: Any) -> None:
    served = serve(WORLD)
    client = sdk(served.base_url, MEMBER)
    assert client.proxy.post("slack", POST_MESSAGE, body={"channel": "#eng", "text": "hi"}).body["ok"] is True
    with pytest.raises(getstack.ForbiddenError, match="scon_slack"):
        client.proxy.get("echo", ECHO)
    assert (last_row(served).outcome, last_row(served).error_code) == ("blocked", "FORBIDDEN")
    with pytest.raises(getstack.ForbiddenError, match="scon_slack"):
        client.proxy.get("echo", ECHO, passport_token=token(served))


def test_a_passport_alone_may_proxy(serve: Callable[..., Any], sdk: Any) -> None:
    served = serve(WORLD)
    client = sdk(served.base_url, token(served))
    assert client.proxy.post("slack", POST_MESSAGE, body={"channel": "#ops", "text": "hi"}).body["ok"] is True
    assert last_row(served).passport_jti == "pp_one"
    assert served.world.audit.acts()[-1].lane == "agent:agent_bot/passport:pp_one"


def test_a_read_of_an_unknown_method_is_refused_before_anything_happens(serve: Callable[..., Any]) -> None:
    served = serve(WORLD)
    for wrong in (
        {"service": "echo", "url": ECHO, "method": "TRACE"},
        {"service": "echo", "url": "ftp://echo.example.com"},
        {"service": "echo", "url": "/relative"},
        {"url": ECHO},
        {"service": "echo", "url": ECHO, "method": "GET", "body": {"a": 1}},
    ):
        reply = raw_proxy(served, wrong)
        assert (reply.status_code, reply.json()["error"]["code"]) == (400, "INVALID_REQUEST"), wrong
        assert isinstance(reply.json()["error"]["details"]["fields"], dict)
    assert not operations(served)


def test_without_a_credential_or_with_a_readonly_key_nothing_goes_out(serve: Callable[..., Any]) -> None:
    from tests.families.proxy_world import READER

    served = serve(WORLD)
    payload = {"service": "echo", "url": ECHO}
    assert httpx.post(f"{served.base_url}/v1/proxy", json=payload).status_code == 401
    assert raw_proxy(served, payload, READER).status_code == 403
    assert not operations(served)


def test_the_tool_proxies_with_and_without_a_passport(serve: Callable[..., Any]) -> None:
    served = serve(WORLD)
    body = {"channel": "#eng", "text": "hi"}
    arguments = {"service": "slack", "method": "POST", "url": POST_MESSAGE, "body": body}
    for tools, passport in (
        (McpTools(served.base_url, OPERATOR), None),
        (McpTools(served.base_url, OPERATOR), "pp_one"),
        (McpTools(served.base_url, token(served)), None),
    ):
        named = {"passport_token": token(served, passport)} if passport else {}
        reply = tools("stack_proxy_request", **arguments, **named)
        assert (reply["status"], reply["body"]["ok"]) == (200, True)
    refused, failed = McpTools(served.base_url, token(served)).result(
        "stack_proxy_request", service="github", url="https://api.github.com/user"
    )
    assert failed
    assert "FORBIDDEN" in json.dumps(refused)


def test_a_host_nobody_emulates_answers_501_with_the_nearest_one(serve: Callable[..., Any], sdk: Any) -> None:
    served = serve(WORLD)
    reply = sdk(served.base_url, OPERATOR).proxy.get("echo", "https://ech0.example.com/x", passport_token=token(served))
    assert reply.status == 501
    assert reply.body["error"]["details"]["nearest"] == "echo.example.com"
    [violation] = served.world.journal.violations()
    assert (violation.problem, violation.surface) == ("unmatched", "upstream")
    assert "ech0.example.com" in violation.hint
    row = last_row(served)
    assert (row.outcome, row.error_code, row.metadata["upstream_status"]) == ("failure", "NOT_EMULATED", 501)
    assert (mission(served).actions, mission(served).reserved) == (0, 0)


def test_a_route_nobody_wrote_answers_501_and_says_why(serve: Callable[..., Any], sdk: Any) -> None:
    served = serve(WORLD)
    reply = sdk(served.base_url, OPERATOR).proxy.get("github", "https://api.github.com/users")
    assert reply.status == 501
    assert "/user" in reply.body["error"]["message"]
    assert [entry.problem for entry in served.world.journal.violations()] == ["unmatched"]


def test_a_credential_sent_to_a_foreign_host_is_refused_there_and_reported_as_a_leak(
    serve: Callable[..., Any], sdk: Any
) -> None:
    served = serve(WORLD)
    reply = sdk(served.base_url, OPERATOR).proxy.get("slack", "https://api.github.com/user")
    assert reply.status == 401
    [violation] = served.world.journal.violations()
    assert violation.problem == "leak"
    assert "scon_slack" in violation.hint
    assert last_row(served).metadata["leak"] == "credential of scon_slack sent to api.github.com"


@pytest.mark.parametrize(
    ("fault", "code", "status"),
    [
        ("{on: {upstream: echo}, inject: {drop: request}}", "UPSTREAM_UNREACHABLE", 502),
        ("{on: {upstream: echo}, inject: {drop: reply}}", "UPSTREAM_UNREACHABLE", 502),
        ("{on: {upstream: echo}, inject: {delay: 40s}}", "UPSTREAM_TIMEOUT", 504),
        ("{on: {operation: proxy.request, service: echo}, inject: {error: CONFLICT}}", "CONFLICT", 409),
    ],
)
def test_a_call_without_an_answer_is_a_refusal_that_gives_its_reservation_back(
    serve: Callable[..., Any], sdk: Any, fault: str, code: str, status: int
) -> None:
    served = serve(WORLD + f"faults: [{fault}]\n")
    with pytest.raises(getstack.StackError) as caught:
        sdk(served.base_url, OPERATOR).proxy.post("echo", ECHO, body={}, passport_token=token(served))
    assert (caught.value.code, caught.value.status_code) == (code, status)
    assert caught.value.operation_id
    [made] = operations(served)
    assert (made.accounting_state, made.error_code) == ("released", code)
    assert (mission(served).actions, mission(served).reserved) == (0, 0)
    row = last_row(served)
    assert (row.outcome, row.error_code) == ("failure", code)


def test_a_fault_of_the_operation_counts_each_call_once(serve: Callable[..., Any], sdk: Any) -> None:
    served = serve(WORLD + "faults: [{on: {operation: proxy.request, nth: 2}, inject: {error: TIER_LIMIT_EXCEEDED}}]\n")
    client = sdk(served.base_url, OPERATOR)
    assert client.proxy.get("echo", ECHO, passport_token=token(served)).status == 200
    with pytest.raises(getstack.ForbiddenError) as caught:
        client.proxy.get("echo", ECHO, passport_token=token(served))
    assert caught.value.code == "TIER_LIMIT_EXCEEDED"
    assert client.proxy.get("echo", ECHO, passport_token=token(served)).status == 200


def test_a_reply_past_ten_megabytes_is_refused_but_counts(serve: Callable[..., Any], sdk: Any, httpserver: Any) -> None:
    httpserver.expect_request("/user").respond_with_data(b"x" * (10 * 1024 * 1024 + 1))
    routes = "routes: [{when: {path: /user}, reply: {json: {login: octo}}}]"
    assert routes in WORLD
    served = serve(WORLD.replace(routes, f"forward: '{httpserver.url_for('').rstrip('/')}'"))
    client = sdk(served.base_url, OPERATOR)
    with pytest.raises(getstack.StackError) as caught:
        client.proxy.get("github", "https://api.github.com/user")
    assert (caught.value.code, caught.value.status_code) == ("RESPONSE_TOO_LARGE", 502)
    assert (operations(served)[0].delivery_state, client.proxy.usage()["used"]) == ("response_received", 1)


def test_the_secret_is_in_no_reply_row_or_journal(serve: Callable[..., Any]) -> None:
    served = serve(WORLD)
    replies = [
        raw_proxy(served, {"service": "echo", "url": f"{ECHO}/{path}"}, X_Passport_Token=token(served))
        for path in ("text", "anything", "bytes")
    ]
    assert replies[0].json()["body"] == "token Bearer <secret:scon_echo>"
    assert replies[0].json()["headers"]["x-seen"] == "Bearer <secret:scon_echo>"
    assert replies[0].json()["headers"]["set-cookie"] == "a=1"
    assert replies[2].json()["body"] == {"base64": "/wD/", "content_type": "image/png"}
    everything = (
        "".join(reply.text for reply in replies) + repr(served.rows()) + repr(list(served.world.journal.entries()))
    )
    assert SECRET not in everything
    assert [row.metadata.get("scrubbed") for row in served.rows()] == [True, True, None]


def hang_up_after(served: Any, path: str, happened: Callable[[], Any]) -> None:
    """Send a proxied call over a socket of its own and close it once ``happened`` is true."""
    raw = json.dumps({"service": "echo", "url": f"{ECHO}{path}"}).encode()
    head = (
        f"POST /v1/proxy HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {OPERATOR}\r\nX-Passport-Token: "
        f"{token(served)}\r\nContent-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", served.server.port)) as connection:
        connection.sendall(head.encode() + raw)
        wait_until(happened)


def wait_until(happened: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in 10 s"
        time.sleep(0.005)


def test_a_client_that_hangs_up_leaves_no_reservation_and_a_settled_row(serve: Callable[..., Any]) -> None:
    served = serve(WORLD)
    hang_up_after(served, "/slow", lambda: mission(served).reserved)
    assert operations(served)[0].delivery_state == "dispatching"
    wait_until(served.rows)
    [row] = served.rows()
    assert (row.outcome, row.metadata["upstream_status"]) == ("success", 200)
    assert operations(served)[0].accounting_state == "committed"
    assert (mission(served).reserved, mission(served).actions) == (0, 1)


def test_a_client_that_hangs_up_before_its_call_began_has_asked_for_nothing(serve: Callable[..., Any]) -> None:
    fault = "faults: [{on: {operation: proxy.request, times: 1}, inject: {delay: 20s}}]\n"
    served = serve(WORLD + fault)
    hang_up_after(served, "/", lambda: not served.world.faults.unfired())
    wait_until(lambda: not any(lane.open for lane in served.world.lanes._lanes.values()))
    assert not served.rows()
    assert not operations(served)
    first = raw_proxy(served, {"service": "echo", "url": f"{ECHO}/"}, X_Passport_Token=token(served))
    assert first.status_code == 200
    [act] = served.world.audit.acts()
    assert act.ordinal == 0
