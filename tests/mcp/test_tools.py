"""Tools: schemas derived from commands and replies, checked arguments, results and refusals."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Annotated, Any, Literal

import pytest
from jsonschema import Draft202012Validator
from pydantic import Field

from stack_emu.domain import faults
from stack_emu.domain.authentication import ACCOUNT, PUBLIC
from stack_emu.domain.families import registry
from stack_emu.kernel.dispatch import Context, Pending
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import (
    SECRET,
    Audit,
    Auth,
    Command,
    Download,
    OpenCommand,
    Registry,
    Reply,
    Rest,
    Tool,
    operation,
)
from stack_emu.surfaces.mcp_tools import tool_definitions
from stack_emu.surfaces.mcp_when import WHEN
from tests.mcp.conftest import KEY, connected, payload, run

EVERY = {definition["name"]: definition for definition in tool_definitions(registry())}
OPEN = {name for name, declared in registry().tools.items() if issubclass(declared.command, OpenCommand)}
"""Tools whose arguments are somebody else's request, taken as it comes."""

ANYONE = Auth(bearers=ACCOUNT)


class Part(Command):
    """A part of a thing."""

    name: str = Field(description="Name of the part")
    parts: list[Part] = Field(default_factory=list, description="Its own parts")


class MakeThing(Command):
    """What a thing is made from."""

    label: Annotated[str, Field(min_length=2, max_length=5, pattern="^[a-z]+$")] = Field(description="Label")
    title: str | None = Field(None, description="A field that is called title")
    colour: Literal["red", "blue"] = Field("red", description="Colour")
    size: int | None = Field(None, ge=1, le=9, description="Size")
    part: Part | None = Field(None, description="Its first part")
    tags: list[str] = Field(default_factory=list, max_length=2, description="Tags")
    either: int | list[int] | None = Field(None, description="A number or some")
    origin: str | None = Field(None, description="Where it is called from")
    password: Annotated[str | None, SECRET] = Field(None, description="A secret")


class Thing(Reply):
    """A thing."""

    label: str
    size: int | None
    seen: dict[str, Any]


class Nothing(Command):
    """Takes nothing."""


@operation(
    "things.make",
    rest=Rest("POST", "/v1/things", status=201),
    tool=Tool("stack_make_thing", hidden=("origin",)),
    auth=ANYONE,
    audit=Audit("thing.make"),
    source="tests",
    grade="invented",
)
def make_thing(ctx: Context, command: MakeThing) -> Thing:
    """Make a thing,
    of parts.

    This paragraph is not for tool lists.
    """
    if command.label == "taken":
        raise Fault(faults.CONFLICT, problem="The label is taken")
    if command.label == "crash":
        raise RuntimeError("a mistake inside")
    return Thing(label=command.label, size=command.size, seen=command.model_dump(exclude_unset=True))


@operation(
    "things.list",
    rest=Rest("GET", "/v1/things"),
    tool=Tool("stack_list_things"),
    auth=ANYONE,
    source="tests",
    grade="invented",
)
def list_things(ctx: Context, command: Nothing) -> list[Thing]:
    """List things."""
    return [Thing(label="one", size=None, seen={})]


@operation(
    "things.raw",
    rest=Rest("GET", "/v1/raw"),
    tool=Tool("stack_get_raw_thing"),
    auth=PUBLIC,
    source="tests",
    grade="invented",
)
def raw_thing(ctx: Context, command: Nothing) -> dict[str, Any]:
    """Read a thing without a model."""
    return {"label": "rød"}


@operation(
    "things.drop",
    rest=Rest("DELETE", "/v1/things", status=204),
    tool=Tool("stack_drop_things", confirm=True),
    auth=ANYONE,
    audit=Audit("thing.drop"),
    source="tests",
    grade="invented",
)
def drop_things(ctx: Context, command: Nothing) -> None:
    """Drop all things."""


class ExportThings(Command):
    """Which form."""

    binary: bool = Field(False, description="Bytes that are no text")


