"""MCP servers that fail, in each way a server can, streamed and not, in every generation of the connector."""

from __future__ import annotations

import anthropic
import pytest

from stack_emu.surfaces.connector import Connector
from tests.messages.asking import ECHO, LATEST, NEW, OLD, ask, toolset

pytestmark = [
    pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"]),
    pytest.mark.parametrize("beta", [OLD, NEW, LATEST]),
]


def call(tool):
    return f"model: [{{turns: [{{call: {{tool: {tool}}}}}, {{say: '{{{{ result.error.message }}}}'}}]}}]"


def asking(sdk, servers, beta, stream):
    tools = [] if beta == OLD else [toolset(server["name"]) for server in servers]
    return ask(sdk, servers, betas=[beta], tools=tools, stream=stream)


def refused(sdk, servers, beta, stream):
    with pytest.raises(anthropic.BadRequestError) as caught:
        asking(sdk, servers, beta, stream)
    assert caught.value.type == "invalid_request_error"
    return caught.value.message


def test_a_server_that_is_down_refuses_the_request(emulate, client, mcp_server, entry, unused_tcp_port, beta, stream):
    gone = {"type": "url", "url": f"http://127.0.0.1:{unused_tcp_port}/mcp", "name": "gone"}
    message = refused(client(emulate(ECHO)), [entry(mcp_server), gone], beta, stream)
    assert "the server gone cannot be used: nothing answers at http://127" in message
    assert mcp_server.calls == []


def test_a_server_that_says_nothing_is_given_up(emulate, client, silent_port, beta, stream):
    emulated = emulate(ECHO, connector=Connector(answer_seconds=0.2, connect_seconds=30))
    server = {"type": "url", "url": f"http://127.0.0.1:{silent_port}/mcp", "name": "silent"}
    assert "did not list its tools within 0.2 s" in refused(client(emulated), [server], beta, stream)


def test_a_list_that_takes_too_long_is_given_up(emulate, client, mcp_server, entry, beta, stream):
    mcp_server.trouble = "slow"
    emulated = emulate(ECHO, connector=Connector(answer_seconds=0.4))
    message = refused(client(emulated), [entry(mcp_server)], beta, stream)
    assert "the server stack cannot be used" in message
    assert "within 0.4 s" in message


def test_a_server_that_wants_another_bearer_refuses_the_request(emulate, client, mcp_server, entry, beta, stream):
    server = entry(mcp_server, authorization_token="not-the-right-one")
    message = refused(client(emulate(ECHO)), [server], beta, stream)
    assert "answered HTTP 401 and does not accept the authorization_token" in message
    assert "not-the-right-one" not in message


def test_a_list_that_fails_refuses_the_request(emulate, client, mcp_server, entry, beta, stream):
    mcp_server.trouble = "fails"
    message = refused(client(emulate(ECHO)), [entry(mcp_server)], beta, stream)
    assert "the server stack cannot be used" in message
    assert "answered MCP error" in message


@pytest.mark.parametrize(
    ("tool", "expected"),
    [
        ("fail", "it went wrong"),
        ("boom", "The MCP server stack could not run the call: "),
        ("cut", "broke the connection off"),
        ("slow", "did not answer within 0.5 s"),
    ],
)
def test_a_call_that_fails_is_an_error_result_and_the_model_goes_on(
    emulate, client, mcp_server, entry, tool, expected, beta, stream
):
    emulated = emulate(call(tool), connector=Connector(call_seconds=0.5 if tool == "slow" else None))
    message = asking(client(emulated), [entry(mcp_server)], beta, stream)
    *_, use, result, last = message.content
    assert (result.type, result.tool_use_id, result.is_error) == ("mcp_tool_result", use.id, True)
    assert expected in result.content[0].text
    assert last.text == result.content[0].text
    assert message.stop_reason == "end_turn"


def test_calls_after_one_that_was_broken_off_still_have_results(emulate, client, mcp_server, entry, beta, stream):
    script = "model: [{turns: [{call: {tool: cut}}, {call: {tool: cut}}, {say: on}]}]"
    message = asking(client(emulate(script)), [entry(mcp_server)], beta, stream)
    results = [block for block in message.content if block.type == "mcp_tool_result"]
    assert [result.is_error for result in results] == [True, True]
    assert message.content[-1].text == "on"


def test_a_server_that_fails_leaves_another_one_alone(emulate, client, mcp_server, entry, beta, stream):
    script = (
        "model: [{turns: [{call: {tool: cut, server: first}}, {call: {tool: echo, server: second, input: {n: 5}}},"
        " {say: 'got {{ result.n }}'}]}]"
    )
    servers = [entry(mcp_server, name="first"), entry(mcp_server, name="second")]
    message = asking(client(emulate(script)), servers, beta, stream)
    results = [block.is_error for block in message.content if block.type == "mcp_tool_result"]
    assert results == [True, False]
    assert message.content[-1].text == "got 5"


def test_two_servers_of_one_name_are_refused(emulate, client, mcp_server, entry, beta, stream):
    servers = [entry(mcp_server), entry(mcp_server)]
    assert "stack is used twice; names must be unique" in refused(client(emulate(ECHO)), servers, beta, stream)
    assert mcp_server.headers == []
