"""Side calls: requests a client makes for itself, such as a title for its session, which no script has to answer.

Source: the Claude command line 2.1 asks for a title before the main request, with a JSON Schema and no tools.
"""

from __future__ import annotations

import json

from stack_emu.model_script.conversation import Conversation
from stack_emu.surfaces.messages_request import MessagesRequest

_WORDS = 6


def side_reply(request: MessagesRequest, conversation: Conversation) -> str | None:
    """The text that answers a side call, or None when the request is a conversation.

    A side call asks for JSON of which the only property is `title`, and offers no tools.
    """
    schema = request.output_schema
    if schema is None or request.client_tools or request.servers:
        return None
    properties = schema.get("properties")
    if not isinstance(properties, dict) or set(properties) != {"title"}:
        return None
    words = conversation.anchor.split()[:_WORDS]
    return json.dumps({"title": " ".join(words) or "Untitled"}, ensure_ascii=False)
