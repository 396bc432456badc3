"""Failures a scenario injects, threads the server holds, and what the journal keeps. Driven by the real SDK."""

from __future__ import annotations

import json
import time

import anthropic
import httpx
import pytest

from stack_emu.kernel.faults import FaultRule
from stack_emu.surfaces.model_exchange import model_leaks

HELLO = {"model": "claude-opus-5-5", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
SCRIPT = "model: [{turns: [{say: Hello.}]}]"
CREATE = {"operation": "messages.create"}
HEADERS = {"x-api-key": "k", "anthropic-version": "2023-06-01"}


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, anthropic.BadRequestError, "invalid_request_error"),
        (401, anthropic.AuthenticationError, "authentication_error"),
        (403, anthropic.PermissionDeniedError, "permission_error"),
        (404, anthropic.NotFoundError, "not_found_error"),
        (409, anthropic.ConflictError, "conflict_error"),
        (429, anthropic.RateLimitError, "rate_limit_error"),
        (500, anthropic.InternalServerError, "api_error"),
        (503, anthropic.InternalServerError, "api_error"),
        (529, anthropic.APIStatusError, "overloaded_error"),
    ],
)
def test_an_injected_status_becomes_the_sdk_s_error(emulate, client, status, error, kind):
    emulated = emulate(SCRIPT)
    emulated.world.faults.add(FaultRule(on=CREATE, inject={"status": status}))
    with pytest.raises(error) as caught:
        client(emulated).messages.create(**HELLO)
    assert (caught.value.status_code, caught.value.type) == (status, kind)
    assert caught.value.request_id.startswith("req_")
    assert (emulated.last.status, emulated.last.code, emulated.last.problem) == (status, kind, None)


def test_an_injected_error_type_implies_its_status(emulate, client):
    emulated = emulate(SCRIPT)
    emulated.world.faults.add(FaultRule(on=CREATE, inject={"error": "OVERLOADED_ERROR", "message": "come back later"}))
    with pytest.raises(anthropic.APIStatusError, match="come back later") as caught:
        client(emulated).messages.create(**HELLO)
    assert (caught.value.status_code, caught.value.type) == (529, "overloaded_error")


def test_clients_retry_at_once_and_get_the_turn(emulate, client):
    emulated = emulate(SCRIPT)
    emulated.world.faults.add(FaultRule(on=CREATE, inject={"status": 529}, times=2))
    assert client(emulated, max_retries=2).messages.create(**HELLO).content[0].text == "Hello."
    assert [entry.status for entry in emulated.entries()] == [529, 529, 200]


def test_a_failure_clients_retry_tells_them_to_do_so_at_once(emulate):
    emulated = emulate(SCRIPT)
    for status, times in ((529, 1), (400, 1)):
        emulated.world.faults.add(FaultRule(on=CREATE, inject={"status": status}, times=times))
    url = emulated.base_url + "/v1/messages"
    replies = [httpx.post(url, json=HELLO, headers=HEADERS, trust_env=False) for _ in range(2)]
    assert [(reply.status_code, reply.headers.get("retry-after-ms")) for reply in replies] == [(529, "1"), (400, None)]


def test_headers_and_body_of_a_rule_are_sent(emulate):
    emulated = emulate(SCRIPT)
    inject = {"status": 429, "headers": {"Retry-After": "7"}, "json": {"odd": True}}
    emulated.world.faults.add(FaultRule(on={**CREATE, "model": "claude-opus-*"}, inject=inject))
    reply = httpx.post(emulated.base_url + "/v1/messages", json=HELLO, headers=HEADERS, trust_env=False)
    assert (reply.status_code, reply.json(), reply.headers["retry-after"]) == (429, {"odd": True}, "7")
    assert "retry-after-ms" not in reply.headers


@pytest.mark.parametrize("drop", ["request", "reply", True])
def test_a_dropped_connection_is_a_connection_error(emulate, client, drop):
    emulated = emulate(SCRIPT)
    emulated.world.faults.add(FaultRule(on=CREATE, inject={"drop": drop}))
    with pytest.raises(anthropic.APIConnectionError):
        client(emulated).messages.create(**HELLO)
    assert bool(emulated.last.response.get("content")) is (drop == "reply")


def test_a_stream_may_break_off(emulate, client):
    emulated = emulate(SCRIPT)
    emulated.world.faults.add(FaultRule(on=CREATE, inject={"drop": "reply"}))
    with pytest.raises(Exception, match=r"peer closed|incomplete|[Rr]ead|reset"):
        list(client(emulated).messages.create(**HELLO, stream=True))


def test_a_delay_alone_only_delays(emulate, client):
    emulated = emulate(SCRIPT)
    emulated.world.faults.add(FaultRule(on=CREATE, inject={"delay": 60}))
    started = time.monotonic()
    assert client(emulated).messages.create(**HELLO).content[0].text == "Hello."
    assert time.monotonic() - started >= 0.06


