"""Validation of what a request says about the reply: its length, its chance, its thinking.

Source: anthropic 2.14.0 `types/message_create_params.py` and `types/thinking_config_enabled_param.py` for the ranges;
Anthropic's extended thinking page for what thinking does not go with. The limit of length is ours for the models listed
here, and any other model has none.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from stack_emu.surfaces.messages_errors import check_known, invalid
from stack_emu.surfaces.messages_fields import THINKING
from stack_emu.surfaces.messages_models import most_tokens

LEAST_BUDGET = 1_024
_INTERLEAVED = "interleaved-thinking-2025-05-14"


def check_parameters(body: Mapping[str, Any], betas: Collection[str]) -> None:
    """Check the parameters of a request whose messages are valid.

    Args:
        body: the request, without nulls.
        betas: names in the `anthropic-beta` header.

    Raises:
        ApiError: 400, for the first thing that is wrong.
    """
    _check_length(body)
    for name in ("temperature", "top_p"):
        _check_share(body, name)
    top_k = body.get("top_k")
    if top_k is not None and (isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 0):
        raise invalid("top_k: must be a whole number of at least 0.")
    _check_thinking(body, betas)
    _check_prefill(body["messages"])


def _check_length(body: Mapping[str, Any]) -> None:
    wanted, most = body.get("max_tokens"), most_tokens(body["model"])
    if wanted is None:
        return
    if isinstance(wanted, bool) or not isinstance(wanted, int) or wanted < 0:
        raise invalid("max_tokens: must be a whole number of at least 1, or 0 for no reply.")
    if most is not None and wanted > most:
        raise invalid(f"max_tokens: {wanted} is more than the {most} tokens {body['model']} writes at most.")


def _check_share(body: Mapping[str, Any], name: str) -> None:
    value = body.get(name)
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise invalid(f"{name}: must be a number from 0 to 1.")


def _check_thinking(body: Mapping[str, Any], betas: Collection[str]) -> None:
    thinking = body.get("thinking")
    if thinking is None:
        return
    kind = thinking.get("type") if isinstance(thinking, Mapping) else None
    if not isinstance(kind, str) or kind not in THINKING:
        raise invalid(f"thinking.type: must be one of {', '.join(THINKING)}.")
    if kind != "enabled" and thinking.get("budget_tokens") is not None:
        raise invalid('thinking.budget_tokens: goes with "type": "enabled"; leave it out.')
    check_known(thinking, THINKING[kind], "thinking")
    if kind != "enabled":
        return
    budget = thinking.get("budget_tokens")
    if isinstance(budget, bool) or not isinstance(budget, int) or budget < LEAST_BUDGET:
        raise invalid(f"thinking.budget_tokens: must be a whole number of at least {LEAST_BUDGET}.")
    longest = body.get("max_tokens")
    if longest is not None and budget >= longest and _INTERLEAVED not in betas:
        raise invalid(f"thinking.budget_tokens: {budget} leaves no room for a reply; max_tokens must be larger.")
    if body.get("temperature", 1) != 1:
        raise invalid("temperature: must be 1, or left out, while thinking is enabled.")
    if body.get("top_k") is not None:
        raise invalid("top_k: must be left out while thinking is enabled.")
    if (body.get("tool_choice") or {}).get("type") in ("any", "tool"):
        raise invalid("tool_choice.type: must be auto or none while thinking is enabled.")
    if body["messages"][-1]["role"] == "assistant":
        raise invalid("messages: the last message must have the role user while thinking is enabled.")


def _check_prefill(messages: Sequence[Mapping[str, Any]]) -> None:
    """A reply cannot continue a text that ends in white space."""
    last = messages[-1]
    if last["role"] != "assistant" or not last["content"]:
        return
    content = last["content"]
    end = content if isinstance(content, str) else content[-1].get("text")
    if isinstance(end, str) and end != end.rstrip():
        raise invalid("messages: the last message has the role assistant and ends in white space; remove it.")
