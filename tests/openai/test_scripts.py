"""The script engine behind OpenAI's shapes: thoughts, branches, functions, stops, and what a run recorded."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from stack_emu.scenario.loader import loads

TOOL: dict[str, Any] = {
    "type": "function",
    "name": "lookup",
    "strict": False,
    "parameters": {"type": "object", "properties": {"id": {"type": "string"}}},
}
CHAT_TOOL = {"type": "function", "function": {name: TOOL[name] for name in ("name", "parameters")}}
BRANCHES = """
stack_emu: 1
model:
  - when: {user: order}
    turns:
      - call: {tool: lookup, input: {id: "7"}}
      - branches:
          - {when: {result: {state: lost}}, turns: [{say: It is lost.}]}
          - turns: [{say: "It is {{ result.state }}."}]
"""
THINKS = """
stack_emu: 1
model:
  - when: {user: think}
    turns:
      - {think: Two words or three?, call: {tool: lookup, input: {id: "1"}}}
      - {think: Three., say: "Found {{ result.state }} there."}
"""


def said_of(client: Any, state: str, shape: str) -> str:
    """What the model says of an order in a state, asked in one of the shapes."""
    if shape == "chat":
        messages: list[dict[str, Any]] = [{"role": "user", "content": "my order"}]
        made = client.chat.completions.create(model="gpt-5", messages=messages, tools=[CHAT_TOOL])
        [call] = made.choices[0].message.tool_calls
        messages.append(made.choices[0].message.model_dump(exclude_none=True))
        messages.append({"role": "tool", "tool_call_id": call.id, "content": json.dumps({"state": state})})
        return (
            client.chat.completions.create(model="gpt-5", messages=messages, tools=[CHAT_TOOL])
            .choices[0]
            .message.content
        )
    made = client.responses.create(model="gpt-5", input="my order", tools=[TOOL])
    output = {
        "type": "function_call_output",
        "call_id": made.output[-1].call_id,
        "output": json.dumps({"state": state}),
    }
    return client.responses.create(
        model="gpt-5", input=[output], tools=[TOOL], previous_response_id=made.id
    ).output_text


@pytest.mark.parametrize("shape", ["chat", "responses"])
@pytest.mark.parametrize(("state", "said"), [("lost", "It is lost."), ("packed", "It is packed.")])
def test_a_branch_is_chosen_by_the_result(serve, sdk, shape, state, said):
    assert said_of(sdk(serve(BRANCHES)), state, shape) == said


@pytest.mark.parametrize("streamed", [False, True])
def test_thoughts_are_reasoning_items_where_a_summary_is_asked_for(serve, sdk, streamed):
    client = sdk(serve(THINKS))

    def ask(**more: Any) -> Any:
        request = {"model": "gpt-5", "tools": [TOOL], "reasoning": {"summary": "auto"}, **more}
        if not streamed:
            return client.responses.create(**request)
        with client.responses.stream(**request) as stream:
            deltas = [event.delta for event in stream if event.type == "response.reasoning_summary_text.delta"]
            made = stream.get_final_response()
        assert "".join(deltas) == made.output[0].summary[0].text
        return made

    first = ask(input="think")
    assert [item.type for item in first.output] == ["reasoning", "function_call"]
    assert first.output[0].summary[0].text == "Two words or three?"
    assert first.usage.output_tokens_details.reasoning_tokens > 0
    back = [item.model_dump(exclude_none=True) for item in first.output]
    output = {"type": "function_call_output", "call_id": first.output[1].call_id, "output": '{"state": "gold"}'}
    last = ask(input=[{"role": "user", "content": "think"}, *back, output])
    assert [item.type for item in last.output] == ["reasoning", "message"]
    assert last.output_text == "Found gold there."


def test_thoughts_stay_away_where_none_is_asked_for(serve, sdk):
    made = sdk(serve(THINKS)).responses.create(model="gpt-5", tools=[TOOL], input="think")
    assert [item.type for item in made.output] == ["function_call"]
    assert made.usage.output_tokens_details.reasoning_tokens == 0


@pytest.mark.parametrize(
    ("turn", "request_", "said", "finish"),
    [
        ("{say: one two three}", {"stop": "two"}, "one ", "stop"),
        ("{say: one two three}", {"stop": ["three", "two"]}, "one ", "stop"),
        ("{say: one two three}", {"stop": "four"}, "one two three", "stop"),
        ("{say: one two three, stop: max_tokens}", {"max_completion_tokens": 1}, "one ", "length"),
        ("{say: one two three, stop: max_tokens}", {"max_tokens": 2}, "one two ", "length"),
        ("{say: one two three}", {"max_tokens": 1}, "one two three", "stop"),
    ],
)
def test_a_chat_completion_stops_where_the_request_says(serve, sdk, turn, request_, said, finish):
    client = sdk(serve(f"stack_emu: 1\nmodel: [{{turns: [{turn}]}}]\n"))
    messages = [{"role": "user", "content": "count"}]
    [choice] = client.chat.completions.create(model="gpt-5", messages=messages, **request_).choices
    assert (choice.message.content, choice.finish_reason) == (said, finish)


@pytest.mark.parametrize("shape", ["chat", "responses"])
def test_a_function_sees_the_conversation_and_its_run_is_replayed(stack_emu, serve, sdk, shape):
    seen = []

    def answer(asked: Any) -> Any:
        seen.append((asked.user, asked.turn, asked.result, asked.tools, len(asked.messages)))
        if asked.turn == 0:
            return {"call": {"tool": "lookup", "input": {"id": "7"}}}
        return f"It is {asked.result['state']}."

    stack_emu.model.script(answer)
    with stack_emu.openai() as client:
        assert said_of(client, "late", shape) == "It is late."
    assert seen == [("my order", 0, None, ("lookup",), 1), ("my order", 1, {"state": "late"}, ("lookup",), 3)]
    recorded = {"stack_emu": 1, **yaml.safe_load(stack_emu.model.export())}
    assert loads(yaml.safe_dump(recorded)).model
    assert said_of(sdk(serve(yaml.safe_dump(recorded))), "late", shape) == "It is late."
