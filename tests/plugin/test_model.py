"""A function as the model, and what the model answered as rules that answer the same again."""

from __future__ import annotations

import pytest

from tests.plugin.test_fixture import run

pytest_plugins = ["pytester"]

AGENT = '''
import json
from pathlib import Path
import pytest
import yaml

QUESTIONS = ["post hello", "post to nowhere", "what is {{ this }}?"]

def model(asked):
    if asked.user.startswith("what"):
        return f"You said {asked.user}"
    if asked.turn == 0:
        channel = "C_NONE" if "nowhere" in asked.user else asked_channel
        body = {"channel": channel, "text": asked.user}
        url = "https://slack.com/api/chat.postMessage"
        return {"say": "Posting.", "call": {"tool": "stack_proxy_request",
                "input": {"service": "slack", "method": "POST", "url": url, "body": body}}}
    assert asked.messages[0]["role"] == "user" and asked.tools and asked["max_tokens"] == 99
    if asked.turn == 1 and not asked.result["body"]["ok"]:
        return {"say": asked.result["body"]["error"], "refusal": {"category": "cyber"}}
    return {"json": {"ok": asked.result["body"]["ok"], "turn": asked.turn}}

asked_channel = "general"

def agent(stack_emu):
    """Ask every question over the connector; returns what was said."""
    bearer = stack_emu.passport("clerk", services=["slack"])
    sdk = stack_emu.anthropic()
    said = []
    for question in QUESTIONS:
        reply = sdk.beta.messages.create(
            model="claude-opus-5-5", max_tokens=99, messages=[{"role": "user", "content": question}],
            mcp_servers=[{"type": "url", "name": "stack", "url": "https://mcp.getstack.run/mcp",
                          "authorization_token": bearer}],
            betas=["mcp-client-2025-04-04"],
        )
        said.append([reply.stop_reason, [block.text for block in reply.content if block.type == "text"]])
    return said
'''


def test_what_a_function_answered_is_answered_again_by_the_exported_rules(project: pytest.Pytester) -> None:
    run(
        project,
        AGENT
        + """
@pytest.mark.stack_emu(scenario="shop.yaml")
def test_with_the_function(stack_emu):
    stack_emu.model.script(model)
    said = agent(stack_emu)
    assert said[1][0] == "refusal" and said[2] == ["end_turn", ["You said what is {{ this }}?"]]
    exported = yaml.safe_load(stack_emu.model.export("model.yaml"))
    assert Path("model.yaml").read_text() == stack_emu.model.export()
    assert [rule["when"]["user"] for rule in exported["model"]] == ["what is {{ this }}?", "post to nowhere", "post hello"]
    shop = yaml.safe_load(Path("shop.yaml").read_text())
    Path("again.yaml").write_text(yaml.safe_dump({**shop, **exported}, sort_keys=False))
    Path("first.json").write_text(json.dumps([said, stack_emu.audit.canonical().decode()]))

@pytest.mark.stack_emu(scenario="again.yaml")
def test_without_it(stack_emu):
    said = agent(stack_emu)
    assert [said, stack_emu.audit.canonical().decode()] == json.loads(Path("first.json").read_text())
""",
        passed=2,
    )


