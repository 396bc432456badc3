"""Validation of the messages of a request: roles, blocks, and that every call has its result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stack_emu.kernel.near_words import close_matches
from stack_emu.surfaces import messages_fields as fields
from stack_emu.surfaces.messages_errors import check_known, invalid

Block = Mapping[str, Any]
_TEXT: dict[str, tuple[str, ...]] = {
    "text": ("text",),
    "tool_use": ("id", "name"),
    "mcp_tool_use": ("id", "name", "server_name"),
    "tool_result": ("tool_use_id",),
    "mcp_tool_result": ("tool_use_id",),
    "thinking": ("signature",),
    "redacted_thinking": ("data",),
    "mcp_tool_listing": ("mcp_server_name",),
}


def check_messages(messages: Any) -> None:
    """Check the conversation.

    Raises:
        ApiError: 400, naming the message and block that is wrong.
    """
    if not isinstance(messages, list) or not messages:
        raise invalid("messages: must be a list with at least one message.")
    for index, message in enumerate(messages):
        _check_message(message, f"messages.{index}", is_last=index == len(messages) - 1)
    first = next((message for message in messages if message["role"] != "system"), None)
    if first is None or first["role"] != "user":
        raise invalid('messages: the first message must have "role": "user".')
    _check_pairs(_merged(messages))


def _check_message(message: Any, path: str, *, is_last: bool) -> None:
    role = message.get("role") if isinstance(message, dict) else None
    if not isinstance(role, str) or role not in fields.MESSAGE:
        raise invalid(f"{path}.role: must be user, assistant or system.")
    check_known(message, fields.MESSAGE[role], path)
    content = message.get("content")
    if role == "system" and content is None and "output_config" in message:
        return
    if not isinstance(content, (str, list)):
        raise invalid(f"{path}.content: must be text or a list of content blocks.")
    if not content and not (is_last and role == "assistant"):
        raise invalid(f"{path}.content: must not be empty.")
    if isinstance(content, str):
        if content and not content.strip() and not (is_last and role == "assistant"):
            raise invalid(f"{path}.content: must be more than white space.")
        return
    for index, block in enumerate(content):
        _check_block(block, role, f"{path}.content.{index}")


def _check_block(block: Any, role: str, path: str) -> None:
    kind = block.get("type") if isinstance(block, dict) else None
    if not isinstance(kind, str) or kind not in fields.BLOCK:
        near = close_matches(str(kind), fields.BLOCK, n=1)
        raise invalid(
            f"{path}.type: {kind!r} is no content block; {f'did you mean {near[0]}?' if near else 'use text.'}"
        )
    check_known(block, fields.BLOCK[kind], path)
    if not _fits(kind, role):
        raise invalid(f"{path}.type: a {kind} block cannot stand in a message of role {role}.")
    for name in _TEXT.get(kind, ()):
        if not isinstance(block.get(name), str) or not block[name]:
            raise invalid(f"{path}.{name}: must be text that is not empty.")
    if kind == "text" and not block["text"].strip():
        raise invalid(f"{path}.text: must be more than white space.")
    if kind in ("tool_use", "mcp_tool_use") and not isinstance(block.get("input"), dict):
        raise invalid(f"{path}.input: must be an object.")
    if kind in ("tool_result", "mcp_tool_result"):
        _check_result(block, path)


def _fits(kind: str, role: str) -> bool:
    if role == "system":
        return kind in fields.SYSTEM_BLOCKS
    if kind in fields.TOOL_CHANGES:
        return False
    return kind not in (fields.USER_ONLY if role == "assistant" else fields.ASSISTANT_ONLY)


def _check_result(block: Block, path: str) -> None:
    content = block.get("content")
    if content is None or isinstance(content, str):
        return
    if not isinstance(content, list) or not all(isinstance(item, dict) and "type" in item for item in content):
        raise invalid(f"{path}.content: must be text or a list of content blocks.")
    for index, item in enumerate(content):
        if item["type"] == "text" and not isinstance(item.get("text"), str):
            raise invalid(f"{path}.content.{index}.text: must be text.")
        if item["type"] != "text" and block["type"] == "mcp_tool_result":
            raise invalid(f"{path}.content.{index}.type: the result of an MCP call holds text blocks only.")


def _merged(messages: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[Block]]]:
    """The conversation as alternating turns, the way Anthropic reads consecutive messages of one role."""
    turns: list[tuple[str, list[Block]]] = []
    for message in messages:
        if message["role"] == "system":
            continue
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if turns and turns[-1][0] == message["role"]:
            turns[-1][1].extend(blocks)
        else:
            turns.append((message["role"], list(blocks)))
    return turns


def _check_pairs(turns: Sequence[tuple[str, list[Block]]]) -> None:
    open_calls: list[str] = []
    for role, blocks in turns:
        if role == "assistant":
            open_calls = _ids(blocks, "tool_use", "id")
            _match(
                _ids(blocks, "mcp_tool_use", "id"),
                _ids(blocks, "mcp_tool_result", "tool_use_id"),
                lambda call: f"messages: mcp_tool_use {call} has no mcp_tool_result in the same message.",
                lambda call: f"messages: mcp_tool_result for {call} has no mcp_tool_use in the same message.",
            )
            continue
        _check_order(blocks)
        _match(
            open_calls,
            _ids(blocks, "tool_result", "tool_use_id"),
            lambda call: f"messages: tool_use {call} has no tool_result in the user message right after it.",
            lambda call: f"messages: tool_result for {call} has no tool_use in the assistant message right before it.",
        )
        open_calls = []
    if open_calls:
        raise invalid(f"messages: tool_use {open_calls[0]} has no tool_result; send one in a user message after it.")


def _check_order(blocks: Sequence[Block]) -> None:
    """The results of calls come first in the user's turn."""
    other = next((block["type"] for block in blocks if block["type"] != "tool_result"), None)
    kinds = [block["type"] for block in blocks]
    if other is not None and "tool_result" in kinds[kinds.index(other) :]:
        raise invalid(f"messages: a {other} block stands before a tool_result; put the results of calls first.")


def _ids(blocks: Sequence[Block], kind: str, name: str) -> list[str]:
    found = [str(block[name]) for block in blocks if block["type"] == kind]
    for index, value in enumerate(found):
        if value in found[:index]:
            raise invalid(f"messages: two {kind} blocks have the {name} {value}; it must be unique in a message.")
    return found


def _match(
    calls: Sequence[str], results: Sequence[str], unanswered: Callable[[str], str], unasked: Callable[[str], str]
) -> None:
    for call in calls:
        if call not in results:
            raise invalid(unanswered(call))
    for result in results:
        if result not in calls:
            raise invalid(unasked(result))
