"""Listings of the connector: fetched, pinned, and sent back (`mcp-client-2026-09-15`)."""

from __future__ import annotations

import anthropic
import pytest

from tests.messages.asking import ECHO, LATEST, NEW, OLD, ask, listed, toolset, user

BOTH_WAYS = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


def kinds(message):
    return [block.type for block in message.content]


@BOTH_WAYS
def test_a_listing_that_was_fetched_stands_in_front_of_the_reply(emulate, client, mcp_server, entry, stream):
    tools = [toolset(configs={"fail": {"enabled": False}})]
    message = ask(client(emulate(ECHO)), [entry(mcp_server)], tools=tools, stream=stream)
    assert kinds(message) == ["mcp_tool_listing", "text", "mcp_tool_use", "mcp_tool_result", "text"]
    listing = message.content[0]
    assert listing.mcp_server_name == "stack"
    names = [tool.name for tool in listing.tools]
    assert {"echo", "fail", "filler_00", "filler_23"} <= set(names)
    assert len(names) == len(set(names)) == 32
    assert listing.tools[0].to_dict() == {
        "name": "echo",
        "description": "echo",
        "input_schema": {"type": "object", "properties": {}},
    }


@pytest.mark.parametrize(("beta", "tools"), [(OLD, []), (NEW, [toolset()])])
def test_older_betas_carry_no_listing(emulate, client, mcp_server, entry, beta, tools):
    message = ask(client(emulate(ECHO)), [entry(mcp_server)], betas=[beta], tools=tools)
    assert kinds(message) == ["text", "mcp_tool_use", "mcp_tool_result", "text"]
    assert mcp_server.lists > 0


@pytest.mark.parametrize(("beta", "tools"), [(OLD, []), (NEW, [toolset()]), (LATEST, [toolset()])])
def test_a_stream_accumulates_to_the_whole_reply(emulate, client, mcp_server, entry, beta, tools):
    sdk = client(emulate(ECHO))
    # One request is streamed, which is part of its body: ids differ between the two, and nothing else does.
    whole, streamed = (
        ask(sdk, [entry(mcp_server)], betas=[beta], tools=tools, stream=stream).to_dict() for stream in (False, True)
    )
    for message in (whole, streamed):
        ids = {block["id"] for block in message["content"] if "id" in block}
        assert ids == {block["tool_use_id"] for block in message["content"] if "tool_use_id" in block}
        message.pop("id")
        for block in message["content"]:
            block.pop("id", None)
            block.pop("tool_use_id", None)
    assert streamed["content"] == whole["content"]
    assert (
        streamed["usage"].items()
        >= {name: value for name, value in whole["usage"].items() if value is not None}.items()
    )
    for message in (whole, streamed):
        message.pop("usage")
    assert {name: value for name, value in streamed.items() if value is not None} == {
        name: value for name, value in whole.items() if value is not None
    }


@BOTH_WAYS
def test_a_listing_sent_back_spares_the_server_the_question(emulate, client, mcp_server, entry, stream):
    script = (
        "model: [{when: {user: first}, turns: [{say: hello}]},"
        " {when: {user: second}, turns: [{call: {tool: echo, input: {n: 2}}}, {say: 'got {{ result.n }}'}]}]"
    )
    sdk = client(emulate(script))
    asked = {"servers": [entry(mcp_server)], "tools": [toolset()], "stream": stream}
    first = ask(sdk, messages=[user("first")], **asked)
    assert kinds(first) == ["mcp_tool_listing", "text"]
    seen, mcp_server.trouble = mcp_server.lists, "fails"
    history = [user("first"), {"role": "assistant", "content": first.content}, user("second")]
    second = ask(sdk, messages=history, **asked)
    assert kinds(second) == ["mcp_tool_use", "mcp_tool_result", "text"]
    assert second.content[-1].text == "got 2"
    assert (mcp_server.lists, mcp_server.calls) == (seen, [("echo", {"n": 2})])


def test_a_listing_of_another_server_does_not_stand_in(emulate, client, mcp_server, entry):
    told = {"type": "mcp_tool_listing", "mcp_server_name": "other", "tools": listed("echo")}
    history = [user("a"), {"role": "assistant", "content": [told, {"type": "text", "text": "b"}]}, user("c")]
    message = ask(client(emulate(ECHO)), [entry(mcp_server)], tools=[toolset()], messages=history)
    assert message.content[0].mcp_server_name == "stack"
    assert mcp_server.lists > 0


def test_only_servers_that_were_asked_are_listed(emulate, client, mcp_server, entry):
    servers = [entry(mcp_server), entry(mcp_server, name="other")]
    tools = [toolset(tools=listed("echo")), toolset("other", default_config={"enabled": False})]
    message = ask(client(emulate(ECHO)), servers, tools=tools)
    assert [block.mcp_server_name for block in message.content if block.type == "mcp_tool_listing"] == ["other"]
    assert message.content[2].server_name == "stack"


@BOTH_WAYS
def test_a_pinned_listing_is_all_there_is_and_nobody_is_asked(emulate, client, mcp_server, entry, stream):
    sdk = client(emulate(ECHO))
    servers = [entry(mcp_server)]
    message = ask(sdk, servers, tools=[toolset(tools=listed("echo", "plain"))], stream=stream)
    assert kinds(message) == ["text", "mcp_tool_use", "mcp_tool_result", "text"]
    assert message.content[-1].text == "got 1"
    with pytest.raises(anthropic.BadRequestError, match="calls echo, which nothing in the request offers"):
        ask(sdk, servers, tools=[toolset(tools=listed("plain"))], stream=stream)
    assert (mcp_server.lists, mcp_server.calls) == (0, [("echo", {"n": 1})])


