"""An MCP server with everything the conformance suite looks for, to be served where the emulator's own is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import mcp_types as types
from mcp.server.caching import CacheHint
from mcp.server.lowlevel import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.subscriptions import PromptsListChanged
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata

from stack_emu.surfaces.mcp_calls import ToolCalls
from stack_emu.surfaces.mcp_server import Listeners, exchange_of
from tests.mcp.conformance import catalogue
from tests.mcp.conformance.catalogue import text

PAUSE_SECONDS = 0.05
LOG_LEVEL = "io.modelcontextprotocol/logLevel"

Result = types.CallToolResult | types.InputRequiredResult


def tools() -> list[types.Tool]:
    names = [*catalogue.CONTENT, *catalogue.INPUTS, *catalogue.ACTING]
    return [
        types.Tool(name=name, description="For conformance", input_schema=catalogue.SCHEMAS.get(name, catalogue.EMPTY))
        for name in names
    ]


def done(message: str) -> types.CallToolResult:
    return types.CallToolResult(content=[text(message)])


def capabilities(ctx: Any) -> types.ClientCapabilities:
    return ctx.session.client_capabilities or types.ClientCapabilities()


def lacking(capability: str) -> MCPError:
    data = {"requiredCapabilities": {capability: {}}}
    message = f"This tool needs a client with the capability {capability}"
    return MCPError(code=types.MISSING_REQUIRED_CLIENT_CAPABILITY, message=message, data=data)


# --- tools that act ---------------------------------------------------------------------------------------------------


async def fail(ctx: Any, arguments: dict[str, Any]) -> types.CallToolResult:
    message = "This tool intentionally returns an error for testing"
    return types.CallToolResult(content=[text(message)], is_error=True)


async def log(ctx: Any, arguments: dict[str, Any]) -> types.CallToolResult:
    wanted = ctx.protocol_version < "2026-07-28" or (ctx.meta or {}).get(LOG_LEVEL) is not None
    for message in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        if wanted:
            params = types.LoggingMessageNotificationParams(level="info", data=message)
            await ctx.session.send_notification(types.LoggingMessageNotification(params=params), ctx.request_id)
        await asyncio.sleep(PAUSE_SECONDS)
    return done("Logged.")


async def progress(ctx: Any, arguments: dict[str, Any]) -> types.CallToolResult:
    for percent in (0, 50, 100):
        await ctx.session.report_progress(percent, 100)
        await asyncio.sleep(PAUSE_SECONDS)
    return done("Done.")


async def sample(ctx: Any, arguments: dict[str, Any]) -> types.CallToolResult:
    if capabilities(ctx).sampling is None:
        raise lacking("sampling")
    message = types.SamplingMessage(role="user", content=text(arguments["prompt"]))
    request = types.CreateMessageRequest(params=types.CreateMessageRequestParams(messages=[message], max_tokens=100))
    metadata = ServerMessageMetadata(related_request_id=ctx.request_id)
    said = await ctx.session.send_request(request, types.CreateMessageResult, metadata=metadata)
    return done(f"LLM response: {said.content.text}")


def ask(schema: dict[str, Any], template: str) -> Callable[..., Awaitable[types.CallToolResult]]:
    async def tool(ctx: Any, arguments: dict[str, Any]) -> types.CallToolResult:
        if capabilities(ctx).elicitation is None:
            raise lacking("elicitation")
        answer = await ctx.session.elicit_form(arguments.get("message", "Please fill in"), schema, ctx.request_id)
        return done(template.format(action=answer.action, content=json.dumps(answer.content)))

    return tool


async def reconnect(ctx: Any, arguments: dict[str, Any]) -> types.CallToolResult:
    if ctx.close_sse_stream is not None:
        await ctx.close_sse_stream()
        await asyncio.sleep(4 * PAUSE_SECONDS)
    return done("Sent after the stream was closed.")


async def need_capability(ctx: Any, arguments: dict[str, Any]) -> types.CallToolResult:
    if capabilities(ctx).sampling is None:
        raise lacking("sampling")
    return done("The client can do it.")


ASKED = "Elicitation completed: action={action}, content={content}"

ACTIONS: dict[str, Callable[..., Awaitable[types.CallToolResult]]] = {
    "test_error_handling": fail,
    "test_tool_with_logging": log,
    "test_logging_tool": log,
    "test_tool_with_progress": progress,
    "test_sampling": sample,
    "test_elicitation": ask(catalogue.USER_SCHEMA, "User response: action={action}, content={content}"),
    "test_elicitation_sep1034_defaults": ask(catalogue.DEFAULTS_SCHEMA, ASKED),
    "test_elicitation_sep1330_enums": ask(catalogue.ENUMS_SCHEMA, ASKED),
    "test_reconnection": reconnect,
    "test_missing_capability": need_capability,
}


# --- tools that ask in rounds -----------------------------------------------------------------------------------------

CAPABILITY_OF = {"elicitation/create": "elicitation", "sampling/createMessage": "sampling", "roots/list": "roots"}


def answered(request: dict[str, Any], response: Any) -> bool:
    """Whether a response holds what was asked for."""
    if request["method"] != "elicitation/create":
        return response is not None
    content = getattr(response, "content", None)
    wanted = request["params"]["requestedSchema"]["required"]
    return getattr(response, "action", None) == "accept" and isinstance(content, dict) and set(wanted) <= set(content)


def said(responses: dict[str, Any]) -> str:
    parts = []
    for name, response in sorted(responses.items()):
        if isinstance(response, types.ElicitResult):
            parts.append(f"{name}: {json.dumps(response.content)}")
        elif isinstance(response, types.CreateMessageResult):
            parts.append(f"{name}: {getattr(response.content, 'text', '')}")
        else:
            parts.append(f"{name}: {[str(root.uri) for root in getattr(response, 'roots', [])]}")
    return "; ".join(parts)


def rounds(name: str, ctx: Any, params: types.CallToolRequestParams) -> Result:
    """Ask in rounds; the state that comes back says which round has been asked for."""
    stages = catalogue.INPUTS[name]
    stated = name in catalogue.STATED
    responses = dict(params.input_responses or {})
    number = int(params.request_state) if params.request_state is not None else 0
    complete = all(answered(request, responses.get(key)) for key, request in stages[number].items())
    if complete and (params.request_state is not None or not stated):
        if number + 1 == len(stages):
            return done(f"Hello, {said(responses)}! {'state-ok' if stated else ''}")
        number += 1
    requests = stages[number]
    if name == "test_input_required_result_capabilities":
        declared = capabilities(ctx)
        known = {key for key, request in requests.items() if getattr(declared, CAPABILITY_OF[request["method"]])}
        requests = {key: request for key, request in requests.items() if key in known or len(known) == 0}
    return required(requests, str(number) if stated else None)


def required(requests: dict[str, Any], state: str | None = None) -> types.InputRequiredResult:
    raw: dict[str, Any] = {"resultType": "input_required", "inputRequests": requests}
    if state is not None:
        raw["requestState"] = state
    return types.InputRequiredResult.model_validate(raw)


# --- resources and prompts --------------------------------------------------------------------------------------------


def contents(uri: str) -> types.TextResourceContents | types.BlobResourceContents:
    if uri in catalogue.RESOURCES:
        media, body = catalogue.RESOURCES[uri]
        if body is None:
            return types.BlobResourceContents(uri=uri, mime_type=media, blob=catalogue.png())
        return types.TextResourceContents(uri=uri, mime_type=media, text=body)
    if uri.startswith("test://template/") and uri.endswith("/data"):
        number = uri.split("/")[3]
        body = json.dumps({"id": number, "templateTest": True, "data": f"Data for ID: {number}"})
        return types.TextResourceContents(uri=uri, mime_type="application/json", text=body)
    raise MCPError(code=types.INVALID_PARAMS, message="Resource not found", data={"uri": uri})


def prompt(params: types.GetPromptRequestParams) -> types.GetPromptResult | types.InputRequiredResult:
    if params.name == "test_input_required_result_prompt":
        question = {"user_context": catalogue.elicitation("What context should the prompt use?", context="string")}
        responses = params.input_responses or {}
        if not answered(question["user_context"], responses.get("user_context")):
            return required(question)
        content: list[Any] | None = [text(f"Context: {said(responses)}")]
    else:
        content = catalogue.prompt_content(params.name, params.arguments or {})
    if content is None:
        raise MCPError(code=types.INVALID_PARAMS, message=f"Unknown prompt: {params.name}")
    return types.GetPromptResult(messages=[types.PromptMessage(role="user", content=part) for part in content])


async def list_tools(ctx: Any, params: Any) -> types.ListToolsResult:
    return types.ListToolsResult(tools=tools())


async def list_resources(ctx: Any, params: Any) -> types.ListResourcesResult:
    found = [
        types.Resource(uri=uri, name=uri.rpartition("/")[2], description="For conformance", mime_type=media)
        for uri, (media, _) in catalogue.RESOURCES.items()
    ]
    return types.ListResourcesResult(resources=found)


async def list_templates(ctx: Any, params: Any) -> types.ListResourceTemplatesResult:
    template = types.ResourceTemplate(
        uri_template="test://template/{id}/data", name="data", description="For conformance"
    )
    return types.ListResourceTemplatesResult(resource_templates=[template])


async def read_resource(ctx: Any, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
    return types.ReadResourceResult(contents=[contents(str(params.uri))])


async def list_prompts(ctx: Any, params: Any) -> types.ListPromptsResult:
    found = [
        types.Prompt(
            name=name,
            description="For conformance",
            arguments=[types.PromptArgument(name=argument, required=True) for argument in arguments],
        )
        for name, arguments in catalogue.PROMPTS.items()
    ]
    return types.ListPromptsResult(prompts=found)


async def get_prompt(ctx: Any, params: types.GetPromptRequestParams) -> Any:
    return prompt(params)


async def complete(ctx: Any, params: types.CompleteRequestParams) -> types.CompleteResult:
    values = [word for word in ("paris", "park", "party") if word.startswith(params.argument.value)]
    return types.CompleteResult(completion=types.Completion(values=values, total=len(values), has_more=False))


async def subscribe(ctx: Any, params: types.SubscribeRequestParams) -> types.EmptyResult:
    return types.EmptyResult()


async def unsubscribe(ctx: Any, params: types.UnsubscribeRequestParams) -> types.EmptyResult:
    return types.EmptyResult()


async def set_level(ctx: Any, params: types.SetLevelRequestParams) -> types.EmptyResult:
    return types.EmptyResult()


def build(calls: ToolCalls, listeners: Listeners) -> Server[Any]:
    """The server; ``listeners`` are the emulator's."""

    async def call_tool(ctx: Any, params: types.CallToolRequestParams) -> Result:
        world = exchange_of(ctx).world.name
        if params.name == "test_trigger_tool_change":
            await listeners.tools_changed(world)
            return done("Said so.")
        if params.name == "test_trigger_prompt_change":
            await listeners.publish(world, PromptsListChanged())
            return done("Said so.")
        if params.name in catalogue.CONTENT:
            return types.CallToolResult(content=catalogue.CONTENT[params.name])
        if params.name in catalogue.INPUTS:
            return rounds(params.name, ctx, params)
        if params.name not in ACTIONS:
            raise MCPError(code=types.INVALID_PARAMS, message=f"Unknown tool: {params.name}")
        return await ACTIONS[params.name](ctx, params.arguments or {})

    async def listen(ctx: Any, params: Any) -> Any:
        return await listeners.handler(exchange_of(ctx).world.name)(ctx, params)

    fresh = CacheHint(ttl_ms=60_000, scope="private")
    cached = ("tools/list", "prompts/list", "resources/list", "resources/templates/list", "resources/read")
    server: Server[Any] = Server(
        "conformance",
        version="1",
        cache_hints=dict.fromkeys(cached, fresh),
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_list_resource_templates=list_templates,
        on_read_resource=read_resource,
        on_list_prompts=list_prompts,
        on_get_prompt=get_prompt,
        on_completion=complete,
        on_subscribe_resource=subscribe,
        on_unsubscribe_resource=unsubscribe,
        on_subscriptions_listen=listen,
    )
    server.add_request_handler("logging/setLevel", types.SetLevelRequestParams, set_level)
    security = RequestStateSecurity(keys=[b"conformance " * 4])
    server.middleware[:] = [RequestStateBoundary(security, default_audience="conformance")]
    return server
