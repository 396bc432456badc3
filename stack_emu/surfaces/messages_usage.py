"""Tokens of the Messages API: an estimate that repeats, and the `usage` object made of it.

Every text of the request counts, names of JSON keys too, four characters to a token; an image or a document in base64
counts as much as a large picture does, whatever it holds, and cache markers count nothing. The request is cut into
segments in the order prompts are cached in: MCP servers and tools, the system prompt, the messages block by block.

Source of the shape: anthropic 2.14.0 `types/usage.py`, `types/message_delta_usage.py`, `types/output_tokens_details.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

CHARACTERS_PER_TOKEN = 4
_MEDIA_TOKENS = 1_600
_UNCOUNTED = frozenset({"cache_control"})


@dataclass(frozen=True)
class Segment:
    """A part of a prompt that a cache marker can stand on.

    Args:
        path: where it stands in the request, such as `messages.0.content.1`.
        content: what it says, as sent.
        characters: how many characters it counts.
    """

    path: str
    content: Any
    characters: int


@dataclass(frozen=True)
class CacheUse:
    """What of a prompt came from the cache and what went into it, in tokens.

    Args:
        read: tokens read.
        written_5m: tokens written for five minutes.
        written_1h: tokens written for an hour.
    """

    read: int = 0
    written_5m: int = 0
    written_1h: int = 0

    @property
    def written(self) -> int:
        """Tokens written, for however long."""
        return self.written_5m + self.written_1h


def tokens_of(characters: int) -> int:
    """Tokens in so many characters, rounded up."""
    return -(-characters // CHARACTERS_PER_TOKEN)


def estimate_tokens(value: Any) -> int:
    """A rough token count of every text in `value`. It is an estimate that repeats, no tokenizer."""
    return tokens_of(_characters(value))


def segments(body: Mapping[str, Any]) -> Iterator[Segment]:
    """The prompt of a request, in the order it is cached in; the credentials of MCP servers are no part of it."""
    servers = body.get("mcp_servers")
    for index, server in enumerate(servers if isinstance(servers, list) else ()):
        yield Segment(f"mcp_servers.{index}", server["name"], _characters(server["name"]))
    for name in ("tools", "system"):
        part = body.get(name)
        if isinstance(part, str):
            yield Segment(name, part, len(part))
        for index, item in enumerate(part if isinstance(part, list) else ()):
            yield Segment(f"{name}.{index}", item, _characters(item))
    for index, message in enumerate(body["messages"]):
        yield from _message_segments(message, f"messages.{index}")


def input_tokens(body: Mapping[str, Any]) -> int:
    """The estimate for a whole request, cached or not."""
    return max(1, tokens_of(sum(segment.characters for segment in segments(body))))


def output_tokens(content: Sequence[Mapping[str, Any]]) -> int:
    """The estimate for what the model wrote: text, thinking and calls, not the results of calls."""
    return max(1, estimate_tokens([_written(block) for block in content]))


def thinking_tokens(content: Sequence[Mapping[str, Any]]) -> int:
    """The part of `output_tokens` that is thinking."""
    return estimate_tokens([_written(block) for block in content if block["type"] in ("thinking", "redacted_thinking")])


def usage(
    tokens_in: int, tokens_out: int, *, cached: CacheUse | None = None, thinking: int = 0, tier: str = "standard"
) -> dict[str, Any]:
    """The `usage` object.

    Args:
        tokens_in: tokens of the whole prompt; what the cache read or wrote is taken off.
        tokens_out: tokens written.
        cached: what the cache did; nothing when left out.
        thinking: how many of the tokens written are thinking.
        tier: `standard`, or `batch`.
    """
    cached = cached or CacheUse()
    return {
        "input_tokens": tokens_in - cached.read - cached.written,
        "output_tokens": tokens_out,
        "output_tokens_details": {"thinking_tokens": thinking},
        "cache_creation_input_tokens": cached.written,
        "cache_read_input_tokens": cached.read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": cached.written_5m,
            "ephemeral_1h_input_tokens": cached.written_1h,
        },
        "server_tool_use": None,
        "service_tier": tier,
    }


def delta_usage(used: Mapping[str, Any]) -> dict[str, Any]:
    """The cumulative usage that closes a stream: the same counts, without what only its start carries."""
    return {name: value for name, value in used.items() if name not in ("cache_creation", "service_tier")}


def _message_segments(message: Mapping[str, Any], path: str) -> Iterator[Segment]:
    content = message.get("content")
    around = {name: value for name, value in message.items() if name != "content"}
    characters = _characters(around) + len("content")
    if not isinstance(content, list) or not content:
        yield Segment(path, message, characters + _characters(content))
        return
    for index, block in enumerate(content):
        here = [around, block] if index == 0 else block
        yield Segment(f"{path}.content.{index}", here, _characters(block) + (0 if index else characters))


def _written(block: Mapping[str, Any]) -> Any:
    if block["type"] == "mcp_tool_result":
        return None
    return next((block[name] for name in ("text", "thinking", "data", "input") if name in block), None)


def _characters(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        if value.get("type") == "base64" and "media_type" in value:
            return _MEDIA_TOKENS * CHARACTERS_PER_TOKEN
        return sum(len(str(key)) + _characters(item) for key, item in value.items() if key not in _UNCOUNTED)
    if isinstance(value, (list, tuple)):
        return sum(map(_characters, value))
    return 0 if value is None else len(str(value))
