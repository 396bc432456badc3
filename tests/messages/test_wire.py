"""Both generations of the wire, byte by byte where a client depends on it, and everything that is not a message."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import anthropic
import httpx
import pytest

OLD = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
NEW = {"Authorization": "Bearer k", "anthropic-version": "2026-10-21"}
HELLO = {"model": "claude-opus-5-5", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
SCRIPT = """
model:
  - when: {user: hi}
    turns: [{say: Hello.}]
  - when: {user: call}
    turns: [{say: Now., call: {tool: t, input: {text: ünïcode and quite a bit more of it}}}]
"""


def post(emulated: Any, body: Any, *, headers: dict[str, str] = OLD, path: str = "/v1/messages", **more: Any) -> Any:
    return httpx.post(emulated.base_url + path, json=body, headers=headers, trust_env=False, **more)


def events_of(text: str) -> list[dict[str, Any]]:
    found = []
    for frame in filter(None, text.split("\n\n")):
        name, data = frame.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        found.append(event)
    return found


@pytest.mark.parametrize(
    ("path", "headers"), [("/v1/messages?beta=true", OLD), ("/v1/messages", OLD), ("/v1/messages", NEW)]
)
def test_both_generations_of_the_wire_get_the_same_reply(emulate, path, headers):
    reply = post(emulate(SCRIPT), HELLO, path=path, headers=headers)
    assert reply.status_code == 200
    body = reply.json()
    assert body.pop("id").startswith("msg_")
    assert body == {
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-5-5",
        "content": [{"type": "text", "text": "Hello."}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": body["usage"]["input_tokens"],
            "output_tokens": 2,
            "output_tokens_details": {"thinking_tokens": 0},
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
            "server_tool_use": None,
            "service_tier": "standard",
        },
    }
    assert reply.headers["request-id"].startswith("req_")
    assert len(reply.headers["anthropic-organization-id"]) == 36
    assert int(reply.headers["anthropic-ratelimit-requests-remaining"]) > 0
    assert reply.headers["anthropic-ratelimit-tokens-reset"].endswith("Z")


def test_a_stream_has_every_event_with_its_name(emulate):
    tools = [{"name": "t", "input_schema": {"type": "object"}}]
    body = {**HELLO, "messages": [{"role": "user", "content": "call"}], "tools": tools, "stream": True}
    emulated = emulate(SCRIPT)
    reply = post(emulated, body)
    assert reply.headers["content-type"].startswith("text/event-stream")
    events = events_of(reply.text)
    assert [event["type"] for event in events[:3]] == ["message_start", "ping", "content_block_start"]
    assert [event["type"] for event in events[-2:]] == ["message_delta", "message_stop"]
    start = events[0]["message"]
    assert (start["content"], start["stop_reason"], start["usage"]["output_tokens"]) == ([], None, 1)
    pieces = [
        event["delta"]["partial_json"] for event in events if event.get("delta", {}).get("type") == "input_json_delta"
    ]
    assert pieces[0] == ""
    assert len(pieces) > 2
    assert json.loads("".join(pieces)) == {"text": "ünïcode and quite a bit more of it"}
    assert events[-2]["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}
    whole = post(emulated, {**body, "stream": False}).json()
    assert events[-2]["usage"]["output_tokens"] == whole["usage"]["output_tokens"]


def test_a_result_of_a_connector_call_arrives_whole_in_its_start(emulate, mcp_server, entry):
    body = {**HELLO, "mcp_servers": [entry(mcp_server)], "stream": True}
    script = "model: [{turns: [{call: {tool: echo, input: {a: 1}}}, {say: ok}]}]"
    reply = post(emulate(script), body, headers={**OLD, "anthropic-beta": "mcp-client-2025-04-04"})
    events = events_of(reply.text)
    results = [e["content_block"] for e in events if e.get("content_block", {}).get("type") == "mcp_tool_result"]
    assert results[0]["content"] == [{"type": "text", "text": '{"a": 1}'}]
    uses = [e["content_block"] for e in events if e.get("content_block", {}).get("type") == "mcp_tool_use"]
    assert uses[0] == {
        "type": "mcp_tool_use",
        "id": results[0]["tool_use_id"],
        "name": "echo",
        "server_name": "stack",
        "input": {},
    }


def test_what_goes_wrong_before_the_first_block_of_a_stream_is_an_http_error(emulate, client):
    with pytest.raises(anthropic.BadRequestError, match="No scripted turn"):
        client(emulate(SCRIPT)).messages.create(
            **{**HELLO, "messages": [{"role": "user", "content": "??"}]}, stream=True
        )


def test_what_goes_wrong_later_in_a_stream_is_an_error_event(emulate, client, mcp_server, entry):
    script = "model: [{turns: [{say: Wait., call: {tool: echo}}, {say: '{{ result.nothing }}'}]}]"
    emulated = emulate(script)
    stream = client(emulated).beta.messages.create(
        **HELLO, stream=True, mcp_servers=[entry(mcp_server)], betas=["mcp-client-2025-04-04"]
    )
    with pytest.raises(anthropic.APIStatusError) as caught:
        list(stream)
    assert caught.value.type == "invalid_request_error"
    assert "nothing" in caught.value.message
    assert emulated.last.problem == "unscripted"


def test_the_sdk_streams_synchronously_and_asynchronously(emulate, client):
    emulated = emulate(SCRIPT)
    with client(emulated).messages.stream(**HELLO) as stream:
        assert "".join(stream.text_stream) == "Hello."

    async def collect() -> str:
        sdk = anthropic.AsyncAnthropic(base_url=emulated.base_url, api_key="k")
        async with sdk, sdk.messages.stream(**HELLO) as stream:
            return "".join([text async for text in stream.text_stream])

    assert asyncio.run(collect()) == "Hello."


def test_tokens_are_counted_as_usage_counts_them(emulate, client):
    sdk = client(emulate(SCRIPT))
    common = {"model": HELLO["model"], "messages": HELLO["messages"], "system": "be brief"}
    counted = sdk.messages.count_tokens(**common)
    assert counted.input_tokens == sdk.messages.create(max_tokens=9, **common).usage.input_tokens
    assert sdk.beta.messages.count_tokens(**common).input_tokens == counted.input_tokens
    longer = {**common, "system": "be brief " * 50}
    assert sdk.messages.count_tokens(**longer).input_tokens > counted.input_tokens + 90


def test_models_are_listed_and_retrieved(emulate, client):
    sdk = client(emulate(SCRIPT))
    names = [model.id for model in sdk.models.list()]
    assert names == ["claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"]
    assert [model.id for model in sdk.models.list(limit=1)] == names
    assert sdk.beta.models.retrieve("claude-haiku-5-5").lifecycle == "active"
    with pytest.raises(anthropic.NotFoundError, match="claude-9 is not in the catalogue; it has claude-opus-5-5"):
        sdk.models.retrieve("claude-9")
    with pytest.raises(anthropic.BadRequestError, match="limit: must be a whole number"):
        list(sdk.models.list(limit=0))


def test_models_come_in_pages_both_ways(emulate, client):
    sdk = client(emulate(SCRIPT))
    opus, sonnet, haiku = (model.id for model in sdk.models.list())
    first = sdk.models.list(limit=2)
    assert ([model.id for model in first.data], first.has_more, first.last_id) == ([opus, sonnet], True, sonnet)
    assert [model.id for model in sdk.models.list(after_id=sonnet).data] == [haiku]
    back = sdk.models.list(before_id=haiku, limit=1)
    assert ([model.id for model in back.data], back.has_more, back.first_id) == ([sonnet], True, sonnet)
    assert [model.id for model in back] == [sonnet, opus]
    assert sdk.models.list(after_id=haiku).data == []
    for wrong in ({"after_id": "claude-9"}, {"before_id": "claude-9"}, {"after_id": opus, "before_id": haiku}):
        with pytest.raises(anthropic.BadRequestError):
            sdk.models.list(**wrong)


def test_headers_repeat_and_belong_to_the_world(emulate):
    emulated = emulate(SCRIPT)
    first, second = (post(emulated, HELLO).headers for _ in range(2))
    same = [name for name in first if name.startswith(("request-id", "anthropic-"))]
    assert len(same) == 14
    assert {name: first[name] for name in same if "reset" not in name} == {
        name: second[name] for name in same if "reset" not in name
    }
    other = post(emulate(SCRIPT, seed=8), HELLO).headers
    assert other["anthropic-organization-id"] != first["anthropic-organization-id"]


@pytest.mark.parametrize("headers", [{}, {"x-api-key": ""}, {"Authorization": "Bearer"}, {"Authorization": "Basic a"}])
def test_no_api_key_is_an_authentication_error(emulate, headers):
    emulated = emulate(SCRIPT)
    reply = post(emulated, HELLO, headers={"anthropic-version": "2023-06-01", **headers})
    assert reply.status_code == 401
    assert reply.json()["type"] == "error"
    assert reply.json()["error"]["type"] == "authentication_error"
    assert reply.json()["request_id"] == reply.headers["request-id"]
    assert emulated.last.code == "authentication_error"


def test_the_api_key_is_written_nowhere(emulate):
    emulated = emulate(SCRIPT)
    post(emulated, HELLO, headers={**OLD, "x-api-key": "a-very-secret-key"})
    post(emulated, {}, headers={**NEW, "Authorization": "Bearer a-very-secret-key"})
    assert "a-very-secret-key" not in repr(emulated.entries())


@pytest.mark.parametrize(
    ("method", "path", "status", "expected"),
    [
        ("GET", "/v1/messages", 405, "/v1/messages answers POST, not GET."),
        ("POST", "/v1/models", 405, "/v1/models answers GET, not POST."),
        ("PUT", "/v1/messages/batches", 405, "/v1/messages/batches answers POST and GET, not PUT."),
        ("GET", "/v1/messages/batches/x/y", 404, "/v1/messages/batches/{batch_id}/cancel"),
        (
            "POST",
            "/v1/files",
            404,
            "POST /v1/files is not served here; of the Messages API there are /v1/messages, ",
        ),
        ("HEAD", "/api/hello", 404, ""),
    ],
)
def test_what_is_not_served_says_what_is(emulate, method, path, status, expected):
    reply = httpx.request(method, emulate(SCRIPT).base_url + path, headers=OLD, trust_env=False)
    assert reply.status_code == status
    assert expected in reply.text


def test_a_missing_version_is_refused_and_a_newer_one_noted(emulate):
    emulated = emulate(SCRIPT)
    assert "anthropic-version: this header is required" in post(emulated, HELLO, headers={"x-api-key": "k"}).text
    assert post(emulated, HELLO, headers={"x-api-key": "k", "anthropic-version": "2031-01-01"}).status_code == 200
    assert emulated.last.unread == ("anthropic-version:2031-01-01",)


@pytest.mark.parametrize("raw", [b"", b"{", b'{"model": NaN}', b"\xff\xfe", b'{"a": "\\ud800"}', b"[" * 100_000])
def test_a_body_that_is_no_json_is_refused(emulate, raw):
    reply = httpx.post(emulate(SCRIPT).base_url + "/v1/messages", content=raw, headers=OLD, trust_env=False)
    assert reply.status_code == 400
    assert "The body is not valid JSON" in reply.json()["error"]["message"]


def test_a_body_past_the_limit_is_too_large(emulate):
    body = {**HELLO, "system": "x" * 2_000_000}
    reply = post(emulate(SCRIPT), body)
    assert (reply.status_code, reply.json()["error"]["type"]) == (413, "request_too_large")


def test_a_client_that_hangs_up_leaves_no_call_half_done(emulate, mcp_server, entry):
    body = {**HELLO, "mcp_servers": [entry(mcp_server)], "stream": True}
    script = "model: [{turns: [{call: {tool: echo, input: {n: 1}}}, {call: {tool: echo, input: {n: 2}}}, {say: ok}]}]"
    emulated = emulate(script)
    with (
        httpx.Client(trust_env=False) as sdk,
        sdk.stream(
            "POST",
            emulated.base_url + "/v1/messages",
            json=body,
            headers={**OLD, "anthropic-beta": "mcp-client-2025-04-04"},
        ) as reply,
    ):
        next(reply.iter_raw())
    _wait_for(lambda: emulated.last.response)
    assert [arguments["n"] for _, arguments in mcp_server.calls] == [1, 2]
    assert emulated.last.response["stop_reason"] == "end_turn"


def _wait_for(condition: Any) -> None:
    from threading import Event

    for _ in range(500):
        if condition():
            return
        Event().wait(0.01)
    raise AssertionError("it did not happen within 5 s")


def test_a_server_that_breaks_during_a_call_is_an_error_result(emulate, client):
    with _BreakingServer() as url:
        script = "model: [{turns: [{call: {tool: t}}, {call: {tool: t}}, {say: 'over: {{ results | length }}'}]}]"
        message = client(emulate(script)).beta.messages.create(
            **HELLO, mcp_servers=[{"type": "url", "url": url, "name": "shaky"}], betas=["mcp-client-2025-04-04"]
        )
    results = [block for block in message.content if block.type == "mcp_tool_result"]
    assert [result.is_error for result in results] == [True, True]
    assert "The MCP server shaky could not run the call: " in results[0].content[0].text
    assert message.content[-1].text == "over: 2"


class _BreakingServer:
    """Speaks just enough MCP to list a tool, then breaks the connection off in the middle of a call."""

    def __enter__(self) -> str:
        import threading

        self.listener = socket.create_server(("127.0.0.1", 0))
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}/mcp"

    def __exit__(self, *_: Any) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rwb") as file:
                self._answer(file)

    def _answer(self, file: Any) -> None:
        length = 0
        while (line := file.readline().strip().lower()) != b"":
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        message = json.loads(file.read(length) or b"{}")
        results = {
            "initialize": {
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "shaky", "version": "1"},
            },
            "tools/list": {"tools": [{"name": "t", "inputSchema": {"type": "object"}}]},
        }
        method = message.get("method")
        if method == "tools/call":
            return
        payload = {"jsonrpc": "2.0", "id": message.get("id"), "result": results.get(method)}
        status = "200 OK"
        if method not in results:
            status = "202 Accepted" if str(method).startswith("notifications/") else "404 Not Found"
            payload = {}
        data = json.dumps(payload).encode()
        head = (
            f"HTTP/1.1 {status}",
            "content-type: application/json",
            f"content-length: {len(data)}",
            "connection: close",
        )
        file.write("\r\n".join((*head, "connection: close", "", "")).encode() + data)
        file.flush()
