"""The MCP connector, driven by the real SDK against real MCP servers."""

from __future__ import annotations

import json

import anthropic
import pytest

from stack_emu.surfaces.connector import Connector, is_loopback, shown_url

OLD = "mcp-client-2025-04-04"
NEW = "mcp-client-2025-11-20"
LATEST = "mcp-client-2026-09-15"
MODEL = "claude-opus-5-5"

ECHO = """
model:
  - when: {user: deploy started}
    turns:
      - say: Posting it.
        call: {tool: echo, input: {channel: "#engineering", ts: "1.5", nested: {count: 3}}}
      - say: "Done: {{ result.ts }} in {{ result.channel }}, {{ result.nested.count + 1 }}"
"""


def ask(sdk, mcp_servers, *, betas=(OLD,), text="deploy started", **more):
    return sdk.beta.messages.create(
        model=MODEL,
        max_tokens=100,
        messages=[{"role": "user", "content": text}],
        mcp_servers=mcp_servers,
        betas=list(betas),
        **more,
    )


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_scripted_call_runs_on_every_kind_of_mcp_server(emulate, client, any_mcp, entry, mode):
    emulated = emulate(ECHO, connector=Connector(mode=mode))
    any_mcp.calls.clear()
    message = ask(client(emulated), [entry(any_mcp)])
    assert [block.type for block in message.content] == ["text", "mcp_tool_use", "mcp_tool_result", "text"]
    _, use, result, last = message.content
    assert (use.name, use.server_name, use.input["channel"]) == ("echo", "stack", "#engineering")
    assert (result.tool_use_id, result.is_error) == (use.id, False)
    assert json.loads(result.content[0].text) == use.input
    assert last.text == "Done: 1.5 in #engineering, 4"
    assert message.stop_reason == "end_turn"
    assert any_mcp.calls == [("echo", use.input)]


def test_the_newer_beta_runs_the_same_through_a_toolset(emulate, client, mcp_server, entry):
    message = ask(
        client(emulate(ECHO)),
        [entry(mcp_server)],
        betas=[NEW],
        tools=[{"type": "mcp_toolset", "mcp_server_name": "stack"}],
    )
    assert message.content[-1].text.startswith("Done: 1.5")


def test_the_beta_may_come_as_a_plain_header(emulate, client, mcp_server, entry):
    message = client(emulate(ECHO)).beta.messages.create(
        model=MODEL,
        max_tokens=100,
        messages=[{"role": "user", "content": "deploy started"}],
        mcp_servers=[entry(mcp_server)],
        extra_headers={"anthropic-beta": OLD},
    )
    assert message.content[1].type == "mcp_tool_use"


async def _ask_async(base_url, server):
    async with anthropic.AsyncAnthropic(base_url=base_url, api_key="k", max_retries=0) as sdk:
        return await sdk.beta.messages.create(
            model=MODEL,
            max_tokens=100,
            messages=[{"role": "user", "content": "deploy started"}],
            mcp_servers=[server],
            betas=[OLD],
        )


def test_the_async_client_gets_the_same_message(emulate, client, mcp_server, entry):
    import asyncio

    emulated = emulate(ECHO)
    same = ask(client(emulated), [entry(mcp_server)])
    assert asyncio.run(_ask_async(emulated.base_url, entry(mcp_server))) == same


def test_a_stream_carries_the_same_blocks_as_the_whole_reply(emulate, client, mcp_server, entry):
    sdk = client(emulate(ECHO))
    with sdk.beta.messages.stream(
        model=MODEL,
        max_tokens=100,
        messages=[{"role": "user", "content": "deploy started"}],
        mcp_servers=[entry(mcp_server)],
        betas=[OLD],
    ) as stream:
        kinds = {event.type for event in stream}
        streamed = stream.get_final_message()
    whole = ask(sdk, [entry(mcp_server)])
    assert [block.type for block in streamed.content] == [block.type for block in whole.content]
    assert streamed.content[1].input == whole.content[1].input
    assert streamed.content[2].content == whole.content[2].content
    assert streamed.content[-1].text == whole.content[-1].text
    assert {"message_start", "content_block_start", "content_block_delta", "message_delta", "message_stop"} <= kinds


def test_every_page_of_tools_is_listed(emulate, client, mcp_server, entry):
    emulated = emulate("model: [{turns: [{call: {tool: filler_23}}, {say: found}]}]")
    message = ask(client(emulated), [entry(mcp_server)])
    assert message.content[0].name == "filler_23"
    assert mcp_server.calls == [("filler_23", {})]


