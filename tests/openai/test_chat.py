"""Chat completions, driven by the real SDK: whole and streamed, calls and their results, what is refused and why."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import anthropic
import openai
import pydantic
import pytest

from tests.openai.conftest import entries

HELLO: dict[str, Any] = {"model": "gpt-5", "messages": [{"role": "user", "content": "hi there"}]}
GREETS = "stack_emu: 1\nmodel: [{when: {user: hi}, turns: [{say: 'Hello, {{ model }}.'}]}]"
LOOP = """
stack_emu: 1
model:
  - when: {user: the weather}
    turns:
      - say: Asking.
        calls: [{tool: weather, input: {city: Oslo}}, {tool: weather, input: {city: Rome}}]
      - say: "{{ results[0].degrees }} and {{ results[1].degrees }}"
"""


def function(name: str = "weather") -> dict[str, Any]:
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


def test_a_turn_that_speaks(serve, sdk):
    served = serve(GREETS)
    made = sdk(served).chat.completions.create(**HELLO)
    assert made.choices[0].message.content == "Hello, gpt-5."
    assert (made.object, made.model, made.choices[0].finish_reason) == ("chat.completion", "gpt-5", "stop")
    assert made.id.startswith("chatcmpl-")
    assert made._request_id.startswith("req_")
    assert made.usage.prompt_tokens > 0
    assert made.usage.total_tokens == made.usage.prompt_tokens + made.usage.completion_tokens
    assert made.usage.prompt_tokens_details.cached_tokens == 0
    assert sdk(served).chat.completions.create(**HELLO).id == made.id


def test_parallel_calls_and_their_results(serve, sdk):
    client = sdk(serve(LOOP))
    messages: list[Any] = [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "the weather?"}]},
    ]
    first = client.chat.completions.create(model="m", messages=messages, tools=[function()])
    assert first.choices[0].finish_reason == "tool_calls"
    assert first.choices[0].message.content == "Asking."
    calls = first.choices[0].message.tool_calls
    assert [json.loads(call.function.arguments)["city"] for call in calls] == ["Oslo", "Rome"]
    assert len({call.id for call in calls}) == 2
    messages.append(first.choices[0].message)
    for call, degrees in zip(calls, (3, 21), strict=True):
        messages.append({"role": "tool", "tool_call_id": call.id, "content": json.dumps({"degrees": degrees})})
    last = client.chat.completions.create(model="m", messages=messages, tools=[function()])
    assert last.choices[0].message.content == "3 and 21"


def test_the_helper_of_the_sdk_puts_a_stream_together(serve, sdk):
    client = sdk(serve(LOOP))
    ask: dict[str, Any] = {
        "model": "m",
        "messages": [{"role": "user", "content": "the weather"}],
        "tools": [function()],
    }
    with client.chat.completions.stream(**ask) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert {"content.delta", "tool_calls.function.arguments.delta", "tool_calls.function.arguments.done"} <= kinds
    whole = client.chat.completions.create(**ask)
    assert [call.function.arguments for call in final.choices[0].message.tool_calls] == [
        call.function.arguments for call in whole.choices[0].message.tool_calls
    ]
    assert final.choices[0].finish_reason == "tool_calls"


def test_a_stream_tells_its_tokens_only_when_asked(serve, sdk):
    client = sdk(serve(GREETS))
    plain = list(client.chat.completions.create(**HELLO, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in plain) == "Hello, gpt-5."
    assert all(chunk.usage is None for chunk in plain)
    told = list(client.chat.completions.create(**HELLO, stream=True, stream_options={"include_usage": True}))
    assert [chunk.usage is not None for chunk in told] == [False] * len(plain) + [True]
    assert told[-1].choices == []
    assert told[-1].usage == client.chat.completions.create(**HELLO).usage


def test_the_asynchronous_sdk(serve):
    served = serve(GREETS)

    async def talk() -> tuple[str, str]:
        async with openai.AsyncOpenAI(base_url=f"{served.base_url}/openai/v1", api_key="k", max_retries=0) as client:
            whole = await client.chat.completions.create(**HELLO)
            streamed = ""
            async for chunk in await client.chat.completions.create(**HELLO, stream=True):
                streamed += chunk.choices[0].delta.content or ""
            return whole.choices[0].message.content or "", streamed

    assert asyncio.run(talk()) == ("Hello, gpt-5.", "Hello, gpt-5.")


def test_the_same_script_answers_anthropic_s_client(serve, sdk):
    served = serve(LOOP)
    tool = {"name": "weather", "input_schema": {"type": "object"}}
    with anthropic.Anthropic(base_url=f"{served.base_url}/anthropic", api_key="k", max_retries=0) as claude:
        theirs = claude.messages.create(
            model="m", max_tokens=99, tools=[tool], messages=[{"role": "user", "content": "the weather"}]
        )
    ours = sdk(served).chat.completions.create(
        model="m", messages=[{"role": "user", "content": "the weather"}], tools=[function()]
    )
    said = [block.text for block in theirs.content if block.type == "text"]
    assert said == [ours.choices[0].message.content]
    assert [block.input for block in theirs.content if block.type == "tool_use"] == [
        json.loads(call.function.arguments) for call in ours.choices[0].message.tool_calls
    ]


class Answer(pydantic.BaseModel):
    degrees: int


def test_json_of_a_schema(serve, sdk):
    client = sdk(serve("stack_emu: 1\nmodel: [{turns: [{say: '{\"degrees\": 3}'}]}]"))
    assert client.chat.completions.parse(**HELLO, response_format=Answer).choices[0].message.parsed == Answer(degrees=3)


@pytest.mark.parametrize(
    ("said", "why"), [("three", "which is not JSON"), ('{"degrees": "3"}', "is not of type 'integer'")]
)
def test_a_script_that_breaks_the_schema_is_a_mistake(serve, sdk, said, why):
    served = serve(f"stack_emu: 1\nmodel: [{{turns: [{{say: '{said}'}}]}}]")
    with pytest.raises(openai.BadRequestError, match=why):
        sdk(served).chat.completions.parse(**HELLO, response_format=Answer)
    assert entries(served)[-1].problem == "unscripted"


@pytest.mark.parametrize(("stop", "reason"), [("max_tokens", "length"), ("refusal", "content_filter")])
def test_why_it_stopped(serve, sdk, stop, reason):
    made = sdk(serve(f"stack_emu: 1\nmodel: [{{turns: [{{say: Well, stop: {stop}}}]}}]")).chat.completions.create(
        **HELLO
    )
    assert made.choices[0].finish_reason == reason


WEATHER = {"messages": [{"role": "user", "content": "the weather"}], "tools": [function()]}


@pytest.mark.parametrize(
    ("change", "param", "code", "why"),
    [
        ({"colour": "red"}, "colour", "unknown_parameter", "no such parameter"),
        ({"temprature": 1}, "temprature", "unknown_parameter", "did you mean temperature"),
        ({"functions": [{"name": "f"}]}, "functions", "unsupported_parameter", "use tools"),
        ({"modalities": ["audio"]}, "modalities", "unsupported_parameter", "replies are text"),
        ({"n": 2}, "n", "unsupported_value", "one choice"),
        ({"messages": []}, "messages", "empty_array", "at least one message"),
        ({"messages": None}, "messages", "missing_required_parameter", "required"),
        ({"messages": [{"role": "boss", "content": "x"}]}, "messages[0].role", "invalid_value", "must be one of"),
        ({"max_completion_tokens": 0}, "max_completion_tokens", "integer_below_min_value", "at least 1"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "invalid_value", "only with stream"),
        ({"tool_choice": "required"}, "tool_choice", "invalid_value", "no tools"),
        ({"tools": [{"type": "mcp"}]}, "tools[0].type", "invalid_value", "for /v1/responses only"),
        ({"response_format": {"type": "xml"}}, "response_format.type", "invalid_value", "json_schema"),
        (
            {"messages": [{"role": "user", "content": "x"}, {"role": "tool", "tool_call_id": "c", "content": "y"}]},
            "messages[1].tool_call_id",
            "invalid_value",
            "must name a call",
        ),
    ],
)
def test_what_is_refused(serve, sdk, change, param, code, why):
    served = serve(GREETS)
    with pytest.raises(openai.BadRequestError, match=why) as caught:
        sdk(served).chat.completions.create(**HELLO, extra_body=change)
    error = caught.value
    assert (error.param, error.code, error.type) == (param, code, "invalid_request_error")
    assert (entries(served)[-1].status, entries(served)[-1].code) == (400, code)
    assert (entries(served)[-1].problem == "unknown_field") is (code in ("unknown_parameter", "unsupported_parameter"))


def test_a_call_without_an_answer_is_refused(serve, sdk):
    client = sdk(serve(LOOP))
    first = client.chat.completions.create(model="m", **WEATHER).choices[0].message
    with pytest.raises(openai.BadRequestError, match="have no answer"):
        client.chat.completions.create(model="m", messages=[*WEATHER["messages"], first], tools=WEATHER["tools"])


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"tool_choice": "none"}, "allows no call"),
        ({"parallel_tool_calls": False}, "parallel_tool_calls: false"),
        ({"tool_choice": {"type": "function", "function": {"name": "other"}}}, "allows only other"),
        ({"tools": [function("other")]}, "nothing in the request offers"),
    ],
)
def test_a_script_that_breaks_the_request_is_a_mistake(serve, sdk, change, why):
    served = serve(LOOP)
    ask = {**WEATHER, "tools": [function(), function("other")], **change}
    with pytest.raises(openai.BadRequestError, match=why) as caught:
        sdk(served).chat.completions.create(model="m", **ask)
    assert caught.value.code == "unscripted"
    assert entries(served)[-1].problem == "unscripted"


def test_no_script_says_what_is_nearest(serve, sdk):
    with pytest.raises(openai.BadRequestError, match=r"The nearest is model\[0\]"):
        sdk(serve(GREETS)).chat.completions.create(model="m", messages=[{"role": "user", "content": "Bye"}])
