"""The hosted MCP tool: real servers are dialled, their tools listed and called, approvals asked for and honoured."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from tests.messages.conftest import TOKEN
from tests.openai.conftest import entries

SCRIPT = """
stack_emu: 1
model:
  - when: {user: twice}
    turns:
      - calls: [{tool: echo, input: {n: 1}}, {tool: echo, input: {n: 2}}]
      - call: {tool: echo, input: {n: 3}}
      - say: "{{ results | map(attribute='n') | join(',') }}"
  - when: {user: fail}
    turns: [{call: {tool: fail}}, {say: "{{ result.error.message }}"}]
  - when: {user: boom}
    turns: [{call: {tool: boom}}, {say: went on}]
  - when: {user: mixed}
    turns:
      - calls: [{tool: echo, input: {n: 1}}, {tool: plain}, {tool: local, input: {n: 2}}]
      - say: "{{ results | length }}: {{ results[0] }}"
  - when: {user: again}
    turns: [{say: Again.}]
"""
LOCAL = {"type": "function", "name": "local", "strict": False, "parameters": {"type": "object", "properties": {}}}


def calls(response: Any) -> list[Any]:
    return [item for item in response.output if item.type == "mcp_call"]


def test_calls_run_on_the_server(serve, sdk, mcp_server, hosted):
    served = serve(SCRIPT)
    made = sdk(served).responses.create(model="m", input="twice", tools=[hosted(mcp_server)])
    kinds = [item.type for item in made.output]
    assert kinds == ["mcp_list_tools", "mcp_call", "mcp_call", "mcp_call", "message"]
    assert made.output_text == "1,2,3"
    assert [arguments for _, arguments in mcp_server.calls] == [{"n": 1}, {"n": 2}, {"n": 3}]
    listed = made.output[0]
    assert {"echo", "fail"} <= {tool.name for tool in listed.tools}
    assert listed.tools[0].input_schema == {"type": "object", "properties": {}}
    assert json.loads(calls(made)[0].output) == {"n": 1}
    assert [call.status for call in calls(made)] == ["completed"] * 3
    assert TOKEN not in made.model_dump_json()
    assert TOKEN not in repr(entries(served)[-1])
    assert entries(served)[-1].request["mcp_servers"] == [{"name": "stack", "url": mcp_server.url}]


@pytest.mark.parametrize("held", [True, False])
def test_a_conversation_goes_on_after_calls(serve, sdk, mcp_server, hosted, held):
    client = sdk(serve(SCRIPT))
    tools = [hosted(mcp_server)]
    first = client.responses.create(model="m", input="twice", tools=tools)
    if held:
        again = client.responses.create(model="m", input="again", tools=tools, previous_response_id=first.id)
    else:
        items = [{"role": "user", "content": "twice"}, *first.output, {"role": "user", "content": "again"}]
        again = client.responses.create(model="m", input=items, tools=tools)
    assert [item.type for item in again.output] == ["message"]  # the tools are known, so they are not listed again
    assert again.output_text == "Again."


def test_the_events_of_calls(serve, sdk, mcp_server, hosted):
    events = list(
        sdk(serve(SCRIPT)).responses.create(model="m", input="twice", tools=[hosted(mcp_server)], stream=True)
    )
    assert [event.sequence_number for event in events] == list(range(len(events)))
    first_call = [event.type for event in events if getattr(event, "output_index", None) == 1]
    assert first_call == [
        "response.output_item.added",
        "response.mcp_call.in_progress",
        "response.mcp_call_arguments.delta",
        "response.mcp_call_arguments.done",
        "response.mcp_call.completed",
        "response.output_item.done",
    ]
    listing = [event.type for event in events if getattr(event, "output_index", None) == 0]
    assert listing[1:3] == ["response.mcp_list_tools.in_progress", "response.mcp_list_tools.completed"]
    assert events[-1].type == "response.completed"
    done = {event.output_index: event.item for event in events if event.type == "response.output_item.done"}
    assert [done[index] for index in sorted(done)] == events[-1].response.output


def test_a_tool_that_fails(serve, sdk, mcp_server, hosted):
    client = sdk(serve(SCRIPT))
    made = client.responses.create(model="m", input="fail", tools=[hosted(mcp_server)])
    [call] = calls(made)
    assert (call.status, call.output, call.error.type) == ("failed", None, "mcp_tool_execution_error")
    assert made.output_text == "it went wrong"
    events = list(client.responses.create(model="m", input="boom", tools=[hosted(mcp_server)], stream=True))
    assert "response.mcp_call.failed" in {event.type for event in events}
    [broken] = calls(events[-1].response)
    assert broken.status == "failed"
    assert events[-1].response.output_text == "went on"


@pytest.mark.parametrize("where", ["authorization", "headers"])
def test_credentials_reach_the_server_and_nothing_else(serve, sdk, mcp_server, hosted, where):
    bearer = {"authorization": TOKEN} if where == "authorization" else {"headers": {"Authorization": f"Bearer {TOKEN}"}}
    tool = {name: value for name, value in hosted(mcp_server).items() if name != "authorization"}
    if where == "headers":
        bearer["headers"]["X-Team"] = "blue"
    made = sdk(serve(SCRIPT)).responses.create(model="m", input="again", tools=[{**tool, **bearer}])
    assert {headers["authorization"] for headers in mcp_server.headers} == {f"Bearer {TOKEN}"}
    assert all((headers.get("x-team") == "blue") is (where == "headers") for headers in mcp_server.headers)
    shown = made.tools[0].model_dump()
    assert TOKEN not in json.dumps(shown)
    assert shown["server_url"].endswith("/<redacted>")


def test_only_allowed_tools_are_listed_and_called(serve, sdk, mcp_server, hosted):
    served = serve(SCRIPT)
    for allowed in (["plain", "echo"], {"tool_names": ["plain", "echo"]}):
        made = sdk(served).responses.create(model="m", input="again", tools=[hosted(mcp_server, allowed_tools=allowed)])
        assert {tool.name for tool in made.output[0].tools} == {"plain", "echo"}
    with pytest.raises(openai.BadRequestError, match="switched off on the MCP server stack"):
        sdk(served).responses.create(model="m", input="twice", tools=[hosted(mcp_server, allowed_tools=["plain"])])
    with pytest.raises(openai.BadRequestError, match="switched off"):
        sdk(served).responses.create(
            model="m", input="twice", tools=[hosted(mcp_server, allowed_tools={"read_only": True})]
        )
    assert mcp_server.calls == []


def approve(response: Any, approve: bool, **more: Any) -> list[dict[str, Any]]:
    return [
        {"type": "mcp_approval_response", "approval_request_id": item.id, "approve": approve, **more}
        for item in response.output
        if item.type == "mcp_approval_request"
    ]


@pytest.mark.parametrize("required", [None, "always", {"never": {"tool_names": ["plain"]}}])
def test_approval_is_asked_for_and_then_the_call_is_made(serve, sdk, mcp_server, hosted, required):
    client = sdk(serve(SCRIPT))
    tools = [hosted(mcp_server, require_approval=required)]
    made = client.responses.create(model="m", input="twice", tools=tools)
    assert [item.type for item in made.output] == ["mcp_list_tools", "mcp_approval_request", "mcp_approval_request"]
    assert mcp_server.calls == []
    asked = made.output[1]
    assert (asked.name, json.loads(asked.arguments), asked.server_label) == ("echo", {"n": 1}, "stack")
    second = client.responses.create(model="m", previous_response_id=made.id, input=approve(made, True), tools=tools)
    assert [item.type for item in second.output] == ["mcp_call", "mcp_call", "mcp_approval_request"]
    assert [call.approval_request_id for call in calls(second)] == [item.id for item in made.output[1:]]
    last = client.responses.create(model="m", previous_response_id=second.id, input=approve(second, True), tools=tools)
    assert last.output_text == "1,2,3"
    assert [arguments["n"] for _, arguments in mcp_server.calls] == [1, 2, 3]


def test_approvals_work_with_everything_sent_again(serve, sdk, mcp_server, hosted):
    client = sdk(serve(SCRIPT))
    tools = [hosted(mcp_server, require_approval="always")]
    items: list[Any] = [{"role": "user", "content": "twice"}]
    for _ in range(3):
        made = client.responses.create(model="m", input=items, tools=tools, store=False)
        items += [*made.output, *approve(made, True)]
    assert made.output_text == "1,2,3"


def test_a_call_that_is_not_approved_is_not_made(serve, sdk, mcp_server, hosted):
    client = sdk(serve(SCRIPT))
    tools = [hosted(mcp_server, require_approval="always")]
    made = client.responses.create(model="m", input="fail", tools=tools)
    denied = client.responses.create(
        model="m", previous_response_id=made.id, input=approve(made, False, reason="too risky"), tools=tools
    )
    assert denied.output_text == "The call was not approved: too risky"
    assert mcp_server.calls == []


def test_one_turn_of_an_open_call_an_approval_and_a_function(serve, sdk, mcp_server, hosted):
    client = sdk(serve(SCRIPT))
    tools = [hosted(mcp_server, require_approval={"never": {"tool_names": ["echo"]}}), LOCAL]
    made = client.responses.create(model="m", input="mixed", tools=tools)
    kinds = [item.type for item in made.output]
    assert kinds == ["mcp_list_tools", "mcp_call", "mcp_approval_request", "function_call"]
    answers = [
        {"type": "function_call_output", "call_id": made.output[3].call_id, "output": "two"},
        *approve(made, True),
    ]
    last = client.responses.create(model="m", previous_response_id=made.id, input=answers, tools=tools)
    assert [item.type for item in last.output] == ["mcp_call", "message"]
    assert last.output_text == "3: {'n': 1}"
    assert [name for name, _ in mcp_server.calls] == ["echo", "plain"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_server_that_cannot_be_used(serve, sdk, mcp_server, hosted, stream):
    served = serve(SCRIPT)
    with pytest.raises(openai.APIStatusError, match="answered HTTP 401") as caught:
        sdk(served).responses.create(
            model="m", input="twice", tools=[hosted(mcp_server, authorization="a-wrong-bearer")], stream=stream
        )
    assert (caught.value.status_code, caught.value.code) == (424, "http_error")
    assert caught.value.type == "external_connector_error"
    assert "a-wrong-bearer" not in str(caught.value)
    assert "a-wrong-bearer" not in repr(entries(served)[-1])


@pytest.mark.parametrize(
    ("change", "param", "why"),
    [
        ({"connector_id": "connector_gmail"}, "tools[0].connector_id", "server_url"),
        ({"server_url": None}, "tools[0].server_url", "required"),
        ({"server_url": "http://["}, "tools[0].server_url", "http or https"),
        ({"headers": {"X\n": "y"}}, "tools[0].headers", "text"),
        ({"server_url": "https://mcp.example.com/mcp"}, "tools", "cannot be reached"),
        ({"headers": {"Authorization": "Bearer x"}}, "tools[0].authorization", "send one of them"),
        ({"require_approval": "sometimes"}, "tools[0].require_approval", "always, never"),
        ({"allowed_tools": {"names": []}}, "tools[0].allowed_tools.names", "tool_names"),
        ({"colour": "red"}, "tools[0].colour", "no such parameter"),
    ],
)
def test_what_is_refused(serve, sdk, mcp_server, hosted, change, param, why):
    with pytest.raises(openai.BadRequestError, match=why) as caught:
        sdk(serve(SCRIPT)).responses.create(model="m", input="twice", tools=[hosted(mcp_server, **change)])
    assert caught.value.param == param
    assert mcp_server.calls == []


def test_two_servers_need_two_labels(serve, sdk, mcp_server, hosted):
    with pytest.raises(openai.BadRequestError, match="used twice"):
        sdk(serve(SCRIPT)).responses.create(model="m", input="twice", tools=[hosted(mcp_server)] * 2)
