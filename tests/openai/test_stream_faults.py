"""Streams of OpenAI's shapes that begin late, break off, or end with an error, as OpenAI's SDK meets them."""

from __future__ import annotations

from typing import Any

import httpx
import httpx2
import openai
import pytest

from tests.openai.conftest import entries

LONG = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
BROKEN = (httpx.RemoteProtocolError, httpx2.RemoteProtocolError, openai.APIConnectionError)
MESSAGES: Any = [{"role": "user", "content": "hi"}]


def scenario(operation: str, stream: str) -> str:
    return (
        f"stack_emu: 1\nstrict: false\nmodel: [{{turns: [{{say: {LONG}}}]}}]\n"
        f"faults: [{{on: {{operation: {operation}, nth: 1}}, inject: {{stream: {stream}}}}}]\n"
    )


def chatted(client: openai.OpenAI, said: list[str]) -> None:
    chunks = client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
    said.extend(chunk.choices[0].delta.content or "" for chunk in chunks)


def responded(client: openai.OpenAI, said: list[str]) -> list[str]:
    kinds = []
    for event in client.responses.create(model="m", input="hi", stream=True):
        kinds.append(event.type)
        said.append(event.delta if event.type == "response.output_text.delta" else "")
    return kinds


def test_a_chat_that_ends_with_an_error(serve, sdk):
    served = serve(scenario("chat.completions.create", "{error: rate_limit_exceeded, message: Slow down., after: 2}"))
    said: list[str] = []
    with pytest.raises(openai.APIError, match=r"Slow down\.") as raised:
        chatted(sdk(served), said)
    assert raised.value.code == "rate_limit_exceeded"
    assert "".join(said)
    assert LONG.startswith("".join(said))
    assert "".join(said) != LONG
    assert entries(served)[-1].response["broken_off"] == "rate_limit_exceeded"
    chatted(sdk(served), again := [])
    assert "".join(again) == LONG


def test_a_response_that_ends_with_an_error(serve, sdk):
    said: list[str] = []
    kinds = responded(sdk(serve(scenario("responses.create", "{error: server_error, after: 1}"))), said)
    assert kinds[-1] == "error"
    assert "response.completed" not in kinds
    assert LONG.startswith("".join(said))


@pytest.mark.parametrize("shape", [chatted, responded])
def test_a_connection_that_breaks_off(serve, sdk, shape):
    operation = "chat.completions.create" if shape is chatted else "responses.create"
    said: list[str] = []
    with pytest.raises(BROKEN):
        shape(sdk(serve(scenario(operation, "{cut: connection, after: 1}"))), said)
    assert LONG.startswith("".join(said))
    assert "".join(said) != LONG


def test_a_stream_that_just_ends(serve, sdk):
    said: list[str] = []
    chatted(sdk(serve(scenario("chat.completions.create", "{cut: end, after: 1}"))), said)
    assert LONG.startswith("".join(said))
    assert "".join(said) != LONG
    said.clear()
    kinds = responded(sdk(serve(scenario("responses.create", "{cut: end, after_blocks: 1}"))), said)
    assert "".join(said) == LONG
    assert kinds[-1] == "response.output_item.done"


@pytest.mark.parametrize("shape", [chatted, responded])
def test_a_slow_stream_says_it_all(serve, sdk, shape):
    operation = "chat.completions.create" if shape is chatted else "responses.create"
    said: list[str] = []
    shape(sdk(serve(scenario(operation, "{first_token: 300ms, pace: 1ms}"))), said)
    assert "".join(said) == LONG


def test_a_reply_that_is_not_streamed_fails_as_a_whole_and_is_tried_again(serve, sdk):
    served = serve(scenario("responses.create", "{error: server_error}"))
    with pytest.raises(openai.InternalServerError):
        sdk(served).responses.create(model="m", input="hi")
    served = serve(scenario("chat.completions.create", "{error: rate_limit_exceeded}"))
    made = sdk(served, max_retries=1).chat.completions.create(model="m", messages=MESSAGES)
    assert made.choices[0].message.content == LONG
    served = serve(scenario("chat.completions.create", "{cut: connection}"))
    with pytest.raises(openai.APIConnectionError):
        sdk(served).chat.completions.create(model="m", messages=MESSAGES)
