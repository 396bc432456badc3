"""The fields of OpenAI requests: modelled, accepted without effect, or known to OpenAI and not served here.

Source: openai 3.57.0 `types/chat/completion_create_params.py`, `types/responses/response_create_params.py`, `tool_param.py`
and `response_input_item_param.py`. What stands in none of these tables is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping

_CHANCE = "a script leaves nothing to chance"
_CACHE = "nothing is cached"
_LABEL = "opaque to the model"

CHAT_MODELLED = frozenset(
    {
        "messages",
        "model",
        "max_completion_tokens",
        "max_tokens",
        "n",
        "parallel_tool_calls",
        "response_format",
        "stream",
        "stop",
        "stream_options",
        "tool_choice",
        "tools",
    }
)
CHAT_ACCEPTED: Mapping[str, str] = {
    "frequency_penalty": _CHANCE,
    "logit_bias": _CHANCE,
    "metadata": _LABEL,
    "presence_penalty": _CHANCE,
    "prompt_cache_key": _CACHE,
    "prompt_cache_options": _CACHE,
    "prompt_cache_retention": _CACHE,
    "reasoning_effort": "a scripted turn takes no thought",
    "safety_identifier": _LABEL,
    "seed": _CHANCE,
    "service_tier": "there is one tier",
    "store": "stored completions are not served",
    "temperature": _CHANCE,
    "top_p": _CHANCE,
    "user": _LABEL,
    "verbosity": "a script says how much is said",
}
CHAT_NOT_SERVED: Mapping[str, str] = {
    "audio": "leave it out; replies are text",
    "function_call": "use tool_choice",
    "functions": "use tools",
    "logprobs": "leave it out; a script has no probabilities",
    "modalities": "leave it out; replies are text",
    "moderation": "leave it out; nothing is moderated",
    "prediction": "leave it out",
    "top_logprobs": "leave it out; a script has no probabilities",
    "web_search_options": "leave it out; there is no web search",
}
CHAT = CHAT_MODELLED | CHAT_ACCEPTED.keys() | CHAT_NOT_SERVED.keys()

CHAT_MESSAGE: Mapping[str, frozenset[str]] = {
    "system": frozenset({"role", "content", "name"}),
    "developer": frozenset({"role", "content", "name"}),
    "user": frozenset({"role", "content", "name"}),
    "assistant": frozenset(
        # What a reply's message holds is sent back by clients as it came.
        {"role", "content", "name", "refusal", "tool_calls", "audio", "function_call", "annotations"}
    ),
    "tool": frozenset({"role", "content", "tool_call_id"}),
}

RESPONSES_MODELLED = frozenset(
    {
        "input",
        "instructions",
        "max_output_tokens",
        "metadata",
        "model",
        "parallel_tool_calls",
        "previous_response_id",
        "reasoning",
        "store",
        "stream",
        "stream_options",
        "text",
        "tool_choice",
        "tools",
    }
)
RESPONSES_ACCEPTED: Mapping[str, str] = {
    "access_programs": "there are none to be in",
    "context_management": "a script sees the conversation as sent",
    "image": "a script sees no images",
    "include": "there is nothing beside the output to include",
    "max_tool_calls": "a script says how many there are",
    "prompt_cache_key": _CACHE,
    "prompt_cache_options": _CACHE,
    "prompt_cache_retention": _CACHE,
    "safety_identifier": _LABEL,
    "service_tier": "there is one tier",
    "temperature": _CHANCE,
    "top_p": _CHANCE,
    "truncation": "a script sees the conversation as sent",
    "user": _LABEL,
}
RESPONSES_NOT_SERVED: Mapping[str, str] = {
    "background": "leave it out and wait for the reply",
    "background_options": "leave it out and wait for the reply",
    "conversation": "use previous_response_id, or send the items in full",
    "moderation": "leave it out; nothing is moderated",
    "prompt": "send instructions and input; there are no stored prompts",
    "top_logprobs": "leave it out; a script has no probabilities",
}
RESPONSES = RESPONSES_MODELLED | RESPONSES_ACCEPTED.keys() | RESPONSES_NOT_SERVED.keys()

MCP_TOOL = frozenset(
    {
        "type",
        "server_label",
        "server_url",
        "server_description",
        "authorization",
        "headers",
        "allowed_tools",
        "require_approval",
        "allowed_callers",
        "defer_loading",
    }
)
MCP_NOT_SERVED: Mapping[str, str] = {
    "connector_id": "name a server with server_url",
    "tunnel_id": "name a server with server_url",
}
FUNCTION_TOOL = frozenset(
    {"type", "name", "description", "parameters", "strict", "defer_loading", "allowed_callers", "output_schema"}
)

ITEM_NEEDS: Mapping[str, tuple[str, ...]] = {
    "message": ("role", "content"),
    "function_call": ("call_id", "name", "arguments"),
    "function_call_output": ("call_id", "output"),
    "mcp_list_tools": ("server_label", "tools"),
    "mcp_call": ("id", "name", "server_label", "arguments"),
    "mcp_approval_request": ("id", "name", "server_label", "arguments"),
    "mcp_approval_response": ("approval_request_id", "approve"),
    "reasoning": ("summary",),
    "item_reference": ("id",),
}
"""The items that are read, each with the fields it must have."""