def test_results_that_led_to_different_answers_become_branches(project: pytest.Pytester) -> None:
    run(
        project,
        """
import json
from pathlib import Path
import pytest
import yaml

TOOL = {"name": "weather", "input_schema": {"type": "object"}}

def ask(stack_emu, *messages, **more):
    return stack_emu.anthropic().messages.create(
        model=more.pop("model", "claude-opus-5-5"), max_tokens=99, tools=[TOOL], messages=list(messages), **more)

def converse(stack_emu, result):
    question = {"role": "user", "content": "weather"}
    call = ask(stack_emu, question)
    back = {"role": "assistant", "content": call.content}
    results = {"type": "tool_result", "tool_use_id": call.content[-1].id, "content": result}
    return ask(stack_emu, question, back, {"role": "user", "content": [results]}).content[0].text

def forecaster(asked):
    if asked.user == "who":
        return f"I am {asked.model}, {asked.system}"
    return f"It is {asked.result}" if asked.turn else {"call": {"tool": "weather"}}

def everything(stack_emu):
    who = {"role": "user", "content": "who"}
    return [
        converse(stack_emu, '{"t": 1}'), converse(stack_emu, '{"t": 1, "wind": 2}'), converse(stack_emu, "fog"),
        ask(stack_emu, who, model="claude-a", system="kind").content[0].text,
        ask(stack_emu, who, model="claude-b", system="kind").content[0].text,
    ]

@pytest.mark.stack_emu(scenario="shop.yaml")
def test_with_the_function(stack_emu):
    stack_emu.model.script(forecaster)
    said = everything(stack_emu)
    assert len(set(said)) == 5
    exported = yaml.safe_load(stack_emu.model.export())
    assert [rule["when"] for rule in exported["model"]] == [
        {"user": "weather"}, {"user": "who", "model": "claude-a"}, {"user": "who", "model": "claude-b"}]
    branches = exported["model"][0]["turns"][1]["branches"]
    assert [branch["when"]["result"] for branch in branches] == [{"t": 1, "wind": 2}, {"t": 1}, "fog"]
    shop = yaml.safe_load(Path("shop.yaml").read_text())
    Path("again.yaml").write_text(yaml.safe_dump({**shop, **exported}, sort_keys=False))
    Path("first.json").write_text(json.dumps(said))
    stack_emu.reset()
    assert yaml.safe_load(stack_emu.model.export()) == {"model": []}

@pytest.mark.stack_emu(scenario="again.yaml")
def test_without_it(stack_emu):
    assert everything(stack_emu) == json.loads(Path("first.json").read_text())
""",
        passed=2,
    )


def test_a_function_may_give_text_a_turn_or_the_whole_script(project: pytest.Pytester) -> None:
    run(
        project,
        """
import anthropic
import pytest

def ask(stack_emu, text, **more):
    return stack_emu.anthropic().messages.create(
        model="claude-opus-5-5", max_tokens=10, messages=[{"role": "user", "content": text}], **more)

TITLE = {"type": "object", "properties": {"title": {"type": "string"}}}

def model(asked):
    assert asked.output is None
    return {"text": "Text.", "list": ["One.", {"say": "Two."}], "bad": 7, "turn": {"sya": "x"}}.get(asked.user)

@pytest.mark.stack_emu(scenario="shop.yaml", strict=False)
def test_forms(stack_emu):
    stack_emu.model.script(model)
    assert ask(stack_emu, "text").content[0].text == "Text."
    assert ask(stack_emu, "list").content[0].text == "One."
    assert ask(stack_emu, "hello").content[0].text == "Hello to you."
    title = ask(stack_emu, "hello", output_config={"format": {"type": "json_schema", "schema": TITLE}})
    assert title.content[0].text == '{"title": "hello"}'
    for wrong in ("bad", "turn"):
        with pytest.raises(anthropic.BadRequestError, match="returns a turn such as .*, a text, a list of turns, or None"):
            ask(stack_emu, wrong)
    with pytest.raises(anthropic.BadRequestError, match=r"model\\[0\\] \\(user: 'hello'\\)"):
        ask(stack_emu, "neither")
""",
        passed=1,
    )


def test_no_secret_stands_in_what_is_exported(project: pytest.Pytester) -> None:
    run(
        project,
        """
import pytest

@pytest.mark.stack_emu(scenario="shop.yaml", strict=False)
def test_secret(stack_emu):
    secret = stack_emu.api_key
    stack_emu.model.script(lambda asked: f"It is {secret}.")
    reply = stack_emu.anthropic().messages.create(
        model="claude-opus-5-5", max_tokens=10, messages=[{"role": "user", "content": f"is it {secret}?"}])
    assert reply.content[0].text == "It is <secret:key:0>."
    exported = stack_emu.model.export()
    assert secret not in exported and "<secret:" in exported or "<" in exported
    assert secret not in exported
""",
        passed=1,
    )