@operation(
    "things.export",
    rest=Rest("GET", "/v1/export"),
    tool=Tool("stack_export_things"),
    auth=ANYONE,
    source="tests",
    grade="invented",
)
def export_things(ctx: Context, command: ExportThings) -> Download:
    """Export things."""
    return Download(b"\xff\xfe" if command.binary else "a,b\nø,1\n".encode(), "text/csv", "things.csv")


@operation(
    "things.fetch",
    rest=Rest("POST", "/v1/fetch"),
    tool=Tool("stack_fetch_thing"),
    auth=ANYONE,
    audit=Audit("thing.fetch"),
    source="tests",
    grade="invented",
)
def fetch_thing(ctx: Context, command: Nothing) -> Thing | Pending[str]:
    """Fetch a thing from elsewhere."""

    async def io() -> str:
        return "far"

    return Pending(io, lambda _, result: Thing(label=str(result), size=1, seen={}))


def things() -> Registry:
    module = SimpleNamespace(
        __name__=__name__,
        functions=None,
        make=make_thing,
        list=list_things,
        raw=raw_thing,
        drop=drop_things,
        export=export_things,
        fetch=fetch_thing,
    )
    return Registry((module,))


TOOLS = {definition["name"]: definition for definition in tool_definitions(things())}


def call(url: str, tool: str, arguments: dict[str, Any], mode: str = "auto") -> Any:
    async def work() -> Any:
        async with connected(url, KEY, mode) as client:
            return await client.call_tool(tool, arguments)

    return run(work())


# --- every tool of the emulator --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(EVERY))
def test_every_tool_has_valid_closed_schemas_and_says_what_it_does(name: str) -> None:
    definition = EVERY[name]
    Draft202012Validator.check_schema(definition["inputSchema"])
    assert definition["inputSchema"]["type"] == "object"
    assert definition["inputSchema"]["additionalProperties"] is (name in OPEN)
    assert all("description" in schema for schema in definition["inputSchema"]["properties"].values()), "undescribed"
    text = json.dumps(definition)
    assert "$ref" not in text
    assert "$defs" not in text
    if "outputSchema" in definition:
        Draft202012Validator.check_schema(definition["outputSchema"])
        assert definition["outputSchema"]["type"] == "object"
    assert definition["description"].endswith((".", "!", "?"))
    assert definition["title"]


def test_every_tool_says_when_to_use_it_and_nothing_else_is_spoken_of() -> None:
    assert set(WHEN) == set(EVERY)
    for name, definition in EVERY.items():
        assert definition["description"].endswith(WHEN[name])
        assert re.match(r"Use it .+\.$", WHEN[name]), name
        mentioned = set(re.findall(r"stack_[a-z_]*[a-z]", definition["description"]))
        assert mentioned <= set(EVERY), name
    assert len(set(WHEN.values())) == len(WHEN)


PUBLISHED = [
    "stack_register_agent",
    "stack_list_agents",
    "stack_connect_service",
    "stack_list_services",
    "stack_grant_agent_access",
    "stack_revoke_agent_access",
    "stack_get_agent_permissions",
    "stack_get_credential",
    "stack_list_credential_templates",
    "stack_verify_connection",
    "stack_issue_passport",
    "stack_verify_passport",
    "stack_refresh_passport",
    "stack_list_active_passports",
    "stack_revoke_passport",
    "stack_revoke_agent_passports",
    "stack_revoke_session",
    "stack_revoke_all_passports",
    "stack_checkpoint",
    "stack_checkout",
    "stack_proxy_request",
    "stack_list_intents",
    "stack_create_dropoff",
    "stack_browse_skills",
    "stack_check_trust_level",
    "stack_invoke_skill",
    "stack_list_pending_invocations",
    "stack_complete_invocation",
]
"""Every tool that one of STACK's pages names: docs/mcp-tools v60 and v77, and its guides."""
DECLINED: dict[str, str] = {}
"""Those of them that are not served, with the reason."""


def test_every_tool_that_stacks_pages_name_is_there_unless_it_is_declined() -> None:
    assert len(PUBLISHED) == 28
    assert set(PUBLISHED) - set(EVERY) == set(DECLINED)
    assert all(DECLINED.values())
    assert len(EVERY) >= 80


