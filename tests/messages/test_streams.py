"""Streams: the SDK puts together what a reply that is not streamed says, and what happens when one breaks off."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import threading
import time
import unicodedata
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import httpx2
import pytest
from aiohttp import web

from stack_emu.hosting import fault_rule
from stack_emu.kernel.faults import FaultRule
from stack_emu.scenario.loader import loads
from stack_emu.surfaces import messages_reply as reply
from stack_emu.surfaces.messages_usage import CacheUse

HELLO = {"model": "claude-opus-5-5", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
TOOLS = [{"name": "t", "input_schema": {"type": "object"}}]
HEADERS = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
LONG = "One two three four five six seven eight nine ten."
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"
UNICODE = (
    f"naïve café {FAMILY * 9} e\u0301e\u0301 \U0001f1eb\U0001f1f7\U0001f1e9\U0001f1ea 日本語のとても長い文章です" * 3
)


@pytest.fixture
def played(messages_loop: asyncio.AbstractEventLoop) -> Iterator[Any]:
    """`played(blocks)`: the SDK's message of a real stream of these blocks, and the message as a whole."""
    runners: list[web.ServerRunner] = []

    def play(blocks: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
        used = reply.usage(
            7, reply.output_tokens(blocks), cached=CacheUse(1, 2, 3), thinking=reply.thinking_tokens(blocks)
        )
        whole = {**reply.message("msg_1", "claude-opus-5-5", blocks, used), "stop_reason": "tool_use"}

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            if not (await request.json()).get("stream"):
                return web.json_response(whole)
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            await response.write(
                reply.encode(reply.start_events("msg_1", "claude-opus-5-5", {**used, "output_tokens": 1}))
            )
            for index, block in enumerate(blocks):
                await response.write(reply.encode(reply.block_events(index, block)))
            await response.write(reply.encode(reply.stop_events("tool_use", None, used)))
            return response

        async def begin() -> str:
            runner = web.ServerRunner(web.Server(handle), shutdown_timeout=0.2)
            await runner.setup()
            runners.append(runner)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            return f"http://127.0.0.1:{runner.addresses[0][1]}"

        url = asyncio.run_coroutine_threadsafe(begin(), messages_loop).result(30)
        with anthropic.Anthropic(base_url=url, api_key="k", max_retries=0) as sdk:
            with sdk.beta.messages.stream(**HELLO) as stream:
                streamed = stream.get_final_message()
            return streamed.to_dict(), sdk.beta.messages.create(**HELLO).to_dict()

    yield play
    for runner in runners:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), messages_loop).result(30)


THINKING = {"type": "thinking", "thinking": f"Hm, {UNICODE}", "signature": "c2lnbmF0dXJl"}
BLOCKS: dict[str, list[dict[str, Any]]] = {
    "text": [{"type": "text", "text": LONG}],
    "unicode": [{"type": "text", "text": UNICODE}],
    "spaces": [{"type": "text", "text": "  a\n\n\tb  \n"}],
    "thinking": [THINKING, {"type": "text", "text": "ok"}],
    "no thinking shown": [{**THINKING, "thinking": ""}, {"type": "text", "text": "ok"}],
    "redacted": [{"type": "redacted_thinking", "data": "AAAA" * 40}, {"type": "text", "text": "ok"}],
    "call": [
        {"type": "tool_use", "id": "toolu_1", "name": "t", "input": {"text": UNICODE, "deep": [{"a": None}, 1.5]}}
    ],
    "empty call": [{"type": "tool_use", "id": "toolu_1", "name": "t", "input": {}}],
    "connector": [
        {"type": "mcp_tool_use", "id": "mcptoolu_1", "name": "t", "server_name": "s", "input": {"q": "a b"}},
        {
            "type": "mcp_tool_result",
            "tool_use_id": "mcptoolu_1",
            "is_error": False,
            "content": [{"type": "text", "text": UNICODE, "citations": None}],
        },
        {"type": "text", "text": "done"},
    ],
}


def comparable(message: dict[str, Any]) -> dict[str, Any]:
    """The message without fields that are null on one side and absent on the other."""
    return json.loads(json.dumps(message), object_hook=lambda value: {k: v for k, v in value.items() if v is not None})


@pytest.mark.parametrize("name", BLOCKS)
def test_the_sdk_puts_a_stream_together_to_the_whole_message(played, name):
    streamed, whole = played(BLOCKS[name])
    assert comparable(streamed) == comparable(whole)
    assert whole["usage"]["cache_read_input_tokens"] == 1
    assert (whole["usage"]["output_tokens_details"]["thinking_tokens"] > 0) is (name in ("thinking", "redacted"))


@pytest.mark.parametrize("text", [LONG, UNICODE, "  a\n\n\tb  \n", "x" * 1000, "a" + "\u0301" * 60, "\u200d" * 30])
def test_pieces_are_words_and_keep_characters_whole(text):
    cut = list(reply.pieces(text))
    assert "".join(cut) == text
    assert cut == list(reply.pieces(text))
    for before, after in itertools.pairwise(cut):
        assert not unicodedata.combining(after[0])
        assert before[-1] != "\u200d"
        assert after[0] not in "\u200d\ufe0f"


