"""What is refused about a reply's length, chance and thinking, about tools and about the order of blocks."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

HEADERS = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
SCRIPT = "model: [{turns: [{say: one}, {say: two}, {say: three}]}]"
ENABLED = {"type": "enabled", "budget_tokens": 1024}
TOOL = {"name": "t", "input_schema": {"type": "object"}}
USE = {"type": "tool_use", "id": "toolu_1", "name": "t", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "1"}
TEXT = {"type": "text", "text": "go on"}


def user(content: Any = "hi") -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content}


def send(emulated: Any, *, beta: str = "", path: str = "/v1/messages", **more: Any) -> httpx.Response:
    body = {"model": "claude-opus-5-5", "max_tokens": 2048, "messages": [user()], **more}
    headers = {**HEADERS, **({"anthropic-beta": beta} if beta else {})}
    return httpx.post(emulated.base_url + path, json=body, headers=headers, trust_env=False)


def schema(**more: Any) -> dict[str, Any]:
    return {"tools": [{"name": "t", "input_schema": {"type": "object", **more}}]}


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"max_tokens": -1}, "max_tokens: must be a whole number of at least 1, or 0 for no reply."),
    ({"max_tokens": 1.5}, "max_tokens: must be a whole number of at least 1"),
    ({"max_tokens": 128_001}, "max_tokens: 128001 is more than the 128000 tokens claude-opus-5-5 writes at most."),
    ({"temperature": 1.01}, "temperature: must be a number from 0 to 1."),
    ({"temperature": -0.1}, "temperature: must be a number from 0 to 1."),
    ({"temperature": "warm"}, "temperature: must be a number from 0 to 1."),
    ({"temperature": True}, "temperature: must be a number from 0 to 1."),
    ({"top_p": 2}, "top_p: must be a number from 0 to 1."),
    ({"top_k": -1}, "top_k: must be a whole number of at least 0."),
    ({"top_k": 1.5}, "top_k: must be a whole number of at least 0."),
    ({"thinking": "hard"}, "thinking.type: must be one of enabled, adaptive, between_tools, disabled."),
    ({"thinking": {"type": "deep"}}, "thinking.type: must be one of enabled"),
    ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens: must be a whole number of at least 1024."),
    ({"thinking": {**ENABLED, "budget_tokens": 1023}}, "thinking.budget_tokens: must be a whole number of at least"),
    ({"thinking": {**ENABLED, "budget": 1}}, "thinking.budget: the Messages API has no such field; did you mean"),
    ({"thinking": {"type": "adaptive", "budget_tokens": 2000}}, 'thinking.budget_tokens: goes with "type": "enabled"'),
    ({"thinking": {**ENABLED, "budget_tokens": 2048}}, "thinking.budget_tokens: 2048 leaves no room for a reply"),
    ({"thinking": ENABLED, "temperature": 0.5}, "temperature: must be 1, or left out, while thinking is enabled."),
    ({"thinking": ENABLED, "top_k": 5}, "top_k: must be left out while thinking is enabled."),
    (
        {"thinking": ENABLED, "tools": [TOOL], "tool_choice": {"type": "any"}},
        "tool_choice.type: must be auto or none while thinking is enabled.",
    ),
    (
        {"thinking": ENABLED, "messages": [user(), assistant("Well,")]},
        "messages: the last message must have the role user while thinking is enabled.",
    ),
    ({"messages": [user(), assistant("Well, ")]}, "has the role assistant and ends in white space; remove it."),
    (
        {"messages": [user(), assistant([{"type": "text", "text": "Well,\n"}])]},
        "has the role assistant and ends in white space; remove it.",
    ),
    ({"messages": [user(" \n")]}, "messages.0.content: must be more than white space."),
    (
        {"messages": [user([{"type": "text", "text": " "}])]},
        "messages.0.content.0.text: must be more than white space.",
    ),
    (
        {"messages": [user(), assistant([USE]), user([TEXT, RESULT])], "tools": [TOOL]},
        "messages: a text block stands before a tool_result; put the results of calls first.",
    ),
    (
        {"messages": [user(), assistant([USE]), user("wait"), user([RESULT])], "tools": [TOOL]},
        "messages: a text block stands before a tool_result; put the results of calls first.",
    ),
    (
        {"messages": [user(), assistant([{"type": "thinking", "thinking": "hm"}]), user()]},
        "messages.1.content.0.signature: must be text that is not empty.",
    ),
    (
        {"messages": [user(), assistant([{"type": "redacted_thinking", "data": ""}]), user()]},
        "messages.1.content.0.data: must be text that is not empty.",
    ),
    ({"tool_choice": {"type": "any"}}, "tool_choice: there are no tools to choose from"),
    ({"tool_choice": {"type": "tool", "name": "t"}}, "tool_choice.name: 't' is not among the request's tools."),
    (
        {"tools": [TOOL], "tool_choice": {"type": "auto", "disable_parallel_tool_use": "yes"}},
        "tool_choice.disable_parallel_tool_use: must be true or false.",
    ),
    ({"tools": [{**TOOL, "description": 1}]}, "tools.0.description: must be text."),
    ({"tools": [{"name": "t", "input_schema": {"type": "array"}}]}, "tools.0.input_schema: must be a JSON Schema with"),
    (schema(oneOf=[]), "tools.0.input_schema.oneOf: cannot stand at the top of a tool's schema"),
    (schema(properties=[]), "tools.0.input_schema.properties: must be an object"),
    (schema(properties={"a b": {}}), "tools.0.input_schema.properties: 'a b' must be 1 to 64 letters"),
    (schema(properties={"a": "text"}), "tools.0.input_schema.properties.a: must be a JSON Schema."),
    (schema(required="a"), "tools.0.input_schema.required: must be a list of property names."),
    ({"stop_sequences": ["\n"]}, "stop_sequences: must be a list of texts that are more than white space."),
]


@pytest.mark.parametrize(("more", "expected"), REFUSED)
def test_what_cannot_be_is_refused_by_name(emulate, more, expected):
    emulated = emulate(SCRIPT)
    reply = send(emulated, **more)
    assert reply.status_code == 400
    assert reply.json()["error"]["type"] == "invalid_request_error"
    assert expected in reply.json()["error"]["message"]
    assert (emulated.last.problem == "unknown_field") is ("no such field" in expected)


@pytest.mark.parametrize(
    ("more", "beta"),
    [
        ({"max_tokens": 128_000}, ""),
        ({"max_tokens": 500_000, "model": "a-model-of-my-own"}, ""),
        ({"max_tokens": 0}, ""),
        ({"temperature": 0, "top_p": 1, "top_k": 0}, ""),
        ({"temperature": 1, "thinking": ENABLED}, ""),
        ({"thinking": {**ENABLED, "display": "omitted"}}, ""),
        ({"thinking": {**ENABLED, "budget_tokens": 9_000}}, "interleaved-thinking-2025-05-14"),
        ({"thinking": {"type": "adaptive"}}, ""),
        ({"thinking": {"type": "disabled"}}, ""),
        ({"thinking": ENABLED, "tools": [TOOL], "tool_choice": {"type": "auto"}}, ""),
        ({"messages": [user(), assistant("Well,")]}, ""),
        ({"messages": [user(), assistant([USE]), user([RESULT, TEXT])], "tools": [TOOL]}, ""),
        ({"messages": [user(), assistant([USE]), user([RESULT]), user("go on")], "tools": [TOOL]}, ""),
        (schema(properties={"a.b-c_1": {"anyOf": [{"type": "string"}, {"type": "null"}]}}, required=["a.b-c_1"]), ""),
        ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "t", "disable_parallel_tool_use": True}}, ""),
    ],
)
def test_what_can_be_is_answered(emulate, more, beta):
    reply = send(emulate(SCRIPT), beta=beta, **more)
    assert reply.status_code == 200, reply.text


def test_counting_checks_the_same(emulate):
    emulated = emulate(SCRIPT)
    body = {"model": "m", "messages": [user()], "thinking": {"type": "enabled", "budget_tokens": 5}}
    url = emulated.base_url + "/v1/messages/count_tokens"
    reply = httpx.post(url, json=body, headers=HEADERS, trust_env=False)
    assert "thinking.budget_tokens: must be" in reply.json()["error"]["message"]
    body["thinking"]["budget_tokens"] = 5_000
    assert httpx.post(url, json=body, headers=HEADERS, trust_env=False).status_code == 200


@pytest.mark.parametrize("levels", [50, 150, 300, 480, 2000])
def test_deep_nesting_is_answered_or_refused(emulate, levels):
    emulated = emulate(SCRIPT)
    deep = '{"a": [' * levels + "1" + "]}" * levels
    messages = [
        user(),
        assistant([{**USE, "input": {"deep": "DEEP"}}]),
        user([RESULT, {**TEXT, "cache_control": {"type": "ephemeral"}}]),
    ]
    text = json.dumps({"model": "m", "max_tokens": 9, "messages": messages}).replace('"DEEP"', deep)
    reply = httpx.post(emulated.base_url + "/v1/messages", content=text, headers=HEADERS, trust_env=False)
    assert reply.status_code == (200 if levels == 50 else 400 if levels == 2000 else reply.status_code), reply.text
    assert reply.status_code in (200, 400), reply.text
    assert emulated.last.status == reply.status_code


@pytest.mark.parametrize("ttl", [["5m"], {}, 5, True])
def test_a_time_of_another_kind_is_refused(emulate, ttl):
    reply = send(emulate(SCRIPT), cache_control={"type": "ephemeral", "ttl": ttl})
    assert reply.status_code == (200 if ttl == {} else 400), "an empty one is none"


@pytest.mark.parametrize("count", ["0", "", "x", "²", "1"])
def test_the_count_of_retries_is_noted(emulate, count):
    emulated = emulate(SCRIPT)
    headers = {**HEADERS, "x-stainless-retry-count": count.encode()}
    body = {"model": "m", "max_tokens": 9, "messages": [user()]}
    assert (
        httpx.post(emulated.base_url + "/v1/messages", json=body, headers=headers, trust_env=False).status_code == 200
    )
    assert emulated.last.request.get("retry") == (1 if count == "1" else None)