@pytest.mark.parametrize(
    ("tool", "say", "expected"),
    [
        ("plain", "{{ result }}", "just words"),
        ("fail", "{{ result.error.message }}", "it went wrong"),
        ("refuse_json", "{{ result.error.code }}", "MISSION_REQUIRED"),
    ],
)
def test_templates_see_what_a_tool_returned(emulate, client, mcp_server, entry, tool, say, expected):
    emulated = emulate(f"model: [{{turns: [{{call: {{tool: {tool}}}}}, {{say: '{say}'}}]}}]")
    message = ask(client(emulated), [entry(mcp_server)])
    assert message.content[-1].text == expected
    assert message.content[1].is_error is (tool != "plain")


def test_a_tool_that_breaks_is_an_error_result_and_the_model_goes_on(emulate, client, mcp_server, entry):
    message = ask(client(emulate("model: [{turns: [{call: {tool: boom}}, {say: never mind}]}]")), [entry(mcp_server)])
    assert message.content[1].is_error is True
    assert message.content[-1].text == "never mind"


def test_content_that_is_not_text_is_named_in_the_result(emulate, client, mcp_server, entry):
    message = ask(client(emulate("model: [{turns: [{call: {tool: many}}, {say: ok}]}]")), [entry(mcp_server)])
    assert [block.text for block in message.content[1].content] == [
        "one",
        "[image content left out: tool results carry text only]",
    ]


def test_parallel_calls_stand_before_their_results_and_are_one_turn(emulate, client, mcp_server, entry):
    emulated = emulate(
        "model: [{turns: [{calls: [{tool: echo, input: {n: 1}}, {tool: echo, input: {n: 2}}]},"
        " {say: '{{ results[0].n }} and {{ results[1].n }}'}, {say: too far}]}]"
    )
    message = ask(client(emulated), [entry(mcp_server)])
    kinds = [block.type for block in message.content]
    assert kinds == ["mcp_tool_use", "mcp_tool_use", "mcp_tool_result", "mcp_tool_result", "text"]
    assert message.content[-1].text == "1 and 2"


def test_two_servers_with_the_same_tool_need_a_name(emulate, client, mcp_server, entry):
    servers = [entry(mcp_server), entry(mcp_server, name="other")]
    emulated = emulate("model: [{turns: [{call: {tool: echo}}, {say: ok}]}]")
    with pytest.raises(anthropic.BadRequestError, match=r"several MCP servers offer \(stack, other\); name one"):
        ask(client(emulated), servers)
    emulated = emulate("model: [{turns: [{call: {tool: echo, server: other}}, {say: ok}]}]")
    assert ask(client(emulated), servers).content[0].server_name == "other"


def test_a_tool_the_server_does_not_offer_is_refused_with_the_nearest(emulate, client, mcp_server, entry):
    emulated = emulate("model: [{turns: [{call: {tool: ecko}}, {say: ok}]}]")
    with pytest.raises(anthropic.BadRequestError, match=r"model\[0\].turns\[0\] calls ecko, .*nearest: echo"):
        ask(client(emulated), [entry(mcp_server)])
    assert emulated.last.problem == "unscripted"
    assert "nearest: echo" in emulated.last.hint


@pytest.mark.parametrize(
    "configuration",
    [{"enabled": False}, {"allowed_tools": ["plain"]}, {"enabled": True, "allowed_tools": []}],
)
def test_tool_configuration_switches_tools_off(emulate, client, mcp_server, entry, configuration):
    server = entry(mcp_server, tool_configuration=configuration)
    with pytest.raises(
        anthropic.BadRequestError, match="echo, which the request has switched off on the MCP server stack"
    ):
        ask(client(emulate(ECHO)), [server])
    assert mcp_server.calls == []


def test_tool_configuration_lets_allowed_tools_through(emulate, client, mcp_server, entry):
    server = entry(mcp_server, tool_configuration={"enabled": True, "allowed_tools": ["echo"]})
    assert ask(client(emulate(ECHO)), [server]).stop_reason == "end_turn"


