"""Which script answers, which of its turns comes next, and what is said when there is none. Driven by the real SDK."""

from __future__ import annotations

import anthropic
import pytest
from anthropic import beta_tool

MODEL = "claude-sonnet-5-5"

WEATHER = """
model:
  - when: {user: weather}
    turns:
      - say: Let me look.
        call: {tool: get_weather, input: {city: Paris}}
      - calls: [{tool: get_weather, input: {city: "{{ result.next }}"}}, {tool: get_weather, input: {city: Oslo}}]
      - say: "{{ results[0].degrees }}, {{ results[1].degrees }}, {{ result.degrees }}"
  - when: {user: hello}
    turns: [{say: Hi.}]
"""


def tool(name):
    return {"name": name, "description": name, "input_schema": {"type": "object", "properties": {}}}


def say(sdk, *messages, **more):
    messages = [{"role": "user", "content": text} if isinstance(text, str) else text for text in messages]
    more = {"model": MODEL, "max_tokens": 64, **more}
    return sdk.messages.create(messages=messages, **more)


def results(message, *texts, is_error=False):
    uses = [block for block in message.content if block.type == "tool_use"]
    content = [
        {"type": "tool_result", "tool_use_id": use.id, "content": text, "is_error": is_error}
        for use, text in zip(uses, texts, strict=True)
    ]
    return {"role": "user", "content": content}


def test_text_only(emulate, client):
    message = say(client(emulate(WEATHER)), "hello there")
    assert (message.content[0].text, message.stop_reason, message.role) == ("Hi.", "end_turn", "assistant")
    assert message.usage.input_tokens > 0
    assert message.usage.output_tokens > 0
    assert message._request_id.startswith("req_")


def test_client_tools_come_back_and_the_next_turn_sees_their_results(emulate, client):
    sdk = client(emulate(WEATHER))
    tools = [tool("get_weather")]
    first = say(sdk, "what is the weather?", tools=tools)
    assert first.stop_reason == "tool_use"
    assert [block.type for block in first.content] == ["text", "tool_use"]
    history = ["what is the weather?", {"role": "assistant", "content": first.content}]
    history.append(results(first, '{"degrees": 20, "next": "Rome"}'))
    second = say(sdk, *history, tools=tools)
    assert [block.input for block in second.content] == [{"city": "Rome"}, {"city": "Oslo"}]
    history += [{"role": "assistant", "content": second.content}, results(second, '{"degrees": 25}', '{"degrees": 5}')]
    third = say(sdk, *history, tools=tools)
    assert (third.content[0].text, third.stop_reason) == ("20, 25, 5", "end_turn")


def test_the_sdk_s_tool_runner_goes_through_the_whole_script(emulate, client):
    asked = []

    @beta_tool
    def get_weather(city: str) -> str:
        """The weather.

        Args:
            city: where.
        """
        asked.append(city)
        return f'{{"degrees": {len(city)}, "next": "Rome"}}'

    runner = client(emulate(WEATHER)).beta.messages.tool_runner(
        model=MODEL, max_tokens=64, tools=[get_weather], messages=[{"role": "user", "content": "weather please"}]
    )
    last = runner.until_done()
    assert asked == ["Paris", "Rome", "Oslo"]
    assert last.content[0].text == "5, 4, 4"


def test_a_retry_and_a_second_conversation_get_the_same_turn(emulate, client):
    sdk = client(emulate(WEATHER))
    tools = [tool("get_weather")]
    first = say(sdk, "weather", tools=tools)
    say(sdk, "hello")
    again = say(sdk, "weather", tools=tools)
    assert again == first
    assert again._request_id == first._request_id


def test_ids_depend_on_the_seed_and_the_conversation(emulate, client):
    tools = [tool("get_weather")]
    one = say(client(emulate(WEATHER, seed=1)), "weather", tools=tools)
    same = say(client(emulate(WEATHER, seed=1)), "weather", tools=tools)
    other_seed = say(client(emulate(WEATHER, seed=2)), "weather", tools=tools)
    other_text = say(client(emulate(WEATHER, seed=1)), "weather!", tools=tools)
    assert one.id == same.id
    assert one.content[1].id == same.content[1].id
    assert len({one.id, other_seed.id, other_text.id}) == 3
    assert one.id.startswith("msg_")
    assert one.content[1].id.startswith("toolu_")


