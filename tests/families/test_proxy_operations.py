"""Proxy operations: reading them back, unchanged retries, what is left after a crash; and the month's usage."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import getstack
import httpx
import pytest

from stack_emu.domain.proxy_operations import REPLAY_MS, recover
from stack_emu.domain.state import ProxyOperation
from tests.families.drivers import McpTools
from tests.families.proxy_world import (
    ECHO,
    MEMBER,
    OPERATOR,
    POST_MESSAGE,
    READER,
    SECRET,
    WORLD,
    bearer,
    last_row,
    mission,
    operations,
    raw_proxy,
    token,
)

REQUEST_ID = "request-0123456789-abcdef"
KEYS = {
    "operation_id",
    "delivery_state",
    "replay_state",
    "accounting_state",
    "provider",
    "method",
    "created_at",
    "dispatched_at",
    "response_received_at",
    "provider_outcome",
    "provider_status",
    "response",
}


def received(served: Any, upstream: str = "echo") -> int:
    return len(served.world.settings["upstreams"].requests(served.world, upstream))


def test_an_operation_is_read_back_by_the_clients_own_id(serve: Callable[..., Any], sdk: Any) -> None:
    served = serve(WORLD)
    client, passport = sdk(served.base_url, OPERATOR), token(served)
    reply = client.proxy.post("echo", f"{ECHO}/text", body={}, passport_token=passport)
    found = client.proxy.get_operation(reply.operation_id, passport_token=passport, include_response=True)
    assert set(found) == KEYS
    assert found["operation_id"] == reply.operation_id
    assert (found["delivery_state"], found["replay_state"], found["accounting_state"]) == (
        "response_received",
        "available",
        "committed",
    )
    assert (found["provider"], found["method"], found["provider_outcome"]) == ("echo", "POST", "not_required")
    assert found["created_at"].endswith("Z")
    assert found["response"] == {"status": 200, "headers": reply.headers, "body": reply.body}
    assert SECRET not in str(found)
    assert client.proxy.get_operation(reply.operation_id, passport_token=passport)["response"] is None


def test_an_operation_is_another_agents_secret(serve: Callable[..., Any], sdk: Any) -> None:
    served = serve(WORLD)
    client = sdk(served.base_url, OPERATOR)
    reply = client.proxy.post("echo", ECHO, body={}, passport_token=token(served))
    for jti, status in (("pp_strict", 404), ("pp_foreign", 403)):
        with pytest.raises(getstack.StackError) as caught:
            client.proxy.get_operation(reply.operation_id, passport_token=token(served, jti))
        assert caught.value.status_code == status
    with pytest.raises(getstack.NotFoundError):
        client.proxy.get_operation("nothing-of-this-name-here", passport_token=token(served))
    client.passports.revoke("pp_one")
    with pytest.raises(getstack.UnauthorizedError):
        client.proxy.get_operation(reply.operation_id, passport_token=token(served))


def test_an_account_reads_its_operations_without_a_passport_and_a_member_those_of_its_connections(
    serve: Callable[..., Any],
) -> None:
    served = serve(WORLD)
    raw_proxy(served, {"service": "echo", "url": ECHO}, X_Passport_Token=token(served))
    payload = {"operation_id": operations(served)[0].id}
    url = f"{served.base_url}/v1/proxy/operations/get"
    assert httpx.post(url, json=payload, headers=bearer(OPERATOR)).json()["delivery_state"] == "response_received"
    assert httpx.post(url, json=payload, headers=bearer(token(served))).status_code == 200
    assert httpx.post(url, json=payload, headers=bearer(MEMBER)).status_code == 404
    assert httpx.post(url, json=payload).status_code == 401
    tool = McpTools(served.base_url, OPERATOR)
    assert tool("stack_get_proxy_operation", **payload)["operation_id"] == payload["operation_id"]


def test_an_unchanged_retry_gets_the_recorded_response_and_counts_once(serve: Callable[..., Any], sdk: Any) -> None:
    served = serve(WORLD)
    client, passport = sdk(served.base_url, OPERATOR), token(served)

    def send(text: str = "hi", request_id: str = REQUEST_ID) -> Any:
        body = {"channel": "#eng", "text": text}
        named = {"passport_token": passport, "authority_request_id": request_id}
        return client.proxy.post("slack", POST_MESSAGE, body=body, **named)

    first, second = send(), send()
    assert (second.status, second.body) == (first.status, first.body)
    assert received(served, "slack") == 1
    assert (mission(served).actions, client.proxy.usage()["used"]) == (1, 1)
    assert (last_row(served).action, last_row(served).metadata["replayed"]) == ("credential.proxy", True)
    with pytest.raises(getstack.StackError, match="another request") as caught:
        send("changed")
    assert (caught.value.status_code, caught.value.code) == (409, "CONFLICT")
    assert caught.value.operation_id == REQUEST_ID
    served.advance(1)
    assert send(request_id=REQUEST_ID + "x").body["ts"] != first.body["ts"]


def test_a_retry_is_not_handed_out_under_a_passport_that_may_not_make_the_call(
    serve: Callable[..., Any], sdk: Any
) -> None:
    served = serve(WORLD)
    client = sdk(served.base_url, OPERATOR)
    named = {"body": {}, "authority_request_id": REQUEST_ID}
    assert client.proxy.post("echo", ECHO, passport_token=token(served), **named).status == 200
    client.passports.revoke("pp_one")
    with pytest.raises(getstack.UnauthorizedError):
        client.proxy.post("echo", ECHO, passport_token=token(served), **named)
    # The id is the agent's own: with the account's key alone it names nothing yet.
    assert client.proxy.post("echo", ECHO, **named).status == 200
    assert received(served) == 2


def test_a_recorded_response_is_handed_out_for_a_day(serve: Callable[..., Any], sdk: Any) -> None:
    served = serve(WORLD)
    client = sdk(served.base_url, OPERATOR)
    named = {"body": {}, "authority_request_id": REQUEST_ID}
    client.proxy.post("echo", ECHO, **named)
    served.advance(REPLAY_MS)
    raw = httpx.post(
        f"{served.base_url}/v1/proxy/operations/get",
        json={"operation_id": REQUEST_ID, "include_response": True},
        headers=bearer(OPERATOR),
    ).json()
    assert (raw["replay_state"], raw["response"]) == ("expired", None)
    with pytest.raises(getstack.StackError, match="no response on record"):
        client.proxy.post("echo", ECHO, **named)


def test_a_call_that_never_went_out_can_be_repeated_and_one_that_may_have_cannot(
    serve: Callable[..., Any], sdk: Any
) -> None:
    faults = """
