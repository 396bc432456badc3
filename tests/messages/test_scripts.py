"""Scripts that look at results, think, stop for every reason and answer with JSON. Driven by the real SDK."""

from __future__ import annotations

import json
from typing import Literal

import anthropic
import pytest
from anthropic import beta_tool
from pydantic import BaseModel

from tests.messages.test_turns import MODEL, results, say, tool

BRANCHES = """
model:
  - when: {user: post}
    turns:
      - call: {tool: t}
      - branches:
          - when: {error: TIER_LIMIT_EXCEEDED}
            turns:
              - {say: Let me tidy up., call: {tool: tidy}}
              - {say: "Tidied: {{ result.n }}"}
          - when: {result: {status: 200}}
            turns: [{say: "Posted {{ result.ts }}.", stop: pause_turn}]
          - when: {result_regex: "^queued"}
            turns: [{say: Queued.}]
      - {say: The end.}
"""
TOOLS = [tool("t"), tool("tidy")]
LIMIT = '{"error": {"code": "TIER_LIMIT_EXCEEDED", "message": "no"}}'


def conversation(sdk, question, *answers, **more):
    """Ask, then go on with the results of each answer; returns the last reply and the whole conversation."""
    history = [{"role": "user", "content": question}]
    reply = say(sdk, *history, **more)
    for answer in answers:
        history += [{"role": "assistant", "content": reply.content}]
        if answer is not None:
            history.append(results(reply, *answer) if isinstance(answer, tuple) else results(reply, answer))
        reply = say(sdk, *history, **more)
    return reply, history


def test_the_result_of_a_call_chooses_the_branch(emulate, client):
    sdk = client(emulate(BRANCHES))
    posted, _ = conversation(sdk, "post it", '{"status": 200, "ts": "7.1"}', tools=TOOLS)
    assert (posted.content[0].text, posted.stop_reason) == ("Posted 7.1.", "pause_turn")
    queued, _ = conversation(sdk, "post it", "queued as 4", tools=TOOLS)
    assert queued.content[0].text == "Queued."


def test_a_branch_chosen_earlier_stays_chosen_when_the_last_result_is_another(emulate, client):
    sdk = client(emulate(BRANCHES))
    first, _ = conversation(sdk, "post it", LIMIT, tools=TOOLS)
    assert [block.type for block in first.content] == ["text", "tool_use"]
    second, _ = conversation(sdk, "post it", LIMIT, '{"n": 3, "status": 200}', tools=TOOLS)
    assert second.content[0].text == "Tidied: 3"
    assert conversation(sdk, "post it", LIMIT, '{"n": 3, "status": 200}', tools=TOOLS)[0] == second


def test_after_a_branch_the_script_goes_on(emulate, client):
    emulated = emulate(BRANCHES)
    last, _ = conversation(client(emulated), "post it", '{"status": 200, "ts": "7"}', None, tools=TOOLS)
    assert (last.content[0].text, last.stop_reason) == ("The end.", "end_turn")
    assert emulated.last.response["script"] == ["model[0].turns[2]"]


def test_a_result_no_branch_wants_is_shown_with_every_branch(emulate, client):
    with pytest.raises(anthropic.BadRequestError) as caught:
        conversation(client(emulate(BRANCHES)), "post it", '{"status": 500}', tools=TOOLS)
    message = caught.value.body["error"]["message"]
    assert message == (
        'model[0].turns[1] has no branch for this conversation: the last call returned {"status": 500}. '
        "branches[0] (error: 'TIER_LIMIT_EXCEEDED'): error is TIER_LIMIT_EXCEEDED, the last call did not fail · "
        "branches[1] (result: {'status': 200}): result {\"status\": 200} is not in what the last call returned, "
        '{"status": 500} · '
        "branches[2] (result_regex: '^queued'): result_regex '^queued' finds nothing in '{\"status\": 500}'. "
        "Add a branch without when: at its end for the rest."
    )
    near = caught.value.body["error"]["details"]
    assert near["error_code"] == "unscripted"
    assert [item["rule"] for item in near["nearest"]] == [f"model[0].turns[1].branches[{n}]" for n in range(3)]


