"""Tools that come and go within a conversation, MCP toolsets among them (`inline-tools-2026-09-15`)."""

from __future__ import annotations

import anthropic
import pytest
from anthropic import beta_tool

from tests.messages.asking import CHANGES, ECHO, INLINE, LATEST, MODEL, NEW, ask, listed, toolset, user

INLINE_TOOLSET = {"type": "tool_definition", "definition": toolset()}
ECHO_TOOL = {"type": "mcp_tool_reference", "server_name": "stack", "name": "echo"}
WHOLE_TOOLSET = {"type": "mcp_toolset_reference", "server_name": "stack"}
OWN = {"name": "lookup", "input_schema": {"type": "object", "properties": {}}}
OWN_REFERENCE = {"type": "tool_reference", "name": "lookup"}


def add(tool):
    return {"type": "tool_addition", "tool": tool}


def remove(tool):
    return {"type": "tool_removal", "tool": tool}


def changed(*blocks):
    """A conversation in which these blocks stand in a system message after the user's."""
    return [user("deploy started"), {"role": "system", "content": list(blocks)}]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_toolset_may_stand_in_the_conversation(emulate, client, mcp_server, entry, stream):
    message = ask(
        client(emulate(ECHO)),
        [entry(mcp_server)],
        betas=[LATEST, INLINE],
        messages=changed(add(INLINE_TOOLSET)),
        stream=stream,
    )
    assert [block.type for block in message.content][:3] == ["mcp_tool_listing", "text", "mcp_tool_use"]
    assert message.content[-1].text == "got 1"


def test_a_toolset_in_the_conversation_replaces_the_one_before_it(emulate, client, mcp_server, entry):
    sdk = client(emulate(ECHO))
    pinned = add({"type": "tool_definition", "definition": toolset(tools=listed("plain"))})
    more = {"tools": [toolset()], "betas": [LATEST, INLINE]}
    with pytest.raises(anthropic.BadRequestError, match="nearest: plain"):
        ask(sdk, [entry(mcp_server)], messages=changed(pinned), **more)
    again = changed(remove(WHOLE_TOOLSET), pinned, add(INLINE_TOOLSET))
    assert ask(sdk, [entry(mcp_server)], messages=again, **more).stop_reason == "end_turn"


@pytest.mark.parametrize(
    ("blocks", "offered"),
    [
        ([remove(ECHO_TOOL)], False),
        ([remove(WHOLE_TOOLSET)], False),
        ([remove({**ECHO_TOOL, "name": "plain"})], True),
        ([remove(ECHO_TOOL), add(ECHO_TOOL)], True),
        ([remove(WHOLE_TOOLSET), add(ECHO_TOOL)], True),
        ([remove(ECHO_TOOL), add(WHOLE_TOOLSET)], True),
        ([add(WHOLE_TOOLSET), remove(ECHO_TOOL)], False),
    ],
)
@pytest.mark.parametrize("betas", [[NEW, CHANGES], [LATEST, CHANGES], [LATEST, INLINE]])
def test_mcp_tools_are_taken_away_and_given_back(emulate, client, mcp_server, entry, blocks, offered, betas):
    sdk = client(emulate(ECHO))
    more = {"tools": [toolset()], "betas": betas, "messages": changed(*blocks)}
    if offered:
        assert ask(sdk, [entry(mcp_server)], **more).stop_reason == "end_turn"
        return
    with pytest.raises(anthropic.BadRequestError, match="echo, which the request has switched off"):
        ask(sdk, [entry(mcp_server)], **more)
    assert mcp_server.calls == []


def test_giving_a_tool_back_does_not_switch_on_what_the_configuration_switches_off(emulate, client, mcp_server, entry):
    tools = [toolset(configs={"echo": {"enabled": False}})]
    with pytest.raises(anthropic.BadRequestError, match="echo, which the request has switched off"):
        ask(
            client(emulate(ECHO)),
            [entry(mcp_server)],
            tools=tools,
            betas=[LATEST, CHANGES],
            messages=changed(add(ECHO_TOOL)),
        )


@pytest.mark.parametrize(
    ("tools", "blocks", "offered"),
    [
        ([], [add({"type": "tool_definition", "definition": OWN})], True),
        ([OWN], [remove(OWN_REFERENCE)], False),
        ([OWN], [remove(OWN_REFERENCE), add(OWN_REFERENCE)], True),
        ([], [add({"type": "tool_definition", "definition": OWN}), remove(OWN_REFERENCE)], False),
    ],
)
def test_the_client_s_own_tools_come_and_go(emulate, client, tools, blocks, offered):
    sdk = client(emulate("model: [{turns: [{call: {tool: lookup}}]}]"))
    if offered:
        message = ask(sdk, [], tools=tools, betas=[INLINE], messages=changed(*blocks))
        assert (message.content[0].type, message.content[0].name) == ("tool_use", "lookup")
        return
    with pytest.raises(anthropic.BadRequestError, match="calls lookup, which the request does not offer"):
        ask(sdk, [], tools=tools, betas=[INLINE], messages=changed(*blocks))


