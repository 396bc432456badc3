"""A request as a Python function that scripts the model sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stack_emu.model_script.conversation import Conversation, read_conversation
from stack_emu.model_script.matching import NO_RESULT, Facts, error_code
from stack_emu.model_script.walk import last_result


class Asked(dict[str, Any]):
    """What the model is asked: the body of the request, with what a script can be matched on as attributes.

    Attributes:
        user: text of the last user message with text and no tool result.
        system: the system prompt.
        model: the requested model.
        tools: names of the tools on offer, the client's and those of MCP servers.
        messages: the conversation as sent, in the blocks of the Messages API.
        turn: how many turns the model has taken since that user message.
        results: what the calls since then returned, oldest first.
        result: the last of them, or None.
        error: code of the error in `result`; True for one without a code, False for none.
        agents: id and name of the agent behind the bearer of an MCP server, where there is one.
        output: names of the properties the reply must have as JSON, or None where any text will do.
        side: whether only written rules are looked for, so that no function is to be asked.
    """

    def __init__(
        self,
        body: Mapping[str, Any],
        facts: Facts,
        conversation: Conversation,
        messages: Sequence[Mapping[str, Any]] | None = None,
        *,
        side: bool = False,
    ) -> None:
        super().__init__(body)
        self.user = facts.user
        self.system = facts.system
        self.model = facts.model
        self.tools = facts.tools
        self.agents = facts.agents
        self.output = facts.output
        self.messages: Sequence[Mapping[str, Any]] = messages if messages is not None else body.get("messages", ())
        self.turn = conversation.turns_done
        self.results = list(conversation.results)
        last = last_result(conversation, conversation.turns_done)
        self.result = None if last is NO_RESULT else last
        self.error = error_code(last)
        self.side = side


def asked_of(body: Mapping[str, Any]) -> Asked:
    """The request a body of the Messages API is; one that is no such body has only what can be read."""
    if isinstance(body, Asked):
        return body
    messages = body.get("messages")
    try:
        conversation = read_conversation(messages if isinstance(messages, list) else (), body.get("system"))
    except (AttributeError, KeyError, TypeError):
        conversation = read_conversation(())
    tools = body.get("tools")
    names = [tool.get("name") for tool in tools if isinstance(tool, Mapping)] if isinstance(tools, list) else []
    facts = Facts(
        user=conversation.anchor,
        system=conversation.system,
        model=str(body.get("model", "")),
        tools=tuple(name for name in names if isinstance(name, str)),
    )
    return Asked(body, facts, conversation)