faults:
  - {on: {operation: proxy.request, service: echo, nth: 1}, inject: {error: CONFLICT}}
  - {on: {upstream: slack, nth: 1}, inject: {drop: reply}}
"""
    served = serve(WORLD + faults)
    client = sdk(served.base_url, OPERATOR)
    named = {"body": {"channel": "#eng", "text": "x"}, "authority_request_id": REQUEST_ID}
    with pytest.raises(getstack.StackError):
        client.proxy.post("echo", ECHO, **named)
    assert operations(served)[0].delivery_state == "admitted"
    assert client.proxy.post("echo", ECHO, **named).status == 200
    other = {**named, "authority_request_id": REQUEST_ID + "-slack"}
    with pytest.raises(getstack.StackError) as caught:
        client.proxy.post("slack", POST_MESSAGE, **other)
    assert caught.value.code == "UPSTREAM_UNREACHABLE"
    with pytest.raises(getstack.StackError, match="may have taken effect") as caught:
        client.proxy.post("slack", POST_MESSAGE, **other)
    assert (caught.value.status_code, caught.value.details["delivery_state"]) == (409, "outcome_unknown")


def test_a_retry_while_the_call_is_under_way_is_a_conflict(serve: Callable[..., Any]) -> None:
    served = serve(WORLD)
    payload = {"service": "echo", "url": f"{ECHO}/slow"}

    def send(_: int) -> httpx.Response:
        return raw_proxy(served, payload, X_STACK_Authority_Request_Id=REQUEST_ID)

    with ThreadPoolExecutor(3) as pool:
        replies = list(pool.map(send, range(3)))
    assert sorted(reply.status_code for reply in replies) == [200, 409, 409]
    assert received(served) == 1


def test_an_id_of_the_wrong_form_is_refused(serve: Callable[..., Any]) -> None:
    served = serve(WORLD)
    for wrong in ("short", "x" * 257, "with space in it but long enough"):
        reply = raw_proxy(served, {"service": "echo", "url": ECHO}, X_STACK_Authority_Request_Id=wrong)
        assert (reply.status_code, reply.json()["error"]["code"]) == (400, "INVALID_REQUEST")


def test_what_was_under_way_at_a_crash_is_settled_when_the_world_is_loaded(serve: Callable[..., Any], sdk: Any) -> None:
    served = serve(WORLD)
    client = sdk(served.base_url, OPERATOR)
    named = {"body": {}, "passport_token": token(served), "authority_request_id": REQUEST_ID}
    client.proxy.post("echo", ECHO, **named)
    made = operations(served)[0]
    store = served.world.store
    # As a killed process would leave it: dispatched, nothing settled.
    lost = replace(made, id="pxo_lost", request_id=REQUEST_ID + "-2", delivery_state="dispatching", response=None)
    served.call(lambda: store.put(replace(lost, accounting_state="reserved")))
    served.call(lambda: store.put(replace(mission(served), reserved=1)))
    before = client.proxy.usage()["used"]
    assert served.call(lambda: recover(served.world)) == 1
    settled = store.get(ProxyOperation, "pxo_lost")
    assert (settled.delivery_state, settled.accounting_state) == ("outcome_unknown", "released")
    assert (mission(served).reserved, client.proxy.usage()["used"]) == (0, before - 1)
    row = last_row(served)
    assert (row.action, row.outcome, row.error_code) == ("credential.proxy", "failure", "INTERRUPTED")
    assert (row.agent_id, row.passport_jti, row.metadata["subject"]) == ("agent_bot", "pp_one", "pxo_lost")
    assert served.call(lambda: recover(served.world)) == 0
    found = client.proxy.get_operation(REQUEST_ID + "-2", passport_token=token(served))
    assert found["delivery_state"] == "outcome_unknown"
    assert client.audit.verify_chain()["valid"] is True


def test_usage_counts_answered_calls_and_says_what_is_left(serve: Callable[..., Any], sdk: Any) -> None:
    served = serve(WORLD)
    client = sdk(served.base_url, OPERATOR)
    for path in ("/", "/status/404"):
        client.proxy.get("echo", ECHO + path)
    with pytest.raises(getstack.StackError):
        client.proxy.get("github", "https://api.github.com/{{account_id}}")
    usage = client.proxy.usage()
    assert usage == {"tier": "studio", "limit": 500_000, "used": 2, "remaining": 499_998, "period": usage["period"]}
    assert len(usage["period"]) == 7
    assert sdk(served.base_url, READER).proxy.usage() == usage
    assert McpTools(served.base_url, OPERATOR)("stack_get_proxy_usage") == usage
    refused = httpx.get(f"{served.base_url}/v1/proxy/usage", headers=bearer(token(served)))
    assert refused.status_code == 403


def test_an_enterprise_account_has_no_limit(serve: Callable[..., Any], sdk: Any) -> None:
    served = serve(WORLD.replace("- id: op_emu\n", "- id: op_emu\n    tier: enterprise\n"))
    usage = sdk(served.base_url, OPERATOR).proxy.usage()
    assert (usage["limit"], usage["remaining"]) == (None, None)