def test_a_connector_call_s_result_chooses_within_the_same_reply(emulate, client, mcp_server, entry):
    sdk = client(
        emulate(
            """
model:
  - turns:
      - call: {tool: refuse_json}
      - branches:
          - when: {error: MISSION_REQUIRED}
            turns: [{call: {tool: echo, input: {n: 1}}}, {say: "opened {{ result.n }}"}]
          - turns: [{say: fine}]
"""
        )
    )
    reply = connected(sdk, mcp_server, entry)
    assert [block.type for block in reply.content] == ["mcp_tool_use", "mcp_tool_result"] * 2 + ["text"]
    assert reply.content[-1].text == "opened 1"
    assert [name for name, _ in mcp_server.calls] == ["refuse_json", "echo"]


def connected(sdk, mcp_server, entry, *messages):
    return sdk.beta.messages.create(
        model=MODEL,
        max_tokens=64,
        messages=list(messages) or [{"role": "user", "content": "go"}],
        mcp_servers=[entry(mcp_server)],
        betas=["mcp-client-2025-04-04"],
    )


def test_a_rule_about_an_error_takes_over_and_ends_with_its_own_turns(emulate, client):
    emulated = emulate(
        """
model:
  - when: {error: TIER_LIMIT_EXCEEDED}
    turns: [{call: {tool: tidy}}, {say: I stop.}]
  - when: {user: post}
    turns: [{call: {tool: t}}, {call: {tool: t}}, {say: Done.}]
"""
    )
    sdk = client(emulated)
    assert conversation(sdk, "post", "1", "2", tools=TOOLS)[0].content[0].text == "Done."
    assert conversation(sdk, "post", "1", LIMIT, tools=TOOLS)[0].content[0].name == "tidy"
    assert conversation(sdk, "post", "1", LIMIT, "ok", tools=TOOLS)[0].content[0].text == "I stop."
    assert emulated.last.response["script"] == ["model[0].turns[1]"]


def test_rules_may_be_written_turn_by_turn(emulate, client):
    sdk = client(
        emulate(
            """
model:
  - {when: {user: sum, turn: 0}, turns: [{call: {tool: t}}]}
  - {when: {user: sum, turn: 1, result: {ok: true}}, turns: [{say: good}]}
  - {when: {user: sum, turn: 1, error: true}, turns: [{say: bad}]}
  - {when: {user: sum}, turns: [{say: rest}]}
"""
        )
    )
    assert conversation(sdk, "sum", '{"ok": true, "n": 1}', tools=TOOLS)[0].content[0].text == "good"
    assert conversation(sdk, "sum", LIMIT, tools=TOOLS)[0].content[0].text == "bad"
    assert conversation(sdk, "sum", '{"ok": 1}', tools=TOOLS)[0].content[0].text == "rest"


def test_a_script_that_goes_round_in_circles_is_stopped(emulate, client, mcp_server, entry):
    sdk = client(
        emulate(
            "model: [{when: {turn: 0}, turns: [{call: {tool: echo}}]}, {when: {error: false}, turns: [{call: {tool: echo}}]}]"
        )
    )
    with pytest.raises(anthropic.BadRequestError, match="would be turn 65 of one reply; the script goes round"):
        connected(sdk, mcp_server, entry)
    assert len(mcp_server.calls) == 64


def test_a_reply_paused_twice_goes_on_from_where_it_was(emulate, client):
    sdk = client(
        emulate(
            "model: [{turns: [{say: One., stop: pause_turn}, {say: Two., stop: pause_turn},"
            " {say: Three., call: {tool: t}}, {say: Four.}]}]"
        )
    )
    last, history = conversation(sdk, "go", None, None, "1", tools=TOOLS)
    assert last.content[0].text == "Four."
    merged = [block for message in history[1:-1] for block in message["content"]]
    as_one = [history[0], {"role": "assistant", "content": merged}, history[-1]]
    assert say(sdk, *as_one, tools=TOOLS).content[0].text == "Four."