@pytest.mark.parametrize(
    ("toolset", "allowed"),
    [
        ({"default_config": {"enabled": False}}, False),
        ({"default_config": {"enabled": False}, "configs": {"echo": {"enabled": True}}}, True),
        ({"configs": {"echo": {"enabled": False}}}, False),
        ({"configs": {"nowhere": {"enabled": True, "defer_loading": True}}}, True),
        ({"default_config": {"enabled": False}, "configs": {"echo": {"defer_loading": True}}}, False),
    ],
)
def test_a_toolset_says_which_tools_are_enabled(emulate, client, mcp_server, entry, toolset, allowed):
    tools = [{"type": "mcp_toolset", "mcp_server_name": "stack", **toolset}]
    sdk = client(emulate(ECHO))
    if allowed:
        assert ask(sdk, [entry(mcp_server)], betas=[NEW], tools=tools).stop_reason == "end_turn"
        return
    with pytest.raises(anthropic.BadRequestError, match="switched off"):
        ask(sdk, [entry(mcp_server)], betas=[NEW], tools=tools)


def toolset(name):
    return {"type": "mcp_toolset", "mcp_server_name": name}


@pytest.mark.parametrize(
    ("betas", "tools", "expected"),
    [
        ([NEW], [], "server stack is named by no mcp_toolset"),
        ([NEW], [toolset("stack"), toolset("stack")], "two mcp_toolset entries name the server stack"),
        ([NEW], [toolset("slack")], "names the server 'slack', which is not in mcp_servers"),
        ([OLD], [toolset("stack")], f"mcp_toolset needs the header anthropic-beta: {NEW}"),
        ([], [], f"mcp_servers: needs the header anthropic-beta: {NEW}"),
        ([LATEST], [], "server stack is named by no mcp_toolset"),
        ([LATEST], [toolset("stack"), toolset("stack")], "two mcp_toolset entries name the server stack"),
        ([LATEST], [toolset("slack")], "names the server 'slack', which is not in mcp_servers"),
        ([OLD, NEW], [toolset("stack")], f"{OLD} and {NEW} are generations of one feature"),
        ([OLD, NEW], [toolset("stack")], f"send one of them, for example {NEW}, which this request is written for"),
        ([OLD, LATEST], [], f"send one of them, for example {OLD}, which this request is written for"),
        ([NEW, LATEST], [toolset("stack")], f"{NEW} and {LATEST} are generations of one feature"),
        ([], [], f"(or {LATEST} or {OLD})"),
        ([], [toolset("stack")], f"mcp_servers: needs the header anthropic-beta: {NEW}"),
        ([NEW, "mcp-tunnels-2026-06-22"], [toolset("stack")], "mcp-tunnels-2026-06-22 is not served here; name the"),
        (
            [NEW],
            [{**toolset("stack"), "tools": [{"name": "echo", "input_schema": {}}]}],
            f"a pinned listing needs the header anthropic-beta: {LATEST}",
        ),
        ([NEW], [{**toolset("stack"), "default_config": {"defer_loading": 1}}], "must be true or false"),
        ([NEW], [{**toolset("stack"), "colour": 1}], "colour: the Messages API has no such field"),
    ],
)
def test_servers_and_toolsets_must_fit_together(emulate, client, mcp_server, entry, betas, tools, expected):
    with pytest.raises(anthropic.BadRequestError) as caught:
        ask(client(emulate(ECHO)), [entry(mcp_server)], betas=betas, tools=tools)
    assert expected in caught.value.message
    assert mcp_server.headers == []


def test_the_older_configuration_is_refused_with_the_newer_beta(emulate, client, mcp_server, entry):
    server = entry(mcp_server, tool_configuration={"enabled": True})
    with pytest.raises(anthropic.BadRequestError, match="tool_configuration: belongs to mcp-client-2025-04-04"):
        ask(client(emulate(ECHO)), [server], betas=[NEW], tools=[toolset("stack")])


@pytest.mark.parametrize(
    "url", ["https://mcp.example.com/mcp", "http://user:hunter2secret@10.0.0.1/mcp?token=hunter2secret"]
)
def test_a_url_outside_this_machine_is_refused_by_name(emulate, client, url):
    with pytest.raises(anthropic.BadRequestError) as caught:
        ask(client(emulate(ECHO)), [{"type": "url", "url": url, "name": "far", "authorization_token": TOKEN_SHOWN}])
    assert caught.value.type == "invalid_request_error"
    assert "cannot be reached from this emulator; use https://mcp.getstack.run/mcp" in caught.value.message
    assert shown_url(url) in caught.value.message
    assert "hunter2secret" not in caught.value.message
    assert TOKEN_SHOWN not in caught.value.message