def test_a_new_user_text_starts_the_script_again(emulate, client):
    sdk = client(emulate(WEATHER))
    first = say(sdk, "hello")
    second = say(sdk, "hello", {"role": "assistant", "content": first.content}, "hello again")
    assert second.content[0].text == "Hi."


def test_results_of_an_earlier_question_are_not_results_of_this_one(emulate, client):
    emulated = emulate(
        "model: [{when: {user: one}, turns: [{call: {tool: t}}, {say: first}]},"
        " {when: {user: two}, turns: [{say: '{{ results | length }}'}]}]"
    )
    sdk = client(emulated)
    first = say(sdk, "one", tools=[tool("t")])
    answered = ["one", {"role": "assistant", "content": first.content}, results(first, "1")]
    done = say(sdk, *answered, tools=[tool("t")])
    last = say(sdk, *answered, {"role": "assistant", "content": done.content}, "two", tools=[tool("t")])
    assert last.content[0].text == "0"


def test_errors_of_client_tools_reach_templates(emulate, client):
    sdk = client(emulate("model: [{turns: [{call: {tool: t}}, {say: 'no: {{ result.error.message }}'}]}]"))
    first = say(sdk, "go", tools=[tool("t")])
    history = ["go", {"role": "assistant", "content": first.content}, results(first, "out of order", is_error=True)]
    assert say(sdk, *history, tools=[tool("t")]).content[0].text == "no: out of order"


@pytest.mark.parametrize("stop", ["max_tokens", "refusal", "pause_turn", "end_turn"])
def test_the_script_may_say_why_it_stops(emulate, client, stop):
    message = say(client(emulate(f"model: [{{turns: [{{say: Half a, stop: {stop}}}]}}]")), "go")
    assert message.stop_reason == stop


def test_a_stop_sequence_is_one_of_the_request_s(emulate, client):
    sdk = client(emulate("model: [{turns: [{say: Half a, stop: stop_sequence}]}]"))
    assert say(sdk, "go", stop_sequences=["###"]).stop_sequence == "###"


def test_a_paused_turn_goes_on_when_the_reply_is_sent_back(emulate, client):
    sdk = client(emulate("model: [{turns: [{say: One., stop: pause_turn}, {say: Two.}]}]"))
    first = say(sdk, "go")
    second = say(sdk, "go", {"role": "assistant", "content": first.content})
    assert (second.content[0].text, second.stop_reason) == ("Two.", "end_turn")


def test_a_turn_may_give_a_value_that_is_not_text(emulate, client):
    sdk = client(emulate("model: [{turns: [{call: {tool: t}}, {say: '{{ result }}'}]}]"))
    first = say(sdk, "go", tools=[tool("t")])
    history = ["go", {"role": "assistant", "content": first.content}, results(first, '{"a": [1]}')]
    assert say(sdk, *history, tools=[tool("t")]).content[0].text == '{"a": [1]}'


@pytest.mark.parametrize(
    ("when", "request_", "reason"),
    [
        ("user: deploy", {}, "user 'deploy' is not in the last user text 'go'"),
        ("user: GO", {}, "user 'GO' stands in the last user text only in other letter case"),
        ("regex: '^x+$'", {}, "regex '^x+$' finds nothing in 'go'"),
        ("system: pirate", {}, "system 'pirate' is not in the system prompt, which is empty"),
        ("system: pirate", {"system": "be kind"}, "not in the system prompt, 'be kind'"),
        ("model: claude-opus-*", {}, "model is claude-opus-*, the request asks for claude-sonnet-5-5"),
        ("tools: [t, u]", {"tools": [tool("t")]}, "tools u not on offer (on offer: t)"),
        ("key: other-key", {}, "key differs from the API key of the request"),
        ("agent: agent_x", {}, "agent is agent_x, behind the MCP bearer stands no agent"),
    ],
)
def test_a_near_miss_says_why_the_nearest_script_does_not_match(emulate, client, when, request_, reason):
    emulated = emulate(f"model: [{{when: {{{when}}}, turns: [{{say: hi}}]}}]")
    with pytest.raises(anthropic.BadRequestError) as caught:
        say(client(emulated), "go", **request_)
    assert caught.value.type == "invalid_request_error"
    assert "No scripted turn answers this conversation" in caught.value.message
    assert "The nearest is model[0]" in caught.value.message
    assert reason in caught.value.message
    assert "other-key" not in caught.value.message
    assert (emulated.last.problem, emulated.last.status, emulated.last.code) == (
        "unscripted",
        400,
        "invalid_request_error",
    )
    assert reason in emulated.last.hint


