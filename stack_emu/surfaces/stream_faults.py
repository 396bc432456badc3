"""Failures in the middle of an event stream: slow beginnings, slow rests, streams that break off.

What is streamed is cut into pieces by whoever streams; a fault waits before a piece, or says that it is the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

KEEPALIVE_MS = 250
"""How often a stream that has not begun says that it is alive."""

CUT_END = "end"
CUT_CONNECTION = "connection"

Ping = Callable[[], Awaitable[None]]


@dataclass
class StreamFault:
    """What a rule does to one stream.

    Args:
        first_token_ms: how long to wait before the first piece, in wall time.
        pace_ms: how long to wait before every further piece, in wall time.
        error: the error type the stream ends with.
        message: the message that goes with it.
        cut: `end` ends the stream as if all had been said, `connection` breaks it off.
        after: how many pieces are sent before the error or the cut; with neither this nor `after_blocks`, one.
        after_blocks: how many whole blocks are sent before it.
    """

    first_token_ms: int = 0
    pace_ms: int = 0
    error: str | None = None
    message: str | None = None
    cut: str | None = None
    after: int | None = None
    after_blocks: int | None = None
    _pieces: int = field(default=0, init=False)
    _blocks: int = field(default=0, init=False)

    @property
    def breaks(self) -> bool:
        """Whether the stream does not come to its own end."""
        return self.error is not None or self.cut is not None

    @property
    def text(self) -> str:
        """The message of the error."""
        return self.message or "A fault rule of the scenario breaks this stream off."

    @property
    def over(self) -> bool:
        """Whether everything has been sent that the fault lets through."""
        if not self.breaks:
            return False
        if self.after_blocks is not None:
            return self._blocks >= self.after_blocks
        return self._pieces >= (1 if self.after is None else self.after)

    async def piece(self, ping: Ping) -> bool:
        """Wait as long as a piece is to be waited for; False when it is not to be sent any more.

        Args:
            ping: sends a sign of life; called now and then before the first piece.
        """
        if self.over:
            return False
        if self._pieces:
            await asyncio.sleep(self.pace_ms / 1000)
        else:
            await self._wait(ping)
        self._pieces += 1
        return True

    def block(self) -> None:
        """Note that a block has been sent whole."""
        self._blocks += 1

    async def _wait(self, ping: Ping) -> None:
        left = self.first_token_ms
        while left > 0:
            step = min(left, KEEPALIVE_MS)
            await asyncio.sleep(step / 1000)
            left -= step
            if left > 0:
                await ping()


def stream_fault(inject: Mapping[str, Any] | None, *, streams: bool = False) -> StreamFault | None:
    """What a rule's `inject.stream` means; None when it has none.

    Args:
        inject: what the rule says.
        streams: whether the reply is a stream: it breaks off after its first piece where a whole reply would be spoilt,
            and is slow where that would dribble.
    """
    if not inject:
        return None
    wanted = inject.get("stream")
    if not wanted:
        return _of_whole_reply(inject) if streams else None
    return StreamFault(
        first_token_ms=int(wanted.get("first_token") or 0),
        pace_ms=int(wanted.get("pace") or 0),
        error=str(wanted["error"]).lower() if wanted.get("error") else None,
        message=wanted.get("message"),
        cut=wanted.get("cut"),
        after=wanted.get("after"),
        after_blocks=wanted.get("after_blocks"),
    )


def _of_whole_reply(inject: Mapping[str, Any]) -> StreamFault | None:
    dribble = inject.get("dribble")
    if inject.get("transport"):
        return StreamFault(cut=CUT_CONNECTION, after=1)
    return StreamFault(pace_ms=int(dribble["over"]) // int(dribble["chunks"])) if dribble else None