def test_a_sentence_comes_word_by_word_and_a_book_does_not():
    assert list(reply.pieces(LONG))[:3] == ["One", " two", " three"]
    assert list(reply.pieces("")) == []
    book = LONG * 20_000
    assert "".join(reply.pieces(book)) == book
    assert 500 < len(list(reply.pieces(book))) <= 1_000


@pytest.mark.parametrize("beta", [False, True])
def test_streamed_and_whole_replies_of_a_script_are_equal(emulate, client, mcp_server, entry, beta):
    script = (
        f"model: [{{turns: [{{say: {json.dumps(UNICODE, ensure_ascii=False)}}}]}}]"
        if not beta
        else "model: [{turns: [{say: Now., call: {tool: echo, input: {a: 'é 1'}}}, {say: 'got {{ result.a }}'}]}]"
    )
    sdk = client(emulate(script))
    if beta:
        more = {"mcp_servers": [entry(mcp_server)], "betas": ["mcp-client-2025-04-04"]}
        with sdk.beta.messages.stream(**HELLO, **more) as stream:
            streamed = stream.get_final_message()
        whole = sdk.beta.messages.create(**HELLO, **more)
        assert [block.type for block in whole.content] == ["text", "mcp_tool_use", "mcp_tool_result", "text"]
    else:
        with sdk.messages.stream(**HELLO) as stream:
            streamed = stream.get_final_message()
        whole = sdk.messages.create(**HELLO)
    # Ids depend on the request, and whether it streams is part of it.
    first, second = (re.sub(r"\b(msg|mcptoolu)_\w+", r"\1", json.dumps(m.to_dict())) for m in (streamed, whole))
    assert comparable(json.loads(first)) == comparable(json.loads(second))


def test_the_closing_usage_is_cumulative(emulate, client):
    events = list(client(emulate("model: [{turns: [{say: Hello there.}]}]")).messages.create(**HELLO, stream=True))
    start = next(event for event in events if event.type == "message_start").message.usage
    end = next(event for event in events if event.type == "message_delta").usage
    assert (end.input_tokens, end.cache_read_input_tokens, end.cache_creation_input_tokens) == (
        start.input_tokens,
        0,
        0,
    )
    assert (start.output_tokens, end.output_tokens) == (1, 3)


# --- faults ---------------------------------------------------------------------------------------------------------


def faulty(emulate: Any, stream: str, *, script: str = f"model: [{{turns: [{{say: {LONG}}}]}}]", nth: int = 1) -> Any:
    """A world with a fault rule as a scenario writes it."""
    emulated = emulate(script)
    text = f"stack_emu: 1\nfaults: [{{on: {{operation: messages.create, nth: {nth}}}, inject: {{stream: {stream}}}}}]"
    emulated.world.faults.add(fault_rule(loads(text).faults[0]))
    return emulated


def deltas(events: list[Any]) -> list[str]:
    return [event.delta.text for event in events if event.type == "content_block_delta"]


@pytest.mark.parametrize(("after", "expected"), [("", 1), (", after: 0", 0), (", after: 2", 2), (", after: 99", 10)])
def test_an_error_event_in_a_stream_is_a_status_error_of_its_type(emulate, client, after, expected):
    emulated = faulty(emulate, f"{{error: overloaded_error, message: Full{after}}}")
    seen: list[Any] = []
    with pytest.raises(anthropic.APIStatusError, match="Full") as caught:
        seen.extend(client(emulated).messages.create(**HELLO, stream=True))
    assert (caught.value.status_code, caught.value.type) == (200, "overloaded_error")
    assert len(deltas(seen)) == expected
    assert emulated.last.response["broken_off"] == "overloaded_error"
    assert not [event for event in seen if event.type in ("message_delta", "message_stop")]
    assert "".join(deltas(list(client(emulated).messages.create(**HELLO, stream=True)))) == LONG


def test_an_error_event_reaches_the_async_sdk_too(emulate):
    emulated = faulty(emulate, "{error: rate_limit_error, after: 3}")

    async def collect() -> list[str]:
        seen: list[str] = []
        sdk = anthropic.AsyncAnthropic(base_url=emulated.base_url, api_key="k", max_retries=2)
        async with sdk, sdk.messages.stream(**HELLO) as stream:
            try:
                async for text in stream.text_stream:
                    seen += [text]
            except anthropic.APIStatusError as error:
                seen.append(str(error.type))
        return seen

    assert asyncio.run(collect()) == ["One", " two", " three", "rate_limit_error"]


def test_a_stream_that_just_ends_leaves_a_partial_message(emulate, client):
    emulated = faulty(emulate, "{cut: end, after: 2}")
    with client(emulated).messages.stream(**HELLO) as stream:
        message = stream.get_final_message()
    assert message.content[0].text == "One two"
    assert message.stop_reason is None
    assert emulated.last.response["broken_off"] == "cut end"