def test_revoking_every_passport_needs_to_be_confirmed() -> None:
    confirmed = {name for name, each in EVERY.items() if "confirm" in each["inputSchema"].get("required", ())}
    assert confirmed == {"stack_revoke_all_passports"}


def test_hints_of_every_tool_agree_with_each_other_and_with_its_name() -> None:
    for name, definition in EVERY.items():
        hints = definition["annotations"]
        assert set(hints) == {"readOnlyHint", "destructiveHint", "idempotentHint"}, name
        assert not (hints["readOnlyHint"] and hints["destructiveHint"]), name
        assert hints["idempotentHint"] or not hints["readOnlyHint"], name
        verb = name.split("_")[1]
        if verb in ("delete", "disconnect", "erase", "expire", "reject", "reset", "revoke", "rotate", "withdraw"):
            assert hints["destructiveHint"], name
        if verb in ("get", "list", "browse", "download"):
            assert hints["readOnlyHint"], name
        if verb in ("create", "issue", "register", "connect", "invite", "open", "start", "publish", "submit"):
            assert hints["readOnlyHint"] is hints["destructiveHint"] is False, name


def test_every_operation_with_a_tool_is_listed_and_can_be_called(serve: Callable[..., Any]) -> None:
    served = serve()

    async def work() -> dict[str, Any]:
        async with connected(f"{served.base_url}/mcp", KEY) as client:
            known = {tool.name for tool in (await client.list_tools()).tools}
            return {name: payload(await client.call_tool(name, {"no-such": 1})) for name in sorted(known)}

    answers = run(work())
    tools = served.server.hosting.registry.tools
    assert set(answers) == {name for name, op in tools.items() if not op.auth.bearers or "operator" in op.auth.bearers}
    for name, answer in answers.items():
        assert answer["error"]["code"] == "INVALID_REQUEST", name
        fields = answer["error"]["details"]["fields"]
        assert "no-such" not in fields if name in OPEN else name in fields["no-such"]
    called = {entry.operation for entry in served.world.journal.entries(surface="mcp")}
    assert called == {tools[name].name for name in answers}


# --- schemas ---------------------------------------------------------------------------------------------------------


def test_an_input_schema_is_the_command_in_plain_form() -> None:
    schema = TOOLS["stack_make_thing"]["inputSchema"]
    assert schema["required"] == ["label"]
    properties = schema["properties"]
    assert set(properties) == {"label", "title", "colour", "size", "part", "tags", "either", "password"}
    assert properties["title"] == {"type": "string", "description": "A field that is called title"}
    assert properties["size"] == {"type": "integer", "minimum": 1, "maximum": 9, "description": "Size"}
    assert properties["colour"]["default"] == "red"
    assert properties["part"]["description"] == "Its first part"
    inner = properties["part"]["properties"]
    assert inner["name"] == {"type": "string", "description": "Name of the part"}
    assert inner["parts"]["items"]["type"] == "object"
    assert {"type": "null"} not in properties["either"]["anyOf"]


def test_an_output_schema_is_there_unless_the_reply_may_be_a_document() -> None:
    assert TOOLS["stack_make_thing"]["outputSchema"]["required"] == ["label", "size", "seen"]
    assert "outputSchema" in TOOLS["stack_fetch_thing"]
    listed = TOOLS["stack_list_things"]["outputSchema"]
    assert listed["required"] == ["result"]
    assert listed["properties"]["result"]["items"] == TOOLS["stack_make_thing"]["outputSchema"] | {
        "description": "A thing."
    }
    assert TOOLS["stack_get_raw_thing"]["outputSchema"]["type"] == "object"
    assert "outputSchema" not in TOOLS["stack_export_things"]


def test_annotations_say_what_a_tool_does_to_the_world() -> None:
    hints = {name: definition["annotations"] for name, definition in TOOLS.items()}
    assert hints["stack_list_things"] == {"readOnlyHint": True, "destructiveHint": False, "idempotentHint": True}
    assert hints["stack_make_thing"] == {"readOnlyHint": False, "destructiveHint": False, "idempotentHint": False}
    assert hints["stack_drop_things"] == {"readOnlyHint": False, "destructiveHint": True, "idempotentHint": True}
    assert TOOLS["stack_make_thing"]["title"] == "Make thing"
    assert TOOLS["stack_make_thing"]["description"] == "Make a thing, of parts."