@pytest.mark.parametrize("operation", ["messages.count_tokens", "models.list", "models.get"])
def test_the_other_operations_can_fail_too(emulate, client, operation):
    emulated = emulate(SCRIPT)
    emulated.world.faults.add(FaultRule(on={"operation": operation}, inject={"status": 500}))
    sdk = client(emulated)
    calls = {
        "messages.count_tokens": lambda: sdk.messages.count_tokens(model="m", messages=HELLO["messages"]),
        "models.list": lambda: sdk.models.list(),
        "models.get": lambda: sdk.models.retrieve("claude-opus-5-5"),
    }
    with pytest.raises(anthropic.InternalServerError):
        calls[operation]()


def test_the_journal_says_what_was_asked_and_answered(emulate, client, mcp_server, entry):
    emulated = emulate("model: [{when: {user: hi}, turns: [{call: {tool: echo, input: {a: 1}}}, {say: ok}]}]")
    message = client(emulated).beta.messages.create(
        **HELLO, mcp_servers=[entry(mcp_server)], betas=["mcp-client-2025-04-04", "made-up-2030-01-01"]
    )
    last = emulated.last
    assert (last.surface, last.method, last.path, last.route) == ("messages", "POST", "/v1/messages", "/v1/messages")
    assert (last.operation, last.status, last.problem, last.lane) == ("messages.create", 200, None, "model")
    assert last.request["user"] == "hi"
    assert last.request["mcp_servers"] == [{"name": "stack", "url": mcp_server.url}]
    assert last.unread == ("anthropic-beta:made-up-2030-01-01",)
    assert last.response["id"] == message.id
    assert last.response["script"] == ["model[0].turns[0]", "model[0].turns[1]"]
    assert [block["type"] for block in last.response["content"]] == ["mcp_tool_use", "mcp_tool_result", "text"]
    assert "mcp-bearer-of-the-test" not in json.dumps([last.request, last.response])


def test_a_known_secret_in_the_conversation_is_masked_and_marked_as_a_leak(emulate, client):
    emulated = emulate(SCRIPT, leaks=model_leaks)
    emulated.world.redactor.add("xoxb-canary-1", "scon_slack")
    client(emulated).messages.create(**{**HELLO, "messages": [{"role": "user", "content": "use xoxb-canary-1"}]})
    assert emulated.last.problem == "leak"
    assert "scon_slack" in emulated.last.hint
    assert "xoxb-canary-1" not in repr(emulated.last)


def test_a_thread_sends_only_what_is_new(emulate, client):
    emulated = emulate("model: [{when: {user: one}, turns: [{say: one!}]}, {when: {user: two}, turns: [{say: two!}]}]")
    thread = client(emulated).beta.messages.thread(model="claude-opus-5-5", max_tokens=9, system="be brief")
    assert thread.send({"role": "user", "content": "one"}).content[0].text == "one!"
    assert thread.send({"role": "user", "content": "two"}).content[0].text == "two!"
    assert [entry.request["messages"] for entry in emulated.entries()] == [1, 3]
    assert [entry.status for entry in emulated.entries()] == [200, 200]


def post(emulated, key="k", **more):
    headers = {**HEADERS, "x-api-key": key, "anthropic-beta": "message-threads-2026-08-12"}
    return httpx.post(emulated.base_url + "/v1/messages", json={**HELLO, **more}, headers=headers, trust_env=False)


def test_a_thread_belongs_to_the_key_that_began_it(emulate):
    emulated = emulate(SCRIPT)
    begun = post(emulated, thread={"type": "create"}).json()["id"]
    again = {"type": "continue", "previous_message_id": begun}
    assert post(emulated, thread=again).status_code == 200
    other = post(emulated, key="other", thread=again)
    assert other.status_code == 404
    assert other.json()["error"]["details"] == {"error_code": "thread_not_found"}
    assert "takes it from its start" in post(emulated, thread=again, system="x").text
    assert "thread: must be" in post(emulated, thread={"type": "fork"}).text


def test_a_lost_thread_is_replayed_by_the_sdk(emulate, client):
    emulated = emulate("model: [{when: {user: one}, turns: [{say: one!}]}, {when: {user: two}, turns: [{say: two!}]}]")
    thread = client(emulated).beta.messages.thread(model="claude-opus-5-5", max_tokens=9)
    thread.send({"role": "user", "content": "one"})
    emulated.world.restore(emulated.world.image())
    assert thread.send({"role": "user", "content": "two"}).content[0].text == "two!"
    assert [entry.status for entry in emulated.entries()] == [404, 200]


def test_equal_requests_with_different_replies_lose_their_thread_rather_than_mix_it_up(emulate):
    emulated = emulate(SCRIPT)
    first = post(emulated, thread={"type": "create"}).json()
    emulated.script = emulate("model: [{turns: [{say: Other.}]}]").script
    second = post(emulated, thread={"type": "create"}).json()
    assert first["id"] == second["id"]
    assert post(emulated, thread={"type": "continue", "previous_message_id": first["id"]}).status_code == 404
