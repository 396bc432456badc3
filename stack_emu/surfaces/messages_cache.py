"""Prompt caching: what of a prompt a world has seen before, by its `cache_control` markers, on the world's clock.

A prompt up to a marker is written to the cache, and read when the same prompt up to there (or up to one of the twenty
blocks before a marker) was written within the marker's time, which every read begins anew. Prompts below 1,024 tokens
are not cached. The cache belongs to an API key, a model and a lane, so that what one lane does never shows in the usage
of another.

Source: anthropic 2.14.0 `types/cache_control_ephemeral_param.py`; four markers, twenty blocks, the order of times and
the least length from Anthropic's prompt caching page. Its estimate of tokens is ours, and the least length is one for
all models.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stack_emu.kernel.canonical import canonical_json
from stack_emu.surfaces.messages_errors import check_known, invalid
from stack_emu.surfaces.messages_usage import CacheUse, Segment, segments, tokens_of

LEAST_TOKENS = 1_024
_MARKERS = 4
_LOOKBACK = 20
_TTL_MS = {"5m": 300_000, "1h": 3_600_000}
_LIMIT = 10_000
_KNOWN = frozenset({"type", "ttl", "scope"})


@dataclass(frozen=True)
class _Prefix:
    """A prompt up to a segment."""

    digest: str
    tokens: int


@dataclass
class _Written:
    expires_ms: int
    ttl_ms: int


def check_markers(body: Mapping[str, Any]) -> None:
    """Check the `cache_control` markers of a request.

    Raises:
        ApiError: 400 for one that is malformed, for a fifth one, and for an hour after five minutes.
    """
    marked = list(_markers(body, list(segments(body))).items())
    if len(marked) > _MARKERS:
        raise invalid(f"cache_control: {len(marked)} blocks are marked; at most {_MARKERS} may be.")
    times = [ttl for _, ttl in marked]
    if "5m" in times and "1h" in times[times.index("5m") :]:
        raise invalid('cache_control.ttl: a marker with "1h" must stand before every one with "5m".')


class PromptCache:
    """The prompts one world has cached."""

    def __init__(self) -> None:
        self._written: dict[tuple[str, str], _Written] = {}

    def use(self, scope: str, body: Mapping[str, Any], now_ms: int) -> CacheUse:
        """Read and write what a request's markers say.

        Args:
            scope: whose cache it is.
            body: a valid request.
            now_ms: the world's instant, in epoch milliseconds.
        """
        parts = list(segments(body))
        markers = _markers(body, parts)
        if not markers:
            return CacheUse()
        prefixes = _prefixes(parts)
        read = self._read(scope, prefixes, markers, now_ms)
        written = {"5m": 0, "1h": 0}
        reached = read
        for index, ttl in markers.items():
            prefix = prefixes[index]
            if prefix.tokens < LEAST_TOKENS:
                continue
            written[ttl] += max(0, prefix.tokens - reached)
            reached = max(reached, prefix.tokens)
            self._write(scope, prefix, ttl, now_ms)
        return CacheUse(read, written["5m"], written["1h"])

    def _read(self, scope: str, prefixes: list[_Prefix], markers: Mapping[int, str], now_ms: int) -> int:
        for index in sorted(markers, reverse=True):
            for place in range(index, max(-1, index - _LOOKBACK - 1), -1):
                found = self._written.get((scope, prefixes[place].digest))
                if found is not None and now_ms < found.expires_ms:
                    found.expires_ms = now_ms + found.ttl_ms
                    return prefixes[place].tokens
        return 0

    def _write(self, scope: str, prefix: _Prefix, ttl: str, now_ms: int) -> None:
        key = (scope, prefix.digest)
        standing = self._written.pop(key, None)
        length = _TTL_MS[ttl]
        if standing is not None and now_ms < standing.expires_ms:
            length = max(length, standing.ttl_ms)
        self._written[key] = _Written(now_ms + length, length)
        while len(self._written) > _LIMIT:
            del self._written[next(iter(self._written))]


def _prefixes(parts: list[Segment]) -> list[_Prefix]:
    chain, characters, found = hashlib.sha256(), 0, []
    for part in parts:
        chain.update(hashlib.sha256(canonical_json(_bare(part.content))).digest())
        characters += part.characters
        found.append(_Prefix(chain.hexdigest(), tokens_of(characters)))
    return found


def _markers(body: Mapping[str, Any], parts: list[Segment]) -> dict[int, str]:
    """The marked segments by their index, in order, each with its time."""
    found: dict[int, str] = {}
    for index, part in enumerate(parts):
        for block, path in _blocks(part):
            marker = block.get("cache_control")
            if marker is not None:
                found[index] = _ttl(marker, f"{path}.cache_control")
    whole = body.get("cache_control")
    if whole is not None and parts:
        found.setdefault(len(parts) - 1, _ttl(whole, "cache_control"))
    return dict(sorted(found.items()))


def _blocks(part: Segment) -> list[tuple[Mapping[str, Any], str]]:
    content = part.content[-1] if isinstance(part.content, list) else part.content
    if not isinstance(content, Mapping):
        return []
    inner = content.get("content")
    nested = inner if isinstance(inner, list) else []
    below = [(item, f"{part.path}.content.{at}") for at, item in enumerate(nested) if isinstance(item, Mapping)]
    return [(content, part.path), *below]


def _ttl(marker: Any, path: str) -> str:
    if not isinstance(marker, Mapping) or marker.get("type") != "ephemeral":
        raise invalid(f'{path}: must be {{"type": "ephemeral"}}, with "ttl": "5m" or "1h" if you like.')
    check_known(marker, _KNOWN, path)
    ttl = marker.get("ttl") or "5m"
    if not isinstance(ttl, str) or ttl not in _TTL_MS:
        raise invalid(f'{path}.ttl: must be "5m" or "1h".')
    return ttl


def _bare(value: Any) -> Any:
    """The content without its markers: where they stand changes nothing about the prompt."""
    if isinstance(value, Mapping):
        return {name: _bare(item) for name, item in value.items() if name != "cache_control" and item is not None}
    return [_bare(item) for item in value] if isinstance(value, list) else value
