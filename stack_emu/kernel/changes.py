"""What a world has changed since it was last written down: for a file that follows it."""

from __future__ import annotations

from typing import Any


class Changes:
    """Names of the records and counts that changed, in the order they first did.

    A world that returned to a picture has changed as a whole: ``everything`` says so, and the names are of no account.
    """

    def __init__(self) -> None:
        self.records: dict[tuple[type[Any], str], None] = {}
        self.counts: dict[tuple[str, str], None] = {}
        self.everything = True
        self.acts = 0
        """How many acts of the world are written down."""

    def record(self, kind: type[Any], key: str) -> None:
        """A record was put or deleted."""
        self.records[kind, key] = None

    def count(self, of: str, name: str) -> None:
        """A count has another value; ``of`` is what it counts: act, lane or minted."""
        self.counts[of, name] = None

    def whole(self) -> None:
        """The world is another one."""
        self.everything = True

    def written(self, acts: int) -> None:
        """All of it is written down.

        Args:
            acts: how many acts the world has.
        """
        self.records.clear()
        self.counts.clear()
        self.everything = False
        self.acts = acts
