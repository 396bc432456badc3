"""Side calls: requests a client makes for itself, such as a title for its session, which no script has to answer.

Source: the Claude command line 2.1 asks for a title before the main request, with a JSON Schema and no tools.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from stack_emu.model_script.conversation import Conversation
from stack_emu.surfaces.messages_request import MessagesRequest

if TYPE_CHECKING:
    from stack_emu.scenario.model_rules import ModelRule

_WORDS = 6


def is_side_call(request: MessagesRequest) -> bool:
    """Whether a request asks for JSON of a schema and offers no tools."""
    return request.output_schema is not None and not request.client_tools and not request.servers


def side_rules(rules: Sequence[ModelRule]) -> list[ModelRule]:
    """The rules that name properties of the JSON a request asks for; side calls are theirs before all others."""
    return [rule for rule in rules if rule.when.output is not None]


def side_reply(request: MessagesRequest, conversation: Conversation) -> str | None:
    """The text that answers a side call, or None when the request is a conversation.

    A side call asks for JSON of which the only property is `title`, and offers no tools.
    """
    if not is_side_call(request):
        return None
    properties = (request.output_schema or {}).get("properties")
    if not isinstance(properties, dict) or set(properties) != {"title"}:
        return None
    words = conversation.anchor.split()[:_WORDS]
    return json.dumps({"title": " ".join(words) or "Untitled"}, ensure_ascii=False)
