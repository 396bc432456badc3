"""Where a conversation with the model stands, for fault rules that hit one turn of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stack_emu.model_script.conversation import Conversation, read_conversation
from stack_emu.model_script.openai_chat import read_chat
from stack_emu.model_script.openai_items import read_items

ASKED = frozenset({"turn", "user"})
"""What a rule may ask of a conversation."""


def standing_of(operation: str, body: Any) -> dict[str, str]:
    """``turn``, the turns the model has taken since the anchor, and ``user``, the anchor's text; empty when unreadable.

    Args:
        operation: `messages.create`, `chat.completions.create` or `responses.create`; others have no conversation.
        body: the request's, unvalidated.
    """
    try:
        conversation = _conversation(operation, body)
    except Exception:  # what cannot be read is refused in its own words after this
        return {}
    return {} if conversation is None else {"turn": str(conversation.turns_done), "user": conversation.anchor}


def _conversation(operation: str, body: Mapping[str, Any]) -> Conversation | None:
    if operation in ("messages.create", "messages.batches.process"):
        return read_conversation(body["messages"], body.get("system"))
    if operation == "chat.completions.create":
        return read_conversation(read_chat(body).messages)
    if operation == "responses.create":
        given = body["input"]
        items = [{"role": "user", "content": given}] if isinstance(given, str) else given
        return read_conversation(read_items(items), body.get("instructions"))
    return None