def test_the_sdk_s_tool_runner_resumes_a_paused_reply(emulate, client):
    @beta_tool
    def t() -> str:
        """Nothing."""
        return "done"

    sdk = client(
        emulate("model: [{turns: [{say: One., stop: pause_turn}, {call: {tool: t}}, {say: 'It is {{ result }}.'}]}]")
    )
    runner = sdk.beta.messages.tool_runner(
        model=MODEL, max_tokens=64, tools=[t], messages=[{"role": "user", "content": "go"}]
    )
    assert [message.stop_reason for message in runner] == ["pause_turn", "tool_use", "end_turn"]


def test_a_pause_is_not_possible_while_the_client_has_to_act(emulate, client):
    emulated = emulate("model: [{turns: [{call: {tool: t}, stop: pause_turn}]}]")
    with pytest.raises(anthropic.BadRequestError, match=r"turns\[0\] pauses while the client has to run t"):
        say(client(emulated), "go", tools=TOOLS)


THINKING = "model: [{turns: [{think: 'Two {{ user }}s?', say: Hm., call: {tool: t}}, {think: Ah., redacted: true, say: Done.}]}]"


@pytest.mark.parametrize("config", [{"type": "enabled", "budget_tokens": 1024}, {"type": "adaptive"}])
def test_thinking_comes_first_with_a_signature_and_may_be_sent_back(emulate, client, config):
    sdk = client(emulate(THINKING))
    first = say(sdk, "go", tools=TOOLS, thinking=config, max_tokens=2048)
    assert [block.type for block in first.content] == ["thinking", "text", "tool_use"]
    assert first.content[0].thinking == "Two gos?"
    assert len(first.content[0].signature) == 128
    assert say(sdk, "go", tools=TOOLS, thinking=config, max_tokens=2048) == first
    last, _ = conversation(sdk, "go", "1", tools=TOOLS, thinking=config, max_tokens=2048)
    assert [block.type for block in last.content] == ["redacted_thinking", "text"]
    assert last.content[0].data
    assert last.content[1].text == "Done."


def test_thinking_is_streamed_in_deltas(emulate, client):
    sdk = client(emulate(THINKING))
    asked = {
        "model": MODEL,
        "max_tokens": 2048,
        "tools": TOOLS,
        "messages": [{"role": "user", "content": "go"}],
        "thinking": {"type": "adaptive"},
    }
    with sdk.messages.stream(**asked) as stream:
        kinds = {event.delta.type for event in stream if event.type == "content_block_delta"}
        message = stream.get_final_message()
    assert {"thinking_delta", "signature_delta"} <= kinds
    assert message.content[0] == sdk.messages.create(**asked).content[0]


def test_thinking_that_is_not_to_be_shown_has_its_signature_only(emulate, client):
    reply = say(client(emulate(THINKING)), "go", tools=TOOLS, thinking={"type": "adaptive", "display": "omitted"})
    assert (reply.content[0].type, reply.content[0].thinking) == ("thinking", "")
    assert reply.content[0].signature


@pytest.mark.parametrize("more", [{}, {"thinking": {"type": "disabled"}}])
def test_nobody_thinks_unasked(emulate, client, more):
    reply = say(client(emulate(THINKING)), "go", tools=TOOLS, **more)
    assert [block.type for block in reply.content] == ["text", "tool_use"]


def test_thinking_of_an_unknown_kind_is_refused(emulate, client):
    with pytest.raises(anthropic.BadRequestError, match="must be one of enabled, adaptive"):
        say(client(emulate(THINKING)), "go", thinking={"type": "deep"})


