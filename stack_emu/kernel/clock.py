"""The world's clock: wall time plus an offset, or a virtual instant that moves only when told."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import Protocol


class Clock(Protocol):
    """Anything that tells the world's time in integer milliseconds since the Unix epoch."""

    @property
    def virtual(self) -> bool:
        """Whether time moves only when told."""
        ...

    @property
    def start_ms(self) -> int:
        """The instant the world began, in epoch milliseconds."""
        ...

    def now_ms(self) -> int:
        """Now, in epoch milliseconds."""
        ...

    def move(self, delta_ms: int) -> None:
        """Go forward by ``delta_ms`` milliseconds.

        Raises:
            ValueError: when ``delta_ms`` is negative.
        """
        ...

    @property
    def moved_ms(self) -> int:
        """How far ``move`` has brought it, in milliseconds."""
        ...

    def return_to(self, moved_ms: int) -> None:
        """Undo moves: go to where it stands when it was moved by ``moved_ms`` milliseconds in all."""
        ...

    def begin_at(self, start_ms: int) -> None:
        """Say that the world began at ``start_ms`` epoch milliseconds, in an earlier process."""
        ...


class RealClock:
    """Wall time plus an offset that ``move`` adds to."""

    virtual = False

    def __init__(self, offset_ms: int = 0) -> None:
        self.offset_ms = offset_ms
        self.start_ms = self.now_ms()

    def now_ms(self) -> int:
        """Wall time plus the offset, in epoch milliseconds."""
        return time.time_ns() // 1_000_000 + self.offset_ms

    def move(self, delta_ms: int) -> None:
        """Add ``delta_ms`` milliseconds to the offset."""
        _require_forward(delta_ms)
        self.offset_ms += delta_ms

    @property
    def moved_ms(self) -> int:
        """The offset."""
        return self.offset_ms

    def return_to(self, moved_ms: int) -> None:
        """Set the offset; wall time itself never goes back."""
        self.offset_ms = moved_ms

    def begin_at(self, start_ms: int) -> None:
        """Set the instant the world began; what time it is does not change."""
        self.start_ms = start_ms


class VirtualClock:
    """An instant that stands still until ``move`` is called.

    Args:
        start_ms: epoch milliseconds at which the world begins.
    """

    virtual = True

    def __init__(self, start_ms: int) -> None:
        self.start_ms = start_ms
        self._now_ms = start_ms

    def now_ms(self) -> int:
        """The current instant in epoch milliseconds."""
        return self._now_ms

    def move(self, delta_ms: int) -> None:
        """Go forward by ``delta_ms`` milliseconds."""
        _require_forward(delta_ms)
        self._now_ms += delta_ms

    @property
    def moved_ms(self) -> int:
        """Milliseconds since the start."""
        return self._now_ms - self.start_ms

    def return_to(self, moved_ms: int) -> None:
        """Go to ``moved_ms`` milliseconds after the start."""
        self._now_ms = self.start_ms + moved_ms

    def begin_at(self, start_ms: int) -> None:
        """Set the instant the world began; the clock stays as far from it as it was."""
        self._now_ms += start_ms - self.start_ms
        self.start_ms = start_ms


def iso(ms: int) -> str:
    """ISO-8601 with milliseconds and ``Z``, the form APIs print instants in."""
    whole, rest = divmod(ms, 1000)
    moment = datetime.fromtimestamp(whole, tz=timezone.utc).replace(microsecond=rest * 1000, tzinfo=None)
    return moment.isoformat(timespec="milliseconds") + "Z"


ISO_PATTERN = (
    r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])(T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,3})?Z)?$"
)
"""What an instant looks like at least, for documents; ``parse_iso`` takes offsets and the last days of months too."""


def parse_iso(text: str) -> int:
    """Epoch milliseconds of an ISO-8601 instant; without an offset it is taken as UTC.

    Raises:
        ValueError: when the text is not an instant.
    """
    moment = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    delta = moment - datetime(1970, 1, 1, tzinfo=timezone.utc)
    return (delta.days * 86_400 + delta.seconds) * 1000 + delta.microseconds // 1000


def _require_forward(delta_ms: int) -> None:
    if delta_ms < 0:
        raise ValueError(f"the clock only moves forward; {delta_ms} ms is negative")