def test_a_stream_whose_connection_breaks_is_a_protocol_error(emulate, client):
    emulated = faulty(emulate, "{cut: connection, after: 2}")
    with pytest.raises((httpx2.RemoteProtocolError, httpx2.ReadError)):
        list(client(emulated).messages.create(**HELLO, stream=True))
    assert emulated.last.response["broken_off"] == "cut connection"


def test_a_stream_may_break_off_after_whole_blocks(emulate, client, mcp_server, entry):
    script = "model: [{turns: [{say: Now it runs., call: {tool: echo, input: {a: 1}}}, {say: done}]}]"
    emulated = faulty(emulate, "{cut: end, after_blocks: 3}", script=script)
    more = {"mcp_servers": [entry(mcp_server)], "betas": ["mcp-client-2025-04-04"]}
    with client(emulated).beta.messages.stream(**HELLO, **more) as stream:
        message = stream.get_final_message()
    assert [block.type for block in message.content] == ["text", "mcp_tool_use", "mcp_tool_result"]
    assert [name for name, _ in mcp_server.calls] == ["echo"]


def test_a_slow_beginning_sends_pings_and_then_everything(emulate):
    emulated = faulty(emulate, "{first_token: 600ms}")
    started = time.monotonic()
    body = {**HELLO, "stream": True}
    text = httpx.post(emulated.base_url + "/v1/messages", json=body, headers=HEADERS, trust_env=False).text
    names = [line.removeprefix("event: ") for line in text.split("\n") if line.startswith("event: ")]
    assert time.monotonic() - started >= 0.6
    assert names[:5] == ["message_start", "ping", "content_block_start", "ping", "ping"]
    assert names[5] == "content_block_delta"
    assert names[-1] == "message_stop"
    assert "ping" not in names[5:]


def test_the_sdk_waits_for_a_slow_stream(emulate, client):
    emulated = faulty(emulate, "{first_token: 100ms, pace: 20ms}")
    started = time.monotonic()
    with client(emulated).messages.stream(**HELLO) as stream:
        assert stream.get_final_text() == LONG
    assert time.monotonic() - started >= 0.1 + 9 * 0.02


def test_a_client_s_timeout_ends_a_slow_stream(emulate, client):
    emulated = faulty(emulate, "{first_token: 200ms, pace: 5s}")
    with pytest.raises((anthropic.APITimeoutError, httpx2.ReadTimeout)):
        list(client(emulated, timeout=0.5).messages.create(**HELLO, stream=True))


@pytest.mark.parametrize(
    ("stream", "error", "status"),
    [
        ("{error: overloaded_error}", anthropic.APIStatusError, 529),
        ("{error: rate_limit_error, after: 5}", anthropic.RateLimitError, 429),
        ("{cut: end}", anthropic.APIConnectionError, None),
        ("{cut: connection}", anthropic.APIConnectionError, None),
    ],
)
def test_a_reply_that_is_not_streamed_fails_as_a_whole(emulate, client, stream, error, status):
    emulated = faulty(emulate, stream)
    with pytest.raises(error) as caught:
        client(emulated).messages.create(**HELLO)
    assert getattr(caught.value, "status_code", None) == status
    assert client(emulated).messages.create(**HELLO).content[0].text == LONG


def test_retries_get_past_a_reply_that_fails(emulate, client):
    emulated = faulty(emulate, "{error: overloaded_error}")
    assert client(emulated, max_retries=1).messages.create(**HELLO).content[0].text == LONG
    assert [entry.status for entry in emulated.entries()] == [529, 200]
    assert emulated.last.request["retry"] == 1


def test_two_streams_with_one_rule_are_counted_apart(emulate, client):
    emulated = emulate(f"model: [{{turns: [{{say: {LONG}}}]}}]")
    emulated.world.faults.add(
        FaultRule(on={"operation": "messages.create"}, inject={"stream": {"cut": "end", "after": 1}}, times=2)
    )
    sdk = client(emulated)
    found: list[str] = []

    def run() -> None:
        found.append("".join(deltas(list(sdk.messages.create(**HELLO, stream=True)))))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(found) == ["One", "One", LONG]


@pytest.mark.parametrize("display", ["summarized", "omitted"])
def test_scripted_thinking_is_the_same_streamed_and_whole(emulate, client, display):
    script = f"model: [{{turns: [{{think: {json.dumps(UNICODE, ensure_ascii=False)}, say: Done.}}]}}]"
    body = {**HELLO, "max_tokens": 4096, "thinking": {"type": "enabled", "budget_tokens": 1024, "display": display}}
    sdk = client(emulate(script))
    with sdk.messages.stream(**body) as stream:
        streamed = stream.get_final_message()
    whole = sdk.messages.create(**body)
    assert [block.type for block in whole.content] == ["thinking", "text"]
    assert whole.content[0].thinking == (UNICODE if display == "summarized" else "")
    assert whole.content[0].signature
    assert [block.type for block in streamed.content] == ["thinking", "text"]
    assert streamed.content[0].thinking == whole.content[0].thinking
    assert streamed.content[0].signature
    assert streamed.usage == whole.usage