def test_the_changes_of_a_compaction_block_count(emulate, client, mcp_server, entry):
    compaction = {"type": "compaction", "content": "what was said", "tool_changes": [remove(ECHO_TOOL)]}
    history = [user("x"), {"role": "assistant", "content": [compaction]}, user("y")]
    with pytest.raises(anthropic.BadRequestError, match="echo, which the request has switched off"):
        ask(
            client(emulate(ECHO)),
            [entry(mcp_server)],
            tools=[toolset()],
            betas=[LATEST, CHANGES],
            messages=history,
        )


def test_the_sdk_s_runner_adds_and_removes_tools(emulate, client):
    script = "model: [{turns: [{call: {tool: first}}, {call: {tool: second}}, {call: {tool: first}}]}]"

    @beta_tool
    def first() -> str:
        """The first tool."""
        return "one"

    @beta_tool
    def second() -> str:
        """The second tool."""
        return "two"

    runner = client(emulate(script)).beta.messages.tool_runner(
        model=MODEL, max_tokens=100, messages=[user("go")], tools=[first], betas=[INLINE]
    )
    called = []
    with pytest.raises(anthropic.BadRequestError, match="calls first, which nothing in the request offers"):
        for message in runner:
            called += [block.name for block in message.content]
            if called == ["first"]:
                runner.add_tools(second)
            else:
                runner.remove_tools(first)
    assert called == ["first", "second"]


@pytest.mark.parametrize(
    ("betas", "blocks", "expected"),
    [
        ([LATEST], [add(INLINE_TOOLSET)], f"a tool_definition needs the header anthropic-beta: {INLINE}"),
        ([LATEST, CHANGES], [add(INLINE_TOOLSET)], f"a tool_definition needs the header anthropic-beta: {INLINE}"),
        (
            [NEW, INLINE],
            [add(INLINE_TOOLSET)],
            f"an mcp_toolset in the conversation needs the header anthropic-beta: {LATEST}",
        ),
        ([LATEST], [remove(ECHO_TOOL)], f"a change of tools needs the header anthropic-beta: {CHANGES} (or {INLINE})"),
        ([LATEST, INLINE], [remove(INLINE_TOOLSET)], "a tool_removal refers to a tool"),
        ([LATEST, INLINE], [add({"type": "tool"})], "tool.type: must be one of tool_reference, mcp_tool_reference"),
        ([LATEST, INLINE], [add(OWN_REFERENCE)], "no tool lookup stands in tools or earlier in messages"),
        ([LATEST, INLINE], [add({"type": "tool_reference"})], "tool.name: must be text that is not empty"),
        ([LATEST, INLINE], [remove({**ECHO_TOOL, "server_name": "slack"})], "no mcp_toolset of the server slack"),
        ([LATEST, INLINE], [remove({**ECHO_TOOL, "server": "slack"})], "did you mean server_name?"),
        ([LATEST, INLINE], [add({"type": "tool_definition"})], "definition: must be a tool"),
        (
            [LATEST, INLINE],
            [add({"type": "tool_definition", "definition": {"name": "x"}})],
            "input_schema: must be a JSON",
        ),
        (
            [LATEST, INLINE],
            [add({"type": "tool_definition", "definition": toolset("slack")})],
            "names the server 'slack'",
        ),
    ],
)
def test_a_change_that_is_wrong_is_refused_by_name(emulate, client, mcp_server, entry, betas, blocks, expected):
    with pytest.raises(anthropic.BadRequestError) as caught:
        ask(client(emulate(ECHO)), [entry(mcp_server)], tools=[toolset()], betas=betas, messages=changed(*blocks))
    assert expected in caught.value.message
    assert mcp_server.headers == []


@pytest.mark.parametrize("role", ["user", "assistant"])
def test_changes_stand_in_system_messages_only(emulate, client, mcp_server, entry, role):
    messages = [user("x"), {"role": role, "content": [remove(ECHO_TOOL)]}, user("y")]
    with pytest.raises(anthropic.BadRequestError, match=f"tool_removal block cannot stand in a message of role {role}"):
        ask(
            client(emulate(ECHO)),
            [entry(mcp_server)],
            tools=[toolset()],
            betas=[LATEST, CHANGES],
            messages=messages,
        )