@pytest.mark.parametrize(
    ("more", "allowed"),
    [
        ({"default_config": {"enabled": False}}, False),
        ({"configs": {"echo": {"enabled": False}}}, False),
        ({"default_config": {"enabled": False}, "configs": {"echo": {"enabled": True}}}, True),
    ],
)
def test_configuration_applies_to_a_pinned_listing(emulate, client, mcp_server, entry, more, allowed):
    sdk = client(emulate(ECHO))
    tools = [toolset(tools=listed("echo"), **more)]
    if allowed:
        assert ask(sdk, [entry(mcp_server)], tools=tools).stop_reason == "end_turn"
        return
    with pytest.raises(anthropic.BadRequestError, match="echo, which the request has switched off"):
        ask(sdk, [entry(mcp_server)], tools=tools)


def test_a_pinned_listing_comes_before_one_in_the_conversation_and_the_last_of_those_counts(
    emulate, client, mcp_server, entry
):
    def said(*names):
        block = {"type": "mcp_tool_listing", "mcp_server_name": "stack", "tools": listed(*names)}
        return [user("x"), {"role": "assistant", "content": [block, {"type": "text", "text": "y"}]}]

    sdk = client(emulate(ECHO))
    servers = [entry(mcp_server)]
    history = [*said("plain"), *said("echo"), user("z")]
    assert ask(sdk, servers, tools=[toolset()], messages=history).stop_reason == "end_turn"
    for tools, messages in (
        ([toolset()], [*said("echo"), *said("plain"), user("z")]),
        ([toolset(tools=listed("plain"))], history),
    ):
        with pytest.raises(anthropic.BadRequestError, match="nearest: plain"):
            ask(sdk, servers, tools=tools, messages=messages)
    assert mcp_server.lists == 0


def test_a_server_whose_tools_are_known_is_dialled_for_its_first_call_only(emulate, client, unused_tcp_port):
    server = {"type": "url", "url": f"http://127.0.0.1:{unused_tcp_port}/mcp", "name": "stack"}
    tools = [toolset(tools=listed("echo"))]
    assert ask(client(emulate("model: [{turns: [{say: hello}]}]")), [server], tools=tools).content[0].text == "hello"
    script = "model: [{turns: [{call: {tool: echo}}, {say: '{{ result.error.message }}'}]}]"
    message = ask(client(emulate(script)), [server], tools=tools)
    assert message.content[1].is_error is True
    assert "The MCP server stack could not run the call: nothing answers at http://127" in message.content[-1].text


def test_a_pinned_tool_the_server_does_not_have_is_an_error_result(emulate, client, mcp_server, entry):
    script = "model: [{turns: [{call: {tool: long_gone}}, {say: on}]}]"
    message = ask(client(emulate(script)), [entry(mcp_server)], tools=[toolset(tools=listed("long_gone"))])
    assert message.content[1].is_error is True
    assert message.content[-1].text == "on"


@pytest.mark.parametrize(
    ("tools", "expected"),
    [
        ("echo", "tools: must be a list of tools with name and input_schema"),
        (["echo"], "tools.0: must be an object"),
        ([{"input_schema": {}}], "tools.0.name: must be the tool's name"),
        ([{"name": "echo"}], "tools.0.input_schema: must be the JSON Schema"),
        ([{"name": "echo", "input_schema": {}, "description": 1}], "tools.0.description: must be text"),
        ([{"name": "echo", "inputSchema": {}}], "did you mean input_schema?"),
        (listed("echo", "echo"), "tools.1.name: echo is listed twice"),
    ],
)
@pytest.mark.parametrize("where", ["pinned", "sent back"])
def test_a_listing_that_is_wrong_is_refused_by_name(emulate, client, mcp_server, entry, tools, expected, where):
    history, pinned = None, {"tools": tools}
    if where == "sent back":
        block = {"type": "mcp_tool_listing", "mcp_server_name": "stack", "tools": tools}
        history, pinned = [user("x"), {"role": "assistant", "content": [block]}, user("y")], {}
    with pytest.raises(anthropic.BadRequestError) as caught:
        ask(client(emulate(ECHO)), [entry(mcp_server)], tools=[toolset(**pinned)], messages=history)
    assert expected in caught.value.message
    assert mcp_server.headers == []


def test_a_listing_sent_back_needs_its_beta(emulate, client, mcp_server, entry):
    block = {"type": "mcp_tool_listing", "mcp_server_name": "stack", "tools": listed("echo")}
    history = [user("x"), {"role": "assistant", "content": [block]}, user("y")]
    with pytest.raises(anthropic.BadRequestError, match=f"mcp_tool_listing needs the header anthropic-beta: {LATEST}"):
        ask(client(emulate(ECHO)), [entry(mcp_server)], betas=[NEW], tools=[toolset()], messages=history)


@pytest.mark.parametrize("search", ["tool_search_tool_bm25", "tool_search_tool_regex_20251119"])
def test_deferred_tools_are_called_without_a_search(emulate, client, mcp_server, entry, search):
    tools = [
        {"type": search, "name": search.removesuffix("_20251119")},
        toolset(default_config={"defer_loading": True}, configs={"plain": {"defer_loading": False}}),
    ]
    message = ask(client(emulate(ECHO)), [entry(mcp_server)], betas=[NEW], tools=tools)
    assert kinds(message) == ["text", "mcp_tool_use", "mcp_tool_result", "text"]