# --- results ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
def test_a_result_is_the_bare_json_of_the_rest_reply(serve_registry: Callable[..., Any], mode: str) -> None:
    url = serve_registry(things()).url
    made = call(url, "stack_make_thing", {"label": "abc", "size": 3}, mode)
    assert made.structured_content == payload(made) == {"label": "abc", "size": 3, "seen": {"label": "abc", "size": 3}}
    fetched = call(url, "stack_fetch_thing", {}, mode)
    assert fetched.structured_content["label"] == "far"
    listed = call(url, "stack_list_things", {}, mode)
    assert payload(listed) == [{"label": "one", "size": None, "seen": {}}]
    assert listed.structured_content == {"result": payload(listed)}
    untyped = call(url, "stack_get_raw_thing", {}, mode)
    assert untyped.content[0].text == '{"label":"rød"}'
    assert untyped.structured_content == {"label": "rød"}


def test_a_download_is_text_or_else_an_embedded_resource(serve_registry: Callable[..., Any]) -> None:
    url = serve_registry(things()).url
    assert call(url, "stack_export_things", {}).content[0].text == "a,b\nø,1\n"
    (binary,) = call(url, "stack_export_things", {"binary": True}).content
    assert (binary.type, binary.resource.mime_type, binary.resource.blob) == ("resource", "text/csv", "//4=")


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
def test_a_fault_is_a_tool_error_with_stacks_envelope_as_text_only(
    serve_registry: Callable[..., Any], mode: str
) -> None:
    bare = serve_registry(things())
    refused = call(bare.url, "stack_make_thing", {"label": "taken"}, mode)
    assert refused.is_error
    assert payload(refused) == {"error": {"message": "The label is taken", "code": "CONFLICT", "details": {}}}
    assert refused.structured_content is None
    (entry,) = bare.world.journal.entries(surface="mcp")
    assert (entry.status, entry.code) == (409, "CONFLICT")


