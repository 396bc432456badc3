"""Whatever stands in a body where something else should: a refusal in OpenAI's envelope, never a failure of the emulator."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

ODD: tuple[Any, ...] = (None, 5, "", "x", True, [], [5], ["x"], {}, {"type": ["x"]}, {"a": 1}, [{"type": "x"}], 1.5)
CHAT: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "developer", "content": "x"},
        {"role": "user", "content": [{"type": "text", "text": "hi"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c", "content": "x"},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "parallel_tool_calls": True,
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
    "stream": False,
    "n": 1,
    "max_completion_tokens": 9,
}
RESPONSES: dict[str, Any] = {
    "model": "m",
    "instructions": "x",
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "hi"}]},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "mcp_list_tools", "id": "mcpl_1", "server_label": "s", "tools": []},
        {"type": "mcp_call", "id": "mcp_1", "server_label": "s", "name": "t", "arguments": "{}", "output": "x"},
        {"type": "mcp_approval_request", "id": "mcpr_1", "server_label": "s", "name": "t", "arguments": "{}"},
        {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": False},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "x"},
        {"role": "assistant", "content": "x"},
    ],
    "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}],
    "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
    "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}},
    "metadata": {"a": "b"},
    "reasoning": {"effort": "low"},
    "store": False,
    "max_output_tokens": 9,
}
TOOL: dict[str, Any] = {
    "type": "mcp",
    "server_label": "s",
    "server_url": "https://not.reachable.example/mcp",
    "headers": {"X-Team": "blue"},
    "authorization": "token",
    "allowed_tools": {"tool_names": ["t"], "read_only": True},
    "require_approval": {"always": {"tool_names": ["t"]}, "never": {"read_only": True}},
}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where a value and everything in it stands."""
    if path:
        yield path
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(item, (*path, key))


def changed(body: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """A copy of a body with another value in one place."""
    made = copy.deepcopy(body)
    inner: Any = made
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return made


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("/v1/chat/completions", CHAT),
        ("/v1/responses", RESPONSES),
        ("/v1/responses", {"model": "m", "input": "hi", "tools": [TOOL]}),
    ],
    ids=["chat", "responses", "mcp"],
)
def test_every_place_of_a_body_may_hold_anything(serve, route, body):
    served = serve("stack_emu: 1\nmodel: [{turns: [{say: '{}'}, {call: {tool: f}}, {say: '{}'}]}]")
    failed, refused = [], 0
    with httpx.Client(headers={"Authorization": "Bearer k"}, trust_env=False) as client:
        for path in places(body):
            for odd in ODD:
                reply = client.post(f"{served.base_url}/openai{route}", json=changed(body, path, odd))
                refused += reply.status_code >= 400
                enveloped = reply.status_code in (400, 404) and set(reply.json()) == {"error"}
                if reply.status_code != 200 and not enveloped:
                    failed.append((path, odd, reply.status_code, reply.text))
        whole = client.post(f"{served.base_url}/openai{route}", json=body)
    assert failed == []
    assert refused > 100
    assert whole.status_code in (200, 400)
