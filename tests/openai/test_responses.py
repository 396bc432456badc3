"""The Responses API, driven by the real SDK: text, functions, streams, and responses that are held."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import openai
import pydantic
import pytest

from tests.openai.conftest import entries

GREETS = (
    "stack_emu: 1\nmodel: [{when: {user: hi}, turns: [{say: Hello there and a few more words than one piece holds.}]}]"
)
LOOP = """
stack_emu: 1
model:
  - when: {user: the weather, system: brief}
    turns:
      - say: Asking.
        calls: [{tool: weather, input: {city: Oslo}}, {tool: weather, input: {city: Rome}}]
      - call: {tool: weather, input: {city: Bern}}
      - say: "{{ results | map(attribute='degrees') | join(', ') }}"
  - when: {user: and tomorrow}
    turns: [{say: The same.}]
"""
TOOL: dict[str, Any] = {
    "type": "function",
    "name": "weather",
    "strict": False,
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}
ASK: dict[str, Any] = {"model": "gpt-5", "instructions": "be brief", "tools": [TOOL]}
DEGREES = {"Oslo": 3, "Rome": 21, "Bern": 9}


def outputs(response: Any) -> list[dict[str, Any]]:
    """What a client answers: one output for each call."""
    return [
        {
            "type": "function_call_output",
            "call_id": item.call_id,
            "output": json.dumps({"degrees": DEGREES[json.loads(item.arguments)["city"]]}),
        }
        for item in response.output
        if item.type == "function_call"
    ]


def test_a_turn_that_speaks(serve, sdk):
    served = serve(GREETS)
    made = sdk(served).responses.create(model="gpt-5", input="hi", metadata={"run": "7"})
    assert made.output_text == "Hello there and a few more words than one piece holds."
    assert (made.status, made.object, made.model, made.metadata) == ("completed", "response", "gpt-5", {"run": "7"})
    assert [item.type for item in made.output] == ["message"]
    assert made.usage.total_tokens == made.usage.input_tokens + made.usage.output_tokens
    last = entries(served)[-1]
    assert (last.operation, last.route, last.status, last.problem) == ("responses.create", "/v1/responses", 200, None)
    assert last.response["script"] == ["model[0].turns[0]"]


def test_a_loop_that_goes_on_from_responses_held_here(serve, sdk):
    client = sdk(serve(LOOP))
    made = client.responses.create(**ASK, input="the weather?")
    assert [item.type for item in made.output] == ["message", "function_call", "function_call"]
    for _ in range(2):
        made = client.responses.create(**ASK, previous_response_id=made.id, input=outputs(made))
    assert made.output_text == "3, 21, 9"
    assert (
        client.responses.create(**ASK, previous_response_id=made.id, input="and tomorrow?").output_text == "The same."
    )


def test_a_loop_that_sends_everything_again(serve, sdk):
    client = sdk(serve(LOOP))
    items: list[Any] = [{"role": "user", "content": [{"type": "input_text", "text": "the weather?"}]}]
    for _ in range(3):
        made = client.responses.create(**ASK, input=items, store=False)
        items += [*made.output, *outputs(made)]
    assert made.output_text == "3, 21, 9"
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)


def test_the_events_of_a_stream(serve, sdk):
    client = sdk(serve(LOOP))
    events = list(client.responses.create(**ASK, input="the weather?", stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = list(dict.fromkeys(event.type for event in events))
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.completed",
    ]
    done = [event.item for event in events if event.type == "response.output_item.done"]
    assert events[-1].response.output == done
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == events[-1].response.output_text == "Asking."


def test_the_helper_of_the_sdk_puts_a_stream_together(serve, sdk):
    client = sdk(serve(LOOP))
    with client.responses.stream(**ASK, input="the weather?") as stream:
        for _ in stream:
            pass
        final = stream.get_final_response()
    assert [item.type for item in final.output] == ["message", "function_call", "function_call"]
    assert client.responses.retrieve(final.id).output_text == "Asking."


def test_the_asynchronous_sdk(serve):
    served = serve(GREETS)

    async def talk() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{served.base_url}/openai/v1", api_key="k", max_retries=0) as client:
            whole = await client.responses.create(model="m", input="hi")
            stream = await client.responses.create(model="m", input="hi", stream=True)
            last = [event async for event in stream][-1]
            return [whole.output_text, last.response.output_text]

    assert len(set(asyncio.run(talk()))) == 1


def test_equal_requests_have_responses_of_their_own(serve, sdk):
    client = sdk(serve(GREETS))
    first, second = (client.responses.create(model="m", input="hi") for _ in range(2))
    assert first.id != second.id
    assert first.output_text == second.output_text


def test_the_same_run_has_the_same_ids(serve, sdk):
    assert len({sdk(serve(GREETS)).responses.create(model="m", input="hi").id for _ in range(2)}) == 1


def test_held_responses_can_be_read_and_deleted(serve, sdk):
    served = serve(GREETS)
    client = sdk(served)
    items = [{"role": "developer", "content": "x"}, {"role": "user", "content": "hi"}]
    made = client.responses.create(model="m", input=items)
    assert client.responses.retrieve(made.id) == made
    listed = client.responses.input_items.list(made.id)
    assert [item.content[0].text for item in listed.data] == ["hi", "x"]
    page = client.responses.input_items.list(made.id, limit=1, order="asc")
    assert (page.data[0].role, page.has_more) == ("developer", True)
    with pytest.raises(openai.NotFoundError):
        sdk(served, api_key="another").responses.retrieve(made.id)
    client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="m", input="hi", previous_response_id=made.id)
    assert (caught.value.code, caught.value.param) == ("previous_response_not_found", "previous_response_id")


def test_an_item_may_be_named_instead_of_sent(serve, sdk):
    client = sdk(serve(LOOP))
    made = client.responses.create(**ASK, input="the weather?")
    items = [{"role": "user", "content": "the weather?"}]
    items += [{"type": "item_reference", "id": item.id} for item in made.output]
    again = client.responses.create(**ASK, input=[*items, *outputs(made)])
    assert json.loads(again.output[0].arguments) == {"city": "Bern"}
    with pytest.raises(openai.NotFoundError, match="send the item itself"):
        client.responses.create(**ASK, input=[{"type": "item_reference", "id": "msg_gone"}])


class Answer(pydantic.BaseModel):
    degrees: int


def test_json_of_a_schema(serve, sdk):
    client = sdk(serve("stack_emu: 1\nmodel: [{turns: [{say: '{\"degrees\": 3}'}]}]"))
    assert client.responses.parse(model="m", input="x", text_format=Answer).output_parsed == Answer(degrees=3)
    wrong = sdk(serve("stack_emu: 1\nmodel: [{turns: [{say: three}]}]"))
    with pytest.raises(openai.BadRequestError, match="which is not JSON"):
        wrong.responses.parse(model="m", input="x", text_format=Answer)


@pytest.mark.parametrize(("stop", "reason"), [("max_tokens", "max_output_tokens"), ("refusal", "content_filter")])
@pytest.mark.parametrize("stream", [False, True])
def test_a_reply_that_is_cut_short(serve, sdk, stop, reason, stream):
    client = sdk(serve(f"stack_emu: 1\nmodel: [{{turns: [{{say: Well, stop: {stop}}}]}}]"))
    made = client.responses.create(model="m", input="x", stream=stream)
    if stream:
        last = list(made)[-1]
        assert last.type == "response.incomplete"
        made = last.response
    assert (made.status, made.incomplete_details.reason) == ("incomplete", reason)


@pytest.mark.parametrize("stream", [False, True])
def test_a_script_that_fails_half_way(serve, sdk, stream):
    served = serve("stack_emu: 1\nmodel: [{turns: [{say: '{{ result.x }}'}]}]")
    if not stream:
        with pytest.raises(openai.BadRequestError, match="no call has been made yet"):
            sdk(served).responses.create(model="m", input="x")
    else:
        error, failed = list(sdk(served).responses.create(model="m", input="x", stream=True))[-2:]
        assert (error.type, error.code, failed.type) == ("error", "unscripted", "response.failed")
        assert "no call has been made yet" in failed.response.error.message
    assert entries(served)[-1].problem == "unscripted"


@pytest.mark.parametrize(
    ("change", "param", "code", "why"),
    [
        ({"colour": "red"}, "colour", "unknown_parameter", "no such parameter"),
        ({"conversation": "conv_1"}, "conversation", "unsupported_parameter", "previous_response_id"),
        ({"background": True}, "background", "unsupported_parameter", "wait for the reply"),
        ({"prompt": {"id": "p"}}, "prompt", "unsupported_parameter", "no stored prompts"),
        ({"input": None}, "input", "missing_required_parameter", "required"),
        (
            {"input": [{"type": "message", "role": "user"}]},
            "input[0].content",
            "missing_required_parameter",
            "required",
        ),
        ({"input": [{"type": "function_cal"}]}, "input[0].type", "invalid_value", "did you mean function_call"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type", "invalid_value", "function and mcp"),
        ({"tools": [{"type": "function", "name": "a b"}]}, "tools[0].name", "invalid_value", "letters"),
        ({"tool_choice": {"type": "function", "name": "x"}}, "tool_choice", "invalid_value", "not among"),
        ({"text": "json"}, "text", "invalid_type", "an object"),
        ({"reasoning": 5}, "reasoning", "invalid_type", "an object"),
        ({"stream": True, "stream_options": 5}, "stream_options", "invalid_type", "an object"),
        ({"input": [{"type": ["x"]}]}, "input[0].type", "invalid_value", "not served"),
        ({"input": 5}, "input", "invalid_type", "a list of items"),
        (
            {"input": [{"type": "function_call_output", "call_id": "c", "output": 5}]},
            "input[0].output",
            "invalid_type",
            "content parts",
        ),
        ({"max_output_tokens": "9"}, "max_output_tokens", "integer_below_min_value", "whole number"),
        ({"stream_options": {"include_obfuscation": True}}, "stream_options", "invalid_value", "stream: true"),
        (
            {"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]},
            "input",
            None,
            "has no function_call",
        ),
        (
            {"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}]},
            "input",
            None,
            "has no output",
        ),
        (
            {"input": [{"type": "mcp_approval_response", "approval_request_id": "r", "approve": True}]},
            "input",
            None,
            "no mcp_approval_request r",
        ),
    ],
)
def test_what_is_refused(serve, sdk, change, param, code, why):
    served = serve(GREETS)
    with pytest.raises(openai.BadRequestError, match=why) as caught:
        sdk(served).responses.create(model="m", input="hi", extra_body=change)
    assert (caught.value.param, caught.value.code) == (param, code)
    assert entries(served)[-1].status == 400
