"""What a request may hold: every field of the SDK is in a table, everything else is refused by name."""

from __future__ import annotations

import json
from typing import Any, get_args

import anthropic.types.beta as sdk_types
import httpx
import pytest
from anthropic.types.beta import message_count_tokens_params, message_create_params

from stack_emu.surfaces import messages_fields as fields

HEADERS = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
NOT_IN_BODY = {"betas", "user_profile_id", "workspace_id"}
SCRIPT = "model: [{turns: [{say: ok}]}]"


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(*blocks: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def text(value: Any = "hi", **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": value, **more}


def use(call_id: str = "toolu_1", **more: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": "t", "input": {}, **more}


def result(call_id: str = "toolu_1", **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call_id, "content": "1", **more}


def mcp_use(call_id: str = "mcptoolu_1", **more: Any) -> dict[str, Any]:
    return {"type": "mcp_tool_use", "id": call_id, "name": "t", "server_name": "s", "input": {}, **more}


def mcp_result(call_id: str = "mcptoolu_1", **more: Any) -> dict[str, Any]:
    return {"type": "mcp_tool_result", "tool_use_id": call_id, "content": [text("1")], "is_error": False, **more}


def body(**more: Any) -> dict[str, Any]:
    return {"model": "claude-opus-5-5", "max_tokens": 9, "messages": [user("hi")], **more}


def send(emulated: Any, request: Any, *, beta: str = "", path: str = "/v1/messages") -> httpx.Response:
    headers = {**HEADERS, **({"anthropic-beta": beta} if beta else {})}
    return httpx.post(emulated.base_url + path, json=request, headers=headers, trust_env=False)


def test_every_field_of_the_sdk_is_in_a_table():
    base = message_create_params.MessageCreateParamsBase.__annotations__.keys() - NOT_IN_BODY
    assert base - fields.CREATE - fields.NOT_SERVED.keys() == {"thread"}
    assert {"stream"} <= fields.CREATE
    counted = message_count_tokens_params.MessageCountTokensParams.__annotations__.keys() - NOT_IN_BODY
    assert counted - fields.COUNT_TOKENS - fields.NOT_SERVED.keys() == set()


def test_every_block_of_the_sdk_is_in_a_table_with_its_fields():
    known = {}
    for kind in get_args(sdk_types.BetaContentBlockParam):
        if not isinstance(kind, type) or not kind.__name__.endswith("Param"):
            continue
        name = str(kind.__annotations__["type"]).split("Literal['")[-1].split("'")[0]
        known[name] = set(kind.__annotations__)
    assert known.keys() == fields.BLOCK.keys()
    assert {name: known[name] - fields.BLOCK[name] for name in fields.BLOCK} == {name: set() for name in fields.BLOCK}


@pytest.mark.parametrize(
    ("kind", "table"),
    [
        ("BetaToolParam", fields.TOOL),
        ("BetaMCPToolsetParam", fields.TOOLSET),
        ("BetaMCPToolParamParam", fields.LISTED_TOOL),
        ("BetaMCPToolConfigParam", fields.TOOLSET_CONFIG),
        ("BetaRequestMCPServerURLDefinitionParam", fields.SERVER),
        ("BetaRequestMCPServerToolConfigurationParam", fields.TOOL_CONFIGURATION),
        ("BetaOutputConfigParam", fields.OUTPUT_CONFIG),
        ("BetaSystemMessageParam", fields.MESSAGE["system"]),
    ],
)
def test_nested_tables_have_the_sdk_s_fields(kind, table):
    assert set(getattr(sdk_types, kind).__annotations__) == set(table)


def test_every_accepted_field_has_a_reason_and_an_origin():
    assert all(entry.reason and entry.since for entry in fields.ACCEPTED.values())


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ([], "The body must be a JSON object"),
        ({}, "model: this field is required."),
        ({"model": "m"}, "max_tokens: this field is required."),
        ({"model": "m", "max_tokens": 1}, "messages: this field is required."),
        (body(model=1), "model: must be the name of a model"),
        (body(max_tokens=-1), "max_tokens: must be a whole number"),
        (body(max_tokens=True), "max_tokens: must be a whole number"),
        (body(max_tokens="9"), "max_tokens: must be a whole number"),
        (body(stream="yes"), "stream: must be true or false."),
        (body(colour=1), "colour: the Messages API has no such field; remove it."),
        (body(mesages=[]), "mesages: the Messages API has no such field; did you mean messages?"),
        (body(tempreature=None), "tempreature: the Messages API has no such field; did you mean temperature?"),
        (body(container="c"), "container: the Messages API has this field, this emulator does not serve it"),
        (body(system=3), "system: must be text or a list"),
        (body(system=[{"type": "image"}]), "system.0: must be a text block"),
        (body(system=[text(colour=1)]), "system.0.colour: the Messages API has no such field"),
        (body(stop_sequences=" "), "stop_sequences: must be a list"),
        (body(stop_sequences=[" "]), "stop_sequences: must be a list"),
        (body(output_config=1), "output_config: must be an object"),
        (body(output_config={"effort": "low", "forma": 1}), "output_config.forma: the Messages API has no such field"),
        (body(output_config={"format": {"type": "xml"}}), "output_config.format: must be"),
        (body(tool_choice={"type": "maybe"}), "tool_choice.type: must be one of auto, any, tool, none."),
        (body(tool_choice={"type": "tool", "name": "t"}), "tool_choice.name: 't' is not among the request's tools."),
        (body(tools={}), "tools: must be a list"),
        (body(tools=[{"name": "t"}]), "tools.0.input_schema: must be a JSON Schema"),
        (body(tools=[{"name": "a b", "input_schema": {"type": "object"}}]), "tools.0.name: must be 1 to 128 letters"),
        (body(tools=[{"name": "t", "input_schema": {"type": "object"}}] * 2), "t is defined twice"),
        (body(tools=[{"type": "magic", "name": "t"}]), "tools.0.type: 'magic' is no tool type"),
        (
            body(tools=[{"name": "t", "input_schema": {"type": "object"}, "colour": 1}]),
            "tools.0.colour: the Messages API has no such field",
        ),
        (body(messages=[]), "messages: must be a list with at least one message."),
        (body(messages=[{"role": "robot", "content": "x"}]), "messages.0.role: must be user, assistant or system."),
        (body(messages=["x"]), "messages.0.role: must be user, assistant or system."),
        (body(messages=[user(3)]), "messages.0.content: must be text or a list"),
        (body(messages=[user("")]), "messages.0.content: must not be empty."),
        (body(messages=[{**user("x"), "name": "me"}]), "messages.0.name: the Messages API has no such field"),
        (body(messages=[assistant(text())]), 'messages: the first message must have "role": "user".'),
        (body(messages=[{"role": "system", "content": "x"}]), 'messages: the first message must have "role": "user".'),
        (body(messages=[user([text("")])]), "messages.0.content.0.text: must be text that is not empty."),
        (
            body(messages=[user([{"type": "txt"}])]),
            "messages.0.content.0.type: 'txt' is no content block; did you mean text?",
        ),
        (body(messages=[user([text(colour=1)])]), "messages.0.content.0.colour: the Messages API has no such field"),
        (body(messages=[user([use()])]), "a tool_use block cannot stand in a message of role user."),
        (
            body(messages=[user("x"), assistant(result())]),
            "a tool_result block cannot stand in a message of role assistant.",
        ),
        (
            body(messages=[user([result()])]),
            "messages: tool_result for toolu_1 has no tool_use in the assistant message",
        ),
        (
            body(messages=[user("x"), assistant(use()), user("y")]),
            "messages: tool_use toolu_1 has no tool_result in the user",
        ),
        (body(messages=[user("x"), assistant(use())]), "messages: tool_use toolu_1 has no tool_result; send one"),
        (
            body(messages=[user("x"), assistant(use(), use()), user([result()])]),
            "two tool_use blocks have the id toolu_1",
        ),
        (
            body(messages=[user("x"), assistant(use(input="{}")), user([result()])]),
            "content.0.input: must be an object.",
        ),
        (body(messages=[user("x"), assistant(mcp_use()), user("y")]), "mcp_tool_use mcptoolu_1 has no mcp_tool_result"),
        (
            body(messages=[user("x"), assistant(mcp_result()), user("y")]),
            "mcp_tool_result for mcptoolu_1 has no mcp_tool_use",
        ),
        (
            body(messages=[user("x"), assistant(mcp_use(), mcp_result(content=[{"type": "image"}])), user("y")]),
            "the result of an MCP call holds text blocks only.",
        ),
        (
            body(messages=[user([{"type": "mcp_tool_listing"}])]),
            "a mcp_tool_listing block cannot stand in a message of role user",
        ),
        (body(mcp_servers=[{"type": "url"}]), "mcp_servers: needs the header anthropic-beta: mcp-client-2025-11-20"),
        (body(thread={"type": "create"}), "thread: needs the header anthropic-beta: message-threads-2026-08-12."),
    ],
)
def test_what_is_wrong_is_said_by_name(emulate, request_, expected):
    emulated = emulate(SCRIPT)
    reply = send(emulated, request_)
    assert reply.status_code == 400
    error = reply.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert expected in error["message"]
    assert emulated.last.status == 400
    unknown = "has no such field" in expected or "does not serve" in expected or "mcp_servers: needs" in expected
    assert (emulated.last.problem == "unknown_field") is unknown


@pytest.mark.parametrize(
    ("servers", "expected"),
    [
        ("x", "mcp_servers: must be a list of servers."),
        (["x"], "mcp_servers.0: must be an object"),
        ([{"type": "sse", "url": "u", "name": "n"}], 'mcp_servers.0.type: must be "url".'),
        ([{"type": "url", "name": "n"}], "mcp_servers.0.url: must be text that is not empty."),
        (
            [{"type": "url", "url": "u", "name": "n", "token": "x"}],
            "mcp_servers.0.token: the Messages API has no such field",
        ),
        (
            [{"type": "url", "url": "u", "name": "n", "authorization_token": "a\nb"}],
            "authorization_token: must be text",
        ),
        ([{"type": "url", "url": "u", "name": "n", "tool_configuration": 1}], "tool_configuration: must be an object"),
        (
            [{"type": "url", "url": "u", "name": "n", "tool_configuration": {"enabled": 1}}],
            "enabled: must be true or false.",
        ),
        (
            [{"type": "url", "url": "u", "name": "n", "tool_configuration": {"allowed_tools": "x"}}],
            "must be a list of tool",
        ),
        ([{"type": "url", "url": "u", "name": "n"}] * 2, "mcp_servers.1.name: n is used twice; names must be unique."),
    ],
)
def test_what_is_wrong_with_a_server_is_said_by_name(emulate, servers, expected):
    reply = send(emulate(SCRIPT), body(mcp_servers=servers), beta="mcp-client-2025-04-04")
    assert reply.status_code == 400
    assert expected in reply.json()["error"]["message"]


@pytest.mark.parametrize("name", sorted(fields.ACCEPTED))
def test_accepted_fields_pass_without_effect(emulate, name):
    reply = send(emulate(SCRIPT), body(**{name: {"any": "thing"}}))
    assert reply.json()["content"][0]["text"] == "ok"


def test_null_is_the_same_as_absent(emulate):
    reply = send(
        emulate(SCRIPT), body(system=None, tools=None, mcp_servers=None, stop_sequences=None, tool_choice=None)
    )
    assert reply.status_code == 200


def test_counting_has_fewer_fields(emulate):
    emulated = emulate()
    counted = {"model": "m", "messages": [user("hi")]}
    assert send(emulated, counted, path="/v1/messages/count_tokens").status_code == 200
    reply = send(emulated, {**counted, "max_tokens": 1}, path="/v1/messages/count_tokens")
    assert "max_tokens: the Messages API has no such field" in reply.json()["error"]["message"]


@pytest.mark.parametrize(
    "messages",
    [
        [user("a"), user("b")],
        [user("a"), assistant(text()), assistant(text()), user("b")],
        [user("a"), assistant(use("1")), assistant(use("2")), user([result("1")]), user([result("2"), text()])],
        [user("a"), assistant(use()), {"role": "system", "content": "now"}, user([result(content=None), text()])],
        [user("a"), assistant({"type": "thinking", "thinking": "hm", "signature": "s"}, text()), user("b")],
        [user([{"type": "image", "source": {"type": "url", "url": "https://x"}}, text()])],
        [user("a"), assistant(mcp_use(), mcp_result()), user("b")],
        [user("a"), assistant(mcp_use(), mcp_result(content="1"))],
        [user("a"), {"role": "assistant", "content": ""}],
        [{"role": "system", "content": "first"}, user("a")],
        [user("a"), assistant(use()), user([result(content=[text(), {"type": "image", "source": {}}])]), user("go on")],
    ],
)
def test_conversations_anthropic_accepts_are_accepted(emulate, messages):
    reply = send(emulate("model: [{turns: [{say: a}, {say: b}, {say: c}]}]"), body(messages=messages))
    assert reply.status_code == 200, reply.text


CLI_BETAS = (
    "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27,per-turn-control-2026-07-01,"
    "mid-conversation-tool-changes-2026-07-01,thinking-token-count-2026-05-13,effort-2025-11-24"
)


def cli_body(**more: Any) -> dict[str, Any]:
    """The shape of a request of the Claude command line 2.1.330."""
    tools = [
        {"name": name, "description": "x" * 2000, "input_schema": {"type": "object", "properties": {}}}
        for name in ("Agent", "Bash", "Edit", "ToolSearch")
    ]
    return {
        "model": "claude-opus-5-5",
        "max_tokens": 128000,
        "stream": True,
        "thinking": {"type": "adaptive", "display": "updates"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "output_config": {"effort": "high"},
        "metadata": {"user_id": "user_x"},
        "system": [text("x-anthropic-billing-header: cc"), text("You are", cache_control={"type": "ephemeral"})],
        "messages": [
            user([text("<system-reminder>be careful</system-reminder>"), text("list my agents")]),
            {"role": "system", "content": [text("You may use tools.")]},
        ],
        "tools": tools,
        **more,
    }


def test_the_body_of_the_claude_command_line_is_accepted_and_its_betas_are_noted(emulate):
    emulated = emulate(
        "model: [{when: {user: list my agents}, turns: [{call: {tool: stack_list_agents}}, {say: done}]}]"
    )
    reply = send(emulated, cli_body(), beta=CLI_BETAS, path="/v1/messages?beta=true")
    assert reply.status_code == 200
    assert '"name": "mcp__stack__stack_list_agents"' in reply.text
    unread = [name for name in CLI_BETAS.split(",") if name != fields.BETA_TOOL_CHANGES]
    assert emulated.last.unread == tuple(f"anthropic-beta:{name}" for name in unread)
    assert emulated.last.problem is None
    assert emulated.last.path == "/v1/messages"


def test_the_second_request_of_the_claude_command_line_gets_the_second_turn(emulate):
    script = "model: [{turns: [{call: {tool: stack_list_agents}}, {say: 'n: {{ result.n }}'}]}]"
    first = cli_body()
    messages = [
        *first["messages"],
        assistant(use(name="mcp__stack__stack_list_agents")),
        user([result(content=[text('{"n": 2}')]), text("<system-reminder>later</system-reminder>")]),
    ]
    reply = send(emulate(script), cli_body(messages=messages, stream=False), beta=CLI_BETAS)
    assert reply.json()["content"] == [{"type": "text", "text": "n: 2"}]


def test_the_title_request_of_the_claude_command_line_takes_no_turn(emulate):
    schema = {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]}
    title = cli_body(
        messages=[user("list my agents")],
        tools=[],
        output_config={"format": {"type": "json_schema", "schema": schema}, "effort": "low"},
        stream=False,
    )
    emulated = emulate("model: [{when: {user: list my agents}, turns: [{say: first}]}]")
    assert json.loads(send(emulated, title).json()["content"][0]["text"]) == {"title": "list my agents"}
    assert send(emulated, cli_body(stream=False)).json()["content"][0]["text"] == "first"
