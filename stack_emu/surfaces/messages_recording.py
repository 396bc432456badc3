"""A reply while it is made, and again for a client that asks for it a second time under the same idempotency key.

No SDK sends such a key by itself, and whether Anthropic reads one is not public: the whole of it is invented here, so
that a test can say what a retry must not do twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from stack_emu.surfaces.messages_errors import ApiError, invalid

_KEPT_MS = 86_400_000
_LIMIT = 1_000
_LONGEST = 255


@dataclass(frozen=True)
class Stop:
    """How a reply ends.

    Args:
        stop_reason: why.
        stop_sequence: the sequence that ended it, if one did.
        stop_details: what there is to say about a refusal.
    """

    stop_reason: str
    stop_sequence: str | None = None
    stop_details: Mapping[str, Any] | None = None


Event = dict[str, Any] | Stop | ApiError


@dataclass
class Recording:
    """The blocks of a reply in the order they are made, then how it ends; for any number of readers, late ones too.

    Args:
        used: the prompt's part of the usage, once somebody has worked it out.
        replayed: whether it was given to a reader before.
    """

    used: Any = None
    replayed: bool = False
    _events: list[Event] = field(default_factory=list)
    _grown: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, event: Event) -> None:
        """Add a block, or the end."""
        self._events.append(event)
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()

    @property
    def failed(self) -> bool:
        """Whether it ended with an error."""
        return bool(self._events) and isinstance(self._events[-1], ApiError)

    async def follow(self) -> AsyncIterator[Event]:
        """Every block as soon as it is made, and the end."""
        index = 0
        while True:
            grown = self._grown
            while index < len(self._events):
                event = self._events[index]
                index += 1
                yield event
                if not isinstance(event, dict):
                    return
            await grown.wait()


@dataclass(frozen=True)
class _Kept:
    digest: str
    at_ms: int
    value: Any


class Replays:
    """What one world answered under idempotency keys: a thousand of them, for a day of its clock."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], _Kept] = {}

    def find(self, scope: str, key: str, digest: str, now_ms: int) -> Any:
        """What was answered under a key, or None.

        Args:
            scope: whose key it is, and for what.
            key: the key.
            digest: of the request.
            now_ms: the world's instant, in epoch milliseconds.

        Raises:
            ApiError: 400 for a key that stood for another request. Clients would repeat a 409.
        """
        if len(key) > _LONGEST:
            raise invalid(f"idempotency-key: must have at most {_LONGEST} characters.")
        kept = self._kept.get((scope, key))
        if kept is None or now_ms - kept.at_ms >= _KEPT_MS:
            return None
        if kept.digest != digest:
            raise invalid("idempotency-key: this key was sent with another body; send a new key with a new request.")
        if isinstance(kept.value, Recording) and kept.value.failed:
            return None
        return kept.value

    def keep(self, scope: str, key: str, digest: str, now_ms: int, value: Any) -> None:
        """Keep an answer under a key."""
        self._kept.pop((scope, key), None)
        self._kept[scope, key] = _Kept(digest, now_ms, value)
        while len(self._kept) > _LIMIT:
            del self._kept[next(iter(self._kept))]