@pytest.mark.parametrize(
    ("when", "request_"),
    [
        ("regex: '^g.$'", {}),
        ("system: kind", {"system": [{"type": "text", "text": "be kind"}]}),
        ("model: claude-sonnet-*", {}),
        ("model: claude-sonnet-5-5", {}),
        ("tools: t", {"tools": [tool("mcp__stack__t")]}),
        ("key: sk-ant-emu", {}),
    ],
)
def test_every_part_of_when_can_match(emulate, client, when, request_):
    emulated = emulate(f"model: [{{when: {{{when}}}, turns: [{{say: yes}}]}}]")
    assert say(client(emulated), "go", **request_).content[0].text == "yes"


@pytest.mark.parametrize("agent", ["agent_deploy_bot", "deploy-bot"])
def test_the_agent_behind_the_mcp_bearer_chooses_the_script(emulate, client, mcp_server, entry, agent):
    emulated = emulate(f"model: [{{when: {{agent: {agent}}}, turns: [{{say: mine}}]}}, {{turns: [{{say: any}}]}}]")
    message = client(emulated).beta.messages.create(
        model=MODEL,
        max_tokens=9,
        messages=[{"role": "user", "content": "go"}],
        mcp_servers=[entry(mcp_server)],
        betas=["mcp-client-2025-04-04"],
    )
    assert message.content[0].text == "mine"
    assert emulated.last.caller == "agent_deploy_bot"


def test_the_nearest_script_is_the_one_with_the_likest_text(emulate, client):
    emulated = emulate(
        "model: [{when: {user: zzz}, turns: [{say: a}]}, {when: {user: deploy started}, turns: [{say: b}]}]"
    )
    with pytest.raises(anthropic.BadRequestError, match=r"nearest is model\[1\] \(user: 'deploy started'\)"):
        say(client(emulated), "deploy startet")


def test_without_a_script_the_error_says_where_to_write_one(emulate, client):
    with pytest.raises(anthropic.BadRequestError, match="has no model: section; add one"):
        say(client(emulate()), "go")


def test_an_exhausted_script_says_so(emulate, client):
    sdk = client(emulate("model: [{when: {user: go}, turns: [{call: {tool: t}}]}]"))
    first = say(sdk, "go", tools=[tool("t")])
    history = ["go", {"role": "assistant", "content": first.content}, results(first, "1")]
    with pytest.raises(anthropic.BadRequestError) as caught:
        say(sdk, *history, tools=[tool("t")])
    assert "model[0] (user: 'go') has 1 turn and all of them stand in this conversation" in caught.value.message
    assert "add model[0].turns[1]" in caught.value.message


def test_a_script_that_ends_with_a_connector_call_is_refused_before_the_call(emulate, client, mcp_server, entry):
    emulated = emulate("model: [{turns: [{call: {tool: echo}}]}]")
    with pytest.raises(anthropic.BadRequestError, match="after which the model speaks again; add a turn"):
        client(emulated).beta.messages.create(
            model=MODEL,
            max_tokens=9,
            messages=[{"role": "user", "content": "go"}],
            mcp_servers=[entry(mcp_server)],
            betas=["mcp-client-2025-04-04"],
        )
    assert mcp_server.calls == []


def test_a_template_that_cannot_be_rendered_shows_the_result(emulate, client):
    sdk = client(emulate("model: [{turns: [{call: {tool: t}}, {say: '{{ result.body.ts }}'}]}]"))
    first = say(sdk, "go", tools=[tool("t")])
    history = ["go", {"role": "assistant", "content": first.content}, results(first, '{"error": {"code": "NO"}}')]
    with pytest.raises(anthropic.BadRequestError) as caught:
        say(sdk, *history, tools=[tool("t")])
    assert "model[0].turns[1].say" in caught.value.message
    assert '(result is {"error": {"code": "NO"}})' in caught.value.body["error"]["message"]