def test_a_mistake_inside_an_operation_is_a_tool_error_and_not_a_lost_call(
    serve_registry: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    refused = call(serve_registry(things()).url, "stack_make_thing", {"label": "crash"})
    assert payload(refused)["error"]["code"] == "INTERNAL_ERROR"
    assert "a mistake inside" not in refused.content[0].text
    assert "stack_make_thing failed inside the emulator" in caplog.text


# --- arguments -------------------------------------------------------------------------------------------------------

WRONG = [
    ({}, {"label": "is required"}),
    ({"label": None}, {"label": "is required"}),
    ({"label": "abc", "colour": "green"}, {"colour": "must be one of red, blue"}),
    ({"label": "abc", "size": "3"}, {"size": "must be an integer"}),
    ({"label": "abc", "size": 10}, {"size": "must be at most 9"}),
    ({"label": "a"}, {"label": "must have at least 2 characters"}),
    ({"label": "ABC"}, {"label": "must match ^[a-z]+$"}),
    ({"label": "abc", "tags": ["a", "b", "c"]}, {"tags": "must have at most 2 items"}),
    ({"label": "abc", "tags": [1]}, {"tags.0": "must be a string"}),
    ({"label": "abc", "part": {"parts": []}}, {"part.name": "is required"}),
    ({"label": "abc", "either": "x"}, {"either": "must have one of the forms the schema allows: an integer, an array"}),
    ({"label": "abc", "lable": "x"}, {"lable": "is not an argument of stack_make_thing; the nearest is label"}),
    ({"label": "abc", "origin": "x"}, {"origin": "is not an argument of stack_make_thing; the nearest is tags"}),
]


@pytest.mark.parametrize(("arguments", "fields"), WRONG, ids=lambda value: json.dumps(value))
def test_wrong_arguments_are_named_with_what_would_have_been_right(
    serve_registry: Callable[..., Any], arguments: dict[str, Any], fields: dict[str, str]
) -> None:
    bare = serve_registry(things())
    refused = call(bare.url, "stack_make_thing", arguments)
    error = payload(refused)["error"]
    assert refused.is_error
    assert error["code"] == "INVALID_REQUEST"
    assert set(error["details"]["fields"]) == set(fields)
    if "origin" not in fields:
        assert error["details"]["fields"] == fields
    assert bare.world.audit.rows("op_emu") == []


def test_explicit_nulls_count_as_absent(serve_registry: Callable[..., Any]) -> None:
    made = call(serve_registry(things()).url, "stack_make_thing", {"label": "abc", "colour": None, "size": None})
    assert made.structured_content["seen"] == {"label": "abc"}


def test_a_tool_without_arguments_says_that_it_takes_none(serve_registry: Callable[..., Any]) -> None:
    refused = call(serve_registry(things()).url, "stack_list_things", {"page": 2})
    assert payload(refused)["error"]["details"]["fields"]["page"] == "is not an argument: stack_list_things takes none"


@pytest.mark.parametrize("arguments", [{}, {"confirm": False}, {"confirm": None}])
def test_a_tool_that_needs_confirmation_does_nothing_without_it(
    serve_registry: Callable[..., Any], arguments: dict[str, Any]
) -> None:
    bare = serve_registry(things())
    refused = call(bare.url, "stack_drop_things", arguments)
    assert "must be true" in payload(refused)["error"]["details"]["fields"]["confirm"]
    assert bare.world.audit.rows("op_emu") == []
    assert TOOLS["stack_drop_things"]["inputSchema"]["required"] == ["confirm"]


def test_a_confirmed_call_goes_through_and_the_confirmation_is_no_argument_of_the_act(
    serve_registry: Callable[..., Any],
) -> None:
    bare = serve_registry(things())
    done = call(bare.url, "stack_drop_things", {"confirm": True})
    assert not done.is_error
    assert payload(done) == {}
    assert [row.action for row in bare.world.audit.rows("op_emu")] == ["thing.drop"]


def test_values_of_wrong_or_secret_arguments_are_repeated_nowhere(serve_registry: Callable[..., Any]) -> None:
    bare = serve_registry(things())
    refused = call(bare.url, "stack_make_thing", {"label": "abc", "size": "hunter2", "password": "hunter3"})
    assert "hunter" not in refused.content[0].text
    (entry,) = bare.world.journal.entries(surface="mcp")
    assert entry.request["password"] == "<secret>"


def test_an_unknown_tool_is_journaled_as_unmatched_with_the_nearest_one(serve_registry: Callable[..., Any]) -> None:
    from mcp.shared.exceptions import MCPError

    bare = serve_registry(things())

    async def work() -> None:
        async with connected(bare.url, KEY) as client:
            with pytest.raises(MCPError, match=r"Unknown tool: stack_make_things\. The nearest is stack_make_thing"):
                await client.call_tool("stack_make_things", {})

    run(work())
    (entry,) = bare.world.journal.violations()
    assert (entry.problem, entry.code) == ("unmatched", "UNKNOWN_TOOL")
    assert entry.hint == "Unknown tool: stack_make_things. The nearest is stack_make_thing."


def test_a_fault_rule_for_a_tool_hits_calls_of_that_tool_and_no_rest_call(serve: Callable[..., Any]) -> None:
    import httpx

    served = serve(
        "stack_emu: 1\nfaults:\n  - on: {tool: stack_register_agent, nth: 1}\n    inject: {error: CONFLICT}\n"
    )
    headers = {"Authorization": f"Bearer {KEY}"}
    by_rest = httpx.post(f"{served.base_url}/v1/agents/register", json={"name": "by-rest"}, headers=headers)
    assert by_rest.status_code == 201
    refused = call(f"{served.base_url}/mcp", "stack_register_agent", {"name": "by-tool"})
    assert payload(refused)["error"]["code"] == "CONFLICT"
    assert not call(f"{served.base_url}/mcp", "stack_register_agent", {"name": "by-tool"}).is_error
