"""docs/openai.md names what the code serves, accepts and refuses."""

from __future__ import annotations

import re

from stack_emu.surfaces import openai_fields as fields
from stack_emu.surfaces.openai import ROUTES
from stack_emu.vocabulary import MODEL_OPERATIONS
from tests.docs.blocks import ROOT

PAGE = (ROOT / "docs" / "openai.md").read_text("utf-8")
NAME = re.compile(r"`([^`]+)`")


def named(heading: str, point: str) -> list[str]:
    """What stands in backquotes in a point of the section under a heading."""
    section = re.split(r"^#+ ", PAGE.partition(f"# {heading}\n")[2], flags=re.MULTILINE)[0]
    [line] = [line for line in re.split(r"^- ", section, flags=re.MULTILINE) if line.startswith(f"**{point}")]
    return NAME.findall(line)


def test_the_routes_and_operations_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| `(\w+) ([^`]+)` \| `([^`]+)` \|", PAGE, re.MULTILINE)
    assert {(method, path): operation for method, path, operation in rows} == ROUTES
    assert set(ROUTES.values()) <= set(MODEL_OPERATIONS)


def test_the_fields_are_those_of_the_code() -> None:
    assert set(named("Chat completions", "Accepted")) == set(fields.CHAT_ACCEPTED)
    assert set(named("Chat completions", "Refused")) == set(fields.CHAT_NOT_SERVED)
    assert set(named("Responses", "Accepted")) == set(fields.RESPONSES_ACCEPTED)
    assert set(named("Responses", "Refused")) == set(fields.RESPONSES_NOT_SERVED)
    assert named("Responses", "Items read") == list(fields.ITEM_NEEDS)
    assert set(named("The hosted MCP tool", "Fields")) == fields.MCP_TOOL | set(fields.MCP_NOT_SERVED)


def test_every_parameter_of_the_sdk_is_in_a_table() -> None:
    from openai.types.chat import completion_create_params as chat
    from openai.types.responses import response_create_params as responses

    of_chat = chat.CompletionCreateParamsStreaming.__annotations__ | chat.CompletionCreateParamsBase.__annotations__
    assert set(of_chat) == fields.CHAT
    theirs = responses.ResponseCreateParamsStreaming.__annotations__
    assert set(theirs | responses.ResponseCreateParamsBase.__annotations__) == fields.RESPONSES
