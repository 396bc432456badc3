"""The fields of Messages requests: modelled, accepted without effect, or known to Anthropic and not served here.

Source: anthropic 2.14.0 `types/beta/message_create_params.py`, `message_count_tokens_params.py`, the block
parameters and `types/anthropic_beta_param.py` (names of betas); older fields from anthropic 0.125.0. What stands in
none of these tables is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

BETA_2025_04 = "mcp-client-2025-04-04"
BETA_2025_11 = "mcp-client-2025-11-20"
BETA_2026_09 = "mcp-client-2026-09-15"
CONNECTOR_BETAS = (BETA_2025_04, BETA_2025_11, BETA_2026_09)
TOOLSET_BETAS = (BETA_2025_11, BETA_2026_09)
BETA_TOOL_CHANGES = "mid-conversation-tool-changes-2026-07-01"
BETA_INLINE_TOOLS = "inline-tools-2026-09-15"
BETA_THREADS = "message-threads-2026-08-12"
KNOWN_BETAS = frozenset(
    {*CONNECTOR_BETAS, BETA_TOOL_CHANGES, BETA_INLINE_TOOLS, BETA_THREADS, "token-counting-2024-11-01"}
)
REFUSED_BETAS: Mapping[str, str] = {
    "mcp-tunnels-2026-06-22": "name the server's address on this machine in mcp_servers, no tunnel is needed",
}
"""Betas that are refused by name, and what to do instead."""


@dataclass(frozen=True)
class Accepted:
    """A field that is read and has no effect.

    Args:
        reason: why ignoring it is honest.
        since: the oldest client it was seen in.
    """

    reason: str
    since: str


MODELLED = frozenset(
    {
        "model",
        "max_tokens",
        "messages",
        "system",
        "tools",
        "tool_choice",
        "stream",
        "stop_sequences",
        "mcp_servers",
        "output_config",
        "cache_control",
        "output_format",
        "thinking",
    }
)

ACCEPTED: Mapping[str, Accepted] = {
    "metadata": Accepted("opaque to the model", "anthropic 0.125"),
    "context_management": Accepted("a script sees the conversation as sent", "Claude CLI 2.1"),
    "service_tier": Accepted("there is one tier", "anthropic 0.125"),
    "inference_geo": Accepted("there is one place", "anthropic 2.12"),
    "speed": Accepted("there is one speed", "anthropic 2.12"),
    "diagnostics": Accepted("nothing is cached, so there is no cache miss to explain", "anthropic 2.12"),
}

CHECKED: Mapping[str, Accepted] = {
    "temperature": Accepted("a script leaves nothing to chance", "anthropic 0.125"),
    "top_p": Accepted("a script leaves nothing to chance", "anthropic 0.125"),
    "top_k": Accepted("a script leaves nothing to chance", "anthropic 0.125"),
}
"""Fields whose values are checked, and which change nothing about the reply."""

CREATE = MODELLED | frozenset(ACCEPTED) | frozenset(CHECKED)

NOT_SERVED: Mapping[str, str] = {
    "compaction": "send the messages in full",
    "container": "leave it out; there is no code execution",
    "fallbacks": "name the model you want in model",
    "fallback_credit_token": "leave it out; nothing is billed",
    "billing_policy": "leave it out; nothing is billed",
}

COUNT_TOKENS = frozenset(
    {
        "model",
        "messages",
        "system",
        "tools",
        "tool_choice",
        "mcp_servers",
        "output_config",
        "output_format",
        "thinking",
        "context_management",
        "cache_control",
        "speed",
    }
)

MESSAGE: Mapping[str, frozenset[str]] = {
    "user": frozenset({"role", "content"}),
    "assistant": frozenset({"role", "content"}),
    "system": frozenset({"role", "content", "output_config", "clear_at"}),
}

_CACHED = {"type", "cache_control"}
_RESULT = frozenset({*_CACHED, "tool_use_id", "content", "caller"})

BLOCK: Mapping[str, frozenset[str]] = {
    "text": frozenset({*_CACHED, "text", "citations"}),
    "image": frozenset({*_CACHED, "source", "transformations"}),
    "document": frozenset({*_CACHED, "source", "citations", "context", "title"}),
    "search_result": frozenset({*_CACHED, "source", "citations", "content", "title"}),
    "thinking": frozenset({"type", "thinking", "signature"}),
    "redacted_thinking": frozenset({"type", "data"}),
    "tool_use": frozenset({*_CACHED, "id", "name", "input", "caller", "toolset_name"}),
    "tool_result": frozenset({*_CACHED, "tool_use_id", "content", "is_error", "toolset_name"}),
    "server_tool_use": frozenset({*_CACHED, "id", "name", "input", "caller"}),
    "web_search_tool_result": _RESULT,
    "web_fetch_tool_result": _RESULT,
    "advisor_tool_result": _RESULT,
    "code_execution_tool_result": _RESULT,
    "bash_code_execution_tool_result": _RESULT,
    "text_editor_code_execution_tool_result": _RESULT,
    "tool_search_tool_result": _RESULT,
    "mcp_tool_use": frozenset({*_CACHED, "id", "name", "server_name", "input"}),
    "mcp_tool_result": frozenset({*_CACHED, "tool_use_id", "content", "is_error"}),
    "mcp_tool_listing": frozenset({"type", "mcp_server_name", "tools"}),
    "container_upload": frozenset({*_CACHED, "file_id"}),
    "compaction": frozenset({*_CACHED, "content", "encrypted_content", "signature", "tool_changes"}),
    "tool_addition": frozenset({*_CACHED, "tool"}),
    "tool_removal": frozenset({*_CACHED, "tool"}),
    "fallback": frozenset({"type", "from", "to", "trigger"}),
}

ASSISTANT_ONLY = frozenset(
    {
        "tool_use",
        "server_tool_use",
        "mcp_tool_use",
        "mcp_tool_result",
        "mcp_tool_listing",
        "thinking",
        "redacted_thinking",
    }
)
USER_ONLY = frozenset({"tool_result", "image", "document", "search_result", "container_upload"})
TOOL_CHANGES = frozenset({"tool_addition", "tool_removal"})
SYSTEM_BLOCKS = frozenset({"text", *TOOL_CHANGES})

TOOL = frozenset(
    {
        "type",
        "name",
        "description",
        "input_schema",
        "cache_control",
        "strict",
        "defer_loading",
        "input_examples",
        "allowed_callers",
        "eager_input_streaming",
    }
)
TOOLSET = frozenset({"type", "mcp_server_name", "default_config", "configs", "cache_control", "tools"})
LISTED_TOOL = frozenset({"name", "description", "input_schema"})
TOOLSET_CONFIG = frozenset({"enabled", "defer_loading"})
SERVER = frozenset({"type", "name", "url", "authorization_token", "tool_configuration"})
TOOL_CONFIGURATION = frozenset({"enabled", "allowed_tools"})
THINKING: Mapping[str, frozenset[str]] = {
    "enabled": frozenset({"type", "budget_tokens", "display", "block_binding"}),
    "adaptive": frozenset({"type", "display", "block_binding"}),
    "between_tools": frozenset({"type", "block_binding"}),
    "disabled": frozenset({"type", "block_binding"}),
}
OUTPUT_CONFIG = frozenset({"effort", "format", "task_budget"})