TOKEN_SHOWN = "a-token-that-must-not-be-shown"


def test_stack_s_own_url_is_dialled_where_the_world_says(emulate, client, mcp_server, entry):
    emulated = emulate(
        ECHO, resolve_mcp=lambda _, url: mcp_server.url if url == "https://mcp.getstack.run/mcp" else None
    )
    message = ask(client(emulated), [entry(mcp_server, url="https://mcp.getstack.run/mcp")])
    assert message.content[-1].text.startswith("Done")


def test_a_server_nobody_runs_is_named_with_the_reason(emulate, client, unused_tcp_port):
    server = {"type": "url", "url": f"http://127.0.0.1:{unused_tcp_port}/mcp", "name": "gone"}
    with pytest.raises(
        anthropic.BadRequestError, match="the server gone cannot be used: nothing answers at http://127"
    ):
        ask(client(emulate(ECHO)), [server])


@pytest.mark.parametrize("token", [None, "not-the-right-token"])
@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_refused_bearer_is_named_and_never_shown(emulate, client, mcp_server, entry, token, mode):
    server = entry(mcp_server)
    server.pop("authorization_token")
    if token:
        server["authorization_token"] = token
    emulated = emulate(ECHO, connector=Connector(mode=mode))
    with pytest.raises(anthropic.BadRequestError) as caught:
        ask(client(emulated), [server])
    assert "answered HTTP 401 and" in caught.value.message
    assert ("does not accept the authorization_token" in caught.value.message) is (token is not None)
    assert token is None or token not in caught.value.message
    assert "not-the-right-token" not in repr(emulated.entries())


def test_something_that_is_no_mcp_server_is_named(emulate, client, entry, mcp_server):
    emulated = emulate(ECHO)
    server = entry(mcp_server, url=emulated.base_url + "/v1/nowhere")
    with pytest.raises(anthropic.BadRequestError, match="answered HTTP 404, which is no MCP server's answer"):
        ask(client(emulated), [server])


def test_a_server_that_never_answers_is_given_up(emulate, client, silent_port):
    emulated = emulate(ECHO, connector=Connector(answer_seconds=0.2, connect_seconds=0.5))
    server = {"type": "url", "url": f"http://127.0.0.1:{silent_port}/mcp", "name": "slow"}
    with pytest.raises(
        anthropic.BadRequestError, match=r"the server slow cannot be used: .* did not list its tools within 0.2 s"
    ):
        ask(client(emulated), [server])


def test_one_unusable_server_closes_the_others(emulate, client, mcp_server, entry, unused_tcp_port):
    gone = {"type": "url", "url": f"http://127.0.0.1:{unused_tcp_port}/mcp", "name": "gone"}
    with pytest.raises(anthropic.BadRequestError, match="the server gone cannot be used"):
        ask(client(emulate(ECHO)), [entry(mcp_server), gone])
    assert mcp_server.calls == []


def test_the_lane_a_client_names_travels_with_its_mcp_calls(emulate, client, mcp_server, entry):
    ask(client(emulate(ECHO)), [entry(mcp_server)], extra_headers={"X-Stack-Emu-Lane": "left"})
    assert {headers.get("x-stack-emu-lane") for headers in mcp_server.headers} == {"left"}


def test_sessions_are_ended_when_the_reply_is_done(emulate, client, any_mcp, entry):
    any_mcp.headers.clear()
    ask(client(emulate(ECHO, connector=Connector(mode="legacy"))), [entry(any_mcp)])
    sessions = {headers["mcp-session-id"] for headers in any_mcp.headers if "mcp-session-id" in headers}
    ended = {headers["mcp-session-id"] for headers in any_mcp.headers if headers[":method"] == "DELETE"}
    assert ended == sessions


def test_proxy_settings_of_the_environment_do_not_touch_the_connector(emulate, client, mcp_server, entry, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    sdk = client(emulate(ECHO))
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.delenv("no_proxy")
    assert ask(sdk, [entry(mcp_server)]).stop_reason == "end_turn"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:80/mcp", True),
        ("https://localhost/mcp", True),
        ("http://[::1]:9/mcp", True),
        ("http://127.0.0.1.example.com/mcp", False),
        ("http://10.0.0.1/mcp", False),
        ("ftp://127.0.0.1/", False),
        ("mcp", False),
    ],
)
def test_only_this_machine_is_loopback(url, expected):
    assert is_loopback(url) is expected
