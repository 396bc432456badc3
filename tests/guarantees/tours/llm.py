"""The LLM gateway, its usage, and the account's."""

from __future__ import annotations

from typing import Any

from tests.guarantees.step import Input, Step, fixed

REQUEST = "tour-llm-authority-request"


def _ask(model: str, **more: Any) -> Input:
    body = {"model": model, "messages": [{"role": "user", "content": "Say hello to the tour"}], **more}
    return lambda replies: {**body, "passport_token": replies["pp_tour"]["token"]}


STEPS = (
    Step("llm.anthropic_messages", _ask("claude-sonnet-5", max_tokens=64, system="Be brief")),
    Step("llm.openai_chat_completions", _ask("gpt-5")),
    Step("llm.openrouter_chat_completions", _ask("anthropic/claude-sonnet-5")),
    Step("llm.openai_chat_completions", _ask("gpt-5", authority_request_id=REQUEST), "by request id", rest_only=True),
    Step("llm.openai_chat_completions", _ask("gpt-5", stream=True), "streamed", rest_only=True),
    Step("llm.list_usage", fixed(limit=2)),
    Step("llm.usage_summary", fixed(group_by_model=True)),
    Step("usage.get", fixed()),
)