def test_a_tool_nobody_offers_is_refused_with_the_nearest(emulate, client):
    emulated = emulate("model: [{turns: [{call: {tool: get_wether}}]}]")
    with pytest.raises(anthropic.BadRequestError, match="nothing in the request offers; nearest: get_weather"):
        say(client(emulated), "go", tools=[tool("get_weather"), tool("zzz")])
    with pytest.raises(anthropic.BadRequestError, match="it has neither tools nor mcp_servers"):
        say(client(emulated), "go")


@pytest.mark.parametrize(
    ("call", "offered", "expected"),
    [
        ("{tool: list}", ["mcp__stack__list"], "mcp__stack__list"),
        ("{tool: list, server: b}", ["mcp__a__list", "mcp__b__list"], "mcp__b__list"),
        ("{tool: mcp__a__list}", ["mcp__a__list"], "mcp__a__list"),
        ("{tool: list}", ["Bash", "ToolSearch"], "mcp__stack__list"),
        ("{tool: list, server: b}", ["Bash", "ToolSearch"], "mcp__b__list"),
        ("{tool: Bash}", ["Bash", "ToolSearch"], "Bash"),
    ],
)
def test_mcp_tools_of_the_claude_command_line_are_called_by_their_mapped_name(emulate, client, call, offered, expected):
    message = say(client(emulate(f"model: [{{turns: [{{call: {call}}}]}}]")), "go", tools=[*map(tool, offered)])
    assert (message.content[0].type, message.content[0].name) == ("tool_use", expected)


def test_a_tool_of_several_client_servers_needs_a_name(emulate, client):
    emulated = emulate("model: [{turns: [{call: {tool: list}}]}]")
    with pytest.raises(anthropic.BadRequestError, match=r"several client tools \(mcp__a__list, mcp__b__list\)"):
        say(client(emulated), "go", tools=[tool("mcp__a__list"), tool("mcp__b__list")])


def test_connector_and_client_calls_in_one_turn_end_the_reply(emulate, client, mcp_server, entry):
    emulated = emulate("model: [{turns: [{calls: [{tool: echo, input: {n: 1}}, {tool: mine}]}, {say: end}]}]")
    sdk = client(emulated)
    common = {
        "model": MODEL,
        "max_tokens": 9,
        "mcp_servers": [entry(mcp_server)],
        "betas": ["mcp-client-2025-04-04"],
        "tools": [tool("mine")],
    }
    first = sdk.beta.messages.create(messages=[{"role": "user", "content": "go"}], **common)
    assert [block.type for block in first.content] == ["mcp_tool_use", "tool_use", "mcp_tool_result"]
    assert first.stop_reason == "tool_use"
    history = [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": first.content},
        results(first, "done"),
    ]
    assert sdk.beta.messages.create(messages=history, **common).content[0].text == "end"


def test_blocks_of_a_connector_reply_come_back_as_input(emulate, client, mcp_server, entry):
    emulated = emulate(
        "model: [{when: {user: go}, turns: [{call: {tool: echo, input: {n: 1}}}, {say: ok}]},"
        " {when: {user: thanks}, turns: [{say: welcome}]}]"
    )
    sdk = client(emulated)
    common = {"model": MODEL, "max_tokens": 9, "mcp_servers": [entry(mcp_server)], "betas": ["mcp-client-2025-04-04"]}
    first = sdk.beta.messages.create(messages=[{"role": "user", "content": "go"}], **common)
    history = [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": "thanks"},
    ]
    assert sdk.beta.messages.create(messages=history, **common).content[0].text == "welcome"


def test_a_title_is_made_up_for_a_side_call(emulate, client):
    schema = {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]}
    message = say(
        client(emulate()),
        "please deploy the new version of the site",
        output_config={"format": {"type": "json_schema", "schema": schema}},
    )
    assert message.content[0].text == '{"title": "please deploy the new version of"}'


def test_other_structured_output_is_the_script_s_to_answer(emulate, client):
    schema = {"type": "object", "properties": {"title": {"type": "string"}, "n": {"type": "integer"}}}
    message = say(
        client(emulate("""model: [{turns: [{say: '{"n": 1}'}]}]""")),
        "go",
        output_config={"format": {"type": "json_schema", "schema": schema}},
    )
    assert message.content[0].text == '{"n": 1}'


def test_no_tokens_asked_for_no_reply(emulate, client):
    message = say(client(emulate()), "go", max_tokens=0)
    assert (message.content, message.stop_reason) == ([], "max_tokens")