def test_a_refusal_has_details(emulate, client):
    yaml = "model: [{turns: [{say: I will not., refusal: {category: cyber, explanation: 'Not {{ user }}.'}}]}]"
    sdk = client(emulate(yaml))
    reply = say(sdk, "go")
    assert reply.stop_reason == "refusal"
    assert reply.stop_details.category == "cyber"
    assert reply.stop_details.explanation == "Not go."
    with sdk.messages.stream(model=MODEL, max_tokens=9, messages=[{"role": "user", "content": "go"}]) as stream:
        streamed = stream.get_final_message()
    assert (streamed.stop_reason, streamed.stop_details) == ("refusal", reply.stop_details)


def test_a_refusal_without_details_says_only_that(emulate, client):
    reply = say(client(emulate("model: [{turns: [{stop: refusal}]}]")), "go")
    assert reply.stop_details.to_dict() == {"type": "refusal", "category": None, "explanation": None}
    assert say(client(emulate("model: [{turns: [{say: Yes.}]}]")), "go").stop_details is None


def test_a_full_context_window_is_a_reason_to_stop(emulate, client):
    reply = say(client(emulate("model: [{turns: [{say: So, stop: model_context_window_exceeded}]}]")), "go")
    assert reply.stop_reason == "model_context_window_exceeded"


def test_a_turn_that_stops_at_max_tokens_is_cut_there(emulate, client):
    sdk = client(emulate(f"model: [{{turns: [{{say: {'abcd' * 9}, stop: max_tokens}}]}}]"))
    reply = say(sdk, "go", max_tokens=5)
    assert (reply.content[0].text, reply.stop_reason) == ("abcd" * 5, "max_tokens")
    assert reply.usage.output_tokens == 5


def test_text_ends_before_a_stop_sequence_of_the_request(emulate, client):
    sdk = client(emulate("model: [{turns: [{say: 'one END two STOP', call: {tool: t}}]}]"))
    reply = say(sdk, "go", tools=TOOLS, stop_sequences=["STOP", "END"])
    assert [block.type for block in reply.content] == ["text"]
    assert (reply.content[0].text, reply.stop_reason, reply.stop_sequence) == ("one ", "stop_sequence", "END")


def test_stopping_at_a_sequence_needs_one(emulate, client):
    emulated = emulate("model: [{turns: [{say: Half, stop: stop_sequence}]}]")
    with pytest.raises(anthropic.BadRequestError, match="stops at a stop sequence and the request has none"):
        say(client(emulated), "go")


SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
ASKED = {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}


def test_a_turn_may_say_json(emulate, client):
    sdk = client(emulate("model: [{turns: [{json: {city: '{{ user }}', n: [1]}}]}]"))
    assert json.loads(say(sdk, "Rome", **ASKED).content[0].text) == {"city": "Rome", "n": [1]}


class City(BaseModel):
    city: str
    kind: Literal["big", "small"]


def test_the_sdk_parses_structured_output(emulate, client):
    sdk = client(emulate("model: [{turns: [{json: {city: Rome, kind: big}}]}]"))
    parsed = sdk.messages.parse(
        model=MODEL, max_tokens=64, messages=[{"role": "user", "content": "go"}], output_format=City
    )
    assert parsed.parsed_output == City(city="Rome", kind="big")


@pytest.mark.parametrize(
    ("turn", "problem"),
    [
        (
            "{say: Rome}",
            "says 'Rome', and the request asks for JSON of a schema (output_config.format): this is not JSON",
        ),
        ("{json: {town: Rome}}", "'city' is a required property"),
        ("{json: {city: 7}}", "at city, 7 is not of type 'string'"),
    ],
)
def test_what_is_not_of_the_schema_is_explained(emulate, client, turn, problem):
    emulated = emulate(f"model: [{{turns: [{turn}]}}]")
    with pytest.raises(anthropic.BadRequestError) as caught:
        say(client(emulated), "go", **ASKED)
    assert problem in caught.value.body["error"]["message"]
    assert "Write the turn with json:" in caught.value.body["error"]["message"]
    assert emulated.last.problem == "unscripted"


TITLE = {
    "output_config": {"format": {"type": "json_schema", "schema": {"type": "object", "properties": {"title": {}}}}}
}


def test_a_script_may_answer_requests_for_a_title(emulate, client):
    sdk = client(emulate("model: [{turns: [{say: Hi.}]}, {when: {output: title}, turns: [{json: {title: Mine}}]}]"))
    assert say(sdk, "hello there", **TITLE).content[0].text == '{"title": "Mine"}'
    assert say(sdk, "hello there").content[0].text == "Hi."


def test_other_requests_for_a_title_are_still_answered_unscripted(emulate, client):
    sdk = client(emulate("model: [{turns: [{say: Hi.}]}, {when: {output: city}, turns: [{json: {city: Rome}}]}]"))
    assert say(sdk, "hello there", **TITLE).content[0].text == '{"title": "hello there"}'
    assert say(sdk, "hello there", **ASKED).content[0].text == '{"city": "Rome"}'


@pytest.mark.parametrize(
    ("when", "answers", "reason"),
    [
        ("turn: 2", ["1"], "turn is 2, the model has taken 1 since the last user text"),
        ("result: {a: 1}", [], "no call has returned anything yet"),
        ("result: {a: {b: [1]}}", ['{"a": {"b": [1, 2]}}'], "is not in what the last call returned"),
        ("error: NO", [], "error is NO, and no call has returned anything yet"),
        ("error: NO", [LIMIT], "error is NO, the last call failed with TIER_LIMIT_EXCEEDED"),
        ("error: false", [LIMIT], "error is none, the last call failed with TIER_LIMIT_EXCEEDED"),
        ("output: city", [], "output city is wanted, and the request asks for no JSON"),
    ],
)
def test_a_near_miss_names_what_is_different_about_the_point(emulate, client, when, answers, reason):
    emulated = emulate("")
    sdk = client(emulated)
    emulated.script = rules("{turns: [{call: {tool: t}}]}")
    _, history = conversation(sdk, "go", tools=TOOLS)
    if answers:
        first = say(sdk, "go", tools=TOOLS)
        history = [*history, {"role": "assistant", "content": first.content}, results(first, *answers)]
    emulated.script = rules(f"{{when: {{{when}}}, turns: [{{say: hi}}]}}")
    with pytest.raises(anthropic.BadRequestError) as caught:
        say(sdk, *history, tools=TOOLS)
    assert reason in caught.value.body["error"]["message"]


def rules(*written):
    from stack_emu.scenario.loader import loads

    return loads(f"stack_emu: 1\nmodel: [{', '.join(written)}]").model


def test_the_nearest_scripts_stand_side_by_side(emulate, client):
    sdk = client(
        emulate(
            "model: [{when: {user: deploy, tools: u}, turns: [{say: a}]}, {when: {user: deploys}, turns: [{say: b}]},"
            " {when: {system: x}, turns: [{say: c}]}]"
        )
    )
    with pytest.raises(anthropic.BadRequestError) as caught:
        say(sdk, "deploy", tools=TOOLS)
    assert caught.value.body["error"]["message"] == (
        "No scripted turn answers this conversation, whose last user text is 'deploy'. The nearest is model[0] "
        "(user: 'deploy', tools: u), which does not match: tools u not on offer (on offer: t, tidy). Then model[1] "
        "(user: 'deploys'): user 'deploys' is not in the last user text 'deploy' · model[2] (system: 'x'): system 'x' is "
        "not in the system prompt, which is empty."
    )


def test_the_journal_names_further_scripts_that_match(emulate, client):
    emulated = emulate(
        "model: [{when: {user: deploy}, turns: [{say: a}]}, {when: {user: now}, turns: [{say: b}]}, {turns: [{say: c}]}]"
    )
    sdk = client(emulated)
    say(sdk, "deploy now")
    assert emulated.last.response["also_matching"] == ["model[1]"]
    say(sdk, "deploy later")
    assert "also_matching" not in emulated.last.response
